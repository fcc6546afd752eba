"""PBX connections, commands, the lists of work, reports and clients by program; the PBX is an emulated one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from jsonschema import Draft202012Validator

from employees.models import Change, Extension
from telephony.models import Call, Command, Connection, HistoryRun, PlannedCall
from telephony.providers import registry
from tests import factories as make
from tests.emulators.mango import Account, MangoEmulator
from tests.portal.conftest import World

PHONE = "+79260000077"


@pytest.fixture(scope="module")
def emulator() -> Iterator[MangoEmulator]:
    with MangoEmulator(accounts=[Account()]) as running:
        yield running


@pytest.fixture(autouse=True)
def silent_vendors() -> None:
    """This one is spoken to."""


@pytest.fixture
def mango(emulator: MangoEmulator) -> MangoEmulator:
    emulator.reset()
    return emulator


@pytest.fixture
def keys(mango: MangoEmulator) -> dict[str, Any]:
    account = mango.account()
    return {"api_url": mango.url, "api_key": account.key, "api_salt": account.salt}


@pytest.fixture
def pbx(keys: dict[str, Any], mine: World) -> Connection:
    """The connection of `mine`, to the emulated PBX."""
    mine.connection.credentials = keys
    mine.connection.save()
    return mine.connection


# --- Brands


def test_brands_are_searched_and_say_what_they_want(program: Any) -> None:
    found = program.get("brands?q=манго&country=ru").json()
    assert [row["slug"] for row in found] == ["mango"]
    assert program.get("brands?q=манго&country=KZ").json() == []
    assert len(program.get("brands").json()) == len(registry.brands())
    told = program.get("brands/mango", accept_language="ru").json()
    assert told["capabilities"] == sorted(registry.get("mango").capabilities)
    assert told["form"]["properties"]["api_salt"]["writeOnly"]
    assert told["form"]["properties"]["api_url"]["default"].startswith("https://")
    Draft202012Validator(told["form"]).validate(
        {"api_url": "pbx.example", "api_key": "k", "api_salt": "s", "greeting_seconds": 3}
    )
    assert program.get("brands/nobody").status_code == 404


# --- Connections


def test_a_connection_is_made_changed_and_tells_no_secret(program: Any, mine: World, keys: dict[str, Any]) -> None:
    made = program.post("connections", {"brand": "mango", "keys": keys})
    assert made.status_code == 201, made.json()
    told = made.json()
    assert told["keys"] == {"api_url": keys["api_url"], "greeting_seconds": 2.5}
    assert told["secrets_set"] == ["api_key", "api_salt"]
    place = f"connections/{told['uuid']}"
    assert program.get(place).json() == told
    changed = program.patch(place, {"keys": {"greeting_seconds": 4.0}, "active": False}).json()
    assert (changed["active"], changed["keys"]["greeting_seconds"]) == (False, 4.0)
    row = Connection.objects.get(uuid=told["uuid"])
    assert row.credentials["api_salt"] == keys["api_salt"], "what is not sent stays"
    assert keys["api_salt"] not in str(list(Change.objects.values()))
    wrong = program.patch(
        place, {"name": mine.connection.name, "keys": {"api_salt": "", "greeting_seconds": 99, "no": 1}}
    )
    assert [each["field"] for each in wrong.json()["errors"]] == ["keys.no"]
    wrong = program.patch(place, {"name": mine.connection.name, "keys": {"api_salt": "", "greeting_seconds": 99}})
    assert {each["field"] for each in wrong.json()["errors"]} == {"name", "keys.api_salt", "keys.greeting_seconds"}
    assert program.patch(place, {"brand": "uis"}).json()["errors"][0]["code"] == "unchangeable"
    assert program.get(place).json() == changed


def test_what_cannot_be_made(program: Any, mine: World, keys: dict[str, Any]) -> None:
    assert program.post("connections", {"brand": "nobody"}).json()["errors"][0]["field"] == "brand"
    assert {each["field"] for each in program.post("connections", {"brand": "mango"}).json()["errors"]} == {
        "keys.api_key",
        "keys.api_salt",
    }
    mine.company.most_connections = 1
    mine.company.save()
    assert program.post("connections", {"brand": "mango", "keys": keys}).json()["code"] == "limit_reached"


def test_the_address_is_told_to_those_who_may_change_it(program: Any, mine: World, key: Any) -> None:
    told = program.get(f"connections/{mine.connection.uuid}").json()["webhook_url"]
    assert told == mine.connection.address.url
    reader = key(mine.company, "connections:read")
    assert reader.get(f"connections/{mine.connection.uuid}").json()["webhook_url"] is None
    assert reader.get("connections").json()["results"][0]["webhook_url"] is None
    rotated = program.post(f"connections/{mine.connection.uuid}/rotate").json()
    assert rotated["webhook_url"] != told
    assert rotated["webhook_url"] == program.get(f"connections/{mine.connection.uuid}").json()["webhook_url"]
    assert mine.connection.addresses.count() == 2


def test_a_check_says_what_to_do(program: Any, pbx: Connection, mango: MangoEmulator) -> None:
    told = program.post(f"connections/{pbx.uuid}/check").json()
    assert told["ok"] == all(line["ok"] for line in told["lines"])
    assert told["lines"]
    assert all(line["cure"] for line in told["lines"] if not line["ok"])
    mango.fault("down")
    failed = program.post(f"connections/{pbx.uuid}/check").json()
    if failed.get("code"):
        assert (failed["status"], failed["code"]) == (502, "vendor_unreachable")
        assert failed["detail"]
    else:
        assert not failed["ok"]


def test_users_and_numbers_of_the_pbx_are_loaded(program: Any, pbx: Connection, mango: MangoEmulator) -> None:
    make.EmployeeFactory(company=pbx.company, name="Boris Petrov")
    users = {row["extension"]: row for row in program.get(f"connections/{pbx.uuid}/users").json()}
    assert users["101"]["employee"]
    assert users["101"]["known"]
    assert users["102"]["suggestion"]
    assert not users["102"]["known"]
    assert (users["105"]["listed"], users["103"]["suggestion"]) == (False, None)
    loaded = program.post(f"connections/{pbx.uuid}/numbers/load").json()
    assert loaded["new"] == len(mango.account().lines)
    assert loaded["not_listed"] == [pbx.virtual_numbers.order_by("pk")[0].number]
    (row, *_more) = program.get(f"numbers?connection={pbx.uuid}").json()["results"]
    assert program.patch(f"numbers/{row['id']}", {"line_name": "Flowers"}).json()["line_name"] == "Flowers"
    mango.fault("down")
    assert program.get(f"connections/{pbx.uuid}/users").json()["code"] == "vendor_unreachable"


def test_the_past_is_imported_once_at_a_time(program: Any, pbx: Connection) -> None:
    HistoryRun.objects.all().delete()
    asked = {"connection": str(pbx.uuid), "days": 7}
    made = program.post("imports", asked)
    assert made.status_code == 201
    assert made.json()["state"] == "open"
    assert program.post("imports", asked).json()["code"] == "conflict"
    assert program.post("imports", asked | {"days": 91}).json()["errors"][0]["field"] == "days"
    assert [row["uuid"] for row in program.get(f"imports?connection={pbx.uuid}").json()["results"]] == [
        made.json()["uuid"]
    ]
    assert program.post(f"imports/{made.json()['uuid']}/cancel").json()["state"] == "cancelled"
    run = HistoryRun.objects.get(uuid=made.json()["uuid"])
    assert (run.into_crm, run.asked_by) == (False, None)


def test_a_pbx_that_keeps_no_history_says_so(program: Any, mine: World) -> None:
    row = make.ConnectionFactory(company=mine.company, provider="streamtelecom", brand="streamtelecom", credentials={})
    refused = program.post("imports", {"connection": str(row.uuid), "days": 7}).json()
    assert (refused["status"], refused["code"]) == (409, "not_supported")
    assert program.get(f"connections/{row.uuid}/users").json()["code"] == "not_supported"


# --- Commands


def test_a_dial_says_what_came_of_it(program: Any, pbx: Connection, mine: World, mango: MangoEmulator) -> None:
    done = program.post("commands/dial", {"phone": "8 926 000-00-77", "employee": str(mine.employee.uuid)})
    assert (done.status_code, done.json()["state"]) == (201, "accepted"), done.json()
    assert Command.objects.get().details["phone"] == PHONE
    assert program.get(f"commands/{done.json()['uuid']}").json() == done.json()
    Extension.objects.create(company=mine.company, number="999")
    refused = program.post("commands/dial", {"phone": PHONE, "extension": "999"}).json()
    assert refused["state"] == "refused"
    assert refused["error"]


def test_a_dial_without_an_answer_is_in_doubt(program: Any, pbx: Connection, mango: MangoEmulator) -> None:
    mango.fault("html", path="callback", count=1)
    done = program.post("commands/dial", {"phone": PHONE, "extension": "101"})
    assert (done.status_code, done.json()["state"]) == (201, "doubt"), done.json()
    assert done.json()["error"]


def test_what_cannot_be_dialled(program: Any, pbx: Connection, mine: World, theirs: World) -> None:
    def refused(**asked: Any) -> tuple[str, str]:
        told = program.post("commands/dial", {"phone": PHONE, "extension": "101", **asked}).json()
        return told["code"], told.get("errors", [{"field": ""}])[0]["field"]

    assert refused(phone="12") == ("invalid", "phone")
    assert refused(extension="nobody") == ("invalid", "extension")
    assert refused(connection=str(theirs.connection.uuid)) == ("invalid", "connection")
    assert refused(line="+74990000000") == ("invalid", "line")
    assert program.post("commands/dial", {"phone": PHONE}).json()["errors"][0]["field"] == "extension"
    Connection.objects.update(active=False)
    assert refused() == ("not_supported", "")
    assert not Command.objects.exists()


def test_a_call_is_ended_and_transferred(program: Any, pbx: Connection, mine: World, mango: MangoEmulator) -> None:
    over = program.post("commands/hangup", {"call": str(mine.call.uuid)}).json()
    assert (over["code"], over["detail"]) == ("conflict", "The call is over already.")
    nobody = program.post("commands/transfer", {"call": str(mine.call.uuid), "to": "101"}).json()
    assert nobody["code"] == "conflict"
    assert program.post("commands/transfer", {"call": str(mine.call.uuid), "to": "9"}).json()["code"] == "invalid"
    Call.objects.update(state="answered", outcome="", live_leg="leg-1", ended_at=None)
    ended = program.post("commands/hangup", {"call": str(mine.call.uuid)}).json()
    assert ended["kind"] == "hangup"
    assert ended["state"] in ("accepted", "refused")
    assert ended["call"] == str(mine.call.uuid)
    assert program.post("commands/hangup", {"call": str(mine.call.uuid)}).json().get("code") in ("conflict", None)


# --- What is to be done


def test_calls_are_planned_and_done(program: Any, mine: World) -> None:
    asked = {
        "calls": [{"phone": "8 926 000-00-77", "words": "tulips"}, {"phone": "+79260000078"}],
        "employee": str(mine.employee.uuid),
        "due_at": "2030-01-01T09:00:00Z",
    }
    assert program.post("planned", asked).json() == {"new": 2, "merged": 0}
    assert program.post("planned", {"calls": [{"phone": PHONE, "words": "roses"}]}).json() == {"new": 0, "merged": 1}
    rows = {row["phone"]: row for row in program.get("planned").json()["results"]}
    assert rows[PHONE]["words"] == "tulips; roses"
    assert rows["+79260000078"]["due_at"] == "2030-01-01T09:00:00Z"
    place = f"planned/{rows[PHONE]['uuid']}"
    changed = program.patch(place, {"words": "lilies", "employee": None}).json()
    assert (changed["words"], changed["employee"]) == ("lilies", None)
    done = program.post(f"{place}/done", {"note": "said no"}).json()
    assert (done["note"], bool(done["done_at"])) == ("said no", True)
    assert program.post(f"{place}/done").json()["code"] == "conflict"
    assert [row["uuid"] for row in program.get("planned?show=done").json()["results"]] == [done["uuid"]]
    assert program.post(f"{place}/reopen").json()["done_at"] is None
    wrong = program.post("planned", {"calls": [{"phone": PHONE}, {"phone": "12"}]}).json()
    assert wrong["errors"][0]["field"] == "calls.1.phone"
    PlannedCall.objects.update(made_at=timezone.now() - timedelta(days=1))
    talk = make.CallFactory(connection=mine.connection, client_phone=PHONE, direction="out")
    assert program.get(place).json()["call"] == str(talk.uuid)


# --- Reports


@pytest.mark.parametrize("report", ["employee", "client", "line", "hour", "employee_week", "client_week"])
def test_reports_stand_beside_the_period_before(program: Any, mine: World, report: str) -> None:
    noon = timezone.now().replace(hour=9, minute=0)
    Call.objects.update(started_at=noon)
    make.CallFactory(connection=mine.connection, outcome="missed", started_at=noon - timedelta(days=1))
    with time_machine.travel(noon + timedelta(hours=1)):
        told = program.get(f"reports/{report}?period=today").json()
    weekly = report.endswith("week")
    assert told["totals"]["incoming"] == 1 or weekly
    assert told["totals_before"]["missed"] == 1 or weekly
    assert sum(line["incoming"] for line in told["lines"]) == told["totals"]["incoming"]
    if report == "employee":
        assert told["lines"][0]["key"] == str(mine.employee.uuid)
    if report == "client":
        assert (told["lines"][0]["key"], told["lines"][0]["name"]) == (mine.client_phone.phone, "mine client")


def test_a_report_that_makes_no_sense_is_refused(program: Any) -> None:
    assert program.get("reports/nobody").status_code == 404
    wrong = program.get("reports/line?since=2026-03-02&until=2026-03-01").json()
    assert (wrong["code"], wrong["errors"][0]["field"]) == ("invalid", "until")


# --- Clients


def test_clients_are_found_entered_and_changed(program: Any, mine: World) -> None:
    (found,) = program.get("clients?q=Mine cl").json()["results"]
    assert found["phones"] == [mine.client_phone.phone]
    made = program.post("clients", {"phone": "8 926 000-00-77", "name": "Olga", "organisation": "Flowers"})
    assert made.status_code == 201
    assert made.json()["phones"] == [PHONE]
    again = program.post("clients", {"phone": PHONE, "name": "Olga Ivanova"}).json()
    assert again["uuid"] == made.json()["uuid"]
    assert [row["name"] for row in program.get("clients?phone=8(926)000-00-77").json()["results"]] == ["Olga Ivanova"]
    assert program.patch(f"clients/{again['uuid']}", {"name": "Olga P."}).json()["name"] == "Olga P."
    mirrored = make.ClientFactory(company=mine.company, source="bitrix24:1", entity="contact:7")
    assert program.patch(f"clients/{mirrored.uuid}", {"name": "Other"}).json()["code"] == "conflict"
    assert program.post("clients", {"phone": "12", "name": "Olga"}).json()["errors"][0]["field"] == "phone"


def test_comments_stand_under_the_clients_number(program: Any, mine: World, theirs: World) -> None:
    made = program.post("comments", {"call": str(mine.call.uuid), "text": "wants tulips"})
    assert (made.status_code, made.json()["author"]) == (201, None)
    assert made.json()["client_phone"] == mine.call.client_phone
    for query in (f"client={mine.client.uuid}", f"phone={mine.call.client_phone[1:]}", f"call={mine.call.uuid}"):
        rows = program.get(f"comments?{query}").json()["results"]
        assert [row["text"] for row in rows] == ["wants tulips", "mine comment"], query
    assert program.post("comments", {"call": str(theirs.call.uuid), "text": "no"}).json()["code"] == "invalid"
    assert Call.objects.get(pk=mine.call.pk).version == 2
