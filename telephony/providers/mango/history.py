"""The basic history of calls: one row of CSV for each leg.

Source: official document of the VPBX API v1.9, "Statistics", and public clients where its examples differ.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Self, cast

from pydantic import ValidationError, model_validator

from outbound.errors import OutboundError, VendorFault
from telephony.providers.base import Direction, HistoryLeg, Outcome, Party
from telephony.providers.values import Id, MaybeInteger, MaybeMoment, Model, Text

from . import codes, history_extended
from .api import Api
from .events import direction_by_sides, party
from .reports import POLL_SECONDS, Wait, is_missing, prepare

log = logging.getLogger(__name__)

# The default list of the vendor's lacks `entry_id`, without which rows belong to no call.
_FIELDS = (
    "records,start,finish,answer,from_extension,from_number,to_extension,to_number,"
    "disconnect_reason,line_number,location,create,entry_id"
)
# The vendor takes a month at most, and the shortest has 28 days.
_LONGEST = timedelta(days=28)


class _Row(Model):
    records: Text
    start: MaybeMoment
    finish: MaybeMoment
    answer: MaybeMoment
    from_extension: Text
    from_number: Text
    to_extension: Text
    to_number: Text
    disconnect_reason: MaybeInteger
    line_number: Text
    create: MaybeMoment
    entry_id: Id

    @model_validator(mode="after")
    def _has_a_time(self) -> Self:
        if not (self.start or self.create or self.finish):
            raise ValueError("is at no time")
        return self

    @property
    def began(self) -> datetime:
        return cast("datetime", self.start or self.create or self.finish)

    @property
    def caller(self) -> Party:
        return party(self.from_extension, self.from_number)

    @property
    def callee(self) -> Party:
        return party(self.to_extension, self.to_number)

    @property
    def recordings(self) -> tuple[str, ...]:
        """`[id1,id2]`, or without the brackets as in the document's example."""
        return tuple(part for part in (part.strip() for part in self.records.strip("[]").split(",")) if part)


def legs(
    api: Api,
    since: datetime,
    until: datetime,
    *,
    extensions: Callable[[], Mapping[str, str]],
    wait: Wait = time.sleep,
) -> Iterator[HistoryLeg]:
    """All legs of the calls that began in the period.

    This is the one place of a provider that waits: the vendor prepares a report and does not call us when one asks
    again. `wait` is what waits, five minutes at most for each month. Where an account has no basic history, the
    extended one is read; `extensions` is asked for employees' extensions by their vendor's id then.
    """
    extended: Mapping[str, str] | None = None
    for start, end in periods(since, until):
        if extended is None:
            try:
                yield from _basic(api, start, end, wait)
                continue
            except OutboundError as error:
                if not is_missing(error):
                    raise
            extended = extensions()
            wait(POLL_SECONDS)  # both kinds of report are counted as one
        yield from history_extended.legs(api, start, end, extensions=extended, wait=wait)


def periods(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The period in pieces that the vendor takes. Both ends of a piece are within it, so the next begins later."""
    while since < until:
        end = min(since + _LONGEST, until)
        yield since, end
        since = end + timedelta(seconds=1)


def _basic(api: Api, since: datetime, until: datetime, wait: Wait) -> Iterator[HistoryLeg]:
    payload = {
        "date_from": str(math.floor(since.timestamp())),
        "date_to": str(math.ceil(until.timestamp())),
        "fields": _FIELDS,
    }
    answer = prepare(api, ("stats/request", payload), "stats/result", wait=wait)
    return read(answer.text)


def read(csv: str) -> Iterator[HistoryLeg]:
    """The legs of a report, call by call in the order of their first rows.

    Raises `VendorFault` for what is no report and for one that is cut off; a row that cannot be read is left out.
    """
    text = csv.lstrip("\ufeff")
    if text.lstrip().startswith(("<", "{")):
        raise VendorFault(f"the history is no CSV: {text[:200]}", code="no_csv")
    calls: dict[str, list[_Row]] = {}
    for row in _rows([line for line in text.splitlines() if line.strip()]):
        calls.setdefault(row.entry_id, []).append(row)
    return (leg for rows in calls.values() for leg in _legs(rows))


def _rows(lines: list[str]) -> Iterator[_Row]:
    names = _FIELDS.split(",")
    for line in lines:
        values = line.split(";")
        if len(values) < len(names) and line is lines[-1]:
            raise VendorFault("the history is cut off in its last row", code="truncated")
        try:
            yield _Row.model_validate(dict(zip(names, values, strict=True)))
        except (ValueError, ValidationError):
            log.warning("a row of a Mango history with %d columns cannot be read", len(values))


def _legs(rows: list[_Row]) -> Iterable[HistoryLeg]:
    direction = _call_direction(rows)
    for row in rows:
        yield HistoryLeg(
            call=row.entry_id,
            direction=direction,
            caller=row.caller,
            callee=row.callee,
            virtual_number=row.line_number,
            started_at=row.began,
            answered_at=row.answer,
            ended_at=row.finish,
            why=Outcome.ANSWERED if row.answer else codes.outcome(row.disconnect_reason, direction),
            recordings=row.recordings,
            call_started_at=row.create,
        )


def _call_direction(rows: list[_Row]) -> Direction:
    """The direction of the whole call: that of its first leg, unless the first leg prepares a callback.

    A callback rings the employee "from" the client and then dials the client for the employee; no field says so.
    """
    first = min(rows, key=lambda row: row.began)
    dialled = {row.to_number for row in rows if row.from_extension and not row.to_extension}
    if not first.from_extension and first.from_number and first.from_number in dialled:
        return Direction.OUT
    return direction_by_sides(first.caller, first.callee)
