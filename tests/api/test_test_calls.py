"""Test calls by program: looked at, played, watched, cleaned up."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from crm_adapters.bitrix24.adapter import Bitrix24
from integrations.models import CallSync
from telephony.models import Call, Connection
from telephony.scripts import Kind
from tests import factories as make
from tests.api.queries import asked


def played() -> list[Call]:
    return list(Call.objects.filter(source="trial"))


@pytest.fixture
def over(program: Any) -> Call:
    """A test call that is over, and written."""
    uuid = program.post("test-calls").json()["uuid"]
    call = Call.objects.get(uuid=uuid)
    Call.objects.filter(pk=call.pk).update(state="finished", outcome="answered", ended_at=timezone.now())
    CallSync.objects.filter(call=call).update(noted=99, wanted=99, progress={"call_id": "externalCall.1"})
    return call


def test_what_can_be_played(program, mine):
    found = program.get("test-calls/choices").json()
    assert {row["kind"] for row in found["kinds"]} == set(Kind)
    assert found["lines"][0]["connection"] == str(mine.connection.uuid)
    assert found["lines"][0]["line"] == mine.number.number
    assert found["extensions"][0]["extension"] == "101"
    assert found["phone"].startswith("+")


def test_looking_writes_nothing(program, mine, monkeypatch):
    monkeypatch.undo()  # requests are put together for real; none of them is sent
    monkeypatch.setattr(Bitrix24, "find_client", lambda *_: None)
    told = program.post("test-calls/rehearse", {"phone": "+75000001234"})
    assert told.status_code == 200, told.json()
    assert told.json()["wanted"]
    (plan,) = told.json()["plans"]
    assert plan["credential"] == str(mine.credential.uuid)
    assert plan["client"] == "nobody with this number"
    assert plan["steps"][0]["request"]["method"] == "POST"
    assert "+75000001234" in plan["steps"][0]["request"]["body"]
    for secret in mine.credential.secret_values:
        assert secret not in told.content.decode()
    assert not played()


def test_it_is_played_for_real_and_watched(program, mine):
    made = program.post("test-calls", {"kind": "in_missed", "extension": "101", "phone": "+75000001234"})
    assert made.status_code == 201, made.json()
    (call,) = played()
    assert (made.json()["uuid"], made.json()["phone"]) == (str(call.uuid), "+75000001234")
    found = program.get(f"test-calls/{call.uuid}").json()
    assert (found["landed"], found["settled"], found["cleanable"]) == (False, False, False)
    assert found["accounts"][0]["standing"]["code"] == "writing"
    assert [row["uuid"] for row in program.get("test-calls").json()["results"]] == [str(call.uuid)]
    for answer in (program.post(f"test-calls/{call.uuid}/clean"), program.delete(f"test-calls/{call.uuid}")):
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_it_is_cleaned_up_and_deleted(program, mine, over, monkeypatch):
    assert program.get(f"test-calls/{over.uuid}").json()["landed"]
    monkeypatch.setattr(Bitrix24, "traces", lambda *_: [])
    done = program.post(f"test-calls/{over.uuid}/clean").json()
    assert (done["removed"], done["failures"]) == (0, [])
    assert done["course"]["accounts"][0]["standing"]["code"] == "skipped"
    assert program.delete(f"test-calls/{over.uuid}").status_code == 204
    assert not played()


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"phone": "nobody"}, "phone"),
        ({"kind": "sideways"}, "kind"),
        ({"line": "+79990000000"}, "line"),
        ({"extension": "999"}, "extension"),
    ],
)
def test_what_cannot_be_played(program, mine, sent, field):
    refused = program.post("test-calls", sent)
    assert [each["field"] for each in refused.json()["errors"]] == [field]
    assert not played()


def test_without_a_pbx_there_is_no_line(program, mine):
    Connection.objects.update(active=False)
    assert program.post("test-calls").json()["errors"][0]["field"] == "line"


def test_others_lines_and_calls_are_not_there(program, mine, theirs, key):
    assert program.post("test-calls", {"connection": str(theirs.connection.uuid)}).status_code == 422
    program_of_theirs = key(theirs.company)
    uuid = program_of_theirs.post("test-calls").json()["uuid"]
    assert program.get(f"test-calls/{uuid}").status_code == 404
    assert program.post(f"test-calls/{uuid}/clean").status_code == 404
    assert program.delete(f"test-calls/{uuid}").status_code == 404
    assert program.get(f"test-calls/{mine.call.uuid}").status_code == 404, "a real call is none"
    reader = key(mine.company, "integrations:read")
    assert reader.post("test-calls/rehearse").json()["code"] == "scope_missing"


def test_many_cost_no_more_questions_than_one(program, mine):
    program.post("test-calls")
    few = [asked(program, path) for path in ("test-calls", "test-calls/choices")]
    for number in range(4):
        program.post("test-calls")
        make.VirtualNumberFactory(connection=mine.connection)
        make.ExtensionFactory(company=mine.company, number=f"8{number}", employee=mine.employee)
    assert [asked(program, path) for path in ("test-calls", "test-calls/choices")] == few
