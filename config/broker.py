"""The queue. Its messages only say where to look; what is to be done stands in the database."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

import structlog
from django.db import close_old_connections
from dramatiq import Broker, Middleware
from dramatiq.broker import MessageProxy
from dramatiq.brokers.stub import StubBroker


class MemoryBroker(StubBroker):
    """The embedded default: a queue in this process. What it forgets when the process ends, the sweep finds again."""

    def __init__(self, middleware: list[Middleware] | None = None) -> None:
        super().__init__(middleware)
        # The library keeps every failed message for inspection for ever.
        self.dead_letters_by_queue = defaultdict(lambda: deque(maxlen=100))  # type: ignore[arg-type,return-value]


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
