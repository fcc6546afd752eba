"""Cleaning up after a test call: what it has left in CRMs, and taking away what can be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from crm_adapters.base import Said, Trace
from outbound.errors import OutboundError
from telephony import trials
from telephony.hot import hot_write, lock_drain
from telephony.models import Call
from telephony.words import ours, unreachable

from . import credentials
from .models import CallSync
from .plan import CLEANED

ASK_SECONDS = 8.0
LONGEST = timedelta(seconds=25)
"""After so long what is left waits for another press of the button."""
LOST = timedelta(minutes=10)
"""A lease that ran out so long ago belongs to nobody any more."""


class UnderWay(Exception):
    """The call goes on, and its card is to be closed; or a request about it is on its way to a CRM."""


def under_way() -> str:
    return _("The call, or a request about it to the CRM, is still under way. Try again in a moment.")


@dataclass
class Cleaned:
    """How many things were removed, and what was said where one was not."""

    removed: int = 0
    errors: list[str] = field(default_factory=list)


def traces(row: CallSync) -> list[Trace]:
    """What the call has left in an account, and nobody has removed since."""
    gone = set(row.details.get("removed", ())) if row.reason == CLEANED else set()
    found = row.credential.adapter.traces(row.progress, row.credential.values)
    return [trace for trace in found if trace.key not in gone]


def clean(call: Call) -> Cleaned:
    """Write nothing more of a test call, and remove from CRMs what can be removed. Raises `UnderWay`."""
    if not call.played:
        raise ValueError("only test calls are cleaned up")
    _stop(call)
    done, end = Cleaned(), timezone.now() + LONGEST
    for row in call.syncs.select_related("credential").order_by("id"):
        for trace in traces(row):
            if trace.removable and timezone.now() < end:
                _remove(row, trace, done)
    return done


def _stop(call: Call) -> None:
    with hot_write():
        for row in _resting(call):
            if row.reason != CLEANED:
                row.state, row.reason, row.details, row.parked = CallSync.State.SKIPPED, CLEANED, {}, False
                row.save(update_fields=["state", "reason", "details", "parked"])


def _resting(call: Call) -> list[CallSync]:
    """Its rows, locked; raises `UnderWay` while the call goes on or a worker has one."""
    rows = list(CallSync.objects.select_for_update(no_key=True).filter(call=call).order_by("id"))
    if not call.finished or any(row.lease_until and row.lease_until > timezone.now() - LOST for row in rows):
        raise UnderWay
    return rows


def _remove(row: CallSync, trace: Trace, done: Cleaned) -> None:
    credential = row.credential
    http = credentials.http_for(credential, purpose="clean-up", call_id=row.call_id, deadline=ASK_SECONDS)
    try:
        credentials.besides(credential, http, lambda secrets: credential.adapter.remove(http, secrets, trace))
    except OutboundError as error:
        told = unreachable(credential.adapter.title, error.kind, error.words)
        done.errors.append(f"{ours(trace.title)} {trace.id}: {told}")
        return
    done.removed += 1
    row.details = {**row.details, "removed": [*row.details.get("removed", ()), trace.key]}
    noted = {"at": timezone.now().isoformat(), "step": "removed", "words": [Said(trace.title), trace.id]}
    row.history = [*row.history, noted]
    row.save(update_fields=["details", "history"])


def delete(call: Call) -> None:
    """Take a test call out of the journal. What CRMs have of it stays there. Raises `UnderWay`."""
    with hot_write():
        lock_drain()
        _resting(call)
        trials.delete(call)
