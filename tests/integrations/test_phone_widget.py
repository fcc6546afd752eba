"""The page of phones inside a CRM's own: who may load it, whose phone it gets, and when it is placed there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.cache import cache
from django.test import Client

from integrations import crm_setup, phone_widget
from integrations.models import Credential, EmployeeMapping, Integration
from outbound.errors import Rejected
from telephony import commands, refusals
from telephony.models import BrowserPhone
from tests import factories as make
from tests.emulators.bitrix24 import Bitrix24Emulator

pytestmark = pytest.mark.django_db
DOOR = "wss://pbx.example:8089/ws"
SETTINGS = make.SETTINGS | {"telephony_mode": "webrtc"}


@pytest.fixture(autouse=True)
def nobody_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone_widget, "_refusals", refusals.Refusals())


@pytest.fixture
def bitrix() -> Iterator[Bitrix24Emulator]:
    with Bitrix24Emulator() as found:
        yield found


@pytest.fixture
def account(bitrix: Bitrix24Emulator) -> Credential:
    config = bitrix.portal.config
    keys = {
        "domain": bitrix.url,
        "oauth_url": bitrix.url,
        "client_id": config.client_id,
        "client_secret": config.client_secret,
        "access_token": config.access_token,
        "refresh_token": config.refresh_token,
        "application_token": config.application_token,
        "member_id": config.member_id,
    }
    row: Credential = make.CredentialFactory(values=keys)
    return row


@pytest.fixture
def integration(account: Credential) -> Integration:
    """Anna of the portal (12) has a phone in the browser, Boris (13) has none."""
    keys = {"ami_host": "pbx.example", "extensions": "_1XX", "sip_address": DOOR}
    pbx = make.ConnectionFactory(company=account.company, provider="asterisk", brand="asterisk", credentials=keys)
    row: Integration = make.IntegrationFactory(credential=account, settings=dict(SETTINGS), connections=[pbx])
    for number, user in (("101", "12"), ("102", "13")):
        employee = make.EmployeeFactory(company=account.company)
        make.ExtensionFactory(company=account.company, number=number, employee=employee)
        EmployeeMapping.objects.create(integration=row, employee=employee, crm_user=user)
        if user == "12":
            BrowserPhone.objects.create(employee=employee, connection=pbx, extension=number, password="sip-secret")
    return row


def address(account: Credential, rest: str = "") -> str:
    return f"/hooks/bitrix24/{account.webhook_token}/phone/{rest}"


def load(account: Credential, **changes: str) -> Any:
    """As Bitrix24 has the browser ask for the page."""
    values = account.values
    form = {
        "AUTH_ID": "token-of-anna",
        "APPLICATION_TOKEN": values["application_token"],
        "member_id": values["member_id"],
        "PLACEMENT": "PAGE_BACKGROUND_WORKER",
        **changes,
    }
    where = f"{address(account)}?{urlencode({'DOMAIN': 'portal.example', 'LANG': 'en'})}"
    return Client().post(where, urlencode(form), content_type="application/x-www-form-urlencoded")


def ask(account: Credential, rest: str, **form: str) -> Any:
    return Client().post(address(account, rest), form)


def token(bitrix: Bitrix24Emulator, user: int) -> str:
    return bitrix.portal.issue(user, "user").value


# --- The page


def test_the_page_opens_in_the_portal_alone(
    bitrix: Bitrix24Emulator, account: Credential, integration: Integration
) -> None:
    answer = load(account)
    assert answer.status_code == 200
    rules = dict(rule.split(" ", 1) for rule in answer["Content-Security-Policy"].split("; "))
    assert rules["frame-ancestors"] == bitrix.url
    assert rules["connect-src"] == "'self' wss://pbx.example:8089"
    assert rules["script-src"] == "'self' https://api.bitrix24.com"
    assert "X-Frame-Options" not in answer
    assert "no-store" in answer["Cache-Control"]
    text = answer.content.decode()
    assert "sip-secret" not in text
    assert "token-of-anna" in text
    assert "The call is over." in text


def test_nobody_waits_for_the_portal_before_the_page_is_there(
    bitrix: Bitrix24Emulator, account: Credential, integration: Integration
) -> None:
    before = dict(bitrix.portal.hits)
    load(account)
    assert dict(bitrix.portal.hits) == before


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"member_id": "somebody-else"}, 403),
        ({"APPLICATION_TOKEN": "guessed"}, 403),
        ({"APPLICATION_TOKEN": ""}, 200),
        ({"PLACEMENT": "CRM_LEAD_DETAIL_TAB"}, 400),
        ({"AUTH_ID": ""}, 400),
    ],
)
def test_who_is_not_the_portal_gets_no_page(
    account: Credential, integration: Integration, changes: dict[str, str], status: int
) -> None:
    assert load(account, **changes).status_code == status


def test_guessed_addresses_open_nothing_and_soon_are_not_heard(account: Credential) -> None:
    statuses = [Client().post(f"/hooks/bitrix24/guess-{number}/phone/").status_code for number in range(60)]
    assert statuses[0] == 404
    assert statuses[-1] == 429
    assert Client().get(address(account)).status_code == 405


# --- The account


def test_each_user_gets_his_own_phone(bitrix: Bitrix24Emulator, account: Credential, integration: Integration) -> None:
    answer = ask(account, "account/", auth=token(bitrix, 12))
    told = answer.json()
    assert (told["address"], told["extension"], told["password"]) == (DOOR, "101", "sip-secret")
    assert told["colleagues"] == {"12": "101", "13": "102"}
    assert "no-store" in answer["Cache-Control"]
    assert ask(account, "account/", auth=token(bitrix, 13)).json() == {}
    assert ask(account, "account/", auth=token(bitrix, 14)).json() == {}


def test_a_token_that_the_portal_does_not_know_gets_nothing(account: Credential, integration: Integration) -> None:
    for form in ({"auth": "guessed"}, {}):
        assert ask(account, "account/", **form).status_code == 403


def test_a_token_of_another_application_gets_nothing(
    bitrix: Bitrix24Emulator, account: Credential, integration: Integration
) -> None:
    bitrix.portal.config.client_id = "local.of.somebody.else"
    assert ask(account, "account/", auth=token(bitrix, 12)).status_code == 403


def test_in_the_other_mode_nobody_gets_a_phone(
    bitrix: Bitrix24Emulator, account: Credential, integration: Integration
) -> None:
    integration.settings |= {"telephony_mode": "ip"}
    integration.save()
    assert ask(account, "account/", auth=token(bitrix, 12)).json() == {}


def test_what_was_asked_for_by_a_click_is_told_to_who_has_a_ticket(
    bitrix: Bitrix24Emulator, account: Credential, integration: Integration
) -> None:
    ticket = ask(account, "account/", auth=token(bitrix, 12)).json()["ticket"]
    assert ask(account, "asked/", ticket=ticket, number="79161234567").json() == {"asked": False}
    pbx = integration.connections.get()
    command = commands.intend_dial(pbx, extension="101", phone="+79161234567")
    command.state = command.State.ACCEPTED
    command.save()
    assert ask(account, "asked/", ticket=ticket, number="79161234567").json() == {"asked": True}
    assert ask(account, "asked/", ticket="forged", number="79161234567").status_code == 403
    other = make.CredentialFactory()
    assert ask(other, "asked/", ticket=ticket, number="79161234567").json() == {"asked": False}


# --- Placing it


def test_the_page_is_placed_once_and_taken_away_with_the_mode(
    bitrix: Bitrix24Emulator, account: Credential, integration: Integration
) -> None:
    for _ in range(2):
        crm_setup.prepare(account)
        (placed,) = bitrix.portal.placements
    assert placed["handler"].endswith(address(account))
    assert placed["errorHandlerUrl"].endswith(address(account, "lost/"))
    integration.active = False
    integration.save()
    crm_setup.prepare(account)
    assert bitrix.portal.placements == []
    assert bitrix.violations == []


def test_one_integration_of_several_keeps_the_page(
    bitrix: Bitrix24Emulator, account: Credential, integration: Integration
) -> None:
    make.IntegrationFactory(credential=account, settings=make.SETTINGS)
    Integration.objects.filter(pk=integration.pk).update(active=True)
    crm_setup.prepare(account)
    assert len(bitrix.portal.placements) == 1


def test_a_webhook_places_no_page(bitrix: Bitrix24Emulator, account: Credential, integration: Integration) -> None:
    bitrix.portal.config.webhooks["abcdef"] = 1
    account.values = {"domain": bitrix.url, "webhook_url": f"{bitrix.url}/rest/1/abcdef/"}
    account.save()
    with pytest.raises(Rejected, match="needs an application"):
        crm_setup.prepare(account)


def test_a_portal_that_forbids_placing_pages_is_no_harm_where_none_is_wanted(
    bitrix: Bitrix24Emulator, account: Credential, integration: Integration
) -> None:
    bitrix.portal.config.scopes = tuple(name for name in bitrix.portal.config.scopes if name != "placement")
    integration.settings |= {"telephony_mode": "ip"}
    integration.save()
    crm_setup.prepare(account)


def test_a_page_that_was_taken_away_is_set_up_again_once_an_hour(
    account: Credential, integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    from integrations import actors

    sent: list[int] = []
    monkeypatch.setattr(actors, "set_up_again", SimpleNamespace(send=sent.append))
    cache.clear()
    for _ in range(3):
        assert ask(account, "lost/", error="ERROR_PLACEMENT_LOADING_OVERTIME").status_code == 204
    assert sent == [account.pk]


def test_setting_it_up_again_places_it(bitrix: Bitrix24Emulator, account: Credential, integration: Integration) -> None:
    from integrations.actors import set_up_again

    set_up_again.fn(account.pk)
    assert len(bitrix.portal.placements) == 1


def test_the_emulated_portal_loads_the_page_and_says_who_looks(
    bitrix: Bitrix24Emulator, account: Credential, integration: Integration
) -> None:
    from tests.emulators.bitrix24 import placements

    crm_setup.prepare(account)
    page = placements.desktop(bitrix.portal, 12, "")
    said = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))
    assert load(account, AUTH_ID=said["AUTH_ID"]).status_code == 200
    assert ask(account, "account/", auth=said["AUTH_ID"]).json()["extension"] == "101"
