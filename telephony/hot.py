"""Hot writes: one at a time where the database allows only one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import OperationalError, close_old_connections, connection, models, transaction

T = TypeVar("T")
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
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


class Together(Generic[Asked, Answer]):
    """Work that the threads of this process do as one: who comes while a lot is under way goes with the next.

    `work` is handed what waits, and answers each in its place. Nothing waits for company. Of a lot that fails each is
    done alone, so that a bad one takes no other with it.
    """

    def __init__(self, work: Callable[[list[Asked]], list[Answer]], most: int = 64):
        self._work, self._most = work, most
        self._turn = threading.Lock()
        self._waiting: deque[tuple[Asked, Future[Answer]]] = deque()

    def __call__(self, asked: Asked) -> Answer:
        """The answer to this one; raises what `work` raises for it alone."""
        future: Future[Answer] = Future()
        self._waiting.append((asked, future))
        with self._turn:
            while not future.done():
                lot = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                try:
                    self._do(lot)
                finally:  # also when this thread is told to stop
                    for _, each in lot:
                        if not each.done():
                            each.set_exception(RuntimeError("the thread that did this for others was stopped"))
        return future.result()

    def _do(self, lot: list[tuple[Asked, Future[Answer]]]) -> None:
        try:
            answers = self._work([asked for asked, _ in lot])
        except Exception as error:
            if len(lot) == 1:
                lot[0][1].set_exception(error)
                return
            for one in lot:
                self._do([one])
            return
        for (_, future), answer in zip(lot, answers, strict=True):
            future.set_result(answer)


class Constant(models.Value):
    """A constant of ours that stands in the SQL itself: SQLite uses a partial index only where it can read its
    condition, and a parameter hides it."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """No text from outside may come here."""
        return (str(int(self.value)) if isinstance(self.value, int) else f"'{self.value}'"), ()
