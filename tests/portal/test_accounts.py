"""Connections and CRM accounts: what is entered is kept, what is secret is never shown."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from crm_adapters.bitrix24.adapter import Bitrix24
from employees.models import Employee, Extension
from integrations import accounts
from integrations.models import Credential
from outbound.errors import Temporary
from telephony.models import Connection, VirtualNumber, WebhookAddress
from telephony.providers.base import Check, PbxNumber, PbxUser
from telephony.providers.mango.provider import Mango
from tests import factories as make
from tests.portal.conftest import World

KEYS = {
    "name": "Our PBX",
    "active": "on",
    "api_url": "https://app.mango-office.ru",
    "api_key": "the-key",
    "api_salt": "the-salt",
    "greeting_seconds": "3",
}


# --- Connections ------------------------------------------------------------------------------------------------------


def test_a_connection_is_made(mine: World, owner: Client) -> None:
    assert "Mango Office" in owner.get("/connections/new/?q=манго").content.decode()
    response = owner.post(reverse("portal:connection_new", args=["mango"]), KEYS)
    row = Connection.objects.get(name="Our PBX")
    assert response.headers["Location"] == reverse("portal:connection", args=[row.uuid])
    assert row.company == mine.company
    assert row.credentials == {
        "api_url": "https://app.mango-office.ru",
        "api_key": "the-key",
        "api_salt": "the-salt",
        "greeting_seconds": "3.0",
    }
    page = owner.get(reverse("portal:connection", args=[row.uuid])).content.decode()
    assert row.address.url in page
    assert "the-key" not in page
    assert "the-salt" not in page


def test_empty_secrets_are_kept(mine: World, owner: Client) -> None:
    before = mine.connection.credentials
    sent = {**KEYS, "api_key": "", "api_salt": "new-salt"}
    owner.post(reverse("portal:connection", args=[mine.connection.uuid]), sent)
    row = Connection.objects.get(pk=mine.connection.pk)
    assert row.credentials["api_key"] == before["api_key"]
    assert row.credentials["api_salt"] == "new-salt"


def test_errors_stand_beside_their_field(mine: World, owner: Client) -> None:
    response = owner.post(
        reverse("portal:connection_new", args=["mango"]), {**KEYS, "api_key": "", "name": mine.connection.name}
    )
    text = response.content.decode()
    assert response.status_code == 200
    assert 'id="id_api_key_error"' in text
    assert 'id="id_name_error"' in text
    assert "the-salt" not in text


def test_a_rotated_address_works_for_a_day_more(mine: World, owner: Client) -> None:
    old = mine.connection.address
    owner.post(reverse("portal:connection_rotate", args=[mine.connection.uuid]))
    assert mine.connection.address.token != old.token
    assert WebhookAddress.objects.get(pk=old.pk).retires_at is not None


def test_the_check_says_what_to_do(mine: World, owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mango, "check", lambda *_: [Check("Keys", False, "Copy them again")])
    where = reverse("portal:connection_check", args=[mine.connection.uuid])
    assert "Copy them again" in owner.post(where).content.decode()


def test_a_silent_pbx_is_told(mine: World, owner: Client) -> None:
    for page in ("connection_check", "connection_users_load", "connection_numbers_load"):
        response = owner.post(reverse(f"portal:{page}", args=[mine.connection.uuid]), follow=True)
        assert response.status_code == 200
        assert "Mango" in response.content.decode()


# --- Users and numbers ------------------------------------------------------------------------------------------------


def load(owner: Client, mine: World, monkeypatch: pytest.MonkeyPatch, *users: PbxUser) -> str:
    monkeypatch.setattr(Mango, "users", lambda *_: list(users))
    where = reverse("portal:connection_users_load", args=[mine.connection.uuid])
    return owner.post(where, follow=True).content.decode()


def test_users_are_matched(mine: World, owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = make.EmployeeFactory(company=mine.company, name="Anna", email="anna@example.com")
    listed = [PbxUser("A.", "201", "Anna@example.com"), PbxUser("New One", "202"), PbxUser("None", "")]
    text = load(owner, mine, monkeypatch, *listed)
    assert "201" in text
    assert "202" in text
    assert "None" in text
    assert Extension.objects.filter(company=mine.company).count() == 2  # nothing is kept by loading
    owner.post(
        reverse("portal:connection_users", args=[mine.connection.uuid]),
        {"for_201": f"employee:{anna.uuid}", "for_202": "new", "for_105": "ignored"},
    )
    rows = {row.number: row for row in Extension.objects.filter(company=mine.company)}
    assert rows["201"].employee == anna
    assert rows["202"].employee == Employee.objects.get(name="New One")
    assert rows["105"].handling == Extension.Handling.IGNORED
    assert rows["101"].employee == mine.employee  # was not sent: stays


def test_an_empty_answer_wipes_nothing(mine: World, owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    load(owner, mine, monkeypatch)
    owner.post(reverse("portal:connection_users", args=[mine.connection.uuid]), {})
    assert Extension.objects.get(number="101").employee == mine.employee


def test_numbers_are_taken_over(mine: World, owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mango, "numbers", lambda *_: [PbxNumber("74950001122", "Ads"), PbxNumber("sip:line", "SIP")])
    where = reverse("portal:connection_numbers_load", args=[mine.connection.uuid])
    text = owner.post(where, follow=True).content.decode()
    assert set(mine.connection.virtual_numbers.values_list("number", flat=True)) == {
        "+74950001122",
        "sip:line",
        mine.number.number,
    }
    assert "сохранены" in text  # ours that the PBX did not list


def test_line_names_are_edited(mine: World, owner: Client) -> None:
    owner.post(
        reverse("portal:connection_numbers", args=[mine.connection.uuid]),
        {
            "form-TOTAL_FORMS": "1",
            "form-INITIAL_FORMS": "1",
            "form-0-id": str(mine.number.pk),
            "form-0-line_name": "Billboards",
        },
    )
    assert VirtualNumber.objects.get(pk=mine.number.pk).line_name == "Billboards"


# --- CRM accounts -----------------------------------------------------------------------------------------------------

ACCOUNT = {"name": "Sales", "domain": "https://sales.bitrix24.ru/", "client_id": "local.1", "client_secret": "s3cret"}


def test_an_account_is_made_and_its_secrets_stay_hidden(mine: World, owner: Client) -> None:
    owner.post(reverse("portal:credential_new", args=["bitrix24"]), ACCOUNT)
    row = Credential.objects.get(name="Sales")
    assert row.domain == "sales.bitrix24.ru"
    assert row.state == Credential.State.NEW
    text = owner.get(reverse("portal:credential", args=[row.uuid])).content.decode()
    assert "s3cret" not in text
    assert row.handler_url in text


def test_a_rename_keeps_keys_and_tokens(mine: World, owner: Client) -> None:
    before = mine.credential.values
    sent = {"name": "Renamed", "domain": before["domain"], "client_id": before["client_id"], "client_secret": ""}
    owner.post(reverse("portal:credential", args=[mine.credential.uuid]), sent)
    row = Credential.objects.get(pk=mine.credential.pk)
    assert row.name == "Renamed"
    assert {name: value for name, value in row.values.items() if value} == before
    text = owner.get(reverse("portal:credential", args=[row.uuid])).content.decode()
    assert not [value for value in row.secret_values if value in text]


def test_an_account_in_use_is_not_deleted(mine: World, owner: Client) -> None:
    where = reverse("portal:credential_delete", args=[mine.credential.uuid])
    assert "mine integration" in owner.post(where, follow=True).content.decode()
    mine.sync.delete()
    mine.integration.delete()
    owner.post(where)
    assert not Credential.objects.filter(pk=mine.credential.pk).exists()


def connect(owner: Client, row: Credential) -> str:
    """The state that goes to the CRM."""
    response = owner.post(reverse("portal:credential_connect", args=[row.uuid]))
    assert response.headers["Location"].startswith(f"https://{row.domain}/oauth/authorize/")
    return response.headers["Location"].rsplit("state=", 1)[1]


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []

    def authorised(self: Bitrix24, http: Any, secrets: Any, query: dict[str, str]) -> dict[str, str]:
        asked.append(query)
        return {"access_token": "fresh-token", "refresh_token": "fresh-refresh"}

    monkeypatch.setattr(Bitrix24, "authorised", authorised)
    monkeypatch.setattr(accounts.crm_setup, "prepare", lambda row: asked.append("prepared"))
    return asked


def test_an_account_is_connected(mine: World, owner: Client, tokens: list[Any]) -> None:
    row = make.CredentialFactory(company=mine.company, state=Credential.State.NEW)
    state = connect(owner, row)
    owner.get(f"/oauth/bitrix24/?code=abc&state={state}")
    row.refresh_from_db()
    assert row.state == Credential.State.READY
    assert row.values["access_token"] == "fresh-token"
    assert tokens == [{"code": "abc"}, "prepared"]


def test_a_foreign_or_forged_return_connects_nothing(
    mine: World, theirs: World, owner: Client, tokens: list[Any], signed_in: Any
) -> None:
    state = connect(signed_in(theirs.company), theirs.credential)
    owner.get(f"/oauth/bitrix24/?code=abc&state={state}")
    owner.get("/oauth/bitrix24/?code=abc&state=forged")
    owner.get("/oauth/bitrix24/?code=abc")
    assert tokens == []


def test_a_set_up_that_fails_is_told(mine: World, owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(row: Credential) -> None:
        raise Temporary("the portal is down")

    monkeypatch.setattr(accounts.crm_setup, "prepare", fail)
    where = reverse("portal:credential_prepare", args=[mine.credential.uuid])
    assert "the portal is down" in owner.post(where, follow=True).content.decode()
