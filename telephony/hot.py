"""Hot writes: one at a time where the database allows only one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
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


def after_commit(work: Callable[..., object], *values: Any) -> None:
    """Do `work` once this transaction is on disk. What goes wrong then (the queue is down) is logged and undoes
    nothing: what was to be done stands in the database, and a sweep finds it."""
    # No partial: Django asks what goes wrong for its name.
    transaction.on_commit(lambda: work(*values), robust=True)


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


class Constant(models.Value):
    """A constant of ours that stands in the SQL itself: SQLite uses a partial index only where it can read its
    condition, and a parameter hides it."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """No text from outside may come here."""
        return (str(int(self.value)) if isinstance(self.value, int) else f"'{self.value}'"), ()
