"""Binotel's notifications and the facts they state.

API PUSH tells of a call while it goes on, without times: they are those of receipt. API CALL COMPLETED tells the whole
call afterwards, as the history does.
Source: the fields that public clients read; those of API PUSH differ between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from pydantic import AliasChoices, Field, ValidationError

from telephony.providers.base import (
    AT_RECEIPT,
    NO_TIME,
    Direction,
    HistoryLeg,
    Leg,
    LegState,
    NotUnderstood,
    Outcome,
    Parsed,
    Party,
    Place,
    Question,
    RecordingFact,
    RecordingState,
    Summary,
)
from telephony.providers.values import Id, Model, Text, faults

from . import details, phones
from .details import Attempt, Details

SETTINGS, COMPLETED, HANGUP = "apiCallSettings", "apiCallCompleted", "hangupTheCall"

_RINGS, _PASSED_ON, _TALKS, _ENDS = 1, 2, 3, 4
"""The order of what happens in a leg."""

M = TypeVar("M", bound=Model)


class _Asked(Model):
    """API CALL SETTINGS: a call is about to begin. It names no id of the call."""

    external: Text = Field("", alias="externalNumber")
    line: Text = Field("", validation_alias=AliasChoices("pbxNumber", "didNumber"))
    call_type: Text = Field("", alias="callType")


class _Push(Attempt):
    """API PUSH: something happens in a call. Which fields it has depends on what."""

    call_id: Id = Field(alias="generalCallID")
    call_type: Text = Field("", alias="callType")
    external: Text = Field("", alias="externalNumber")
    line: Text = Field("", validation_alias=AliasChoices("pbxNumber", "didNumber"))
    extension: Text = Field("", validation_alias=AliasChoices("internalNumber", "extNumber"))

    @property
    def direction(self) -> Direction | None:
        return details.direction(self.call_type)


def kind(fields: Mapping[str, Any]) -> str:
    """What a notification is called. In some integrations the name stands in `method`, or nowhere in the last push."""
    named = fields.get("requestType") or fields.get("method") or ("disposition" in fields and HANGUP)
    return named if isinstance(named, str) else ""


def company(fields: Mapping[str, Any]) -> str:
    """Whose account a notification says it is of; empty where it says nothing."""
    call = fields.get("callDetails")
    told = (call if isinstance(call, dict) else fields).get("companyID")
    return str(told) if isinstance(told, (str, int)) else ""


def question(fields: Mapping[str, Any]) -> Question | None:
    """Whom an API CALL SETTINGS asks about."""
    if kind(fields) != SETTINGS:
        return None
    try:
        asked = _model(_Asked, fields)
    except NotUnderstood:
        return None
    return Question(phones.party(asked.external).number, phones.read(asked.line))


def asks_who_takes_it(fields: Mapping[str, Any]) -> bool:
    """An outgoing call is about to begin as well, and has its employee."""
    return details.direction(_model(_Asked, fields).call_type) is Direction.IN


def read(fields: Mapping[str, Any]) -> list[Parsed]:
    """What a notification says; nothing of one that we do not know. Raises `NotUnderstood`."""
    named = kind(fields)
    if named == COMPLETED:
        return _completed(_model(Details, fields.get("callDetails")))
    reader = _PUSHES.get(named)
    return reader(_model(_Push, fields)) if reader else []


def _model(model: type[M], told: Any) -> M:
    try:
        return model.model_validate(told)
    except ValidationError as error:
        raise NotUnderstood(faults(error)) from error


# --- Legs -------------------------------------------------------------------------------------------------------------


def call_of(leg: str) -> str:
    """The call to which a leg belongs."""
    return leg.partition(":")[0]


def _name(call: str, extension: str = "", again: int = 0) -> str:
    """Binotel names no legs: a call has one to each employee, and more where he was tried `again`. The one to nobody is
    the call in the customer's own scheme."""
    return f"{call}:{extension}:{again}" if again else f"{call}:{extension}"


def _place(extension: str) -> Place:
    return Place.PERSON if extension else Place.MENU


# --- While it goes on -------------------------------------------------------------------------------------------------


def _leg(push: _Push, seq: int, state: LegState, *, takes_over: bool = False) -> Leg:
    client, employee = phones.party(push.external), Party(extension=push.extension)
    dialled = push.direction is Direction.OUT
    return Leg(
        call=push.call_id,
        at=AT_RECEIPT,
        leg=_name(push.call_id, push.extension),
        seq=seq,
        state=state,
        place=_place(push.extension),
        caller=employee if dialled else client,
        callee=client if dialled else employee,
        virtual_number=phones.read(push.line),
        parent=_name(push.call_id) if push.extension else "",
        direction=push.direction,
        takes_over=takes_over,
    )


def _received(push: _Push) -> list[Parsed]:
    return [_leg(push, _RINGS, LegState.RINGING)]


def _transferred(push: _Push) -> list[Parsed]:
    """The client is with another employee now, whose phone may still ring."""
    return [_leg(push, _PASSED_ON, LegState.RINGING, takes_over=True)] if push.extension else []


def _answered(push: _Push) -> list[Parsed]:
    return [_leg(push, _TALKS, LegState.TALKING, takes_over=True)] if push.extension else []


def _hangup(push: _Push) -> list[Parsed]:
    """It names no leg: the whole call is over."""
    if push.is_message or push.goes_on:
        return []
    return [
        Summary(
            call=push.call_id,
            at=AT_RECEIPT,
            direction=push.direction,
            client_number=phones.party(push.external).number,
            virtual_number=phones.read(push.line),
            outcome=push.outcome(push.direction),
            talk_seconds=push.billed if push.talked else 0,
        )
    ]


_PUSHES: Mapping[str, Callable[[_Push], list[Parsed]]] = {
    "receivedTheCall": _received,
    "transferredTheCall": _transferred,
    "answeredTheCall": _answered,
    HANGUP: _hangup,
}


# --- Afterwards -------------------------------------------------------------------------------------------------------


def _completed(call: Details) -> list[Parsed]:
    if call.is_message or call.goes_on:
        return []
    legs = call.legs()
    end = max((leg.ended_at for leg in legs if leg.ended_at), default=AT_RECEIPT)
    return [*_past(legs), _summary(call, end), *(_recording(call, each) for each in call.recordings)]


def _past(legs: tuple[HistoryLeg, ...]) -> Iterator[Leg]:
    """The states of the legs of a call that is over; the first to an employee is the one of which we heard live."""
    tried: Counter[str] = Counter()
    for leg in legs:
        extension = leg.callee.extension or leg.caller.extension
        rings = Leg(
            call=leg.call,
            at=leg.started_at,
            leg=_name(leg.call, extension, tried[extension]),
            seq=_RINGS,
            state=LegState.RINGING,
            place=_place(extension),
            caller=leg.caller,
            callee=leg.callee,
            virtual_number=leg.virtual_number,
            parent=_name(leg.call) if extension else "",
            direction=leg.direction,
        )
        tried[extension] += 1
        yield rings
        if leg.answered_at:
            yield replace(rings, seq=_TALKS, state=LegState.TALKING, at=leg.answered_at)
        if leg.ended_at:
            yield replace(rings, seq=_ENDS, state=LegState.ENDED, at=leg.ended_at, why=leg.why)


def _summary(call: Details, end: datetime) -> Summary:
    outcome = call.outcome(call.direction)
    return Summary(
        call=call.call_id,
        at=end,
        direction=call.direction,
        client_number=call.client.number,
        extension=call.extension,
        virtual_number=call.virtual_number,
        started_at=None if call.started_at == NO_TIME else call.started_at,
        outcome=outcome,
        talk_seconds=call.billed if outcome is Outcome.ANSWERED else 0,
    )


def _recording(call: Details, recording: str) -> RecordingFact:
    return RecordingFact(
        call=call.call_id,
        at=AT_RECEIPT,
        recording=recording,
        state=RecordingState.READY,
        extension=call.extension,
    )
