"""The pages of webhooks: addresses, secrets that are shown once, what became of each message, once more."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from employees.models import Change
from integrations import endpoints
from integrations.models import WebhookDelivery, WebhookEndpoint
from telephony import recordings
from tests import factories as make
from tests.portal.conftest import World

State = WebhookDelivery.State
URL = "https://calls.example.com/in?token=4711"


@pytest.fixture
def browser(mine: World, signed_in: Callable[..., Client]) -> Client:
    return signed_in(mine.company, language="en")


@pytest.fixture
def endpoint(mine: World) -> WebhookEndpoint:
    row, _secret = endpoints.create(mine.company, URL, ["call.finished"], name="Accounting")
    return row


def said(response: Any) -> str:
    return response.content.decode()


def post(browser: Client, page: str, *arguments: Any, **values: Any) -> str:
    return said(browser.post(reverse(f"portal:{page}", args=arguments), values, follow=True))


def form(**changes: Any) -> dict[str, Any]:
    return {"url": URL, "name": "Accounting", "kinds": ["call.finished", "recording.ready"], **changes}


def test_a_secret_is_shown_when_it_is_made_and_never_again(mine: World, browser: Client) -> None:
    answer = browser.post(reverse("portal:webhook_new"), form(connections=[mine.connection.pk]))
    row = WebhookEndpoint.objects.get()
    ((secret, _until),) = row.keys
    assert secret in said(answer)
    assert "no-store" in answer["Cache-Control"]
    assert (row.url, row.kinds, row.host) == (URL, "call.finished recording.ready", "calls.example.com")
    assert list(row.connections.all()) == [mine.connection]
    for page in ("webhook", "webhook_log"):
        assert secret not in said(browser.get(reverse(f"portal:{page}", args=[row.uuid])))
    answer = browser.post(reverse("portal:webhook_rotate", args=[row.uuid]))
    row.refresh_from_db()
    (new, ends), (old, retires) = row.keys
    assert new in said(answer)
    assert old == secret
    assert old not in said(answer)
    assert ends is None
    assert retires
    assert "whsec" not in "".join(str(change.lines) for change in Change.objects.all())
    assert "4711" not in "".join(str(change.lines) for change in Change.objects.all())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"url": "calls.example.com"}, "begins with https://"),
        ({"url": "https://a:b@calls.example.com/"}, "name and password"),
        ({"kinds": []}, "at least one event"),
        ({"kinds": ["call.invented"]}, "call.invented"),
    ],
)
def test_what_is_wrong_is_said_beside_the_field(
    mine: World, browser: Client, wrong: dict[str, Any], words: str
) -> None:
    assert words in post(browser, "webhook_new", **form(**wrong))
    assert not WebhookEndpoint.objects.exists()


def test_connections_of_others_cannot_be_named(mine: World, theirs: World, browser: Client) -> None:
    post(browser, "webhook_new", **form(connections=[theirs.connection.pk]))
    assert not WebhookEndpoint.objects.exists()


def test_it_is_changed_and_switched(mine: World, browser: Client, endpoint: WebhookEndpoint) -> None:
    key = endpoint.keys
    post(browser, "webhook", endpoint.uuid, **form(name="", url="https://other.example.com/"))
    endpoint.refresh_from_db()
    assert str(endpoint) == "other.example.com"
    assert endpoint.keys == key
    assert "Switched off" in post(browser, "webhook_switch", endpoint.uuid)
    endpoint.refresh_from_db()
    assert not endpoint.active
    assert "Switch it on first" in post(browser, "webhook_test", endpoint.uuid)
    assert "Switched on" in post(browser, "webhook_switch", endpoint.uuid)
    assert "Deleted" in post(browser, "webhook_delete", endpoint.uuid)
    assert browser.get(reverse("portal:webhook", args=[endpoint.uuid])).status_code == 404


def test_one_that_we_switched_off_says_why(mine: World, browser: Client, endpoint: WebhookEndpoint) -> None:
    endpoints.switch_off(endpoint, WebhookEndpoint.Off.FAILING)
    for page in (
        said(browser.get("/")),
        said(browser.get("/webhooks/")),
        said(browser.get(f"/webhooks/{endpoint.uuid}/")),
    ):
        assert "it took nothing for days" in page


def test_a_test_event_leads_to_what_becomes_of_it(mine: World, browser: Client, endpoint: WebhookEndpoint) -> None:
    page = post(browser, "webhook_test", endpoint.uuid)
    row = endpoint.deliveries.get()
    assert row.kind == "webhook.test"
    assert row.message_id in page
    assert "It has not been sent yet" in page


def test_the_log_by_state_with_pages(mine: World, browser: Client, endpoint: WebhookEndpoint) -> None:
    make.WebhookDeliveryFactory.create_batch(60, endpoint=endpoint)
    failed = make.WebhookDeliveryFactory(endpoint=endpoint, state=State.FAILED, error="it is <b>down</b>", status=500)
    log = reverse("portal:webhook_log", args=[endpoint.uuid])
    page = said(browser.get(log))
    assert str(failed.event) in page
    assert "it is &lt;b&gt;down&lt;/b&gt;" in page
    assert page.count("/resend/") == 51  # and the button for all
    older = said(browser.get(log, {"before": endpoint.deliveries.order_by("-pk")[49].pk}))
    assert older.count("/resend/") == 12
    assert said(browser.get(log, {"state": "failed"})).count("/resend/") == 2
    assert "<html" not in said(browser.get(log, headers={"X-Part": "1"}))


def test_the_log_costs_the_same_however_long_it_is(mine: World, browser: Client, endpoint: WebhookEndpoint) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            browser.get(reverse("portal:webhook_log", args=[endpoint.uuid]))
            browser.get(reverse("portal:webhooks"))
        return len(captured)

    make.WebhookDeliveryFactory(endpoint=endpoint)
    queries()
    before = queries()
    make.WebhookDeliveryFactory.create_batch(20, endpoint=endpoint)
    make.WebhookEndpointFactory.create_batch(5, company=mine.company)
    assert queries() == before


def test_one_and_all_are_sent_once_more(mine: World, browser: Client, endpoint: WebhookEndpoint) -> None:
    at = timezone.now() - timedelta(hours=1)
    rows = make.WebhookDeliveryFactory.create_batch(3, endpoint=endpoint, state=State.FAILED, created_at=at)
    assert "with the same id" in post(browser, "webhook_resend", endpoint.uuid, rows[0].event)
    assert endpoint.deliveries.filter(state=State.WAITING).count() == 1
    since = timezone.localtime(at - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M")
    page = post(browser, "webhook_resend_since", endpoint.uuid, since=since, failed_only="on")
    assert "2 events are sent once more" in page
    assert "Sent once more: 0 of 2" in page
    assert "Say since when" in post(browser, "webhook_resend_since", endpoint.uuid, since="")
    assert "nothing to send" in post(browser, "webhook_resend_since", endpoint.uuid, since=since, failed_only="on")


def test_support_sees_it_without_address_secret_and_audio(mine: World, endpoint: WebhookEndpoint) -> None:
    told = {"type": "recording.ready", "data": {"recordings": [{"url": recordings.link(mine.recording)}]}}
    row = make.WebhookDeliveryFactory(endpoint=endpoint, body=json.dumps(told))
    client = Client(headers={"accept-language": "en"})
    client.force_login(make.UserFactory(is_staff=True, is_superuser=True))
    for page in (
        reverse("support:integrations_webhookendpoint_changelist"),
        reverse("support:integrations_webhookendpoint_change", args=[endpoint.pk]),
        reverse("support:integrations_webhookdelivery_changelist"),
        reverse("support:integrations_webhookdelivery_change", args=[row.pk]),
    ):
        answer = client.get(page)
        assert answer.status_code == 200
        assert "Accounting" in said(answer)
        assert "4711" not in said(answer)
        assert "whsec" not in said(answer)
        assert recordings.link(mine.recording) not in said(answer), "support does not listen"
