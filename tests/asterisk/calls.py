"""Calls of every kind, each from its first ring to its end, and what has really happened in it.

Each is a function of the lab and of the client's number. They use different extensions: all can be placed at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .lab import Lab, line
from .sip import Call

TALK_SECONDS = 2.2


@dataclass(frozen=True, slots=True)
class Truth:
    """What the phones know of a call. `extension`: who talked last, or rang when nobody talked; `first`: who talked
    first, where that was another; `talk` in seconds."""

    client: str
    extension: str
    outcome: str = "answered"
    first: str = ""
    direction: str = "in"
    talk: float = 0.0
    recorded: bool = False


Placed = Callable[[Lab, str], Truth]
CALLS: dict[str, Placed] = {}


def placed(function: Placed) -> Placed:
    """Marks what can be placed by its name."""
    CALLS[function.__name__] = function
    return function


def talk() -> None:
    """The one thing in a call that takes its time."""
    time.sleep(TALK_SECONDS)


def ended(near: Call, far: Call) -> None:
    near.wait("over")
    far.wait("over")


@placed
def answered(lab: Lab, client: str) -> Truth:
    """The client hangs up."""
    calling = lab.outside.dial(line(101), me=client)
    ringing = lab.phone(101).rings(by=client).answer()
    talk()
    calling.hang_up()
    ended(ringing, calling)
    return Truth(client, "101", talk=ringing.talked, recorded=True)


@placed
def missed(lab: Lab, client: str) -> Truth:
    """Nobody answers until the PBX refuses the call."""
    calling = lab.outside.dial(line(102), me=client)
    lab.phone(102).rings(by=client)
    calling.wait("over")
    return Truth(client, "102", "missed")


@placed
def given_up(lab: Lab, client: str) -> Truth:
    """The client hangs up while it rings."""
    calling = lab.outside.dial(line(113), me=client)
    ringing = lab.phone(113).rings(by=client)
    calling.wait("heard").hang_up()
    ended(ringing, calling)
    return Truth(client, "113", "missed")


@placed
def busy(lab: Lab, client: str) -> Truth:
    lab.phone(103).busy = True
    lab.outside.dial(line(103), me=client).wait("over")
    return Truth(client, "103", "busy")


@placed
def group(lab: Lab, client: str) -> Truth:
    """Two ring, the second answers."""
    calling = lab.outside.dial(line(5), me=client)
    first, second = lab.phone(104).rings(by=client), lab.phone(105).rings(by=client)
    second.answer()
    first.wait("over")
    talk()
    second.hang_up()
    ended(second, calling)
    return Truth(client, "105", talk=second.talked, recorded=True)


@placed
def queue_answered(lab: Lab, client: str) -> Truth:
    """A greeting, music, then the member of a queue, whom a Local channel leads to."""
    calling = lab.outside.dial(line(1), me=client)
    ringing = lab.phone(106).rings(by=client).answer()
    talk()
    ringing.hang_up()
    ended(ringing, calling)
    return Truth(client, "106", talk=ringing.talked, recorded=True)


@placed
def queue_abandoned(lab: Lab, client: str) -> Truth:
    """The client hears music, and leaves the queue while its member rings."""
    calling = lab.outside.dial(line(2), me=client).wait("talking")
    ringing = lab.phone(107).rings(by=client)
    calling.hang_up()
    ended(ringing, calling)
    return Truth(client, "107", "missed")


@placed
def menu(lab: Lab, client: str) -> Truth:
    """The client presses 1 in a voice menu."""
    calling = lab.outside.dial(line(3), me=client).wait("talking")
    calling.press("1")
    ringing = lab.phone(110).rings(by=client).answer()
    talk()
    ringing.hang_up()
    ended(ringing, calling)
    return Truth(client, "110", talk=ringing.talked, recorded=True)


@placed
def transferred(lab: Lab, client: str) -> Truth:
    """The first employee sends the client to a second one without asking."""
    calling = lab.outside.dial(line(108), me=client)
    first = lab.phone(108).rings(by=client).answer()
    talk()
    first.transfer("109")
    second = lab.phone(109).rings(by=client).answer()
    first.wait("over")
    talk()
    calling.hang_up()
    ended(second, calling)
    return Truth(client, "109", first="108", talk=second.talked_until - first.talked_from, recorded=True)


@placed
def outgoing(lab: Lab, client: str) -> Truth:
    """Dialled with an 8, as people do; the employee hangs up."""
    calling = lab.phone(111).dial("8" + client[1:])
    ringing = lab.outside.rings(for_number="8" + client[1:]).answer()
    calling.wait("talking")
    talk()
    calling.hang_up()
    ended(ringing, calling)
    return Truth(client, "111", direction="out", talk=ringing.talked, recorded=True)


@placed
def outgoing_busy(lab: Lab, client: str) -> Truth:
    calling = lab.phone(112).dial(client)
    lab.outside.rings(for_number=client).refuse()
    calling.wait("over")
    return Truth(client, "112", "busy", direction="out")


@placed
def internal(lab: Lab, client: str) -> Truth:
    """Two employees; there is no client."""
    calling = lab.phone(114).dial("115")
    ringing = lab.phone(115).rings(by="114").answer()
    talk()
    calling.hang_up()
    ended(ringing, calling)
    return Truth("", "115", direction="internal", talk=ringing.talked)
