"""Hot writes: one at a time where the database allows only one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction

_lock = threading.RLock()
DRAIN_LOCK = 7_020_001


@contextmanager
def hot_write() -> Iterator[None]:
    """A transaction. On SQLite the threads of this process queue up for it here: its own waiting is unfair."""
    if settings.SQLITE:
        with _lock, transaction.atomic():
            yield
    else:
        with transaction.atomic():
            yield


def lock_drain() -> None:
    """Inside a transaction: one drain at a time over all processes (SQLite's write lock is that already)."""
    if not settings.SQLITE:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [DRAIN_LOCK])


def upsert(rows: Iterable[models.Model], fields: list[str]) -> None:
    """Write `fields` of existing rows in one statement (a tenth of what `bulk_update` costs)."""
    rows = list(rows)
    if rows:
        manager: Any = type(rows[0])._default_manager
        manager.bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=fields, batch_size=500)
