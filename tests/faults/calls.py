"""The kinds of calls that are played, what must become of each, and how they are dealt from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

SPEED = 30.0
"""Thirty times as fast as people: a call of 20 seconds takes two thirds of one."""
USERS = {"101": 12, "102": 13, "103": 14}
"""Users of the CRM by extension."""
DEFAULT = 1
"""The default responsible."""
LINE = "74950000001"
EMPLOYEES_PHONE = "79000000101"
CLICK = "click in the CRM"


@dataclass(frozen=True, slots=True)
class Kind:
    """`code` is the status that the CRM must end up with; a call without one is not written, for the `reason`."""

    scenario: str
    code: str = ""
    reason: str = ""
    spec: dict[str, Any] = field(default_factory=dict)


RECORDED = {"record": True, "record_delay": 10}
KINDS: dict[str, Kind] = {
    "answered": Kind("incoming_direct", "200"),
    "answered, recorded": Kind("incoming_direct", "200", spec=RECORDED),
    "answered after a greeting": Kind("incoming_ivr", "200"),
    "answered in a group": Kind("incoming_group", "200", spec=RECORDED),
    "transferred blind": Kind("transfer_blind", "200"),
    "transferred after a consultation": Kind("transfer_consult", "200"),
    "outgoing": Kind("outgoing", "200"),
    "outgoing, recording comes late": Kind("late_recording", "200"),
    "outgoing, no answer": Kind("outgoing_no_answer", "480"),
    "outgoing, busy": Kind("outgoing_busy", "486"),
    "missed": Kind("missed_direct", "304"),
    "missed by a group": Kind("missed", "304"),
    "missed, nobody in time": Kind("missed_timeout", "304"),
    "left in the greeting": Kind("left_ivr", "304"),
    "busy": Kind("busy", "486"),
    CLICK: Kind("callback", "200"),
    "internal": Kind("internal", reason="internal_call", spec={"second": "103"}),
    "hidden number": Kind("hidden_number", reason="hidden_number", spec={"client": ""}),
    "employee's own phone": Kind(
        "incoming_direct", reason="employee_phone", spec={"client": EMPLOYEES_PHONE, "extension": "102"}
    ),
    "unknown extension": Kind("incoming_direct", reason="unknown_extension", spec={"extension": "199"}),
}
RARE = frozenset(name for name, kind in KINDS.items() if kind.reason)
"""Kinds that never reach the CRM come once where the others come four times."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A call to be played: which kind, in which company, with whom."""

    kind: str
    company: int
    client: str
    extension: str

    def spec(self) -> dict[str, Any]:
        """What the emulated PBX is asked for, its `scenario` apart."""
        return {"client": self.client, "extension": self.extension, "speed": SPEED, **KINDS[self.kind].spec}


def deal(count: int, companies: int, rng: random.Random) -> Iterator[Planned]:
    """So many calls of all kinds, each with a client of its own."""
    names = [name for name in KINDS for _ in range(1 if name in RARE else 4)]
    deck: list[str] = []
    for number in range(count):
        deck = deck or rng.sample(names, len(names))
        extension = rng.choice(["101", "102"])  # 103 is whom calls are transferred to
        yield Planned(deck.pop(), rng.randrange(companies), f"7900{1_000_000 + number}", extension)
