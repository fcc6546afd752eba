"""An emulated UniTalk project: the events of its four handlers, and the API as far as we use it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from .pbx import Call, Pbx, Scenario
from .served import Asked, Refusal, Wire, api

KEY, TOKEN = "utkey-test-0001", "tok-ut-test-0000001"
ZONE = ZoneInfo("Europe/Kyiv")
STATES = {"answered": "ANSWER", "missed": "NOANSWER", "no_answer": "NOANSWER", "busy": "BUSY"}
DIRECTIONS = {"in": "IN", "out": "OUT", "internal": "INNER"}
RINGS = 6
"""Seconds that a call rings before it is answered or given up."""
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


class Emulator(Pbx):
    """`echoes`: whether events carry the `meta` of the order that dialled. `composed`: whether its handlers send the
    form of the guide instead of the standard JSON."""

    def __init__(self, deliver: Any):
        super().__init__(deliver)
        self.echoes = False
        self.composed = False
        self.metas: list[str] = []

    @property
    def secrets(self) -> dict[str, str]:
        return {"api_key": KEY, "hook_token": TOKEN, "timezone": "Europe/Kyiv", "api_url": f"{self.url}/api"}

    def new_call(self, scenario: Scenario, client: str = "", began: datetime | None = None) -> Call:
        call = super().new_call(scenario, client, began)
        number, date = len(self.calls), shown(call.began)
        call.id = f"{date[:10]}-{3_001_900 + number}"
        call.history_id = f"{date} {scenario.rings[0] if scenario.direction == 'internal' else caller(call)}".strip()
        links = (f"{self.url}/tracking/rec/1772442000.{number}{place}/{date[:10]}" for place in range(9))
        call.recordings = dict(zip(links, call.recordings.values(), strict=False))
        return call

    # --- Events

    def events(self, call: Call) -> Iterator[Wire]:
        for name, to, ending in self._told(call):
            yield handler(name, wire(call, to) | self._meta() | ending, composed=self.composed)

    def _told(self, call: Call) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
        """Each event: its name, whom `to` holds, and what else the end says."""
        kind = call.scenario
        if kind.direction == "in":
            yield from self._incoming(kind)
            yield "CALL_END", list(kind.talks) or (list(kind.rings[:1]) if kind.outcome == "busy" else []), ending(call)
            return
        to = [kind.rings[1] if kind.direction == "internal" else call.client]
        yield "CALL_NEW", to, {}
        if kind.talks:
            yield "CALL_ANSWER", to, {}
        yield "CALL_END", to, ending(call)

    @staticmethod
    def _incoming(kind: Scenario) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
        """Who is busy is not sent to. After a transfer the call is sent to the next one alone."""
        yield "CALL_NEW", [], {}
        if kind.outcome == "busy":
            return
        transferred = len(kind.talks) > 1
        for rung in [[line] for line in kind.rings] if transferred else [list(kind.rings)]:
            yield "CALL_REDIRECT", rung, {}
            for line in rung:
                if line in kind.talks:
                    yield "CALL_ANSWER", [line], {}

    def _meta(self) -> dict[str, Any]:
        return {"meta": self.metas[-1]} if self.echoes and self.metas else {}

    # --- The API

    def trust(self, asked: Asked) -> None:
        if asked.path.startswith("/tracking/rec/"):
            return
        if asked.headers.get("authorization") not in (KEY, f"Bearer {KEY}"):
            raise refused("Authorization invalid")

    @api("POST", "/api/users/list")
    def users(self, asked: Asked) -> Any:
        if asked.json != {}:
            raise refused("Internal error", violation=f"users/list {asked.body!r}")
        rows = [named(name) | {"line": int(line)} for line, name in self.people.items()]
        return [*rows, named("No Line") | {"line": None}]

    @api("POST", "/api/phones/directCall")
    def direct_call(self, asked: Asked) -> Any:
        form = asked.form
        kind = asked.headers.get("content-type", "")
        fits = kind.startswith("application/x-www-form-urlencoded") and set(form) == {"sip", "number", "meta"}
        if not fits or form["sip"] not in self.people or not form["number"].isdecimal():
            raise refused("Internal error", violation=f"directCall {kind} {form}")
        self.metas.append(form["meta"])
        self.dialled.append((form["sip"], f"+{form['number']}"))
        return {"status": "Success"}

    @api("POST", "/api/history/get")
    def history(self, asked: Asked) -> Any:
        """The newest first, at most a thousand."""
        told = asked.json
        times = [told.get(name, "") for name in ("dateFrom", "dateTo")]
        limit, offset = told.get("limit"), told.get("offset")
        if set(told) - {"dateFrom", "dateTo", "limit", "offset", "filter"} or not all(map(_TIME.fullmatch, times)):
            raise refused("Internal error", violation=f"history/get {told}")
        if not (isinstance(limit, int) and 0 < limit <= 1000 and isinstance(offset, int) and offset >= 0):
            raise refused("Internal error", violation=f"history/get {told}")
        calls = sorted(self.calls, key=lambda call: call.began, reverse=True)
        rows = [row(call) for call in calls if times[0] <= shown(call.began) <= times[1]]
        return {"count": len(rows), "calls": rows[offset : offset + limit], "warning": None}

    @api("GET", "/tracking/rec/*")
    def recording(self, asked: Asked) -> Any:
        link = f"{self.url}{asked.path}"
        return next(call.recordings[link] for call in self.calls if link in call.recordings)


def handler(event: str, call: dict[str, Any], *, composed: bool = False) -> Wire:
    """What one of the customer's handlers sends."""
    headers = {"x-hub-token": TOKEN, "content-type": "application/json"}
    body = json.dumps({"event": event, "call": call}).encode()
    if composed:
        headers["content-type"] = "application/x-www-form-urlencoded"
        body = urlencode(variables(event, call)).encode()
    return Wire(body, headers=headers)


def variables(event: str, call: dict[str, Any]) -> dict[str, Any]:
    """The form of the guide: what is not known yet is empty."""
    names = ("id", "from", "outerNumber", "direction", "date", "state", "secondsTalk", "secondsFullTime", "link")
    told = {f"call_{name.lower()}": "" if call.get(name) is None else call[name] for name in names}
    return {"event": event, **told, "call_to_0": next(iter(call["to"]), "")}


def shown(moment: datetime) -> str:
    return moment.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S")


def caller(call: Call) -> str:
    return "" if call.scenario.hidden else call.client


def wire(call: Call, to: list[str]) -> dict[str, Any]:
    """What every event says of a call."""
    kind = call.scenario
    return {
        "id": int(call.id.rpartition("-")[2]),
        "from": caller(call) if kind.direction == "in" else kind.rings[0],
        "to": to,
        "lastGroupName": None,
        "outerNumber": call.line,
        "direction": DIRECTIONS[kind.direction],
        "date": shown(call.began),
        "callback": False,
        "state": None,
        "source": "REGULAR",
    }


def ending(call: Call) -> dict[str, Any]:
    kind = call.scenario
    talked = kind.seconds * len(kind.talks)
    told: dict[str, Any] = {
        "dbid": int(call.id.rpartition("-")[2]) - 3_000_000,
        "secondsFullTime": RINGS + talked,
        "secondsTalk": talked,
        "state": STATES[kind.outcome],
        "cause": {"busy": 17, "answered": 16}.get(kind.outcome, 19),
    }
    return told | ({"link": next(iter(call.recordings))} if call.recordings else {})


def row(call: Call) -> dict[str, Any]:
    """A call in the history: without its ids."""
    kind = call.scenario
    to = list(kind.talks or kind.rings)
    if kind.direction != "in":
        to = [kind.rings[1] if kind.direction == "internal" else call.client]
    told = wire(call, to) | ending(call)
    names = ("from", "to", "direction", "date", "secondsFullTime", "secondsTalk", "state", "cause", "link")
    return {name: told[name] for name in (*names, "outerNumber") if name in told}


def named(name: str) -> dict[str, str]:
    first, _, last = name.partition(" ")
    return {"firstName": first, "lastName": last}


def refused(message: str, violation: str = "") -> Refusal:
    """Its errors are told by `status`; they are taken to come with HTTP 200."""
    return Refusal(200, {"status": "Error", "message": message}, violation=violation)
