"""A strict emulator of Altegio and YCLIENTS, as far as telephony goes: `POST /voip/integration` of several chains, the
list of countries, and the sign-in of a user with his chains and their clients.

It refuses what the services refuse, reads in the strictest way what their documents leave open (a second `history`
with one `call_id` is a second call; a subscriber that Routing does not know hides the number), and notes in
`violations` what a careful client never does.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

PARTNER = "partner-token-0001"
TOKEN = "11111111-2222-4333-8444-555555555555"
ACCEPT = "application/vnd.api.v2+json"
PER_SECOND, PER_MINUTE = 5, 200

_STRINGS = frozenset({"phone", "diversion", "user", "link", "call_id", "status", "date"})
_REQUIRED = {"setup": (), "event": ("phone", "diversion"), "history": ("phone", "diversion")}
_OPTIONAL = {"setup": (), "event": ("user",), "history": ("user", "duration", "link", "call_id", "status", "date")}
_TYPES = {
    "setup": ("enable", "disable"),
    "event": ("incoming", "outgoing", "internal"),
    "history": ("incoming", "outgoing", "internal"),
}


@dataclass(slots=True)
class Route:
    """`mode`: `chain` stores in the chain's history alone (so it is when a chain is new), `all` shows pop-ups in every
    location, `notified` in `locations`."""

    mode: str = "chain"
    locations: tuple[int, ...] = ()


@dataclass(slots=True)
class Chain:
    """A chain and what it holds. `routing`: number (digits) or subscriber → route; `clients` by phone (digits)."""

    token: str = TOKEN
    partner: str = PARTNER
    id: int = 312
    title: str = "Chain"
    clients: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    connected: bool = False
    routing: dict[str, Route] = field(default_factory=dict)
    pop_ups: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def saved(self, call_id: str) -> list[dict[str, Any]]:
        return [call for call in self.calls if call.get("call_id") == call_id]

    def route(self, said: Mapping[str, Any]) -> Route | None:
        return self.routing.get(said.get("user") or said["diversion"])


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next `times` requests of `command`: an answer of `status`, the `body` instead of the
    right one, or a connection that ends `before` or `after` the request was carried out."""

    status: int = 0
    body: bytes | None = None
    cut: str = ""
    times: int = 1
    command: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class _Refused(Exception):
    def __init__(self, status: int, message: str = "", meta: Any = None):
        super().__init__(message)
        self.status, self.meta = status, {"message": message} if meta is None else meta


class AltegioEmulator:
    """`with AltegioEmulator().serving() as emulator:` - requests go to `emulator.url`."""

    def __init__(self, *chains: Chain, clock: Callable[[], float] = time.monotonic):
        self.chains = {chain.token: chain for chain in chains or (Chain(),)}
        self.partners = {PARTNER}
        self.passwords = {"79000000009": "demo-password"}
        self.user_tokens = {"79000000009": "user-token-0001"}
        self.requests: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.faults: list[Fault] = []
        self.limited = True
        self.url = ""
        self._clock, self._lock = clock, threading.Lock()
        self._times: deque[float] = deque()

    @property
    def chain(self) -> Chain:
        return next(iter(self.chains.values()))

    def told(self, command: str) -> list[dict[str, Any]]:
        return [said for said in self.requests if said.get("command") == command]

    @contextmanager
    def serving(self) -> Iterator[Self]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    # --- One request

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes, Mapping[str, str]] | None:
        """Status, body and headers; None: the connection ends without an answer."""
        with self._lock:
            said = _decoded(body)
            self.requests.append(said)
            fault = self._fault(said)
            if fault and fault.status:
                return fault.status, fault.body or b"", fault.headers
            if fault and fault.cut == "before":
                return None
            status, answer = self._handled(method, path, headers, said)
            if fault and fault.cut == "after":
                return None
            shown = answer if fault is None or fault.body is None else fault.body
            return status, shown, {"Content-Type": "application/json; charset=utf-8"}

    def _fault(self, said: Mapping[str, Any]) -> Fault | None:
        fault = next((each for each in self.faults if each.command in ("", said.get("command"))), None)
        if fault:
            fault.times -= 1
            if not fault.times:
                self.faults.remove(fault)
        return fault

    def _handled(self, method: str, path: str, headers: Mapping[str, str], said: dict[str, Any]) -> tuple[int, bytes]:
        try:
            self._count()
            self._trust(headers)
            if (method, path) != ("POST", "/api/v1/voip/integration"):
                return self._asked(method, path, headers, said)
            self._take(said)
        except _Refused as refusal:
            return _envelope(refusal.status, None, refusal.meta, success=False)
        return _envelope(202, None, {"message": "Accepted"})

    def _count(self) -> None:
        now = self._clock()
        while self._times and now - self._times[0] >= 60:
            self._times.popleft()
        self._times.append(now)
        lately = sum(now - at < 1 for at in self._times)
        if self.limited and (lately > PER_SECOND or len(self._times) > PER_MINUTE):
            self.violations.append(f"too many requests: {lately} in a second, {len(self._times)} in a minute")
            raise _Refused(429, meta=[])

    def _trust(self, headers: Mapping[str, str]) -> None:
        if headers.get("accept") != ACCEPT:
            self.violations.append(f"Accept: {headers.get('accept')}")
        if headers.get("authorization", "").removeprefix("Bearer ").partition(", User ")[0] not in self.partners:
            raise _Refused(401, "Authentication needed.")

    # --- What else may be asked

    def _asked(self, method: str, path: str, headers: Mapping[str, str], said: dict[str, Any]) -> tuple[int, bytes]:
        parts = urlsplit(path)
        if (method, path) == ("GET", "/api/v1/countries"):
            return _envelope(200, [{"id": "1", "title": "Россия", "phone_code": "7"}], [])
        if (method, path) == ("POST", "/api/v1/auth"):
            if self.passwords.get(said.get("login", "")) != said.get("password"):
                raise _Refused(401, "Wrong login or password.")
            return _envelope(201, {"user_token": self.user_tokens[said["login"]]}, [])
        if headers["authorization"].partition(", User ")[2] not in self.user_tokens.values():
            raise _Refused(401, "Authentication needed.")
        if (method, path) == ("GET", "/api/v1/groups"):
            chains = self.chains.values()
            return _envelope(200, [{"id": chain.id, "title": chain.title, "companies": []} for chain in chains], [])
        for chain in self.chains.values():
            if (method, parts.path) == ("GET", f"/api/v1/group/{chain.id}/clients/"):
                phone = parse_qs(parts.query)["phone"][0]
                found = {"salon_group_id": chain.id, "phone": phone, "clients": chain.clients.get(phone, [])}
                return _envelope(200, found, [])
        self.violations.append(f"unknown endpoint: {method} {path}")
        raise _Refused(404, "Not Found")

    # --- What telephony tells

    def _take(self, said: dict[str, Any]) -> None:
        command, kind = said.get("command"), said.get("type")
        if command not in _TYPES or kind not in _TYPES[command]:
            raise self._bad(f"command {command!r}, type {kind!r}")
        chain = self.chains.get(said.get("crm_token") or "")
        if chain is None:
            raise _Refused(404, meta=[])
        if chain.partner not in self.partners:
            raise _Refused(403, "Access denied.")
        if command == "setup":
            self._fields(command, said)
            chain.connected = kind == "enable"
            return
        if not chain.connected:  # taken, and not looked at
            self.violations.append(f"{command} of a chain that is not connected")
            return
        self._fields(command, said)
        if command == "event":
            self._show(chain, said)
        else:
            self._save(chain, said)

    def _fields(self, command: str, said: dict[str, Any]) -> None:
        known = {"command", "type", "crm_token", *_REQUIRED[command], *_OPTIONAL[command]}
        missing = [name for name in _REQUIRED[command] if not said.get(name)]
        wrong = [name for name in _STRINGS & said.keys() if not isinstance(said[name], str) or not said[name]]
        if missing or wrong or said.keys() - known:
            raise self._bad(f"{command}: missing {missing}, wrong {wrong}, unknown {sorted(said.keys() - known)}")
        for name in ("phone", "diversion"):
            if name in said and not said[name].isdecimal():
                self.violations.append(f"{name} is not of digits alone: {said[name]}")

    def _show(self, chain: Chain, said: dict[str, Any]) -> None:
        if said["type"] != "incoming":
            self.violations.append(f"a pop-up that is never shown: {said['type']}")
            return
        route = chain.route(said)
        if route and route.mode != "chain":
            chain.pop_ups.append(said)

    def _save(self, chain: Chain, said: dict[str, Any]) -> None:
        duration = said.get("duration", 0)
        if not isinstance(duration, int) or duration < 0:
            raise self._bad(f"duration {duration!r}")
        if said.get("status", "success") not in ("success", "missed"):
            raise self._bad(f"status {said['status']!r}")
        if said.get("status") == "missed" and (duration or "link" in said):
            self.violations.append("a missed call with a duration or a recording")
        if not _is_moment(said.get("date", "")):
            self.violations.append(f"date {said.get('date')!r}")
        if "link" in said and not said["link"].startswith(("http://", "https://")):
            self.violations.append(f"link {said['link']!r}")
        chain.calls.append(said)

    def _bad(self, what: str) -> _Refused:
        self.violations.append(f"bad request: {what}")
        return _Refused(422, "Validation error")


def _is_moment(text: str) -> bool:
    """ISO 8601 with an offset and without fractions, as the samples have it."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return False
    return at.tzinfo is not None and not at.microsecond


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body or b"{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _envelope(status: int, data: Any, meta: Any, *, success: bool = True) -> tuple[int, bytes]:
    return status, json.dumps({"success": success, "data": data, "meta": meta}, ensure_ascii=False).encode()


def _handler(emulator: AltegioEmulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = emulator.answer(self.command, self.path, headers, body)
            if told is None:
                self.close_connection = True
                return
            status, said, more = told
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = _respond

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: what matters is in `violations`."""

    return Handler
