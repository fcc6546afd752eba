"""The vendor's history in the fold: it tells the same call as live events do, and has the last word."""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.events import ToldByHistory
from telephony.fold import CallState, Source, fold
from telephony.providers.base import (
    CallHistory,
    Closed,
    Direction,
    Fact,
    HistoryLeg,
    Leg,
    LegState,
    Outcome,
    Party,
    RecordingFact,
    Summary,
)
from telephony.providers.mango import events, history
from tests.emulators.mango import SCENARIOS, MangoEmulator
from tests.emulators.mango.history import Report, csv
from tests.emulators.mango.simulator import Call

ASKED = datetime(2026, 3, 3, tzinfo=UTC)


@functools.cache
def played() -> dict[str, tuple[Call, list[Fact], list[Fact]]]:
    """Each kind of call: its truth, what the PBX told live, what its history tells."""
    with MangoEmulator() as pbx:
        for scenario in SCENARIOS:
            pbx.call(scenario, record=True, record_delay=0).wait()
        asked = {"date_from": "0", "date_to": "9999999999", "fields": history._FIELDS}
        report = Report(pbx.account().key, asked, extended=False, requested=0)
        legs: dict[str, list[HistoryLeg]] = defaultdict(list)
        for leg in history.read(csv(pbx.calls, report, "\n")):
            legs[leg.call].append(leg)
        return {call.spec.scenario: (call, _live(call), _past(call, legs[call.entry_id])) for call in pbx.calls}


def _past(call: Call, legs: list[HistoryLeg]) -> list[Fact]:
    return ToldByHistory(call=call.entry_id, legs=tuple(legs)).facts(ASKED)


def _live(call: Call) -> list[Fact]:
    return [fact for event in call.events for fact in events.read(event.path, event.body) if isinstance(fact, Fact)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_history_alone_tells_what_happened(scenario: str) -> None:
    call, _, past = played()[scenario]
    truth, told = call.truth(events=False), fold(past)
    assert (told.state, told.source) == (CallState.FINISHED, Source.HISTORY)
    assert (told.direction, told.client_number, told.virtual_number) == (
        truth["direction"],
        truth["client"],
        truth["line"],
    )
    assert (told.extension, told.first_extension) == (truth["extension"], truth["first_extension"])
    assert (told.outcome is Outcome.ANSWERED) == (truth["outcome"] == "answered")
    assert told.talk_seconds == truth["talk_seconds"]
    assert sorted(told.recordings) == sorted(truth["recordings"])
    assert told.started_at
    assert told.ended_at
    assert (told.started_at.timestamp(), told.ended_at.timestamp()) == (truth["created"], truth["ended"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nobody_takes_part_twice(scenario: str) -> None:
    _, live, past = played()[scenario]
    alone, both = fold(live), fold([*live, *past])
    people = [(share.extension, bool(share.answered_at)) for share in alone.shares]
    assert [(share.extension, bool(share.answered_at)) for share in both.shares] == people
    assert replace(both, shares=[], recordings={}) == replace(alone, shares=[], recordings={})
    assert both.source is Source.LIVE


scenarios = st.sampled_from(sorted(SCENARIOS))


@settings(max_examples=200, deadline=None)
@given(scenarios, st.data(), st.randoms())
def test_any_order_and_any_number_of_repetitions_is_the_same_call(name: str, data: st.DataObject, random: Any) -> None:
    """Also with a history that was asked earlier, when it knew less, and with an end of ours."""
    _, live, past = played()[name]
    legs = next(fact for fact in past if isinstance(fact, CallHistory)).legs
    call = past[0].call
    early = CallHistory(call=call, at=ASKED - timedelta(hours=1), legs=legs[:1])
    closed = Closed(call=call, at=ASKED, why="not_in_history")
    facts = data.draw(st.lists(st.sampled_from([*live, closed, early]), unique_by=id)) + past
    again = [*facts, *data.draw(st.lists(st.sampled_from(facts), max_size=10))]
    random.shuffle(again)
    assert fold(again) == fold(facts)


@settings(max_examples=200, deadline=None)
@given(scenarios, st.data())
def test_whatever_was_lost_the_history_ends_the_call_as_it_was(name: str, data: st.DataObject) -> None:
    call, live, past = played()[name]
    some = data.draw(st.lists(st.sampled_from(live), unique_by=id))
    truth, told = call.truth(events=False), fold([*some, *past])
    assert told.state is CallState.FINISHED
    assert (told.talk_seconds, told.direction) == (truth["talk_seconds"], truth["direction"])
    assert (told.outcome is Outcome.ANSWERED) == (truth["outcome"] == "answered")
    assert not told.live_leg
    assert not told.waiting_leg
    assert (told.source is Source.LIVE) == any(isinstance(fact, (Leg, Summary)) for fact in some)


# --- By hand ----------------------------------------------------------------------------------------------------------

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
CLIENT, ANNA = Party(number="79000000001"), Party("101", "sip:101")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def row(answered: float | None, ended: float, why: Outcome, **more: Any) -> HistoryLeg:
    answered_at = None if answered is None else at(answered)
    times: dict[str, Any] = {"started_at": START, "answered_at": answered_at, "ended_at": at(ended)}
    return HistoryLeg("C", Direction.IN, CLIENT, ANNA, "74950000001", why=why, **times, **more)


def told(*rows: HistoryLeg, **more: Any) -> list[Fact]:
    return ToldByHistory(call="C", legs=rows, **more).facts(ASKED)


RINGS = Leg(call="C", at=START, leg="A", seq=1, state=LegState.RINGING, caller=CLIENT, callee=ANNA)
MISSED = Summary(call="C", at=at(9), outcome=Outcome.MISSED, talk_seconds=0)


def test_the_historys_word_is_the_last_one() -> None:
    found = fold([RINGS, MISSED, *told(row(5, 25, Outcome.ANSWERED, recordings=("R",)))])
    assert (found.outcome, found.talk_seconds, found.ended_at) == (Outcome.ANSWERED, 20, at(25))
    assert list(found.recordings) == ["R"]
    assert [share.answered_at for share in found.shares] == [at(5)]


def test_nobody_talked_whatever_live_events_said() -> None:
    talked = Summary(call="C", at=at(30), outcome=Outcome.ANSWERED, answered_at=at(5), talk_seconds=25)
    talks = replace(RINGS, seq=2, state=LegState.TALKING, at=at(5))
    found = fold([RINGS, talks, talked, *told(row(None, 9, Outcome.MISSED))])
    assert (found.outcome, found.talk_seconds, found.answered_at) == (Outcome.MISSED, 0, None)


def test_why_nobody_answered_the_summary_knows_better() -> None:
    rejected = replace(MISSED, outcome=Outcome.REJECTED)
    assert fold([RINGS, rejected, *told(row(None, 9, Outcome.MISSED))]).outcome is Outcome.REJECTED


def test_the_last_history_counts() -> None:
    early, late = told(row(None, 9, Outcome.MISSED)), told(row(5, 25, Outcome.ANSWERED))
    early = [replace(fact, at=ASKED - timedelta(hours=1)) for fact in early]
    assert fold([*late, *early]).outcome is Outcome.ANSWERED


def test_a_call_only_brought_into_the_journal_is_an_import() -> None:
    journal = told(row(None, 9, Outcome.MISSED), journal_only=True)
    assert fold(journal).source is Source.IMPORT
    assert fold([*journal, *told(row(None, 9, Outcome.MISSED))]).source is Source.HISTORY
    assert fold([*journal, RINGS]).source is Source.LIVE


def test_what_is_stored_is_what_was_told() -> None:
    legs = (row(5, 25, Outcome.ANSWERED, recordings=("R", "S"), call_started_at=START), row(None, 9, Outcome.BUSY))
    stored = ToldByHistory(call="C", legs=legs, journal_only=True)
    again = ToldByHistory.model_validate_json(stored.body)
    assert again == stored
    assert again.body == stored.body
    assert [fact.recording for fact in again.facts(ASKED) if isinstance(fact, RecordingFact)] == ["R", "S"]
