"""The inbox: what came is kept, understood or not; what is understood is folded; nobody waits for somebody else's."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import dramatiq
import pytest
from django.utils import timezone

from employees.models import Extension
from integrations.models import CallSync
from telephony import apart, calls, directory, inbox, told
from telephony.models import Call, Connection, InboxEvent, Participant
from telephony.providers import registry
from telephony.providers.base import NotUnderstood, Request, Secrets
from telephony.signals import calls_changed
from tests.emulators.mango import wire
from tests.factories import ConnectionFactory, EmployeeFactory, ExtensionFactory, IntegrationFactory

pytestmark = pytest.mark.django_db

State = InboxEvent.State
THREE_HOURS = 10_800


class Line:
    """A connection, and what its PBX sends."""

    def __init__(self, connection: Connection | None = None):
        self.connection = connection or ConnectionFactory.create()
        self.shift = 0

    def send(self, path: str, data: Any) -> InboxEvent:
        """Store one event as the door does."""
        text = data if isinstance(data, str) else json.dumps(data)
        secrets = self.connection.credentials
        body = wire.form_body(secrets["api_key"], secrets["api_salt"], text)
        event = inbox.event_of(directory.by_id(self.connection.pk), Request("POST", path, body))
        inbox.store([event])
        return event

    def leg(self, state: str, seq: int, call: str = "E1", extension: str = "101", client: str = "79000000001") -> None:
        said: dict[str, Any] = {"entry_id": call, "call_id": f"{call}-1", "seq": seq, "call_state": state}
        said |= {"timestamp": self._now(), "location": "abonent", "from": {"number": client}}
        to = {"extension": extension, "number": f"sip:user{extension}@x.ru", "line_number": "74950000001"}
        self.send("events/call", said | {"to": to, "dct": {"type": 0}})

    def summary(self, call: str = "E1", talk: int = 10) -> None:
        now = self._now()
        said: dict[str, Any] = {"entry_id": call, "call_direction": 1, "line_number": "74950000001"}
        said |= {"from": {"number": "79000000001"}, "to": {"extension": "101"}, "create_time": now - talk - 5}
        said |= {"forward_time": now - talk, "talk_time": now - talk if talk else 0, "end_time": now}
        self.send("events/summary", said | {"entry_result": int(bool(talk)), "disconnect_reason": 1110})

    def _now(self) -> int:
        return int(timezone.now().timestamp()) + self.shift


@pytest.fixture
def line() -> Line:
    found = Line()
    ExtensionFactory.create(company=found.connection.company, number="101", employee=EmployeeFactory.create())
    return found


def drain() -> None:
    while inbox.drain():
        pass


# --- What must not matter


@pytest.mark.django_db(transaction=True)
def test_a_queue_that_is_down_undoes_nothing(line: Line, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any, **__: Any) -> None:
        if InboxEvent.objects.count() == 1:  # the next event comes meanwhile
            line.summary()
        raise ConnectionError("nobody listens")

    monkeypatch.setattr(dramatiq.get_broker(), "enqueue", refuse)
    IntegrationFactory.create(company=line.connection.company, connections=[line.connection])
    line.leg("Appeared", 1)
    drain()
    drain()
    assert [event.state for event in InboxEvent.objects.all()] == [State.FOLDED, State.FOLDED]
    assert Call.objects.get().state == "finished"
    assert CallSync.objects.get().state == "wanted"


# --- What is not understood


def test_an_event_that_is_not_understood_is_kept_with_words(line: Line):
    line.send("events/call", "[]")
    line.leg("Appeared", 1)
    drain()
    failed, folded = InboxEvent.objects.order_by("id")
    assert (failed.state, folded.state) == (State.FAILED, State.FOLDED)
    assert failed.error
    assert bytes(failed.body)
    assert Call.objects.get().state == "ringing"


def test_what_was_not_understood_is_folded_after_a_mend(line: Line, monkeypatch: pytest.MonkeyPatch):
    provider = registry.get(line.connection.provider)

    def broken(request: Request) -> list[Any]:
        raise NotUnderstood("a field that nobody knew")

    with monkeypatch.context() as patch:
        patch.setattr(type(provider), "parse", lambda _self, request, _secrets: broken(request))
        line.leg("Appeared", 1)
        drain()
    event = InboxEvent.objects.get()
    assert (event.state, event.error, event.call) == (State.FAILED, "a field that nobody knew", None)
    InboxEvent.objects.update(state=State.NEW, error="")
    drain()
    event.refresh_from_db()
    assert event.state == State.FOLDED
    assert event.call == Call.objects.get()


def test_our_own_mistake_in_an_event_stops_nothing(line: Line, monkeypatch: pytest.MonkeyPatch):
    provider = registry.get(line.connection.provider)
    parse = type(provider).parse

    def sometimes(self: Any, request: Request, secrets: Secrets) -> list[Any]:
        return [][1] if b"E2" in request.body else parse(self, request, secrets)

    monkeypatch.setattr(type(provider), "parse", sometimes)
    line.leg("Appeared", 1, call="E1")
    line.leg("Appeared", 1, call="E2")
    drain()
    assert [call.key for call in Call.objects.all()] == ["E1"]
    assert "IndexError" in InboxEvent.objects.get(state=State.FAILED).error


def test_a_call_that_cannot_be_saved_holds_up_nobody_else(line: Line, monkeypatch: pytest.MonkeyPatch):
    """A bad value in one company's events is that company's trouble: the event is put aside with words."""
    apply = calls._apply

    def poisoned(call: Call, *rest: Any) -> bool:
        if call.key == "E2":
            raise ValueError("A string literal cannot contain NUL (0x00) characters.")
        return apply(call, *rest)

    monkeypatch.setattr(calls, "_apply", poisoned)
    line.leg("Appeared", 1, call="E1")
    line.leg("Appeared", 1, call="E2")
    Line().leg("Appeared", 1, call="E3")
    drain()
    assert sorted(Call.objects.values_list("key", flat=True)) == ["E1", "E3"]
    assert "NUL" in InboxEvent.objects.get(state=State.FAILED).error
    assert not InboxEvent.objects.filter(state=State.NEW).exists()


@pytest.mark.parametrize("odd", ["E" * 500, "E\x00E", "\ud800"], ids=["too-long", "nul", "half-a-character"])
def test_odd_values_of_a_vendor_stop_nothing(line: Line, odd: str):
    line.leg("Appeared", 1, call="E1")
    line.leg("Appeared", 1, call=odd, client=odd, extension=odd)
    line.leg("Connected", 2, call="E1")
    drain()
    assert Call.objects.get(key="E1").state == "answered"
    assert not InboxEvent.objects.filter(state=State.NEW).exists()


# --- Again, late, out of order


def test_a_repeated_event_changes_nothing(line: Line):
    line.leg("Appeared", 1)
    drain()
    before = Call.objects.values().get()
    event = InboxEvent.objects.values().get()
    InboxEvent.objects.create(**event | {"id": None, "state": State.NEW, "call_id": None})
    told: list[Any] = []

    def listen(calls: list[Call], **_: Any) -> None:
        told.extend(calls)

    calls_changed.connect(listen)
    drain()
    calls_changed.disconnect(listen)
    assert Call.objects.values().get() == before
    assert told == []
    assert InboxEvent.objects.filter(state=State.FOLDED, call__key="E1").count() == 2


def test_a_late_answer_does_not_reopen_a_call(line: Line):
    line.leg("Appeared", 1)
    line.leg("Disconnected", 3)
    line.summary(talk=10)
    drain()
    line.leg("Connected", 2)
    drain()
    call = Call.objects.get()
    assert (call.state, call.outcome, call.talk_seconds) == ("finished", "answered", 10)
    assert call.live_leg == ""


def test_events_in_one_drain_or_in_many_make_the_same_call(line: Line):
    for call, each in (("E1", drain), ("E2", lambda: None)):
        for send in (
            lambda call=call: line.leg("Appeared", 1, call=call),
            lambda call=call: line.leg("Connected", 2, call=call),
            lambda call=call: line.leg("Disconnected", 3, call=call),
            lambda call=call: line.summary(call=call),
        ):
            send()
            each()
    drain()
    fields = ("state", "outcome", "talk_seconds", "extension", "client_phone", "virtual_number", "employee")
    one, other = Call.objects.order_by("key").values(*fields)
    assert one == other
    assert Participant.objects.count() == 2


def test_the_same_id_in_two_accounts_is_two_calls(line: Line):
    other = Line()
    line.leg("Appeared", 1)
    other.leg("Appeared", 1)
    drain()
    assert Call.objects.count() == 2
    assert {call.company for call in Call.objects.all()} == {line.connection.company, other.connection.company}


# --- Clocks


@pytest.mark.parametrize("ahead", [0, THREE_HOURS])
def test_a_clock_that_is_ahead_is_recognised(line: Line, ahead: int):
    line.shift = ahead
    line.leg("Appeared", 1)
    drain()
    line.leg("Connected", 2)
    drain()
    line.connection.refresh_from_db()
    call = Call.objects.get()
    assert line.connection.clock_shift == ahead
    assert call.answered_at
    assert abs(call.answered_at - timezone.now()) < timedelta(minutes=1)
    assert abs(call.started_at - timezone.now()) < timedelta(minutes=1)


def test_an_old_event_says_nothing_of_the_clock(line: Line):
    line.shift = -86_400
    line.leg("Appeared", 1)
    drain()
    line.connection.refresh_from_db()
    assert line.connection.clock_shift is None


# --- Fairness


def test_a_flood_of_one_account_does_not_hold_up_another(line: Line):
    """However much waits before it: the other account's event is in the next batch."""
    for number in range(100):
        line.leg("Appeared", 1, call=f"F{number}")
    other = Line()
    other.leg("Appeared", 1, call="other")
    inbox.drain(limit=10)
    assert Call.objects.filter(key="other").exists()
    assert Call.objects.filter(connection=line.connection).count() >= 5


def test_everything_is_taken_in_the_end(line: Line):
    others = [Line() for _ in range(3)]
    for number in range(20):
        for each in (line, *others):
            each.leg("Appeared", 1, call=f"F{number}")
    while inbox.drain(limit=7):
        pass
    assert Call.objects.count() == 80


# --- Events that cannot be folded, or only slowly


class Folded:
    """Which calls were folded, batch by batch, and the poison in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[list[str]] = []
        self._take_in = calls.take_in
        monkeypatch.setattr(calls, "take_in", self)

    def __call__(self, told: calls.Told) -> list[Call]:
        keys = sorted(key for _, key in told.facts)
        self.batches.append(keys)
        if any(key.startswith("poison") for key in keys):
            raise ValueError("cannot be saved")
        return self._take_in(told)


def test_poison_of_one_company_is_folded_after_everybody_elses(line: Line, monkeypatch: pytest.MonkeyPatch):
    folded, others = Folded(monkeypatch), [Line() for _ in range(3)]
    for number in range(20):
        line.leg("Appeared", 1, call=f"poison{number}")
    for each in others:
        each.leg("Appeared", 1, call="good")
    inbox.drain()
    assert Call.objects.count() == 3
    assert InboxEvent.objects.filter(connection=line.connection, state=State.NEW).exists()
    # From now on its events stand in nobody's way: those of the others are one batch again.
    for each in others:
        each.leg("Connected", 2, call="good")
    folded.batches.clear()
    inbox.drain()
    assert folded.batches[0] == ["good"] * 3
    drain()
    assert InboxEvent.objects.filter(state=State.FAILED, error__contains="cannot be saved").count() == 20
    assert not InboxEvent.objects.filter(state=State.NEW).exists()


def test_who_is_kept_apart_is_folded_all_the_same(line: Line, monkeypatch: pytest.MonkeyPatch):
    Folded(monkeypatch)
    line.leg("Appeared", 1, call="poison")
    drain()
    for number in range(30):
        line.leg("Appeared", 1, call=f"E{number}")
    drain()
    assert Call.objects.count() == 30


def test_who_is_kept_apart_takes_his_turns_with_others_of_his_kind(line: Line):
    other = Line()
    for each in (line, other):
        apart.put(each.connection.pk, "slow")
        for number in range(20):
            each.leg("Appeared", 1, call=f"E{number}")
    inbox.drain()
    inbox.drain()
    counts = [Call.objects.filter(connection=each.connection).count() for each in (line, other)]
    assert counts == [inbox.FEW, inbox.FEW]


def test_who_takes_long_is_kept_apart(line: Line, monkeypatch: pytest.MonkeyPatch):
    clock = SimpleNamespace(now=0.0)
    provider = registry.get(line.connection.provider)
    parse = type(provider).parse

    def slow(self: Any, request: Request, secrets: Secrets) -> list[Any]:
        clock.now += 0.1 if b"slow" in request.body else 0.0001
        return parse(self, request, secrets)

    monkeypatch.setattr(type(provider), "parse", slow)
    monkeypatch.setattr(told, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    other = Line()
    for number in range(10):
        line.leg("Appeared", 1, call=f"slow{number}")
        other.leg("Appeared", 1, call=f"quick{number}")
    drain()
    assert apart.ids() == [line.connection.pk]
    assert Call.objects.count() == 20


def test_a_call_without_an_end_of_events_stops_growing(line: Line, monkeypatch: pytest.MonkeyPatch):
    """Each fold reads them all: a call that takes ever longer would hold up everybody."""
    monkeypatch.setattr(calls, "MOST_EVENTS", 10)
    for seq in range(20):
        line.leg("Appeared", seq + 1)
        drain()
    assert InboxEvent.objects.filter(state=State.FOLDED).count() == 11
    assert "more than 10 events" in InboxEvent.objects.filter(state=State.FAILED).first().error  # type: ignore[union-attr]


# --- People


def test_an_extension_that_nobody_knows_is_written_down(line: Line):
    line.leg("Appeared", 1, extension="777")
    drain()
    found = Extension.objects.get(company=line.connection.company, number="777")
    assert (found.handling, found.employee) == (Extension.Handling.UNKNOWN, None)
    assert Call.objects.get().employee is None


def test_a_known_extension_names_the_employee(line: Line):
    line.leg("Appeared", 1)
    drain()
    known = Extension.objects.get(number="101")
    assert Call.objects.get().employee == known.employee
    assert Participant.objects.get().employee == known.employee


def test_a_decision_about_an_extension_reaches_the_calls_before_it(line: Line):
    line.leg("Appeared", 1, extension="777")
    line.leg("Connected", 2, extension="777")
    drain()
    found = Extension.objects.get(number="777")
    found.handling, found.employee = Extension.Handling.EMPLOYEE, EmployeeFactory.create()
    found.save()
    before = Call.objects.get()
    inbox.refold([before])
    after = Call.objects.get()
    assert after.employee == found.employee
    assert after.version > before.version
    assert Participant.objects.get().employee == found.employee
