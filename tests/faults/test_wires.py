"""The wires break what they say they break, and are whole again afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from .wires import DELAY_SECONDS, Wire, Wires

BODY = b'{"answer":"' + b"x" * 2_000 + b'"}'
ASKED = 0.1


class Echo(BaseHTTPRequestHandler):
    """Answers everything alike and counts what it was asked."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self) -> None:
        Echo.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def wire() -> Iterator[Wire]:
    Echo.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with Wires("1") as wires:
        wire = wires.lay(server.server_port, share=1.0)
        assert _ask(wire) == BODY
        yield wire
        assert _ask(wire) == BODY
    server.shutdown()
    server.server_close()
    thread.join(10)


def _ask(wire: Wire, timeout: float = 10.0) -> bytes:
    return requests.get(wire.url, timeout=timeout).content


def test_a_refusing_wire_has_nobody_at_its_end(wire: Wire):
    with wire.broken("refuse"), pytest.raises(requests.ConnectionError, match="refused"):
        _ask(wire)
    assert Echo.asked == 1


def test_a_resetting_wire_cuts_the_answer_off_after_the_request_was_executed(wire: Wire):
    with wire.broken("reset"), pytest.raises(requests.RequestException):
        _ask(wire)
    assert Echo.asked == 2


def test_a_corrupting_wire_spoils_json(wire: Wire):
    with wire.broken("corrupt"):
        answer = _ask(wire)
    assert len(answer) == len(BODY)
    with pytest.raises(ValueError, match="utf-8"):
        answer.decode()


def test_a_black_hole_keeps_everything_until_it_heals(wire: Wire):
    answers: list[bytes] = []
    asking = threading.Thread(target=lambda: answers.append(_ask(wire)))
    with wire.broken("blackhole"):
        asking.start()
        with pytest.raises(requests.ReadTimeout):
            _ask(wire, timeout=ASKED)
        assert not answers
    asking.join(10)
    assert answers == [BODY]


@pytest.mark.parametrize("mode", ["delay", "throttle"])
def test_a_slow_wire_loses_nothing(wire: Wire, mode: str):
    with wire.broken(mode):
        answer = requests.get(wire.url, timeout=10)
    assert answer.content == BODY
    if mode == "delay":
        assert answer.elapsed.total_seconds() >= DELAY_SECONDS
