"""The events of PBXs that speak the telephony API of `telephony_api`, and the facts they state.

No event says when: it is told as it happens. A leg is an employee's share of a call: `COMPLETED` with `Cancelled` ends
the leg of somebody who rang in vain, any other status ends the call.
Source: the published telephony API, and public clients of it for what they send differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

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
    RecordingFact,
    RecordingState,
    Summary,
)
from telephony.providers.values import Id, MaybeInteger, Model, Text, faults

_LONGEST_EXTENSION = 5
_CANCELLED = frozenset({"cancelled", "canceled", "cancel"})
_OUTCOMES = {
    "success": Outcome.ANSWERED,
    "missed": Outcome.MISSED,
    "busy": Outcome.BUSY,
    "noanswer": Outcome.NO_ANSWER,
}


class _Event(Model):
    type: Text
    event: Text
    phone: Text
    callid: Id
    ext: Text = ""
    diversion: Text = ""
    duration: MaybeInteger = None
    status: Text = ""
    record_link: Text = ""

    @property
    def direction(self) -> Direction:
        """A number as short as an extension is a colleague's."""
        if is_extension(self.phone):
            return Direction.INTERNAL
        return Direction.OUT if self.type.casefold() == "out" else Direction.IN

    @property
    def outcome(self) -> Outcome:
        """`NotAvailable` (also misspelt), `NotAllowed`, `NotFound`: a failure."""
        return _OUTCOMES.get(self.status.casefold().replace(" ", ""), Outcome.FAILED)

    @property
    def cancels_a_leg(self) -> bool:
        return self.status.casefold() in _CANCELLED


class _Record(Model):
    callid: Id
    record_link: Text


def is_extension(number: str) -> bool:
    return number.isdecimal() and len(number) <= _LONGEST_EXTENSION


def read(fields: Mapping[str, str]) -> list[Parsed]:
    """What a request says of a call; nothing of one that is a question. Raises `NotUnderstood`."""
    try:
        if fields.get("cmd") == "event":
            return _event(_Event.model_validate(fields), fields)
        return _recordings(_Record.model_validate(fields)) if fields.get("cmd") == "record" else []
    except ValidationError as error:
        raise NotUnderstood(faults(error)) from error


def _event(event: _Event, fields: Mapping[str, str]) -> list[Parsed]:
    name = event.event.casefold()
    if name in ("incoming", "outgoing"):
        return [_leg(event, 1, LegState.RINGING)]
    if name == "accepted":
        return [_leg(event, 2, LegState.TALKING)]
    if name != "completed":
        return []
    if event.cancels_a_leg:
        return [_leg(event, 3, LegState.ENDED)]
    return [_summary(event), *_recordings(event), *_extra(event, fields)]


def _leg(event: _Event, seq: int, state: LegState) -> Leg:
    employee, client = Party(extension=event.ext), _party(event.phone)
    dialled = event.direction is not Direction.IN
    return Leg(
        call=event.callid,
        at=AT_RECEIPT,
        leg=f"{event.callid}:{event.ext}"[:200],
        seq=seq,
        state=state,
        caller=employee if dialled else client,
        callee=client if dialled else employee,
        virtual_number=event.diversion,
        direction=event.direction,
        takes_over=state is LegState.TALKING,
        why=Outcome.MISSED if state is LegState.ENDED else None,
    )


def _party(phone: str) -> Party:
    if is_extension(phone):
        return Party(extension=phone)
    return Party(number=phone if any(map(str.isdecimal, phone)) else "")


def _summary(event: _Event) -> Summary:
    return Summary(
        call=event.callid,
        at=AT_RECEIPT,
        direction=event.direction,
        client_number=_party(event.phone).number,
        extension=event.ext,
        virtual_number=event.diversion,
        outcome=event.outcome,
        talk_seconds=max(0, event.duration or 0),
    )


def _recordings(told: _Event | _Record) -> list[Parsed]:
    return [recording(told.callid, told.record_link)] if told.record_link else []


def recording(call: str, link: str) -> RecordingFact:
    """A recording that only its link names. One that is sent anew is another recording."""
    name = hashlib.sha256(link.encode()).hexdigest()[:32]
    return RecordingFact(call=call, at=AT_RECEIPT, recording=name, state=RecordingState.READY, url=link)


def _extra(event: _Event, fields: Mapping[str, str]) -> list[Parsed]:
    """What the PBX knows besides, for the passport."""
    told = [f"{name.removeprefix('data_')}: {value}" for name, value in fields.items() if name.startswith("data_")]
    return [Note(call=event.callid, at=AT_RECEIPT, text="; ".join(told))] if told else []
