"""The PBX's history: one row for each call, and for each part of a call that was handed on.

REST tells rows whose fields are absent where there is nothing to tell, in words that differ from those of
notifications. The older interface tells a table without a head and without the reasons of failures.
Source: answers in public clients. How many rows an answer may have is not documented.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from outbound.errors import CredentialsRefused, Rejected, VendorFault
from telephony.providers.base import NO_TIME, Direction, HistoryLeg, Outcome, Party
from telephony.providers.values import MaybeInteger, Model, Text

from . import directory
from .api import Api
from .directory import Staff
from .events import ANSWERED, client, is_internal, moment, outcome, seconds

_LONGEST = timedelta(days=1)
_MOST = 1_000
_COLUMNS = ("uid", "type", "client", "user", "diversion", "start", "wait", "duration", "record")
_OLD_TYPES = {"in": ("in", ANSWERED), "out": ("out", ANSWERED), "missed": ("in", "missed")}
_RECENT = ("this_week", "last_week")


class Row(Model):
    uid: Text = ""
    type: Text = ""
    status: Text = ""
    client: Text = ""
    user: Text = ""
    diversion: Text = ""
    start: Text = ""
    wait: MaybeInteger = None
    duration: MaybeInteger = None
    record: Text = ""

    @property
    def direction(self) -> Direction:
        return Direction.OUT if self.type == "out" else Direction.IN

    @property
    def began(self) -> datetime:
        return moment(self.start)

    @property
    def picked_up(self) -> datetime:
        return self.began + seconds(self.wait)

    @property
    def ended(self) -> datetime:
        return self.picked_up + seconds(self.duration)


_ROWS = TypeAdapter(list[Row])


def legs(api: Api, since: datetime, until: datetime) -> Iterator[HistoryLeg]:
    """All calls and parts of calls that began in the period."""
    staff = directory.staff(api)
    ask = _ask if staff.rest else _ask_old
    while since < until:
        end = min(since + _LONGEST, until)
        yield from (leg for row in _once(_rows(api, ask, since, end)) if (leg := _leg(row, staff)))
        since = end + timedelta(seconds=1)


def find(api: Api, uid: str) -> Row | None:
    """One call by its id. The older interface cannot be asked for it: it is looked for in the last weeks."""
    try:
        rows = api.get("history/json", _ROWS, uid=uid)
    except (CredentialsRefused, Rejected):
        rows = [row for period in _RECENT for row in _table(api, period=period)]
    return next((row for row in rows if row.uid == uid and row.began != NO_TIME), None)


# --- Asking -----------------------------------------------------------------------------------------------------------

_Ask = Callable[[Api, datetime, datetime], list[Row]]


def _ask(api: Api, since: datetime, until: datetime) -> list[Row]:
    return api.get("history/json", _ROWS, **_period(since, until))


def _ask_old(api: Api, since: datetime, until: datetime) -> list[Row]:
    return _table(api, **_period(since, until))


def _period(since: datetime, until: datetime) -> dict[str, str]:
    bounds = {"start": since, "end": until}
    return {name: f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}" for name, at in bounds.items()} | {"limit": str(_MOST)}


def _rows(api: Api, ask: _Ask, since: datetime, until: datetime) -> list[Row]:
    """An answer that is full may lack something: its period is asked for in halves."""
    rows = ask(api, since, until)
    if len(rows) < _MOST or until - since < timedelta(seconds=2):
        return rows
    middle = since + (until - since) / 2
    return _rows(api, ask, since, middle) + _rows(api, ask, middle, until)


def _table(api: Api, **fields: str) -> list[Row]:
    """What the older interface tells. An answer without rows is an empty one."""
    text = api.command("history", type="all", **fields).text
    return [_read(columns) for columns in csv.reader(io.StringIO(text)) if columns]


def _read(columns: list[str]) -> Row:
    if len(columns) < len(_COLUMNS) or columns[1] not in _OLD_TYPES:
        raise VendorFault("the answer is no table of calls", code="shape")
    told = dict(zip(_COLUMNS, columns, strict=False))
    way, status = _OLD_TYPES[told["type"]]
    row = Row.model_validate({**told, "type": way, "status": status})
    person = row.user if "@" in row.user else ""  # other words there are places: ivr, fax
    silent = {} if row.duration else {"status": "missed"}
    return row.model_copy(update={"user": person, **silent})


def _once(rows: Iterable[Row]) -> list[Row]:
    """A call may come twice in an answer: as answered, if it was once."""
    known: dict[str, Row] = {}
    for row in rows:
        if row.uid and (row.uid not in known or row.status.lower() == ANSWERED):
            known[row.uid] = row
    return list(known.values())


def _leg(row: Row, staff: Staff) -> HistoryLeg | None:
    if row.began == NO_TIME or is_internal(row.client):
        return None
    came_to = outcome(row.status, row.direction)
    answered = came_to is Outcome.ANSWERED
    name = directory.login(row.user)
    sides = (client(row.client), Party(extension=staff.extension(name)) if name else Party())
    caller, callee = sides if row.direction is Direction.IN else sides[::-1]
    return HistoryLeg(
        call=row.uid,
        direction=row.direction,
        caller=caller,
        callee=callee,
        virtual_number=row.diversion,
        started_at=row.began,
        answered_at=row.picked_up if answered else None,
        ended_at=row.ended if answered else row.picked_up,
        talk_seconds=round((row.ended - row.picked_up).total_seconds()) if answered else 0,
        why=came_to,
        recordings=(row.uid,) if row.record else (),
        links=(row.record,) if row.record else (),
    )
