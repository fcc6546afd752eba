"""An emulated vendor's API: really spoken to over HTTP, on a free loopback port, with faults to be switched on."""

from __future__ import annotations

import json
import pkgutil
import re
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound="Served")
MP3 = b"\xff\xfb\x90\x00" + b"\x00" * 413


@dataclass(frozen=True, slots=True)
class Wire:
    """A request of the vendor to us. `path` and `query` follow the account's own address."""

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
class Asked:
    """A request to the vendor's API. `parts` are what its path has for the names of the endpoint's template."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    parts: Mapping[str, str] = field(default_factory=dict)

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


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a status of its own."""

    status: int
    body: Any = b""


def api(method: str, path: str) -> Callable[[F], F]:
    """Marks what answers `method path` of the API. `{name}` in a path is one segment of it; a `*` at the end is
    everything that follows."""

    def mark(function: F) -> F:
        function.endpoint = (method, path)  # type: ignore[attr-defined]
        return function

    return mark


FAULTS = frozenset({"down", "too_many", "html", "lost", "truncated", "reset", "slow"})
"""`down` is 503, `too_many` 429, `html` a page with 200; of `lost` and `truncated` answers the request is carried out;
`reset` breaks the connection off before."""


@dataclass(slots=True)
class Fault:
    """A fault, for the next `count` requests that `path` (a part of it) fits, after `skip` of them."""

    kind: str
    path: str = ""
    skip: int = 0
    count: int | None = None
    seconds: float = 0.0
    hits: int = 0

    def strikes(self, asked: Asked) -> bool:
        if self.path not in asked.path:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.count is not None and self.hits >= self.count:
            return False
        self.hits += 1
        return True


class Endpoint(NamedTuple):
    method: str
    path: str
    pattern: re.Pattern[str]
    function: Callable[[Asked], Any]


class Server(socketserver.ThreadingTCPServer):
    """It waits for who comes, and not also for the next look at whether to end: many of them wait in one process."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 50
    over = False

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        while not self.over:
            self.handle_request()


class HttpServer(Server, HTTPServer):
    pass


@contextmanager
def listening(server: Server) -> Iterator[int]:
    """It serves meanwhile; its port."""
    port = int(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        server.over = True
        socket.create_connection(("127.0.0.1", port), 5).close()
        thread.join(5)
        server.server_close()


class Served:
    """An API whose endpoints are methods marked with `api`."""

    def __init__(self) -> None:
        self.url = ""
        self.violations: list[str] = []
        self.hits: Counter[str] = Counter()
        """Requests that came, by method and path."""
        self.faults: list[Fault] = []
        self._lock = threading.RLock()
        names = [name for name in dir(type(self)) if hasattr(getattr(type(self), name), "endpoint")]
        found = [(*getattr(type(self), name).endpoint, name) for name in names]
        found.sort(key=lambda row: (row[1].endswith("*"), row[1].count("{")))  # the exact ones first
        self.endpoints = [_endpoint(method, path, getattr(self, name)) for method, path, name in found]

    @contextmanager
    def serving(self) -> Iterator[Self]:
        """Its API at `url`, on a free port."""
        with listening(HttpServer(("127.0.0.1", 0), _handler(self))) as port:
            self.url = f"http://127.0.0.1:{port}"
            yield self

    # --- Of each vendor

    def trust(self, asked: Asked) -> None:
        """Refuse who does not prove who he is (raises `Refusal`)."""

    def headers(self, asked: Asked) -> Mapping[str, str]:
        """More headers of the answer that was given to this."""
        return {}

    def also(self, method: str, path: str, function: Callable[[Asked], Any]) -> None:
        """One more endpoint."""
        self.endpoints.append(_endpoint(method, path, function))

    # --- Faults

    @contextmanager
    def faulty(self, kind: str, **options: Any) -> Iterator[Fault]:
        """A fault for the length of a block."""
        assert kind in FAULTS, kind
        fault = Fault(kind, **options)
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    # --- Answering

    def answer(self, asked: Asked) -> tuple[int, bytes, str] | None:
        """Status, body and type; None where the connection breaks off."""
        with self._lock:
            fault = next((each for each in self.faults if each.strikes(asked)), None)
        kind = fault.kind if fault else ""
        if kind == "reset":
            return None
        if kind in _INSTEAD:
            return _INSTEAD[kind]
        status, body, content_type = self._carry_out(asked)
        if fault and kind == "slow":
            time.sleep(fault.seconds)
        if kind == "lost":
            return None
        return status, body[: len(body) // 2] if kind == "truncated" else body, content_type

    def _carry_out(self, asked: Asked) -> tuple[int, bytes, str]:
        try:
            for method, path, pattern, function in self.endpoints:
                found = pattern.fullmatch(asked.path)
                if method == asked.method and found:
                    self.hits[f"{method} {path}"] += 1
                    self.trust(asked)
                    parts = found.groupdict()
                    return _encoded(200, function(replace(asked, parts=parts) if parts else asked))
            raise Refusal(404, violation=f"unknown endpoint: {asked.method} {asked.path}")
        except Refusal as refusal:
            if refusal.violation:
                self.violations.append(refusal.violation)
            return _encoded(refusal.status, refusal.body)


def emulators(kind: type[S]) -> dict[str, type[S]]:
    """The vendors' emulators beside this module that are of this kind, by slug: each module's `Emulator`."""
    names = [info.name for info in pkgutil.iter_modules([str(Path(__file__).parent)])]
    modules = {name: import_module(f"tests.emulators.{name}") for name in names if not name.startswith("test_")}
    found = {name: getattr(module, "Emulator", None) for name, module in modules.items()}
    return {name: each for name, each in found.items() if each and issubclass(each, kind)}


_INSTEAD: dict[str, tuple[int, bytes, str]] = {
    "down": (503, b"", "text/plain"),
    "too_many": (429, b"", "text/plain"),
    "html": (200, b"<!DOCTYPE html><title>Hello</title>", "text/html"),
}


def _endpoint(method: str, path: str, function: Callable[[Asked], Any]) -> Endpoint:
    return Endpoint(method, path, _pattern(path), function)


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path.removesuffix("*"))
    text = "".join(f"(?P<{part}>[^/]+)" if number % 2 else re.escape(part) for number, part in enumerate(parts))
    return re.compile(text + (".*" if path.endswith("*") else ""))


def _encoded(status: int, body: Any) -> tuple[int, bytes, str]:
    if isinstance(body, Answer):
        status, body = body.status, body.body
    if isinstance(body, bytes):
        return status, body, "audio/mpeg" if body.startswith(MP3[:4]) else "text/plain"
    return status, json.dumps(body, ensure_ascii=False).encode(), "application/json; charset=utf-8"


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer is one packet: a second one would wait for the first to be acknowledged

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
            answer = served.answer(asked)
            if answer is None:
                self._break_off()
                return
            status, body, kind = answer
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in served.headers(asked).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond

        def _break_off(self) -> None:
            """A reset, as when the other side has died."""
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: what matters is in `violations`."""

    return Handler
