"""StreamTelecom's own events and the facts that they state.

`sessionid` is the whole call. In a queue (`join`) each who rings has a leg of it, and only the hangup with `end_sess`
ends the call. Elsewhere `call_id` is told as if it were a call: who is handed the client has another one, and the call
is over with the last of them.
`from` and `to` are the client and our line in an incoming call, our line and the client in an outgoing one. Our lines
are long numbers, so nothing but `type` tells whose number is whose. There are no lengths: the times tell them.
Source: the vendor's description of its events 3.0.1, as a public client quotes it, and the vendor's gateway. Why nobody
answered is not told, and calls between employees are not described.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from telephony.providers.base import (
    NO_TIME,
    Alias,
    Direction,
    Leg,
    LegState,
    NotUnderstood,
    Outcome,
    Parsed,
    Party,
    Summary,
)
from telephony.providers.telephony_api_events import recording
from telephony.providers.values import Model, Text, faults, moment

_MOST_DIGITS = 15
_YES = "yes"


def _milliseconds(value: Any) -> datetime | None:
    """None for what never came, which the vendor writes as null, the word "null" or 0."""
    digits = str(value or "").strip()
    if not digits.isdecimal() or len(digits) > _MOST_DIGITS:
        return None
    seconds, rest = divmod(int(digits), 1000)
    try:
        return moment(seconds) + timedelta(milliseconds=rest)
    except ValueError:
        return None


def _said(value: Any) -> Any:
    return "" if value == "null" else value


Said = Annotated[Text, BeforeValidator(_said)]
CallId = Annotated[Said, Field(max_length=200)]
Time = Annotated[datetime | None, BeforeValidator(_milliseconds)]


class _Event(Model):
    type: Said = ""
    session: CallId = Field("", alias="sessionid")
    call_id: CallId = ""
    caller: Said = Field("", alias="from")
    called: Said = Field("", alias="to")
    via: Said = ""
    at: Time = Field(None, alias="event_time")
    started_at: Time = Field(None, alias="time_start")
    rang_at: Time = Field(None, alias="time_ring")
    answered_at: Time = Field(None, alias="time_answer")
    result: Said = ""
    link: Said = Field("", alias="recordUrl")
    join: Said = ""
    end_sess: Said = ""

    @property
    def direction(self) -> Direction:
        return Direction.OUT if self.type == "out" else Direction.IN

    @property
    def whole(self) -> str:
        return self.session or self.call_id

    @property
    def in_queue(self) -> bool:
        return self.join == _YES

    @property
    def call(self) -> str:
        """Under which id this leg is told."""
        return self.whole if self.in_queue or not self.call_id else self.call_id

    @property
    def is_last(self) -> bool:
        return self.end_sess == _YES if self.in_queue else True

    @property
    def outcome(self) -> Outcome:
        if self.result == "answer":
            return Outcome.ANSWERED
        return Outcome.NO_ANSWER if self.direction is Direction.OUT else Outcome.MISSED

    @property
    def answered(self) -> datetime | None:
        return self.answered_at if self.outcome is Outcome.ANSWERED else None

    @property
    def talk_seconds(self) -> int:
        return max(0, round((self.at - self.answered).total_seconds())) if self.at and self.answered else 0

    @property
    def employee(self) -> Party:
        return Party(extension=self.caller if self.direction is Direction.OUT else self.called)

    @property
    def client(self) -> Party:
        number = self.called if self.direction is Direction.OUT else self.caller
        return Party(number=number if any(map(str.isdecimal, number)) else "")

    @property
    def line(self) -> str:
        """Of the company's numbers; the gateway also writes here whom an outgoing call goes to."""
        return "" if self.via == self.client.number else self.via


def are_own(fields: Mapping[str, str]) -> bool:
    """Whether these are the vendor's own events and not the published API."""
    return "event" in fields and "cmd" not in fields


def read(fields: Mapping[str, str]) -> list[Parsed]:
    """What an event says; nothing of one that we do not know. Raises `NotUnderstood`."""
    reader = _READERS.get(fields.get("event", "").casefold())
    if reader is None:
        return []
    try:
        event = _Event.model_validate(fields)
    except ValidationError as error:
        raise NotUnderstood(faults(error)) from error
    if not event.whole:
        raise NotUnderstood("the event names no call")
    return [*_belongs(event), *reader(event)]


def _belongs(event: _Event) -> Iterator[Alias]:
    if event.call != event.whole:
        yield Alias(call=event.whole, at=event.at or NO_TIME, other=event.call, part=True)


def _rings(event: _Event) -> Iterator[Parsed]:
    yield _leg(event, 1, LegState.RINGING, event.at)


def _answers(event: _Event) -> Iterator[Parsed]:
    if event.rang_at:
        yield _leg(event, 1, LegState.RINGING, event.rang_at)
    yield _leg(event, 2, LegState.TALKING, event.at)


def _hangs_up(event: _Event) -> Iterator[Parsed]:
    """It tells all that went before."""
    if event.rang_at:
        yield _leg(event, 1, LegState.RINGING, event.rang_at)
    if event.answered:
        yield _leg(event, 2, LegState.TALKING, event.answered)
    yield _leg(event, 3, LegState.ENDED, event.at)
    if event.is_last:
        yield _summary(event)
    if event.link.startswith(("https://", "http://")):
        yield recording(event.call, event.link)


def _is_lost(event: _Event) -> Iterator[Parsed]:
    """The client hung up before anybody rang: no employee takes part, and `to` is the company's number."""
    yield _summary(event)


def _leg(event: _Event, seq: int, state: LegState, at: datetime | None) -> Leg:
    dialled = event.direction is Direction.OUT
    return Leg(
        call=event.call,
        at=at or NO_TIME,
        leg=event.call_id or event.whole,
        seq=seq,
        state=state,
        caller=event.employee if dialled else event.client,
        callee=event.client if dialled else event.employee,
        virtual_number=event.line,
        direction=event.direction,
        why=event.outcome if state is LegState.ENDED else None,
    )


def _summary(event: _Event) -> Summary:
    return Summary(
        call=event.call,
        at=event.at or NO_TIME,
        direction=event.direction,
        client_number=event.client.number,
        extension=event.employee.extension if event.call_id else "",
        virtual_number=event.line,
        started_at=event.started_at,
        answered_at=event.answered,
        outcome=event.outcome,
        talk_seconds=event.talk_seconds,
    )


_READERS: Mapping[str, Callable[[_Event], Iterator[Parsed]]] = {
    "startcall": _rings,
    "answer": _answers,
    "hangup": _hangs_up,
    "end_in": _is_lost,
}
"""`Start` says nothing that the others do not: a client has come who hears the voice menu."""
