"""The PBX's notifications and the facts they state.

An `event` speaks of one employee's part in a call and tells no time; `history` is the last word on a call, or on the
part of it that was handed on to somebody: that part has an id of its own. They overtake each other.
Source: test suites and code of public clients of several brands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from telephony.providers.base import (
    AT_RECEIPT,
    NO_TIME,
    Alias,
    Direction,
    Leg,
    LegState,
    Note,
    NotUnderstood,
    Outcome,
    Parsed,
    Party,
    Place,
    RecordingFact,
    RecordingState,
    Summary,
)
from telephony.providers.values import Id, MaybeInteger, Model, Text, faults, local

from .directory import login

ANSWERED = "success"
_SHORTEST_PHONE = 7
_LONGEST = 24 * 3600
_LATEST = 2200
# Of an outgoing call that nobody took the vendor does not say who gave up. An incoming one is missed for any reason.
_OUTGOING = {
    "busy": Outcome.BUSY,
    "cancel": Outcome.NO_ANSWER,
    "missed": Outcome.NO_ANSWER,
    "noanswer": Outcome.NO_ANSWER,
}
_DIRECTIONS = {"in": Direction.IN, "out": Direction.OUT}
_BEGINNINGS = {"INCOMING": Direction.IN, "OUTGOING": Direction.OUT}
# How far a leg has come. A phone that stopped ringing may ring again, so CANCELLED counts only where nobody answered.
_STATES = {
    "INCOMING": (1, LegState.RINGING),
    "OUTGOING": (1, LegState.RINGING),
    "ACCEPTED": (2, LegState.TALKING),
    "COMPLETED": (3, LegState.ENDED),
    "TRANSFERRED": (3, LegState.ENDED),
    "CANCELLED": (4, LegState.ENDED),
}


class _Call(Model):
    """Any notification of a call; which fields it has depends on the command."""

    callid: Id
    type: Text = ""
    phone: Text = ""
    user: Text = ""
    ext: Text = ""
    direction: Text = ""
    diversion: Text = ""
    second_callid: Text = ""
    status: Text = ""
    start: Text = ""
    wait: MaybeInteger = None
    duration: MaybeInteger = None
    link: Text = ""
    rating: Text = ""

    @property
    def login(self) -> str:
        return login(self.user)

    @property
    def extension(self) -> str:
        """As `directory` lists it; empty for a department and for the switch."""
        return (self.ext or self.login) if self.login else ""


def is_internal(phone: str) -> bool:
    """A short number is a colleague: calls inside the company are none of our business, and not told reliably."""
    return phone.isdecimal() and len(phone) < _SHORTEST_PHONE


def client(phone: str) -> Party:
    """A word (`anonymous`) stands for a hidden number."""
    return Party(number=phone if phone.removeprefix("+").isdecimal() else "")


def moment(text: str) -> datetime:
    """`20261120T080000Z`, `2026-11-20T08:00:00Z` or with an offset, blanks left out; `NO_TIME` for anything else."""
    told = local("".join(text.split()), UTC)
    return told if told.year < _LATEST else NO_TIME


def seconds(told: int | None) -> timedelta:
    return timedelta(seconds=min(max(0, told or 0), _LONGEST))


def outcome(status: str, direction: Direction) -> Outcome:
    """What a call came to, in the words of notifications and of the history. An unknown word is never an answer."""
    word = status.lower()
    if word == ANSWERED:
        return Outcome.ANSWERED
    return _OUTGOING.get(word, Outcome.FAILED) if direction is Direction.OUT else Outcome.MISSED


def is_known(fields: Mapping[str, str]) -> bool:
    """Whether this is a notification as the vendor describes it."""
    cmd = fields.get("cmd", "")
    return cmd in _OTHERS or (cmd in _READERS and bool(fields.get("callid", "").strip()))


def read(fields: Mapping[str, str], *, recorded: bool) -> list[Parsed]:
    """What a notification says; nothing of one that we do not know. `recorded`: conversations are recorded, as the
    customer says. Raises `NotUnderstood`."""
    reader = _READERS.get(fields.get("cmd", ""))
    if reader is None:
        return []
    try:
        call = _Call.model_validate(fields)
    except ValidationError as error:
        raise NotUnderstood(faults(error)) from error
    return [] if is_internal(call.phone) else reader(call, recorded)


# --- While the call lives ---------------------------------------------------------------------------------------------


def _contact(call: _Call, _recorded: bool) -> list[Parsed]:
    """The PBX asks who calls before any phone rings."""
    return [_at_switch(call, 1, LegState.RINGING)]


def _at_switch(call: _Call, seq: int, state: LegState) -> Leg:
    """The caller's own leg, until somebody takes the call."""
    return Leg(
        call=call.callid,
        at=AT_RECEIPT,
        leg=call.callid,
        seq=seq,
        state=state,
        place=Place.MENU,
        caller=client(call.phone),
        virtual_number=call.diversion,
        direction=Direction.IN,
    )


def _event(call: _Call, _recorded: bool) -> list[Parsed]:
    kind = call.type.upper()
    if kind not in _STATES or not call.extension:
        return []
    leg = _at_employee(call, kind)
    if kind == "TRANSFERRED" and call.second_callid and call.second_callid != call.callid:
        return [leg, Alias(call=call.callid, at=AT_RECEIPT, other=call.second_callid, part=True)]
    if kind == "ACCEPTED" and leg.direction is Direction.IN:
        return [leg, _at_switch(call, 2, LegState.ENDED)]
    return [leg]


def _at_employee(call: _Call, kind: str) -> Leg:
    seq, state = _STATES[kind]
    direction = _DIRECTIONS.get(call.direction.lower()) or _BEGINNINGS.get(kind)  # old versions tell no direction
    sides = (client(call.phone), Party(extension=call.extension))
    caller, callee = sides[::-1] if direction is Direction.OUT else sides
    return Leg(
        call=call.callid,
        at=AT_RECEIPT,
        leg=f"{call.callid}:{call.login}",
        seq=seq,
        state=state,
        caller=caller,
        callee=callee,
        virtual_number=call.diversion,
        parent=call.callid if direction is Direction.IN else "",
        direction=direction,
    )


# --- Afterwards -------------------------------------------------------------------------------------------------------


def _history(call: _Call, recorded: bool) -> list[Parsed]:
    direction = _DIRECTIONS.get(call.type.lower(), Direction.IN)
    came_to = outcome(call.status, direction)
    began = moment(call.start)
    answered = came_to is Outcome.ANSWERED
    picked_up = began + seconds(call.wait) if began != NO_TIME and call.wait is not None else None
    talked = seconds(call.duration) if answered else timedelta()
    end = Summary(
        call=call.callid,
        at=picked_up + talked if picked_up else AT_RECEIPT,
        direction=direction,
        client_number=client(call.phone).number,
        extension=call.extension,
        virtual_number=call.diversion,
        started_at=None if began == NO_TIME else began,
        answered_at=picked_up if answered else None,
        outcome=came_to,
        talk_seconds=round(talked.total_seconds()),
    )
    return [end, *_recording(call, expected=recorded and answered)]


def _recording(call: _Call, *, expected: bool) -> list[Parsed]:
    """One for each call, under its id. Without a link there may be one later: only the history tells."""
    if not call.link and not expected:
        return []
    state = RecordingState.READY if call.link else RecordingState.ANNOUNCED
    return [
        RecordingFact(
            call=call.callid,
            at=AT_RECEIPT,
            recording=call.callid,
            state=state,
            extension=call.extension,
            url=call.link,
        )
    ]


def _rating(call: _Call, _recorded: bool) -> list[Parsed]:
    return [Note(call=call.callid, at=AT_RECEIPT, text=f"Rating: {call.rating}")] if call.rating else []


_READERS: Mapping[str, Callable[[_Call, bool], list[Parsed]]] = {
    "contact": _contact,
    "event": _event,
    "history": _history,
    "rating": _rating,
}
_OTHERS = frozenset({"webhook"})  # a line of the PBX could not register: no call
