"""The fold: facts in any order and any number of times, one call."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.replay.player import pbx_request, pbx_secrets
from telephony.fold import CallState, FoldedCall, fold
from telephony.providers import registry
from telephony.providers.base import (
    AT_RECEIPT,
    Closed,
    Direction,
    Fact,
    Leg,
    LegState,
    Note,
    Outcome,
    Party,
    Place,
    Provider,
    RecordingFact,
    RecordingState,
    Summary,
)

# --- Every sample of every vendor -------------------------------------------------------------------------------------


def _facts(provider: Provider, sample: Path) -> dict[str, list[Fact]]:
    """The facts of a sample's events, by call."""
    calls: dict[str, list[Fact]] = {}
    told = json.loads(sample.read_text())
    secrets = pbx_secrets(provider, told)
    for exchange in told["exchanges"]:
        if exchange["direction"] != "vendor->hub" or exchange.get("response", {}).get("status", 200) != 200:
            continue
        request = pbx_request(exchange)
        for fact in [] if provider.handshake(request) else provider.parse(request, secrets):
            if isinstance(fact, Fact):
                known = calls.setdefault(fact.call, [])
                known.append(_received(fact, known))
    return calls


def _received(fact: Fact, earlier: list[Fact]) -> Fact:
    """The fact as the house has it: what does not say when comes a second after what came before."""
    if fact.at != AT_RECEIPT:
        return fact
    last = max((each.at for each in earlier), default=datetime(2026, 3, 2, 7, tzinfo=UTC))
    return replace(fact, at=last + timedelta(seconds=1))


@functools.cache
def recorded() -> list[tuple[str, list[Fact]]]:
    """Each call that the vendors' samples tell of."""
    return [
        (f"{sample.stem} {call}", facts)
        for provider in registry.all_providers().values()
        for sample in sorted((provider.folder / "samples").glob("*.json"))
        for call, facts in _facts(provider, sample).items()
    ]


calls = st.sampled_from(recorded())


def test_there_are_samples_to_fold():
    assert len(recorded()) >= 10
    assert any(fold(facts).state is CallState.FINISHED for _, facts in recorded())


@settings(max_examples=300, deadline=None)
@given(calls, st.randoms())
def test_any_order_is_the_same_call(call: tuple[str, list[Fact]], random: Any):
    _, facts = call
    shuffled = list(facts)
    random.shuffle(shuffled)
    assert fold(shuffled) == fold(facts)


@settings(max_examples=300, deadline=None)
@given(calls, st.data())
def test_any_number_of_repetitions_is_the_same_call(call: tuple[str, list[Fact]], data: st.DataObject):
    _, facts = call
    again = data.draw(st.lists(st.sampled_from(facts), max_size=2 * len(facts)))
    place = data.draw(st.integers(0, len(facts)))
    assert fold([*facts[:place], *again, *facts[place:]]) == fold(facts)


@settings(max_examples=500, deadline=None)
@given(calls, st.data())
def test_whatever_is_missing_there_is_a_call(call: tuple[str, list[Fact]], data: st.DataObject):
    """A truncated call, from either end or out of the middle, is some call: one that is over if its end is known."""
    _, facts = call
    kept = data.draw(st.lists(st.sampled_from(facts), unique_by=id))
    told = fold(kept)
    assert isinstance(told, FoldedCall)
    assert (told.state is CallState.FINISHED) == any(isinstance(fact, Summary) for fact in kept)
    assert (told.outcome is not None) == (told.state is CallState.FINISHED)


@settings(max_examples=300, deadline=None)
@given(calls, st.data())
def test_nothing_that_comes_late_reopens_a_call(call: tuple[str, list[Fact]], data: st.DataObject):
    """Once the vendor's last word is known, more facts of the same call change neither its end nor its length."""
    _, facts = call
    last = [fact for fact in facts if isinstance(fact, Summary)]
    if not last:
        return
    some = data.draw(st.lists(st.sampled_from(facts), unique_by=id))
    early, whole = fold([*some, *last]), fold(facts)
    assert early.state is whole.state is CallState.FINISHED
    assert early.ended_at == whole.ended_at
    if last[0].talk_seconds is not None:
        assert early.talk_seconds == whole.talk_seconds


@pytest.mark.parametrize(("name", "facts"), recorded(), ids=[name for name, _ in recorded()])
def test_every_prefix_is_a_call(name: str, facts: list[Fact]):
    for length in range(len(facts) + 1):
        fold(facts[:length])


# --- By hand ----------------------------------------------------------------------------------------------------------

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
CLIENT = Party(number="79000000001")
ANNA, BORIS = Party("101", "sip:101"), Party("102", "sip:102")
LINE = Party(number="74950000001")
RINGS, TALKS, HELD, ENDS = LegState.RINGING, LegState.TALKING, LegState.HELD, LegState.ENDED


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def leg(name: str, seq: int, state: LegState, second: float, to: Party = ANNA, **more: Any) -> Leg:
    usual: dict[str, Any] = {"caller": CLIENT, "callee": to, "virtual_number": LINE.number}
    return Leg(call="C", at=at(second), leg=name, seq=seq, state=state, **(usual | more))


def over(second: float, **more: Any) -> Summary:
    return Summary(call="C", at=at(second), **more)


def audio(state: RecordingState, **more: Any) -> RecordingFact:
    return RecordingFact(call="C", at=START, recording="R", state=state, **more)


ANSWERED = [leg("A", 1, RINGS, 0), leg("A", 2, TALKS, 5), leg("A", 3, ENDS, 15)]
GROUP = [
    leg("Q", 1, RINGS, 0, LINE, place=Place.QUEUE),
    leg("A", 1, RINGS, 1),
    leg("B", 1, RINGS, 1, BORIS),
]
TRANSFERRED = [
    leg("A", 1, RINGS, 0),
    leg("A", 2, TALKS, 5),
    leg("A", 3, ENDS, 10),
    leg("B", 1, RINGS, 10, BORIS),
]
OUTGOING = [leg("A", 1, RINGS, 0, CLIENT, caller=ANNA)]
CALLBACK = [
    leg("A", 1, RINGS, 0, callback=True, command="cmd"),
    leg("A", 2, TALKS, 3, callback=True, command="cmd"),
    leg("A", 3, ENDS, 4, callback=True, command="cmd"),
    leg("B", 1, RINGS, 4, CLIENT, caller=ANNA, callback=True, command="cmd"),
    leg("B", 2, TALKS, 9, CLIENT, caller=ANNA, callback=True, command="cmd"),
]


@dataclass(frozen=True)
class Case:
    name: str
    facts: Sequence[Fact]
    told: dict[str, Any]
    dials: tuple[str, ...] = ()
    more: Callable[[FoldedCall], bool] = lambda _: True


TABLE = [
    Case("rings", ANSWERED[:1], {"state": "ringing", "client_number": "79000000001", "extension": "101"}),
    Case("talks", ANSWERED[:2], {"state": "answered", "live_leg": "A", "answered_at": at(5)}),
    Case("on hold", [*ANSWERED[:2], leg("A", 3, HELD, 7)], {"state": "held", "live_leg": "A"}),
    Case("legs over, end unknown", ANSWERED, {"state": "answered", "legs_ended_at": at(15), "outcome": None}),
    Case(
        "over by the vendor's word",
        [*ANSWERED, over(15, answered_at=at(5), talk_seconds=10)],
        {"state": "finished", "outcome": "answered", "talk_seconds": 10, "ended_at": at(15), "live_leg": ""},
    ),
    Case(
        "over by our own word",
        [*ANSWERED, Closed(call="C", at=at(300))],
        {"state": "finished", "outcome": "answered", "talk_seconds": 10, "ended_at": at(15)},
    ),
    Case(
        "the vendor's word counts more than ours",
        [*ANSWERED, Closed(call="C", at=at(300)), over(16, answered_at=at(5), talk_seconds=11)],
        {"state": "finished", "talk_seconds": 11, "ended_at": at(16)},
    ),
    Case("only the end is known", [over(9)], {"state": "finished", "outcome": "missed", "talk_seconds": 0}),
    Case(
        "the end overtakes all else",
        [over(15, answered_at=at(5), extension="102")],
        {"outcome": "answered", "extension": "102", "first_extension": "102"},
        more=lambda c: [(share.extension, share.answered_at) for share in c.shares] == [("102", at(5))],
    ),
    Case(
        "the end overtakes the answer",
        [*GROUP, over(15, answered_at=at(5), extension="102")],
        {"outcome": "answered", "extension": "102"},
        more=lambda c: [(share.extension, share.answered_at) for share in c.shares] == [("101", None), ("102", at(5))],
    ),
    Case(
        "the end overtakes all of a missed call",
        [over(15, extension="102")],
        {"outcome": "missed", "extension": "102"},
        more=lambda c: [(share.extension, share.answered_at) for share in c.shares] == [("102", None)],
    ),
    Case("answered after the end", [ANSWERED[0], ANSWERED[2], over(15)], {"outcome": "missed", "answered_at": None}),
    Case("a state after the leg's end", [*ANSWERED, leg("A", 4, TALKS, 20)], {"live_leg": "", "legs_ended_at": at(15)}),
    Case(
        "busy",
        [leg("A", 1, RINGS, 0), leg("A", 2, ENDS, 1, why=Outcome.BUSY), over(1)],
        {"outcome": "busy", "extension": "101"},
    ),
    Case("hidden caller", [leg("A", 1, RINGS, 0, caller=Party())], {"client_number": "", "extension": "101"}),
    Case("a note knows the number", [Note(call="C", at=START, text="1", client_number="7900")], {"direction": "in"}),
    Case("in the greeting", [leg("G", 1, RINGS, 0, LINE, place=Place.MENU)], {"waiting_leg": "G", "shares": []}),
    Case("in the queue", GROUP, {"waiting_leg": "Q", "state": "ringing"}, more=lambda c: len(c.shares) == 2),
    Case(
        "a group's second answers",
        [*GROUP, leg("B", 2, TALKS, 5, BORIS), leg("A", 2, ENDS, 5), leg("Q", 2, ENDS, 5, LINE, place=Place.QUEUE)],
        {"state": "answered", "extension": "102", "first_extension": "102", "waiting_leg": ""},
    ),
    Case("handed on, rings", TRANSFERRED, {"state": "transferred", "extension": "101"}),
    Case(
        "handed on, talks",
        [*TRANSFERRED, leg("B", 2, TALKS, 14, BORIS)],
        {"state": "transferred", "first_extension": "101", "extension": "102"},
    ),
    Case("outgoing", OUTGOING, {"direction": "out", "client_number": "79000000001", "extension": "101"}),
    Case("outgoing, nobody", [*OUTGOING, over(30)], {"direction": "out", "outcome": "no_answer"}),
    Case(
        "internal",
        [leg("A", 1, RINGS, 0, BORIS, caller=ANNA)],
        {"direction": "internal", "client_number": "", "extension": "101"},
    ),
    Case("a callback rings the employee", CALLBACK[:1], {"direction": "out", "state": "ringing", "extension": "101"}),
    Case(
        "a callback talks to the client",
        CALLBACK,
        {"direction": "out", "state": "answered", "answered_at": at(9), "commands": ("cmd",)},
        more=lambda c: len(c.shares) == 1,
    ),
    Case(
        "a dial of ours is outgoing",
        [replace(CALLBACK[0], callback=False)],
        {"direction": "out"},
        dials=("cmd",),
    ),
    Case(
        "a recording's best state stays",
        [audio(RecordingState.READY, extension="101"), audio(RecordingState.ANNOUNCED), audio(RecordingState.ABSENT)],
        {},
        more=lambda c: (c.recordings["R"].state, c.recordings["R"].extension) == (RecordingState.READY, "101"),
    ),
]


@pytest.mark.parametrize("case", TABLE, ids=[case.name for case in TABLE])
def test_what_the_facts_tell(case: Case):
    for facts in (case.facts, case.facts[::-1], [*case.facts, *case.facts]):
        told = fold(facts, case.dials)
        assert {name: getattr(told, name) for name in case.told} == case.told
        assert case.more(told)


def test_no_facts_are_an_empty_call():
    assert fold([]) == FoldedCall()
    assert fold([]).direction is Direction.IN
