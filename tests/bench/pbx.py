"""The API of Mango Office as far as routing needs it: takes commands and notes when they came."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qs

_BODY = b'{"result":1000}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


class FakePbx:
    """`routed`: when the command for a leg came (epoch seconds)."""

    def __init__(self, port: int):
        self.port = port
        self.routed: dict[str, float] = {}

    async def serve(self) -> Any:
        return await asyncio.get_running_loop().create_server(lambda: _Incoming(self), "127.0.0.1", self.port)

    def took(self, body: bytes, at: float) -> None:
        command = json.loads(parse_qs(body.decode())["json"][0])
        self.routed.setdefault(command.get("call_id", ""), at)


class _Incoming(asyncio.Protocol):
    def __init__(self, pbx: FakePbx):
        self._pbx, self._buffer, self._at = pbx, b"", 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._at = self._at or time.time()
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0) if separator else 0
        if not separator or len(body) < length:
            return
        if b"/commands/route" in head.split(b"\r\n", 1)[0]:
            self._pbx.took(body, self._at)
        self._buffer, self._at = b"", 0.0
        self._transport.write(_ANSWER)
