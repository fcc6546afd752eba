"""Reconciling CRMs with calls: look at what a call is now and what its CRM has, and make the next missing step.

For one account at a time there is one batch in flight (its lane). A claim (`claims`) writes lease and intent in one
commit, then comes one request, then all notes in one commit, only where the lease is still ours. An intent whose lease
ran out is a request of unknown fate and goes the way that its step declares.

The threads that speak to CRMs leave the bookkeeping to one `ledger`: what several of them have to note and to claim at
one time is one commit.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from django.db.models import QuerySet
from django.utils import timezone
from prometheus_client import Counter, Histogram

from crm_adapters.base import Doubtful, NotMade, Result, Step, Work
from employees import installation
from outbound.errors import CredentialsRefused, OutboundError, Rejected, Temporary
from outbound.http import Http
from outbound.limits import Limit, Limiter
from telephony import exchanges, live, statements
from telephony.hot import hot_write, persistently
from telephony.models import Exchange
from telephony.threads import Together

from . import claims, credentials, knowing
from .claims import WORKED, Claim, Idle, lanes_of, next_step
from .directory import Wanting
from .facts import urgency
from .models import CallSync, Credential, Lane

log = structlog.get_logger(__name__)

DEADLINE = 60.0
LONGEST_PAUSE = 3600.0
LONGEST_LANE_PAUSE = 60.0
GIVE_UP = timedelta(days=7)
LEAST_ATTEMPTS = 10
"""After so long, and no fewer attempts, a step that fails in passing ways is parked for a person."""
OUTAGE = 3
"""Failures in a row after which an account was away, and not only one of its calls hard to take."""
HISTORY = 50

steps = Counter("callbridge_crm_steps", "Steps made in CRMs", ["crm", "step", "result"])
requests_made = Counter("callbridge_crm_requests", "HTTP requests to CRMs", ["crm"])
lag = Histogram(
    "callbridge_crm_lag_seconds",
    "From the change of a call to its note",
    ["crm"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600),
)


@dataclass(frozen=True, slots=True)
class Worked:
    """A claim and what became of it, a result for each row. `last`: do not claim more for this account."""

    claim: Claim
    results: list[Result]
    last: bool = False


ending = threading.Event()
"""Set while the workers of this process come to their end: they claim nothing more."""
_under_way: dict[uuid.UUID, Claim] = {}


def work_off(credential_id: int, rounds: int = 12) -> float | None:
    """Work off what is due in an account; returns the seconds after which to come again, if known.

    So many rounds of requests end within the actor's time, however slow the CRM is.
    """
    answer = Idle(0.0) if ending.is_set() else ledger(credential_id)
    while isinstance(answer, Claim):
        rounds -= 1
        _under_way[answer.lease] = answer
        try:
            results = _perform(answer)
        finally:
            del _under_way[answer.lease]
        answer = ledger(Worked(answer, results, last=not rounds or ending.is_set()))
    return answer.wait


def hand_back() -> None:
    """The process must end, and some requests have not: their fate is unknown. Their accounts go on without them."""
    for claim in list(_under_way.values()):
        words = "the worker ended before the answer came"
        claim.failure = Temporary(words)
        lost = Temporary(words, code="worker_ended", fate_unknown=True, retry_after=DEADLINE / 3)
        ledger(Worked(claim, [lost] * len(claim.works), last=True))


def _book(asked: list[int | Worked]) -> list[Claim | Idle]:
    """Note what was done and claim what is next: for the accounts that ask, and for those that were just worked for.

    Of several that ask for one account the first gets the claim.
    """
    installation.refresh()
    now = timezone.now()
    done = [each for each in asked if isinstance(each, Worked)]
    asking = {each for each in asked if not isinstance(each, Worked)}
    urgent = claims.most_urgent(asking, now)
    answers: dict[int, Claim | Idle] = {}
    if done or urgent:
        with hot_write():
            _note(done, now)
            live.mark_companies({each.claim.credential.company_id for each in done})
            going_on = {each.claim.credential.pk for each in done if not each.last}
            answers = claims.claim(urgent | claims.most_urgent(going_on, timezone.now()), now)
    _count(done)
    return [_answer(each, answers) for each in asked]


def _answer(asked: int | Worked, answers: dict[int, Claim | Idle]) -> Claim | Idle:
    if not isinstance(asked, Worked):
        return answers.pop(asked, Idle())
    return Idle(0.0) if asked.last else answers.pop(asked.claim.credential.pk, Idle())


def _book_surely(asked: list[int | Worked]) -> list[Claim | Idle]:
    return persistently(partial(_book, asked))


ledger = Together("crm-ledger", _book_surely, most=64)


# --- The request ------------------------------------------------------------------------------------------------------


class _Prepaid:
    """A limiter whose first request was paid for when the rows were claimed."""

    def __init__(self, limiter: Limiter):
        self._limiter, self._paid = limiter, True

    def take(self, limits: tuple[Limit, ...]) -> float:
        if self._paid:
            self._paid = False
            return 0.0
        return self._limiter.take(limits)

    def block(self, key: str, seconds: float) -> None:
        self._limiter.block(key, seconds)

    def blocked(self, keys: tuple[str, ...]) -> dict[str, float]:
        return self._limiter.blocked(keys)


def _perform(claim: Claim) -> list[Result]:
    """One result for each row; what goes wrong for all is every row's result."""
    adapter, credential = claim.credential.adapter, claim.credential
    http = _http(claim)
    batch = [work for _, _, work in claim.works]

    def ask(secrets: dict[str, str]) -> list[Result]:
        return adapter.look(http, secrets, batch) if claim.looking else _make(http, credential, secrets, batch)

    try:
        return credentials.speaking(credential, http, ask)
    except OutboundError as error:
        claim.failure = error
        return [error] * len(batch)
    except Exception as error:
        log.exception("adapter failed", crm=credential.crm)
        return [Rejected(f"{type(error).__name__}: {error}", code="our_fault", fate_unknown=True)] * len(batch)


def _make(http: Http, credential: Credential, secrets: dict[str, str], batch: list[Work]) -> list[Result]:
    """The house's own steps come first: where a token is over, nothing is written yet."""
    known = {
        place: knowing.look_up(http, credential, secrets, work.job.facts.client_phone)
        for place, work in enumerate(batch)
        if work.step.name == knowing.STEP
    }
    rest = [work for place, work in enumerate(batch) if place not in known]
    made = iter(credential.adapter.perform(http, secrets, rest) if rest else ())
    return [known[place] if place in known else next(made) for place in range(len(batch))]


def _http(claim: Claim) -> Http:
    credential = claim.credential
    http = exchanges.open_http(secrets=credential.secret_values, record=claim.exchanges.append, deadline=DEADLINE / 3)
    http.limiter = _Prepaid(exchanges.limiter)
    return http


# --- Noting -----------------------------------------------------------------------------------------------------------


def _note(done: list[Worked], now: datetime) -> None:
    """Write what was done, where the lease is still ours, and give the lanes back.

    Rows that became due while a lane was taken are found right after; whoever brings one later finds the lane free.
    """
    now_there = _as_they_are([each.claim for each in done])
    rows = []
    for each in done:
        for (row, wanting, work), result in zip(each.claim.works, each.results, strict=True):
            if row.pk in now_there and now_there[row.pk].lease == each.claim.lease:
                row = copy(row)  # noted anew when the database breaks this transaction off
                _note_row(row, wanting, work, result, each.claim, now)
                rows.append(row)
    statements.update(rows, WORKED)
    _give_back([each.claim for each in done], now)
    exchanges.write([row for each in done for row in _log_rows(each.claim, now_there)])


def _count(done: list[Worked]) -> None:
    for each in done:
        requests_made.labels(each.claim.credential.crm).inc(len(each.claim.exchanges))


def _as_they_are(claims: list[Claim]) -> dict[int, CallSync]:
    """The rows as they stand now, locked, by id: who has them may have changed, and which call they are of."""
    ids = [row.pk for claim in claims for row, _, _ in claim.works]
    return {row.pk: row for row in statements.select(CallSync, {"id": ids}, lock=statements.WAIT)}


def _note_row(row: CallSync, wanting: Wanting, work: Work, result: Result, claim: Claim, now: datetime) -> None:
    row.lease = row.lease_until = None
    crm, name = wanting.adapter.slug, work.step.name
    if isinstance(result, OutboundError):
        steps.labels(crm, name, result.kind).inc()
        _note_error(row, work.step, result, claim, now)
        return
    row.intent, row.error_kind, row.error, row.attempts, row.not_before = "", "", "", 0, None
    if isinstance(result, NotMade):
        return
    steps.labels(crm, name, "done").inc()
    row.progress = {**row.progress, **result.progress}
    row.history = [*row.history, {"at": now.isoformat(), "step": name, "words": result.words}][-HISTORY:]
    facts = work.job.facts
    if following := next_step(row, wanting, wanting.job(row.call, facts, row.progress)):
        row.priority = urgency(facts, following)
    else:
        row.noted = max(row.noted, facts.version)
    if row.due_at:
        lag.labels(crm).observe((now - row.due_at).total_seconds())


def _note_error(row: CallSync, step: Step, error: OutboundError, claim: Claim, now: datetime) -> None:
    row.attempts += 1
    log.warning("step failed", step=step.name, sync=row.pk, call=str(row.call.uuid), kind=error.kind, code=error.code)
    row.error_kind, row.error = error.kind, f"{error.code} {error.words}".strip()[:2000]
    row.cause, row.failed_at = error.cause[:200], now
    # A look that fails leaves the doubt that it was to settle; one that cannot settle it leaves it to a person.
    open_ = (error.fate_unknown or claim.looking) and not isinstance(error, Doubtful)
    row.intent = step.name if open_ else ""
    row.not_before = None
    if isinstance(error, CredentialsRefused):
        return  # the account waits, with all that it has to do
    if _is_for_good(row, error, now):
        row.parked = True
    elif error is not claim.failure or len(claim.works) == 1:
        row.not_before = now + timedelta(seconds=pause(row.attempts, error.retry_after))


def _is_for_good(row: CallSync, error: OutboundError, now: datetime) -> bool:
    if isinstance(error, Rejected):
        return not error.fate_unknown
    return bool(row.attempts >= LEAST_ATTEMPTS and row.due_at and now - row.due_at > GIVE_UP)


def pause(attempts: int, retry_after: float | None = None) -> float:
    """Seconds until the next try: exponential with full jitter, an hour at the most, never sooner than asked for."""
    return max(retry_after or 0.0, random.uniform(0, min(LONGEST_PAUSE, 2.0 ** min(attempts, 12))))


def _give_back(claims: list[Claim], now: datetime) -> None:
    """Free the lanes. An account that fails as a whole is left alone for a while, then tried with one row."""
    lanes = lanes_of({claim.account for claim in claims})
    ours = [(lanes[claim.account], claim) for claim in claims if lanes[claim.account].lease == claim.lease]
    for lane, claim in ours:
        lane.lease = lane.lease_until = lane.open_at = None
        failure = claim.failure
        if failure is None or isinstance(failure, (Rejected, CredentialsRefused)):
            if lane.failures >= OUTAGE:
                _flow_again(claim.credential)
            lane.failures = 0
        else:
            lane.failures += 1
            lane.open_at = now + timedelta(seconds=lane_pause(lane.failures, failure.retry_after))
    statements.update([lane for lane, _ in ours], ["lease", "lease_until", "open_at", "failures"])


def lane_pause(failures: int, retry_after: float | None = None) -> float:
    """Seconds until an account that fails is tried again, with a jitter of a half."""
    longest = min(LONGEST_LANE_PAUSE, 0.5 * 2.0 ** min(failures, 8))
    return max(retry_after or 0.0, random.uniform(longest / 2, longest))


def _flow_again(credential: Credential) -> None:
    """The account was away and is back: nothing waits for a time that was set because it was away."""
    CallSync.objects.filter(credential=credential, parked=False, not_before__gt=timezone.now()).update(not_before=None)


def _log_rows(claim: Claim, now_there: Mapping[int, CallSync]) -> list[tuple[Exchange, list[int]]]:
    ids = [now_there[row.pk].call_id for row, _, _ in claim.works if row.pk in now_there]
    purpose = "look" if claim.looking else ", ".join(sorted({work.step.name for _, _, work in claim.works}))
    return [
        (
            exchanges.row_of(
                masked,
                company_id=claim.credential.company_id,
                vendor=claim.credential.crm,
                account=claim.credential.uuid,
                purpose=purpose[:40],
            ),
            ids,
        )
        for masked in claim.exchanges
    ]


# --- What a person may ask for ----------------------------------------------------------------------------------------


def retry(rows: QuerySet[CallSync]) -> int:
    """Try parked or waiting-for-later rows again, now."""
    return rows.filter(state=CallSync.State.WANTED).update(
        parked=False, not_before=None, attempts=0, error="", error_kind="", due_at=timezone.now()
    )


def resume(credential: Credential) -> None:
    """The account is connected again: its lane opens and what waited flows."""
    Lane.objects.filter(account=credential.account).update(open_at=None, failures=0)
    _flow_again(credential)
