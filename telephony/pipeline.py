"""The hot path of a web process: one writer of the inbox and one drain, started by the server command."""

from __future__ import annotations

from concurrent.futures import Future

from . import inbox
from .models import InboxEvent
from .threads import Loop, Together

MAX_WAITING = 5_000
"""Events that may wait for their commit; more are turned away with 503, before memory grows."""
MAX_COMMIT = 500


class Busy(Exception):
    """Too much waits for the disk: come again."""


class Pipeline:
    """Group commit and drain. Requests that come together share one commit; nothing waits for company."""

    def __init__(self) -> None:
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
        if len(self._writer) >= MAX_WAITING:
            raise Busy
        return self._writer.submit(event)

    def poke(self) -> None:
        """There may be something to drain."""
        self._drain.poke()

    def _store(self, events: list[InboxEvent]) -> list[None]:
        inbox.store(events)
        self._drain.poke()
        return [None] * len(events)

    def _drain_all(self) -> None:
        while inbox.drain() == inbox.BATCH:
            pass


pipeline = Pipeline()
