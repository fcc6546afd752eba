"""Phonet's events and the facts they state.

A uuid is a leg: a call that is handed on goes on under a second uuid, whose parent is the first. An event says how far
its leg has come (when it was dialled, when picked up), and so repeats what the ones before it said. That somebody hung
up is told, but neither when, nor how long he talked, nor why nobody did: that is in the history.
Source: the vendor's HTTPS API v4.1, as public clients quote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field, ValidationError

from telephony.providers.base import (
    AT_RECEIPT,
    Alias,
    Leg,
    LegState,
    NotUnderstood,
    Parsed,
    Place,
)
from telephony.providers.values import Text, faults

from .wire import LiveLeg, MaybeEpoch

_EVENTS = frozenset({"call.dial", "call.bridge", "call.hangup"})
_IDS = 10**9
"""Ids of employees are smaller."""


class _Event(LiveLeg):
    event: Text
    told_at: MaybeEpoch = Field(None, alias="serverTime")

    @property
    def answered_at(self) -> datetime | None:
        return self.bridged_at or (AT_RECEIPT if self.event == "call.bridge" else None)


def read(fields: Mapping[str, Any]) -> list[Parsed]:
    """What an event says; nothing of one that is no call's. Raises `NotUnderstood`."""
    if str(fields.get("event")) not in _EVENTS:
        return []
    try:
        call = _Event.model_validate(fields)
    except ValidationError as error:
        raise NotUnderstood(faults(error)) from error
    if call.direction is None:
        return []
    same = [Alias(call=call.parent, at=call.began_at, other=call.uuid)] if call.parent else []
    return [*same, *_states(call)]


def _states(call: _Event) -> list[Leg]:
    states = [_leg(call, LegState.RINGING, call.began_at)]
    if call.answered_at:
        states.append(_leg(call, LegState.TALKING, call.answered_at))
    if call.event == "call.hangup":
        states.append(_leg(call, LegState.ENDED, call.told_at or AT_RECEIPT))
    return states


def _leg(call: _Event, state: LegState, at: datetime) -> Leg:
    caller, callee = call.sides
    return Leg(
        call=call.parent or call.uuid,
        at=at,
        leg=call.uuid,
        seq=_seq(call, state),
        state=state,
        place=call.leg.place,
        caller=caller,
        callee=callee,
        virtual_number=call.line,
        parent=call.parent,
        direction=call.direction,
    )


def _seq(call: _Event, state: LegState) -> int:
    """A menu or a group comes before whoever it leads to. Whether the members of a group ring under one uuid is not
    documented: if they do, each is a state of its own."""
    if state is LegState.ENDED:
        return 4 * _IDS
    stage = 2 * (call.leg.place is Place.PERSON) + (state is LegState.TALKING)
    return stage * _IDS + (call.leg.id or 0) % _IDS
