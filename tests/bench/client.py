"""The load: an HTTP/1.1 client of raw bytes, fast enough not to be measured itself."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import uvloop

from .calls import Shot

MAX_CONNECTIONS = 512


class _Connection(asyncio.Protocol):
    """Keep-alive, one request at a time."""

    def __init__(self, pool: Pool):
        self._pool = pool
        self._buffer = b""
        self.shot: Shot | None = None
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, shot: Shot) -> None:
        self.shot = shot
        self.transport.write(shot.data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < _length(head):
            return
        shot, self.shot, self._buffer = self.shot, None, b""
        if shot:
            shot.status, shot.answered = int(head[9:12]), time.time()
        self._pool.freed(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self.shot:
            self.shot.answered = time.time()
        self._pool.lost(self)


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


class Pool:
    """Connections to one address, opened as they are needed."""

    def __init__(self, host: str, port: int, most: int = MAX_CONNECTIONS):
        self._address, self._most = (host, port), most
        self._free: list[_Connection] = []
        self._waiting: deque[Shot] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self.open = self.flying = 0
        self.refill: Callable[[], Shot | None] | None = None

    def fire(self, shot: Shot) -> None:
        self.flying += 1
        if self._free:
            self._free.pop().send(shot)
            return
        self._waiting.append(shot)
        if self.open < self._most:
            self.open += 1
            task = asyncio.get_running_loop().create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            transport, connection = await loop.create_connection(lambda: _Connection(self), *self._address)
        except OSError:
            self.open -= 1
            self._fail_one()
            return
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._next(connection)

    def _fail_one(self) -> None:
        if self._waiting:
            self.flying -= 1
            self._waiting.popleft().answered = time.time()

    def freed(self, connection: _Connection) -> None:
        self.flying -= 1
        self._next(connection)

    def _next(self, connection: _Connection) -> None:
        if self._waiting:
            connection.send(self._waiting.popleft())
        elif self.refill and (shot := self.refill()):
            self.flying += 1
            connection.send(shot)
        else:
            self._free.append(connection)

    def lost(self, connection: _Connection) -> None:
        self.open -= 1
        if connection in self._free:
            self._free.remove(connection)
        elif connection.shot:
            self.flying -= 1

    def close(self) -> None:
        for connection in list(self._free):
            connection.transport.close()

    async def settled(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        while self.flying and time.monotonic() < end:
            await asyncio.sleep(0.01)


async def _fire(pool: Pool, shots: Sequence[Shot]) -> None:
    for shot in shots:
        while (wait := shot.due - time.time()) > 0:
            await asyncio.sleep(wait)
        pool.fire(shot)


def open_loop(
    port: int,
    shots: Iterable[Shot],
    *,
    patience: float = 10.0,
    beside: Callable[[], Awaitable[Any]] | None = None,
) -> None:
    """Fire each shot when it is due, whatever became of those before. `beside` starts a server in the same loop."""

    async def run() -> None:
        helper = await beside() if beside else None
        pool = Pool("127.0.0.1", port)
        await _fire(pool, sorted(shots, key=lambda shot: shot.due))
        await pool.settled(patience)
        pool.close()
        if helper:
            await asyncio.sleep(0.5)
            helper.close()

    _undisturbed(run)


def closed_loop(port: int, data: bytes, *, connections: int, seconds: float) -> list[Shot]:
    """As many requests as go through on so many connections; those that were answered."""
    done: list[Shot] = []

    async def run() -> None:
        pool = Pool("127.0.0.1", port, connections)
        end = time.time() + seconds

        def another() -> Shot | None:
            if time.time() >= end:
                return None
            done.append(Shot(time.time(), data))
            return done[-1]

        pool.refill = another
        for _ in range(connections):
            if shot := another():
                pool.fire(shot)
        await pool.settled(seconds + 5)
        pool.close()

    _undisturbed(run)
    return [shot for shot in done if shot.status == 200]


def _undisturbed(work: Callable[[], Awaitable[None]]) -> None:
    """Without the collector: a pause of ours would be counted as the product's."""
    gc.collect()
    gc.disable()
    try:
        uvloop.run(work())  # type: ignore[arg-type]
    finally:
        gc.enable()
