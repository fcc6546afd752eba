"""The threads of the hot path, started by the server command: one writer of the inbox, one drain, for each process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import structlog
from django.db import close_old_connections

from . import inbox
from .models import InboxEvent

log = structlog.get_logger(__name__)

MAX_WAITING = 5_000
"""Events that may wait for their commit; more are turned away with 503, before memory grows."""
MAX_COMMIT = 500


class Busy(Exception):
    """Too much waits for the disk: come again."""


class Loop(threading.Thread):
    """A thread that runs `work` whenever it is poked, and at least every `seconds`."""

    def __init__(self, name: str, work: Callable[[], object], seconds: float):
        super().__init__(name=name, daemon=True)
        self._work, self._seconds = work, seconds
        self._poked, self._ending = threading.Event(), threading.Event()

    def poke(self) -> None:
        self._poked.set()

    def stop(self) -> None:
        self._ending.set()
        self._poked.set()

    def run(self) -> None:
        while not self._ending.is_set():
            self._poked.wait(self._seconds)
            self._poked.clear()
            try:
                self._work()
            except Exception:
                log.exception("loop failed", loop=self.name)
                close_old_connections()
                self._ending.wait(1.0)


class Pipeline:
    """Group commit and drain. Requests that come together share one commit; nothing waits for company."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[InboxEvent, Future[None]]] = deque()
        self._writer = Loop("inbox-writer", self._write, seconds=5)
        self._drain = Loop("inbox-drain", self._drain_all, seconds=1)

    def start(self) -> None:
        self._writer.start()
        self._drain.start()

    def stop(self) -> None:
        """Commit what waits and leave; what is not folded yet lies in the database."""
        for loop in (self._writer, self._drain):
            loop.stop()
        for loop in (self._writer, self._drain):
            loop.join(timeout=8)
        self._write()

    def submit(self, event: InboxEvent) -> Future[None]:
        """A future that is done when the event is on disk; raises `Busy`."""
        if len(self._waiting) >= MAX_WAITING:
            raise Busy
        future: Future[None] = Future()
        self._waiting.append((event, future))
        self._writer.poke()
        return future

    def poke(self) -> None:
        """There may be something to drain."""
        self._drain.poke()

    def _write(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(MAX_COMMIT, len(self._waiting)))]
            try:
                inbox.store([event for event, _ in batch])
            except Exception:
                log.exception("commit of a batch failed, going one by one", events=len(batch))
                self._write_singly(batch)
            else:
                for _, future in batch:
                    future.set_result(None)
            self._drain.poke()

    @staticmethod
    def _write_singly(batch: list[tuple[InboxEvent, Future[None]]]) -> None:
        close_old_connections()
        for event, future in batch:
            try:
                event.pk = None
                inbox.store([event])
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(None)

    def _drain_all(self) -> None:
        while inbox.drain() == inbox.BATCH:
            pass


pipeline = Pipeline()
