"""The short form: some hundred calls of all kinds on each stack while everything breaks once, and nothing is lost.

`FAULT_SEED` repeats a schedule, `FAULT_CALLS` plays more calls. The long form is `make faults`.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from tests.conftest import needs
from tests.emulators.bitrix24.portal import Call as Card
from tests.servers import postgres_missing, redis_missing

from . import report
from .run import Played, Run, run
from .schedule import schedule
from .verdict import DOUBLED, LOST, ORDER, PERSON, RECORDING, judge
from .world import World, world

CALLS = int(os.environ.get("FAULT_CALLS", "200"))
PER_SECOND = 16.0
PATIENCE = 240.0
SEED = int(os.environ.get("FAULT_SEED") or random.randrange(1000))


@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stack", ["embedded", pytest.param("production", marks=pytest.mark.postgres)])
def test_nothing_is_lost_and_nothing_is_written_twice(stack: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    if stack == "production":
        needs(postgres_missing() or redis_missing())
    print(f"FAULT_SEED={SEED}")
    print(report.plan_text(schedule(SEED, stack, CALLS / PER_SECOND)))
    with world(stack, tmp_path_factory.mktemp(stack), SEED, hurry=True) as scene:
        done = run(scene, SEED, CALLS, PER_SECOND, PATIENCE)
        found = report.report(scene, done, judge(scene, done))
        print(report.text(found))
        assert found.verdict.failures == []
        assert found.verdict.written > CALLS // 2
        assert found.verdict.recordings
        assert _what_the_judge_sees(scene, done) == {LOST, DOUBLED, ORDER, PERSON, RECORDING}


def _what_the_judge_sees(scene: World, done: Run) -> set[str]:
    """Spoil what the CRMs have of some calls: a judge that says nothing may be blind."""
    lost, doubled, order, person, silent = (card for card in _recorded(scene, done.played)[:5])
    lost.finish = None
    copy = replace(doubled, call_id="copy")
    scene.crms[0].portal.calls["copy"] = copy
    order.history.reverse()
    assert person.finish
    scene.crms[0].portal.activities[person.finish.activity_id]["RESPONSIBLE_ID"] = 99
    silent.record = None
    return {failure.what for failure in judge(scene, done).failures}


def _recorded(scene: World, played: list[Played]) -> list[Card]:
    """What the first company's CRM has of calls with a recording."""
    clients = {f"+{each.plan.client}" for each in played}
    return [card for card in scene.crms[0].calls if card.record and card.phone in clients]
