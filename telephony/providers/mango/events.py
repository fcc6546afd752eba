"""Mango's notifications and the facts they state.

Source: official document of the VPBX API v1.9, "Events"; the misspelt and loose fields are those of its own examples.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AliasChoices, Field, ValidationError

from telephony.providers.base import (
    CommandResult,
    Direction,
    Leg,
    LegState,
    Note,
    NotUnderstood,
    Parsed,
    Party,
    Place,
    RecordingFact,
    RecordingState,
    Summary,
)
from telephony.providers.values import (
    EmptyObject,
    Id,
    Integer,
    MaybeInteger,
    MaybeTimestamp,
    Model,
    Sequence,
    Text,
    Timestamp,
    clean,
    faults,
    load,
)

from . import codes

_STATES = {
    "appeared": LegState.RINGING,
    "connected": LegState.TALKING,
    "onhold": LegState.HELD,
    "disconnected": LegState.ENDED,
}
_DIRECTIONS = {0: Direction.INTERNAL, 1: Direction.IN, 2: Direction.OUT}
_NOBODY = frozenset({"anonymous", "hidden", "private", "restricted", "unavailable", "unknown"})
_NOTHING = frozenset({"", "0", "false", "none", "null"})


# --- What the vendor sends --------------------------------------------------------------------------------------------


class _Side(Model):
    extension: Text = ""
    number: Text = ""
    line_number: Text = ""
    taken_from_call_id: Text = ""

    @property
    def party(self) -> Party:
        return party(self.extension, self.number)


_MaybeSide = Annotated[_Side, EmptyObject]


class _Tracking(Model):
    number: Text = ""
    type: MaybeInteger = None


class _Call(Model):
    entry_id: Id
    call_id: Id
    timestamp: Timestamp
    seq: Sequence
    call_state: Text
    location: Text = Field("", validation_alias=AliasChoices("location", "locaton"))
    caller: _MaybeSide = Field(_Side(), alias="from")
    callee: _MaybeSide = Field(_Side(), alias="to")
    dct: Annotated[_Tracking, EmptyObject] = _Tracking()
    disconnect_reason: MaybeInteger = None
    command_id: Text = ""
    callback_initiator: Text = ""

    @property
    def state(self) -> LegState:
        try:
            return _STATES[self.call_state.casefold()]
        except KeyError:
            raise NotUnderstood(f"unknown call_state {self.call_state!r}") from None

    @property
    def place(self) -> Place:
        where = self.location.casefold()
        if where.startswith("ivr"):
            return Place.MENU
        return Place.QUEUE if where == "queue" else Place.PERSON

    @property
    def callback(self) -> bool:
        # Two of the seven names have Cyrillic letters in the document: whoever is named, it is a callback.
        return self.callback_initiator.casefold() not in _NOTHING

    @property
    def direction(self) -> Direction:
        """The leg's own direction. A line number says nothing: outgoing legs show theirs in the same field."""
        if self.callback:
            return Direction.OUT
        return direction_by_sides(self.caller.party, self.callee.party)


class _Summary(Model):
    entry_id: Id
    call_direction: MaybeInteger = None
    caller: _MaybeSide = Field(_Side(), alias="from")
    callee: _MaybeSide = Field(_Side(), alias="to")
    line_number: Text = ""
    create_time: MaybeTimestamp = None
    talk_time: MaybeTimestamp = None
    end_time: Timestamp
    disconnect_reason: MaybeInteger = None


class _Recording(Model):
    recording_id: Id
    recording_state: Text
    entry_id: Id
    extension: Text = ""
    timestamp: Timestamp
    completion_code: MaybeInteger = None
    recipient: Text = ""


class _Stored(Model):
    entry_id: Id
    recording_id: Id
    timestamp: Timestamp


class _Keys(Model):
    entry_id: Id
    timestamp: Timestamp
    dtmf: Text
    location: Text = ""
    from_number: Text = ""
    line_number: Text = ""


class _Result(Model):
    command_id: Text = ""
    result: Integer


# --- What it states ---------------------------------------------------------------------------------------------------


def party(extension: str, number: str) -> Party:
    """One side of a leg; the words that stand for a hidden number are none."""
    name = number.casefold().removeprefix("sip:").partition("@")[0]
    return Party(extension, "" if name in _NOBODY else number)


def direction_by_sides(caller: Party, callee: Party) -> Direction:
    if not caller.extension:
        return Direction.IN
    return Direction.INTERNAL if callee.extension else Direction.OUT


def _leg(data: dict[str, Any]) -> list[Parsed]:
    call = _Call.model_validate(data)
    ended = call.state is LegState.ENDED and call.disconnect_reason is not None
    return [
        Leg(
            call=call.entry_id,
            at=call.timestamp,
            leg=call.call_id,
            seq=call.seq,
            state=call.state,
            place=call.place,
            caller=call.caller.party,
            callee=call.callee.party,
            virtual_number=call.callee.line_number,
            parent=call.caller.taken_from_call_id or call.callee.taken_from_call_id,
            command=call.command_id,
            callback=call.callback,
            why=codes.outcome(call.disconnect_reason, call.direction) if ended else None,
            tracking_number=call.dct.number if call.dct.type in (1, 2) else "",
        )
    ]


def _summary(data: dict[str, Any]) -> list[Parsed]:
    """The end of a call.

    `entry_result` is not read: in the document's own example it is 1 for a call that died in the voice menu. Of a
    missed call `to` names the first employee who missed it.
    """
    summary = _Summary.model_validate(data)
    caller, callee = summary.caller.party, summary.callee.party
    told = _DIRECTIONS.get(summary.call_direction) if summary.call_direction is not None else None
    direction = told or direction_by_sides(caller, callee)
    employee, client = (callee, caller) if direction is Direction.IN else (caller, callee)
    talk = summary.end_time - summary.talk_time if summary.talk_time else None
    return [
        Summary(
            call=summary.entry_id,
            at=summary.end_time,
            direction=told,
            client_number="" if direction is Direction.INTERNAL else client.number,
            extension=employee.extension,
            virtual_number=summary.line_number,
            started_at=summary.create_time,
            answered_at=summary.talk_time,
            outcome=codes.summed_up(summary.disconnect_reason, direction, talked=talk is not None),
            talk_seconds=max(0, round(talk.total_seconds())) if talk else 0,
        )
    ]


def _recording(data: dict[str, Any]) -> list[Parsed]:
    """Even a completed recording is only announced: that it can be fetched is said by `record/added` alone."""
    event = _Recording.model_validate(data)
    mailed = event.recipient.casefold() == "mail"
    failed = event.recording_state.casefold() == "completed" and not codes.will_be_stored(event.completion_code)
    return [
        RecordingFact(
            call=event.entry_id,
            at=event.timestamp,
            recording=event.recording_id,
            state=RecordingState.ABSENT if mailed or failed else RecordingState.ANNOUNCED,
            extension=event.extension,
        )
    ]


def _stored(data: dict[str, Any]) -> list[Parsed]:
    event = _Stored.model_validate(data)
    ready = RecordingState.READY
    return [RecordingFact(call=event.entry_id, at=event.timestamp, recording=event.recording_id, state=ready)]


def _topics(data: dict[str, Any]) -> list[Parsed]:
    """Speech topics. Their fields are not documented: what is beyond those of `record/added` is shown as it came."""
    event = _Stored.model_validate(data)
    usual = {"entry_id", "product_id", "user_id", "timestamp", "recording_id"}
    rest = {name: value for name, value in data.items() if name not in usual}
    said = clean(jsonlib.dumps(rest, ensure_ascii=False))[:500] if rest else "ready"
    return [Note(call=event.entry_id, at=event.timestamp, text=f"Speech topics: {said}")]


def _keys(data: dict[str, Any]) -> list[Parsed]:
    event = _Keys.model_validate(data)
    where = f" ({event.location})" if event.location else ""
    return [
        Note(
            call=event.entry_id,
            at=event.timestamp,
            text=f"DTMF {event.dtmf}{where}",
            client_number=event.from_number,
            virtual_number=event.line_number,
        )
    ]


def _result(data: dict[str, Any]) -> list[Parsed]:
    event = _Result.model_validate(data)
    if not event.command_id:
        return []
    ok, words = codes.succeeded(event.result), codes.words(event.result)
    return [CommandResult(command=event.command_id, ok=ok, code=str(event.result), words=words)]


_READERS: dict[str, Callable[[dict[str, Any]], list[Parsed]]] = {
    "events/call": _leg,
    "events/summary": _summary,
    "events/recording": _recording,
    "events/record/added": _stored,
    "events/record/tagged": _topics,
    "events/dtmf": _keys,
}
# Says that a report is ready; we ask for ours ourselves. One client spells it with an s.
_REPORTS = frozenset({"result/stat", "result/stats"})


def endpoint(path: str) -> str:
    """The kind of a notification. The document prints results under the vendor's own prefix, clients get both."""
    return path.strip("/").removeprefix("vpbx/").strip("/")


def read(path: str, json: str) -> list[Parsed]:
    """The facts of one notification; none for kinds we have no use for. Raises `NotUnderstood`."""
    kind = endpoint(path)
    reader = _READERS.get(kind)
    if reader is None and kind.startswith("result/") and kind not in _REPORTS:
        reader = _result
    if reader is None:
        return []
    try:
        return reader(load(json))
    except ValidationError as error:
        raise NotUnderstood(f"{kind}: {faults(error)}") from error
    except (ValueError, RecursionError) as error:
        raise NotUnderstood(f"{kind}: {error}") from error
