"""An emulated UIS account: notifications as the templates of our own guide make them, the Call API and the Data API as
far as we use them; and one of MegaFon with its own Data API."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from telephony.providers import uis

from .pbx import Call, Pbx, Scenario
from .served import Asked, Refusal, Wire, api

TOKEN = "uis0test0access0token0000000000000000001"
ZONE = ZoneInfo("Europe/Moscow")
IDS = {"101": 323401, "102": 323402, "103": 323403}
MINUTE_LIMIT, LONGEST_PERIOD = 100, timedelta(days=93)
REASONS = {
    ("in", "missed"): "no_success_operator_call",
    ("in", "busy"): "operator_busy",
    ("out", "no_answer"): "no_success_subscriber_call",
    ("out", "busy"): "subscriber_busy",
}
_COLUMNS = """
id start_time finish_time finish_reason direction source is_lost contact_phone_number communication_id
communication_type wait_duration total_wait_duration talk_duration clean_talk_duration total_duration
call_records full_record_file_link virtual_phone_number last_talked_employee_id operator_phone_number
"""
CALL_COLUMNS = frozenset(_COLUMNS.split())
REPORT = frozenset({"date_from", "date_till", "fields", "filter", "sort", "limit", "offset"})
_TEMPLATE = re.compile(r"`\{webhook_url\}([a-z-]+)`\s+```json\n(.+?)\n```", re.S)


def templates() -> dict[str, str]:
    """What our guide tells customers to paste, by the kind of notification."""
    guide = Path(str(uis.__file__)).parent / "guide.ru.md"
    return dict(_TEMPLATE.findall(guide.read_text(encoding="utf-8")))


def filled(template: str, values: dict[str, Any]) -> str:
    """Each `{{variable}}` becomes a JSON literal."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: json.dumps(values[found[1]], ensure_ascii=False), template)


@dataclass(frozen=True, slots=True)
class Share:
    """What an employee did in a call."""

    extension: str
    rang: datetime
    answered: datetime | None
    left: datetime


def ended(call: Call) -> datetime:
    talks = len(call.scenario.talks)
    return call.began + timedelta(seconds=6 + call.scenario.seconds * talks if talks else 31)


def shares(call: Call) -> list[Share]:
    """The employees between whom and the other side there were legs."""
    kind, found = call.scenario, []
    rings = kind.rings if kind.direction == "in" else kind.rings[:1]
    talks = kind.talks if kind.direction == "in" else kind.rings[: len(kind.talks)]
    for place, extension in enumerate(rings):
        rang, answered, left = call.began + timedelta(seconds=1 + place), None, ended(call)
        if extension in talks:
            turn = talks.index(extension)
            answered = call.began + timedelta(seconds=6 + kind.seconds * turn)
            left = answered + timedelta(seconds=kind.seconds)
            rang = answered - timedelta(seconds=5) if turn else rang
        found.append(Share(extension, rang, answered, left))
    return found


class Emulator(Pbx):
    """`live` are sessions that commands may speak of, by their state."""

    # Why nobody talked is in no notification: `lost_reason` has no documented values. The history knows.
    lacks = frozenset({"busy", "outgoing, busy"})
    proofs = frozenset()

    def __init__(self, deliver: Any):
        super().__init__(deliver)
        self.live: dict[int, str] = {}
        self.told: list[str] = []
        self.refuses: dict[str, str] = {}
        self.remaining = 98
        self._clicks: dict[str, str] = {}
        self._external: dict[str, str] = {}
        self._spent: list[float] = []
        self._templates = templates()

    @property
    def secrets(self) -> dict[str, str]:
        return {
            "access_token": TOKEN,
            "virtual_number": self.lines[0],
            "timezone": "Europe/Moscow",
            "call_api_url": f"{self.url}/v4.0",
            "data_api": "v2",
            "data_api_url": f"{self.url}/v2.0",
            "media_url": f"{self.url}/media",
        }

    # --- Notifications

    def call_id(self, scenario: Scenario, number: int) -> str:
        return str(900_000_000 + number)

    def new_call(self, scenario: Scenario, client: str = "", began: datetime | None = None) -> Call:
        call = super().new_call(scenario, client, began)
        names = {name: hashlib.md5(name.encode()).hexdigest() for name in call.recordings}
        call.recordings = {f"{call.id}/{names[name]}": audio for name, audio in call.recordings.items()}
        self._external[call.id] = self._clicks.pop(call.client, "")
        return call

    def events(self, call: Call) -> Iterator[Wire]:
        kind, end = call.scenario, ended(call)
        if kind.direction == "in":
            yield self._wire("incoming", call, call.began)
        elif kind.direction == "out":
            yield self._wire("outgoing", call, call.began, shares(call)[0])
        if kind.direction != "internal":  # of such only the end is known
            yield from self._conversation(call)
        if kind.direction == "in" and not kind.talks:
            yield self._wire("lost", call, end)
        last = next((share for share in reversed(shares(call)) if share.answered or kind.direction != "in"), None)
        yield self._wire("finished", call, end, last)
        for recording in call.recordings:
            link = f"{self.url}/media/{recording}"
            yield self._wire("record", call, end + timedelta(seconds=30), last, file_link=link)

    def _conversation(self, call: Call) -> Iterator[Wire]:
        moments: list[tuple[datetime, int, str, Share]] = []
        for share in shares(call):
            moments.append((share.rang, 2, "waiting", share))
            if share.answered:
                moments += [(share.answered, 1, "talk-started", share), (share.left, 0, "talk-finished", share)]
        for moment, _order, name, share in sorted(moments, key=lambda row: row[:2]):
            yield self._wire(name, call, moment, share)

    def _wire(self, name: str, call: Call, at: datetime, share: Share | None = None, **more: Any) -> Wire:
        body = filled(self._templates[name], self._values(name, call, at, share) | more)
        return Wire(body.encode(), path=name, headers={"content-type": "application/json"})

    def _values(self, name: str, call: Call, at: datetime, share: Share | None) -> dict[str, Any]:
        kind = call.scenario
        internal = kind.direction == "internal"
        contact = kind.rings[1] if internal else None if kind.hidden else call.client
        extension = share.extension if share else None
        return {
            "notification_name": name.title(),
            "notification_time": f"{at.astimezone(ZONE):%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}",
            "virtual_phone_number": None if internal else call.line,
            "scenario_name": "Main",
            "contact_phone_number": contact,
            "communication_number": 1,
            "contact_id": None,
            "contact_full_name": None,
            "call_session_id": int(call.id),
            "external_id": self._external[call.id] or None,
            "employee_id": IDS[extension] if extension else None,
            "employee_full_name": self.people[extension] if extension else None,
            "extension_phone_number": extension,
            "employee_phone_number": phone(extension) if extension else None,
            "employee_ids": [IDS[number] for number in kind.rings],
            "call_source": "callapi" if self._external[call.id] else "va",
            "direction": "in" if kind.direction == "in" else "out",
            "leg_id": int(call.id) * 10 + 1,
            "leg_ids": [int(call.id) * 10, int(call.id) * 10 + 1],
            "talk_time_duration": self._talk(name, call),
            "total_time_duration": round((at - call.began).total_seconds()),
            "wait_time_duration": 6,
            "is_internal": internal,
            "file_duration": kind.seconds,
            "tag_ids": None,
            "tag_names": None,
        }

    @staticmethod
    def _talk(name: str, call: Call) -> int:
        return call.scenario.seconds * (1 if name == "talk-finished" else len(call.scenario.talks))

    # --- JSON-RPC

    def rpc(self, asked: Asked, methods: dict[str, Callable[[dict[str, Any]], Any]]) -> Any:
        told = asked.json
        if asked.headers.get("content-type") != "application/json; charset=UTF-8":
            raise self.refused("parse_error", -32700, violation="content type")
        if set(told) != {"jsonrpc", "id", "method", "params"} or told["jsonrpc"] != "2.0":
            raise self.refused("invalid_request", -32600, violation=f"request {sorted(told)}")
        method, params = told["method"], told["params"]
        self.open(asked, params)
        self.told.append(method)
        if method not in methods:
            raise self.refused("method_not_found", -32601, violation=method)
        if mnemonic := self.refuses.get(method):
            raise self.refused(mnemonic, -32602)
        self._count()
        return self.said(told["id"], methods[method](params))

    def open(self, asked: Asked, params: dict[str, Any]) -> None:
        """The key is a parameter."""
        if params.pop("access_token", "") != TOKEN:
            raise self.refused("access_token_invalid", -32001)

    def said(self, name: Any, data: Any) -> dict[str, Any]:
        total = {"total_items": data.total} if isinstance(data, Page) else {}
        return {"jsonrpc": "2.0", "id": name, "result": {"data": data, "metadata": {**self._limits(), **total}}}

    def refused(self, mnemonic: str, code: int, violation: str = "", **params: Any) -> Refusal:
        data = {"mnemonic": mnemonic, "field": None, "value": None, "params": params, "metadata": self._limits()}
        error = {"code": code, "message": f"Refused: {mnemonic}", "data": data}
        return Refusal(200, {"jsonrpc": "2.0", "id": None, "error": error}, violation=violation)

    def _limits(self) -> dict[str, Any]:
        left = {"day_limit": 5000, "day_remaining": 4991, "day_reset": 51840}
        return {"limits": left | {"minute_limit": 100, "minute_remaining": self.remaining, "minute_reset": 41}}

    def _count(self) -> None:
        now = time.monotonic()
        self._spent = [moment for moment in self._spent if moment > now - 60] + [now]
        if len(self._spent) > MINUTE_LIMIT:
            raise self.refused("limit_exceeded", -32029, violation="more than a minute allows", limit_type="minute")

    def _only(self, params: dict[str, Any], *names: str) -> None:
        if strange := set(params) - set(names):
            raise self.refused("unexpected_parameters", -32602, violation=f"unexpected {sorted(strange)}")

    # --- Call API

    @api("POST", "/v4.0")
    def call_api(self, asked: Asked) -> Any:
        steps: dict[str, tuple[str, str]] = {
            "hold.call": ("talking", "held"),
            "unhold.call": ("held", "talking"),
            "make.call": ("held", "dialing"),
            "transfer.talk": ("dialing", "talking"),
            "restore.talk": ("dialing", "talking"),
        }
        methods: dict[str, Callable[[dict[str, Any]], Any]] = {
            "start.employee_call": self._start,
            "release.call": self._release,
            "list.calls": self._list,
        }
        methods |= {name: self._step(name, *states) for name, states in steps.items()}
        return self.rpc(asked, methods)

    def _start(self, params: dict[str, Any]) -> Any:
        self._only(
            params,
            *("first_call", "switch_at_once", "early_switching", "virtual_phone_number", "contact", "employee"),
            *("show_virtual_phone_number", "external_id", "direction"),
        )
        employee = params["employee"]["id"]
        extension = next((number for number, known in IDS.items() if known == employee), "")
        if not isinstance(employee, int) or not extension:
            raise self.refused("employee_not_found", -32602, violation=f"employee {employee!r}")
        if params["virtual_phone_number"] not in self.lines:
            raise self.refused("virtual_phone_number_not_found", -32007, violation=params["virtual_phone_number"])
        if not params["contact"].isdecimal() or len(params["contact"]) < 6 or params["contact"] in self.lines:
            raise self.refused("invalid_parameter_value", -32602, violation=f"contact {params['contact']}")
        if params["first_call"] != "employee" or params["direction"] != "out":
            raise self.refused("invalid_parameters_combination", -32602, violation="who is called first")
        self.dialled.append((extension, f"+{params['contact']}"))
        self._clicks[params["contact"]] = params["external_id"]
        return {"call_session_id": 900_000_000 + len(self.calls) + 1}

    def _list(self, params: dict[str, Any]) -> Any:
        self._only(params, "direction", "virtual_phone_number")
        return Page([{"call_session_id": session, "legs": []} for session in self.live])

    def _release(self, params: dict[str, Any]) -> Any:
        self._only(params, "call_session_id")
        session = self._session(params)
        del self.live[session]
        self.hung_up.append(str(session))
        return {"success": "true"}

    def _step(self, name: str, before: str, after: str) -> Callable[[dict[str, Any]], Any]:
        def step(params: dict[str, Any]) -> Any:
            self._only(params, "call_session_id", *(["to"] if name == "make.call" else []))
            session = self._session(params)
            if self.live[session] != before:
                raise self.refused("invalid_state", -32004)
            self.live[session] = after
            if name == "make.call":
                self.transferred.append((str(session), params["to"]))
            return {"success": "true"}

        return step

    def _session(self, params: dict[str, Any]) -> int:
        session = params["call_session_id"]
        if not isinstance(session, int):
            raise self.refused("data_type_error", -32602, violation=f"session {session!r}")
        if session not in self.live:
            raise self.refused("call_session_not_found", -32602)
        return session

    # --- Data API

    @api("POST", "/v2.0")
    def data_api(self, asked: Asked) -> Any:
        return self.rpc(
            asked,
            {
                "get.account": self._account,
                "get.employees": self._employees,
                "get.virtual_numbers": self._numbers,
                "get.calls_report": lambda params: self._report(params, self._call_rows),
                "get.call_legs_report": lambda params: self._report(params, self._leg_rows),
            },
        )

    def _account(self, params: dict[str, Any]) -> Any:
        self._only(params)
        return Page([{"app_id": 50001, "name": "Demo", "timezone": str(ZONE)}])

    def _employees(self, params: dict[str, Any]) -> Any:
        self._only(params, "limit", "offset", "filter", "sort", "fields")
        return Page(
            [
                {
                    "id": IDS[extension],
                    "full_name": name,
                    "email": None,
                    "phone_numbers": [{"phone_number": phone(extension), "status": "active"}],
                    "extension": {"extension_phone_number": extension},
                }
                for extension, name in self.people.items()
            ],
            params,
        )

    def _numbers(self, params: dict[str, Any]) -> Any:
        self._only(params, "limit", "offset", "filter", "sort", "fields")
        return Page([{"id": 1, "virtual_phone_number": line, "name": "Main"} for line in self.lines], params)

    def _report(self, params: dict[str, Any], rows: Callable[[Call], list[dict[str, Any]]]) -> Any:
        self._only(params, *REPORT)
        since, until = moment(params["date_from"]), moment(params["date_till"])
        if until - since > LONGEST_PERIOD:
            raise self.refused("date_interval_limit_reached", -32602, violation="more than three months")
        if set(params.get("fields", ())) - CALL_COLUMNS or params["limit"] > 10_000 or params["offset"] > 100_000:
            raise self.refused("invalid_parameter_value", -32602, violation=f"report {params}")
        found = [row for call in self.calls for row in rows(call) if since <= moment(row["start_time"]) <= until]
        return Page(sorted(found, key=lambda row: row["start_time"]), params)

    def _call_rows(self, call: Call) -> list[dict[str, Any]]:
        kind = call.scenario
        talk = kind.seconds * len(kind.talks)
        internal, hashes = kind.direction == "internal", [name.rpartition("/")[2] for name in call.recordings]
        return [
            {
                "id": int(call.id),
                "start_time": stamp(call.began),
                "finish_time": stamp(ended(call)),
                "finish_reason": REASONS.get((kind.direction, kind.outcome), "subscriber_disconnects"),
                "direction": "in" if kind.direction == "in" else "out",
                "virtual_phone_number": None if internal else call.line,
                "contact_phone_number": kind.rings[1] if internal else None if kind.hidden else call.client,
                "communication_id": int(call.id),
                "talk_duration": talk + 1 if talk else 0,
                "clean_talk_duration": talk,
                "call_records": hashes,
                "full_record_file_link": f"{self.url}/media/{next(iter(call.recordings))}" if hashes else None,
            }
        ]

    def _leg_rows(self, call: Call) -> list[dict[str, Any]]:
        def row(start: datetime, answered: datetime | None, left: datetime, **more: Any) -> dict[str, Any]:
            times = {"connect_time": stamp(answered) if answered else None, "start_time": stamp(start)}
            told = {"call_session_id": int(call.id), "is_coach": False, "is_talked": answered is not None, **times}
            return told | {"total_duration": round((left - start).total_seconds()), "employee_id": None} | more

        rows = [row(call.began, None, ended(call), is_operator=False)]
        for share in shares(call):
            who = {"employee_id": IDS[share.extension], "employee_phone_number": phone(share.extension)}
            rows.append(row(share.rang, share.answered, share.left, is_operator=True, **who))
            if share.answered:  # the head of sales listens in
                rows.append(row(share.rang, share.answered, share.left, is_operator=True, is_coach=True, **who))
        return rows

    @api("GET", "/media/*")
    def media(self, asked: Asked) -> Any:
        wanted = asked.path.removeprefix("/media/")
        found = next((call.recordings[wanted] for call in self.calls if wanted in call.recordings), None)
        if found is None:
            raise Refusal(404)
        return found


class Page(list[dict[str, Any]]):
    """One page of rows, and how many there are in all."""

    def __init__(self, rows: list[dict[str, Any]], params: dict[str, Any] | None = None):
        self.total = len(rows)
        start = (params or {}).get("offset", 0)
        super().__init__(rows[start : start + (params or {}).get("limit", 1000)])


class MegafonEmulator(Emulator):
    """An account of MegaFon: its lists come by REST, its history by JSON-RPC, both with the token in the header."""

    @property
    def secrets(self) -> dict[str, str]:
        return super().secrets | {"data_api": "simple", "data_api_url": self.url, "media_url": ""}

    def trust(self, asked: Asked) -> None:
        if asked.path != "/v4.0" and asked.headers.get("authorization") != TOKEN:
            raise Refusal(401)

    def open(self, asked: Asked, params: dict[str, Any]) -> None:
        if asked.path == "/v4.0":
            super().open(asked, params)

    @api("GET", "/employee")
    def employee(self, asked: Asked) -> Any:
        return [
            {"id": IDS[extension], "full_name": name, "short_phone": extension, "phone": phone(extension)}
            for extension, name in self.people.items()
        ]

    @api("GET", "/numbers/virtual-number")
    def virtual_number(self, asked: Asked) -> Any:
        return [{"id": 250, "number": line, "comment": "Main", "state": "active"} for line in self.lines]

    @api("POST", "/v2.0")
    def data_api(self, asked: Asked) -> Any:
        return self.rpc(asked, {"get.reports_list": self._reports, "get.mgf_calls": self._history})

    def _reports(self, params: dict[str, Any]) -> Any:
        wanted = params["filter"]["value"]
        return [{"id": 1015, "name": wanted, "type": "mgf_calls"}] if wanted == "История звонков" else []

    def _history(self, params: dict[str, Any]) -> Any:
        self._only(params, "report_id", "date_from", "date_till", "fields", "filter")
        since, until = moment(params["date_from"]), moment(params["date_till"])
        return [self._row(call) for call in self.calls if params["fields"] and since <= call.began <= until]

    def _row(self, call: Call) -> dict[str, Any]:
        kind = call.scenario
        talk = kind.seconds * len(kind.talks)
        return {
            "communication_id": int(call.id),
            "call_start_date_time": stamp(call.began),
            "contact_phone_number": {"extra": {}, "value": None if kind.hidden else call.client},
            "call_direction": {"value": "", "value_id": "in" if kind.direction == "in" else "out"},
            "call_status": {"value": "", "value_id": "received" if talk else "lost"},
            "virtual_phone_number": call.line,
            "employees": [self.people[share.extension] for share in shares(call)],
            "call_total_duration": str(ended(call) - call.began).zfill(8),
            "call_talk_duration": str(timedelta(seconds=talk)).zfill(8),
            "call_is_internal": {"value": "", "value_id": "internal" if kind.direction == "internal" else "external"},
            "call_finish_reason": {"value": "", "value_id": REASONS.get((kind.direction, kind.outcome), "")},
        }


def phone(extension: str) -> str:
    return f"79000000{extension}"


def stamp(at: datetime) -> str:
    return f"{at.astimezone(ZONE):%Y-%m-%d %H:%M:%S}"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)
