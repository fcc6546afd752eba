"""Who wants this call, and why not: a verdict for each CRM account, in the transaction that changes the call."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Timer
from typing import Any

from django.dispatch import receiver
from django.utils import timezone

from crm_adapters.base import Job
from employees.models import Extension
from telephony import directory as telephony_directory
from telephony import statements
from telephony.directory import Short
from telephony.fold import Source
from telephony.hot import after_commit
from telephony.models import Call, Command
from telephony.models import Participant as Person
from telephony.providers.base import Direction
from telephony.signals import calls_changed

from . import directory
from .actors import sync_calls
from .directory import Wanting
from .facts import facts_of, urgency
from .models import CallSync

State = CallSync.State
Handling = Extension.Handling
LEFT = "left_unwritten"
"""The reason of calls that somebody chose not to write after they had waited."""
CONFIRMED = "confirmed"
"""The reason of calls whose last write was doubtful, and of which somebody has said that the CRM has them."""
CLEANED = "cleaned"
"""The reason of test calls of which nothing more is written, since they were cleaned up."""
LONGEST_TIMER = 2.0
"""Seconds."""
PLANNED = ["state", "reason", "details", "wanted", "priority", "due_at", "integration"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call is written into an account; `reason` names why not, or why differently than usual."""

    state: CallSync.State
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@receiver(calls_changed, sender=Call)
def plan_calls(calls: list[Call], **_: Any) -> None:
    """Write or renew the outbox rows of changed calls. Sent inside the transaction that changes them."""
    known = _existing(calls)
    _load_commands(calls)
    new: list[CallSync] = []
    renewed: list[CallSync] = []
    for call in calls:
        for wanting, row in _accounts(call, known.get(call.pk, [])):
            if row is None:
                row = CallSync(call=call, credential_id=wanting.credential_id, integration_id=wanting.integration_id)
                _plan(call, wanting, row)
                new.append(row)
            elif _plan(call, wanting, row):
                renewed.append(row)
    statements.insert_for_ids(new)
    statements.update(renewed, PLANNED)
    wake(new + renewed)


def _existing(calls: list[Call]) -> dict[int, list[CallSync]]:
    rows: dict[int, list[CallSync]] = defaultdict(list)
    seen_before = [call.pk for call in calls if call.version > 1]
    if seen_before:
        for row in statements.select(CallSync, {"call_id": seen_before}, also="part IS NULL", lock=statements.WAIT):
            rows[row.call_id].append(row)
    return rows


def _load_commands(calls: list[Call]) -> None:
    """Calls that a command of ours began: the command says where the click was."""
    wanted = {call.dialled_by_id: call for call in calls if call.dialled_by_id}
    if wanted:
        for command in Command.objects.filter(pk__in=wanted):
            wanted[command.pk].dialled_by = command


def _accounts(call: Call, rows: list[CallSync]) -> list[tuple[Wanting, CallSync | None]]:
    """The accounts this call concerns: those that have it already, then those that want it.

    Where several integrations lead into one account the first that takes the call has it. An integration whose account
    was changed leaves the calls it has begun with the old account.
    """
    pairs: list[tuple[Wanting, CallSync | None]] = [(directory.by_id(row.integration_id), row) for row in rows]
    taken = {row.credential_id for row in rows}
    begun = {row.integration_id for row in rows}
    accounts = {wanting.account for wanting, _ in pairs}
    fresh = [
        wanting
        for wanting in directory.of_connection(call.connection_id)
        if wanting.integration_id not in begun
        and wanting.credential_id not in taken
        and wanting.account not in accounts
    ]
    by_account: dict[str, Wanting] = {}
    for wanting in fresh:
        chosen = by_account.get(wanting.account)
        if chosen is None or (not _in_filter(call, chosen) and _in_filter(call, wanting)):
            by_account[wanting.account] = wanting
    return pairs + [(wanting, None) for wanting in by_account.values()]


def _plan(call: Call, wanting: Wanting, row: CallSync) -> bool:
    """Bring a row to what is wanted now; true when that changed it. What a person decided stays decided."""
    if row.reason in (LEFT, CONFIRMED, CLEANED):
        return False
    before = (row.state, row.reason, row.wanted)
    verdict = consider(call, wanting, already=row.state == State.WANTED)
    row.state, row.reason, row.details = verdict.state, verdict.reason, verdict.details
    if verdict.state == State.WANTED:
        facts = facts_of(call, call.people, call.audio, wanting)
        job = wanting.job(call, facts, row.progress)
        if refusal := wanting.adapter.refuses(job):
            row.state, row.reason = State.SKIPPED, refusal
        else:
            _plan_step(row, job, wanting)
    return before != (row.state, row.reason, row.wanted)


def _plan_step(row: CallSync, job: Job, wanting: Wanting) -> None:
    """There is work when the CRM lacks a step; while a request is under way its notes are still to come, so perhaps."""
    step = wanting.plan(job)
    if step or row.intent:
        row.wanted = job.facts.version
        row.due_at = timezone.now() + timedelta(seconds=step.settle if step else 0)
        row.priority = urgency(job.facts, step) if step else row.priority


def _in_filter(call: Call, wanting: Wanting) -> bool:
    return wanting.numbers is None or call.virtual_number in wanting.numbers


def consider(call: Call, wanting: Wanting, already: bool = False) -> Verdict:
    """Whether this call belongs into this account. One that is written already is always brought to its end."""
    if already:
        return Verdict(State.WANTED)
    if call.source == Source.IMPORT:
        return Verdict(State.SKIPPED, "imported")
    if call.direction == Direction.INTERNAL:
        return Verdict(State.SKIPPED, "internal_call")
    if directory.is_employee_phone(wanting.company_id, call.client_phone):
        return Verdict(State.SKIPPED, "employee_phone", {"phone": call.client_phone})
    if not _in_filter(call, wanting):
        return Verdict(State.SKIPPED, "number_not_in_list", {"number": call.virtual_number})
    return _by_extension(call, telephony_directory.extensions(call.company_id))


def _by_extension(call: Call, shorts: dict[str, Short]) -> Verdict:
    """Those who talked decide; those who rang while nobody has."""
    people: list[Person] = call.people
    talked = [person.extension for person in people if person.answered_at]
    numbers = talked or [person.extension for person in people]
    unknown = Short(Handling.UNKNOWN)
    handlings = {shorts.get(number, unknown).handling for number in numbers}
    if not handlings or Handling.EMPLOYEE in handlings or Handling.DEFAULT in handlings:
        return Verdict(State.WANTED)
    if Handling.UNKNOWN in handlings:
        strangers = [number for number in numbers if shorts.get(number, unknown).handling == Handling.UNKNOWN]
        return Verdict(State.WAITING, "unknown_extension", {"extensions": sorted(set(strangers))})
    return Verdict(State.SKIPPED, "extension_ignored", {"extensions": sorted(set(numbers))})


def wake(rows: list[CallSync]) -> None:
    """One message for each account that has work now; what the broker loses the sweep finds."""
    first: dict[int, CallSync] = {}
    for row in rows:
        if row.state == State.WANTED and row.wanted > row.noted:
            first.setdefault(row.credential_id, row)
    for row in first.values():
        after_commit(_send, row)


def _send(row: CallSync) -> None:
    wait = (row.due_at - timezone.now()).total_seconds() if row.due_at else 0.0
    if wait > LONGEST_TIMER:
        return  # the sweep finds it
    if wait > 0:  # the broker's own delays are only good to a second
        timer = Timer(wait, sync_calls.send, [row.credential_id])
        timer.daemon = True
        timer.start()
    else:
        sync_calls.send(row.credential_id)
