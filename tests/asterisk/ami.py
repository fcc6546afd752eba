"""Asterisk's manager interface, as the tests use it: to ask and to watch."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator
from typing import Self

Event = dict[str, str]


class Refused(Exception):
    """The account may not come in."""


class Ami:
    """One connection; what comes while an answer is awaited is kept for `event`. A repeated header has lines."""

    def __init__(self, port: int, user: str, secret: str, *, events: bool = False):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._file = self.socket.makefile("rb")
        self._file.readline()  # who it is, and of which version
        self._numbers = itertools.count(1)
        self.seen: list[Event] = []
        answer = self.ask("Login", Username=user, Secret=secret, Events="on" if events else "off")
        if answer["Response"] != "Success":
            self.socket.close()
            raise Refused(answer["Message"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def ask(self, action: str, *variables: str, **headers: str) -> Event:
        """The answer to an action. Raises `OSError` when the connection is gone."""
        number = str(next(self._numbers))
        pairs = [("Action", action), ("ActionID", number), *headers.items()]
        pairs += [("Variable", each) for each in variables]
        self.socket.sendall("".join(f"{name}: {value}\r\n" for name, value in pairs).encode() + b"\r\n")
        for message in self._messages():
            if message.get("ActionID") == number and "Response" in message:
                return message
            self.seen.append(message)
        raise ConnectionError("the PBX has closed the connection")

    def event(self, wanted: Callable[[Event], bool]) -> Event:
        """The first event of those not yet asked for that is wanted; those before it are dropped."""
        for message in itertools.chain(iter(lambda: self.seen.pop(0) if self.seen else None, None), self._messages()):
            if "Event" in message and wanted(message):
                return message
        raise ConnectionError("the PBX has closed the connection")

    def _messages(self) -> Iterator[Event]:
        message: Event = {}
        for raw in self._file:
            name, colon, value = raw.decode("utf-8", "replace").rstrip("\r\n").partition(":")
            if colon:
                message[name] = f"{message[name]}\n{value.strip()}" if name in message else value.strip()
            elif not name and message:
                yield message
                message = {}
