"""How long data is kept: what is too old goes, all of it and nothing else, and no call forgets what it was."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from employees.models import Company, Extension
from telephony import files, inbox, keeping, recordings
from telephony.events import close_event
from telephony.fold import CallState
from telephony.models import (
    Call,
    Connection,
    Exchange,
    ExchangeCall,
    InboxEvent,
    LooseFile,
    Participant,
    Recording,
)
from tests.factories import (
    CallFactory,
    ConnectionFactory,
    EmployeeFactory,
    ExchangeFactory,
    InboxEventFactory,
    RecordingFactory,
)
from tests.telephony.test_inbox import Line, drain

pytestmark = pytest.mark.django_db

State = InboxEvent.State
DAYS = {"recordings_kept_days": 90, "events_kept_days": 90, "exchanges_kept_days": 90}


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "BATCH", 3)
    monkeypatch.setattr(keeping, "BREATH", 0)


def ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


def connection_of(**kept: int | None) -> Connection:
    found: Connection = ConnectionFactory.create()
    Company.objects.filter(pk=found.company_id).update(**kept)
    return found


def events(connection: Connection, call: Call | None, days: float, count: int = 1, **values: Any) -> None:
    for _ in range(count):
        InboxEventFactory.create(connection=connection, call=call, received_at=ago(days), **values)


# --- What goes and what stays


def test_old_events_go_and_seal_their_calls():
    connection, other = connection_of(events_kept_days=90), connection_of(events_kept_days=365)
    old, young = CallFactory.create(connection=connection), CallFactory.create(connection=connection)
    foreign = CallFactory.create(connection=other)
    events(connection, old, 91, count=7)
    events(connection, None, 91, count=4)
    events(connection, None, 91, state=State.FAILED, error="?")
    events(connection, young, 89, count=2)
    events(other, foreign, 91, count=2)
    keeping.delete_old()
    assert set(InboxEvent.objects.values_list("call", flat=True)) == {young.pk, foreign.pk}
    assert InboxEvent.objects.count() == 4
    assert [call.key for call in Call.objects.exclude(sealed_at=None)] == [old.key]
    assert Call.objects.count() == 3


def test_events_of_a_call_that_is_not_over_stay_and_hold_up_nothing():
    connection = connection_of(events_kept_days=30)
    live = CallFactory.create(connection=connection, state="ringing")
    over = CallFactory.create(connection=connection)
    events(connection, live, 40, count=5)
    events(connection, None, 40, count=5, state=State.NEW)
    events(connection, over, 39, count=5)
    keeping.delete_old()
    assert set(InboxEvent.objects.values_list("call", "state")) == {(live.pk, State.FOLDED), (None, State.NEW)}
    assert InboxEvent.objects.count() == 10
    live.refresh_from_db()
    assert live.sealed_at is None


def test_old_requests_go_and_their_calls_say_so():
    connection = connection_of(exchanges_kept_days=90)
    call, other = CallFactory.create(connection=connection), CallFactory.create()
    for days in (91, 92, 93, 94, 10):
        ExchangeFactory.create(company=connection.company, at=ago(days), call=call)
    ExchangeFactory.create(company=other.company, at=ago(91), call=other)
    keeping.delete_old()
    assert Exchange.objects.filter(company=connection.company).count() == 1
    assert Exchange.objects.filter(company=other.company).count() == 1
    assert ExchangeCall.objects.count() == 2
    assert list(Call.objects.exclude(log_deleted_at=None)) == [call]


@pytest.mark.parametrize("kept", [90, None])
def test_old_recordings_go_unless_they_are_kept_for_ever(kept: int | None, folder: Path):
    connection = connection_of(recordings_kept_days=kept)
    call = CallFactory.create(connection=connection)
    for days in (91, 92, 93, 94, 1):
        RecordingFactory.create(call=call, content=b"ID3" + bytes([days]), stored_at=ago(days))
    RecordingFactory.create(call=call, state=Recording.State.FAILED)
    keeping.delete_old()
    files.remove_loose()
    kept_rows = Recording.objects.filter(state=Recording.State.STORED)
    assert kept_rows.count() == (1 if kept else 5)
    assert {path.name for path in folder.rglob("*.mp3")} == {str(row.file).rsplit("/", 1)[-1] for row in kept_rows}
    for row in Recording.objects.filter(state=Recording.State.DELETED):
        assert row.deleted_at
        assert not row.file
        assert recordings.by_link(str(row.uuid), "x") is None
        assert not recordings.request_again(row)
    assert Recording.objects.count() == 6
    assert not LooseFile.objects.exists()


def test_whoever_dies_before_the_file_is_removed_leaves_it_to_the_next(folder: Path):
    call = CallFactory.create(connection=connection_of(recordings_kept_days=90))
    row = RecordingFactory.create(call=call, content=b"ID3", stored_at=ago(91))
    keeping.delete_old()  # the row; and here the process dies
    row.refresh_from_db()
    assert row.state == Recording.State.DELETED
    assert len(list(folder.rglob("*.mp3"))) == 1
    assert files.remove_loose() == 1
    assert not list(folder.rglob("*.mp3"))


def test_what_is_fetched_while_the_rule_deletes_it_stays_deleted(monkeypatch: pytest.MonkeyPatch, folder: Path):
    call = CallFactory.create(connection=connection_of(recordings_kept_days=90))
    row = RecordingFactory.create(call=call, content=b"ID3", stored_at=ago(91))
    recordings.request_again(row)
    claimed = recordings._claim(row.pk)
    assert claimed
    keeping.delete_old()
    recordings._store(claimed, (folder / "new.mp3").open("w+b"), "mp3")
    (folder / "new.mp3").unlink()
    recordings._later(claimed, "in vain", None, final=False)
    row.refresh_from_db()
    assert (row.state, row.due_at, row.error) == (Recording.State.DELETED, None, "")
    LooseFile.objects.update(held_until=None)
    files.remove_loose()
    assert not list(folder.rglob("*.mp3"))


# --- A sealed call


def told_of(line: Line) -> Call:
    line.leg("Appeared", 1)
    line.leg("Connected", 2)
    line.leg("Disconnected", 3)
    line.summary(talk=10)
    drain()
    return Call.objects.get()


def facts(call: Call) -> dict[str, Any]:
    """All that is known of a call."""
    return {
        **Call.objects.filter(pk=call.pk).values().get(),
        "people": list(Participant.objects.filter(call=call).order_by("position").values()),
        "audio": list(Recording.objects.filter(call=call).order_by("id").values("key", "state", "extension")),
    }


@pytest.fixture
def line() -> Line:
    return Line(connection_of(**DAYS))


def test_a_late_event_changes_nothing_and_is_kept(line: Line):
    call = told_of(line)
    with time_machine.travel(timezone.now() + timedelta(days=91)):
        keeping.delete_old()
        sealed = facts(call)
        line.leg("Appeared", 1, extension="102", client="79000000009")
        drain()
        assert facts(call) == sealed
        late = InboxEvent.objects.get()
        assert (late.state, late.call) == (State.FOLDED, call)
    with time_machine.travel(timezone.now() + timedelta(days=182)):
        keeping.delete_old()
    assert not InboxEvent.objects.exists()
    assert facts(call) == sealed


def test_an_extensions_new_owner_leaves_a_sealed_call_as_it_was(line: Line):
    call = told_of(line)
    with time_machine.travel(timezone.now() + timedelta(days=91)):
        keeping.delete_old()
        before = facts(call)
        owner = EmployeeFactory.create(company=line.connection.company)
        Extension.objects.update(employee=owner, handling=Extension.Handling.EMPLOYEE)
        inbox.refold([call])
    grown = {"version": 0, "changed_at": None}
    assert facts(call) | grown == before | grown


def test_another_name_of_a_sealed_call_begins_no_new_one(line: Line):
    call = told_of(line)
    call.aliases.create(connection=line.connection, key="E1-again")
    Call.objects.update(sealed_at=timezone.now())
    InboxEvent.objects.all().delete()
    before = facts(call)
    line.leg("Appeared", 1, call="E1-again")
    drain()
    assert Call.objects.count() == 1
    assert facts(call) == before


OPERATIONS = st.lists(st.sampled_from(["event", "again", "refold", "delete", "close", "day", "month"]), max_size=12)


@pytest.fixture
def at_some_time() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(datetime.now().astimezone(), tick=False) as traveller:
        yield traveller


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS, OPERATIONS, st.integers(0, 10**6))
def test_no_call_ever_forgets(at_some_time: time_machine.Traveller, first: list[str], then: list[str], seed: int):
    """Whatever is sent, repeated, folded again and deleted, in any order: as long as its events are there a call is the
    one that they tell (its twin's, of which nothing is deleted); from then on nothing of it changes."""
    rng = random.Random(seed)
    line, twin = Line(connection_of(events_kept_days=30)), Line(connection_of(events_kept_days=1095))
    script = _script()
    rng.shuffle(script)
    sent: list[Any] = []
    sealed: dict[str, Any] | None = None
    for operation in ["event", *first, "close", "month", "delete", *then]:
        if operation == "event" and script:
            sent.append(script.pop())
            for each in (line, twin):
                sent[-1](each)
        elif operation == "again":
            repeated = rng.choice(sent)
            for each in (line, twin):
                repeated(each)
        elif operation == "refold":
            for each in (line, twin):
                inbox.refold(list(Call.objects.filter(connection=each.connection)))
        elif operation == "delete":
            keeping.delete_old()
        elif operation == "close":
            for call in Call.objects.exclude(state=CallState.FINISHED):
                inbox.store([close_event(call.connection_id, call.key, "no_history", timezone.now())])
        elif operation in ("day", "month"):
            at_some_time.shift(timedelta(days=1 if operation == "day" else 31))
        drain()
        call = Call.objects.get(connection=line.connection)
        known = _timeless(call)
        if call.sealed_at is None:
            assert known == _timeless(Call.objects.get(connection=twin.connection))
            assert sealed is None
        else:
            sealed = sealed or known
            assert known == sealed
    assert sealed


def _script() -> list[Any]:
    began = timezone.now()

    def at(send: Any) -> Any:
        """What happened then, whenever it is sent."""

        def send_it(line: Line) -> None:
            line.shift = round((began - timezone.now()).total_seconds())
            send(line)

        return send_it

    return [
        at(lambda line: line.leg("Appeared", 1)),
        at(lambda line: line.leg("Connected", 2)),
        at(lambda line: line.leg("Disconnected", 3)),
        at(lambda line: line.leg("Appeared", 1, extension="102", client="79000000002")),
        at(lambda line: line.summary(talk=10)),
    ]


def _timeless(call: Call) -> dict[str, Any]:
    """What is known of a call, but for what differs between twins."""
    names = ["direction", "state", "outcome", "client_phone", "extension", "first_extension", "talk_seconds"]
    names += ["wait_seconds", "started_at", "answered_at", "ended_at"]
    people = call.participants.order_by("position").values_list("extension", "state", "rang_at", "answered_at", "why")
    return {**{name: getattr(call, name) for name in names}, "people": list(people)}
