"""Running the product: the web server, and the threads that belong to its process."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import Any

import dramatiq
import structlog
import uvicorn
from django.conf import settings
from dramatiq import Worker

from employees import installation
from integrations import claims, deliveries
from telephony import history, listening, live, recordings, schedule
from telephony.pipeline import pipeline
from telephony.threads import Loop

from .broker import SHUTDOWN_MS
from .protocol import BoundedProtocol

log = structlog.get_logger(__name__)


WORST_SECONDS = 7.0
"""After the last request was answered."""


def _give_up() -> None:
    log.error("could not end in time")
    os._exit(1)


class _Uvicorn(uvicorn.Server):
    """Streams would be waited for until they are cut off: they end first."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        live.hub.close()
        await super().shutdown(sockets)


class Server:
    """One web process. With the queue in memory it is the whole product: workers and schedule run in it too."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.embedded = settings.BROKER_URL.startswith("memory:")
        self._workers: Worker | None = None
        self._schedule = Loop("schedule", schedule.run_due, seconds=1)
        self._switchboard = listening.Switchboard(pipeline)
        self._door = Loop("door", history.note_open_door, seconds=15)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; what is under way is finished or lies in the database."""
        installation.check_encryption()
        server = _Uvicorn(self._config())
        # A signal may come before uvicorn listens to them, and it raises the one that ended it once more: the default
        # handler would end us before `_stop`.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.handle_exit)
        if self.embedded:
            claims.forget_leases()
            deliveries.forget_leases()
            recordings.forget_leases()
            history.forget_leases()
            listening.forget_leases()
        pipeline.start()
        self._door.start()
        if self.embedded:
            self._workers = Worker(dramatiq.get_broker(), worker_threads=settings.WORKER_THREADS)
            self._workers.start()
            self._schedule.start()
            self._switchboard.start()
        log.info("serving", url=settings.PUBLIC_URL, address=self.sock.getsockname(), embedded=self.embedded)
        try:
            server.run(sockets=[self.sock])
        finally:
            self._stop()

    def _config(self) -> uvicorn.Config:
        options: dict[str, Any] = {
            "loop": "auto",
            "http": BoundedProtocol,
            "ws": "none",
            "lifespan": "off",
            "access_log": False,
            "log_config": None,
            "server_header": False,
            "timeout_graceful_shutdown": 2,
            "timeout_keep_alive": 30,
            "backlog": 2048,
            "limit_concurrency": 4000,
            "forwarded_allow_ips": settings.TRUSTED_PROXIES,
        }
        return uvicorn.Config("config.asgi:application", **options)

    def _stop(self) -> None:
        """What was answered is on disk: nothing is worth waiting long for."""
        watchdog = threading.Timer(WORST_SECONDS, _give_up)
        watchdog.daemon = True
        watchdog.start()
        if self._workers:
            self._switchboard.stop()
            self._schedule.stop(patience=1.0)
            self._workers.stop(timeout=SHUTDOWN_MS)
        self._door.stop(patience=1.0)
        pipeline.stop()
