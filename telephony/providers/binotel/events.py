"""Binotel's notifications and the facts they state.

API PUSH tells of a call while it goes on, without times: they are those of receipt. API CALL COMPLETED tells the whole
call afterwards, in the words of the history, and takes the place of all that was told before.
Source: the fields that public clients read; those of API PUSH differ between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import AliasChoices, Field, ValidationError

from telephony.providers.base import (
    AT_RECEIPT,
    NO_TIME,
    CallHistory,
    Direction,
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


# --- While it goes on -------------------------------------------------------------------------------------------------


def _leg(push: _Push, seq: int, state: LegState, *, takes_over: bool = False) -> Leg:
    """The leg to an employee; without one, that of the call itself in the customer's scheme."""
    client, employee = phones.party(push.external), Party(extension=push.extension)
    dialled = push.direction is Direction.OUT
    return Leg(
        call=push.call_id,
        at=AT_RECEIPT,
        leg=f"{push.call_id}:{push.extension}",
        seq=seq,
        state=state,
        place=Place.PERSON if push.extension else Place.MENU,
        caller=employee if dialled else client,
        callee=client if dialled else employee,
        virtual_number=phones.read(push.line),
        parent=f"{push.call_id}:" if push.extension else "",
        direction=push.direction,
        takes_over=takes_over,
    )


def call_of(leg: str) -> str:
    """The call to which a leg of ours belongs."""
    return leg.partition(":")[0]


def _received(push: _Push) -> list[Parsed]:
    return [_leg(push, 1, LegState.RINGING)]


def _transferred(push: _Push) -> list[Parsed]:
    """The client is with another employee now, whose phone may still ring."""
    return [_leg(push, 2, LegState.RINGING, takes_over=True)] if push.extension else []


def _answered(push: _Push) -> list[Parsed]:
    return [_leg(push, 3, LegState.TALKING, takes_over=True)] if push.extension else []


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
    told: list[Parsed] = [_summary(call)]
    if legs:
        told.append(CallHistory(call=call.call_id, at=AT_RECEIPT, legs=legs))
    return told + [_recording(call, recording) for recording in call.recordings]


def _summary(call: Details) -> Summary:
    outcome = call.outcome(call.direction)
    return Summary(
        call=call.call_id,
        at=AT_RECEIPT,
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
