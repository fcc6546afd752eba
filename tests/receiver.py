"""A customer's programme that takes our webhooks, written with the library that its programmer would use."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Receiver:
    """On a free port of loopback. It says no to what `secret` did not sign, and to others what `replies` have next, in
    the end `usual`. `events` are what it took, by id: a repetition changes nothing. It answers nobody while it is not
    `free`, and before as many have come as pass the `gate`."""

    def __init__(self, secret: str = "") -> None:
        self.secret = secret
        self.usual = Reply()
        self.replies: deque[Reply] = deque()
        self.seen: list[str] = []
        self.forged: list[str] = []
        self.events: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.busy = 0
        self.busiest = 0
        self.gate: threading.Barrier | None = None
        self.free = threading.Event()
        self.free.set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = receiver.take({name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/callbridge"

    @property
    def kinds(self) -> list[str]:
        """Of what it took, in the order in which it came first."""
        return [event["type"] for event in self.events.values()]

    def take(self, headers: dict[str, str], body: bytes) -> Reply:
        with self._lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            self.requests.append((headers, body))
        if self.gate:
            self.gate.wait(10)
        self.free.wait(30)
        with self._lock:
            self.busy -= 1
            return self._answer(headers, body)

    def _answer(self, headers: dict[str, str], body: bytes) -> Reply:
        name = headers.get("webhook-id", "")
        try:
            event = Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            self.forged.append(name)
            return Reply(401)
        self.seen.append(name)
        reply = self.replies.popleft() if self.replies else self.usual
        if 200 <= reply.status < 300:
            self.events.setdefault(name, event)
        return reply
