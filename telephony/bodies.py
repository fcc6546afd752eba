"""Bodies of requests to any of our doors: bounded in size and time, whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from django.conf import settings

from .providers.base import Refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MAX_BODY: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
BODY_SECONDS = 10.0
LINGER_SECONDS = 2.0
GONE = 499
"""The status of a request whose client went away: nobody hears it, the figures count it."""


def look_at(scope: Scope) -> None:
    """Refuse by its head a request whose body we would not read: raises `Refused`.

    Packed bodies are not unpacked: no vendor sends them, and a small one may become an enormous one.
    """
    headers = dict(scope["headers"])
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
        raise Refused(415, "send_the_body_without_content_encoding")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > MAX_BODY:
        raise Refused(413, "body_too_large")


def storable(text: bytes | str) -> str:
    """Text that every database takes, with nothing lost: PostgreSQL has no NUL in texts, none has half a character."""
    whole = text.decode("latin-1") if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace").decode()
    return whole.replace("\x00", "%00")


class Body:
    """An ASGI `receive` that raises `Refused` for a body that is too large or too slow, or that breaks off."""

    def __init__(self, receive: Receive):
        self._receive = receive
        self._size, self._whole = 0, False
        self._end = asyncio.get_running_loop().time() + BODY_SECONDS

    async def __call__(self) -> MutableMapping[str, Any]:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            raise Refused(408, "body_too_slow") from None
        if message["type"] == "http.disconnect":
            raise Refused(GONE, "client_gone")
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body")
        if self._size > MAX_BODY:
            raise Refused(413, "body_too_large")
        return message

    async def read(self) -> bytes:
        parts = []
        while not self._whole:
            parts.append((await self()).get("body", b""))
        return b"".join(parts)

    async def let_go(self) -> None:
        """Throw away for a moment what is still sent: who is cut off while he sends does not see our answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._whole:
                    message = await self._receive()
                    self._whole = message["type"] == "http.disconnect" or not message.get("more_body")
