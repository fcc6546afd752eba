"""Who shall take this call? Some PBXs ask and wait for our answer; to others we send it while they play their greeting.

Either way it comes in time or not at all.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import structlog
from django.db.models import Count, Q
from django.utils import timezone
from prometheus_client import Counter, Histogram

from clients.models import Client
from employees import phones
from outbound.errors import OutboundError, RateLimited

from . import commands, directory, feed
from .answers import ROUTING
from .directory import Known
from .events import AnswerGiven, answer_event
from .hot import hot_write, lock_drain
from .models import Call, Connection, Decision, InboxEvent
from .providers.base import Advice, Capability, Direction, Question
from .signals import routing_question
from .threads import looked_after

log = structlog.get_logger(__name__)

DEFAULT_GREETING = 2.5
LATE, TOO_LATE = "answered_late", "too_late"
"""A PBX that asks has gone on without our answer; a greeting was over before our command could leave."""
RESERVE = 0.3
"""Seconds kept back for the command itself."""

decisions = Counter("callbridge_routing", "Routing decisions", ["code"])
questions = Counter("callbridge_pbx_questions", "Questions of PBXs by what was answered", ["provider", "answer"])
seconds = Histogram("callbridge_routing_seconds", "From the event to the routing decision")

_pool = ThreadPoolExecutor(16, thread_name_prefix="routing")
_open_questions: set[Future[None]] = set()


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a room above says of a call: an extension to send it to, or (empty) why not. `code` names the reason,
    `client` is who calls, where that was found out, `phone` a phone of whoever has the extension."""

    code: str
    extension: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    client: Client | None = None
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls which line (E.164). `call_id`: our call, where there is one already. `named`: the PBX shows the
    client's name, so he is looked up even where nobody forwards calls."""

    connection_id: int
    company_id: int
    phone: str
    line: str
    call_id: int | None = None
    named: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """What a PBX is told to its question, and the event that says so; None where there was nothing to decide."""

    advice: Advice
    event: InboxEvent | None = None


def answered_lately(connection: Connection) -> dict[str, int]:
    """How often in the last day it was decided who shall take a call of this PBX, and how often that was too late."""
    calls = Call.objects.filter(company=connection.company_id, started_at__gte=timezone.now() - timedelta(days=1))
    lately = Decision.objects.filter(kind=ROUTING, call__in=calls.filter(connection=connection))
    return lately.aggregate(asked=Count("id"), late=Count("id", filter=Q(code__in=[LATE, TOO_LATE])))


# --- A PBX asks -------------------------------------------------------------------------------------------------------


def ask(known: Known, question: Question, received: float) -> Future[Answered]:
    """`answer` in a thread of this process."""
    return _pool.submit(looked_after, answer, known, question, received)


def answer(known: Known, question: Question, received: float) -> Answered:
    """What we know of a caller, found out in time. `received`: monotonic time at which the question came.

    What comes too late is said in the passport; the PBX has gone on by itself then.
    """
    end = received + known.provider.answer_seconds
    caller = Caller(
        connection_id=known.id,
        company_id=known.company_id,
        phone=phones.normalise(question.client_number, known.region)[:128],
        line=phones.normalise(question.virtual_number, known.region)[:128],
        named=True,
    )
    opinion = _ask(caller, end - time.monotonic()) if phones.is_phone(caller.phone) else None
    late = time.monotonic() > end
    questions.labels(known.provider.slug, "late" if late else "known" if opinion else "default").inc()
    if opinion is None:
        return Answered(Advice())
    if known.provider.rings_phones and opinion.extension and not opinion.phone:
        opinion = replace(opinion, code="manager_without_phone", extension="")
    advice = Advice() if late else _advice(opinion)
    return Answered(advice, _event(known, question, opinion, LATE if late else opinion.code, received))


def _advice(opinion: Opinion) -> Advice:
    return Advice(opinion.extension, opinion.client.name if opinion.client else "", opinion.phone)


def _event(known: Known, question: Question, opinion: Opinion, code: str, received: float) -> InboxEvent | None:
    took = _count(code, received)
    if not question.call:
        return None
    given = AnswerGiven(
        call=question.call,
        code=code,
        details=_details(opinion),
        milliseconds=took,
        client=opinion.client.pk if opinion.client else None,
    )
    return answer_event(known.id, given, timezone.now())


# --- A call is in the greeting ----------------------------------------------------------------------------------------


def wanted(call: Call) -> bool:
    """Whether a call is in a greeting or queue from where it can be sent to somebody."""
    if not (call.waiting_leg and call.direction == Direction.IN and call.client_phone):
        return False
    known = directory.by_id(call.connection_id)
    return Capability.ROUTE in known.provider.able(known.secrets)


def begin(call_id: int, received: float) -> None:
    """Ask in a thread of this process. `received`: monotonic time at which the PBX's event came."""
    question = _pool.submit(looked_after, _decide_safely, call_id, received)
    _open_questions.add(question)
    question.add_done_callback(_open_questions.discard)


def settle(timeout: float = 30) -> None:
    """Wait until no question is open (replays and tests do)."""
    wait(list(_open_questions), timeout=timeout)


def _decide_safely(call_id: int, received: float) -> None:
    try:
        decide(call_id, received)
    except Exception:
        log.exception("routing failed", call=call_id)


def decide(call_id: int, received: float) -> Decision | None:
    """Ask, send the command if there is time, and write down what was decided, why and how fast.

    None when nobody has an opinion, or when it was decided before.
    """
    call = Call.objects.select_related("connection__company").get(pk=call_id)
    if not wanted(call) or call.decisions.filter(kind=ROUTING).exists():
        return None
    greeting = float(call.connection.credentials.get("greeting_seconds") or DEFAULT_GREETING)
    end = received + greeting
    caller = Caller(call.connection_id, call.company_id, call.client_phone, call.virtual_number, call_id=call.pk)
    opinion = _ask(caller, end - RESERVE - time.monotonic())
    if opinion is None:
        return None
    code = (_route(call, opinion, end) if opinion.extension else "") or opinion.code
    took = _count(code, received)
    decision = Decision(call=call, kind=ROUTING, code=code, details=_details(opinion), milliseconds=took)
    with hot_write():  # after the command: the phone does not wait for our notes
        lock_drain()
        decision.save()
        if opinion.client:
            feed.link_client(call.pk, opinion.client.pk)
    return decision


def _route(call: Call, opinion: Opinion, end: float) -> str:
    """Send the command; returns why it could not be sent, or an empty text."""
    left = end - time.monotonic()
    if left <= 0:
        return TOO_LATE
    try:
        commands.route(call, opinion.extension, left)
    except RateLimited:
        return "pbx_limit"
    except OutboundError as error:
        opinion.details["words"] = error.words
        return "pbx_refused"
    return ""


# --- Both -------------------------------------------------------------------------------------------------------------


def _ask(caller: Caller, budget: float) -> Opinion | None:
    """The first opinion of the rooms above; None when nobody there has any. Without time they know what is written in
    the book, and the passport says that it was too late."""
    for receiver, opinion in routing_question.send_robust(sender=Caller, caller=caller, deadline=budget):
        if isinstance(opinion, Exception):
            log.error("routing question failed", receiver=str(receiver), error=str(opinion))
        elif isinstance(opinion, Opinion):
            return opinion
    return None


def _details(opinion: Opinion) -> dict[str, Any]:
    return {**opinion.details, "extension": opinion.extension} if opinion.extension else dict(opinion.details)


def _count(code: str, received: float) -> int:
    """Milliseconds since the PBX's event."""
    took = time.monotonic() - received
    decisions.labels(code).inc()
    seconds.observe(took)
    return round(took * 1000)
