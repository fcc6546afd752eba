"""Reconciling CRMs with calls: look at what a call is now and what its CRM has, and make the next missing step.

For one account at a time there is one batch in flight (its lane). A claim writes lease and intent in one commit, then
comes one request, then all notes in one commit, only where the lease is still ours. An intent whose lease ran out is a
request of unknown fate and goes the way that its step declares.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog
from django.db.models import F, Min, Q, QuerySet
from django.utils import timezone
from prometheus_client import Counter, Histogram

from crm_adapters.base import Job, NotMade, Priority, Repeat, Result, Step, Work
from employees import installation
from outbound.errors import CredentialsRefused, OutboundError, Rejected
from outbound.http import Exchange as Masked
from outbound.http import Http
from outbound.limits import Limit, Limiter
from telephony import exchanges
from telephony.exchanges import DatabaseLimiter
from telephony.hot import hot_write, persistently, upsert
from telephony.models import Exchange

from . import credentials, directory
from .directory import Wanting
from .facts import facts_of
from .models import CallSync, Credential, Lane

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=75)
DEADLINE = 60.0
LONGEST_PAUSE = 3600.0
LONGEST_LANE_PAUSE = 60.0
HISTORY = 50
WORKED = [
    "noted",
    "progress",
    "intent",
    "lease",
    "lease_until",
    "not_before",
    "attempts",
    "parked",
    "error_kind",
    "error",
    "history",
]
CLAIMED = ["intent", "lease", "lease_until"]

steps = Counter("callbridge_crm_steps", "Steps made in CRMs", ["crm", "step", "result"])
requests_made = Counter("callbridge_crm_requests", "HTTP requests to CRMs", ["crm"])
lag = Histogram(
    "callbridge_crm_lag_seconds",
    "From the change of a call to its note",
    ["crm"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600),
)


@dataclass(slots=True)
class Claim:
    """Rows of one account under our lease, with the step that each is to make."""

    credential: Credential
    account: str
    lease: uuid.UUID
    works: list[tuple[CallSync, Wanting, Work]]
    looking: bool
    exchanges: list[Masked] = field(default_factory=list)
    failure: OutboundError | None = None
    """What went wrong for the whole request, not for a row of it."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing was claimed. `wait`: seconds after which there may be work; None: nothing is due."""

    wait: float | None = None


def work_off(sync_id: int, rounds: int = 50) -> float | None:
    """Work off what is due in the account of this row; returns the seconds after which to come again, if known."""
    credential = Credential.objects.filter(syncs=sync_id).first()
    if credential is None:
        return None
    for _ in range(rounds):
        claim = _claim(credential)
        if isinstance(claim, Idle):
            return claim.wait
        results = _perform(claim)
        persistently(partial(_note, claim, results))
    return 0.0


def due(now: datetime | None = None) -> QuerySet[CallSync]:
    """Rows with work that may be done now."""
    now = now or timezone.now()
    return CallSync.objects.filter(
        Q(not_before=None) | Q(not_before__lte=now),
        Q(lease_until=None) | Q(lease_until__lt=now),
        state=CallSync.State.WANTED,
        parked=False,
        wanted__gt=F("noted"),
    )


def accounts_with_work() -> list[int]:
    """One due row for each account that is not paused."""
    now = timezone.now()
    paused = Lane.objects.filter(Q(open_at__gt=now) | Q(lease_until__gt=now)).values_list("account", flat=True)
    rows = due(now).exclude(credential__state__in=_PAUSED).order_by().values("credential", "credential__account_digest")
    closed = set(paused)
    return [row["first"] for row in rows.annotate(first=Min("id")) if row["credential__account_digest"] not in closed]


_PAUSED = (Credential.State.REFUSED, Credential.State.DISCONNECTED)


# --- Claiming ---------------------------------------------------------------------------------------------------------


def _claim(credential: Credential) -> Claim | Idle:
    """Take the account's lane, a token of its limiter and its most urgent rows, in one commit."""
    installation.refresh()
    adapter = credential.adapter
    account = credential.account_digest or f"credential-{credential.pk}"
    now = timezone.now()
    with hot_write():
        lane = _lane(account)
        if lane.lease_until and lane.lease_until > now:
            return Idle()
        if lane.open_at and lane.open_at > now:
            return Idle((lane.open_at - now).total_seconds())
        credential.refresh_from_db()
        if credential.state in _PAUSED:
            return Idle()
        works, settled, looking = _choose(credential, now)
        upsert(settled, WORKED)
        if not works:
            return Idle(_next_due(credential, now))
        if wait := DatabaseLimiter.take_in_transaction(adapter.limits(credential.values)):
            return Idle(wait)
        lease = uuid.uuid4()
        for row, _, work in works:
            row.intent, row.lease, row.lease_until = work.step.name, lease, now + LEASE
        upsert([row for row, _, _ in works], CLAIMED)
        lane.lease, lane.lease_until = lease, now + LEASE
        lane.save(update_fields=["lease", "lease_until"])
    return Claim(credential, account, lease, works, looking)


def _lane(account: str) -> Lane:
    rows = Lane.objects.select_for_update().filter(account=account)
    if lane := rows.first():
        return lane
    Lane.objects.bulk_create([Lane(account=account)], ignore_conflicts=True)
    return rows.get()


def _choose(credential: Credential, now: datetime) -> tuple[list[tuple[CallSync, Wanting, Work]], list[CallSync], bool]:
    """The batch: rows of unknown fate that must be looked for come first and alone. Second: rows that need nothing."""
    size = credential.adapter.batch_size
    rows = (
        due(now)
        .filter(credential=credential)
        .select_related("call__dialled_by")
        .prefetch_related("call__participants", "call__recordings")
        .order_by("priority", "due_at", "id")
        .select_for_update(skip_locked=True, of=("self",))[: size * 4]
    )
    to_do: list[tuple[CallSync, Wanting, Work]] = []
    to_look: list[tuple[CallSync, Wanting, Work]] = []
    settled: list[CallSync] = []
    for row in rows:
        wanting = directory.by_id(row.integration_id)
        job = _job(row, wanting)
        step = wanting.adapter.plan(job)
        doubtful = row.intent
        if doubtful and (step is None or step.name != doubtful):
            # The call moved on while the fate of the earlier step is open: settle that first.
            step = Step(doubtful, step.priority if step else Priority.FINISH, Repeat.LOOK)
        if step is None:
            row.noted = row.wanted
            settled.append(row)
        elif not doubtful or step.repeat is Repeat.KEY:
            to_do.append((row, wanting, Work(job, step)))
        elif step.repeat is Repeat.LOOK:
            to_look.append((row, wanting, Work(job, step)))
        else:
            row.parked, row.intent, row.error_kind = True, "", "doubt"
            row.error = "the answer was lost, and this CRM cannot tell whether the step was made"
            settled.append(row)
    return (to_look[:size], settled, True) if to_look else (to_do[:size], settled, False)


def _job(row: CallSync, wanting: Wanting) -> Job:
    call = row.call
    facts = facts_of(call, list(call.participants.all()), list(call.recordings.all()), wanting)
    return Job(facts, wanting.settings, row.progress)


def _next_due(credential: Credential, now: datetime) -> float | None:
    waiting = CallSync.objects.filter(
        credential=credential, state=CallSync.State.WANTED, parked=False, wanted__gt=F("noted"), not_before__gt=now
    )
    soonest = waiting.order_by("not_before").values_list("not_before", flat=True).first()
    return (soonest - now).total_seconds() if soonest else None


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
        return adapter.look(http, secrets, batch) if claim.looking else adapter.perform(http, secrets, batch)

    try:
        return credentials.speaking(credential, http, ask)
    except OutboundError as error:
        claim.failure = error
        return [error] * len(batch)
    except Exception as error:
        log.exception("adapter failed", crm=credential.crm)
        return [Rejected(f"{type(error).__name__}: {error}", code="our_fault", fate_unknown=True)] * len(batch)


def _http(claim: Claim) -> Http:
    credential = claim.credential
    http = exchanges.open_http(secrets=credential.secret_values, record=claim.exchanges.append, deadline=DEADLINE / 3)
    http.limiter = _Prepaid(exchanges.limiter)
    return http


# --- Noting -----------------------------------------------------------------------------------------------------------


def _note(claim: Claim, results: Sequence[Result]) -> None:
    """Write what was done, where the lease is still ours, and give the lane back."""
    now = timezone.now()
    with hot_write():
        ids = [row.pk for row, _, _ in claim.works]
        mine = set(
            CallSync.objects.select_for_update()
            .filter(pk__in=ids, lease=claim.lease)
            .order_by("pk")
            .values_list("id", flat=True)
        )
        rows = []
        for (row, wanting, work), result in zip(claim.works, results, strict=True):
            if row.pk in mine:
                row = copy(row)  # noted anew when the database breaks this transaction off
                _note_row(row, wanting, work, result, now)
                rows.append(row)
        upsert(rows, WORKED)
        _give_back(claim, now)
        exchanges.write(_log_rows(claim))
    requests_made.labels(claim.credential.crm).inc(len(claim.exchanges))


def _note_row(row: CallSync, wanting: Wanting, work: Work, result: Result, now: datetime) -> None:
    row.lease = row.lease_until = None
    crm, name = row_crm(wanting), work.step.name
    if isinstance(result, OutboundError):
        steps.labels(crm, name, result.kind).inc()
        _note_error(row, work.step, result, now)
        return
    row.intent, row.error_kind, row.error, row.attempts, row.not_before = "", "", "", 0, None
    if isinstance(result, NotMade):
        return
    steps.labels(crm, name, "done").inc()
    row.progress = {**row.progress, **result.progress}
    row.history = [*row.history, {"at": now.isoformat(), "step": name, "words": result.words}][-HISTORY:]
    facts = work.job.facts
    if wanting.adapter.plan(Job(facts, work.job.settings, row.progress)) is None:
        row.noted = max(row.noted, facts.version)
    if row.due_at:
        lag.labels(crm).observe((now - row.due_at).total_seconds())


def row_crm(wanting: Wanting) -> str:
    return wanting.adapter.slug


def _note_error(row: CallSync, step: Step, error: OutboundError, now: datetime) -> None:
    row.attempts += 1
    row.error_kind, row.error = error.kind, f"{error.code} {error.words}".strip()[:2000]
    row.intent = step.name if error.fate_unknown else ""
    if isinstance(error, CredentialsRefused):
        row.not_before = None
    elif isinstance(error, Rejected) and not error.fate_unknown:
        row.parked = True
    else:
        row.not_before = now + timedelta(seconds=pause(row.attempts, error.retry_after))


def pause(attempts: int, retry_after: float | None = None) -> float:
    """Seconds until the next try: exponential with full jitter, an hour at the most, never sooner than asked for."""
    longest = min(LONGEST_PAUSE, 2.0 ** min(attempts, 12))
    return max(retry_after or 0.0, random.uniform(longest / 4, longest))


def _give_back(claim: Claim, now: datetime) -> None:
    """Free the lane; an account that fails as a whole is left alone for a while, then tried with one batch."""
    lane = Lane.objects.select_for_update().get(account=claim.account)
    if lane.lease != claim.lease:
        return
    failure = claim.failure
    failed = failure is not None and not isinstance(failure, (Rejected, CredentialsRefused))
    lane.lease = lane.lease_until = lane.open_at = None
    lane.failures = lane.failures + 1 if failed else 0
    if failure and failed:
        wait = min(LONGEST_LANE_PAUSE, 0.5 * 2.0 ** min(lane.failures, 8))
        lane.open_at = now + timedelta(seconds=max(failure.retry_after or 0.0, random.uniform(wait / 2, wait)))
    lane.save()


def _log_rows(claim: Claim) -> list[tuple[Exchange, list[int]]]:
    calls = [row.call_id for row, _, _ in claim.works]
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
            calls,
        )
        for masked in claim.exchanges
    ]


def forget_leases() -> None:
    """At the start of an installation of one process: whoever held a lease is gone, and nobody has to wait for it."""
    CallSync.objects.exclude(lease=None).update(lease=None, lease_until=None)
    Lane.objects.exclude(lease=None).update(lease=None, lease_until=None)
    Credential.objects.exclude(refresh_lease=None).update(refresh_lease=None)


# --- What a person may ask for ----------------------------------------------------------------------------------------


def retry(rows: QuerySet[CallSync]) -> int:
    """Try parked or waiting-for-later rows again, now."""
    return rows.filter(state=CallSync.State.WANTED).update(
        parked=False, not_before=None, attempts=0, error="", error_kind="", due_at=timezone.now()
    )


def resume(credential: Credential) -> None:
    """The account is connected again: its lane opens and what waited flows."""
    Lane.objects.filter(account=credential.account_digest).update(open_at=None, failures=0)
    CallSync.objects.filter(credential=credential, parked=False).update(not_before=None)
