"""Who shall take this call? Asked while the PBX plays its greeting, answered before the greeting ends or not at all."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.db import close_old_connections
from prometheus_client import Counter, Histogram

from clients.models import Client
from outbound.errors import OutboundError, RateLimited

from . import commands, directory
from .hot import hot_write
from .models import Call, Decision
from .providers.base import Capability, Direction
from .signals import routing_question

log = structlog.get_logger(__name__)

KIND = "routing"
DEFAULT_GREETING = 2.5
RESERVE = 0.3
"""Seconds kept back for the command itself."""

decisions = Counter("callbridge_routing", "Routing decisions", ["code"])
seconds = Histogram("callbridge_routing_seconds", "From the event to the routing decision")

_pool = ThreadPoolExecutor(16, thread_name_prefix="routing")
_open_questions: set[Future[None]] = set()


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a room above says of a call: an extension to send it to, or (empty) why not. `code` names the reason,
    `client` is who calls, where that was found out."""

    code: str
    extension: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    client: Client | None = None


def wanted(call: Call) -> bool:
    """Whether a call is in a greeting or queue from where it can be sent to somebody."""
    return bool(
        call.waiting_leg
        and call.direction == Direction.IN
        and call.client_phone
        and Capability.ROUTE in directory.by_id(call.connection_id).provider.capabilities
    )


def begin(call_id: int, received: float) -> None:
    """Ask in a thread of this process. `received`: monotonic time at which the PBX's event came."""
    question = _pool.submit(_in_thread, call_id, received)
    _open_questions.add(question)
    question.add_done_callback(_open_questions.discard)


def settle(timeout: float = 30) -> None:
    """Wait until no question is open (replays and tests do)."""
    wait(list(_open_questions), timeout=timeout)


def _in_thread(call_id: int, received: float) -> None:
    close_old_connections()
    try:
        decide(call_id, received)
    except Exception:
        log.exception("routing failed", call=call_id)
    finally:
        close_old_connections()


def decide(call_id: int, received: float) -> Decision | None:
    """Ask, send the command if there is time, and write down what was decided, why and how fast.

    None when nobody has an opinion, or when it was decided before.
    """
    call = Call.objects.select_related("connection__company").get(pk=call_id)
    if not wanted(call) or call.decisions.filter(kind=KIND).exists():
        return None
    greeting = float(call.connection.credentials.get("greeting_seconds") or DEFAULT_GREETING)
    end = received + greeting
    opinion = _ask(call, end - RESERVE - time.monotonic())
    if opinion is None:
        return None
    code, details = opinion.code, dict(opinion.details)
    if opinion.extension:
        details["extension"] = opinion.extension
        code = _route(call, opinion, end) or code
    took = time.monotonic() - received
    decisions.labels(code).inc()
    seconds.observe(took)
    decision = Decision(call=call, kind=KIND, code=code, details=details, milliseconds=round(took * 1000))
    with hot_write():  # after the command: the phone does not wait for our notes
        decision.save()
        if opinion.client:
            Call.objects.filter(pk=call.pk, client=None).update(client=opinion.client)
    return decision


def _ask(call: Call, budget: float) -> Opinion | None:
    """The first opinion of the rooms above; None when nobody there forwards calls."""
    for receiver, opinion in routing_question.send_robust(sender=Call, call=call, deadline=budget):
        if isinstance(opinion, Exception):
            log.error("routing question failed", receiver=str(receiver), error=str(opinion))
        elif isinstance(opinion, Opinion):
            return opinion
    return None


def _route(call: Call, opinion: Opinion, end: float) -> str:
    """Send the command; returns why it could not be sent, or an empty text."""
    left = end - time.monotonic()
    if left <= 0:
        return "too_late"
    try:
        commands.route(call, opinion.extension, left)
    except RateLimited:
        return "pbx_limit"
    except OutboundError as error:
        opinion.details["words"] = error.words
        return "pbx_refused"
    return ""
