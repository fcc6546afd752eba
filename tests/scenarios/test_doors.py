"""What comes over the wire, on both stacks: nothing that somebody sends fills the memory or upsets a database."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from telephony.bodies import BODY_SECONDS, MAX_BODY
from tests.emulators.mango import wire
from tests.stack import Stack, company, running

pytestmark = pytest.mark.process
KEY, SALT = "demo0vpbx0api0key0000000000000a1", "demo0vpbx0api0salt000000000000b2"
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


@dataclass
class Door:
    stack: Stack
    path: str
    """The connection's own address on this installation."""
    crm_path: str

    def send(self, *parts: bytes, path: str = "", head: str = "", method: str = "POST") -> bytes:
        """A request as raw as it gets; what is answered until the other side closes or has said its status."""
        with socket.create_connection(("127.0.0.1", self.stack.port), timeout=BODY_SECONDS * 3) as line:
            request = f"{method} {path or self.path + 'events/call'} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n"
            try:
                for part in (request.encode("latin-1"), *parts):
                    line.sendall(part)
            except OSError:
                pass  # it was answered, and closed, before all was sent
            return line.recv(65_536)

    def status(self, *parts: bytes, **how: Any) -> int:
        return int(self.send(*parts, **how).split(b" ", 2)[1])

    def events(self) -> list[dict[str, Any]]:
        return self.stack.rows("SELECT * FROM telephony_inboxevent ORDER BY id")

    def memory(self) -> int:
        """Of the web process, in bytes."""
        pages = Path(f"/proc/{self.stack.processes['web'].pid}/statm").read_text().split()[1]
        return int(pages) * 4096


@pytest.fixture(scope="module")
def door(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with running(kind, tmp_path_factory.mktemp(f"doors-{kind}")) as stack:
        made = stack.provision(company("http://127.0.0.1:9", "http://127.0.0.1:9"))
        urls = made["connections"]["pbx"]["webhook_url"], made["crm_credentials"]["portal"]["handler_url"]
        pbx, crm = (url.removeprefix(stack.url) for url in urls)
        yield Door(stack, pbx, crm)


def event(**said: Any) -> bytes:
    usual = {"entry_id": "E", "call_id": "L", "timestamp": int(time.time()), "seq": 1, "call_state": "Appeared"}
    return wire.form_body(KEY, SALT, json.dumps(usual | said))


def sized(body: bytes) -> str:
    return f"Content-Length: {len(body)}\r\n"


@pytest.mark.parametrize("where", ["pbx", "crm", "page"])
def test_an_endless_body_is_cut_off_without_being_kept(door: Door, where: str) -> None:
    path = {"pbx": door.path + "events/call", "crm": door.crm_path, "page": "/login/"}[where]
    before = door.memory()
    assert door.status(*[CHUNK] * 1_000, path=path, head="Transfer-Encoding: chunked\r\n") == 413
    assert door.status(b"x" * 10 * MAX_BODY, path=path, head=f"Content-Length: {10 * MAX_BODY}\r\n") == 413
    assert door.status(path=path, head="Content-Length: 99999999999999999999\r\n") in {400, 413}
    assert door.memory() - before < 20 * MAX_BODY
    assert door.events() == []


def test_a_body_that_does_not_come_is_not_waited_for(door: Door) -> None:
    assert door.status(b"3\r\na=b\r\n", head="Transfer-Encoding: chunked\r\n") == 408
    assert door.events() == []


def test_a_body_shorter_than_it_was_is_no_event(door: Door) -> None:
    """What follows the length that was named is another request, and none."""
    body = event()
    assert door.status(body, head=f"Content-Length: {len(body) - 5}\r\n") in {400, 401}
    assert door.status(body) in {400, 401}  # no length at all: an empty body
    assert door.events() == []


def test_who_goes_away_amid_his_body_has_sent_nothing(door: Door) -> None:
    body = event()
    with socket.create_connection(("127.0.0.1", door.stack.port)) as line:
        line.sendall(f"POST {door.path}events/call HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n".encode() + body)
    assert requests.get(f"{door.stack.url}/health/live", timeout=5).ok
    assert door.events() == []


@pytest.mark.parametrize("where", ["pbx", "crm", "page"])
def test_a_packed_body_is_not_unpacked(door: Door, where: str) -> None:
    path = {"pbx": door.path + "events/call", "crm": door.crm_path, "page": "/login/"}[where]
    assert door.status(b"\x1f\x8b..", path=path, head="Content-Encoding: gzip\r\nContent-Length: 4\r\n") == 415


def test_an_endless_head_is_cut_off(door: Door) -> None:
    before = door.memory()
    assert door.status(*[b"x" * 65_536] * 1_000, head="X-Endless: ") == 431
    assert door.status(*[b"X-More: xxxxxxxxxxxxxxxxxxxxxxx\r\n" * 1_000] * 1_000, head="X-First: 1") == 431
    assert door.status(path="/hooks/mango/" + "x" * 50_000_000) == 431
    assert door.memory() - before < 50 * 1024 * 1024


def test_long_but_finite_things_are_answered(door: Door) -> None:
    body = event()
    assert door.status(body, path=f"{door.path}{'x' * 10_000}", head=sized(body)) == 414
    assert door.status(body, head=sized(body) + f"X-Long: {'x' * 30_000}\r\n") == 200
    assert door.status(body, path=f"{door.path}events/call?{'x' * 30_000}", head=sized(body)) == 200
    assert [len(row["query"]) for row in door.events()][-2:] == [0, 30_000]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_events_are_posted(door: Door, method: str) -> None:
    for path in (door.path, door.crm_path):
        answer = door.send(method=method, path=path)
        assert answer.startswith(b"HTTP/1.1 405")
        assert b"allow: POST" in answer.replace(b"Allow", b"allow")


@pytest.mark.parametrize("bad", ["\x00", "\x01", "\x7f", "\n"])
def test_control_characters_where_none_may_be_are_no_request(door: Door, bad: str) -> None:
    body = event()
    count = len(door.events())
    assert door.status(body, path=f"{door.path}events/{bad}call", head=sized(body)) in {400, 404, 411, 200, 401}
    assert door.status(body, head=sized(body) + f"User-Agent: a{bad}b\r\n") in {400, 200}
    for row in door.events()[count:]:
        assert "\x00" not in row["path"] + json.dumps(row["headers"])


def test_everything_that_is_taken_is_stored_as_it_came(door: Door) -> None:
    """NUL, other charsets, half a character: in path, query, headers and body."""
    body = event(entry_id="E\x00\ud800", text="\u0416")
    spoilt = body + b"&more=\x00\xcf\xf0\xff"
    head = sized(spoilt) + "Content-Type: text/plain; charset=windows-1251\r\nUser-Agent: \xcf\xf0\r\n"
    assert door.status(spoilt, path=f"{door.path}events/%00%cf%f0?who=%00%cf%f0", head=head) == 200
    row = door.events()[-1]
    assert (row["path"], row["query"]) == ("events/%00%cf%f0", "who=%00%cf%f0")
    assert bytes(row["body"]) == spoilt
    headers = row["headers"]
    assert headers["user-agent"].encode("latin-1") == b"\xcf\xf0"


def test_a_call_with_such_an_id_is_a_call(door: Door) -> None:
    body = event(entry_id="N\x00UL\ud800", call_id="L\x00")
    assert door.status(body, head=sized(body)) == 200
    door.stack.wait_quiet()
    assert len(door.stack.rows("SELECT 1 AS one FROM telephony_call WHERE key = %s", "NUL?")) == 1


def test_a_flood_of_wrong_signatures_costs_the_honest_nothing(door: Door) -> None:
    """They come from the same place, as all events of a vendor do."""
    wrong = wire.form_body(KEY, "wrong", "{}")
    shared = [f"nobody{number}" for number in range(200)]
    with requests.Session() as session:
        statuses = [session.post(f"{door.stack.url}{door.path}events/call", wrong).status_code for _ in range(200)]
        strange = [session.post(f"{door.stack.url}/hooks/mango/{token}/x", wrong).status_code for token in shared]
        honest = session.post(f"{door.stack.url}/exec/mango/events/call", event()).status_code
        metrics = session.get(f"{door.stack.url}/metrics").text
    assert statuses[0] == 401
    assert strange[0] in {404, 429}
    assert statuses.count(429) > 150
    assert strange.count(429) > 150
    assert honest == 200
    assert 'callbridge_webhook_refusals_total{provider="mango",reason="bad_signature"}' in metrics
    assert 'callbridge_webhook_answers_total{provider="mango",status="429"}' in metrics
    assert door.path.strip("/").rsplit("/", 1)[-1] not in door.stack.log("web")
