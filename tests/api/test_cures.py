"""What is not written and its cures, what needs somebody, and how companies are, by program."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from employees.models import Extension
from integrations import actors
from integrations.models import CallSync, Credential
from tests import factories as make
from tests.api.queries import asked


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The accounts that the workers were told of."""
    accounts: list[int] = []
    monkeypatch.setattr(actors.sync_calls, "send", accounts.append)
    return accounts


def failed(world: Any, cause: str = "ERROR_CORE no such user", *, kind: str = "rejected", ago: int = 0) -> CallSync:
    """A call that the CRM has not got, as the worker leaves it."""
    return make.CallSyncFactory.create(
        call=make.CallFactory(connection=world.connection),
        integration=world.integration,
        noted=0,
        parked=True,
        error_kind=kind,
        error=cause,
        cause=cause,
        failed_at=timezone.now() - timedelta(minutes=ago),
    )


def moment(ago: int) -> str:
    return (timezone.now() - timedelta(minutes=ago)).isoformat()


def open_now() -> list[int]:
    return list(CallSync.objects.filter(parked=True).order_by("pk").values_list("pk", flat=True))


# --- By cause


def test_what_failed_alike_stands_together(program, mine):
    failed(mine, ago=30)
    newest = failed(mine)
    failed(mine, "timeout", kind="doubt")
    found = program.get("unwritten").json()
    first, second = found["causes"]
    assert (first["count"], first["cause"], first["doubtful"]) == (2, "ERROR_CORE no such user", False)
    assert first["example"] == str(newest.call.uuid)
    assert "no such user" in first["words"]
    assert (second["doubtful"], second["words"]) == (True, "")
    assert len(program.get(f"unwritten?{urlencode({'since': moment(10)})}").json()["causes"][0:1]) == 1
    query = urlencode({name: first[name] for name in ("credential", "kind", "cause")} | {"page_size": 1})
    page = program.get(f"unwritten/calls?{query}").json()
    assert [row["call"] for row in page["results"]] == [str(newest.call.uuid)]
    assert page["next"]


def test_what_waits_for_an_account_stands_with_it(program, mine):
    CallSync.objects.update(noted=0)
    Credential.objects.update(state=Credential.State.REFUSED)
    found = program.get("unwritten").json()
    assert found["held_up"] == [
        {"credential": str(mine.credential.uuid), "crm": "bitrix24", "state": "refused", "count": 1}
    ]


# --- Cures


def test_one_a_cause_and_everything_since_a_moment(program, mine, told):
    old, other, new = failed(mine, ago=60), failed(mine, "E2 full", ago=60), failed(mine)
    one = failed(mine, ago=60)
    assert program.post("unwritten/retry", {"call": str(one.call.uuid)}).json() == {"count": 1}
    assert program.post("unwritten/retry", {"since": moment(10)}).json() == {"count": 1}
    assert open_now() == [old.pk, other.pk]
    assert program.post("unwritten/retry", {"kind": "rejected", "cause": "E2 full"}).json() == {"count": 1}
    assert open_now() == [old.pk]
    assert new.pk not in open_now()
    assert set(told) == {mine.credential.pk}


def test_a_doubtful_one_is_written_again_only_where_it_is_meant(program, mine, told):
    row = failed(mine, "timeout", kind="doubt")
    assert program.post("unwritten/retry", {}).json() == {"count": 0}
    assert program.post("unwritten/confirm", {"call": str(row.call.uuid)}).json() == {"count": 1}
    row.refresh_from_db()
    assert (row.parked, row.reason) == (False, "confirmed")
    again = failed(mine, "timeout", kind="doubt")
    assert program.post("unwritten/retry", {"kind": "doubt", "call": str(again.call.uuid)}).json() == {"count": 1}


def test_an_extension_is_decided_and_its_calls_are_written(program, mine):
    waiting = make.CallSyncFactory(
        call=make.CallFactory(connection=mine.connection),
        integration=mine.integration,
        state=CallSync.State.WAITING,
        reason="unknown_extension",
        details={"extensions": ["105"]},
        noted=0,
    )
    assert program.get("unwritten").json()["undecided"] == 1
    listed = {row["number"]: row["waits"] for row in program.get("unwritten/extensions").json()}
    assert listed == {"105": 1}
    missing = program.post("unwritten/decide", {"number": "105", "handling": "employee", "write": True})
    assert missing.json()["errors"][0]["field"] == "employee"
    decision = {"number": "105", "employee": str(mine.employee.uuid), "write": False}
    assert program.post("unwritten/decide", decision).json() == {"count": 1}
    assert Extension.objects.get(company=mine.company, number="105").employee == mine.employee
    waiting.refresh_from_db()
    assert (waiting.state, waiting.reason) == (CallSync.State.SKIPPED, "left_unwritten")


def test_others_calls_are_never_meant(program, mine, theirs, key, told):
    row = failed(theirs)
    found = program.get("unwritten").json()
    assert (found["causes"], found["undecided"]) == ([], 0)
    for body in ({}, {"credential": str(theirs.credential.uuid)}, {"call": str(row.call.uuid)}):
        assert program.post("unwritten/retry", body).json() == {"count": 0}
        assert program.post("unwritten/confirm", body).json() == {"count": 0}
    assert program.get("unwritten/calls").json()["results"] == []
    stranger = {"number": "105", "employee": str(theirs.employee.uuid), "write": True}
    assert program.post("unwritten/decide", stranger).status_code == 422
    assert open_now() == [row.pk]
    reader = key(mine.company, "problems:read")
    assert reader.get("unwritten").status_code == 200
    for cure in ("retry", "confirm", "decide"):
        assert reader.post(f"unwritten/{cure}").json()["code"] == "scope_missing"


def test_many_causes_cost_no_more_questions_than_one(program, mine):
    failed(mine)
    paths = ("unwritten", "unwritten/calls", "unwritten/extensions")
    few = [asked(program, path) for path in paths]
    for number in range(4):
        failed(mine, f"E{number} other")
        make.ExtensionFactory(company=mine.company, number=f"7{number}", employee=None)
    assert [asked(program, path) for path in paths] == few


# --- What needs somebody


def test_troubles_and_notices(program, mine, theirs):
    failed(mine)
    failed(theirs)
    found = {row["cause"]: row for row in program.get("troubles").json()}
    assert found["parked"]["grave"]
    assert found["parked"]["link"].endswith("/unwritten/")
    make.NoticeFactory(company=mine.company, cause="parked")
    make.NoticeFactory(company=mine.company, cause="old", closed_at=timezone.now(), mended=True)
    make.NoticeFactory(company=theirs.company, cause="theirs")
    assert {row["cause"] for row in program.get("notices").json()["results"]} == {"parked", "old"}
    (row,) = program.get("notices?open=true").json()["results"]
    assert row["cause"] == "parked"
    assert [row["cause"] for row in program.get("notices?open=false").json()["results"]] == ["old"]


# --- Health


def test_a_partner_sees_his_companies_the_worst_first(reseller, partner, mine, theirs):
    quiet = make.CompanyFactory(name="Quiet Ltd", partner=partner)
    mine.company.partner = partner
    mine.company.save()
    failed(mine)
    failed(theirs)
    rows = reseller.get("companies/health").json()
    assert [row["company"] for row in rows] == [str(mine.company.uuid), str(quiet.uuid)]
    worst = rows[0]
    assert (worst["parked"], worst["refused"], worst["grave"] > 0) == (1, 0, True)
    assert worst["connections"][0]["uuid"] == str(mine.connection.uuid)
    assert [row["name"] for row in reseller.get("companies/health?name=quiet").json()] == ["Quiet Ltd"]
    assert reseller.get(f"companies/{mine.company.uuid}/health").json()["parked"] == 1
    assert reseller.get(f"companies/{theirs.company.uuid}/health").status_code == 404


def test_a_company_sees_itself(program, mine, theirs, key):
    assert [row["company"] for row in program.get("companies/health").json()] == [str(mine.company.uuid)]
    assert program.get(f"companies/{theirs.company.uuid}/health").status_code == 404
    assert key(mine.company, "companies:read").get("companies/health").json()["detail"] == "problems:read"


def test_many_companies_cost_no_more_questions_than_one(reseller, partner, mine):
    mine.company.partner = partner
    mine.company.save()
    failed(mine)
    few = asked(reseller, "companies/health")
    for _ in range(4):
        make.ConnectionFactory(company=make.CompanyFactory(partner=partner))
    assert asked(reseller, "companies/health") == few
