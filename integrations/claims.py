"""Claiming work for CRM accounts: an account's lane, a token of its limiter, its most urgent rows under a lease."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from crm_adapters.base import Job, Priority, Repeat, Step, Work
from outbound.errors import OutboundError
from outbound.http import Exchange as Masked
from telephony import calls, statements
from telephony.exchanges import DatabaseLimiter
from telephony.hot import Constant
from telephony.models import Call, Command

from . import directory, knowing
from .directory import Wanting
from .facts import facts_of, thawed
from .models import CallSync, Credential, Lane

LEASE = timedelta(seconds=settings.SYNC_LEASE_SECONDS)
PER_ACCOUNT = 40
"""Rows of an account that are looked at for one batch."""
AT_A_LOOK = 2000
POP_UP_AGE = timedelta(seconds=30)
"""A card that could be shown only so long after its event is not shown any more."""
LEFT_OUT = "pop_up_late"
"""The step that the passport shows instead."""
WORKED = [
    "noted",
    "priority",
    "progress",
    "intent",
    "lease",
    "lease_until",
    "not_before",
    "attempts",
    "parked",
    "error_kind",
    "error",
    "cause",
    "failed_at",
    "history",
]
CLAIMED = ["intent", "progress", "lease", "lease_until"]


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
    """Nothing was claimed. `wait`: seconds after which the account may be asked again; None: nothing is due."""

    wait: float | None = None


def due(now: datetime | None = None) -> QuerySet[CallSync]:
    """Rows with work that may be done now."""
    now = now or timezone.now()
    return CallSync.objects.filter(
        Q(not_before=None) | Q(not_before__lte=now),
        Q(lease_until=None) | Q(lease_until__lt=now),
        state=Constant(CallSync.State.WANTED),
        parked=False,
        wanted__gt=F("noted"),
        due_at__lte=now,
    )


def accounts_with_work() -> list[int]:
    """Ids of credentials whose account has due rows and is not paused."""
    now = timezone.now()
    paused = Lane.objects.filter(Q(open_at__gt=now) | Q(lease_until__gt=now)).values_list("account", flat=True)
    ids = due(now).order_by().values_list("credential", flat=True).distinct()
    ready = Credential.objects.filter(pk__in=list(ids)).exclude(state__in=_PAUSED).order_by("id")
    closed = set(paused)
    return [credential.pk for credential in ready if credential.account not in closed]


_PAUSED = (Credential.State.REFUSED, Credential.State.DISCONNECTED)


DUE = (
    "state = 'wanted' AND NOT parked AND wanted > noted AND due_at <= %s"
    " AND (not_before IS NULL OR not_before <= %s) AND (lease_until IS NULL OR lease_until < %s)"
)
"""What `due` asks, as the hot path asks it."""


def _at(now: datetime) -> list[Any]:
    """What fills `DUE`."""
    return [connection.ops.adapt_datetimefield_value(now)] * 3


def most_urgent(credential_ids: Collection[int], now: datetime) -> dict[int, list[int]]:
    """Ids of the most urgent rows of each account that has any that are due."""
    found = _urgent_rows(credential_ids, now)
    if late := {credential_id for credential_id, _, is_late in found if is_late}:
        _demote_late_pop_ups(late, now)
        found = _urgent_rows(credential_ids, now)
    urgent: dict[int, list[int]] = defaultdict(list)
    for credential_id, row_id, _ in found:
        if len(urgent[credential_id]) < PER_ACCOUNT:
            urgent[credential_id].append(row_id)
    return urgent


def _demote_late_pop_ups(credential_ids: Collection[int], now: datetime) -> None:
    """What comes late is no pop-up any more, and must not stand before those that are in time."""
    late = due(now).filter(credential__in=credential_ids, priority=Priority.POP_UP, due_at__lt=now - POP_UP_AGE)
    late.update(priority=Priority.FINISH)


def _urgent_rows(credential_ids: Collection[int], now: datetime) -> list[tuple[int, int, bool]]:
    """Credential and id of rows, and whether it is a pop-up that comes late; one account's backlog does not hide what
    the others have to do."""
    found = _first_rows(credential_ids, AT_A_LOOK, now)
    if len(found) < AT_A_LOOK:
        return found
    return [row for each in credential_ids for row in _first_rows([each], PER_ACCOUNT, now)]


def _first_rows(credential_ids: Collection[int], most: int, now: datetime) -> list[tuple[int, int, bool]]:
    """In the order of the index: without statistics SQLite would else read everything."""
    if not credential_ids:
        return []
    late = connection.ops.adapt_datetimefield_value(now - POP_UP_AGE)
    what = f"credential_id, id, priority = {Priority.POP_UP:d} AND due_at < %s"
    places = ", ".join(["%s"] * len(credential_ids))
    order = f"ORDER BY credential_id, priority, due_at, id LIMIT {most}"
    asked = f"SELECT {what} FROM integrations_callsync WHERE credential_id IN ({places}) AND {DUE} {order}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(asked, [late, *credential_ids, *_at(now)])
        return list(cursor.fetchall())


def claim(urgent: dict[int, list[int]], now: datetime) -> dict[int, Claim | Idle]:
    """For each account, by id of its credential, its lane, a token of its limiter and its most urgent rows.

    `urgent`: ids of the rows of each. Inside a transaction of the caller's.
    """
    credentials = {row.pk: row for row in statements.select(Credential, {"id": urgent})}
    lanes = lanes_of({credential.account for credential in credentials.values()})
    answers: dict[int, Claim | Idle] = {credential_id: Idle() for credential_id in urgent}
    free: dict[str, Credential] = {}
    for credential in credentials.values():
        lane = lanes[credential.account]
        if lane.open_at and lane.open_at > now:
            answers[credential.pk] = Idle((lane.open_at - now).total_seconds())
        elif not (lane.lease_until and lane.lease_until > now) and credential.state not in _PAUSED:
            free.setdefault(credential.account, credential)
    probing = {credential.pk for credential in free.values() if lanes[credential.account].failures}
    choices = _choose(list(free.values()), probing, urgent, now)
    statements.update([row for choice in choices.values() for row in choice.settled], WORKED)
    busy = [(credentials[credential_id], choice) for credential_id, choice in choices.items() if choice.works]
    limits = [credential.adapter.limits(credential.values) for credential, _ in busy]
    for (credential, choice), wait in zip(busy, DatabaseLimiter.take_each(limits), strict=True):
        lane = lanes[credential.account]
        answers[credential.pk] = Idle(wait) if wait else _leased(credential, lane, choice, now + LEASE)
    claims = [answer for answer in answers.values() if isinstance(answer, Claim)]
    statements.update([row for claim in claims for row, _, _ in claim.works], CLAIMED)
    statements.update([lanes[claim.account] for claim in claims], ["lease", "lease_until"])
    return answers


def _leased(credential: Credential, lane: Lane, choice: _Choice, until: datetime) -> Claim:
    lane.lease, lane.lease_until = uuid.uuid4(), until
    for row, _, work in choice.works:
        row.intent, row.lease, row.lease_until = work.step.name, lane.lease, until
        row.progress = {**row.progress, **work.step.keeps}
    return Claim(credential, lane.account, lane.lease, choice.works, choice.looking)


def lanes_of(accounts: set[str]) -> dict[str, Lane]:
    """Locked; by name, as everybody locks them."""
    rows = statements.select(Lane, {"account": accounts}, order="account", lock=statements.WAIT)
    if len(rows) < len(accounts):
        Lane.objects.bulk_create([Lane(account=account) for account in sorted(accounts)], ignore_conflicts=True)
        rows = statements.select(Lane, {"account": accounts}, order="account", lock=statements.WAIT)
    return {lane.account: lane for lane in rows}


@dataclass(slots=True)
class _Choice:
    """What an account is to do now. `settled` are rows that need nothing, or nothing more."""

    works: list[tuple[CallSync, Wanting, Work]] = field(default_factory=list)
    settled: list[CallSync] = field(default_factory=list)
    looking: bool = False


def _choose(
    accounts: list[Credential], probing: set[int], urgent: dict[int, list[int]], now: datetime
) -> dict[int, _Choice]:
    """The batch of each account: one row where the last request failed (`probing`), to see whether it is back."""
    ids = [row_id for credential in accounts for row_id in urgent[credential.pk]]
    order = "priority, due_at, id"
    rows = statements.select(CallSync, {"id": ids}, also=DUE, filling=_at(now), order=order, lock=statements.SKIP)
    _load_calls(rows)
    of_account: dict[int, list[CallSync]] = {credential.pk: [] for credential in accounts}
    for row in rows:
        of_account[row.credential_id].append(row)
    sizes = {each.pk: 1 if each.pk in probing else each.adapter.batch_size for each in accounts}
    return {credential_id: _choice(of_account[credential_id], size, now) for credential_id, size in sizes.items()}


def _load_calls(rows: list[CallSync]) -> None:
    """The calls of the rows, with their people, recordings and the commands that began them."""
    known = {call.pk: call for call in statements.select(Call, {"id": {row.call_id for row in rows}})}
    calls.load_people(known.values())
    dialled = {call.dialled_by_id: call for call in known.values() if call.dialled_by_id}
    for command in statements.select(Command, {"id": dialled}):
        dialled[command.pk].dialled_by = command
    for row in rows:
        row.call = known[row.call_id]


def _choice(rows: list[CallSync], size: int, now: datetime) -> _Choice:
    """Rows of unknown fate that must be looked for come first and alone."""
    to_do: list[tuple[CallSync, Wanting, Work]] = []
    to_look: list[tuple[CallSync, Wanting, Work]] = []
    settled: list[CallSync] = []
    for row in rows:
        wanting = directory.by_id(row.integration_id)
        late = bool(row.due_at and now - row.due_at > POP_UP_AGE)
        job = _job(row, wanting, late)
        if late and not row.part:
            _say_that_a_card_is_left_out(row, wanting, job, now)
        doubtful = "" if row.intent == knowing.STEP else row.intent
        step = next_step(row, wanting, job, doubtful)
        if doubtful and (step is None or step.name != doubtful):
            # The call moved on while the fate of the earlier step is open: settle that first.
            way = Repeat.LOOK if wanting.adapter.can_look else Repeat.STOP
            step = Step(doubtful, step.priority if step else Priority.FINISH, way)
        if step is None:
            row.noted, row.error_kind, row.error = row.wanted, "", ""
            settled.append(row)
        elif not doubtful or step.repeat is Repeat.KEY:
            to_do.append((row, wanting, Work(job, step)))
        elif step.repeat is Repeat.LOOK:
            to_look.append((row, wanting, Work(job, step)))
        else:
            row.parked, row.intent, row.error_kind, row.failed_at = True, "", "doubt", now
            row.error = "the answer was lost, and this CRM cannot tell whether the step was made"
            settled.append(row)
    return _Choice(to_look[:size], settled, True) if to_look else _Choice(to_do[:size], settled)


def next_step(row: CallSync, wanting: Wanting, job: Job, doubtful: str = "") -> Step | None:
    """The next step of a call; of a part of one (`parts`) the next towards leaving nothing open of it."""
    return wanting.adapter.withdraw(job, doubtful) if row.part else wanting.plan(job)


def _job(row: CallSync, wanting: Wanting, late: bool) -> Job:
    call = row.call
    facts = thawed(row.part) if row.part else facts_of(call, call.people, call.audio, wanting, late=late)
    return wanting.job(call, facts, row.progress)


def _say_that_a_card_is_left_out(row: CallSync, wanting: Wanting, job: Job, now: datetime) -> None:
    """Once, where there would have been one in time."""
    in_time = wanting.adapter.plan(replace(job, facts=replace(job.facts, live=not job.facts.finished)))
    said = any(entry["step"] == LEFT_OUT for entry in row.history)
    if in_time and in_time.priority == Priority.POP_UP and not said:
        row.history = [*row.history, {"at": now.isoformat(), "step": LEFT_OUT}]


def forget_leases() -> None:
    """At the start of an installation of one process: whoever held a lease is gone, and nobody has to wait for it."""
    CallSync.objects.exclude(lease=None).update(lease=None, lease_until=None)
    Lane.objects.exclude(lease=None).update(lease=None, lease_until=None)
    Credential.objects.exclude(refresh_lease=None).update(refresh_lease=None)
