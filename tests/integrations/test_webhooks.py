"""The door for CRMs: what is taken is stored as it came, what is refused costs little, and nobody pays for another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import HttpResponse
from django.test import Client

from integrations import webhooks
from integrations.models import Credential, CrmEvent
from telephony import refusals
from tests.factories import CredentialFactory

pytestmark = pytest.mark.django_db


def address(credential: Credential, rest: str = "") -> str:
    return f"/hooks/{credential.crm}/{credential.webhook_token}/{rest}"


def said(credential: Credential, token: str = "") -> str:
    values = credential.values
    auth = {"application_token": token or values["application_token"], "member_id": values["member_id"]}
    return urlencode({"event": "ONCRMDEALADD", **{f"auth[{name}]": value for name, value in auth.items()}})


def post(path: str, body: str, **more: Any) -> HttpResponse:
    return Client().post(path, body, content_type="application/x-www-form-urlencoded", **more)  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """That of those who are refused; nobody was before."""
    found = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(refusals, "time", SimpleNamespace(monotonic=lambda: found.now))
    monkeypatch.setattr(webhooks, "_refusals", refusals.Refusals())
    return found


@pytest.fixture
def credential() -> Credential:
    return CredentialFactory.create()


def test_what_is_taken_is_stored_as_it_came(credential: Credential):
    answer = post(address(credential, "events?a=%00%ff"), said(credential), HTTP_USER_AGENT="CRM\x00")
    assert answer.status_code == 200
    event = CrmEvent.objects.get()
    assert (event.path, event.query) == ("events", "a=%00%ff")
    assert event.headers["user-agent"] == "CRM%00"
    assert bytes(event.body).decode() == said(credential)


@pytest.mark.parametrize("method", ["get", "head", "options", "put", "delete"])
def test_events_are_posted(credential: Credential, method: str):
    answer = getattr(Client(), method)(address(credential))
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


@pytest.mark.parametrize("rest", ["x" * 201, "a%00b", "a%07b"])
def test_an_absurd_path_is_refused(credential: Credential, rest: str):
    assert post(address(credential, rest), said(credential)).status_code == 400
    assert not CrmEvent.objects.exists()


def test_who_is_refused_too_often_is_not_looked_at_and_nobody_pays_for_him(
    credential: Credential, clock: SimpleNamespace
):
    other = CredentialFactory.create()
    statuses = [post(address(credential), said(credential, "wrong")).status_code for _ in range(50)]
    assert statuses == [403] * refusals.LIMIT.burst + [429] * (50 - refusals.LIMIT.burst)
    # A CRM sends the events of all its customers from few places.
    assert post(address(other), said(other)).status_code == 200
    assert post(f"/hooks/{other.crm}/", said(other)).status_code == 200
    assert post(address(credential), said(credential), REMOTE_ADDR="192.0.2.7").status_code == 200
    clock.now += 1 / refusals.LIMIT.rate
    assert post(address(credential), said(credential)).status_code == 200
    assert post(address(credential), said(credential)).status_code == 200


def test_strangers_are_counted_by_where_they_come_from(credential: Credential):
    strangers = [CredentialFactory.build() for _ in range(50)]
    statuses = [post(f"/hooks/{each.crm}/nobody{each.name}/", said(each)).status_code for each in strangers]
    assert set(statuses[: refusals.LIMIT.burst]) == {403}
    assert set(statuses[refusals.LIMIT.burst :]) == {429}
    assert len(webhooks._refusals) == 1
    assert post(address(credential), said(credential)).status_code == 200


def test_garbage_is_counted_too():
    assert {post("/hooks/bitrix24/", "\x00").status_code for _ in range(50)} == {403, 429}
    assert post("/hooks/nosuchcrm/", "x").status_code == 404
