"""docs/webhooks.md: its examples are what a receiver has received, its code checks our signatures."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings as configuration
from django.utils import timezone

from clients import book
from integrations import credentials, deliveries, endpoints, mirror, notices, payloads, telling
from integrations.models import WebhookEndpoint
from outbound.errors import CredentialsRefused
from telephony import calls, inbox
from telephony.models import Call, Listening
from tests import factories as make
from tests.integrations.test_hooks_out import AUDIO, make_match
from tests.receiver import Receiver
from tests.telephony.test_inbox import Line, drain

pytestmark = pytest.mark.django_db

PAGE = Path(configuration.BASE_DIR) / "docs" / "webhooks.md"
BEGIN, END = "<!-- examples: begin -->", "<!-- examples: end -->"
NOON = "2026-11-02 12:00:00+00:00"


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(NOON, tick=False) as found:
        yield found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


def deliver(clock: Any) -> None:
    clock.shift(timedelta(seconds=5))
    for endpoint_id in deliveries.with_work():
        deliveries.work_off(endpoint_id)


def play(clock: Any, endpoint: WebhookEndpoint, line: Line) -> None:
    """One event of each type."""
    for seq, state in enumerate(("Appeared", "Connected", "Disconnected"), 1):
        line.leg(state, seq)
        drain()
        deliver(clock)
    line.summary(talk=5)
    drain()
    deliver(clock)
    call = Call.objects.get()
    make.RecordingFactory(call=call, content=AUDIO)
    inbox.announce([call.pk], "audio")
    deliver(clock)
    call = Call.objects.get()
    calls.load_people([call])
    call.changes, call.talk_seconds, call.version = {"talk_seconds"}, 6, call.version + 1
    telling.tell_of_calls([call])
    deliver(clock)
    _troubles(clock, line)
    book.enter(endpoint.company, "+79000000002", "Pavel Petrov", "Garden")
    telling.send_test(endpoint)
    deliver(clock)


def _troubles(clock: Any, line: Line) -> None:
    account = make.CredentialFactory(company=line.connection.company, name="Portal")
    lost = Listening.objects.create(
        connection=line.connection, down_since=timezone.now() - timedelta(minutes=10), error="no route to host"
    )
    credentials.refuse(account, CredentialsRefused("invalid_grant"))
    notices.look()
    deliver(clock)
    credentials.store(account, {})
    lost.up_since, lost.down_since = timezone.now(), None
    lost.save()
    notices.look()
    deliver(clock)
    mirror.remember(account, "+79000000001", make_match("Maria Sidorova"))
    deliver(clock)


@pytest.fixture
def told(db: None, clock: Any, receiver: Receiver, settings: Any) -> Receiver:
    settings.PUBLIC_URL = "https://calls.example.com"
    company = make.CompanyFactory(name="Flowers", language="en")
    line = Line(make.ConnectionFactory(company=company, name="Office"))
    anna = make.EmployeeFactory(company=company, name="Anna Ivanova")
    make.ExtensionFactory(company=company, number="101", employee=anna)
    make.VirtualNumberFactory(connection=line.connection, number="+74950000001", line_name="Main line")
    endpoint, receiver.secret = endpoints.create(company, receiver.url, list(payloads.KINDS))
    play(clock, endpoint, line)
    return receiver


def examples(events: list[dict[str, Any]]) -> str:
    """The first of each type. Ids and proofs are different each time, so each gets the next of our own."""
    first = {event["type"]: event for event in reversed(events)}
    order = [*payloads.KINDS, payloads.TEST]
    text = "\n\n".join(
        f"### `{kind}`\n\n```json\n{json.dumps(first[kind], ensure_ascii=False, indent=2)}\n```" for kind in order
    )
    known: dict[str, str] = {}

    def renamed(found: re.Match[str]) -> str:
        return known.setdefault(found[0], f"0b8f3a5c-27d4-4e61-9a{len(known):02x}-5d1c6e7f8a90")

    text = re.sub(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", renamed, text)
    return re.sub(r"(/recordings/[^/]+/)[\w-]+\.", r"\1kJ8vQzR2mX0aTnY4hLbW6eUcPs1d.", text)


def test_the_page_shows_what_was_received(told: Receiver) -> None:
    assert not told.forged
    text = PAGE.read_text(encoding="utf-8")
    head, _begin, rest = text.partition(BEGIN)
    fresh = f"{head}{BEGIN}\n\n{examples(list(told.events.values()))}\n\n{END}{rest.partition(END)[2]}"
    if os.environ.get("RENEW_DOCS"):
        PAGE.write_text(fresh, encoding="utf-8")
    assert text == fresh, "RENEW_DOCS=1 pytest tests/integrations/test_hook_docs.py renews it"


def test_the_page_names_every_type_and_the_schedule(told: Receiver) -> None:
    text = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    for kind in (*payloads.KINDS, payloads.TEST):
        assert f"`{kind}`" in text
    assert deliveries.PAUSES == (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600)


@pytest.mark.parametrize("place", [0, 1], ids=["with the library", "without it"])
def test_the_code_of_the_page_knows_us(told: Receiver, clock: Any, place: int) -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[place]
    names: dict[str, Any] = {}
    exec(code, names)
    event_of = names["event_of"]
    headers, body = next(each for each in told.requests if payloads.TEST.encode() in each[1])
    assert event_of(told.secret, headers, body)["type"] == payloads.TEST
    assert event_of(told.secret, headers, body.replace(b"hear", b"hate")) is None
    assert event_of("whsec_" + "c2VjcmV0" * 4, headers, body) is None
    clock.shift(timedelta(minutes=6))
    assert event_of(told.secret, headers, body) is None


def test_it_is_valid_json_with_ids_that_hang_together() -> None:
    blocks = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    shown = {event["type"]: event for event in map(json.loads, blocks)}
    calls = {shown[kind]["data"]["id"] for kind in shown if kind.startswith(("call.", "recording."))}
    assert len(calls) == 1
    assert shown[payloads.DOWN]["data"]["incident"] == shown[payloads.UP]["data"]["incident"]
