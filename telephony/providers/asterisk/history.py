"""Call records (CDR) of the PBX's database, and the legs that they tell of.

A record is a leg that was dialled, a Local half, or what the dialplan did besides; `linkedid` is the call. Somebody has
talked only where a phone or a trunk was dialled and answered: a queue or a menu is "answered" too, and then the record
counts from there. When people came together the table of channel events (CEL) tells, where there is one. Times are
local. Source: FreePBX's table `cdr`; records of Asterisk 16 and 22 in the recorded streams.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any

from pydantic import ValidationError

from outbound.errors import CredentialsRefused, Rejected, Temporary, VendorFault
from outbound.guard import open_socket
from outbound.http import Http
from telephony.providers.base import NO_TIME, Direction, HistoryLeg, Outcome, Party, Secrets
from telephony.providers.values import Id, MaybeInteger, Model, Text, local, zone

from . import ids
from .channels import Kind, Plan
from .commands import plan_of
from .events import number_in, number_of

_COLUMNS = (
    "calldate", "src", "dst", "dcontext", "channel", "dstchannel", "lastapp", "lastdata", "duration", "billsec",
    "disposition", "uniqueid", "did", "recordingfile", "cnum", "linkedid", "sequence",
)  # fmt: skip
LONGEST = timedelta(hours=6)
"""A call that began in the period may have legs after it, and one of its legs does not say that it began before."""
_PORT = 3306
_SECONDS = 60.0


class Row(Model):
    """A record, by the names of the table's columns."""

    calldate: Text
    src: Text = ""
    dst: Text = ""
    channel: Text = ""
    dstchannel: Text = ""
    lastapp: Text = ""
    lastdata: Text = ""
    duration: MaybeInteger = 0
    billsec: MaybeInteger = 0
    disposition: Text = ""
    uniqueid: Text = ""
    did: Text = ""
    recordingfile: Text = ""
    cnum: Text = ""
    linkedid: Id
    sequence: MaybeInteger = 0


def legs(http: Http, secrets: Secrets, since: datetime, until: datetime) -> Iterator[HistoryLeg]:
    """The legs of all calls that began in the period."""
    where = zone(secrets.get("timezone", ""))
    period = (since - LONGEST).astimezone(where), (until + LONGEST).astimezone(where)
    rows, joined = _rows(http, secrets, *period), _joined(http, secrets, *period)
    calls: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        calls[row.linkedid].append(row)
    for call, his in calls.items():
        told = read(call, his, plan_of(secrets), where, joined)
        if told and since <= min(leg.started_at for leg in told) <= until:
            yield from told


# --- Records ----------------------------------------------------------------------------------------------------------


def read(
    call: str, rows: list[Row], plan: Plan, where: tzinfo, joined: Mapping[tuple[str, str], str] | None = None
) -> list[HistoryLeg]:
    """The legs of one call; nothing where its times are none, or where nobody was called. `joined`: when a channel of a
    call came together with somebody."""
    rows = sorted(rows, key=lambda row: (row.calldate, row.sequence or 0))
    if any(local(row.calldate, where) == NO_TIME for row in rows):
        return []
    return [*_Records(call, rows, plan, where, joined or {}).legs()]


class _Records:
    def __init__(self, call: str, rows: list[Row], plan: Plan, where: tzinfo, joined: Mapping[tuple[str, str], str]):
        self.joined = joined
        self.call, self.rows, self.plan, self.where = call, rows, plan, where
        self.root = next((row for row in rows if row.uniqueid == call), rows[0])
        self.dialled = [row for row in rows if plan.kind(row.dstchannel) is not Kind.NOBODY]
        self.trunks = [row for row in self.dialled if plan.kind(row.dstchannel) is Kind.TRUNK]
        self.originated = bool(ids.command_of(call)) or self.root.lastapp == "AppDial2"
        self.direction = self._direction()
        self.recordings = tuple(dict.fromkeys(row.recordingfile for row in rows if row.recordingfile))
        self.began = min(local(row.calldate, where) for row in rows)

    def _direction(self) -> Direction:
        if self.plan.kind(self.root.channel) is Kind.TRUNK:
            return Direction.IN
        if self.originated or (self.trunks and not self.plan.is_extension(self.root.dst)):
            return Direction.OUT
        if self.plan.is_extension(self.root.dst) or not number_of(self.root.dst):
            return Direction.INTERNAL
        return Direction.OUT

    def legs(self) -> Iterator[HistoryLeg]:
        talked = any(self._talked(row) for row in self.dialled)
        recordings = self.recordings if talked else ()
        told = self._shares()
        if not told and self.direction is not Direction.INTERNAL:
            told = [(self.root, *self._sides(self.root))]
        for place, (row, caller, callee) in enumerate(told):
            yield self._leg(row, caller, callee, recordings if place == 0 else ())

    def _shares(self) -> list[tuple[Row, Party, Party]]:
        rows = self.dialled
        if self.direction is Direction.OUT:
            rows = [row for row in rows if row in self.trunks or self.plan.extension(row.dstchannel) != self._dialler]
        rows = self._without_unanswered_trunks(rows)
        return [(row, *self._sides(row)) for row in rows]

    def _without_unanswered_trunks(self, rows: list[Row]) -> list[Row]:
        """However many trunks were tried, whoever dialled has one share."""
        if self.direction is not Direction.OUT:
            return rows
        tried = [row for row in rows if row in self.trunks]
        kept = [row for row in tried if self._talked(row)][:1] or tried[-1:]
        return [row for row in rows if row not in tried or row in kept]

    def _sides(self, row: Row) -> tuple[Party, Party]:
        callee = self.plan.extension(row.dstchannel)
        if self.direction is Direction.IN:
            client = Party(number=number_of(self.root.src))
            return client, Party(extension=callee) if callee else Party(
                number=number_in(row.lastdata) if row.dstchannel else ""
            )
        if self.direction is Direction.INTERNAL:
            return Party(extension=self._dialler), Party(extension=callee)
        if row in self.trunks or not callee or callee == self._dialler:
            return Party(extension=self._dialler), Party(number=self._client)
        return Party(number=self._client), Party(extension=callee)

    @property
    def _dialler(self) -> str:
        """The channel says who dialled: `src` is the number that the client sees."""
        return self.plan.extension(self.root.channel) or (
            self.root.cnum if self.plan.is_extension(self.root.cnum) else ""
        )

    @property
    def _client(self) -> str:
        dialled = next((number for row in self.trunks if (number := number_in(row.lastdata))), "")
        return dialled or number_of(self.root.dst) or (number_of(self.root.src) if self.originated else "")

    @property
    def _line(self) -> str:
        if self.direction is Direction.IN:
            return next((number for row in self.rows if (number := number_of(row.did))), "")
        shown = number_of(self.trunks[0].src) if self.trunks and self.direction is Direction.OUT else ""
        return "" if self.plan.is_extension(shown) else shown

    @staticmethod
    def _talked(row: Row) -> bool:
        return row.disposition == "ANSWERED" and bool(row.dstchannel) and (row.billsec or 0) > 0

    def _answered(self, row: Row, began: datetime, ended: datetime) -> datetime:
        exact = local(self.joined.get((self.call, row.dstchannel), ""), self.where)
        if exact != NO_TIME and began <= exact <= ended:
            return exact
        return max(began, ended - timedelta(seconds=row.billsec or 0))

    def _leg(self, row: Row, caller: Party, callee: Party, recordings: tuple[str, ...]) -> HistoryLeg:
        began = local(row.calldate, self.where)
        ended = began + timedelta(seconds=max(0, row.duration or 0))
        talked = self._talked(row) and row in self.dialled
        return HistoryLeg(
            call=self.call,
            direction=self.direction,
            caller=caller,
            callee=callee,
            virtual_number=self._line,
            started_at=began,
            answered_at=self._answered(row, began, ended) if talked else None,
            ended_at=ended,
            why=Outcome.ANSWERED if talked else self._why(row),
            recordings=recordings,
            call_started_at=self.began,
        )

    def _why(self, row: Row) -> Outcome:
        if row.disposition == "BUSY":
            return Outcome.BUSY
        if self.direction is Direction.OUT:
            failed = row.disposition in ("FAILED", "CONGESTION") or not self.trunks
            return Outcome.FAILED if failed else Outcome.NO_ANSWER
        return Outcome.MISSED


# --- The database -----------------------------------------------------------------------------------------------------


def probe(http: Http, secrets: Secrets) -> None:
    """Read one record: raises `outbound.errors`."""
    _asked(http, secrets, f"{_select(secrets)} LIMIT 1", ())


def _rows(http: Http, secrets: Secrets, since: datetime, until: datetime) -> list[Row]:
    """Records of the period. A record is written when its leg is over."""
    text = f"{_select(secrets)} WHERE calldate BETWEEN %s AND %s ORDER BY calldate"
    period = tuple(f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (since, until))
    found = []
    for values in _asked(http, secrets, text, period):
        try:
            found.append(Row.model_validate({name: _text(value) for name, value in values.items()}))
        except ValidationError:  # a record that belongs to no call
            continue
    return found


def _joined(http: Http, secrets: Secrets, since: datetime, until: datetime) -> dict[tuple[str, str], str]:
    """When channels first came together with somebody, by call and channel; empty where we cannot read that."""
    text = (
        "SELECT linkedid, channame, MIN(eventtime) AS joined FROM cel "
        "WHERE eventtype = 'BRIDGE_ENTER' AND eventtime BETWEEN %s AND %s GROUP BY linkedid, channame"
    )
    period = tuple(f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (since, until))
    try:
        rows = _asked(http, secrets, text, period)
    except (Rejected, CredentialsRefused):
        return {}
    return {(str(row["linkedid"]), str(row["channame"])): str(_text(row["joined"])) for row in rows}


def _text(value: Any) -> Any:
    return (
        str(value)
        if isinstance(value, datetime)
        else value.decode("utf-8", "replace")
        if isinstance(value, bytes)
        else value
    )


def _select(secrets: Secrets) -> str:
    table = secrets.get("cdr_table") or "cdr"
    if not re.fullmatch(r"\w{1,64}", table, re.ASCII):
        raise Rejected(f"{table!r} is no table", code="table")
    return f"SELECT {', '.join(_COLUMNS)} FROM `{table}`"  # noqa: S608 (columns of ours, a table of word characters)


def _asked(http: Http, secrets: Secrets, text: str, values: tuple[str, ...]) -> list[Mapping[str, Any]]:
    import pymysql  # a look into a history alone needs it

    host = secrets.get("cdr_host", "")
    if not host:
        raise Rejected("this connection has no address of call records", code="no_address")
    connection = pymysql.connections.Connection(
        host=host,
        user=secrets.get("cdr_user", ""),
        password=secrets.get("cdr_password", ""),
        database=secrets.get("cdr_database") or "asteriskcdrdb",
        charset="utf8mb4",
        cursorclass=pymysql.cursors.DictCursor,
        read_timeout=_SECONDS,
        write_timeout=_SECONDS,
        defer_connect=True,
    )
    try:
        port = int(secrets.get("cdr_port") or _PORT)
        connection.connect(open_socket(host, port, allow_private=http.allow_private, timeout=http.deadline))
        with connection.cursor() as cursor:
            cursor.execute(text, values)
            return list(cursor.fetchall())
    except pymysql.MySQLError as error:
        raise _meaning(error) from error
    except (OSError, ValueError, IndexError, AttributeError) as error:
        raise VendorFault(f"the database of call records does not answer as one: {error}", code="database") from error
    finally:
        try:
            connection.close()
        except pymysql.MySQLError:
            pass


def _meaning(error: Exception) -> CredentialsRefused | Rejected | Temporary:
    """By MySQL's numbers: 1044, 1045, 1130, 1142: refused; 1049, 1054, 1146: no such database, column or table."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    words = f"call records: {error.args[1] if len(error.args) > 1 else error}"
    if number in (1044, 1045, 1130, 1142, 1698):
        return CredentialsRefused(words, code=f"mysql_{number}")
    if number in (1049, 1054, 1146):
        return Rejected(words, code=f"mysql_{number}")
    return Temporary(words, code=f"mysql_{number}")
