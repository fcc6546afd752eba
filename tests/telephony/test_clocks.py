"""Clocks that are wrong: no event is lost, no call is at an impossible time, nothing waits for what is over."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from outbound.limits import Limit, MemoryLimiter
from telephony import clocks, directory, inbox, passport, recordings, schedule, words
from telephony.exchanges import DatabaseLimiter
from telephony.models import Call, Connection, Decision, InboxEvent, RateState, Recording, Schedule
from telephony.providers.base import NO_TIME, Leg, LegState, Request, Summary
from tests.emulators.mango import wire
from tests.factories import ConnectionFactory, RecordingFactory

NOW = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY, YEAR = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=365)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# --- One fact


def leg(at: datetime) -> Leg:
    return Leg(call="E", at=at, leg="L", seq=1, state=LegState.RINGING)


@pytest.mark.parametrize("at", [NOW, NOW - DAY, NOW - 7 * DAY, NOW + 5 * MINUTE])
def test_what_can_be_is_left_as_it_is(at: datetime):
    assert clocks.made_possible(leg(at), NOW) == leg(at)


@pytest.mark.parametrize("at", [EPOCH, NO_TIME, NOW - YEAR, NOW + HOUR, NOW + YEAR, datetime.max.replace(tzinfo=UTC)])
def test_what_cannot_be_is_at_its_receipt(at: datetime):
    assert clocks.made_possible(leg(at), NOW) == leg(NOW)


def summary(at: datetime, started: datetime | None, answered: datetime | None, talk: int | None) -> Summary:
    return Summary(call="E", at=at, started_at=started, answered_at=answered, talk_seconds=talk)


USUAL = summary(NOW, NOW - 2 * MINUTE, NOW - MINUTE, 60)


@pytest.mark.parametrize(
    ("said", "made"),
    [
        (USUAL, USUAL),
        (summary(NOW, None, None, 0), summary(NOW, None, None, 0)),
        # A clock that is wrong by a constant still says how long things took.
        (summary(NOW + HOUR, NOW + HOUR - 2 * MINUTE, NOW + HOUR - MINUTE, 60), USUAL),
        (summary(EPOCH + HOUR, EPOCH + HOUR - 2 * MINUTE, EPOCH + HOUR - MINUTE, 60), USUAL),
        # Single moments that cannot be.
        (summary(NO_TIME, NOW - 2 * MINUTE, NOW - MINUTE, 0), USUAL),
        (summary(NOW, EPOCH, NOW - MINUTE, 60), summary(NOW, None, NOW - MINUTE, 60)),
        (summary(NOW, NOW - 2 * MINUTE, EPOCH, 10**12), summary(NOW, NOW - 2 * MINUTE, NOW - 2 * MINUTE, 120)),
        (summary(NOW, NOW + MINUTE, NOW + MINUTE, -60), summary(NOW, NOW, NOW, 0)),
        (summary(NO_TIME, NO_TIME, NO_TIME, 0), summary(NOW, None, NOW, 0)),
        (summary(NOW, None, None, 10**12), summary(NOW, None, None, 24 * 3600)),
    ],
)
def test_a_summary_keeps_what_can_be_of_it(said: Summary, made: Summary):
    assert clocks.made_possible(said, NOW) == made


# --- Events


class Line:
    """A PBX whose clock shows what it is told."""

    def __init__(self) -> None:
        self.connection: Connection = ConnectionFactory.create(clock_shift=0)

    def send(self, path: str, said: dict[str, Any]) -> None:
        secrets = self.connection.credentials
        body = wire.form_body(secrets["api_key"], secrets["api_salt"], json.dumps(said))
        event = inbox.event_of(directory.by_id(self.connection.pk), Request("POST", path, body))
        inbox.store([event])
        while inbox.drain():
            pass

    def leg(self, state: str, seq: int, when: Any, call: str = "E1") -> None:
        to = {"extension": "101", "line_number": "74950000001"}
        said = {"entry_id": call, "call_id": f"{call}-1", "seq": seq, "call_state": state, "timestamp": when}
        self.send("events/call", said | {"location": "abonent", "from": {"number": "79000000001"}, "to": to})

    def summary(self, began: Any, talked: Any, ended: Any, call: str = "E1") -> None:
        said = {"entry_id": call, "call_direction": 1, "create_time": began, "talk_time": talked, "end_time": ended}
        self.send("events/summary", said | {"from": {"number": "79000000001"}, "to": {"extension": "101"}})


@pytest.fixture
def line() -> Line:
    return Line()


IMPOSSIBLE = [0, -5, 1, 4102444800, 10**30, float("nan"), float("inf"), "yesterday", None]


@pytest.mark.django_db
@pytest.mark.parametrize("when", IMPOSSIBLE)
def test_a_call_with_an_impossible_clock_is_a_call_of_now(line: Line, when: Any):
    with time_machine.travel(NOW, tick=False):
        line.leg("Appeared", 1, when)
    with time_machine.travel(NOW + 5 * timedelta(seconds=1), tick=False):
        line.leg("Connected", 2, when)
    with time_machine.travel(NOW + 65 * timedelta(seconds=1), tick=False):
        line.leg("Disconnected", 3, when)
        ticks = when in (1, 4102444800)  # a clock that is wrong, and goes
        never = when in (0, -5, None)  # what the vendor writes where nobody talked
        line.summary(when, 1 if never else when + 5 if ticks else when, when + 65 if ticks else when)
    call = Call.objects.get()
    assert (call.state, call.outcome) == ("finished", "answered")
    assert call.started_at == NOW
    assert call.ended_at == NOW + 65 * timedelta(seconds=1)
    assert 0 <= call.talk_seconds <= 65
    assert 0 <= call.wait_seconds <= 65
    assert InboxEvent.objects.filter(state=InboxEvent.State.FOLDED).count() == 4
    (note,) = Decision.objects.all()
    assert note.kind == "clock"
    shown = [moment.text for moment in passport.compose(call, words.DECISIONS).decisions]
    assert shown == [f"{words.KINDS['clock']}: {words.in_words(words.DECISIONS, note.code, note.details)}"]


@pytest.mark.django_db
def test_an_event_of_last_week_is_a_call_of_last_week(line: Line):
    week = int((timezone.now() - 7 * DAY).timestamp())
    line.leg("Appeared", 1, week)
    call = Call.objects.get()
    assert call.started_at == datetime.fromtimestamp(week, UTC)
    assert timezone.now() - call.first_received_at < MINUTE
    assert not Decision.objects.exists()


@pytest.mark.django_db
def test_a_journal_in_order_stays_in_order(line: Line):
    for number, when in enumerate([NOW.timestamp(), 1, 4102444800, NOW.timestamp() + 3]):
        with time_machine.travel(NOW + timedelta(seconds=number), tick=False):
            line.leg("Appeared", 1, int(when), call=f"E{number}")
    assert list(Call.objects.order_by("started_at").values_list("key", flat=True)) == ["E0", "E1", "E2", "E3"]


@pytest.mark.django_db
def test_a_call_that_waited_in_the_inbox_was_received_when_it_came(line: Line):
    secrets = line.connection.credentials
    said = {"entry_id": "E1", "call_id": "L", "seq": 1, "call_state": "Appeared", "timestamp": 1}
    body = wire.form_body(secrets["api_key"], secrets["api_salt"], json.dumps(said))
    with time_machine.travel(NOW, tick=False):
        inbox.store([inbox.event_of(directory.by_id(line.connection.pk), Request("POST", "events/call", body))])
    inbox.drain()
    assert Call.objects.get().first_received_at == NOW


# --- Our own clock is put back

BACK = timedelta(days=400)


@pytest.mark.django_db
def test_an_account_is_not_blocked_by_the_time_before_the_step():
    limit, limiter = Limit("account", rate=1, burst=3), DatabaseLimiter()
    with time_machine.travel(NOW + BACK, tick=False):
        while not limiter.take((limit,)):
            pass
    with time_machine.travel(NOW, tick=False):
        assert limiter.take((limit,)) <= 1
    with time_machine.travel(NOW + timedelta(seconds=1), tick=False):
        assert limiter.take((limit,)) == 0


def test_the_limiter_of_one_process_survives_it_too():
    limit, limiter = Limit("account", rate=1), MemoryLimiter()
    with time_machine.travel(NOW + BACK, tick=False):
        assert limiter.take((limit,)) == 0
    with time_machine.travel(NOW, tick=False):
        assert limiter.take((limit,)) <= 1


@pytest.mark.django_db
def test_a_vendors_stop_ends_although_the_clock_went_back():
    limiter = DatabaseLimiter()
    with time_machine.travel(NOW + BACK, tick=False):
        limiter.block("account", 60)
    with time_machine.travel(NOW, tick=False):
        limiter.block("other", 60)
        limiter.mend_after_a_clock_step()
        assert limiter.blocked(("account", "other")).keys() == {"other"}
    assert RateState.objects.count() == 2


@pytest.mark.django_db
def test_repeated_work_goes_on(monkeypatch: pytest.MonkeyPatch):
    ran: list[datetime] = []
    monkeypatch.setattr(schedule, "_tasks", {"task": (lambda: ran.append(timezone.now()), 10)})
    with time_machine.travel(NOW + BACK, tick=False):
        schedule.run_due()
    for seconds in (0, 5, 10):
        with time_machine.travel(NOW + timedelta(seconds=seconds), tick=False):
            schedule.run_due()
    assert ran == [NOW + BACK, NOW, NOW + timedelta(seconds=10)]
    assert Schedule.objects.get().due_at == NOW + timedelta(seconds=20)


@pytest.mark.django_db
def test_recordings_are_fetched_although_the_clock_went_back():
    far = NOW + BACK
    row = RecordingFactory.create(state=Recording.State.READY, due_at=far, lease_until=far)
    fresh = RecordingFactory.create(state=Recording.State.READY, due_at=NOW, lease_until=NOW + recordings.LEASE)
    with time_machine.travel(NOW, tick=False):
        recordings.mend_after_a_clock_step()
    with time_machine.travel(NOW + timedelta(seconds=1), tick=False):
        assert recordings.due() == [row.pk]
    fresh.refresh_from_db()
    assert fresh.lease_until == NOW + recordings.LEASE
