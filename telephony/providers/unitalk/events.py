"""UniTalk's events and the facts they state.

The only time in them is the beginning of the call, in the zone of the cabinet: when somebody was rung, answered or hung
up is told by nothing but the moment at which we hear of it.
Source: the vendor's "Event handling" as public clients quote it. What `to` holds before the end, and that `meta` comes
back, is inferred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from telephony.providers.base import (
    AT_RECEIPT,
    Alias,
    Direction,
    Leg,
    LegState,
    NotUnderstood,
    Outcome,
    Parsed,
    Party,
    Place,
    RecordingFact,
    RecordingState,
    Summary,
)
from telephony.providers.values import Id, clean, faults, local

from . import bodies
from .calls import Call


def _word(value: Any) -> str:
    return clean(value) if isinstance(value, str) else ""


class _Told(Call):
    id: Annotated[Id, Field(max_length=100)]
    meta: Annotated[str, BeforeValidator(_word)] = ""

    @property
    def key(self) -> str:
        """`id` is random and may come again some day: with the day on which the call began it does not."""
        return f"{self.date[:10]}-{self.id}"


def read(body: bytes, zone: tzinfo) -> list[Parsed]:
    """What an event says; nothing of one that we do not know. Raises `NotUnderstood` and `ValueError`."""
    name, told = bodies.event(body)
    reader = _READERS.get(name)
    if reader is None:
        return []
    try:
        call = _Told.model_validate(told)
    except ValidationError as error:
        raise NotUnderstood(faults(error)) from error
    if call.direction is None:
        raise NotUnderstood("direction: is none that we know")
    alias = Alias(call=call.key, at=AT_RECEIPT, other=call.mark)
    return [*reader(call, local(call.date, zone)), alias]


def _rings(call: _Told, began: datetime) -> list[Parsed]:
    if call.direction is not Direction.IN:
        return [_dialled(call, began, 1, LegState.RINGING)]
    return [_arrived(call, began), *(_at(line, call, 1, LegState.RINGING) for line in call.lines)]


def _answered(call: _Told, _began: datetime) -> list[Parsed]:
    """The first of those in `to` has answered; nothing is told where that is an outside number."""
    if call.direction is not Direction.IN:
        return [_dialled(call, AT_RECEIPT, 2, LegState.TALKING)]
    return [_at(line, call, 2, LegState.TALKING) for line in call.lines[:1]]


def _ended(call: _Told, began: datetime) -> list[Parsed]:
    summary = Summary(
        call=call.key,
        at=AT_RECEIPT,
        direction=call.direction,
        client_number=call.client,
        extension=_extension(call),
        virtual_number=call.outer_number,
        started_at=began,
        outcome=call.outcome,
        talk_seconds=call.talked,
    )
    ready = [
        RecordingFact(call=call.key, at=AT_RECEIPT, recording=link, state=RecordingState.READY)
        for link in call.recordings
    ]
    return [summary, *ready]


_READERS: Mapping[str, Callable[[_Told, datetime], list[Parsed]]] = {
    "CALL_NEW": _rings,
    "CALL_REDIRECT": _rings,
    "CALL_ANSWER": _answered,
    "CALL_END": _ended,
}


# --- Facts ------------------------------------------------------------------------------------------------------------


def _arrived(call: _Told, began: datetime) -> Leg:
    return Leg(
        call=call.key,
        at=began,
        leg=call.key,
        seq=1,
        state=LegState.RINGING,
        place=Place.MENU,
        caller=Party(number=call.client),
        virtual_number=call.outer_number,
        direction=Direction.IN,
    )


def _at(line: str, call: _Told, seq: int, state: LegState) -> Leg:
    """The leg of an incoming call to an employee."""
    return Leg(
        call=call.key,
        at=AT_RECEIPT,
        leg=f"{call.key}:{line}",
        seq=seq,
        state=state,
        caller=Party(number=call.client),
        callee=Party(extension=line),
        virtual_number=call.outer_number,
        parent=call.key,
        direction=Direction.IN,
        takes_over=state is LegState.TALKING,
    )


def _dialled(call: _Told, at: datetime, seq: int, state: LegState) -> Leg:
    """The leg of an outgoing or internal call."""
    called = next(iter(call.lines), "") if call.direction is Direction.INTERNAL else ""
    return Leg(
        call=call.key,
        at=at,
        leg=call.key,
        seq=seq,
        state=state,
        caller=Party(extension=call.dialler),
        callee=Party(extension=called, number=call.client),
        virtual_number=call.outer_number,
        direction=call.direction,
        command=call.meta,
    )


def _extension(call: _Told) -> str:
    """Who dialled; of an incoming call who took it last, or who was called first."""
    if call.direction is not Direction.IN:
        return call.dialler
    place = -1 if call.outcome is Outcome.ANSWERED else 0
    return call.lines[place] if call.lines else ""
