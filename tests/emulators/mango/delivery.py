"""Sending notifications to the hub: a keep-alive HTTP/1.1 client, ordered or parallel, spoiled on request.

The vendor looks only at the status of the answer and documents no retry: one attempt. Delivery is not ordered.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import httptools

from . import wire

if TYPE_CHECKING:
    from .account import Account
    from .simulator import Call

IDLE_SECONDS = 2.0  # an older idle connection may be half closed by the hub: a new one instead of a second attempt


@dataclass(slots=True)
class Event:
    """One notification and what the hub answered to each copy of it (a status, or words for a failure) after how many
    seconds."""

    path: str
    body: str
    answers: list[int | str]
    took: list[float] = field(default_factory=list)

    @property
    def data(self) -> dict[str, Any]:
        """The payload, parsed."""
        return cast("dict[str, Any]", json.loads(self.body))


@dataclass(slots=True)
class Delivery:
    """How notifications travel. `order` lists indices (repeated: duplicate, absent: lost); `drop` is a share,
    or a list of indices, paths and call states."""

    parallel: bool = False
    shuffle: bool = False
    duplicate: bool = False
    drop: float | list[int | str] = 0.0
    delay: float = 0.0
    order: list[int] | None = None
    seed: int = 1

    @property
    def buffered(self) -> bool:
        """Whether all of a call must be known before the first notification leaves."""
        return self.shuffle or self.order is not None

    def dropped(self, index: int, event: Event, rng: random.Random) -> bool:
        """Whether this notification gets lost."""
        if isinstance(self.drop, list):
            return index in self.drop or event.path in self.drop or event.data.get("call_state") in self.drop
        return bool(self.drop) and rng.random() < self.drop

    def arrange(self, events: list[Event], rng: random.Random) -> list[Event]:
        """The order of a buffered call."""
        if self.order is not None:
            return [events[index] for index in self.order]
        shuffled = list(events)
        rng.shuffle(shuffled)
        return shuffled


class _Connection(asyncio.Protocol):
    """One keep-alive connection; the answer's status is all that is kept."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiter: asyncio.Future[int] | None = None
        self.used = 0.0
        self.reusable = True
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.reusable = self._parser.should_keep_alive()
            self._parser = httptools.HttpResponseParser(self)
            if self.waiter and not self.waiter.done():
                self.waiter.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._fail(exc or ConnectionResetError("closed without an answer"))

    def _fail(self, error: Exception) -> None:
        if self.waiter and not self.waiter.done():
            self.waiter.set_exception(error)


class HubClient:
    """A bounded pool of connections to the hubs."""

    def __init__(self, connections: int, timeout: float) -> None:
        self._slots = asyncio.Semaphore(connections)
        self._idle: dict[tuple[str, int, bool], list[_Connection]] = {}
        self._timeout = timeout

    async def post(self, url: str, body: bytes) -> int:
        """POST a form; the status, or an exception."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        host = parts.hostname or "127.0.0.1"
        target = (host, parts.port or (443 if tls else 80), tls)
        head = (
            f"POST {parts.path or '/'}{'?' + parts.query if parts.query else ''} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Content-Type: {wire.FORM}\r\nContent-Length: {len(body)}\r\nConnection: keep-alive\r\n\r\n"
        ).encode()
        async with self._slots, asyncio.timeout(self._timeout):
            return await self._exchange(target, head + body)

    async def _exchange(self, target: tuple[str, int, bool], request: bytes) -> int:
        loop = asyncio.get_running_loop()
        connection = await self._connection(target)
        transport = cast("asyncio.Transport", connection.transport)
        connection.waiter = loop.create_future()
        try:
            transport.write(request)
            status = await connection.waiter
        except BaseException:
            transport.abort()
            raise
        connection.used = loop.time()
        if connection.reusable and not transport.is_closing():
            self._idle.setdefault(target, []).append(connection)
        else:
            transport.close()
        return status

    async def _connection(self, target: tuple[str, int, bool]) -> _Connection:
        loop = asyncio.get_running_loop()
        idle = self._idle.get(target, [])
        while idle:
            connection = idle.pop()
            transport = cast("asyncio.Transport", connection.transport)
            if connection.reusable and not transport.is_closing() and loop.time() - connection.used < IDLE_SECONDS:
                return connection
            transport.close()
        host, port, tls = target
        context = ssl.create_default_context() if tls else None
        _, protocol = await loop.create_connection(_Connection, host, port, ssl=context)
        return protocol

    def close(self) -> None:
        """Close what is idle."""
        for connections in self._idle.values():
            for connection in connections:
                if connection.transport:
                    connection.transport.close()


class Courier:
    """Carries events to the hub; each attempt's outcome is noted in the event.

    `retry_on_failure`: three attempts. `insist`: as many as it takes until the hub answers 200.
    """

    def __init__(
        self, connections: int = 16, timeout: float = 10.0, retry_on_failure: bool = False, insist: bool = False
    ) -> None:
        self.client = HubClient(connections, timeout)
        self.retry_on_failure, self.insist = retry_on_failure, insist
        self.unreachable = False
        self.sent = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, account: Account, event: Event) -> int | str:
        """Deliver one event; the last answer."""
        answer: int | str = ""
        loop = asyncio.get_running_loop()
        for attempt in itertools.count() if self.insist else range(3 if self.retry_on_failure else 1):
            if attempt:
                await asyncio.sleep(min(0.2 * attempt, 1.0))
            began = loop.time()
            answer = await self._attempt(account, event)
            event.answers.append(answer)
            event.took.append(loop.time() - began)
            if isinstance(answer, int) and answer < 400:
                break
        return answer

    async def _attempt(self, account: Account, event: Event) -> int | str:
        self.sent += 1
        if self.unreachable:
            return "unreachable"
        if not account.hub_url:
            return "no hub_url"
        url = account.hub_url.rstrip("/") + "/" + event.path
        try:
            return await self.client.post(url, wire.form_body(account.key, account.salt, event.body))
        except TimeoutError:
            return "timeout"
        except (OSError, httptools.HttpParserError) as error:
            return f"{type(error).__name__}: {error}"

    def spawn(self, coroutine: Any) -> asyncio.Task[None]:
        """Run in the background and keep a reference until it ends."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class Outbox:
    """The notifications of one call on their way: in order one by one, or all at once."""

    __slots__ = ("_busy", "_call", "_courier", "_queue", "_rng", "_sealed", "_sent_index", "mode", "pending")

    def __init__(self, courier: Courier, call: Call, mode: Delivery) -> None:
        self._courier, self._call, self.mode = courier, call, mode
        self._queue: deque[Event] = deque()
        self._rng = random.Random(mode.seed)
        self._busy = self._sealed = False
        self._sent_index = 0
        self.pending = 0

    def put(self, event: Event) -> None:
        """Take an event that was just generated."""
        if not self.mode.buffered:
            self._enqueue(event)

    def seal(self, events: list[Event]) -> None:
        """The call has ended: nothing more will come."""
        if self.mode.buffered:
            for event in self.mode.arrange(events, self._rng):
                self._enqueue(event)
        self._sealed = True
        self._check()

    def _enqueue(self, event: Event) -> None:
        index, self._sent_index = self._sent_index, self._sent_index + 1
        if self.mode.dropped(index, event, self._rng):
            return
        for _ in range(2 if self.mode.duplicate else 1):
            self.pending += 1
            if self.mode.parallel:
                self._courier.spawn(self._one(event, self._rng.uniform(0.0, self.mode.delay)))
            else:
                self._queue.append(event)
        if self._queue and not self._busy:
            self._busy = True
            self._courier.spawn(self._drain())

    async def _one(self, event: Event, delay: float) -> None:
        if delay:
            await asyncio.sleep(delay)
        try:
            await self._courier.send(self._call.account, event)
        finally:
            self.pending -= 1
            self._check()

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self._one(self._queue.popleft(), self.mode.delay)
        finally:
            self._busy = False

    def _check(self) -> None:
        if self._sealed and not self.pending:
            self._call.settle()
