"""Whoever fetches recordings dies at any moment: in the end each is stored, whole and once, no file is forgotten."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.emulators.bitrix24 import Bitrix24Emulator
from tests.emulators.mango import MangoEmulator
from tests.faults.test_kill import Killer, _insist
from tests.scenarios.world import audio
from tests.stack import Stack, company, running

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

CALLS = 24
SEED = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**6))


@pytest.fixture
def mango() -> Iterator[MangoEmulator]:
    with MangoEmulator(retry_on_failure=True) as running:
        _insist(running)
        yield running


@pytest.fixture
def stack(kind: str, mango: MangoEmulator, tmp_path: Path) -> Iterator[Stack]:
    with ExitStack() as exits:
        bitrix = exits.enter_context(Bitrix24Emulator())
        stack = exits.enter_context(running(kind, tmp_path))
        made = stack.provision(company(mango.url, bitrix.url))
        mango.account().hub_url = made["connections"]["pbx"]["webhook_url"]
        yield stack


def test_no_recording_is_lost_and_no_file_is_forgotten(stack: Stack, mango: MangoEmulator) -> None:
    print(f"FAULT_SEED={SEED}")
    rng = random.Random(SEED)
    mango.fault("truncated", path="/files/", count=5)
    mango.fault("html", path="/files/", count=5)
    with Killer(stack, rng) as killer:
        calls = [{"client": f"7900000{number:04}", "record": True, "speed": 100} for number in range(CALLS)]
        mango.play([{"scenario": "incoming_direct", **call} for call in calls], 8).result(120)
        mango.wait_idle(120)
    stack.wait_ready()
    stack.wait_quiet(timeout=240)
    print(f"killed {dict(killer.killed)}")
    rows = stack.rows("SELECT * FROM telephony_recording")
    had = sorted(digest for call in mango.calls for digest in audio(call))
    assert sorted(row["sha256"] for row in rows) == had
    assert {row["state"] for row in rows} == {"stored"}
    folder = stack.folder / "recordings"
    named = {row["file"]: row["sha256"] for row in rows}
    loose = {row["name"] for row in stack.rows("SELECT name FROM telephony_loosefile")}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found - loose == named.keys()
    for name, digest in named.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert mango.violations == []
