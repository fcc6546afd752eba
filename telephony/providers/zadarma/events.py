"""Zadarma's notifications and the facts they state.

All times that Zadarma sends are the beginning of the call, in the account's zone: when somebody was rung, answered or
hung up is told by nothing but the moment at which we hear of it.
Source: the vendor's API page and PHP SDK; fields that are marked "seen" are from logs of public clients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo

from pydantic import ValidationError

from telephony.providers.base import (
    AT_RECEIPT,
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

_LONGEST_EXTENSION = 5
_ANSWERED = "answered"
_OUTCOMES = {
    Direction.IN: {"busy": Outcome.BUSY, "cancel": Outcome.MISSED, "no answer": Outcome.MISSED},
    Direction.OUT: {"busy": Outcome.BUSY, "cancel": Outcome.CANCELLED, "no answer": Outcome.NO_ANSWER},
}


class _Call(Model):
    """Any notification of a call; which fields it has depends on the event."""

    pbx_call_id: Id
    call_start: Text = ""
    caller_id: Text = ""
    called_did: Text = ""
    destination: Text = ""
    internal: Text = ""
    last_internal: Text = ""  # seen; the last participant after a transfer
    duration: MaybeInteger = None
    disposition: Text = ""
    is_recorded: Text = ""
    call_id_with_rec: Text = ""
    calltype: Text = ""  # seen: normal, callback_leg1, callback_leg2
    keys: Text = ""

    @property
    def direction(self) -> Direction:
        """The beginning of the id is what tells it most reliably."""
        if not self.pbx_call_id.startswith("out_"):
            return Direction.IN
        return Direction.INTERNAL if is_extension(self.destination) else Direction.OUT

    @property
    def recording(self) -> list[Parsed]:
        """`is_recorded` promises a file; that it can be fetched is told by an event of its own."""
        if self.is_recorded != "1" or not self.call_id_with_rec:
            return []
        return [_recording(self, RecordingState.ANNOUNCED)]


def is_extension(number: str) -> bool:
    return number.isdecimal() and len(number) <= _LONGEST_EXTENSION and number != "0"


def party(number: str) -> Party:
    """A side of a call by its number; words stand for a hidden one."""
    if is_extension(number):
        return Party(extension=number)
    return Party(number=number if number.removeprefix("+").isdecimal() and number.strip("+0") else "")


def outcome(disposition: str, direction: Direction) -> Outcome:
    """What a call came to. `call failed`, `no money`, `line limit` and others are failures."""
    if disposition == _ANSWERED:
        return Outcome.ANSWERED
    known = _OUTCOMES[Direction.IN if direction is Direction.IN else Direction.OUT]
    return known.get(disposition, Outcome.FAILED)


def read(fields: Mapping[str, str], zone: tzinfo) -> list[Parsed]:
    """What a notification says; nothing of an event that we do not know. Raises `NotUnderstood`."""
    reader = _READERS.get(fields.get("event", ""))
    if reader is None:
        return []
    try:
        call = _Call.model_validate({**fields, "keys": fields.get("wait_dtmf[digits]", "")})
    except ValidationError as error:
        raise NotUnderstood(faults(error)) from error
    return reader(call, local(call.call_start, zone))


# --- Incoming ---------------------------------------------------------------------------------------------------------


def _start(call: _Call, began: datetime) -> list[Parsed]:
    return [
        Leg(
            call=call.pbx_call_id,
            at=began,
            leg=call.pbx_call_id,
            seq=1,
            state=LegState.RINGING,
            place=Place.MENU,
            caller=party(call.caller_id),
            virtual_number=call.called_did,
            direction=Direction.IN,
        )
    ]


def _at_employee(call: _Call, seq: int, state: LegState) -> Leg:
    """The leg of an incoming call to an extension."""
    return Leg(
        call=call.pbx_call_id,
        at=AT_RECEIPT,
        leg=f"{call.pbx_call_id}:{call.internal}",
        seq=seq,
        state=state,
        caller=party(call.caller_id),
        callee=Party(extension=call.internal),
        virtual_number=call.called_did,
        parent=call.pbx_call_id,
        direction=Direction.IN,
        takes_over=state is LegState.TALKING,
    )


def _rings(call: _Call, _began: datetime) -> list[Parsed]:
    return [_at_employee(call, 1, LegState.RINGING)] if call.internal else []


def _stops(call: _Call, _began: datetime) -> list[Parsed]:
    return [_at_employee(call, 3, LegState.ENDED)] if call.internal else []


def _end(call: _Call, began: datetime) -> list[Parsed]:
    return [
        Summary(
            call=call.pbx_call_id,
            at=AT_RECEIPT,
            direction=Direction.IN,
            client_number=party(call.caller_id).number,
            extension=call.last_internal or call.internal,
            virtual_number=call.called_did,
            started_at=began,
            outcome=outcome(call.disposition, Direction.IN),
            talk_seconds=call.duration or 0,
        ),
        *call.recording,
    ]


# --- Outgoing ---------------------------------------------------------------------------------------------------------


def _dialled(call: _Call, at: datetime, seq: int, state: LegState) -> Leg:
    """The leg of an outgoing call. `caller_id` is the number that the client sees, never the extension."""
    extension = call.internal or (call.caller_id if is_extension(call.caller_id) else "")
    return Leg(
        call=call.pbx_call_id,
        at=at,
        leg=f"{call.pbx_call_id}:{extension}",
        seq=seq,
        state=state,
        caller=Party(extension=extension),
        callee=party(call.destination),
        virtual_number=party(call.caller_id).number,
        direction=call.direction,
        takes_over=state is LegState.TALKING,
        why=outcome(call.disposition, call.direction) if state is LegState.ENDED else None,
    )


def _out_start(call: _Call, began: datetime) -> list[Parsed]:
    return [_dialled(call, began, 1, LegState.RINGING)]


def _out_end(call: _Call, began: datetime) -> list[Parsed]:
    if call.calltype == "callback_leg1":  # the employee's side of a call that we asked for: the client's may follow
        return [_dialled(call, AT_RECEIPT, 3, LegState.ENDED)]
    return [
        Summary(
            call=call.pbx_call_id,
            at=AT_RECEIPT,
            direction=call.direction,
            client_number=party(call.destination).number,
            extension=call.last_internal or call.internal,
            virtual_number=party(call.caller_id).number,
            started_at=began,
            outcome=outcome(call.disposition, call.direction),
            talk_seconds=call.duration or 0,
        ),
        *call.recording,
    ]


# --- Both -------------------------------------------------------------------------------------------------------------


def _answer(call: _Call, _began: datetime) -> list[Parsed]:
    if call.direction is not Direction.IN:
        return [_dialled(call, AT_RECEIPT, 2, LegState.TALKING)]
    by = call if call.internal else call.model_copy(update={"internal": call.destination})
    return [_at_employee(by, 2, LegState.TALKING)] if is_extension(by.internal) else []


def _record(call: _Call, _began: datetime) -> list[Parsed]:
    return [_recording(call, RecordingState.READY)] if call.call_id_with_rec else []


def _recording(call: _Call, state: RecordingState) -> RecordingFact:
    return RecordingFact(call=call.pbx_call_id, at=AT_RECEIPT, recording=call.call_id_with_rec, state=state)


def _keys(call: _Call, _began: datetime) -> list[Parsed]:
    return [Note(call=call.pbx_call_id, at=AT_RECEIPT, text=f"DTMF: {call.keys}")] if call.keys else []


_READERS: Mapping[str, Callable[[_Call, datetime], list[Parsed]]] = {
    "NOTIFY_START": _start,
    "NOTIFY_INTERNAL": _rings,
    "NOTIFY_INTERNAL_END": _stops,
    "NOTIFY_ANSWER": _answer,
    "NOTIFY_END": _end,
    "NOTIFY_OUT_START": _out_start,
    "NOTIFY_OUT_END": _out_end,
    "NOTIFY_RECORD": _record,
    "NOTIFY_IVR": _keys,
}
