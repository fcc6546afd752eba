"""Hot writes: one at a time where the database allows only one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.conf import settings
from django.db import OperationalError, close_old_connections, connection, models, transaction

T = TypeVar("T")
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


def persistently(work: Callable[[], T]) -> T:
    """Do `work`, a transaction of its own, again when the database breaks it off (a deadlock, a lost connection).

    For what must not be lost because it cannot be had again, such as the answer of a CRM.
    """
    for pause in (0.05, 0.2, 0.5, 1.0, 2.0):
        try:
            return work()
        except OperationalError:
            close_old_connections()
            time.sleep(pause)
    return work()


def upsert(rows: Iterable[models.Model], fields: list[str]) -> None:
    """Write `fields` of existing rows in one statement (a tenth of what `bulk_update` costs).

    By key, as everybody else locks them: two writers of the same rows must not wait for each other.
    """
    rows = sorted(rows, key=lambda row: row.pk)
    if rows:
        manager: Any = type(rows[0])._default_manager
        manager.bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=fields, batch_size=500)
