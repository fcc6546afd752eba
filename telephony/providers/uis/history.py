"""The history of the Data API: a report of calls, and beside it one of legs that says who was rung when.

A call's row knows how long the conversation was without waiting and hold music; that is what counts for us. A leg's own
`direction` is not that of the call.
Source: the vendor's documentation of the Data API v2.0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Annotated, Any

from telephony.providers.base import NO_TIME, Direction, HistoryLeg, Outcome, Party
from telephony.providers.values import EmptyList, Id, MaybeInteger, Model, Text, local

from . import data_api, recordings
from .api import PAGE, Api
from .codes import outcome
from .events import is_extension, party

# A report has at most three months and a hundred thousand rows.
_LONGEST = timedelta(days=1)
# So long after its call a leg may begin.
_LATER = timedelta(hours=3)
_DAY = 24 * 3600
_CALL_FIELDS = (
    "id",
    "start_time",
    "finish_time",
    "finish_reason",
    "direction",
    "virtual_phone_number",
    "contact_phone_number",
    "communication_id",
    "last_talked_employee_id",
    "operator_phone_number",
    "talk_duration",
    "clean_talk_duration",
    "call_records",
    "full_record_file_link",
)


class _Leg(Model):
    call_session_id: Id
    start_time: Text = ""
    connect_time: Text = ""
    total_duration: MaybeInteger = None
    employee_id: Text = ""
    employee_phone_number: Text = ""
    is_operator: bool | None = None
    is_coach: bool | None = None
    is_talked: bool | None = None


class _Call(Model):
    id: Id
    start_time: Text = ""
    finish_time: Text = ""
    finish_reason: Text = ""
    direction: Text = ""
    virtual_phone_number: Text = ""
    contact_phone_number: Text = ""
    communication_id: Text = ""
    last_talked_employee_id: Text = ""
    operator_phone_number: Text = ""
    talk_duration: MaybeInteger = None
    clean_talk_duration: MaybeInteger = None
    call_records: Annotated[list[Text], EmptyList] = []
    full_record_file_link: Text = ""

    @property
    def dials(self) -> bool:
        return self.direction == "out"

    @property
    def told_direction(self) -> Direction:
        if is_extension(self.contact_phone_number):
            return Direction.INTERNAL
        return Direction.OUT if self.dials else Direction.IN

    @property
    def talk_seconds(self) -> int:
        pure = self.clean_talk_duration
        return min(max(0, (self.talk_duration or 0) if pure is None else pure), _DAY)

    @property
    def only_leg(self) -> _Leg:
        """Of a call whose legs are not told."""
        return _Leg(
            call_session_id=self.id,
            employee_id=self.last_talked_employee_id,
            employee_phone_number=self.operator_phone_number,
        )

    @property
    def recordings(self) -> tuple[str, ...]:
        """The whole conversation, where it is there as one; by the ids that events use."""
        try:
            return (recordings.key(self.full_record_file_link),)
        except ValueError:
            return tuple(f"{self.communication_id or self.id}/{record}" for record in self.call_records if record)


def legs(api: Api, since: datetime, until: datetime, zone: tzinfo) -> Iterator[HistoryLeg]:
    """All legs of the calls that began in the period."""
    extensions = {user.vendor_id: user.extension for user in data_api.users(api)}
    while since < until:
        end = min(since + _LONGEST, until)
        operators = _operators(api, since, end + _LATER, zone)
        for call in api.rows("get.calls_report", _Call, fields=_CALL_FIELDS, **_period(since, end, zone)):
            yield from _told(call, operators[call.id], extensions, zone)
        since = end + timedelta(seconds=1)


def _period(since: datetime, until: datetime, zone: tzinfo) -> dict[str, Any]:
    return {
        "date_from": f"{since.astimezone(zone):%Y-%m-%d %H:%M:%S}",
        "date_till": f"{until.astimezone(zone):%Y-%m-%d %H:%M:%S}",
        "limit": PAGE,
        "offset": 0,
        "sort": [{"field": "start_time", "order": "asc"}],
    }


def _operators(api: Api, since: datetime, until: datetime, zone: tzinfo) -> Mapping[str, list[_Leg]]:
    """The legs of employees by call; whoever listens in takes no part."""
    found: dict[str, list[_Leg]] = defaultdict(list)
    for leg in api.rows("get.call_legs_report", _Leg, **_period(since, until, zone)):
        if leg.is_operator and not leg.is_coach:
            found[leg.call_session_id].append(leg)
    return found


def _told(call: _Call, legs: list[_Leg], extensions: Mapping[str, str], zone: tzinfo) -> Iterator[HistoryLeg]:
    began, finished = local(call.start_time, zone), local(call.finish_time, zone)
    if began == NO_TIME:
        return
    ended = None if finished == NO_TIME else finished
    legs = legs or [call.only_leg]
    answered = _answered(call, legs, ended, zone)
    last = max(answered, key=answered.__getitem__, default=len(legs) - 1)
    if answered and not _extension(legs[last], extensions):
        return  # with whom the client talked nobody knows: the events may
    for place, leg in enumerate(legs):
        employee, contact = Party(extension=_extension(leg, extensions)), party(call.contact_phone_number)
        rang = local(leg.start_time, zone)
        rang = began if rang == NO_TIME else rang
        yield HistoryLeg(
            call=call.id,
            direction=call.told_direction,
            caller=employee if call.dials else contact,
            callee=contact if call.dials else employee,
            virtual_number=call.virtual_phone_number,
            started_at=rang,
            answered_at=answered.get(place),
            ended_at=ended if place == last else _left(leg, rang, ended),
            why=Outcome.ANSWERED if place in answered else outcome(call.finish_reason, call.told_direction),
            recordings=call.recordings if place == last else (),
            call_started_at=began,
        )


def _answered(call: _Call, legs: list[_Leg], ended: datetime | None, zone: tzinfo) -> dict[int, datetime]:
    """When each leg was answered, by its place. The first one counts from where the whole talk, without what lies
    between, reaches to the end of the call."""
    if not call.talk_seconds:
        return {}
    told = {place: local(leg.connect_time, zone) for place, leg in enumerate(legs) if leg.is_talked}
    times = {place: moment for place, moment in told.items() if moment != NO_TIME}
    if ended:
        whole = ended - timedelta(seconds=call.talk_seconds)
        first = min(times, key=times.__getitem__, default=0)
        later = [moment for place, moment in times.items() if place != first]
        times[first] = min([max(whole, times.get(first, whole)), *later])
    return times


def _extension(leg: _Leg, extensions: Mapping[str, str]) -> str:
    """Whoever has no extension is known by the phone that was rung."""
    return extensions.get(leg.employee_id) or leg.employee_phone_number


def _left(leg: _Leg, rang: datetime, ended: datetime | None) -> datetime | None:
    """When a leg before the last was over."""
    if ended is None or leg.total_duration is None:
        return ended
    return min(rang + timedelta(seconds=max(0, min(leg.total_duration, _DAY))), ended)
