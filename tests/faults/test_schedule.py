"""A seed is a schedule, and every fault has its turn."""

from __future__ import annotations

import itertools
import random

import pytest

from .calls import KINDS, RARE, deal
from .faults import FAULTS, LANES
from .schedule import schedule


@pytest.mark.parametrize("stack", ["embedded", "production"])
def test_every_fault_of_a_stack_happens(stack: str):
    happens = {name for name, fault in FAULTS.items() if stack in fault.stacks}
    assert {window.fault for window in schedule(1, stack, 15.0)} == happens


def test_a_seed_deals_the_same_schedule_again():
    assert schedule(7, "production", 500.0) == schedule(7, "production", 500.0)
    assert schedule(7, "production", 500.0) != schedule(8, "production", 500.0)


@pytest.mark.parametrize("seconds", [15.0, 1000.0])
def test_in_a_lane_one_fault_follows_another(seconds: float):
    for lane in LANES:
        windows = [window for window in schedule(3, "production", seconds) if FAULTS[window.fault].lane == lane]
        assert windows
        for before, after in itertools.pairwise(windows):
            assert before.at + before.seconds <= after.at
        assert windows[-1].at + windows[-1].seconds <= seconds + 1


def test_only_what_was_asked_for_happens():
    assert {window.fault for window in schedule(1, "embedded", 60.0, ["kill-web"])} == {"kill-web"}


def test_calls_of_all_kinds_are_dealt_to_clients_of_their_own():
    calls = list(deal(200, 4, random.Random(1)))
    assert {call.kind for call in calls} == set(KINDS)
    assert len({call.client for call in calls}) == len(calls)
    assert sum(call.kind in RARE for call in calls) < len(calls) / 10
