"""What became of calls, by program: passports, coverage, missed calls, the journal as a file."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import actors, exports
from integrations.models import CallSync, Export
from telephony.models import Call, Connection, CoverageDay, MissedNote
from tests import factories as make
from tests.api.queries import asked

CLIENT = "+79000000055"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The accounts that the workers were told of."""
    accounts: list[int] = []
    monkeypatch.setattr(actors.sync_calls, "send", accounts.append)
    return accounts


def parked(world: Any, **fields: Any) -> CallSync:
    return make.CallSyncFactory.create(
        call=make.CallFactory(connection=world.connection),
        integration=world.integration,
        noted=0,
        parked=True,
        error_kind="rejected",
        error="ERROR_CORE no such user",
        cause="ERROR_CORE no such user",
        failed_at=timezone.now(),
        **fields,
    )


# --- The passport


def test_the_passport_tells_what_is_where_and_why(program, mine):
    make.ExchangeFactory(company=mine.company, account=mine.credential.uuid, vendor="bitrix24", call=mine.call)
    make.InboxEventFactory(connection=mine.connection, call=mine.call)
    make.DecisionFactory(call=mine.call)
    aside = make.IntegrationFactory(credential__company=mine.company, active=False)
    found = program.get(f"calls/{mine.call.uuid}/passport").json()
    assert found["call"] == str(mine.call.uuid)
    assert {"name": "Line", "value": "mine line (8 (495) 000-00-03)"} not in found["facts"], "numbers are told whole"
    assert found["timeline"][0]["text"] == "The call began"
    assert (len(found["events"]), len(found["decisions"])) == (1, 1)
    assert found["recordings"][0]["uuid"] == str(mine.recording.uuid)
    (account,) = found["accounts"]
    assert account["credential"] == str(mine.credential.uuid)
    assert account["standing"]["code"] == "written"
    assert len(account["exchanges"]) == 1
    assert found["bystanders"] == [{"integration": str(aside.uuid), "why": "It is switched off."}]


def test_what_is_parked_says_why_and_is_tried_again(program, mine, told):
    row = parked(mine)
    (account,) = program.get(f"calls/{row.call.uuid}/passport").json()["accounts"]
    assert (account["standing"]["code"], account["retriable"]) == ("parked", True)
    assert "no such user" in account["standing"]["words"]
    other = make.CredentialFactory(company=mine.company)
    retry = f"calls/{row.call.uuid}/retry"
    assert program.post(retry, {"credential": str(other.uuid)}).json() == {"count": 0}
    assert program.post(retry, {"credential": str(mine.credential.uuid)}).json() == {"count": 1}
    row.refresh_from_db()
    assert not row.parked
    assert told == [mine.credential.pk]


def test_others_calls_are_not_there(program, mine, theirs, key, told):
    assert program.get(f"calls/{theirs.call.uuid}/passport").status_code == 404
    assert program.post(f"calls/{theirs.call.uuid}/retry").status_code == 404
    reader = key(mine.company, "calls:read", "calls:write")
    assert reader.get(f"calls/{mine.call.uuid}/passport").status_code == 200
    assert reader.post(f"calls/{mine.call.uuid}/retry").json()["detail"] == "problems:write"
    assert told == []


def test_a_passport_with_much_in_it_asks_no_more_than_one_with_little(program, mine):
    place = f"calls/{mine.call.uuid}/passport"
    make.InboxEventFactory(connection=mine.connection, call=mine.call)
    make.ExchangeFactory(company=mine.company, account=mine.credential.uuid, vendor="bitrix24", call=mine.call)
    few = asked(program, place)
    for _ in range(5):
        make.InboxEventFactory(connection=mine.connection, call=mine.call)
        make.ExchangeFactory(company=mine.company, account=mine.credential.uuid, vendor="bitrix24", call=mine.call)
    assert asked(program, place) == few


# --- Coverage


def test_each_day_is_accounted_for(program, mine):
    parked(mine)
    CoverageDay.objects.create(connection=mine.connection, day=timezone.now().date(), until=timezone.now(), told=2)
    found = program.get(f"coverage?connection={mine.connection.uuid}&days=3").json()
    day = next(row for row in found["days"] if row["calls"])
    assert (day["calls"], day["told"], day["missing"]) == (2, 2, [])
    (crm,) = day["crm"]
    assert (crm["integration"], crm["written"], crm["parked"]) == (str(mine.integration.uuid), 1, 1)


def test_coverage_is_of_a_connection_of_the_company(program, theirs):
    assert program.get("coverage").json()["errors"][0]["field"] == "connection"
    assert program.get(f"coverage?connection={theirs.connection.uuid}").status_code == 404
    assert program.get(f"coverage?connection={theirs.connection.uuid}&days=1000").status_code == 422


# --- Missed calls


def missed(connection: Connection, phone: str = CLIENT, minutes: int = 10) -> Call:
    """A missed call of some minutes ago."""
    return make.CallFactory.create(
        connection=connection,
        client_phone=phone,
        started_at=timezone.now() - timedelta(minutes=minutes),
        answered_at=None,
        outcome="missed",
        talk_seconds=0,
        employee=None,
        extension="",
    )


def test_whom_we_owe_a_call(program, mine):
    missed(mine.connection, minutes=30)
    last = missed(mine.connection)
    (row,) = program.get("missed").json()["results"]
    assert (row["call"], row["client_phone"], row["times"]) == (str(last.uuid), CLIENT, 2)
    assert program.post(f"missed/{last.uuid}/close", {"words": "Wrong number"}).status_code == 204
    assert program.get("missed").json()["results"] == []
    (row,) = program.get("missed?show=closed").json()["results"]
    assert (row["note"]["words"], row["note"]["by"]) == ("Wrong number", None)
    assert program.post(f"missed/{last.uuid}/reopen").status_code == 204
    assert len(program.get("missed").json()["results"]) == 1
    assert not MissedNote.objects.exists()


def test_who_was_called_back(program, mine):
    call = missed(mine.connection)
    back = make.CallFactory.create(
        connection=mine.connection,
        direction="out",
        client_phone=CLIENT,
        started_at=call.started_at + timedelta(minutes=2),
        answered_at=call.started_at + timedelta(minutes=2),
    )
    (row,) = program.get("missed?show=back").json()["results"]
    assert (row["answer"], row["answered_after"]) == (str(back.uuid), 120)


def test_missed_calls_follow_each_other_in_pages(program, mine):
    calls = [missed(mine.connection, f"+7900000006{number}", minutes=number + 1) for number in range(5)]
    page, seen = program.get("missed?page_size=2").json(), []
    while True:
        seen += [row["call"] for row in page["results"]]
        if not page["next"]:
            break
        page = program.get(page["next"].split("/api/v1/")[1]).json()
    assert seen == [str(call.uuid) for call in calls], "the newest first"


def test_what_the_worklist_does_not_know_is_refused(program, mine, theirs, key):
    assert program.get("missed?line=%2B70000000000").json()["errors"][0]["field"] == "line"
    assert program.get("missed?period=year").status_code == 422
    other = missed(theirs.connection)
    assert program.post(f"missed/{other.uuid}/close").status_code == 404
    assert program.get("missed").json()["results"] == []
    call = missed(mine.connection)
    assert key(mine.company, "calls:read").post(f"missed/{call.uuid}/close").json()["code"] == "scope_missing"
    assert program.post(f"missed/{call.uuid}/close", {"words": "x" * 501}).json()["errors"][0]["field"] == "words"


def test_many_missed_calls_cost_no_more_questions_than_one(program, mine):
    missed(mine.connection)
    few = asked(program, "missed")
    for number in range(5):
        missed(mine.connection, f"+7900000007{number}")
    assert asked(program, "missed") == few


# --- Files


def written(program: Any, **body: Any) -> Any:
    """Asked for, written by the worker, and as it is then."""
    made = program.post("exports", body)
    assert made.status_code == 201, made.json()
    exports.work(Export.objects.get(uuid=made.json()["uuid"]).pk)
    return program.get(f"exports/{made.json()['uuid']}").json()


def test_the_journal_is_fetched_as_a_file(program, mine):
    made = program.post("exports", {"format": "csv"}).json()
    early = program.get(f"exports/{made['uuid']}/file")
    assert (early.status_code, early.json()["code"]) == (409, "conflict")
    found = written(program, format="csv", columns=["client", "pbx"], filter={"direction": "in", "period": "today"})
    assert (found["state"], found["rows"], found["columns"]) == ("done", 1, ["time", "client", "pbx"])
    assert set(found["filter"]) == {"direction", "since", "until"}, "a period is the days that it means now"
    file = program.get(f"exports/{found['uuid']}/file")
    text = b"".join(file.streaming_content).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text), delimiter=";" if ";" in text else ","))
    assert rows[0][:3] == ["Time", "Direction", "Number"]
    assert len(rows) == 2
    assert program.delete(f"exports/{found['uuid']}").status_code == 204
    assert program.get(f"exports/{found['uuid']}").status_code == 404


def test_what_the_journal_does_not_know_is_refused(program, theirs):
    for sent, field in (
        ({"nonsense": "1"}, "filter.nonsense"),
        ({"direction": "up"}, "filter.direction"),
        ({"connection": str(theirs.connection.uuid)}, "filter.connection"),
    ):
        refused = program.post("exports", {"format": "csv", "filter": sent}).json()
        assert [each["field"] for each in refused["errors"]] == [field]
    assert program.post("exports", {"format": "pdf"}).json()["errors"][0]["field"] == "format"
    assert not Export.objects.exists()


def test_others_files_are_not_there(program, mine, theirs, key):
    row = make.ExportFactory(company=theirs.company)
    for path in (f"exports/{row.uuid}", f"exports/{row.uuid}/file"):
        assert program.get(path).status_code == 404
    assert program.delete(f"exports/{row.uuid}").status_code == 404
    assert program.get("exports").json()["results"] == []
    assert key(mine.company, "calls:read").post("exports", {"format": "csv"}).json()["code"] == "scope_missing"
