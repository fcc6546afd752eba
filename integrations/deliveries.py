"""Delivering webhooks: at least once, in no order that is promised, each message the same at every try.

One worker at a time sends to an endpoint, several messages at once. Claiming is one commit (the endpoint's lease), then
come the requests, then all notes in one more, where the lease is still ours. Who dies between the two has noted
nothing: what he sent is sent again.

An endpoint that takes nothing is probed with one message at a time, and the others keep their tries meanwhile.
"""

from __future__ import annotations

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import structlog
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_noop as _
from prometheus_client import Counter

from outbound.errors import OutboundError
from outbound.http import Answer, Exchange
from telephony import exchanges, statements
from telephony.hot import Constant, hot_write, persistently

from . import endpoints, signatures
from .models import WebhookDelivery, WebhookEndpoint
from .sync import OUTAGE, ending, lane_pause

log = structlog.get_logger(__name__)

State = WebhookDelivery.State
PAUSES = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
"""Seconds before the second try, the third …: eight in 27 and a half hours, as Standard Webhooks advise."""
TRIES = len(PAUSES) + 1
JITTER = 0.1
LONGEST_WAIT = 36_000.0
"""Seconds: for so long at most an endpoint may ask us to wait."""
PATIENCE = timedelta(days=5)
DEADLINE = 15.0
LEASE = timedelta(minutes=1)
AT_ONCE = 8
BATCH = 16
MOST_READ = 4_096
SHOWN = 500
TRIES_SHOWN = 20
GONE = 410
NOTED = ["state", "due_at", "attempts", "tried_at", "status", "answer", "error", "history"]

made = Counter("callbridge_webhooks", "Webhooks sent to customers' programmes", ["result"])
_under_way: set[uuid.UUID] = set()


@dataclass(frozen=True, slots=True)
class Claim:
    """Messages of an endpoint that are ours to send as long as the lease is."""

    endpoint: WebhookEndpoint
    lease: uuid.UUID
    rows: list[WebhookDelivery]


@dataclass(frozen=True, slots=True)
class Try:
    """What came of one request. `wait`: seconds that the endpoint asks us to wait, where it does."""

    at: datetime
    status: int | None
    answer: str
    error: str
    milliseconds: int
    wait: float = 0.0

    @property
    def taken(self) -> bool:
        return not self.error


def work_off(endpoint_id: int, rounds: int = 15) -> None:
    """Send what is due to an endpoint; safe to call at any time and from many workers. So many rounds end within the
    actor's time, however slow it is; the sweep brings the rest."""
    while rounds and not ending.is_set() and (claim := _claim(endpoint_id)):
        _under_way.add(claim.lease)
        try:
            tries = _send(claim)
        finally:
            _under_way.discard(claim.lease)
        persistently(partial(_note, claim, tries))
        rounds -= 1


# --- Claiming ---------------------------------------------------------------------------------------------------------


def with_work() -> list[int]:
    """Ids of endpoints that something is due to and that nobody sends to."""
    due = _due(timezone.now()).filter(endpoint=OuterRef("pk"))
    return list(_free(timezone.now()).filter(Exists(due)).order_by("pk").values_list("pk", flat=True))


def fails(endpoint_id: int) -> bool:
    """Whether it took nothing the last time."""
    return WebhookEndpoint.objects.filter(pk=endpoint_id, failures__gt=0).exists()


def _free(now: datetime) -> QuerySet[WebhookEndpoint]:
    idle = Q(lease_until=None) | Q(lease_until__lt=now)
    return WebhookEndpoint.objects.filter(idle, Q(open_at=None) | Q(open_at__lte=now), active=True)


def _due(now: datetime) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(state=Constant(State.WAITING), due_at__lte=now)


def _claim(endpoint_id: int) -> Claim | None:
    now = timezone.now()
    due = _due(now).filter(endpoint=endpoint_id)
    if not due.exists():
        return None
    lease = uuid.uuid4()
    with hot_write():
        if not _free(now).filter(pk=endpoint_id).update(lease=lease, lease_until=now + LEASE):
            return None
        endpoint = WebhookEndpoint.objects.get(pk=endpoint_id)
        rows = list(due.order_by("behind", "due_at")[: 1 if endpoint.failures else BATCH])
        if rows:
            return Claim(endpoint, lease, rows)
        WebhookEndpoint.objects.filter(pk=endpoint_id).update(lease=None, lease_until=None)
    return None


def hand_back() -> None:
    """The process must end: what it was sending is sent again by whoever comes next, and nobody waits for its lease."""
    with hot_write():
        WebhookEndpoint.objects.filter(lease__in=list(_under_way)).update(lease=None, lease_until=None)


def forget_leases() -> None:
    """At the start of an installation of one process: nobody is sending anything."""
    WebhookEndpoint.objects.exclude(lease=None).update(lease=None, lease_until=None)


# --- Sending ----------------------------------------------------------------------------------------------------------


def _send(claim: Claim) -> list[Try]:
    """In threads that know nothing of the database."""
    send = partial(_try, claim.endpoint.url, [text for text, _until in claim.endpoint.keys])
    if len(claim.rows) == 1:
        return [send(claim.rows[0])]
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as pool:
        return list(pool.map(send, claim.rows))


def _try(url: str, keys: list[str], row: WebhookDelivery) -> Try:
    at, seen = timezone.now(), list[Exchange]()
    body = row.body.encode()
    headers = {
        "Content-Type": "application/json",
        **signatures.headers(keys, row.message_id, int(at.timestamp()), body),
    }
    http = exchanges.open_http(secrets=[url, *keys], record=seen.append, deadline=DEADLINE)
    answer: Answer | None = None
    error, wait = "", 0.0
    try:
        answer = http.request("POST", url, data=body, headers=headers, max_size=MOST_READ, cut=True)
        error, wait = _refusal(answer), _wait(answer, at)
    except OutboundError as failure:
        error = failure.words
    except Exception as failure:
        log.exception("a webhook cannot be sent", delivery=row.pk)
        error = f"{type(failure).__name__}: {failure}"
    made.labels("refused" if error else "taken").inc()
    told = seen[0].answer[:SHOWN] if seen else ""
    return Try(at, answer.status if answer else None, told, error, seen[0].milliseconds if seen else 0, wait)


def _refusal(answer: Answer) -> str:
    """Why an answer is no success; empty for one that is."""
    if 200 <= answer.status < 300:
        return ""
    if 300 <= answer.status < 400:
        return _("the address leads on to another one: redirects are not followed, enter the last address")
    if answer.status == GONE:
        return _("the programme answered that this address is gone for good (410)")
    return _("the programme did not take it: any answer from 200 to 299 is taken as a yes")


def _wait(answer: Answer, now: datetime) -> float:
    """`Retry-After`: seconds, or a date."""
    said = answer.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return min(float(said), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    seconds = (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT)


# --- Noting -----------------------------------------------------------------------------------------------------------


def _note(claim: Claim, tries: list[Try]) -> None:
    """What became of each message, where the lease is still ours: else it was taken up by somebody else, or the
    endpoint was switched off."""
    now = timezone.now()
    with hot_write():
        ours = WebhookEndpoint.objects.select_for_update(no_key=True).filter(lease=claim.lease)
        endpoint = ours.filter(pk=claim.endpoint.pk).first()
        if endpoint is None:
            return
        rows = [copy(row) for row in claim.rows]  # noted anew when the database breaks this transaction off
        for row, each in zip(rows, tries, strict=True):
            _note_row(row, each, now)
        statements.update(rows, NOTED)
        _note_endpoint(endpoint, tries, now)


def _note_row(row: WebhookDelivery, each: Try, now: datetime) -> None:
    row.attempts += 1
    row.tried_at, row.status, row.answer, row.error = each.at, each.status, each.answer, each.error
    told = {"at": each.at.isoformat(), "status": each.status, "error": each.error, "ms": each.milliseconds}
    row.history = [*row.history, told][-TRIES_SHOWN:]
    if each.taken:
        row.state, row.due_at = State.DELIVERED, None
    elif row.attempts >= TRIES or each.status == GONE:
        row.state, row.due_at = State.FAILED, None
    else:
        row.due_at = now + timedelta(seconds=max(each.wait, pause(row.attempts)))


def pause(tries: int) -> float:
    """Seconds after so many tries until the next one."""
    return PAUSES[tries - 1] * random.uniform(1 - JITTER, 1 + JITTER)


def _note_endpoint(endpoint: WebhookEndpoint, tries: list[Try], now: datetime) -> None:
    """Give the lane back. An endpoint that takes nothing is left alone for a while, then tried with one message."""
    changes: dict[str, Any] = {"lease": None, "lease_until": None}
    taken, wait = any(each.taken for each in tries), max(each.wait for each in tries)
    since = endpoint.failing_since or now
    if taken:
        changes |= {"failures": 0, "failing_since": None, "delivered_at": now}
        changes["open_at"] = now + timedelta(seconds=wait) if wait else None
        if endpoint.failures >= OUTAGE:
            _flow_again(endpoint, now)
    else:
        failures = endpoint.failures + 1
        changes |= {"failures": failures, "failing_since": since}
        changes["open_at"] = now + timedelta(seconds=lane_pause(failures, wait))
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**changes)
    if any(each.status == GONE for each in tries):
        endpoints.switch_off(endpoint, WebhookEndpoint.Off.GONE)
    elif not taken and now - since >= PATIENCE:
        endpoints.switch_off(endpoint, WebhookEndpoint.Off.FAILING)


def _flow_again(endpoint: WebhookEndpoint, now: datetime) -> None:
    """It was away and is back: nothing waits for a time that was set because it was away."""
    endpoint.deliveries.filter(state=Constant(State.WAITING), due_at__gt=now).update(due_at=now)
