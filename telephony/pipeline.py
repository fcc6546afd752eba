"""The hot path of a web process: one writer of the inbox and one drain, started by the server command."""

from __future__ import annotations

import threading
from collections import defaultdict
from concurrent.futures import Future
from functools import partial

from prometheus_client import Counter

from . import inbox
from .models import InboxEvent
from .threads import Loop, Together

MAX_WAITING = 32 * 1024 * 1024
"""Bytes of events that may wait for their commit; more is turned away with 503, before memory grows."""
EVENT_SIZE = 4 * 1024
"""What an event takes beside its body."""
MAX_COMMIT = 500


turned_away = Counter("callbridge_inbox_turned_away", "Events for which there was no room before their commit")


class Busy(Exception):
    """Too much waits for the disk: come again."""


class _Room:
    """Where events wait for their commit. A connection may take as much of it as it leaves free for the others: who
    floods fills half of it, and whoever comes then still finds room."""

    def __init__(self) -> None:
        self._taken: dict[int, int] = defaultdict(int)
        self._total = 0
        self._lock = threading.Lock()

    def take(self, connection_id: int, size: int) -> None:
        """Raises `Busy`."""
        with self._lock:
            if self._taken[connection_id] + size > MAX_WAITING - self._total:
                turned_away.inc()
                raise Busy
            self._taken[connection_id] += size
            self._total += size

    def leave(self, connection_id: int, size: int, _stored: Future[None]) -> None:
        with self._lock:
            self._taken[connection_id] -= size
            self._total -= size
            if not self._taken[connection_id]:
                del self._taken[connection_id]


class Pipeline:
    """Group commit and drain. Requests that come together share one commit; nothing waits for company."""

    def __init__(self) -> None:
        self._room = _Room()
        self._writer = Together("inbox-writer", self._store, MAX_COMMIT)
        self._drain = Loop("inbox-drain", self._drain_all, seconds=1)

    def start(self) -> None:
        self._writer.start()
        self._drain.start()

    def stop(self) -> None:
        """Commit what waits and leave; what is not folded yet lies in the database."""
        self._writer.stop()
        self._drain.stop()

    def submit(self, event: InboxEvent) -> Future[None]:
        """A future that is done when the event is on disk; raises `Busy`."""
        size = EVENT_SIZE + len(event.body)
        self._room.take(event.connection_id, size)
        future = self._writer.submit(event)
        future.add_done_callback(partial(self._room.leave, event.connection_id, size))
        return future

    def poke(self) -> None:
        """There may be something to drain."""
        self._drain.poke()

    def _store(self, events: list[InboxEvent]) -> list[None]:
        inbox.store(events)
        self._drain.poke()
        return [None] * len(events)

    def _drain_all(self) -> None:
        while inbox.drain() and not self._drain.ending:
            pass


pipeline = Pipeline()
