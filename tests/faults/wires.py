"""Wires: TCP proxies on the ways between the product and everything around it, that can be cut in every manner."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

MODES = ("refuse", "reset", "delay", "throttle", "blackhole", "corrupt")
"""`refuse`: nobody listens, and what was connected is cut. `reset`: a share of the answers is cut off in the middle,
after the request was executed. `delay`: everything comes late. `throttle`: it comes in small pieces, slowly.
`blackhole`: nothing comes any more, until the wire heals. `corrupt`: JSON in answers is JSON no more."""
DELAY_SECONDS = 0.4
PIECE, PIECE_SECONDS = 512, 0.02
READ = 65_536


class Wires:
    """The thread that all wires live in. `with Wires(seed) as wires: wire = wires.lay(port)`."""

    def __init__(self, seed: str):
        self.rng = random.Random(seed)
        self.loop = asyncio.new_event_loop()
        self._laid: list[Wire] = []
        self._thread = threading.Thread(target=self.loop.run_forever, name="wires", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._cut_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    async def _cut_all(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for wire in self._laid:
            wire.cut()
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def do(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def lay(self, target: int, share: float = 0.3) -> Wire:
        """A wire to a port of this machine. `share`: how many answers a `reset` cuts off."""
        wire = Wire(self, target, share)
        self.do(wire.listen())
        self._laid.append(wire)
        return wire


class Wire:
    """One way. `port` is where the near end is."""

    def __init__(self, wires: Wires, target: int, share: float):
        self._wires, self._target, self._share = wires, target, share
        self.port = 0
        self._mode = ""
        self._healed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def broken(self, mode: str) -> Iterator[None]:
        """In one of the `MODES` meanwhile, one at a time."""
        self._wires.do(self._begin(mode))
        try:
            yield
        finally:
            self._wires.do(self._heal())

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Stop listening, and reset what is connected."""
        if self._server:
            self._server.close()
        for writer in list(self._ends):
            _reset(writer)

    async def _begin(self, mode: str) -> None:
        self._mode = mode
        self._healed.clear()
        if mode == "refuse":
            self.cut()

    async def _heal(self) -> None:
        if self._mode == "refuse":
            await self.listen()
        self._mode = ""
        self._healed.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            return
        both = {writer, far_writer}
        self._ends |= both
        try:
            await asyncio.gather(
                self._pass_on(reader, far_writer, both, answers=False),
                self._pass_on(far_reader, writer, both, answers=True),
            )
        finally:
            self._ends -= both
            for end in both:
                end.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, both: set[Any], *, answers: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(READ):
                if self._mode == "reset" and answers and self._wires.rng.random() < self._share:
                    writer.write(data[: len(data) // 2])
                    for end in both:
                        _reset(end)
                    return
                await self._send(writer, _corrupted(data) if self._mode == "corrupt" and answers else data)
        if not writer.is_closing() and writer.can_write_eof():
            with suppress(OSError):
                writer.write_eof()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if self._mode == "delay":
            await asyncio.sleep(DELAY_SECONDS)
        elif self._mode == "blackhole":
            await self._healed.wait()
        elif self._mode == "throttle":
            for start in range(0, len(data), PIECE):
                writer.write(data[start : start + PIECE])
                await asyncio.sleep(PIECE_SECONDS)
            return
        writer.write(data)
        await writer.drain()


def _corrupted(data: bytes) -> bytes:
    """Only what can be noticed: a changed digit would be another, perfectly good answer (TLS notices those)."""
    head, separator, body = data.rpartition(b"\r\n\r\n")
    return head + separator + (b"\xff" + body[1:] if body[:1] in (b"{", b"[") else body)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock and not writer.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
