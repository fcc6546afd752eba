"""MegaFon's own Data API: lists of employees and numbers, and the report "История звонков".

Source: MegaFon's documentation. Where on this host JSON-RPC is answered it does not say: we ask at `/v2.0`, as at the
other brands. What a recording looks like in the report it does not say either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Annotated

from outbound.errors import Rejected
from telephony.providers.base import NO_TIME, Direction, HistoryLeg, Outcome, Party, PbxNumber, PbxUser
from telephony.providers.values import EmptyList, EmptyObject, Id, Integer, Model, Text, local

from .api import Api
from .codes import outcome
from .events import Seconds, party

_REPORT = "История звонков"
_FIELDS = (
    "communication_id",
    "call_start_date_time",
    "contact_phone_number",
    "call_direction",
    "call_status",
    "virtual_phone_number",
    "employees",
    "call_total_duration",
    "call_talk_duration",
    "call_is_internal",
    "call_finish_reason",
)


class _Employee(Model):
    id: Id
    full_name: Text = ""
    short_phone: Text = ""
    email: Text = ""
    phone: Text = ""


class _Number(Model):
    number: Text = ""
    comment: Text = ""


class _Report(Model):
    id: Integer


class _Value(Model):
    value: Text = ""
    value_id: Text = ""


_Told = Annotated[_Value, EmptyObject]


class _Call(Model):
    communication_id: Id
    call_start_date_time: Text = ""
    contact_phone_number: _Told = _Value()
    call_direction: _Told = _Value()
    call_is_internal: _Told = _Value()
    call_finish_reason: _Told = _Value()
    virtual_phone_number: Text = ""
    employees: Annotated[list[Text], EmptyList] = []
    call_total_duration: Seconds = None
    call_talk_duration: Seconds = None


def users(api: Api) -> list[PbxUser]:
    return [
        PbxUser(row.full_name, row.short_phone, email=row.email, mobile=row.phone, vendor_id=row.id)
        for row in api.listed("employee", _Employee)
    ]


def numbers(api: Api) -> list[PbxNumber]:
    rows = api.listed("numbers/virtual-number", _Number)
    return [PbxNumber(row.number, row.comment) for row in rows if row.number]


# --- History ----------------------------------------------------------------------------------------------------------


def legs(api: Api, since: datetime, until: datetime, zone: tzinfo) -> Iterator[HistoryLeg]:
    """Who took part is told by names alone: who has no extension or a namesake is known by the name."""
    report = _report(api)
    extensions = _by_name(users(api))
    asked = {
        "report_id": report,
        "date_from": f"{since.astimezone(zone):%Y-%m-%d %H:%M:%S}",
        "date_till": f"{until.astimezone(zone):%Y-%m-%d %H:%M:%S}",
        "fields": _FIELDS,
    }
    for row in api.rows("get.mgf_calls", _Call, **asked):
        yield from _legs(row, extensions, zone)


def _report(api: Api) -> int:
    wanted = {"field": "name", "operator": "=", "value": _REPORT}
    for row in api.rows("get.reports_list", _Report, filter=wanted):
        return row.id
    raise Rejected(f"UIS: there is no report “{_REPORT}”", code="no_report")


def _by_name(people: list[PbxUser]) -> dict[str, str]:
    often = Counter(user.name for user in people)
    return {user.name: user.extension for user in people if often[user.name] == 1}


def _legs(row: _Call, extensions: dict[str, str], zone: tzinfo) -> Iterator[HistoryLeg]:
    """One for each employee: the last is taken for the one who talked. Left out are calls between employees (how they
    are told is not documented) and conversations with nobody."""
    began = local(row.call_start_date_time, zone)
    if began == NO_TIME or row.call_is_internal.value_id not in ("", "external"):
        return
    direction = Direction.OUT if row.call_direction.value_id == "out" else Direction.IN
    talk = max(row.call_talk_duration or 0, 0)
    ended = began + timedelta(seconds=max(row.call_total_duration or 0, talk))
    if talk and not row.employees:
        return
    names = row.employees or [""]
    client = party(row.contact_phone_number.value)
    for place, name in enumerate(names, 1):
        employee = Party(extension=extensions.get(name) or name)
        talked = talk > 0 and place == len(names)
        yield HistoryLeg(
            call=row.communication_id,
            direction=direction,
            caller=employee if direction is Direction.OUT else client,
            callee=client if direction is Direction.OUT else employee,
            virtual_number=row.virtual_phone_number,
            started_at=began,
            answered_at=ended - timedelta(seconds=talk) if talked else None,
            ended_at=ended,
            why=Outcome.ANSWERED if talked else outcome(row.call_finish_reason.value_id, direction),
        )
