"""The phone in the browser: whose account it is, who gets it, and where a PBX has no such thing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from employees.models import Change, Extension, Role
from telephony import browser_phones, commands
from telephony.models import BrowserPhone, Command, Connection
from tests import factories as make
from tests.portal.conftest import World

DOOR = "wss://pbx.example:8089/ws"
FORM = {"extension": "101", "login": "", "password": "sip-secret"}
ACCOUNT = reverse("portal:phone_account")


@pytest.fixture
def pbx(mine: World) -> Connection:
    """A PBX that takes browsers, beside the one of the world that does not."""
    keys = {"ami_host": "pbx.example", "extensions": "_1XX", "sip_address": DOOR}
    row: Connection = make.ConnectionFactory(
        company=mine.company, provider="asterisk", brand="asterisk", name="Office PBX", credentials=keys
    )
    return row


@pytest.fixture
def phone(mine: World, pbx: Connection) -> BrowserPhone:
    return BrowserPhone.objects.create(employee=mine.employee, connection=pbx, extension="101", password="sip-secret")


@pytest.fixture
def operator(mine: World) -> Client:
    """The employee of the world himself."""
    client = Client(headers={"accept-language": "en"})
    client.force_login(mine.member.user)
    return client


def test_an_employee_enters_his_account_and_nobody_sees_the_password_again(
    mine: World, pbx: Connection, operator: Client
) -> None:
    address = reverse("portal:phone")
    answer = operator.post(address, FORM | {"connection": pbx.pk})
    assert answer["Location"] == reverse("portal:card")
    row = BrowserPhone.objects.get(employee=mine.employee)
    assert (row.company, row.connection, row.extension, row.password) == (mine.company, pbx, "101", "sip-secret")
    assert b"sip-secret" not in operator.get(address).content
    assert b"sip-secret" not in operator.get(reverse("portal:card")).content
    operator.post(address, FORM | {"connection": pbx.pk, "password": "", "login": "101-web"})
    row.refresh_from_db()
    assert (row.password, row.login) == ("sip-secret", "101-web")
    told = [line for change in Change.objects.filter(kind="browser_phone") for line in change.lines]
    assert told
    assert "sip-secret" not in str(told)


def test_a_new_account_needs_a_password_and_an_extension_of_the_employee(
    mine: World, pbx: Connection, operator: Client
) -> None:
    make.ExtensionFactory(company=mine.company, number="102", employee=make.EmployeeFactory(company=mine.company))
    answer = operator.post(reverse("portal:phone"), FORM | {"connection": pbx.pk, "password": "", "extension": "102"})
    assert set(answer.context["form"].errors) == {"password", "extension"}
    assert not BrowserPhone.objects.exists()


def test_an_administrator_does_it_for_an_employee(mine: World, pbx: Connection, owner: Client) -> None:
    address = reverse("portal:employee_phone", args=[mine.employee.uuid])
    assert address in owner.get(reverse("portal:employee", args=[mine.employee.uuid])).content.decode()
    owner.post(address, FORM | {"connection": pbx.pk})
    assert BrowserPhone.objects.get().employee == mine.employee
    owner.post(address, {"remove": "1"})
    assert not BrowserPhone.objects.exists()


def test_the_account_goes_to_its_owner_alone(
    mine: World, phone: BrowserPhone, operator: Client, owner: Client, signed_in: Callable[..., Client]
) -> None:
    answer = operator.post(ACCOUNT)
    assert answer.json() == {
        "address": DOOR,
        "domain": "pbx.example",
        "extension": "101",
        "login": "101",
        "password": "sip-secret",
    }
    assert "no-store" in answer["Cache-Control"]
    assert owner.post(ACCOUNT).json() == {}
    assert signed_in(mine.company, Role.READ_ONLY).post(ACCOUNT).status_code == 403
    assert operator.get(ACCOUNT).status_code == 405


def test_the_account_is_kept_encrypted(phone: BrowserPhone) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM telephony_browserphone")
        assert "sip-secret" not in cursor.fetchone()[0]


def test_another_company_of_the_same_person_has_nothing_of_it(
    mine: World, theirs: World, phone: BrowserPhone, operator: Client
) -> None:
    assert browser_phones.of_person(mine.company, mine.member.user) == phone
    assert browser_phones.of_person(theirs.company, mine.member.user) is None


@pytest.mark.parametrize("changes", [{"active": False}, {"credentials": {"extensions": "_1XX"}}])
def test_without_its_pbx_there_is_no_phone(
    mine: World, phone: BrowserPhone, operator: Client, changes: dict[str, Any]
) -> None:
    for name, value in changes.items():
        setattr(phone.connection, name, value)
    phone.connection.save()
    assert operator.post(ACCOUNT).json() == {}
    assert 'id="phone"' not in operator.get(reverse("portal:card")).content.decode()


def test_the_card_may_speak_to_that_pbx_alone(mine: World, pbx: Connection, operator: Client) -> None:
    address = reverse("portal:card")
    before = operator.get(address)
    assert "Set up the phone in the browser" in before.content.decode() or b"phone/" in before.content
    assert "Content-Security-Policy" not in before
    BrowserPhone.objects.create(employee=mine.employee, connection=pbx, extension="101", password="x")
    answer = operator.get(address)
    assert answer["Content-Security-Policy"] == "connect-src 'self' wss://pbx.example:8089"
    assert 'id="phone"' in answer.content.decode()
    assert "Content-Security-Policy" not in operator.get(reverse("portal:calls"))


def test_a_pbx_that_has_no_such_thing_is_called_that(mine: World, operator: Client) -> None:
    page = operator.get(reverse("portal:phone")).content.decode()
    assert mine.connection.name in page
    assert '<form method="post" class="cb-card' not in page
    assert 'id="phone"' not in operator.get(reverse("portal:card")).content.decode()


def test_who_is_no_employee_has_no_phone(mine: World, pbx: Connection, owner: Client) -> None:
    assert owner.get(reverse("portal:phone")).context["employee"] is None
    assert owner.post(reverse("portal:phone"), FORM | {"connection": pbx.pk}).status_code == 200
    assert not BrowserPhone.objects.exists()


# --- What it has asked for


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, True),
        ({"number": "+79161234567"}, True),
        ({"number": "79161234568"}, False),
        ({"extension": "102"}, False),
        ({"state": Command.State.REFUSED}, False),
        ({"minutes": 2}, False),
    ],
)
def test_a_call_that_a_click_asked_for_is_known(
    phone: BrowserPhone, operator: Client, changes: dict[str, Any], asked: bool
) -> None:
    told: dict[str, Any] = {"number": "79161234567", "extension": "101", "state": Command.State.ACCEPTED, "minutes": 0}
    told |= changes
    command = commands.intend_dial(phone.connection, extension=told["extension"], phone="+79161234567")
    moment = timezone.now() - timedelta(minutes=told["minutes"])
    Command.objects.filter(pk=command.pk).update(state=told["state"], created_at=moment)
    answer = operator.post(reverse("portal:phone_asked"), {"number": told["number"]})
    assert answer.json() == {"asked": asked}


def test_a_click_rings_the_phone_that_is_switched_on_in_this_browser(
    mine: World, phone: BrowserPhone, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    Extension.objects.create(company=mine.company, number="100", employee=mine.employee, handling="employee")
    dialled: list[tuple[Connection, str]] = []
    monkeypatch.setattr(commands, "dial", lambda row, *, extension, **_: dialled.append((row, extension)))
    operator.post(reverse("portal:dial"), {"phone": "+79161234567"})
    operator.cookies[browser_phones.COOKIE] = "on"
    operator.post(reverse("portal:dial"), {"phone": "+79161234567"})
    assert [extension for _row, extension in dialled] == ["100", "101"]
    assert dialled[1][0] == phone.connection
