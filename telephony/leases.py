"""Leases of long work: renewed while the worker lives, so that what a dead one held is soon taken up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from .hot import hot_write
from .threads import Loop

LEASE = timedelta(minutes=1)


@contextmanager
def renewed(rows: QuerySet[Any], lease: timedelta = LEASE) -> Iterator[None]:
    """Renew `lease_until` of the rows that are ours (their filter says so) meanwhile."""

    def renew() -> None:
        with hot_write():
            rows.update(lease_until=timezone.now() + lease)

    renewal = Loop("lease", renew, seconds=lease.total_seconds() / 3)
    renewal.start()
    try:
        yield
    finally:
        renewal.stop(patience=lease.total_seconds())
