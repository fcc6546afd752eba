"""Threads of ours: one that repeats its work, and one that does together what many ask for.

They are started by what runs the product (`config.serving`, `config.broker`), never by an import.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import structlog
from django.db import close_old_connections, connections

log = structlog.get_logger(__name__)

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def looked_after(work: Callable[..., Answer], *arguments: Any) -> Answer:
    """Do `work` in a thread of a pool, whose connection to the database nobody else looks after."""
    close_old_connections()
    try:
        return work(*arguments)
    finally:
        close_old_connections()


class Loop(threading.Thread):
    """A thread that runs `work` whenever it is poked, and at least every `seconds`."""

    def __init__(self, name: str, work: Callable[[], object], seconds: float):
        super().__init__(name=name, daemon=True)
        self._work, self._seconds = work, seconds
        self._poked, self._ending = threading.Event(), threading.Event()

    @property
    def ending(self) -> bool:
        return self._ending.is_set()

    def poke(self) -> None:
        self._poked.set()

    def stop(self, patience: float = 2.0) -> None:
        """End after what is under way, and wait for that."""
        self._ending.set()
        self._poked.set()
        self.join(patience)

    def run(self) -> None:
        while not self._ending.is_set():
            self._poked.wait(self._seconds)
            self._poked.clear()
            if self._ending.is_set():
                break
            try:
                self._work()
            except Exception:
                log.exception("loop failed", loop=self.name)
                close_old_connections()
                self._ending.wait(1.0)
        connections.close_all()


class Together(Generic[Asked, Answer]):
    """Work that many threads ask for and one does for all: what comes while a lot is under way goes with the next.

    `work` is handed what waits, and answers each in its place. Nothing waits for company. Of a lot that fails each is
    done alone, so that a bad one takes no other with it. Before `start` who asks does the work himself.
    """

    def __init__(self, name: str, work: Callable[[list[Asked]], list[Answer]], most: int):
        self._name, self._work, self._most = name, work, most
        self._waiting: deque[tuple[Asked, Future[Answer]]] = deque()
        self._turn = threading.Lock()
        self._thread: Loop | None = None

    def start(self) -> None:
        self._thread = Loop(self._name, self._do_what_waits, seconds=5)
        self._thread.start()

    def stop(self) -> None:
        """Do what waits and leave."""
        thread, self._thread = self._thread, None
        if thread:
            thread.stop()
        self._do_what_waits()

    def submit(self, asked: Asked) -> Future[Answer]:
        """The answer to come; it raises what `work` raises for this one alone."""
        future: Future[Answer] = Future()
        self._waiting.append((asked, future))
        if thread := self._thread:
            thread.poke()
        else:
            self._do_what_waits()
        return future

    def __call__(self, asked: Asked) -> Answer:
        return self.submit(asked).result()

    def _do_what_waits(self) -> None:
        with self._turn:
            while self._waiting:
                lot = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                # Who has given up waiting gets nothing done; from here on he cannot give up any more.
                self._do([one for one in lot if one[1].set_running_or_notify_cancel()])

    def _do(self, lot: list[tuple[Asked, Future[Answer]]]) -> None:
        try:
            answers = self._work([asked for asked, _ in lot])
        except Exception as error:
            close_old_connections()
            if len(lot) == 1:
                lot[0][1].set_exception(error)
                return
            log.exception("a lot failed, going one by one", work=self._name, size=len(lot))
            for one in lot:
                self._do([one])
            return
        for (_, future), answer in zip(lot, answers, strict=True):
            future.set_result(answer)
