"""Both histories of calls: `stats/*` (CSV, a row per leg) and `stats/calls/*` (JSON, a tree per call)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .simulator import Call, Leg

KEPT_SECONDS = 600.0  # the documentation promises a minute at least
POLL_SECONDS = 5.0
MAX_PERIOD = 31 * 86400
LIMITS = (1, 5, 10, 20, 50, 100, 500, 1000, 2000, 5000)
# The default list lacks entry_id: rows of such a report cannot be joined with calls.
DEFAULT_FIELDS = (
    "records,start,finish,answer,from_extension,from_number,to_extension,to_number"
    ",disconnect_reason,line_number,location"
)
ROW: dict[str, Callable[[Call, Leg], Any]] = {
    "records": lambda c, leg: f"[{leg.recording.recording_id if leg.recording and leg.recording.added else ''}]",
    "start": lambda c, leg: c.stamp(leg.appeared),
    "finish": lambda c, leg: c.stamp(leg.ended),
    "answer": lambda c, leg: c.stamp(leg.answered),
    "from_extension": lambda c, leg: leg.from_.get("extension", ""),
    "from_number": lambda c, leg: leg.from_.get("number", ""),
    "to_extension": lambda c, leg: leg.to.get("extension", ""),
    "to_number": lambda c, leg: leg.to.get("number", ""),
    "disconnect_reason": lambda c, leg: leg.reason,
    "line_number": lambda c, leg: c.line if c.direction else "",
    "location": lambda c, leg: leg.location,
    "create": lambda c, leg: c.stamp(c.created),
    "entry_id": lambda c, leg: c.entry_id,
}


@dataclass(slots=True)
class Report:
    """One requested report."""

    account: str
    params: dict[str, Any]
    extended: bool
    requested: float
    ready: bool = False
    polled: float | None = None


def _legs(call: Call) -> list[Leg]:
    """The legs that have a row: those of subscribers; a call that reached nobody shows its IVR or queue leg."""
    return [leg for leg in call.legs if leg.location == "abonent"] or call.legs[:1]


def _of_account(calls: Iterable[Call], key: str) -> list[Call]:
    return [call for call in calls if call.account.key == key and call.finished]


def _sides(party: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(str(party.get(name, "")) == str(value) for name, value in wanted.items())


def csv(calls: Iterable[Call], report: Report, newline: str) -> str:
    """Rows without a header, `;` between fields, nothing escaped."""
    start, end = int(report.params["date_from"]), int(report.params["date_to"])
    fields = str(report.params.get("fields") or DEFAULT_FIELDS).split(",")
    party = report.params.get("call_party")
    rows = []
    for call in _of_account(calls, report.account):
        if not start <= call.stamp(call.created) <= end:
            continue
        for leg in _legs(call):
            if not all(
                _sides(side, report.params.get(name) or {}) for name, side in (("from", leg.from_), ("to", leg.to))
            ):
                continue
            if party and not (_sides(leg.from_, party) or _sides(leg.to, party)):
                continue
            rows.append(";".join(str(ROW[name](call, leg)) for name in fields))
    return newline.join(rows)


def parse_date(text: str, utc_offset: int) -> float:
    """`DD.MM.YYYY hh:mm:ss` of the account's zone as epoch."""
    moment = datetime.strptime(text, "%d.%m.%Y %H:%M:%S").replace(tzinfo=UTC)
    return (moment - timedelta(hours=utc_offset)).timestamp()


def tree(calls: Iterable[Call], report: Report, utc_offset: int) -> list[dict[str, Any]]:
    """`data` of the extended history; directions are counted 1 in, 2 out, 3 internal here."""
    params = report.params
    start, end = (parse_date(params[name], utc_offset) for name in ("start_date", "end_date"))
    kinds = params.get("context_type")
    wanted = {int(kind) for kind in (kinds if isinstance(kinds, list) else [kinds])} if kinds else {1, 2, 3}
    found = [
        call
        for call in _of_account(calls, report.account)
        if start <= call.created <= end and (call.direction or 3) in wanted
        if _has_people(call, params.get("user_ids"))
    ]
    offset = int(params.get("offset", 0))
    return [{"list": [_context(call) for call in found[offset : offset + int(params["limit"])]]}]


def _user_id(call: Call, extension: str) -> int | None:
    person = call.account.employee(extension)
    return person.user_id if person else None


def _has_people(call: Call, user_ids: list[int] | None) -> bool:
    return not user_ids or any(_user_id(call, extension) in user_ids for extension in call.extensions)


def _context(call: Call) -> dict[str, Any]:
    incoming = call.direction == 1
    ours = str(call.summary_from.get("extension", ""))
    return {
        "entry_id": call.entry_id,
        "context_type": call.direction or 3,
        "context_status": int(bool(call.talk_time)),
        "caller_id": None if incoming else _user_id(call, ours),
        "caller_number": call.client if incoming else ours,
        "called_number": call.line if incoming else call.client or str(call.summary_to.get("extension", "")),
        "context_start_time": int(call.created),
        "duration": int(call.end_time - call.created),
        "talk_duration": call.talk_seconds,
        "recall_status": 0,
        "context_calls": [_leg(call, leg) for leg in _legs(call)],
    }


def _leg(call: Call, leg: Leg) -> dict[str, Any]:
    ours = bool(leg.extension)
    answered = int(leg.answered)
    kind = "group" if leg.location == "queue" else "user" if ours else "number"
    return {
        "call_type": kind,
        "call_abonent_id": _user_id(call, leg.extension),
        "call_abonent_number": leg.extension or str(leg.to.get("number", "")),
        "call_start_time": int(leg.appeared),
        "call_answer_time": answered,
        "call_end_time": int(leg.ended),
        "talk_duration": int(leg.ended - leg.answered) if answered else 0,
        "dial_duration": int((leg.answered or leg.ended) - leg.appeared),
        "call_end_reason": leg.reason,
        "recording_id": [leg.recording.recording_id] if leg.recording and leg.recording.added else [],
        "external_call_id": leg.call_id,
        "members": [],
    }
