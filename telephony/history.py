"""Looking into a PBX's own history: when, over which period, by whom, and what becomes of a look that fails.

A run covers a period and is done day by day (the company's days), the newest first, so that each piece is one report
of the vendor's, is safe to repeat, and may be cut off anywhere. A lease says who is at it; a few runs in all and one
for each connection are under way at a time, since reports are waited for and vendors allow few.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import structlog
from django.db.models import DateTimeField, Exists, ExpressionWrapper, F, Max, Min, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from employees.models import Company, User
from outbound.errors import OutboundError, Rejected

from . import backfill, coverage
from .clocks import pull_back
from .exchanges import http_for
from .fold import Source
from .hot import hot_write
from .leases import LEASE, renewed
from .models import Call, Connection, CoverageDay, HistoryRun, Schedule
from .providers import registry
from .providers.base import Capability, HistoryLeg

log = structlog.get_logger(__name__)

Kind, State = HistoryRun.Kind, HistoryRun.State

AT_ONCE = 4
"""Runs under way over all processes: their threads wait, and others need the threads."""
ASK_SECONDS, PATIENCE_SECONDS = 60.0, 30.0
REGULAR = (Kind.SCHEDULED, Kind.OUTAGE)
PERIOD, SOON = timedelta(hours=1), timedelta(minutes=5)
WRITTEN = timedelta(minutes=10)
"""So long after its end a call is in the history, with its recordings."""
NIGHT = timedelta(hours=4)
"""Until so long after midnight the day before is compared too: its last calls have ended by then."""
WEEK = timedelta(days=7)
"""How far back a comparison looks by itself."""
OUTAGE = timedelta(minutes=2)
TRIES = {Kind.WATCHDOG: 5}
MOST_TRIES = 10
"""With pauses from a minute to an hour: half an hour for the watchdog, half a night for the others."""
_under_way: set[int] = set()
KEPT = timedelta(days=90)
DOOR = "door"
"""The row of `Schedule` that says when the door for PBXs was open last."""


# --- Beginning a run --------------------------------------------------------------------------------------------------


def able(connection: Connection) -> bool:
    return Capability.HISTORY in connection.protocol.able(connection.credentials)


def start(
    connection: Connection,
    kind: HistoryRun.Kind,
    since: datetime,
    until: datetime,
    *,
    into_crm: bool = True,
    asked_by: User | None = None,
) -> HistoryRun:
    return HistoryRun.objects.create(
        company=connection.company,
        connection=connection,
        kind=kind,
        since=since,
        until=until,
        reached=until,
        into_crm=into_crm,
        asked_by=asked_by,
    )


def check(connection: Connection, asked_by: User | None = None) -> HistoryRun:
    """Compare the last days. A comparison that is under way already is the one, and waits for nothing any more."""
    running = connection.history_runs.filter(state=State.OPEN, kind=Kind.SCHEDULED)
    running.update(not_before=None)
    now = timezone.now()
    return running.first() or start(connection, Kind.SCHEDULED, _since(connection, now), now, asked_by=asked_by)


def bring_in(connection: Connection, days: int, *, into_crm: bool, asked_by: User | None) -> HistoryRun:
    """Import the past `days` and today. What is here already stays as it is."""
    now = timezone.now()
    since = coverage.midnight(connection.company, now - timedelta(days=days))
    return start(connection, Kind.IMPORT, since, now, into_crm=into_crm, asked_by=asked_by)


def importing(connection: Connection) -> bool:
    return connection.history_runs.filter(kind=Kind.IMPORT, state=State.OPEN).exists()


def shown(connection: Connection) -> list[HistoryRun]:
    """What a person should see: a comparison that is under way or could not be done, and the last import."""
    rows = connection.history_runs.order_by("-id")
    regular = rows.filter(kind__in=REGULAR).first()
    brought_in = rows.filter(kind=Kind.IMPORT).first()
    found = [regular if regular and regular.state in (State.OPEN, State.FAILED) else None, brought_in]
    return [run for run in found if run]


def unanswered(companies: QuerySet[Company]) -> QuerySet[HistoryRun]:
    """Of `shown` those of active connections that failed or fail now; `error` says why. Older ones are history."""
    looks = HistoryRun.objects.filter(connection=OuterRef("connection"), created_at__gt=timezone.now() - WEEK)
    newest = [
        Subquery(looks.filter(kind__in=kinds).order_by("-created_at", "-id").values("pk")[:1])
        for kinds in (REGULAR, (Kind.IMPORT,))
    ]
    rows = HistoryRun.objects.filter(
        company__in=companies, connection__active=True, state__in=(State.OPEN, State.FAILED)
    )
    recent = rows.filter(created_at__gt=timezone.now() - WEEK).exclude(error="")
    return recent.filter(Q(pk=newest[0]) | Q(pk=newest[1])).select_related("connection")


def cancel(run: HistoryRun) -> None:
    """What was filled in so far stays."""
    HistoryRun.objects.filter(pk=run.pk, state=State.OPEN).update(state=State.CANCELLED)


def plan_comparisons() -> None:
    """Every connection each hour, and soon again where a call that we lack was not over yet; between these, where only
    the history knows what calls came to, those that have ended.

    A look that failed is tried again by that very run, until it gives up.
    """
    now = timezone.now()
    regular = HistoryRun.objects.filter(connection=OuterRef("pk"), kind__in=REGULAR)
    seldom = Q(created_at__gt=now - PERIOD, going_on=[])
    recent = Q(created_at__gt=now - SOON) | seldom | Q(state=State.OPEN)
    rows = Connection.objects.filter(created_at__lt=now - PERIOD).exclude(Exists(regular.filter(recent)))
    for connection in _with_history(rows):
        check(connection)
    _ask_what_calls_came_to(now)


def _ask_what_calls_came_to(now: datetime) -> None:
    """Of a PBX whose events do not say it: one look from the beginning of the first call that it may know more of."""
    untold = [slug for slug, provider in registry.all_providers().items() if not provider.sums_up]
    looks = HistoryRun.objects.filter(connection=OuterRef("pk"))
    recent = looks.filter(Q(created_at__gt=now - SOON) | Q(state=State.OPEN))
    for connection in _with_history(Connection.objects.filter(~Exists(recent), provider__in=untold)):
        if first := _not_asked_for(connection, now).aggregate(first=Min("started_at"))["first"]:
            start(connection, Kind.WATCHDOG, first - timedelta(minutes=1), now)


def _not_asked_for(connection: Connection, now: datetime) -> QuerySet[Call]:
    """Calls of the last hour that go on, or that were not asked for since they were in the history for certain."""
    lately = Q(ended_at=None, started_at__gt=now - PERIOD) | Q(ended_at__gt=now - PERIOD)
    asked = HistoryRun.objects.exclude(state=State.CANCELLED).filter(
        connection=connection,
        since__lte=OuterRef("started_at"),
        until__gte=OuterRef("started_at"),
        created_at__gt=ExpressionWrapper(OuterRef("ended_at") + WRITTEN, DateTimeField()),
    )
    calls = Call.objects.filter(lately, connection=connection).exclude(source=Source.TRIAL)
    return calls.exclude(Exists(asked))


def _with_history(connections: QuerySet[Connection]) -> list[Connection]:
    """Those whose PBX keeps a history that we can ask."""
    providers = registry.all_providers().items()
    slugs = [slug for slug, provider in providers if Capability.HISTORY in provider.capabilities]
    return [row for row in connections.filter(active=True, provider__in=slugs).select_related("company") if able(row)]


def _since(connection: Connection, now: datetime) -> datetime:
    """Today; in the night the day before too; and further back to where the last comparison ended (we were down, or
    the vendor could not be asked) and to a day that was not whole."""
    moments = [now - NIGHT]
    last = connection.history_runs.filter(kind__in=REGULAR, state=State.DONE).aggregate(until=Max("until"))["until"]
    moments.append(last or connection.created_at)
    since = coverage.midnight(connection.company, max(min(moments), now - WEEK))
    torn = CoverageDay.objects.filter(connection=connection, day__gte=(now - WEEK).date()).exclude(missing=[])
    if day := torn.order_by("day").values_list("day", flat=True).first():
        since = min(since, coverage.first_moment(connection.company, day))
    return max(since, connection.created_at)


def note_open_door(now: datetime | None = None) -> None:
    """The door for PBXs is open, says every web process. Where nobody has said so for some minutes it was shut, and
    calls went by: everything since then is compared at once."""
    now = now or timezone.now()
    last = Schedule.objects.get_or_create(name=DOOR, defaults={"due_at": now})[0].due_at
    mine = Schedule.objects.filter(name=DOOR, due_at=last).update(due_at=now)
    if not mine or now - last < OUTAGE:
        return
    log.warning("the door was shut", since=last.isoformat())
    for connection in _with_history(Connection.objects.filter(created_at__lt=now)):
        after_outage(connection, last, now)


def after_outage(connection: Connection, since: datetime, now: datetime) -> HistoryRun | None:
    """Compare what went by from `since` on; None where the PBX keeps no history that we can ask."""
    if not able(connection):
        return None
    begin = coverage.midnight(connection.company, max(since, now - WEEK))
    return start(connection, Kind.OUTAGE, max(begin, connection.created_at), now)


def forget_old_runs() -> None:
    HistoryRun.objects.exclude(state=State.OPEN).filter(created_at__lt=timezone.now() - KEPT).delete()


# --- Working at it ----------------------------------------------------------------------------------------------------


def due() -> list[int]:
    """Ids of runs that may be worked at now: the most urgent of each connection, as many as there is room for."""
    now = timezone.now()
    busy = list(HistoryRun.objects.filter(lease_until__gt=now).values_list("connection_id", flat=True))
    rows = _free(now).exclude(connection__in=busy).order_by("id").values_list("pk", "kind", "connection_id")
    urgency = list(Kind)
    first: dict[int, int] = {}
    for pk, _kind, connection_id in sorted(rows, key=lambda row: urgency.index(Kind(row[1]))):
        first.setdefault(connection_id, pk)
    return list(first.values())[: max(0, AT_ONCE - len(busy))]


def _free(now: datetime) -> QuerySet[HistoryRun]:
    rows = HistoryRun.objects.filter(Q(not_before=None) | Q(not_before__lte=now), state=State.OPEN)
    return rows.filter(Q(lease_until=None) | Q(lease_until__lt=now))


def work(run_id: int) -> None:
    """Compare one day of a run. Safe to call at any time and from many workers."""
    run = _claim(run_id)
    if run is None:
        return
    _under_way.add(run.pk)
    try:
        with renewed(HistoryRun.objects.filter(pk=run.pk, lease=run.lease), LEASE):
            _work(run)
    finally:
        _under_way.discard(run.pk)


def hand_back() -> None:
    """The process must end: whoever comes next need not wait for what it was looking at."""
    with hot_write():
        HistoryRun.objects.filter(pk__in=list(_under_way)).update(lease=None, lease_until=None)


def _work(run: HistoryRun) -> None:
    begin = max(run.since, coverage.midnight(run.company, run.reached - timedelta(microseconds=1)))
    try:
        compared = backfill.compare(run, _ask(run, begin))
        backfill.check_names(run, compared, begin)
        backfill.fill(run, compared)
    except OutboundError as error:
        _later(run, error.words, error.retry_after, final=isinstance(error, Rejected))
    except Exception as error:
        log.exception("a look into a history failed", run=run.pk)
        _later(run, f"{type(error).__name__}: {error}", None, final=False)
    else:
        _note(run, begin, compared)


def _claim(run_id: int) -> HistoryRun | None:
    now = timezone.now()
    with hot_write():
        run = _free(now).select_related("connection__company", "company").filter(pk=run_id).first()
        busy = HistoryRun.objects.filter(lease_until__gt=now).values_list("connection_id", flat=True)
        if run is None or len(busy) >= AT_ONCE or run.connection_id in busy:
            return None
        run.lease, run.lease_until = uuid.uuid4(), now + LEASE
        if not _free(now).filter(pk=run_id).update(lease=run.lease, lease_until=run.lease_until):
            return None
    return run


def _ask(run: HistoryRun, begin: datetime) -> list[HistoryLeg]:
    """The legs of the calls that began from `begin` to where the run has come. What came live is folded first."""
    connection = run.connection
    http = http_for(connection, purpose="history", deadline=ASK_SECONDS, patience=PATIENCE_SECONDS)
    shift = backfill.shift_of(connection)
    legs = connection.protocol.history(http, connection.credentials, begin + shift, run.reached + shift)
    asked = list(legs)
    backfill.drain()
    return asked


def _note(run: HistoryRun, begin: datetime, compared: list[backfill.Compared]) -> None:
    """The piece is done, where the lease is still ours (the run may have been cancelled meanwhile)."""
    absent = backfill.missing(run.connection, compared)
    going_on = [each.told.call for each in compared if each.verdict is backfill.Verdict.GOING_ON]
    done = begin <= run.since
    with hot_write():
        mine = HistoryRun.objects.filter(pk=run.pk, lease=run.lease).update(
            reached=begin,
            found=F("found") + len(compared),
            going_on=[*run.going_on, *going_on],
            attempts=0,
            error="",
            not_before=None,
            lease=None,
            lease_until=None,
        )
        if mine and run.kind != Kind.WATCHDOG:
            coverage.note(run.connection, begin, run.reached, len(compared), absent)
        if mine and done:
            HistoryRun.objects.filter(pk=run.pk, state=State.OPEN).update(state=State.DONE)


def _later(run: HistoryRun, words: str, retry_after: float | None, *, final: bool) -> None:
    attempts = run.attempts + 1
    pause = max(retry_after or 0.0, min(3600.0, 60.0 * 2 ** (attempts - 1)))
    over = final or attempts >= TRIES.get(Kind(run.kind), MOST_TRIES)
    with hot_write():
        rows = HistoryRun.objects.filter(pk=run.pk, lease=run.lease)
        if over:
            rows.filter(state=State.OPEN).update(state=State.FAILED)
        not_before = timezone.now() + timedelta(seconds=pause)
        rows.update(attempts=attempts, error=words, not_before=not_before, lease=None, lease_until=None)


def mend_after_a_clock_step() -> None:
    rows = HistoryRun.objects.filter(state=State.OPEN)
    with hot_write():
        pull_back(rows, "lease_until", LEASE)
        pull_back(rows, "not_before", PERIOD)


def forget_leases() -> None:
    """At the start of an installation of one process: nobody is at any run."""
    HistoryRun.objects.exclude(lease=None).update(lease=None, lease_until=None)
