"""What to do with the calls of an extension that nobody knew: decided by a person, once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet

from employees.models import Company, Employee, Extension
from telephony import inbox
from telephony.models import Call

from .models import CallSync
from .plan import LEFT

Handling = Extension.Handling
UNKNOWN = "unknown_extension"


@dataclass(frozen=True)
class Choice:
    """What is decided of an extension."""

    handling: Extension.Handling
    employee: Employee | None = None


def waiting(company: Company, number: str = "") -> QuerySet[CallSync]:
    """Calls in CRM accounts that wait for a decision (about one extension)."""
    rows = CallSync.objects.filter(integration__company=company, state=CallSync.State.WAITING, reason=UNKNOWN)
    if not number:
        return rows
    named = rows.values_list("pk", "details").iterator()
    return rows.filter(pk__in=[pk for pk, details in named if number in details.get("extensions", ())])


def undecided(company: Company) -> list[Extension]:
    """Extensions that need somebody: unknown ones, and decided ones that calls still wait for. `waits`: how many."""
    calls: defaultdict[str, set[int]] = defaultdict(set)
    for call_id, details in waiting(company).values_list("call_id", "details").iterator():
        for number in details.get("extensions", ()):
            calls[number].add(call_id)
    rows = Extension.objects.filter(company=company).select_related("employee")
    found = []
    for row in rows.filter(Q(handling=Handling.UNKNOWN) | Q(number__in=list(calls))):
        row.waits = len(calls[row.number])  # type: ignore[attr-defined]
        found.append(row)
    return found


def decide(extension: Extension, choice: Choice | None, *, write: bool) -> int:
    """Keep the choice (None: as it was decided before), then write the calls that waited or leave them unwritten.

    Returns how many calls waited.
    """
    with transaction.atomic():
        if choice:
            extension.handling, extension.employee = choice.handling, choice.employee
            extension.save()
        rows = waiting(extension.company, extension.number)
        calls = list(Call.objects.filter(pk__in=rows.values("call")))
        if not write and choice != Choice(Handling.UNKNOWN):
            details = {"extensions": [extension.number]}
            rows.update(state=CallSync.State.SKIPPED, reason=LEFT, details=details)
    if write and calls:
        inbox.refold(calls)
    return len(calls)
