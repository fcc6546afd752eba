"""AMI on the wire: lines `Name: value` ended by CR LF, a message ends with an empty line.

Source: Asterisk's `main/manager.c`, seen on versions 16 and 22.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from telephony.providers.values import clean

MOST = 256 * 1024
"""Bytes of one message: what is longer is none, and is thrown away up to the next empty line."""
_END = b"\r\n\r\n"
_NOBODY = {"<unknown>", "<none>", "(null)"}


class Message(dict[str, str]):
    """One message: values by lower-case name, the first where a name comes twice. What is unknown to Asterisk is ""."""

    @property
    def event(self) -> str:
        return self.get("event", "")

    @property
    def ok(self) -> bool:
        return self.get("response", "").lower() == "success"

    def __missing__(self, name: str) -> str:
        return ""


class Messages:
    """Bytes as they come in, whole messages out. Whatever comes, nothing is raised."""

    def __init__(self) -> None:
        self._rest = b""
        self._skips = False

    def feed(self, data: bytes) -> list[Message]:
        *whole, self._rest = (self._rest + data).split(_END)
        if whole and self._skips:
            del whole[0]
            self._skips = False
        if len(self._rest) > MOST:
            self._rest, self._skips = self._rest[-len(_END) :], True
        return [message for raw in whole if len(raw) <= MOST and (message := read(raw))]


def read(raw: bytes) -> Message:
    """Lines without a colon (the greeting of the PBX) say nothing."""
    message = Message()
    for line in clean(raw.decode("utf-8", "replace")).split("\r\n"):
        name, colon, value = line.partition(":")
        value = value.strip()
        if colon:
            message.setdefault(name.strip().lower(), "" if value in _NOBODY else value)
    return message


def action(name: str, fields: Mapping[str, str | Iterable[str]]) -> bytes:
    """A request. A value with a line break in it would be a header, or an action, of somebody else's making."""
    lines = [f"Action: {name}"]
    for key, value in fields.items():
        for each in [value] if isinstance(value, str) else value:
            lines.append(f"{key}: {' '.join(each.split())}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def proof(challenge: str, secret: str) -> str:
    """What proves that we know the secret without sending it."""
    return hashlib.md5((challenge + secret).encode(), usedforsecurity=False).hexdigest()
