"""What was written of a call that turned out to be a part of another: its cards are closed in the CRMs, and what can be
taken back is. The call that it belongs to is written in its place.

The row of such a part stays in the outbox, under that call: whatever is under way for it comes to its end first, and
what follows is planned by `Adapter.withdraw`, with the lease, the tries and the doubts of any other step.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.dispatch import receiver
from django.utils import timezone

from telephony import statements
from telephony.models import Call
from telephony.signals import call_absorbed

from . import directory
from .facts import facts_of, frozen, over
from .models import CallSync
from .plan import wake

TAKEN_OVER = ["call", "part", "state", "reason", "details", "wanted", "priority", "due_at", "parked", "not_before"]


@receiver(call_absorbed, sender=Call)
def take_over(whole: Call, part: Call, **_: Any) -> None:
    """Keep the rows of a part that have left something in a CRM, or may have. In the transaction that joins them."""
    rows = statements.select(CallSync, {"call_id": [part.pk]}, lock=statements.WAIT)
    kept = [row for row in rows if row.part or _keep(row, part)]
    for row in kept:
        row.call = whole
    statements.update(kept, TAKEN_OVER)
    wake(kept)


def _keep(row: CallSync, part: Call) -> bool:
    """Make it a row of a part; false where there is nothing to be closed."""
    now, wanting = timezone.now(), directory.by_id(row.integration_id)
    people, audio = list(part.participants.order_by("position")), list(part.recordings.all())
    facts = replace(over(facts_of(part, people, audio, wanting), now), version=max(row.wanted, row.noted) + 1)
    step = wanting.adapter.withdraw(wanting.job(part, facts, row.progress), row.intent)
    if step is None and not row.intent:
        return False
    row.part, row.wanted, row.due_at = frozen(facts), facts.version, now
    row.state, row.reason, row.details = CallSync.State.WANTED, "", {}
    row.priority = step.priority if step else row.priority
    row.parked, row.not_before = False, None
    return True
