"""Zadarma's statistics of the PBX: one row for each leg.

Source: the vendor's OpenAPI description of v1; which number stands where in an outgoing row it does not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Annotated

from telephony.providers.base import NO_TIME, Direction, HistoryLeg, Outcome, Party
from telephony.providers.values import EmptyList, Id, MaybeInteger, Model, Text, local

from .api import Api
from .events import is_extension, outcome, party

_LONGEST = timedelta(days=28)
_PAGE = 1000


class _Row(Model):
    call_id: Text = ""
    pbx_call_id: Id
    sip: Text = ""
    clid: Text = ""
    destination: Text = ""
    callstart: Text = ""
    disposition: Text = ""
    seconds: MaybeInteger = None
    is_recorded: Text = ""

    @property
    def recordings(self) -> tuple[str, ...]:
        return (self.call_id,) if self.call_id and self.is_recorded.lower() in ("true", "1") else ()


class _Statistics(Model):
    stats: Annotated[list[_Row], EmptyList] = []


def legs(api: Api, since: datetime, until: datetime, zone: tzinfo) -> Iterator[HistoryLeg]:
    """All legs of the calls that began in the period."""
    while since < until:
        end = min(since + _LONGEST, until)
        yield from _period(api, since, end, zone)
        since = end + timedelta(seconds=1)


def _period(api: Api, since: datetime, until: datetime, zone: tzinfo) -> Iterator[HistoryLeg]:
    skip = 0
    while True:
        rows = _page(api, since.astimezone(zone), until.astimezone(zone), skip)
        yield from (leg for row in rows if (leg := _leg(row, zone)))
        skip += len(rows)
        if len(rows) < _PAGE:
            return


def _page(api: Api, since: datetime, until: datetime, skip: int) -> list[_Row]:
    answer = api.statistics(
        "statistics/pbx",
        _Statistics,
        start=f"{since:%Y-%m-%d %H:%M:%S}",
        end=f"{until:%Y-%m-%d %H:%M:%S}",
        version="2",
        skip=str(skip),
        limit=str(_PAGE),
    )
    return answer.stats


def _leg(row: _Row, zone: tzinfo) -> HistoryLeg | None:
    began = local(row.callstart, zone)
    if began == NO_TIME:
        return None
    direction, caller, callee = _sides(row)
    came_to = outcome(row.disposition, direction)
    answered = came_to is Outcome.ANSWERED
    return HistoryLeg(
        call=row.pbx_call_id,
        direction=direction,
        caller=caller,
        callee=callee,
        virtual_number="",
        started_at=began,
        answered_at=began if answered else None,
        ended_at=began + timedelta(seconds=max(0, row.seconds or 0) if answered else 0),
        why=came_to,
        recordings=row.recordings,
    )


def _sides(row: _Row) -> tuple[Direction, Party, Party]:
    """The extension of an outgoing row is whichever of its two fields is one."""
    callee = party(row.destination)
    if not row.pbx_call_id.startswith("out_"):
        return Direction.IN, party(row.clid or row.sip), callee if callee.extension else Party()
    extension = next((number for number in (row.clid, row.sip) if is_extension(number)), "")
    direction = Direction.INTERNAL if callee.extension else Direction.OUT
    return direction, Party(extension=extension), callee
