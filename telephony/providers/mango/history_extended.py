"""The extended history of calls: one object for each call with its legs. For accounts without the basic one.

Source: official document of the VPBX API v1.9, "Extended statistics". Directions are numbered otherwise than in
events. In which zone it reads dates is not said, so more is asked for than needed and the rest left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from outbound.errors import Temporary
from outbound.http import Answer
from telephony.providers.base import Direction, HistoryLeg, Outcome, Party
from telephony.providers.values import EmptyList, Id, MaybeInteger, Model, Text, moment

from . import codes
from .api import Api
from .reports import Wait, prepare

_PAGE = 5000
_MOSCOW_AHEAD = timedelta(hours=3)
_FORMATS = ("%d.%m.%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")
_LONGEST_EXTENSION = 5
_DIRECTIONS = {1: Direction.IN, 2: Direction.OUT, 3: Direction.INTERNAL}


def _time(value: Any) -> datetime | None:
    """Seconds, or a date in words, which is UTC; None for never."""
    if value in (None, "", 0, "0"):
        return None
    for form in _FORMATS:
        try:
            return datetime.strptime(str(value), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return moment(value)


def _ids(value: Any) -> Any:
    """One id or a list of them."""
    return value if isinstance(value, list) else [value] if value else []


_Time = Annotated[datetime | None, BeforeValidator(_time)]


class _Leg(Model):
    call_type: Text = ""
    call_abonent_id: Text = ""
    call_abonent_number: Text = ""
    call_start_time: _Time = None
    call_answer_time: _Time = None
    call_end_time: _Time = None
    call_end_reason: MaybeInteger = None
    recording_id: Annotated[list[Text], BeforeValidator(_ids)] = []


class _Call(Model):
    entry_id: Id
    context_type: MaybeInteger = None
    caller_id: Text = ""
    caller_number: Text = ""
    called_number: Text = ""
    context_start_time: _Time = None
    duration: MaybeInteger = None
    context_calls: Annotated[list[_Leg], EmptyList] = []

    @property
    def direction(self) -> Direction:
        return _DIRECTIONS.get(self.context_type or 0, Direction.IN)

    @property
    def ended(self) -> datetime | None:
        """None while it goes on."""
        if self.context_start_time is None or self.duration is None:
            return None
        return self.context_start_time + timedelta(seconds=max(0, self.duration))


class _Part(Model):
    calls: Annotated[list[_Call], EmptyList] = Field([], alias="list")


class _Report(Model):
    status: Text
    data: Annotated[list[_Part], EmptyList] = []


def legs(
    api: Api, since: datetime, until: datetime, *, extensions: Mapping[str, str], wait: Wait
) -> Iterator[HistoryLeg]:
    """All legs of the calls that began in the period, at most a month; `extensions` of employees by vendor's id."""
    for call in _calls(api, since, until, wait):
        began = call.context_start_time
        if began is None or since <= began <= until:
            yield from _legs(call, extensions)


def _calls(api: Api, since: datetime, until: datetime, wait: Wait) -> Iterator[_Call]:
    for offset in itertools.count(0, _PAGE):
        payload = {
            "start_date": since.astimezone(UTC).strftime(_FORMATS[0]),
            "end_date": (until.astimezone(UTC) + _MOSCOW_AHEAD).strftime(_FORMATS[0]),
            "limit": _PAGE,
            "offset": offset,
        }
        request = ("stats/calls/request/", payload)
        answer = prepare(api, request, "stats/calls/result/", wait=wait, ready=lambda answer: _is_ready(api, answer))
        page = [call for part in api.read(answer, _Report).data for call in part.calls]
        yield from page
        if len(page) < _PAGE:
            return


def _is_ready(api: Api, answer: Answer) -> bool:
    status = api.read(answer, _Report).status.casefold()
    if status in ("cancel", "error", "not-found"):
        raise Temporary(f"Mango did not prepare the report: {status}", code=f"report_{status}")
    return status == "complete"


def _legs(call: _Call, extensions: Mapping[str, str]) -> Iterator[HistoryLeg]:
    for leg in call.context_calls or [_only_leg(call)]:
        started = leg.call_start_time or call.context_start_time
        if started is None:
            continue
        answered = leg.call_answer_time
        yield HistoryLeg(
            call=call.entry_id,
            direction=call.direction,
            caller=_caller(call, extensions),
            callee=_callee(call, leg, extensions),
            virtual_number=call.called_number if call.direction is Direction.IN else "",
            started_at=started,
            answered_at=answered,
            ended_at=leg.call_end_time or call.ended,
            why=Outcome.ANSWERED if answered else codes.outcome(leg.call_end_reason, call.direction),
            recordings=tuple(recording for recording in leg.recording_id if recording),
            call_started_at=call.context_start_time,
        )


def _only_leg(call: _Call) -> _Leg:
    """A call that reached nobody has no legs of its own."""
    return _Leg.model_construct(call_type="menu", call_start_time=call.context_start_time)


def _caller(call: _Call, extensions: Mapping[str, str]) -> Party:
    if call.direction is Direction.IN:
        return Party(number=call.caller_number)
    return Party(_extension(call.caller_id, call.caller_number, extensions), call.caller_number)


def _callee(call: _Call, leg: _Leg, extensions: Mapping[str, str]) -> Party:
    if leg.call_type == "user":
        extension = _extension(leg.call_abonent_id, leg.call_abonent_number, extensions)
        return Party(extension, leg.call_abonent_number)
    return Party(number=leg.call_abonent_number or call.called_number)


def _extension(vendor_id: str, number: str, extensions: Mapping[str, str]) -> str:
    """An employee's extension; the number itself, where it is as short as one, for employees who are gone."""
    short = number if number.isdecimal() and len(number) <= _LONGEST_EXTENSION else ""
    return extensions.get(vendor_id, "") or short
