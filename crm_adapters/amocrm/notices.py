"""Notifications while a call rings, to mapped employees only: `POST /api/v2/events` (without `users`: to everybody)."""

from __future__ import annotations

from collections.abc import Sequence

from crm_adapters.base import Done, Result, Work

from . import people
from .api import Account


def notify(account: Account, works: Sequence[Work]) -> list[Result]:
    """One request for all calls that ring."""
    add = [
        {
            "type": "phone_call",
            "phone_number": work.job.facts.client_phone,
            "users": [people.number(user) for user in people.to_notify(work.job)],
        }
        for work in works
    ]
    account.notify("/api/v2/events", {"add": add})
    return [_notified(work, people.to_notify(work.job)) for work in works]


def look(_account: Account, works: Sequence[Work]) -> list[Result]:
    """Nothing tells whether it was shown: it is left out."""
    return [_notified(work, list(work.job.progress.get("notifying", ()))) for work in works]


def _notified(work: Work, users: Sequence[str]) -> Result:
    return Done({"notified": [*work.job.progress.get("notified", ()), *users]})
