"""The door for PBXs, as the ASGI app that it is: who gets in, what is answered, and that an answer means "on disk"."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from telephony import bodies, directory, inbox, pipeline, refusals
from telephony.models import Connection, InboxEvent, WebhookAddress
from telephony.pipeline import Busy, Pipeline
from telephony.providers.base import Request
from telephony.threads import Loop
from telephony.webhooks import WebhookDoor
from tests.emulators.mango import wire
from tests.factories import ConnectionFactory
from tests.stack import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

SAID = {"entry_id": "E1", "call_id": "L1", "timestamp": 1772434800, "seq": 1, "call_state": "Appeared"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Knocks at the door as a server does."""

    def __init__(self, door: WebhookDoor):
        self.door = door

    def post(self, path: str, body: bytes, parts: int = 1, **scope: Any) -> Answer:
        size = -(-len(body) // parts) or 1
        pieces = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages[-1]["more_body"] = False
        answer = asyncio.run(self._send(path, messages, scope))
        assert answer, "no answer"
        return answer

    def knock(self, path: str, messages: list[Any], **scope: Any) -> Answer | None:
        """Send just these messages, then nothing more; None when there is no answer."""
        return asyncio.run(self._send(path, messages, scope))

    async def _send(self, path: str, messages: list[Any], changes: dict[str, Any]) -> Answer | None:
        sent: list[Any] = []
        self.read = 0

        async def receive() -> Any:
            if not messages:
                await asyncio.Event().wait()
            self.read += 1
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", wire.FORM.encode()), (b"cookie", b"session=secret"), *changes.pop("headers", [])]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        await self.door(scope | {"client": ("192.0.2.1", 1)} | changes, receive, send)
        if not sent:
            return None
        named = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], named, b"".join(message["body"] for message in sent[1:]))


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """What stands behind the door."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"a page"})


@pytest.fixture
def line() -> Pipeline:
    return Pipeline()


@pytest.fixture
def client(line: Pipeline) -> Iterator[Client]:
    line._writer.start()
    door = WebhookDoor(pages, line)
    yield Client(door)
    line._writer.stop()
    _leave(door)


def _leave(door: WebhookDoor) -> None:
    """Every thread that looks up addresses gives its connection back."""
    threads = len(door._lookups._threads)
    together = threading.Barrier(threads or 1)

    def leave() -> None:
        together.wait(10)
        connections.close_all()

    for future in [door._lookups.submit(leave) for _ in range(threads)]:
        future.result(10)
    door._lookups.shutdown()


@pytest.fixture
def connection() -> Connection:
    return ConnectionFactory.create()


def body_of(connection: Connection, said: Any = SAID, salt: str = "") -> bytes:
    secrets = connection.credentials
    return wire.form_body(secrets["api_key"], salt or secrets["api_salt"], wire.dumps(said))


def path_of(connection: Connection, rest: str = "events/call", token: str = "") -> str:
    return f"/hooks/{connection.provider}/{token or connection.address.token}/{rest}"


def stored() -> int:
    return InboxEvent.objects.count()


# --- Who gets in


def test_what_is_answered_200_is_on_disk_as_it_came(client: Client, connection: Connection):
    body = body_of(connection)
    answer = client.post(path_of(connection), body, parts=3)
    assert answer.status == 200
    event = InboxEvent.objects.get()
    assert (event.connection, event.path, bytes(event.body)) == (connection, "events/call", body)
    assert event.headers == {"content-type": wire.FORM}
    assert event.remote == "192.0.2.1"


@pytest.mark.parametrize("token", ["nobody", "../admin", "%00"])
def test_a_strange_address_is_not_found(client: Client, connection: Connection, token: str):
    for _ in range(2):
        assert client.post(path_of(connection, token=token), body_of(connection)).status == 404
    assert stored() == 0


def test_an_address_belongs_to_its_provider(client: Client, connection: Connection):
    path = path_of(connection).replace(connection.provider, "nosuchpbx")
    assert client.post(path, body_of(connection)).status == 299  # not the door's


def test_what_is_no_pbx_goes_to_the_pages(client: Client):
    assert client.post("/login/", b"").status == 299


def test_a_wrong_signature_is_refused(client: Client, connection: Connection):
    client.post(path_of(connection), body_of(connection))
    for body in (body_of(connection, salt="wrong"), body_of(ConnectionFactory.create())):
        answer = client.post(path_of(connection), body)
        assert answer.status == 401
        assert json.loads(answer.body)["error"]
    assert stored() == 1


def test_a_body_that_is_no_form_is_refused(client: Client, connection: Connection):
    assert client.post(path_of(connection), b"\xff\x00").status == 400
    assert stored() == 0


def test_a_connection_that_is_switched_off_says_so(client: Client, connection: Connection):
    path, body = path_of(connection), body_of(connection)
    assert client.post(path, body).status == 200
    connection.active = False
    connection.save()
    directory.refresh()
    assert client.post(path, body).status == 410
    assert stored() == 1


def test_the_shared_path_finds_the_account_and_proves_it(client: Client, connection: Connection):
    (shared,) = connection.protocol.shared_paths
    other = ConnectionFactory.create()
    for each in (connection, other):
        assert client.post(f"/{shared}/events/call", body_of(each)).status == 200
    assert [event.connection for event in InboxEvent.objects.order_by("id")] == [connection, other]
    assert InboxEvent.objects.filter(path="events/call").count() == 2
    assert client.post(f"/{shared}/events/call", body_of(connection, salt="wrong")).status in {401, 404}
    assert client.post(f"/{shared}/events/call", body_of(ConnectionFactory.build())).status == 404
    assert stored() == 2


def test_an_account_that_two_claim_belongs_to_the_one_who_knows_its_secret(client: Client, connection: Connection):
    thief = ConnectionFactory.create()
    thief.credentials = {**connection.credentials, "api_salt": "guessed"}
    thief.save()
    (shared,) = connection.protocol.shared_paths
    assert client.post(f"/{shared}/events/call", body_of(connection)).status == 200
    assert InboxEvent.objects.get().connection == connection


def test_an_address_that_was_replaced_works_until_it_retires(client: Client, connection: Connection):
    old = connection.address
    WebhookAddress.objects.filter(pk=old.pk).update(retires_at=timezone.now() + timedelta(hours=1))
    new = WebhookAddress.issue(connection)
    directory.forget()
    for token in (old.token, new.token, old.token):
        assert client.post(path_of(connection, token=token), body_of(connection)).status == 200
    WebhookAddress.objects.filter(pk=old.pk).update(retires_at=timezone.now() - timedelta(seconds=1))
    assert client.post(path_of(connection, token=old.token), body_of(connection)).status == 404
    assert client.post(path_of(connection, token=new.token), body_of(connection)).status == 200


# --- Bodies and heads


def test_a_body_that_grows_too_large_is_cut_off(client: Client, connection: Connection):
    answer = client.post(path_of(connection), b"x" * 10 * bodies.MAX_BODY, parts=100)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert stored() == 0


def test_a_body_that_is_said_to_be_too_large_is_not_read(client: Client, connection: Connection):
    length = [(b"content-length", str(bodies.MAX_BODY + 1).encode())]
    body = {"type": "http.request", "body": b"x", "more_body": False}
    answer = client.knock(path_of(connection), [body], headers=length)
    assert answer
    assert answer.status == 413
    page = client.knock("/login/", [dict(body)], headers=length)
    assert page
    assert page.status == 413


def test_a_body_that_does_not_come_is_not_waited_for(
    client: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.01)
    monkeypatch.setattr(bodies, "LINGER_SECONDS", 0.01)
    begun = {"type": "http.request", "body": body_of(connection)[:20], "more_body": True}
    answer = client.knock(path_of(connection), [begun])
    assert answer
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert stored() == 0


def test_a_client_that_goes_away_amid_its_body_has_sent_nothing(client: Client, connection: Connection):
    begun = {"type": "http.request", "body": body_of(connection), "more_body": True}
    assert client.knock(path_of(connection), [begun, {"type": "http.disconnect"}]) is None
    assert client.knock(path_of(connection), [{"type": "http.disconnect"}]) is None
    assert stored() == 0


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"GZIP"])
def test_a_packed_body_is_refused_with_clear_words(client: Client, connection: Connection, coding: bytes):
    answer = client.post(path_of(connection), b"\x1f\x8b" * 10, headers=[(b"content-encoding", coding)])
    assert answer.status == 415
    assert "without_content_encoding" in json.loads(answer.body)["error"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_events_are_posted(client: Client, connection: Connection, method: str):
    answer = client.post(path_of(connection), body_of(connection), method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert stored() == 0


def test_a_wrong_content_type_is_no_reason_to_lose_an_event(client: Client, connection: Connection):
    body = body_of(connection)
    headers = [(b"content-type", b"application/json; charset=windows-1251")]
    assert client.post(path_of(connection), body, headers=headers).status == 200
    assert bytes(InboxEvent.objects.get().body) == body


def test_an_endless_path_is_refused(client: Client, connection: Connection):
    assert client.post(path_of(connection, "x" * 201), body_of(connection)).status == 414
    assert client.post(path_of(connection, "x" * 200), body_of(connection)).status == 200


def test_what_no_database_takes_is_stored_as_it_was_sent(client: Client, connection: Connection):
    raw = path_of(connection, "events/%00%ff").encode()
    headers = [(b"user-agent", b"\x00PBX\xff"), (b"x-forwarded-for", b"192.0.2.8"), (b"x-forwarded-for", b"192.0.2.9")]
    answer = client.post("ignored", body_of(connection), raw_path=raw, query_string=b"a=\x00\xff", headers=headers)
    assert answer.status == 200
    event = InboxEvent.objects.get()
    assert (event.path, event.query) == ("events/%00%ff", "a=%00\xff")
    assert event.headers["user-agent"] == "%00PBX\xff"
    assert event.headers["x-forwarded-for"] == "192.0.2.8, 192.0.2.9"


def test_nobody_sends_events_that_only_we_write(client: Client, connection: Connection):
    assert client.post(path_of(connection, "_callbridge/close"), body_of(connection)).status == 404
    assert stored() == 0


# --- Floods of what is refused


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """That of those who are refused."""
    found = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(refusals, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged of them."""
    found: list[str] = []
    log = SimpleNamespace(**{name: lambda *a, **words: found.append(f"{a} {words}") for name in ("info", "warning")})
    monkeypatch.setattr(refusals, "log", log)
    return found


@pytest.mark.usefixtures("clock")
def test_wrong_signatures_are_soon_not_even_looked_at(
    client: Client, connection: Connection, lines: list[str], monkeypatch: pytest.MonkeyPatch
):
    other, good = ConnectionFactory.create(), body_of(connection)
    client.post(path_of(connection), good)
    client.post(path_of(other), body_of(other))
    looked: list[bytes] = []
    provider = type(connection.protocol)
    authenticate = provider.authenticate

    def counting(self: Any, request: Request, secrets: Any) -> None:
        looked.append(request.body)
        authenticate(self, request, secrets)

    monkeypatch.setattr(provider, "authenticate", counting)
    statuses = [client.post(path_of(connection), body_of(connection, salt="wrong")).status for _ in range(200)]
    assert statuses == [401] * refusals.LIMIT.burst + [429] * (200 - refusals.LIMIT.burst)
    assert len(looked) == refusals.LIMIT.burst
    assert len(lines) == refusals.LIMIT.burst + 1
    assert connection.address.token not in str(lines)
    # A vendor sends the events of all its customers from few addresses.
    assert client.post(path_of(other), body_of(other)).status == 200
    (shared,) = connection.protocol.shared_paths
    assert client.post(f"/{shared}/events/call", good).status == 200
    assert client.post(path_of(connection), good, client=("192.0.2.2", 1)).status == 200


def test_what_was_put_right_is_let_in_again(client: Client, connection: Connection, clock: SimpleNamespace):
    path, good = path_of(connection), body_of(connection)
    for _ in range(100):
        answer = client.post(path, body_of(connection, salt="wrong"))
    assert (answer.status, answer.headers["retry-after"]) == (429, "2")
    clock.now += 1 / refusals.LIMIT.rate
    assert [client.post(path, good).status for _ in range(100)] == [200] * 100
    assert len(client.door._refusals) == 0


@pytest.mark.usefixtures("clock")
def test_strangers_soon_cost_neither_their_bodies_nor_a_look_into_the_database(
    client: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    client.post(path_of(connection), body_of(connection))
    looked: list[directory.Address] = []
    find = directory.find

    def counting(address: directory.Address) -> Any:
        looked.append(address)
        return find(address)

    monkeypatch.setattr(directory, "find", counting)
    monkeypatch.setattr(directory, "STRANGER_SECONDS", 1e9)
    statuses, read = [], 0
    for number in range(100):
        statuses.append(client.post(path_of(connection, token=f"nobody{number}"), body_of(connection)).status)
        read += client.read
    assert statuses == [404] * refusals.LIMIT.burst + [429] * (100 - refusals.LIMIT.burst)
    (shared,) = connection.protocol.shared_paths
    strange = [client.post(f"/{shared}/events/call", body_of(ConnectionFactory.build())).status for _ in range(3)]
    assert strange == [429] * 3
    assert len(looked) == read == refusals.LIMIT.burst
    assert client.post(path_of(connection), body_of(connection)).status == 200
    assert len(client.door._refusals) == 1


@pytest.mark.usefixtures("clock")
def test_guessing_counts_whatever_else_is_wrong(client: Client, connection: Connection):
    tokens = [f"nobody{number}" for number in range(100)]
    statuses = {client.post(path_of(connection, token=token), b"", method="GET").status for token in tokens}
    assert statuses == {405, 429}
    assert len(client.door._refusals) == 1


def test_a_new_address_is_no_stranger(client: Client, connection: Connection):
    assert client.post(path_of(connection, token="nobody"), body_of(connection)).status == 404
    newcomer = ConnectionFactory.create()
    assert client.post(path_of(newcomer), body_of(newcomer)).status == 200


def test_those_who_are_refused_are_remembered_in_a_bounded_table(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(refusals, "MOST", 50)
    table = refusals.Refusals()
    for number in range(1000):
        table.note(number)
    assert len(table) == 50


# --- The disk


def test_too_much_waiting_is_turned_away_before_memory_grows(
    client: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pipeline, "MAX_WAITING", 1)
    answer = client.post(path_of(connection), body_of(connection))
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert stored() == 0


def test_who_floods_leaves_room_for_the_others(
    client: Client, line: Pipeline, connection: Connection, gate: Gate, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pipeline, "MAX_WAITING", 100 * pipeline.EVENT_SIZE)
    others = [ConnectionFactory.create() for _ in range(5)]
    accepted = 0
    with suppress(Busy):
        for event in _events(connection, 1000):
            line.submit(event)
            accepted += 1
    assert 40 < accepted <= 50
    for other in others:
        for event in _events(other, 5):
            line.submit(event)
    gate.opened.set()
    wait_until(lambda: stored() == accepted + 25, "all that was accepted")
    line.submit(_events(connection, 1)[0]).result(20)  # there is room again


def test_what_cannot_be_stored_is_not_accepted(client: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch):
    def full(events: list[InboxEvent]) -> None:
        raise OSError("no space left on device")

    path, body = path_of(connection), body_of(connection)
    monkeypatch.setattr(inbox, "store", full)
    answer = client.post(path, body)
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")


def test_a_connection_that_the_database_has_dropped_is_not_kept(
    client: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    def drop() -> None:
        connections["default"].ensure_connection()
        connections["default"].connection.close()

    monkeypatch.setattr(type(connections["default"]), "is_usable", lambda _self: False)
    client.door._lookups.submit(drop).result(10)
    answers = [client.post(path_of(connection), body_of(connection)).status for _ in range(2)]
    assert answers[-1] == 200


class Gate:
    """`inbox.store` that waits until it is let, and counts."""

    def __init__(self, store: Any):
        self._store, self.opened = store, threading.Event()
        self.batches: list[int] = []

    def __call__(self, events: list[InboxEvent]) -> None:
        self.batches.append(len(events))
        assert self.opened.wait(20)
        self._store(events)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    found = Gate(inbox.store)
    monkeypatch.setattr(inbox, "store", found)
    return found


def _events(connection: Connection, count: int) -> list[InboxEvent]:
    row = {"connection": connection, "received_at": timezone.now(), "path": "p", "body": b""}
    return [InboxEvent(**row) for _ in range(count)]


def test_requests_that_come_together_share_a_commit(client: Client, line: Pipeline, connection: Connection, gate: Gate):
    first, *others = _events(connection, 51)
    futures = [line.submit(first)]
    wait_until(lambda: gate.batches, "the first commit")
    futures += [line.submit(event) for event in others]
    assert not any(future.done() for future in futures)
    gate.opened.set()
    for future in futures:
        future.result(20)
    assert gate.batches == [1, 50]
    assert stored() == 51


def test_a_bad_event_does_not_take_its_neighbours_along(
    client: Client, line: Pipeline, connection: Connection, gate: Gate
):
    first, good, bad, other = _events(connection, 4)
    bad.received_at = None  # type: ignore[assignment]
    futures: list[Future[None]] = [line.submit(first)]
    wait_until(lambda: gate.batches, "the first commit")
    futures += [line.submit(event) for event in (good, bad, other)]
    gate.opened.set()
    assert [future.exception(20) is None for future in futures] == [True, True, False, True]
    assert stored() == 3


def test_who_gives_up_waiting_takes_nobody_along(client: Client, line: Pipeline, connection: Connection, gate: Gate):
    first, *others = _events(connection, 4)
    futures = [line.submit(first)]
    wait_until(lambda: gate.batches, "the first commit")
    futures += [line.submit(event) for event in others]
    assert futures[2].cancel()
    assert not futures[0].cancel()
    gate.opened.set()
    for future in (futures[0], futures[1], futures[3]):
        future.result(20)
    assert stored() == 3


def test_what_waits_for_its_commit_is_stored_before_the_process_ends(connection: Connection):
    line = Pipeline()
    line._writer._thread = Loop("idle", lambda: None, 60)  # a writer that has not come to it yet
    line._writer._thread.start()
    line._drain.start()
    futures = [line.submit(event) for event in _events(connection, 3)]
    assert not any(future.done() for future in futures)
    line.stop()
    assert all(future.done() for future in futures)
    assert stored() == 3
