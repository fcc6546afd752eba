"""The queue. Its messages only say where to look; what is to be done stands in the database."""

from __future__ import annotations

import itertools
import signal
import time
from collections import defaultdict, deque
from types import FrameType
from typing import Any

import structlog
from django.db import close_old_connections
from dramatiq import Broker, Middleware, Worker
from dramatiq.broker import MessageProxy
from dramatiq.brokers.stub import StubBroker

log = structlog.get_logger(__name__)

SHUTDOWN_MS = 1_000
"""How long Dramatiq waits when a worker ends. What takes longer is waited for by `Ledger`, who knows how to go on."""
PATIENCE = 4.0


class MemoryBroker(StubBroker):
    """The embedded default: a queue in this process. What it forgets when the process ends, the sweep finds again."""

    def __init__(self, middleware: list[Middleware] | None = None) -> None:
        super().__init__(middleware)
        # The library keeps every failed message for inspection for ever.
        self.dead_letters_by_queue = defaultdict(lambda: deque(maxlen=100))  # type: ignore[arg-type,return-value]


class Ledger(Middleware):
    """The thread that does the bookkeeping of CRM work runs where workers run. When they end they begin nothing more,
    and hand back what did not come to its end in time."""

    def after_process_boot(self, broker: Broker) -> None:
        """A supervisor tells a whole group of processes to end, and the first of them tells the others once more: that
        is no reason to hurry."""
        handler, times = signal.getsignal(signal.SIGTERM), itertools.count()

        def once(number: int, frame: FrameType | None) -> None:
            if next(times) == 0:
                handler(number, frame)  # type: ignore[operator,misc]

        signal.signal(signal.SIGTERM, once)

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        from integrations import sync

        sync.ending.clear()
        sync.ledger.start()
        log.info("working", threads=worker.worker_threads)

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        from integrations import sync

        sync.ending.set()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        from integrations import deliveries, sync
        from telephony import history, recordings

        end = time.monotonic() + PATIENCE
        for thread in worker.workers:
            thread.join(max(0.0, end - time.monotonic()))
        sync.hand_back()
        sync.ledger.stop()
        deliveries.hand_back()
        recordings.hand_back()
        history.hand_back()


class DatabaseConnections(Middleware):
    """Closes connections that the database has dropped, before and after each message."""

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        close_old_connections()

    def after_process_message(self, broker: Broker, message: MessageProxy, **_: Any) -> None:
        close_old_connections()


class LogContext(Middleware):
    """Every log line of an actor names the actor and its message."""

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        structlog.contextvars.bind_contextvars(actor=message.actor_name, message=message.message_id)

    def after_process_message(self, broker: Broker, message: MessageProxy, **_: Any) -> None:
        structlog.contextvars.clear_contextvars()
