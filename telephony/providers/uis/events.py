"""UIS's notifications and the facts they state.

Each kind has an address of its own, because its name inside the body is the customer's own. They come in no promised
order. A call is its session; an employee's leg in it is known by the employee.
Source: the vendor's help on notifications, public instructions for UIS, CoMagic and CallGear with their templates;
variables that are marked "seen" are from public receivers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from telephony.providers.base import (
    AT_RECEIPT,
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
from telephony.providers.values import Id, MaybeInteger, Model, Text, faults, local

from . import recordings

_LONGEST_EXTENSION = 5


def _from_clock(value: Any) -> Any:
    """Seconds that are written as `00:01:40`: seen."""
    parts = value.split(":") if isinstance(value, str) else []
    if len(parts) != 3 or not all(part.isascii() and part.isdecimal() for part in parts):
        return value
    hours, minutes, seconds = map(int, parts)
    return 3600 * hours + 60 * minutes + seconds


def _truth(value: Any) -> bool:
    return str(value).lower() in ("true", "1")


Seconds = Annotated[MaybeInteger, BeforeValidator(_from_clock)]


class _Event(Model):
    """Any notification of a call; which variables it has depends on its kind and on the customer's template."""

    call_session_id: Id
    notification_time: Text = ""
    told_direction: Text = Field("", alias="direction")
    contact_phone_number: Text = ""
    virtual_phone_number: Text = ""
    employee_id: Text = ""
    extension_phone_number: Text = ""  # seen
    external_id: Text = ""
    is_internal: Annotated[bool, BeforeValidator(_truth)] = False  # seen
    talk_time_duration: Seconds = None
    total_time_duration: Seconds = None
    file_link: Text = ""

    @property
    def direction(self) -> Direction | None:
        if self.is_internal or is_extension(self.contact_phone_number):
            return Direction.INTERNAL
        return {"in": Direction.IN, "out": Direction.OUT}.get(self.told_direction)

    @property
    def contact(self) -> Party:
        return party(self.contact_phone_number)

    @property
    def employee(self) -> Party:
        return Party(extension=self.extension_phone_number)


def is_extension(number: str) -> bool:
    return number.isdecimal() and len(number) <= _LONGEST_EXTENSION


def party(number: str) -> Party:
    """The other side of a call: somebody outside, or a colleague."""
    return Party(extension=number) if is_extension(number) else Party(number=number)


def read(path: str, fields: Mapping[str, Any], zone: tzinfo) -> list[Parsed]:
    """What a notification says; nothing of a kind that we do not know, nor of a question. Raises `NotUnderstood`."""
    try:
        if reader := _READERS.get(path.strip("/")):
            event = _Event.model_validate(fields)
            told = event.notification_time
            return reader(event, local(told, zone) if told else AT_RECEIPT)
    except ValidationError as error:
        raise NotUnderstood(faults(error)) from error
    except ValueError as error:
        raise NotUnderstood(str(error)) from error
    return []


# --- A call comes in --------------------------------------------------------------------------------------------------


def _in_scenario(event: _Event, at: datetime, seq: int, state: LegState) -> Leg:
    """An incoming call as long as nobody has answered."""
    return Leg(
        call=event.call_session_id,
        at=at,
        leg=event.call_session_id,
        seq=seq,
        state=state,
        place=Place.MENU,
        caller=event.contact,
        virtual_number=event.virtual_phone_number,
        direction=Direction.IN,
    )


def _incoming(event: _Event, at: datetime) -> list[Parsed]:
    return [_in_scenario(event, at, 1, LegState.RINGING)]


# --- Employees --------------------------------------------------------------------------------------------------------


def _leg(event: _Event, at: datetime, seq: int, state: LegState, direction: Direction | None) -> Leg:
    """The leg between an employee and the other side."""
    dials = event.told_direction == "out" or direction is Direction.OUT
    return Leg(
        call=event.call_session_id,
        at=at,
        leg=f"{event.call_session_id}:{event.employee_id or event.extension_phone_number}",
        seq=seq,
        state=state,
        caller=event.employee if dials else event.contact,
        callee=event.contact if dials else event.employee,
        virtual_number=event.virtual_phone_number,
        command=event.external_id,
        direction=direction,
    )


def _outgoing(event: _Event, at: datetime) -> list[Parsed]:
    """It comes before the employee's phone rings and may not name his extension: a state of its own."""
    return [_leg(event, at, 0, LegState.RINGING, event.direction or Direction.OUT)]


def _waiting(event: _Event, at: datetime) -> list[Parsed]:
    return [_leg(event, at, 1, LegState.RINGING, event.direction)]


def _talk_started(event: _Event, at: datetime) -> list[Parsed]:
    """Whoever answers takes the call out of the scenario."""
    talks = _leg(event, at, 2, LegState.TALKING, event.direction)
    return [talks, _in_scenario(event, at, 2, LegState.ENDED)] if event.direction is Direction.IN else [talks]


def _talk_finished(event: _Event, at: datetime) -> list[Parsed]:
    return [_leg(event, at, 3, LegState.ENDED, event.direction)]


# --- The end ----------------------------------------------------------------------------------------------------------


def _lost(event: _Event, at: datetime) -> list[Parsed]:
    return [
        Summary(
            call=event.call_session_id,
            at=at,
            direction=Direction.IN,
            client_number=event.contact.number,
            virtual_number=event.virtual_phone_number,
            talk_seconds=0,
        )
    ]


def _finished(event: _Event, at: datetime) -> list[Parsed]:
    """Why nobody talked it does not say: the legs or the history tell."""
    if "talk_time_duration" not in event.model_fields_set:
        raise NotUnderstood("talk_time_duration is missing: nobody knows whether the call was answered")
    talk, total = event.talk_time_duration or 0, event.total_time_duration
    return [
        Summary(
            call=event.call_session_id,
            at=at,
            direction=event.direction,
            client_number=event.contact.number,
            extension=event.extension_phone_number,
            virtual_number=event.virtual_phone_number,
            started_at=_before(at, total),
            outcome=Outcome.ANSWERED if talk > 0 else None,
            talk_seconds=talk,
        )
    ]


def _before(end: datetime, seconds: int | None) -> datetime | None:
    try:
        return end - timedelta(seconds=seconds) if seconds is not None and seconds >= 0 else None
    except OverflowError:
        return None


def _record(event: _Event, at: datetime) -> list[Parsed]:
    if not event.file_link:
        return []
    return [
        RecordingFact(
            call=event.call_session_id,
            at=at,
            recording=recordings.key(event.file_link),
            state=RecordingState.READY,
            extension=event.extension_phone_number,
            url=event.file_link,
        )
    ]


_READERS: Mapping[str, Callable[[_Event, datetime], list[Parsed]]] = {
    "incoming": _incoming,
    "outgoing": _outgoing,
    "waiting": _waiting,
    "talk-started": _talk_started,
    "talk-finished": _talk_finished,
    "lost": _lost,
    "finished": _finished,
    "record": _record,
}
