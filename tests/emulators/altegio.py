"""A strict emulator of Altegio and YCLIENTS, as far as telephony goes: `POST /voip/integration` of several chains, the
list of countries, and the sign-in of a user with his chains and their clients.

It refuses what the services refuse, reads in the strictest way what their documents leave open (a second `history`
with one `call_id` is a second call; a subscriber that Routing does not know hides the number), and notes in
`violations` what a careful client never does.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .crm import PEOPLE, Crm, Written
from .served import Answer, Asked, Refusal, api

PARTNER = "partner-token-0001"
TOKEN = "11111111-2222-4333-8444-555555555555"
LOGIN, PASSWORD = "79000000009", "demo-password"
ACCEPT = "application/vnd.api.v2+json"
PER_SECOND, PER_MINUTE = 5, 200
EXISTS = "Клиент с указанным телефоном уже существует в базе"
CLIENT_FIELDS = {
    *("name", "phone", "email", "comment", "categories", "custom_fields"),
    *("sex_id", "importance_id", "discount", "card", "birth_date", "sms_check", "sms_not"),
}
"""Those that may be sent; sums of money are the service's own."""

_CALL_TYPES = ("incoming", "outgoing", "internal")
_TYPES = {"setup": ("enable", "disable"), "event": _CALL_TYPES, "history": _CALL_TYPES}
_REQUIRED = {"setup": (), "event": ("phone", "diversion"), "history": ("phone", "diversion")}
_OPTIONAL = {"setup": (), "event": ("user",), "history": ("user", "duration", "link", "call_id", "status", "date")}
_STRINGS = frozenset({"phone", "diversion", "user", "link", "call_id", "status", "date"})


@dataclass(slots=True)
class Route:
    """`mode`: `chain` stores in the chain's history alone (so it is when a chain is new), `all` shows pop-ups in every
    location, `notified` in those that were chosen."""

    mode: str = "chain"


@dataclass(slots=True)
class Chain:
    """A chain and what it holds. `routing`: number (digits) or subscriber → route; `clients` by phone (digits)."""

    token: str = TOKEN
    id: int = 312
    title: str = "Chain"
    connected: bool = False
    routing: dict[str, Route] = field(default_factory=dict)
    clients: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    locations: dict[int, str] = field(default_factory=lambda: {4564: "Location"})
    pop_ups: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def saved(self, call_id: str) -> list[dict[str, Any]]:
        return [call for call in self.calls if call.get("call_id") == call_id]

    def route(self, said: Mapping[str, Any]) -> Route | None:
        return self.routing.get(said.get("user") or said["diversion"])


class Emulator(Crm):
    """`chains` by token; `requests` are the bodies of all that came; `instead` are the next answers, whatever is asked.

    `limited`: whether the limits of requests are kept up.
    """

    users = dict.fromkeys(PEOPLE, "")  # calls are nobody's, and nobody is responsible for a client
    default = ""
    untold = frozenset({"person", "client"})
    pops_up = False  # in locations, not for users
    keys = frozenset({"crm_token", "password", "user_token"})

    def __init__(self, name: str = "demo", latency: float = 0.0, *, clock: Callable[[], float] = time.monotonic):
        super().__init__(name, latency)
        self.chains = {TOKEN: Chain(connected=True, routing={"74950000001": Route("all")})}
        self.partners = {PARTNER}
        self.passwords = {LOGIN: PASSWORD}
        self.user_tokens = {LOGIN: "user-token-0001"}
        self.requests: list[dict[str, Any]] = []
        self.instead: list[Answer] = []
        self.more_headers: dict[str, str] = {}
        self.limited = False
        self._clock = clock
        self._times: deque[float] = deque()

    # --- As all CRMs

    @property
    def environment(self) -> dict[str, str]:
        """What the operator of the product sets."""
        return {"ALTEGIO_PARTNER_TOKEN": PARTNER, "ALTEGIO_API_URL": self.url}

    @property
    def secrets(self) -> dict[str, str]:
        known = {"network": self.chain.title, "service": "altegio", "crm_token": self.chain.token}
        user = {"login": LOGIN, "password": PASSWORD, "user_token": self.user_tokens[LOGIN]}
        return known | user | {"chain_id": str(self.chain.id), "signed_in": f"{LOGIN} {self.chain.title}"}

    @property
    def settings(self) -> dict[str, Any]:
        return {"recording_minutes": 5, "resend_with_recording": False, "send_user": False}

    def calls(self, phone: str) -> list[Written]:
        return [_written(call) for call in self.chain.calls if f"+{call['phone']}" == phone]

    def know(self, phone: str, name: str, manager: str) -> None:
        rows = self.chain.clients.setdefault(phone.lstrip("+"), [])
        number = 4240880 + len(self.chain.clients)
        more = {"phone": phone, "discount": 10, "balance": -200, "categories": [{"id": 4, "title": "VIP"}]}
        rows.append({"id": number, "company_id": 4564, "name": name, "email": "", "comment": "", **more})

    def contact(self, phone: str) -> Mapping[str, str]:
        (row,) = self.chain.clients[phone.lstrip("+")]
        told = {"name": "name", "email": "email", "note": "comment"}
        return {**{name: row.get(theirs, "") for name, theirs in told.items()}, "responsible": ""}

    def expire(self) -> None:
        """A user changes his password and comes back to it: the token is another one."""
        self.user_tokens = {login: f"{token}+" for login, token in self.user_tokens.items()}

    # --- What came

    @property
    def chain(self) -> Chain:
        return next(iter(self.chains.values()))

    def told(self, command: str) -> list[dict[str, Any]]:
        return [said for said in self.requests if said.get("command") == command]

    def answer(self, asked: Asked) -> tuple[int, bytes, str] | None:
        self.requests.append(_said(asked))
        return super().answer(asked)

    def headers(self, asked: Asked) -> Mapping[str, str]:
        return self.more_headers

    def trust(self, asked: Asked) -> None:
        if self.instead:
            answer = self.instead.pop(0)
            raise Refusal(answer.status, answer.body)
        self._count()
        if asked.headers.get("accept") != ACCEPT:
            self.violations.append(f"Accept: {asked.headers.get('accept')}")
        if _partner_token(asked) not in self.partners:
            raise _refusal(401, "Authentication needed.")

    def _count(self) -> None:
        now = self._clock()
        while self._times and now - self._times[0] >= 60:
            self._times.popleft()
        self._times.append(now)
        lately = sum(now - at < 1 for at in self._times)
        if self.limited and (lately > PER_SECOND or len(self._times) > PER_MINUTE):
            why = f"too many requests: {lately} in a second, {len(self._times)} in a minute"
            raise Refusal(429, violation=why)

    # --- What telephony tells

    @api("POST", "/api/v1/voip/integration")
    def voip(self, asked: Asked) -> Answer:
        said = _said(asked)
        command, kind = said.get("command"), said.get("type")
        if command not in _TYPES or kind not in _TYPES[command]:
            raise _bad(f"command {command!r}, type {kind!r}")
        chain = self.chains.get(said.get("crm_token") or "")
        if chain is None:
            raise Refusal(404, {"success": False, "data": None, "meta": []})
        self._check_fields(command, said)
        if command == "setup":
            chain.connected = kind == "enable"
        elif not chain.connected:  # taken, and not looked at
            self.violations.append(f"{command} of a chain that is not connected")
        elif command == "event":
            self._show(chain, said)
        else:
            self._save(chain, said)
        return Answer(202, {"success": True, "data": None, "meta": {"message": "Accepted"}})

    def _check_fields(self, command: str, said: dict[str, Any]) -> None:
        known = {"command", "type", "crm_token", *_REQUIRED[command], *_OPTIONAL[command]}
        missing = [name for name in _REQUIRED[command] if not said.get(name)]
        wrong = [name for name in _STRINGS & said.keys() if not isinstance(said[name], str) or not said[name]]
        if missing or wrong or said.keys() - known:
            raise _bad(f"{command}: missing {missing}, wrong {wrong}, unknown {sorted(said.keys() - known)}")
        for name in _REQUIRED[command]:
            if not said[name].isdecimal():
                self.violations.append(f"{name} is not of digits alone: {said[name]}")

    def _show(self, chain: Chain, said: dict[str, Any]) -> None:
        if said["type"] != "incoming":
            self.violations.append(f"a pop-up that is never shown: {said['type']}")
            return
        route = chain.route(said)
        if route and route.mode != "chain":
            chain.pop_ups.append(said)

    def _save(self, chain: Chain, said: dict[str, Any]) -> None:
        duration, status = said.get("duration", 0), said.get("status", "success")
        if not isinstance(duration, int) or duration < 0 or status not in ("success", "missed"):
            raise _bad(f"duration {duration!r}, status {status!r}")
        if status == "missed" and (duration or "link" in said):
            self.violations.append("a missed call with a duration or a recording")
        if not _is_moment(said.get("date", "")):
            self.violations.append(f"date {said.get('date')!r}")
        if not said.get("link", "http").startswith("http"):
            self.violations.append(f"link {said['link']!r}")
        chain.calls.append(said)

    # --- What else may be asked

    @api("GET", "/api/v1/countries")
    def countries(self, asked: Asked) -> Any:
        return _found([{"id": "1", "title": "Россия", "phone_code": "7"}])

    @api("POST", "/api/v1/auth")
    def sign_in(self, asked: Asked) -> Answer:
        said = _said(asked)
        if self.passwords.get(said.get("login", "")) != said.get("password"):
            raise _refusal(401, "Wrong login or password.")
        return Answer(201, _found({"user_token": self.user_tokens[said["login"]]}))

    @api("GET", "/api/v1/groups")
    def groups(self, asked: Asked) -> Any:
        self._trust_user(asked)
        return _found([self._chain_row(chain) for chain in self.chains.values()])

    @staticmethod
    def _chain_row(chain: Chain) -> dict[str, Any]:
        locations = [{"id": number, "title": title} for number, title in chain.locations.items()]
        return {"id": chain.id, "title": chain.title, "companies": locations}

    @api("GET", "/api/v1/group/{chain}/clients/")
    def group_clients(self, asked: Asked) -> Any:
        self._trust_user(asked)
        chain = next((each for each in self.chains.values() if str(each.id) == asked.parts["chain"]), None)
        if chain is None:
            raise _refusal(403, "Access denied.")
        phone = asked.query["phone"]
        rows = [
            {name: row.get(name, "") for name in ("id", "company_id", "name", "email")}
            for row in chain.clients.get(phone, [])
        ]
        return _found({"salon_group_id": chain.id, "phone": phone, "clients": rows})

    # --- Clients of a location

    @api("GET", "/api/v1/client/{location}/{id}")
    def client(self, asked: Asked) -> Any:
        return _found(self._client_row(asked))

    @api("PUT", "/api/v1/client/{location}/{id}")
    def edit_client(self, asked: Asked) -> Any:
        """Read in the strictest way: what is left out is emptied, but for sums of money, which nobody may send."""
        row, said = self._client_row(asked), self._client_body(asked)
        emptied = {"sex_id": 0, "importance_id": 0, "discount": 0, "card": "", "birth_date": None, "comment": ""}
        emptied |= {"sms_check": 0, "sms_not": 0, "email": "", "custom_fields": {}, "categories": []}
        categories = [{"id": each, "title": "VIP"} for each in said.get("categories", ())]
        row |= {**emptied, **said, "phone": f"+{said['phone']}", "categories": categories}
        return _found(row)

    @api("POST", "/api/v1/clients/{location}")
    def add_client(self, asked: Asked) -> Answer:
        self._trust_user(asked)
        location, said = int(asked.parts["location"]), self._client_body(asked)
        chain = next((each for each in self.chains.values() if location in each.locations), None)
        if chain is None:
            raise _refusal(404, "Филиал не найден.")
        rows = chain.clients.setdefault(said["phone"], [])
        if any(row["company_id"] == location for row in rows):
            self.violations.append("a second client")
            raise _refusal(422, EXISTS)
        row = {"id": 1121412 + len(rows), "company_id": location, **said, "phone": int(said["phone"])}
        rows.append(row)
        return Answer(201, _found(row))

    def _client_row(self, asked: Asked) -> dict[str, Any]:
        self._trust_user(asked)
        wanted = (int(asked.parts["location"]), int(asked.parts["id"]))
        for chain in self.chains.values():
            for row in (each for rows in chain.clients.values() for each in rows):
                if (row["company_id"], row["id"]) == wanted:
                    return row
        raise _refusal(404, "Клиент не найден.")

    def _client_body(self, asked: Asked) -> dict[str, Any]:
        said = _said(asked)
        if not said.get("name"):
            raise _refusal(422, "Не указано имя клиента")
        if not 9 <= len(str(said.get("phone", ""))) <= 15 or not str(said["phone"]).isdecimal():
            raise _refusal(422, "Телефон должен содержать от 9 до 15 цифр")
        if strange := said.keys() - CLIENT_FIELDS:
            self.violations.append(f"a client with {sorted(strange)}")
        return said

    def _trust_user(self, asked: Asked) -> None:
        if asked.headers["authorization"].partition(", User ")[2] not in self.user_tokens.values():
            raise _refusal(401, "Authentication needed.")


def _said(asked: Asked) -> dict[str, Any]:
    try:
        said = json.loads(asked.body or b"{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _partner_token(asked: Asked) -> str:
    return asked.headers.get("authorization", "").removeprefix("Bearer ").partition(", User ")[0]


def _found(data: Any) -> dict[str, Any]:
    return {"success": True, "data": data, "meta": []}


def _refusal(status: int, message: str) -> Refusal:
    return Refusal(status, {"success": False, "data": None, "meta": {"message": message}})


def _bad(what: str) -> Refusal:
    body = {"success": False, "data": None, "meta": {"message": "Validation error"}}
    return Refusal(422, body, violation=f"bad request: {what}")


def _is_moment(text: str) -> bool:
    """ISO 8601 with an offset and without fractions, as the samples have it."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return False
    return at.tzinfo is not None and not at.microsecond


def _written(call: Mapping[str, Any]) -> Written:
    return Written(
        direction="in" if call["type"] == "incoming" else "out",
        answered=call["status"] == "success",
        seconds=call["duration"],
        recording=call.get("link", ""),
        ended=True,
    )
