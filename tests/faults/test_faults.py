"""The short form: some hundred calls of all kinds on each stack while everything breaks once, and nothing is lost.

`FAULT_SEED` repeats a schedule, `FAULT_CALLS` plays more calls. The long form is `make faults`.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.conftest import needs
from tests.servers import postgres_missing, redis_missing

from . import report
from .run import run
from .schedule import schedule
from .verdict import judge
from .world import world

CALLS = int(os.environ.get("FAULT_CALLS", "200"))
PER_SECOND = 14.0
PATIENCE = 240.0
SEED = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**6))


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
