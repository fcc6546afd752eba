"""Listening to an emulated PBX over a real connection, without the database: what the product would store."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import count

from outbound.guard import open_socket
from telephony.providers.base import Line, Listener, Request
from tests.emulators.pbx import Pbx, Wire
from tests.stack import wait_until


class Ear(Line):
    def __init__(self, listener: Listener):
        self._listener = listener
        self._heard: list[Request] = []
        self._marks = count(1)
        self.calls: Collection[str] | None = None
        self.error: BaseException | None = None

    async def connect(
        self, host: str, port: int, tls: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = open_socket(host, port, allow_private=True, timeout=5)
        sock.setblocking(False)
        return await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=host if tls else None)

    def heard(self, request: Request) -> None:
        self._heard.append(request)

    def up(self, calls: Collection[str]) -> None:
        self.calls = calls

    @contextmanager
    def listening(self) -> Iterator[Ear]:
        """Logged in and listening meanwhile."""
        loop = asyncio.new_event_loop()
        task = loop.create_task(self._listener.listen(self))
        thread = threading.Thread(target=self._run, args=(loop, task), daemon=True)
        thread.start()
        try:
            wait_until(lambda: self.calls is not None or self.error, "the listener is not connected")
            yield self
        finally:
            loop.call_soon_threadsafe(task.cancel)
            thread.join(5)

    def _run(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
        try:
            loop.run_until_complete(task)
        except BaseException as error:  # of another thread's
            self.error = error
        finally:
            loop.close()

    def hear(self, pbx: Pbx, *wires: Wire) -> list[Request]:
        """What is heard of this, once all of it has been read."""
        for wire in wires:
            pbx.speak(wire)
        name = f"mark-{next(self._marks)}"
        pbx.mark(name)
        wait_until(lambda: any(name.encode() in request.body for request in self._heard), lambda: str(self.error))
        heard, self._heard = self._heard, []
        return [request for request in heard if b"mark-" not in request.body]
