"""Calls as Mango Office tells of them: pre-signed HTTP requests, each with the second at which it is due."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.mango.wire import dumps, form_body, opaque

ANSWER_AFTER, END_AFTER = 0.4, 1.0
LINE = "74950000001"
KNOWN_PHONE = "79000000001"
"""A client whom every emulated portal knows, with a personal manager."""


@dataclass(frozen=True, slots=True)
class Account:
    """A company: the address and the keys of its PBX, and the name of its portal."""

    token: str
    key: str
    salt: str
    portal: str


@dataclass(slots=True, eq=False)
class Shot:
    """One request: when it is due (epoch seconds), and what became of it."""

    due: float
    data: bytes
    status: int = 0
    answered: float = 0.0

    @property
    def took(self) -> float:
        """Seconds from the moment it was due, not from when it could be sent."""
        return self.answered - self.due


@dataclass(slots=True, eq=False)
class Call:
    """A call with its events. `rings` and `ends` are the shots that the CRM's register and finish follow from."""

    account: Account
    phone: str
    entry: str
    leg: str
    rings: Shot
    ends: Shot
    shots: list[Shot] = field(default_factory=list)


_numbers = itertools.count(1)


def _request(account: Account, path: str, payload: dict[str, Any]) -> bytes:
    body = form_body(account.key, account.salt, dumps(payload))
    head = (
        f"POST /hooks/mango/{account.token}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: mango\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Maker:
    """Makes the shots of one call. `at` is when it begins."""

    def __init__(self, account: Account, at: float, phone: str = ""):
        number = next(_numbers)
        self.account, self.at = account, at
        self.phone = phone or f"7916{number % 10_000_000:07d}"
        self.entry = opaque(f"{account.key[-6:]}{number:09d}")
        self.shots: list[Shot] = []

    def leg(self, name: str) -> str:
        return opaque(f"{name}:{self.entry}")

    def event(
        self,
        after: float,
        state: str,
        seq: int,
        leg: str = "a",
        extension: str = "101",
        place: str = "abonent",
        **more: Any,
    ) -> Shot:
        caller: dict[str, Any] = {"number": self.phone}
        callee: dict[str, Any] = {"number": LINE, "line_number": LINE}
        if place == "abonent":
            callee |= {"extension": extension, "number": f"sip:user{extension}@demo.mangosip.ru"}
        payload = {"from": caller, "to": callee, "dct": {"type": 0}, **more}
        return self._leg(after, state, seq, leg, place, payload)

    def outgoing(self, after: float, state: str, seq: int) -> Shot:
        payload = {
            "from": {"extension": "101", "number": "sip:user101@demo.mangosip.ru"},
            "to": {"number": self.phone, "line_number": LINE},
            "dct": {"type": 0},
        }
        return self._leg(after, state, seq, "a", "abonent", payload)

    def _leg(self, after: float, state: str, seq: int, leg: str, place: str, rest: dict[str, Any]) -> Shot:
        payload = {
            "entry_id": self.entry,
            "call_id": self.leg(leg),
            "timestamp": int(self.at + after),
            "seq": seq,
            "call_state": state,
            "location": place,
            **rest,
        }
        return self._add(after, "events/call", payload)

    def summary(self, after: float, talked: float | None, *, out: bool = False, extension: str = "101") -> Shot:
        person = {"extension": extension, "number": f"sip:user{extension}@demo.mangosip.ru"}
        client = {"number": self.phone}
        payload = {
            "entry_id": self.entry,
            "call_direction": 2 if out else 1,
            "from": person if out else client,
            "to": client if out else person,
            "line_number": LINE,
            "create_time": int(self.at),
            "forward_time": int(self.at),
            "talk_time": 0 if talked is None else int(self.at + talked),
            "end_time": int(self.at + after),
            "entry_result": 0 if talked is None else 1,
            "disconnect_reason": 1110,
        }
        return self._add(after, "events/summary", payload)

    def _add(self, after: float, path: str, payload: dict[str, Any]) -> Shot:
        self.shots.append(Shot(self.at + after, _request(self.account, path, payload)))
        return self.shots[-1]

    def call(self, rings: Shot, ends: Shot) -> Call:
        return Call(self.account, self.phone, self.entry, self.leg("a"), rings, ends, self.shots)


def answered(account: Account, at: float, phone: str = "") -> Call:
    """What the load is made of: three events, two writes into the CRM."""
    maker = _Maker(account, at, phone)
    rings = maker.event(0, "Appeared", 1)
    maker.event(ANSWER_AFTER, "Connected", 2)
    return maker.call(rings, maker.summary(END_AFTER, ANSWER_AFTER))


def group(account: Account, at: float) -> Call:
    """A queue that rings two; the second one answers."""
    maker = _Maker(account, at)
    maker.event(0, "Appeared", 1, "q", place="queue")
    rings = maker.event(0.05, "Appeared", 1, "a", "101")
    maker.event(0.05, "Appeared", 1, "b", "102")
    maker.event(0.8, "Connected", 2, "b", "102")
    maker.event(0.8, "Disconnected", 2, "a", "101", disconnect_reason=1182)
    return maker.call(rings, maker.summary(1.6, 0.8, extension="102"))


def missed(account: Account, at: float) -> Call:
    maker = _Maker(account, at)
    rings = maker.event(0, "Appeared", 1)
    maker.event(0.8, "Disconnected", 2, disconnect_reason=1110)
    return maker.call(rings, maker.summary(0.8, None))


def dialled(account: Account, at: float) -> Call:
    """An outgoing call from the employee's telephone."""
    maker = _Maker(account, at)
    rings = maker.outgoing(0, "Appeared", 1)
    maker.outgoing(0.5, "Connected", 2)
    return maker.call(rings, maker.summary(1.2, 0.5, out=True))


def greeted(account: Account, at: float) -> Call:
    """A known client in the greeting, whom his manager should get."""
    maker = _Maker(account, at, KNOWN_PHONE)
    rings = maker.event(0, "Appeared", 1, "a", place="ivr")
    maker.event(1.2, "Disconnected", 2, "a", place="ivr", disconnect_reason=1110)
    return maker.call(rings, maker.summary(1.2, None))


KINDS = {"answered, one rings": answered, "answered, a group rings": group, "missed": missed, "outgoing": dialled}


def poisson(accounts: list[Account], rate: float, seconds: float, start: float, seed: int = 7) -> Iterator[Call]:
    """Calls at random moments, three events each, over all accounts: `rate` events a second on average."""
    random_ = random.Random(seed)
    order = list(accounts)
    at = start
    for number in itertools.count():
        at += random_.expovariate(rate / 3)
        if at > start + seconds:
            return
        if number % len(order) == 0:
            random_.shuffle(order)
        yield answered(order[number % len(order)], at)


def evenly(accounts: list[Account], rate: float, start: float) -> list[Call]:
    """One call for each account, `rate` calls a second."""
    return [answered(account, start + number / rate) for number, account in enumerate(accounts)]
