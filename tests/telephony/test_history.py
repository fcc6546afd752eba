"""A PBX's own history is the authority: what it has and we lack comes in, once, whatever breaks on the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from outbound.errors import Rejected, Temporary
from telephony import backfill, calls, coverage, history, inbox, webhooks
from telephony.events import HISTORY_PATH
from telephony.models import (
    Call,
    Connection,
    CoverageDay,
    HistoryRun,
    InboxEvent,
    Participant,
    Recording,
    Schedule,
    WebhookAddress,
)
from telephony.providers import registry
from telephony.providers.base import Request
from tests.emulators.mango import wire
from tests.factories import CallAliasFactory, CallFactory, ConnectionFactory, RecordingFactory
from tests.telephony.conftest import NOW, Pbx, finish
from tests.telephony.test_inbox import Line, drain

pytestmark = pytest.mark.django_db

Kind, State = HistoryRun.Kind, HistoryRun.State


def check(pbx: Pbx) -> HistoryRun:
    return finish(history.check(pbx.connection))


# --- Calls that we lack -----------------------------------------------------------------------------------------------


def test_a_call_that_we_do_not_know_comes_in_as_it_was(pbx: Pbx) -> None:
    pbx.remember("E1", recordings=("R1",))
    run = check(pbx)
    assert (run.state, run.found, run.filled, run.corrected) == (State.DONE, 1, 1, 0)
    call = Call.objects.get()
    began = NOW - timedelta(hours=1)
    assert (call.key, call.source, call.direction, call.outcome) == ("E1", "history", "in", "answered")
    assert (call.client_phone, call.virtual_number) == ("+79000000001", "+74950000001")
    assert (call.started_at, call.ended_at, call.talk_seconds) == (began, began + timedelta(seconds=25), 20)
    person = Participant.objects.get()
    assert (person.extension, person.answered_at) == ("101", began + timedelta(seconds=5))
    assert (Recording.objects.get().key, Recording.objects.get().state) == ("R1", "ready")


def test_to_ask_again_changes_nothing(pbx: Pbx) -> None:
    pbx.remember("E1", recordings=("R1",))
    pbx.remember("E2", talk=None)
    check(pbx)
    before, events = list(Call.objects.values()), InboxEvent.objects.count()
    run = check(pbx)
    assert (run.found, run.filled, run.corrected) == (2, 0, 0)
    assert list(Call.objects.values()) == before
    assert InboxEvent.objects.count() == events


def test_a_call_under_another_id_is_known(pbx: Pbx) -> None:
    call = CallFactory.create(connection=pbx.connection, key="E1", talk_seconds=20)
    CallAliasFactory.create(call=call, connection=pbx.connection, key="other")
    pbx.remember("other")
    assert (check(pbx).filled, Call.objects.count()) == (0, 1)


@pytest.mark.parametrize(("known", "filled", "state"), [("E1", 3, State.DONE), ("other", 0, State.FAILED)])
def test_a_history_that_names_calls_otherwise_doubles_none(pbx: Pbx, known: str, filled: int, state: str) -> None:
    began = NOW - timedelta(hours=1)
    for key in (known, "L2", "L3"):
        CallFactory.create(connection=pbx.connection, key=key, started_at=began, ended_at=began, talk_seconds=20)
    for key in ("E1", "E2", "E3", "E4"):
        pbx.remember(key)
    run = check(pbx)
    assert (run.state, run.filled) == (state, filled)
    assert bool(run.error) is (state == State.FAILED)


def test_a_call_that_goes_on_is_left_alone(pbx: Pbx) -> None:
    pbx.remember("E1", ended_at=None, why=None)
    pbx.remember("E2", ago=timedelta(minutes=1))  # its last leg has just ended: it may go on with another one
    run = check(pbx)
    assert (run.state, run.found, run.filled, run.going_on) == (State.DONE, 2, 0, ["E1", "E2"])
    assert not Call.objects.exists()
    assert [each["why"] for each in CoverageDay.objects.get(day="2026-03-04").missing] == ["going_on", "going_on"]


def test_a_history_that_lacks_a_leg_ends_no_call(pbx: Pbx, clock: Any) -> None:
    """101 has handed the client on, and 102 talks: the history has only what is over."""
    line = Line(pbx.connection)
    line.leg("Appeared", 1)
    drain()
    clock.shift(timedelta(minutes=5))
    line.leg("Connected", 2)
    drain()
    clock.shift(timedelta(minutes=5))
    pbx.remember("E1", ago=timedelta(minutes=10), talk=20)
    run = check(pbx)
    assert (run.corrected, run.going_on, Call.objects.get().state) == (0, ["E1"], "answered")


def test_what_waits_in_the_inbox_is_folded_before_anything_is_missed(pbx: Pbx) -> None:
    line = Line(pbx.connection)
    line.leg("Appeared", 1)
    line.leg("Connected", 2)
    line.leg("Disconnected", 3)
    line.summary(talk=20)
    pbx.remember("E1", ago=timedelta(seconds=400))
    assert check(pbx).filled == 0
    assert Call.objects.get().source == "live"


@pytest.mark.parametrize("ahead", [0, 10_800])
def test_a_clock_that_is_ahead_is_honoured(pbx: Pbx, ahead: int) -> None:
    Connection.objects.update(clock_shift=ahead)
    pbx.remember("E1", ago=timedelta(hours=1) - timedelta(seconds=ahead))
    run = check(pbx)
    assert pbx.asked[0][1] == run.until + timedelta(seconds=ahead)
    assert Call.objects.get().started_at == NOW - timedelta(hours=1)
    assert CoverageDay.objects.get(day="2026-03-04").told == 1


# --- Calls that we know otherwise -------------------------------------------------------------------------------------


def test_an_unfinished_call_is_finished(pbx: Pbx, clock: Any) -> None:
    line = Line(pbx.connection)
    line.leg("Appeared", 1)
    line.leg("Connected", 2)
    drain()
    clock.shift(timedelta(minutes=10))
    pbx.remember("E1", ago=timedelta(minutes=10))
    run = check(pbx)
    call = Call.objects.get()
    assert (run.filled, run.corrected) == (0, 1)
    assert (call.state, call.outcome, call.talk_seconds, call.source) == ("finished", "answered", 20, "live")
    assert [person.extension for person in Participant.objects.all()] == ["101"]


def test_what_contradicts_is_corrected(pbx: Pbx) -> None:
    line = Line(pbx.connection)
    line.leg("Appeared", 1)
    line.leg("Disconnected", 3)
    line.summary(talk=0)
    drain()
    assert Call.objects.get().outcome == "missed"
    pbx.remember("E1", recordings=("R1",))
    assert check(pbx).corrected == 1
    call = Call.objects.get()
    assert (call.outcome, call.talk_seconds) == ("answered", 20)
    assert Recording.objects.get().key == "R1"
    assert check(pbx).corrected == 0


def test_a_recording_that_nobody_announced_is_fetched(pbx: Pbx) -> None:
    call = CallFactory.create(connection=pbx.connection, key="E1", talk_seconds=20)
    RecordingFactory.create(call=call, key="R1", content=b"audio")
    pbx.remember("E1", recordings=("R1",))
    assert check(pbx).corrected == 0
    pbx.legs.clear()
    pbx.remember("E1", recordings=("R1", "R2"))
    assert check(pbx).corrected == 1
    assert dict(Recording.objects.values_list("key", "state")) == {"R1": "stored", "R2": "ready"}


# --- What breaks ------------------------------------------------------------------------------------------------------


def poison(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """This call cannot be folded."""
    apply = calls._apply

    def poisoned(call: Call, *rest: Any) -> bool:
        if call.key == key:
            raise ValueError("no such thing")
        return apply(call, *rest)

    monkeypatch.setattr(calls, "_apply", poisoned)


def test_what_cannot_be_folded_is_told_once_and_named(pbx: Pbx, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, "E2")
    pbx.remember("E1")
    pbx.remember("E2")
    check(pbx)
    check(pbx)
    assert [call.key for call in Call.objects.all()] == ["E1"]
    assert InboxEvent.objects.filter(state=InboxEvent.State.FAILED, path=HISTORY_PATH).count() == 1
    day = coverage.days(pbx.connection, 1)[0]
    assert (day.here, day.told) == (1, 2)
    assert [(call.phone, call.extension) for call in day.missing] == [("+79000000001", "101")]


def test_a_call_that_came_meanwhile_is_missing_no_more(pbx: Pbx) -> None:
    pbx.remember("E1", ended_at=None)
    check(pbx)
    assert len(coverage.days(pbx.connection, 1)[0].missing) == 1
    CallFactory.create(connection=pbx.connection, key="E1")
    assert coverage.days(pbx.connection, 1)[0].missing == []


def test_a_look_that_fails_is_tried_again_and_says_why(pbx: Pbx, clock: Any) -> None:
    def fail() -> None:
        raise Temporary("Mango is asleep")

    pbx.remember("E1")
    pbx.before = fail
    run = check(pbx)
    assert (run.state, run.error, run.attempts, run.lease) == (State.OPEN, "Mango is asleep", 1, None)
    assert run.not_before
    pbx.before = lambda: None
    clock.move_to(run.not_before)
    run = finish(run)
    assert (run.state, run.error, run.filled) == (State.DONE, "", 1)


def test_a_person_need_not_wait_for_the_next_try(pbx: Pbx) -> None:
    def fail() -> None:
        raise Temporary("Mango is asleep")

    pbx.before = fail
    run = check(pbx)
    assert history.due() == []
    pbx.before = lambda: None
    assert check(pbx) == run
    assert HistoryRun.objects.get().state == State.DONE


def test_a_look_is_given_up_in_the_end(pbx: Pbx, clock: Any) -> None:
    def fail() -> None:
        raise [][1]  # our own mistake is no end of the world either

    pbx.before = fail
    run = history.check(pbx.connection)
    for _ in range(history.MOST_TRIES):
        finish(run)
        clock.shift(timedelta(hours=1))
    assert (run.state, run.attempts) == (State.FAILED, history.MOST_TRIES)
    assert "IndexError" in run.error


def test_a_final_refusal_is_not_repeated(pbx: Pbx) -> None:
    def refuse() -> None:
        raise Rejected("no history for this tariff")

    pbx.before = refuse
    assert (check(pbx).state, len(pbx.asked)) == (State.FAILED, 1)


def test_whoever_dies_in_between_loses_nothing_and_doubles_nothing(
    pbx: Pbx, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events and their count are one commit; the fold may come later and by another hand."""

    class Killed(BaseException):
        pass

    def die() -> int:
        raise Killed

    pbx.remember("E1")
    pbx.remember("E2")
    run = history.check(pbx.connection)
    tell = backfill._tell
    monkeypatch.setattr(backfill, "_tell", _then(tell, die))
    with pytest.raises(Killed):
        history.work(run.pk)
    run.refresh_from_db()
    assert (run.state, run.filled, Call.objects.count()) == (State.OPEN, 2, 0)
    assert history.due() == []  # somebody else must not work at it before the lease is over
    monkeypatch.setattr(backfill, "_tell", tell)
    clock.shift(history.LEASE + timedelta(seconds=1))
    run = finish(run)
    assert (run.state, run.filled, Call.objects.count()) == (State.DONE, 2, 2)
    assert InboxEvent.objects.count() == 2


def _then(work: Callable[..., Any], after: Callable[[], Any]) -> Callable[..., Any]:
    def both(*arguments: Any) -> Any:
        work(*arguments)
        return after()

    return both


def test_a_lease_that_is_over_notes_nothing(pbx: Pbx) -> None:
    pbx.remember("E1")
    run = history.check(pbx.connection)
    pbx.before = lambda: HistoryRun.objects.update(lease=None)
    history.work(run.pk)
    run.refresh_from_db()
    assert (run.reached, run.filled, Call.objects.count()) == (run.until, 0, 0)


# --- Import -----------------------------------------------------------------------------------------------------------


def test_an_import_goes_day_by_day_the_newest_first(pbx: Pbx) -> None:
    for day in range(4):
        pbx.remember(f"E{day}", ago=timedelta(days=day, hours=1))
    run = finish(history.bring_in(pbx.connection, 2, into_crm=False, asked_by=None))
    midnights = [datetime(2026, 3, day, 21, tzinfo=UTC) for day in (3, 2, 1)]
    assert pbx.asked == list(zip(midnights, [NOW, *midnights[:2]], strict=True))
    assert sorted(Call.objects.values_list("key", flat=True)) == ["E0", "E1", "E2"]
    assert (run.state, run.found, run.filled, run.percent) == (State.DONE, 3, 3, 100)
    assert [(day.told, day.here, day.whole) for day in coverage.days(pbx.connection, 4)] == [
        (1, 1, False),
        (1, 1, True),
        (1, 1, True),
        (None, 0, False),
    ]


def test_an_import_is_cancelled_between_two_days(pbx: Pbx) -> None:
    for day in range(3):
        pbx.remember(f"E{day}", ago=timedelta(days=day, hours=1))
    run = history.bring_in(pbx.connection, 2, into_crm=False, asked_by=None)
    pbx.before = lambda: history.cancel(run) if len(pbx.asked) == 2 else None
    finish(run)
    assert (run.state, run.lease, run.filled) == (State.CANCELLED, None, 1)
    assert [call.key for call in Call.objects.all()] == ["E0"]
    assert len(pbx.asked) == 2


def test_only_the_past_is_kept_out_of_the_crm(pbx: Pbx) -> None:
    """What began since the connection was made is a gap, and gaps are written."""
    pbx.remember("past", ago=timedelta(days=21))
    pbx.remember("gap", ago=timedelta(days=19))
    finish(history.bring_in(pbx.connection, 30, into_crm=False, asked_by=None))
    assert dict(Call.objects.values_list("key", "source")) == {"past": "import", "gap": "history"}


def test_an_import_may_be_repeated_for_the_crm(pbx: Pbx) -> None:
    pbx.remember("past", ago=timedelta(days=21))
    finish(history.bring_in(pbx.connection, 30, into_crm=False, asked_by=None))
    run = finish(history.bring_in(pbx.connection, 30, into_crm=False, asked_by=None))
    assert (run.filled, Call.objects.get().source) == (0, "import")
    run = finish(history.bring_in(pbx.connection, 30, into_crm=True, asked_by=None))
    assert (run.filled, Call.objects.get().source) == (1, "history")
    run = finish(history.bring_in(pbx.connection, 30, into_crm=True, asked_by=None))
    assert run.filled == 0


def test_a_correction_does_not_bring_the_past_into_the_crm(pbx: Pbx) -> None:
    pbx.remember("past", ago=timedelta(days=21))
    finish(history.bring_in(pbx.connection, 30, into_crm=False, asked_by=None))
    pbx.legs.clear()
    pbx.remember("past", ago=timedelta(days=21), recordings=("R1",))
    run = finish(history.bring_in(pbx.connection, 30, into_crm=False, asked_by=None))
    assert (run.corrected, Call.objects.get().source) == (1, "import")


# --- When -------------------------------------------------------------------------------------------------------------


def periods() -> list[tuple[str, datetime]]:
    return [(run.kind, run.since) for run in HistoryRun.objects.order_by("id")]


def test_every_connection_is_compared_each_hour(pbx: Pbx, clock: Any) -> None:
    midnight = datetime(2026, 3, 3, 21, tzinfo=UTC)
    history.plan_comparisons()
    history.plan_comparisons()
    assert HistoryRun.objects.count() == 1
    finish(HistoryRun.objects.get())
    clock.shift(timedelta(minutes=59))
    history.plan_comparisons()
    assert HistoryRun.objects.count() == 1
    clock.shift(timedelta(minutes=2))
    history.plan_comparisons()
    assert periods()[1:] == [("scheduled", midnight)]


def test_a_call_that_was_not_over_is_asked_for_soon_again(pbx: Pbx, clock: Any) -> None:
    pbx.remember("E1", ago=timedelta(minutes=1))
    check(pbx)
    clock.shift(timedelta(minutes=4))
    history.plan_comparisons()
    assert HistoryRun.objects.count() == 1
    clock.shift(timedelta(minutes=2))
    history.plan_comparisons()
    run = finish(HistoryRun.objects.get(state=State.OPEN))
    assert (run.filled, run.going_on) == (1, [])
    clock.shift(timedelta(minutes=6))
    history.plan_comparisons()
    assert HistoryRun.objects.count() == 2


def test_what_only_the_history_knows_is_asked_for_soon_and_no_more_than_that(
    pbx: Pbx, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(pbx.connection.protocol), "sums_up", False)

    def later() -> list[HistoryRun]:
        clock.shift(timedelta(minutes=6))
        history.plan_comparisons()
        return [finish(run) for run in HistoryRun.objects.filter(state=State.OPEN)]

    check(pbx)
    assert later() == []  # nobody has called: nothing is asked
    began, ended = timezone.now() - timedelta(minutes=3), timezone.now() - timedelta(minutes=1)
    CallFactory.create(connection=pbx.connection, key="E1", started_at=began, ended_at=ended, outcome="no_answer")
    pbx.remember("E1", ago=timedelta(minutes=3))
    (run,) = later()
    assert (run.since, run.until, run.corrected) == (began - timedelta(minutes=1), timezone.now(), 1)
    assert Call.objects.get().outcome == "answered"
    assert [run.corrected for run in later()] == [0]  # a recording may have come
    assert later() == []


def test_in_the_night_the_day_before_is_compared_too(pbx: Pbx, clock: Any) -> None:
    check(pbx)
    clock.move_to(datetime(2026, 3, 5, 0, 30, tzinfo=UTC))  # half past three in the company's zone
    pbx.asked.clear()
    check(pbx)
    midnights = [datetime(2026, 3, day, 21, tzinfo=UTC) for day in (4, 3)]
    assert [since for since, _ in pbx.asked] == midnights
    assert coverage.days(pbx.connection, 2)[1].whole


def test_after_a_break_the_next_comparison_begins_where_the_last_one_ended(pbx: Pbx, clock: Any) -> None:
    check(pbx)
    clock.shift(timedelta(days=3))
    assert history.check(pbx.connection).since == datetime(2026, 3, 3, 21, tzinfo=UTC)


def test_a_day_that_was_not_whole_is_compared_again(pbx: Pbx, clock: Any) -> None:
    pbx.remember("E1", ended_at=None, why=None)
    check(pbx)
    clock.shift(timedelta(days=1))
    check(pbx)
    clock.shift(timedelta(days=1))
    pbx.legs.clear()
    pbx.remember("E1", ago=timedelta(days=2, hours=1))
    run = check(pbx)
    assert (run.since, run.filled) == (datetime(2026, 3, 3, 21, tzinfo=UTC), 1)
    clock.shift(timedelta(hours=2))
    assert history.check(pbx.connection).since == datetime(2026, 3, 5, 21, tzinfo=UTC)


def test_nothing_before_the_connection_was_made_is_looked_for_unasked(pbx: Pbx) -> None:
    made = NOW - timedelta(minutes=90)
    Connection.objects.update(created_at=made)
    history.plan_comparisons()
    assert periods() == [("scheduled", made)]


def test_a_connection_that_is_new_or_switched_off_is_not_compared(pbx: Pbx) -> None:
    Connection.objects.update(created_at=NOW - timedelta(minutes=10))
    history.plan_comparisons()
    Connection.objects.update(created_at=NOW - timedelta(days=10), active=False)
    history.plan_comparisons()
    assert periods() == []


def test_a_pbx_without_a_history_is_not_asked(pbx: Pbx, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = registry.get(pbx.connection.provider)
    monkeypatch.setattr(type(provider), "capabilities", frozenset())
    history.plan_comparisons()
    assert periods() == []


def test_a_shut_door_is_noticed_when_it_opens(pbx: Pbx, clock: Any) -> None:
    history.note_open_door()
    clock.shift(timedelta(seconds=20))
    history.note_open_door()
    assert periods() == []
    clock.shift(timedelta(minutes=20))
    history.note_open_door()
    history.note_open_door()
    assert periods() == [("outage", datetime(2026, 3, 3, 21, tzinfo=UTC))]
    assert Schedule.objects.get(name=history.DOOR).due_at == timezone.now()


def test_one_look_at_a_time_for_each_connection_and_the_import_comes_last(pbx: Pbx) -> None:
    later = history.bring_in(pbx.connection, 1, into_crm=False, asked_by=None)
    first = history.check(pbx.connection)
    other = history.bring_in(ConnectionFactory.create(), 1, into_crm=False, asked_by=None)
    assert sorted(history.due()) == sorted([first.pk, other.pk])
    seen: list[list[int]] = []
    pbx.before = lambda: (history.work(later.pk), seen.append(history.due()))  # type: ignore[func-returns-value]
    history.work(first.pk)
    assert seen == [[other.pk]]
    later.refresh_from_db()
    assert later.reached == later.until


def test_only_some_looks_are_under_way_at_a_time(pbx: Pbx) -> None:
    for _ in range(history.AT_ONCE + 3):
        history.bring_in(ConnectionFactory.create(), 1, into_crm=False, asked_by=None)
    assert len(history.due()) == history.AT_ONCE


def test_nothing_is_told_to_us_in_our_own_name(pbx: Pbx) -> None:
    secrets = pbx.connection.credentials
    body = wire.form_body(secrets["api_key"], secrets["api_salt"], "{}")
    address = WebhookAddress.issue(pbx.connection)
    reply = webhooks.receive(pbx.connection.protocol, address.token, Request("POST", HISTORY_PATH, body))
    assert reply.status == 404
    assert not inbox.waiting_events().exists()
