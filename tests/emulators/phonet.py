"""An emulated Phonet account: its events, and the REST methods as far as we use them, behind a session."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .pbx import Call, Pbx, Scenario
from .served import Asked, Refusal, Wire, api

KEY = "phkey-demo-0001"
SENDER = "89.184.65.208"
RING = 5
"""Seconds until somebody answers."""
INTERNAL, OUT, IN = 1, 2, 4
DISPOSITIONS = {"answered": 0, "missed": 1, "no_answer": 1, "busy": 4}
_LOGIN, _MOST_ROWS, _MILLISECONDS = "/rest/security/authorize", 50, 10**12


class Emulator(Pbx):
    """So many sessions are `refused` although they are new; `private`: recordings want a session too; `live` are the
    calls that go on."""

    typed = {"account_domain": "demo0001.phonet.com.ua"}
    ends_at_receipt = True
    # Of a group that rings events and history name the group, and of its members only who answers.
    lacks = frozenset({"missed by a group", "a group, the second answers"})
    # Events carry no secret but where they are sent to; they name the account.
    proofs = frozenset({"account_domain"})

    def __init__(self, deliver: Any):
        super().__init__(deliver)
        self.sessions: list[str] = []
        self.refused = 0
        self.private = False
        self.live: list[dict[str, Any]] = []
        self._given = ""

    @property
    def domain(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def secrets(self) -> dict[str, str]:
        return {"account_domain": self.url, "api_key": KEY}

    # --- Events

    def call_id(self, scenario: Scenario, number: int) -> str:
        return f"{number:032x}"

    def events(self, call: Call) -> Iterator[Wire]:
        """The leg of each who talks, one within the other where a call is handed on."""
        first, *others = legs(call)
        yield from self._begins(first)
        for second in others:
            yield from self._begins(second)
            yield self._event("call.hangup", first)
            first = second
        yield self._event("call.hangup", first)

    def _begins(self, leg: dict[str, Any]) -> Iterator[Wire]:
        yield self._event("call.dial", leg | {"bridgeAt": None})
        if leg["bridgeAt"]:
            yield self._event("call.bridge", leg)

    def _event(self, event: str, leg: dict[str, Any]) -> Wire:
        return said({"event": event, "accountDomain": self.domain, **leg})

    def asks(self, call: Call) -> Wire:
        """Who calls? It is asked before the call rings."""
        return said({"otherLegNum": f"+{call.client}", "trunkNum": f"+{call.line}"})

    # --- The API

    def trust(self, asked: Asked) -> None:
        if asked.path == _LOGIN or (asked.path.startswith("/rest/public/") and not self.private):
            return
        session = re.search(r"JSESSIONID=(\w+)", asked.headers.get("cookie", ""))
        if self.refused or session is None or session[1] not in self.sessions:
            self.refused = max(0, self.refused - 1)
            tried = session or asked.path.startswith("/rest/public/")
            raise Refusal(403, violation="" if tried else f"without a session: {asked.path}")

    def headers(self, asked: Asked) -> Mapping[str, str]:
        given, self._given = self._given, ""
        return {"Set-Cookie": f"JSESSIONID={given}; Path=/; HttpOnly"} if given else {}

    @api("POST", _LOGIN)
    def authorize(self, asked: Asked) -> Any:
        if asked.headers.get("content-type") != "application/json":
            raise Refusal(415, violation="authorize without JSON")
        if asked.json != {"domain": self.domain, "apiKey": KEY}:
            raise Refusal(403)
        self._given = f"{len(self.sessions) + 1:032X}"
        self.sessions.append(self._given)
        return b""

    @api("GET", "/rest/users")
    def users(self, asked: Asked) -> Any:
        return [employee(extension) | {"email": f"op{extension}@example.com"} for extension in self.people]

    @api("POST", "/rest/user/makeCall")
    def make_call(self, asked: Asked) -> Any:
        who, whom = asked.json.get("legExt", ""), asked.json.get("otherLegNum", "")
        if who not in self.people or not re.fullmatch(r"\+\d{8,15}", whom) or len(asked.json) != 2:
            raise Refusal(400, violation=f"makeCall {asked.json}")
        self.dialled.append((who, whom))
        return {"uuid": f"{len(self.calls) + 1:032x}"}

    @api("GET", "/rest/calls/active/v3")
    def active(self, asked: Asked) -> Any:
        return self.live

    @api("GET", "/rest/calls/active/*")
    def hang_up(self, asked: Asked) -> Any:
        uuid, _, what = asked.path.removeprefix("/rest/calls/active/").partition("/")
        if what != "hangup" or uuid not in {leg["uuid"] for leg in self.live}:
            raise Refusal(404, violation="" if what == "hangup" else f"unknown endpoint: {asked.path}")
        self.hung_up.append(uuid)
        return b""

    @api("GET", "/rest/calls/company.api")
    def company_calls(self, asked: Asked) -> Any:
        since, until, limit, offset = (int(asked.query[name]) for name in ("timeFrom", "timeTo", "limit", "offset"))
        if not (_MILLISECONDS < since <= until and 1 <= limit <= _MOST_ROWS and offset >= 0):
            raise Refusal(400, violation=f"company.api {asked.query}")
        found = [row for call in self.calls for row in self.rows(call) if since <= row["endAt"] <= until]
        return sorted(found, key=lambda row: -row["endAt"])[offset : offset + limit]

    @api("GET", "/rest/public/calls/*")
    def audio(self, asked: Asked) -> Any:
        wanted = asked.path.removeprefix("/rest/public/calls/").removesuffix("/audio")
        try:
            return next(call.recordings[wanted] for call in self.calls if wanted in call.recordings)
        except StopIteration:
            raise Refusal(404) from None

    def rows(self, call: Call) -> Iterator[dict[str, Any]]:
        """A call in the history: a row for each leg. The link to a recording ends with a space."""
        links = [f"https://{self.domain}/rest/public/calls/{recording}/audio " for recording in call.recordings]
        for place, leg in enumerate(legs(call)):
            talk = call.scenario.seconds if leg["bridgeAt"] else 0
            began = leg["dialAt"]
            yield {
                "uuid": leg["uuid"],
                "parentUuid": leg["parentUuid"],
                "endAt": (began + RING + talk) * 1000 + 470,
                "lgDirection": leg["lgDirection"],
                "otherLegNum": (leg["otherLegs"] or [{"num": None}])[0]["num"],
                "otherLegName": None,
                "leg": leg["leg"] | {"type": 1},
                "leg2": leg["leg2"] and leg["leg2"] | {"type": 1},
                "billSecs": talk,
                "duration": RING + talk,
                "disposition": DISPOSITIONS[call.scenario.outcome],
                "transferHistory": " > ".join(call.scenario.talks) if place else None,
                "audioRecUrl": links[place] if links else None,
                "trunk": f"o={call.line};",
            }


def said(fields: dict[str, Any]) -> Wire:
    headers = {"content-type": "application/json", "x-forwarded-for": SENDER}
    return Wire(json.dumps(fields).encode(), headers=headers)


def legs(call: Call) -> list[dict[str, Any]]:
    """What is the same in all events of a leg. Who is handed the client is dialled while the other still talks."""
    kind = call.scenario
    began = int(call.began.timestamp())
    internal = kind.direction == "internal"
    number = None if kind.hidden else f"+{call.client}"
    found = []
    for place, extension in enumerate(kind.talks if kind.talks and kind.direction == "in" else kind.rings[:1]):
        dialled = began + place * kind.seconds
        found.append(
            {
                "uuid": call.id if not place else f"{place:x}{call.id[1:]}",
                "parentUuid": call.id if place else None,
                "dialAt": dialled,
                "bridgeAt": dialled + RING if kind.talks else None,
                "lgDirection": {"in": IN, "out": OUT, "internal": INTERNAL}[kind.direction],
                "leg": employee(extension),
                "leg2": employee(kind.rings[1]) if internal else None,
                "otherLegs": None if internal else [{"id": 1, "name": number, "num": number, "url": None}],
                "trunkNum": f"+{call.line}",
                "trunkName": f"+{call.line}",
            }
        )
    return found


def employee(extension: str) -> dict[str, Any]:
    return {"id": int(extension), "displayName": Emulator.people[extension], "ext": extension}
