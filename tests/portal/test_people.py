"""Employees, members and decisions about extensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from employees.models import Employee, EmployeePhone, Extension, Membership, Role
from integrations import decisions
from integrations.decisions import Choice
from integrations.models import CallSync
from outbound.errors import Rejected
from telephony import commands
from telephony.models import Call, Recording
from tests import factories as make
from tests.portal.conftest import World

# --- Employees --------------------------------------------------------------------------------------------------------


def test_an_employee_with_extensions_and_phones(mine: World, owner: Client) -> None:
    sent = {"name": "Olga", "email": "", "extensions": "201, 105", "phone_list": "8 916 000-11-22", "user": ""}
    owner.post("/employees/new/", sent)
    olga = Employee.objects.get(name="Olga")
    assert set(olga.extensions.values_list("number", flat=True)) == {"201", "105"}
    assert olga.phones.get().phone == "+79160001122"
    where = reverse("portal:employee", args=[olga.uuid])
    owner.post(where, {**sent, "extensions": "201", "phone_list": ""})
    assert Extension.objects.get(number="105").handling == Extension.Handling.UNKNOWN
    assert not EmployeePhone.objects.exists()


def test_an_extension_of_somebody_else_is_refused(mine: World, owner: Client) -> None:
    response = owner.post("/employees/new/", {"name": "Olga", "extensions": "101", "phone_list": "not a phone"})
    assert response.status_code == 200
    text = response.content.decode()
    assert "mine employee" in text
    assert "not a phone" in text
    assert not Employee.objects.filter(name="Olga").exists()


def test_a_removed_employee_leaves_his_calls(mine: World, owner: Client) -> None:
    owner.post(reverse("portal:employee_delete", args=[mine.employee.uuid]))
    assert not Employee.objects.exists()
    assert Call.objects.get(pk=mine.call.pk).employee is None
    assert Extension.objects.get(number="101").handling == Extension.Handling.UNKNOWN


# --- Members ----------------------------------------------------------------------------------------------------------


def test_administrators_do_not_touch_owners(mine: World, signed_in: Callable[..., Client]) -> None:
    boss = make.MembershipFactory(company=mine.company, role=Role.OWNER)
    client = signed_in(mine.company, Role.ADMINISTRATOR)
    client.post(reverse("portal:member", args=[boss.pk]), {"role": "operator"})
    client.post(reverse("portal:member", args=[boss.pk]), {"remove": "1"})
    client.post(reverse("portal:member", args=[mine.member.pk]), {"role": "owner"})
    client.post("/members/", {"email": "friend@example.com", "role": "owner"})
    assert list(Membership.objects.filter(company=mine.company, role=Role.OWNER)) == [boss]


def test_the_last_owner_stays(mine: World, owner: Client) -> None:
    me = Membership.objects.get(company=mine.company, role=Role.OWNER)
    where = reverse("portal:member", args=[me.pk])
    owner.post(where, {"role": "operator"})
    owner.post(where, {"remove": "1"})
    me.refresh_from_db()
    assert me.role == Role.OWNER


# --- Decisions about extensions ---------------------------------------------------------------------------------------


@pytest.fixture
def waiting(mine: World) -> CallSync:
    row = make.CallSyncFactory(
        call__connection=mine.connection,
        integration=mine.integration,
        state="waiting",
        reason="unknown_extension",
        details={"extensions": ["105"]},
        wanted=0,
        noted=0,
    )
    make.ParticipantFactory(call=row.call, extension="105")
    return row


@pytest.fixture
def refolded(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    calls: list[Call] = []
    monkeypatch.setattr(decisions.inbox, "refold", calls.extend, raising=False)
    return calls


def test_what_waits_is_listed(mine: World, waiting: CallSync) -> None:
    rows = decisions.undecided(mine.company)
    assert [(row.number, row.waits) for row in rows] == [("105", 1)]  # type: ignore[attr-defined]


def test_a_decision_writes_what_waited(mine: World, waiting: CallSync, refolded: list[Call], owner: Client) -> None:
    owner.post(
        reverse("portal:extension", args=[mine.unknown.pk]),
        {"choice": "employee", "employee": str(mine.employee.uuid), "write": "1"},
    )
    mine.unknown.refresh_from_db()
    assert mine.unknown.employee == mine.employee
    assert refolded == [waiting.call]


def test_what_waited_becomes_work_for_the_crm(mine: World, waiting: CallSync) -> None:
    decisions.decide(mine.unknown, Choice(Extension.Handling.EMPLOYEE, mine.employee), write=True)
    waiting.refresh_from_db()
    assert waiting.state == CallSync.State.WANTED
    assert waiting.wanted > waiting.noted
    assert decisions.undecided(mine.company) == []


def test_a_decision_may_leave_what_waited(mine: World, waiting: CallSync, refolded: list[Call]) -> None:
    decisions.decide(mine.unknown, Choice(Extension.Handling.DEFAULT), write=False)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.reason) == (CallSync.State.SKIPPED, "left_unwritten")
    assert refolded == []
    assert decisions.undecided(mine.company) == []


def test_the_decision_is_one_click_in_the_passport(
    mine: World, waiting: CallSync, refolded: list[Call], owner: Client
) -> None:
    where = reverse("portal:call_extension", args=[waiting.call.uuid])
    assert where in owner.get(reverse("portal:call", args=[waiting.call.uuid])).content.decode()
    owner.post(where, {"number": "105", "choice": "ignored", "write": "1"})
    mine.unknown.refresh_from_db()
    assert mine.unknown.handling == Extension.Handling.IGNORED


def test_an_employee_must_be_chosen(mine: World, waiting: CallSync, refolded: list[Call], owner: Client) -> None:
    owner.post(reverse("portal:extension", args=[mine.unknown.pk]), {"choice": "employee", "write": "1"})
    mine.unknown.refresh_from_db()
    assert mine.unknown.handling == Extension.Handling.UNKNOWN
    assert refolded == []


# --- Calling, hanging up, recordings ----------------------------------------------------------------------------------


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(commands, "dial", lambda connection, **said: asked.append({"pbx": connection, **said}))
    return asked


def test_a_click_calls_from_ones_own_extension(mine: World, dialled: list[dict[str, Any]]) -> None:
    client = Client()
    client.force_login(mine.member.user)  # an operator, and `mine employee`
    client.post("/dial/", {"phone": "8 926 111-22-33", "next": "/calls/"})
    (asked,) = dialled
    assert (asked["pbx"], asked["extension"], asked["phone"]) == (mine.connection, "101", "+79261112233")


def test_a_call_is_named_and_not_its_number(mine: World, owner: Client, dialled: list[dict[str, Any]]) -> None:
    other = make.ConnectionFactory(company=mine.company, name="another")
    call = make.CallFactory(connection=other, client_phone="+79261112233")
    text = owner.post("/dial/", {"call": call.uuid}).content.decode()
    assert f'name="call" value="{call.uuid}"' in text
    owner.post("/dial/", {"call": call.uuid, "extension": "101"})
    owner.post("/dial/", {"contact": mine.client_phone.pk, "extension": "101"})
    assert [asked["phone"] for asked in dialled] == ["+79261112233", mine.client_phone.phone]
    assert dialled[0]["pbx"] == other


@pytest.mark.parametrize("what", ["call", "contact"])
def test_what_is_not_ours_is_not_dialled(
    mine: World, theirs: World, owner: Client, dialled: list[dict[str, Any]], what: str
) -> None:
    key = theirs.call.uuid if what == "call" else theirs.client_phone.pk
    for each in (key, "nonsense"):
        assert owner.post("/dial/", {what: each, "extension": "101"}).status_code == 404
    assert dialled == []


def test_without_an_extension_one_is_chosen(mine: World, owner: Client, dialled: list[dict[str, Any]]) -> None:
    text = owner.post("/dial/", {"phone": "+79261112233"}).content.decode()
    assert "mine employee" in text
    owner.post("/dial/", {"phone": "+79261112233", "extension": "101"})
    assert [asked["extension"] for asked in dialled] == ["101"]


def test_what_is_no_phone_is_not_dialled(mine: World, owner: Client, dialled: list[dict[str, Any]]) -> None:
    owner.post("/dial/", {"phone": "112", "extension": "101"})
    assert dialled == []


def test_a_refusal_is_told(mine: World, owner: Client) -> None:
    response = owner.post("/dial/", {"phone": "+79261112233", "extension": "101"}, follow=True)
    assert "Звонок не сделан" in response.content.decode()
    response = owner.post(reverse("portal:hangup", args=[mine.call.uuid]), follow=True)
    assert "Звонок уже завершён" in response.content.decode()


def test_hanging_up(mine: World, owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Call] = []
    monkeypatch.setattr(commands, "hangup", lambda call, user: asked.append(call))
    owner.post(reverse("portal:hangup", args=[mine.call.uuid]))
    assert asked == [mine.call]
    monkeypatch.setattr(commands, "hangup", lambda call, user: (_ for _ in ()).throw(Rejected("no", code="x")))
    assert owner.post(reverse("portal:hangup", args=[mine.call.uuid])).status_code == 302


def test_a_recording_is_asked_for_again(mine: World, owner: Client) -> None:
    row = make.RecordingFactory(call=mine.call, state="failed", error="gone", attempts=9)
    owner.post(reverse("portal:recording_request", args=[mine.call.uuid, row.uuid]))
    row.refresh_from_db()
    assert (row.state, row.attempts, row.error) == (Recording.State.READY, 0, "")
