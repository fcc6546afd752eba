"""What emulated PBXs have in common: calls of every kind with their truth, an API that is really spoken to over HTTP,
and notifications handed to whoever delivers them.

A vendor's emulator subclasses `Pbx`: it tells a `Scenario` in its own words (`events`), answers its API (methods marked
with `api`), refuses what the vendor refuses, and notes in `violations` what breaks the vendor's rules.
"""

from __future__ import annotations

import json
import pkgutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

F = TypeVar("F", bound=Callable[..., Any])
MP3 = b"\xff\xfb\x90\x00" + b"\x00" * 413


@dataclass(frozen=True, slots=True)
class Wire:
    """A request of the PBX to us. `path` and `query` follow the connection's own address."""

    body: bytes = b""
    path: str = ""
    method: str = "POST"
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """What we answered."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of call. `rings`: extensions that ring, in their order; `talks`: who talks with the client, one after the
    other, each for `seconds`. An outgoing or internal call is dialled by the first that rings."""

    name: str
    direction: str = "in"
    rings: tuple[str, ...] = ("101",)
    talks: tuple[str, ...] = ()
    outcome: str = "missed"
    seconds: int = 30
    recorded: bool = False
    hidden: bool = False


SCENARIOS = (
    Scenario("answered", talks=("101",), outcome="answered"),
    Scenario("answered and recorded", talks=("101",), outcome="answered", recorded=True),
    Scenario("missed"),
    Scenario("missed by a group", rings=("101", "102", "103")),
    Scenario("a group, the second answers", rings=("101", "102"), talks=("102",), outcome="answered"),
    Scenario("busy", outcome="busy"),
    Scenario("transferred", rings=("101", "102"), talks=("101", "102"), outcome="answered"),
    Scenario("hidden number", talks=("101",), outcome="answered", hidden=True),
    Scenario("outgoing", direction="out", talks=("101",), outcome="answered", recorded=True),
    Scenario("outgoing, no answer", direction="out", outcome="no_answer"),
    Scenario("outgoing, busy", direction="out", outcome="busy"),
    Scenario("internal", direction="internal", rings=("101", "102"), talks=("102",), outcome="answered"),
)


@dataclass(slots=True)
class Call:
    """A call as it was: what everybody else's records are compared with. `recordings` by the vendor's id, `history_id`
    where the vendor's history calls it otherwise than the events do."""

    id: str
    scenario: Scenario
    client: str
    line: str
    began: datetime
    recordings: dict[str, bytes] = field(default_factory=dict)
    history_id: str = ""

    def agrees(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of our journal tells this call. Where nobody talked, each of those who rang will do."""
        told = {name: row[name] for name in self.truth}
        if not self.scenario.talks and told["extension"] in self.scenario.rings:
            told["extension"] = self.truth["extension"]
        return told == self.truth

    @property
    def in_history(self) -> str:
        return self.history_id or self.id

    @property
    def truth(self) -> dict[str, Any]:
        """As our journal speaks. Who talked last, who rang when nobody talked, who dialled."""
        kind = self.scenario
        dialled = kind.direction != "in"
        extension = kind.rings[0] if dialled or not kind.talks else kind.talks[-1]
        return {
            "direction": kind.direction,
            "client_phone": "" if kind.hidden or kind.direction == "internal" else f"+{self.client}",
            "outcome": kind.outcome,
            "talk_seconds": kind.seconds * len(kind.talks) if kind.outcome == "answered" else 0,
            "extension": extension,
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the PBX's API."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Refusal(Exception):
    """The API refuses: `status` and the vendor's `body`."""

    def __init__(self, status: int, body: Any = b"", *, violation: str = ""):
        super().__init__(violation)
        self.status, self.body, self.violation = status, body, violation


def api(method: str, path: str) -> Callable[[F], F]:
    """Marks what answers `method path` of the API; a path that ends with `*` answers everything that begins so."""

    def mark(function: F) -> F:
        function.endpoint = (method, path)  # type: ignore[attr-defined]
        return function

    return mark


class Pbx(ABC):
    """One emulated account. `deliver` carries its notifications to the product and returns the answer."""

    lines: tuple[str, ...] = ("74950000001",)
    people: Mapping[str, str] = {"101": "Operator One", "102": "Operator Two", "103": "Operator Three"}
    lacks: frozenset[str] = frozenset()
    """Names of scenarios that this vendor cannot tell."""
    typed: Mapping[str, str] = {}
    """What a customer types where the form takes no address of this machine."""
    proofs: frozenset[str] = frozenset()
    """Fields of the form that prove the sender without being secret, of vendors that sign nothing."""
    proves_itself: bool = True
    """Whether its notifications prove who sends them; else the secret part of our address is all there is."""
    lacks_in_history: frozenset[str] = frozenset()
    """Names of scenarios that its events tell, and its history not as they were."""
    told_apart: frozenset[str] = frozenset()
    """Names of scenarios whose parts are told as calls before it turns out that they are one: a CRM may have shown a
    card for a part, and has no end of it."""
    told_by_order: frozenset[str] = frozenset({"transferred"})
    """Names of scenarios of which only the order of the events tells who was first."""

    listened_to: bool = False
    """Whether it sends nothing by itself: who wants to hear it connects (`speak`, `mark`)."""
    nowhere: Mapping[str, str] = {}
    """Values of the form that lead to no server, where its addresses are no URLs."""

    def __init__(self, deliver: Callable[[Wire], Told]):
        self.deliver = deliver
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self.dialled: list[tuple[str, str]] = []
        self.hung_up: list[str] = []
        self.transferred: list[tuple[str, str]] = []
        self.answers: list[Told] = []
        self.connects = 0  # of those who listen
        self.url = ""
        self._endpoints = [
            (*function.endpoint, getattr(self, name))
            for name in dir(type(self))
            if hasattr(function := getattr(type(self), name), "endpoint")
        ]
        self._endpoints.sort(key=lambda row: row[1].endswith("*"))  # the exact ones first

    # --- Of each vendor

    @property
    @abstractmethod
    def secrets(self) -> dict[str, str]:
        """What a connection of this account holds."""

    @abstractmethod
    def events(self, call: Call) -> Iterator[Wire]:
        """The notifications of a call, in their order."""

    def redial(self, extension: str, phone: str) -> Call:
        """The outgoing call that a dial command leads to."""
        talks = Scenario("dialled by us", direction="out", rings=(extension,), talks=(extension,), outcome="answered")
        return self.play(talks, client=phone.lstrip("+"))

    def speak(self, wire: Wire) -> None:
        """Tell those who listen now."""
        raise NotImplementedError

    def mark(self, name: str) -> None:
        """Tell something that a listener must tell on by this name, and that says nothing."""
        raise NotImplementedError

    def trust(self, asked: Asked) -> None:
        """Refuse who does not prove who he is (raises `Refusal`)."""

    def forged(self, wire: Wire) -> Wire:
        """A notification as somebody sends it who knows where, but not from whom (of vendors that prove nothing by a
        secret)."""
        return wire

    # --- Calls

    def play(self, scenario: Scenario, client: str = "", began: datetime | None = None) -> Call:
        """A call from beginning to end, told as it happens; it is in the history afterwards."""
        call = self.new_call(scenario, client, began)
        for wire in self.events(call):
            self.tell(wire)
        return call

    def new_call(self, scenario: Scenario, client: str = "", began: datetime | None = None) -> Call:
        number = len(self.calls) + 1
        began = began or datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
        call = Call(self.call_id(scenario, number), scenario, client or f"7900000{number:04}", self.lines[0], began)
        for place in range(len(scenario.talks) if scenario.recorded else 0):
            call.recordings[f"rec-{number}-{place}"] = MP3 + bytes([number % 256, place])
        self.calls.append(call)
        return call

    def call_id(self, scenario: Scenario, number: int) -> str:
        return f"call-{number:06}"

    def tell(self, wire: Wire) -> Told:
        told = self.deliver(wire)
        self.answers.append(told)
        return told

    # --- The API

    @contextmanager
    def serving(self) -> Iterator[Self]:
        """Its API at `url`, on a free port."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def headers(self, asked: Asked) -> Mapping[str, str]:
        """More headers of the answer that was given to this."""
        return {}

    def answer(self, asked: Asked) -> tuple[int, bytes, str]:
        """Status, body and type."""
        try:
            self.trust(asked)
            for method, path, function in self._endpoints:
                fits = asked.path.startswith(path[:-1]) if path.endswith("*") else asked.path == path
                if method == asked.method and fits:
                    return _encoded(200, function(asked))
            raise Refusal(404, violation=f"unknown endpoint: {asked.method} {asked.path}")
        except Refusal as refusal:
            if refusal.violation:
                self.violations.append(refusal.violation)
            return _encoded(refusal.status, refusal.body)


def emulated() -> dict[str, type[Pbx]]:
    """The emulators beside this module, by the slug of their provider."""
    names = [info.name for info in pkgutil.iter_modules([str(Path(__file__).parent)])]
    modules = {name: import_module(f"tests.emulators.{name}") for name in names if not name.startswith("test_")}
    return {name: module.Emulator for name, module in modules.items() if hasattr(module, "Emulator")}


def _encoded(status: int, body: Any) -> tuple[int, bytes, str]:
    if isinstance(body, bytes):
        return status, body, "audio/mpeg" if body.startswith(MP3[:4]) else "text/plain"
    return status, json.dumps(body, ensure_ascii=False).encode(), "application/json; charset=utf-8"


def _handler(pbx: Pbx) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            asked = Asked(
                method=self.command,
                path=parts.path,
                query=dict(parse_qsl(parts.query, keep_blank_values=True)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(length),
            )
            status, body, kind = pbx.answer(asked)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in pbx.headers(asked).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _respond

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: what matters is in `violations`."""

    return Handler
