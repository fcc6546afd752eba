"""CRMs and their accounts by program."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from crm_adapters.base import CrmUser
from crm_adapters.bitrix24.adapter import Bitrix24
from integrations import crm_setup
from integrations.models import Credential, Renewal
from outbound.errors import CredentialsRefused, Temporary
from outbound.vendors import Check
from tests import factories as make
from tests.api.queries import asked

KEYS = {"domain": "flowers.bitrix24.example", "client_id": "local.app", "client_secret": "the-very-secret"}


def place(world: Any, more: str = "") -> str:
    return f"credentials/{world.credential.uuid}{more}"


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[Credential]:
    """The accounts that were set up in the CRM."""
    done: list[Credential] = []
    monkeypatch.setattr(crm_setup, "prepare", done.append)
    return done


# --- CRMs


def test_each_crm_tells_what_its_forms_take(program):
    rows = program.get("crms").json()
    assert len(rows) > 4
    told = next(row for row in rows if row["crm"] == "bitrix24")
    assert program.get("crms/bitrix24").json() == told
    assert told["credentials"]["properties"]["client_secret"]["writeOnly"] is True
    assert told["settings"]["properties"]["default_responsible_incoming"]["x-choices-of"] == "users"
    assert "users" in told["lists"]
    assert set(told["rule_settings"]) <= set(told["settings"]["properties"])
    assert program.get("crms/nobodys").status_code == 404


# --- Keys


def test_an_account_is_made_and_tells_no_secret(program, mine):
    made = program.post("credentials", {"crm": "bitrix24", "name": "Flowers", "keys": KEYS})
    assert made.status_code == 201, made.json()
    told = made.json()
    assert (told["state"], told["secrets_stored"]) == ("new", ["client_secret"])
    assert "the-very-secret" not in made.content.decode() + program.get("credentials").content.decode()
    row = Credential.objects.get(uuid=told["uuid"])
    assert row.values["client_secret"] == "the-very-secret"
    assert row.company == mine.company
    assert program.get(f"credentials/{told['uuid']}").json()["connect_url"] is None


def test_what_is_not_right_is_told_with_its_place(program):
    def errors(**keys: Any) -> list[tuple[str, str]]:
        told = program.post("credentials", {"crm": "bitrix24", "keys": keys}).json()
        return [(each["field"], each["code"]) for each in told["errors"]]

    assert errors(**KEYS, nonsense="1") == [("keys.nonsense", "unknown")]
    assert errors(**{**KEYS, "domain": 5}) == [("keys.domain", "type")]
    assert errors()[0][0].startswith("keys.")
    assert program.post("credentials", {"crm": "nobodys", "keys": {}}).json()["errors"][0]["field"] == "crm"
    assert Credential.objects.count() == 1


def test_what_is_not_sent_stays(program, mine):
    before = mine.credential.values
    assert program.patch(place(mine), {"name": "Another"}).json()["name"] == "Another"
    changed = program.patch(place(mine), {"keys": {"client_id": "local.other"}})
    assert changed.json()["keys"]["client_id"] == "local.other"
    mine.credential.refresh_from_db()
    kept = {name: value for name, value in mine.credential.values.items() if value}
    assert kept == {**before, "client_id": "local.other"}
    assert program.patch(place(mine), {"crm": "amocrm"}).json()["errors"][0]["field"] == "crm"
    late = program.patch(place(mine), {"name": "Late"}, if_match='"of-before"')
    assert (late.status_code, late.json()["code"]) == (412, "changed_meanwhile")


def test_new_keys_of_a_refused_account_are_tried_at_once(program, mine, monkeypatch):
    Credential.objects.update(state=Credential.State.REFUSED, state_words="expired")
    monkeypatch.setattr(Bitrix24, "check", lambda *_: [Check("Keys", True)])
    told = program.patch(place(mine), {"keys": {"client_secret": "new-secret"}})
    assert told.json()["state"] == "ready"
    assert told["ETag"] == program.get(place(mine))["ETag"]


def test_keys_that_the_crm_refuses_again_say_so(program, mine, monkeypatch):
    Credential.objects.update(state=Credential.State.REFUSED, state_words="expired")

    def refuse(*_: Any) -> None:
        raise CredentialsRefused("wrong_client", code="401")

    monkeypatch.setattr(Bitrix24, "check", refuse)
    told = program.patch(place(mine), {"keys": {"client_secret": "new-secret"}}).json()
    assert told["state"] == "refused"
    assert "wrong_client" in told["state_words"]


def test_the_check_says_what_to_mend(program, mine, monkeypatch):
    monkeypatch.setattr(Bitrix24, "check", lambda *_: [Check("Scope", False, "Tick “telephony”")])
    told = program.post(place(mine, "/check")).json()
    assert told["checks"] == [{"name": "Scope", "ok": False, "cure": "Tick “telephony”"}]
    assert told["credential"]["uuid"] == str(mine.credential.uuid)


def test_a_silent_crm_is_a_problem(program, mine, monkeypatch):
    def silent(*_: Any, **__: Any) -> None:
        raise Temporary("no answer in time", code="timeout")

    for name in ("check", "prepare", "users"):
        monkeypatch.setattr(Bitrix24, name, silent)
    for answer in (
        program.post(place(mine, "/check")),
        program.post(place(mine, "/prepare")),
        program.get(place(mine, "/lists/users")),
    ):
        assert (answer.status_code, answer.json()["code"]) == (502, "vendor_unreachable")
        assert answer["Content-Type"] == "application/problem+json"
        assert "24" in answer.json()["detail"], "it says which CRM"


def test_it_is_set_up_in_the_crm(program, mine, prepared):
    assert program.post(place(mine, "/prepare")).json()["state"] == "ready"
    assert prepared == [mine.credential]


def test_what_the_crm_has_to_choose_from(program, mine, monkeypatch):
    monkeypatch.setattr(Bitrix24, "users", lambda *_: [CrmUser("7", "Anna Flowers")])
    assert program.get(place(mine, "/lists/users")).json() == [{"id": "7", "name": "Anna Flowers"}]
    assert program.get(place(mine, "/lists/nonsense")).status_code == 404


def test_an_empty_secret_is_forgotten(program, mine):
    hook = "https://portal.bitrix24.example/rest/1/secret/"
    assert "webhook_url" in program.patch(place(mine), {"keys": {"webhook_url": hook}}).json()["secrets_stored"]
    assert "webhook_url" not in program.patch(place(mine), {"keys": {"webhook_url": ""}}).json()["secrets_stored"]


def test_an_account_in_use_is_kept(program, mine):
    refused = program.delete(place(mine))
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "mine integration" in refused.json()["detail"]
    spare = make.CredentialFactory(company=mine.company, state=Credential.State.NEW)
    assert program.delete(f"credentials/{spare.uuid}").status_code == 204
    assert not Credential.objects.filter(pk=spare.pk).exists()


def test_what_the_crm_did_not_get_is_told(program, mine):
    make.CrmEventFactory(credential=mine.credential, outcome="no_phone", details={"phone": "x"}, body=b"")
    (told,) = program.get(place(mine, "/events")).json()
    assert told["words"] == "Not dialled: x is not a phone number."


# --- Connecting


def test_an_account_is_connected_by_whoever_opens_the_address(program, monkeypatch, prepared):
    made = program.post("credentials", {"crm": "bitrix24", "keys": KEYS}).json()
    there = urlsplit(made["connect_url"])
    assert there.hostname == KEYS["domain"]
    tokens = {"access_token": "fresh", "refresh_token": "fresh-too", "member_id": "member-7"}
    monkeypatch.setattr(Bitrix24, "authorised", lambda *_: tokens)
    state = parse_qs(there.query)["state"][0]
    browser = Client(headers={"accept-language": "en"})
    assert "is connected" in browser.get("/oauth/bitrix24/", {"code": "abc", "state": state}).content.decode()
    row = Credential.objects.get(uuid=made["uuid"])
    assert (row.state, row.values["access_token"]) == ("ready", "fresh")
    assert prepared == [row]
    again = browser.get("/oauth/bitrix24/", {"code": "abc", "state": state})
    assert again.status_code == 410, "once"


def test_an_address_is_given_anew(program, mine):
    told = program.post(place(mine, "/connect")).json()
    assert urlsplit(told["url"]).hostname == mine.credential.values["domain"]
    Credential.objects.update(crm="altegio")
    assert program.post(place(mine, "/connect")).json()["code"] == "conflict"


def test_the_address_for_events_is_for_who_may_write(program, mine, key):
    assert program.post(place(mine, "/handler-url")).json() == {"url": mine.credential.handler_url}
    reader = key(mine.company, "integrations:read")
    assert mine.credential.webhook_token not in reader.get(place(mine)).content.decode()
    assert reader.post(place(mine, "/handler-url")).json()["code"] == "scope_missing"


# --- Links


def test_a_link_for_somebody_else(program, mine):
    made = program.post(place(mine, "/links"))
    assert made.status_code == 201, made.json()
    browser = Client()
    assert browser.get(urlsplit(made.json()["url"]).path).status_code == 200
    (listed,) = program.get(place(mine, "/links")).json()["results"]
    assert "url" not in listed, "told once"
    assert listed["made_by"].startswith("API · program")
    assert program.delete(place(mine, f"/links/{made.json()['uuid']}")).status_code == 204
    assert browser.get(urlsplit(made.json()["url"]).path).status_code == 410
    assert Renewal.objects.get().revoked_at


# --- Whose, and at what cost


def test_others_accounts_are_not_there(program, theirs):
    for more in ("", "/links", "/events", "/lists/users"):
        assert program.get(place(theirs, more)).status_code == 404, more
    for more in ("/check", "/prepare", "/connect", "/handler-url", "/links"):
        assert program.post(place(theirs, more)).status_code == 404, more
    assert program.patch(place(theirs), {"name": "Mine"}).status_code == 404
    assert program.delete(place(theirs)).status_code == 404
    assert str(theirs.credential.uuid) not in program.get("credentials").content.decode()


def test_a_reader_changes_nothing(mine, key):
    reader = key(mine.company, "integrations:read")
    assert reader.get(place(mine)).status_code == 200
    for more in ("/check", "/prepare", "/connect", "/links"):
        assert reader.post(place(mine, more)).json()["code"] == "scope_missing"
    assert reader.patch(place(mine), {"name": "New"}).json()["code"] == "scope_missing"
    assert key(mine.company, "calls:read").get("credentials").json()["code"] == "scope_missing"


def test_many_accounts_cost_no_more_questions_than_one(program, mine):
    few = asked(program, "credentials")
    for _ in range(5):
        make.CredentialFactory(company=mine.company)
    assert asked(program, "credentials") == few
