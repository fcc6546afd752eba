"""A link for new keys: for anybody who has it, once, for one account; the calls that waited flow then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from crm_adapters.bitrix24.adapter import Bitrix24
from employees.models import Role
from integrations import crm_setup, renewal_pages, renewals
from integrations.models import Credential, Lane, Renewal
from outbound.errors import CredentialsRefused, OutboundError, Temporary, TokenExpired
from outbound.vendors import Check
from telephony.refusals import Refusals
from tests import factories as make
from tests.portal.conftest import World

OLD, NEW = "https://portal.example.com/rest/1/old/", "https://portal.example.com/rest/1/new/"


@pytest.fixture(autouse=True)
def no_grudge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal_pages, "_refusals", Refusals())


@pytest.fixture
def account(mine: World) -> Credential:
    """A webhook that the CRM refuses, with work that waits."""
    row: Credential = make.CredentialFactory(
        company=mine.company,
        name="Our portal",
        state=Credential.State.REFUSED,
        state_words="401 gone",
        values={"domain": "portal.example.com", "webhook_url": OLD, "member_id": "m1"},
    )
    make.LaneFactory(account=row.account, open_at=timezone.now() + timedelta(hours=1), failures=9)
    return row


@pytest.fixture
def link(account: Credential) -> Renewal:
    return renewals.make(account, "boss@example.com")


@pytest.fixture
def stranger(db: None) -> Client:
    return Client(headers={"accept-language": "en"})


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the CRM answers when it is asked with new keys; then what it was asked."""
    answers: list[Any] = []

    def check(self: Bitrix24, http: Any, secrets: Any) -> list[Check]:
        answer = answers.pop(0) if answers else [Check("keys", ok=True)]
        if isinstance(answer, OutboundError):
            raise answer
        return answer

    monkeypatch.setattr(Bitrix24, "check", check)
    monkeypatch.setattr(crm_setup, "prepare", lambda row: None)
    return answers


def path(row: Renewal) -> str:
    return urlsplit(renewals.address(row)).path


def enter(client: Client, row: Renewal, key: str = NEW) -> Any:
    return client.post(path(row), {"webhook_url": key})


# --- Using it ---------------------------------------------------------------------------------------------------------


def test_a_stranger_gives_new_keys_and_everything_flows(
    stranger: Client, link: Renewal, account: Credential, crm: list[Any], mine: World
) -> None:
    text = stranger.get(path(link)).content.decode()
    assert "Our portal" in text
    for hidden in (mine.company.name, "portal.example.com", OLD, "m1"):
        assert hidden not in text
    assert "is connected again" in enter(stranger, link).content.decode()
    account.refresh_from_db()
    assert (account.state, account.state_words) == (Credential.State.READY, "")
    assert account.values == {"domain": "portal.example.com", "webhook_url": NEW, "member_id": "m1", **rest(account)}
    assert Lane.objects.get(account=account.account).open_at is None
    link.refresh_from_db()
    assert link.used_from == "127.0.0.1"
    assert stranger.get(path(link)).status_code == 410
    assert enter(stranger, link).status_code == 410


def rest(account: Credential) -> dict[str, str]:
    """The form's other fields, which nobody filled in."""
    return {name: value for name, value in account.values.items() if not value}


@pytest.mark.parametrize(
    "answer",
    [CredentialsRefused("no such hook"), Temporary("asleep"), [Check("keys", ok=False, cure="no such hook")]],
    ids=["refused", "asleep", "unfit"],
)
def test_keys_that_the_crm_does_not_take_change_nothing(
    stranger: Client, link: Renewal, account: Credential, crm: list[Any], answer: Any
) -> None:
    crm.append(answer)
    text = enter(stranger, link).content.decode()
    assert "no such hook" in text or "asleep" in text
    assert NEW not in text
    before = account.values
    account.refresh_from_db()
    assert (account.values, account.state) == (before, Credential.State.REFUSED)
    assert "is connected again" in enter(stranger, link).content.decode()


def test_a_token_that_is_over_is_renewed_with_the_new_keys(
    stranger: Client, link: Renewal, account: Credential, crm: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    crm.append(TokenExpired("over"))
    monkeypatch.setattr(Bitrix24, "refresh", lambda self, http, secrets: {"access_token": "fresh"})
    enter(stranger, link)
    account.refresh_from_db()
    assert account.values["access_token"] == "fresh"


@pytest.mark.parametrize("key", ["", OLD])
def test_nothing_new_is_no_renewal(
    stranger: Client, link: Renewal, account: Credential, crm: list[Any], key: str
) -> None:
    assert "enter the new keys first" in enter(stranger, link, key).content.decode()
    account.refresh_from_db()
    assert account.state == Credential.State.REFUSED


def test_no_call_is_led_elsewhere(stranger: Client, link: Renewal, account: Credential, crm: list[Any]) -> None:
    """Who has a link cannot make the company's calls go to a portal of his own."""
    elsewhere = "https://elsewhere.example.com/rest/1/new/"
    assert "another account" in enter(stranger, link, elsewhere).content.decode()
    more = {"webhook_url": NEW, "domain": "elsewhere.example.com", "member_id": "m2", "forget_webhook_url": "1"}
    stranger.post(path(link), more)
    account.refresh_from_db()
    assert (account.values["domain"], account.values["member_id"]) == ("portal.example.com", "m1")


# --- Its end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"expires_at": timezone.now() - timedelta(seconds=1)},
        {"revoked_at": timezone.now()},
        {"used_at": timezone.now()},
        {"tries": renewals.MOST_TRIES},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_dead_link_opens_nothing(
    stranger: Client, link: Renewal, account: Credential, change: dict[str, Any]
) -> None:
    Renewal.objects.update(**change)
    for response in (stranger.get(path(link)), enter(stranger, link)):
        assert response.status_code == 410
        assert "Our portal" not in response.content.decode()


def test_a_forged_link_opens_nothing_and_guessing_is_stopped(stranger: Client, link: Renewal) -> None:
    statuses = [stranger.get(f"/renew/{link.uuid}/{number:043}/").status_code for number in range(25)]
    assert set(statuses) == {410, 429}
    assert statuses[0] == 410


def test_wrong_keys_are_taken_a_few_times_only(stranger: Client, link: Renewal, crm: list[Any]) -> None:
    crm += [CredentialsRefused("no")] * 20
    statuses = [enter(stranger, link).status_code for _ in range(renewals.MOST_TRIES + 1)]
    assert statuses == [200] * renewals.MOST_TRIES + [410]


# --- Through the CRM --------------------------------------------------------------------------------------------------


@pytest.fixture
def application(mine: World) -> Credential:
    row: Credential = make.CredentialFactory(company=mine.company, name="Our portal", state=Credential.State.REFUSED)
    return row


def go_to_the_crm(client: Client, row: Renewal) -> str:
    """Press the button; returns the state that comes back."""
    response = client.post(path(row), {"connect": "1"})
    assert response.status_code == 302
    return parse_qs(urlsplit(response["Location"]).query)["state"][0]


def test_a_stranger_connects_through_the_crm(
    stranger: Client, application: Credential, crm: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"access_token": "fresh", "refresh_token": "fresh too"}
    monkeypatch.setattr(Bitrix24, "authorised", lambda self, http, secrets, query: {**given, **query})
    row = renewals.make(application, "boss@example.com")
    state = go_to_the_crm(stranger, row)
    answer = stranger.get("/oauth/bitrix24/", {"code": "abc", "state": state})
    assert "is connected again" in answer.content.decode()
    application.refresh_from_db()
    assert (application.state, application.values["access_token"]) == (Credential.State.READY, "fresh")
    assert stranger.get("/oauth/bitrix24/", {"code": "abc", "state": state}).status_code == 410


def test_another_account_is_refused_on_the_way_back(
    stranger: Client, application: Credential, crm: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bitrix24, "authorised", lambda *_: {"access_token": "fresh", "member_id": "another"})
    row = renewals.make(application, "boss@example.com")
    answer = stranger.get("/oauth/bitrix24/", {"code": "abc", "state": go_to_the_crm(stranger, row)})
    assert answer.status_code == 400
    assert "another account" in answer.content.decode()
    application.refresh_from_db()
    assert application.state == Credential.State.REFUSED


def test_without_a_link_the_way_back_is_for_those_who_are_signed_in(stranger: Client, mine: World) -> None:
    assert stranger.get("/oauth/bitrix24/?code=abc&state=forged")["Location"].startswith("/login/")


# --- Making one -------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(db: None) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(make.UserFactory(is_staff=True, email="helper@example.com"))
    return client


def test_a_manager_makes_and_revokes_one(
    account: Credential, mine: World, theirs: World, signed_in: Callable[..., Client]
) -> None:
    manager = signed_in(mine.company, Role.ADMINISTRATOR, "en")
    where = reverse("portal:renewals", args=[account.uuid])
    manager.post(where)
    row = Renewal.objects.get()
    assert renewals.address(row) in manager.get(where).content.decode()
    assert signed_in(theirs.company).post(where).status_code == 404
    other = renewals.make(theirs.credential, "boss@example.com")
    manager.post(where, {"revoke": other.pk})
    other.refresh_from_db()
    assert other.revoked_at is None
    manager.post(where, {"revoke": row.pk})
    text = manager.get(where).content.decode()
    assert "revoked" in text
    assert renewals.address(row) not in text


def test_support_makes_one_too(desk: Client, account: Credential) -> None:
    where = reverse("support:renewals", args=[account.uuid])
    desk.post(where)
    row = Renewal.objects.get()
    assert row.made_by == "helper@example.com"
    text = desk.get(where).content.decode()
    assert renewals.address(row) in text
    assert OLD not in text


def test_none_for_an_account_that_only_its_key_names(desk: Client, mine: World) -> None:
    row = make.CredentialFactory(company=mine.company, crm="altegio", values={"network": "Spa", "crm_token": "t"})
    where = reverse("support:renewals", args=[row.uuid])
    desk.post(where)
    assert not Renewal.objects.exists()
    assert "known by its key alone" in desk.get(where).content.decode()
