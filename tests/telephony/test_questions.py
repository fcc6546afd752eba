"""A PBX asks who calls and waits: it is answered in time, whatever happens, and the passport says what it was told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from clients.models import Client
from telephony import inbox, routing
from telephony.models import Call, Connection, Decision, InboxEvent
from telephony.pipeline import Pipeline
from telephony.providers.zadarma.provider import Zadarma
from telephony.routing import Caller, Opinion
from telephony.signals import routing_question
from telephony.webhooks import WebhookDoor
from tests.emulators.pbx import SCENARIOS
from tests.emulators.served import Told, Wire
from tests.emulators.zadarma import KEY, SECRET, Emulator
from tests.factories import ConnectionFactory
from tests.stack import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


class Desk:
    """The door with a PBX before it and somebody behind it who is asked for his opinion."""

    def __init__(self, pipeline: Pipeline):
        credentials = {"user_key": KEY, "secret": SECRET, "timezone": "UTC+3", "api_url": "https://api.zadarma.com"}
        self.connection: Connection = ConnectionFactory.create(
            provider="zadarma", brand="zadarma", credentials=credentials
        )
        self.door = WebhookDoor(_nothing, pipeline)
        self.pbx = Emulator(self.deliver)
        self.opinion: Callable[[Caller, float], Opinion | None] = lambda _caller, _deadline: None
        self.asked: list[Caller] = []

    def answer(self, caller: Caller, deadline: float, **_: Any) -> Opinion | None:
        self.asked.append(caller)
        return self.opinion(caller, deadline)

    def deliver(self, wire: Wire) -> Told:
        path = f"/hooks/zadarma/{self.connection.address.token}/"
        headers = [(name.encode(), value.encode()) for name, value in wire.headers.items()]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": wire.body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.door(scope | {"client": ("192.0.2.1", 1)}, receive, send))
        return Told(sent[0]["status"], sent[1]["body"])

    def rings(self) -> dict[str, Any]:
        """A call comes in: what the PBX is told."""
        call = self.pbx.new_call(SCENARIOS[0])
        told = self.pbx.tell(next(iter(self.pbx.events(call))))
        assert told.status == 200
        return dict(json.loads(told.body))


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no page is asked for")


@pytest.fixture
def desk() -> Iterator[Desk]:
    pipeline = Pipeline()
    pipeline._writer.start()
    found = Desk(pipeline)
    routing_question.connect(found.answer, sender=Caller)
    yield found
    routing_question.disconnect(found.answer, sender=Caller)
    pipeline._writer.stop()
    found.door._lookups.submit(connections.close_all).result(10)


def noted() -> Decision:
    wait_until(lambda: InboxEvent.objects.filter(path__startswith="_callbridge").exists(), "the answer is not noted")
    inbox.drain()
    return Decision.objects.get()


def test_who_is_known_is_sent_to_his_manager_and_named(desk: Desk) -> None:
    client = Client.objects.create(company=desk.connection.company, name="Anna")
    desk.opinion = lambda *_: Opinion("manager_found", "103", {"client": "Anna"}, client)
    assert desk.rings() == {"redirect": "103", "return_timeout": 15, "caller_name": "Anna"}
    (caller,) = desk.asked
    assert (caller.phone, caller.line, caller.named) == ("+79000000001", "+74950000001", True)
    decision = noted()
    assert (decision.kind, decision.code) == ("routing", "manager_found")
    assert decision.details == {"client": "Anna", "extension": "103"}
    assert decision.call == Call.objects.get()
    assert decision.call.client == client


def test_what_is_not_known_in_time_is_not_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Zadarma, "answer_seconds", 0.2)
    answered = threading.Event()

    def slow(_caller: Caller, _deadline: float) -> Opinion:
        assert answered.wait(30)
        return Opinion("manager_found", "103")

    desk.opinion = slow
    assert desk.rings() == {}
    answered.set()
    assert noted().code == routing.LATE


def test_an_opinion_that_breaks_is_none(desk: Desk) -> None:
    def broken(_caller: Caller, _deadline: float) -> Opinion:
        raise RuntimeError("nobody knows")

    desk.opinion = broken
    assert desk.rings() == {}


def test_nobody_is_asked_about_a_hidden_number(desk: Desk) -> None:
    hidden = next(each for each in SCENARIOS if each.hidden)
    call = desk.pbx.new_call(hidden)
    assert json.loads(desk.pbx.tell(next(iter(desk.pbx.events(call)))).body) == {}
    assert desk.asked == []


def test_a_question_that_comes_twice_is_answered_twice_and_noted_once(desk: Desk) -> None:
    desk.opinion = lambda *_: Opinion("manager_found", "103")
    call = desk.pbx.new_call(SCENARIOS[0])
    start = next(iter(desk.pbx.events(call)))
    assert [json.loads(desk.pbx.tell(start).body) for _ in range(2)] == [{"redirect": "103", "return_timeout": 15}] * 2
    notes = InboxEvent.objects.filter(path__startswith="_callbridge")
    wait_until(lambda: notes.count() == 2, "the answers are not noted")
    assert noted().code == "manager_found"
    assert Call.objects.get().version == 1


def test_how_often_it_was_too_late_is_counted_for_each_connection(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.opinion = lambda *_: Opinion("manager_found", "103")
    desk.rings()
    noted()
    monkeypatch.setattr(Zadarma, "answer_seconds", 0.2)
    answered = threading.Event()

    def slow(_caller: Caller, _deadline: float) -> Opinion:
        assert answered.wait(30)
        return Opinion("manager_found", "103")

    desk.opinion = slow
    desk.rings()
    answered.set()
    notes = InboxEvent.objects.filter(path__startswith="_callbridge")
    wait_until(lambda: notes.count() == 2, "the second answer is not noted")
    inbox.drain()
    assert routing.answered_lately(desk.connection) == {"asked": 2, "late": 1}
    assert routing.answered_lately(ConnectionFactory.create()) == {"asked": 0, "late": 0}


def test_an_answer_given_before_the_call_is_known_is_noted_with_it(desk: Desk) -> None:
    desk.opinion = lambda *_: Opinion("manager_found", "103")
    desk.rings()
    notes = InboxEvent.objects.filter(path__startswith="_callbridge")
    wait_until(lambda: notes.exists(), "the answer is not noted")
    asked = InboxEvent.objects.exclude(path__startswith="_callbridge").get()
    body, asked.body = asked.body, b"event=NOTIFY_LATER"
    asked.save()
    inbox.drain()
    assert not Call.objects.exists()
    asked.body, asked.state = body, InboxEvent.State.NEW
    asked.save()
    inbox.drain()
    assert Decision.objects.get().call == notes.get().call == Call.objects.get()


def test_a_question_that_found_no_time_is_said_to_be_late(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """All threads were busy, say: who calls is looked up all the same, for the passport."""
    monkeypatch.setattr(Zadarma, "answer_seconds", -1.0)
    desk.opinion = lambda *_: Opinion("manager_found", "103")
    assert desk.rings() == {}
    assert noted().code == routing.LATE
