"""`make run` as a newcomer has it: calls come in and land in the CRM, and nothing is left when it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack import ROOT, wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(180), pytest.mark.xdist_group("demo")]


class Running:
    """A demonstration in a folder of its own."""

    def __init__(self, folder: Path, language: str = "en_GB.UTF-8"):
        self.folder = folder
        self.output = folder.with_name(f"{folder.name}.out")
        environment = {name: value for name, value in os.environ.items() if name not in ("LC_ALL", "LC_MESSAGES")}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.demo"],
                cwd=ROOT,
                env={**environment, "DEMO_DIR": str(folder), "LANG": language},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def urls(self) -> list[str]:
        """Portal, PBX, CRM."""
        wait_until(lambda: "Ctrl-C" in self.said or self.process.poll() is not None, lambda: self.said, 90)
        assert self.process.poll() is None, self.said
        return re.findall(r"  (http://127\.0\.0\.1:\d+)/\n", self.said)

    def children(self) -> list[int]:
        """Processes that work in its folder's name, by what the kernel knows of their environment."""
        mark = f"DEMO_DIR={self.folder}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
            except OSError:
                continue
        return [pid for pid in found if pid != self.process.pid]

    def end(self, number: int = signal.SIGINT) -> tuple[int, float]:
        """Its exit code, and the seconds that it took."""
        begin = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(20), time.monotonic() - begin


def asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "demo")
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


def finished(crm: str) -> list[dict[str, Any]]:
    return [
        call for call in asked(f"{crm}/_emulator/state?parts=calls")["portals"]["default"]["calls"] if call["finish"]
    ]


def test_calls_land_in_the_crm_and_it_ends_cleanly(demo: Running, tmp_path: Path) -> None:
    portal, pbx, crm = demo.urls()
    assert asked(f"{portal}/health/ready")["ready"]
    wait_until(lambda: finished(crm), "no call came into the CRM", 90)
    assert asked(f"{pbx}/_emulator/violations")["violations"] == []
    code, seconds = demo.end()
    assert (code, demo.children()) == (0, [])
    assert seconds < 10
    assert "Stopped." in demo.said
    calls = len(finished_in_state(demo, tmp_path))
    assert calls, "what was there is there after a restart"


def finished_in_state(demo: Running, tmp_path: Path) -> list[dict[str, Any]]:
    """The same folder once more, in the other language."""
    again = Running(demo.folder, "ru_RU.UTF-8")
    try:
        crm = again.urls()[2]
        assert "Эмулятор" not in again.said
        assert "Кабинет клиента" in again.said
        return finished(crm)
    finally:
        again.end(signal.SIGTERM)


def test_one_that_dies_ends_all(demo: Running) -> None:
    demo.urls()
    emulator = next(
        pid for pid in demo.children() if b"tests.emulators.mango" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(emulator, signal.SIGKILL)
    assert demo.process.wait(20) == 1
    assert "Mango emulator has ended by itself (code -9)" in demo.said
    assert demo.children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_no_orphans_when_it_is_killed(demo: Running) -> None:
    demo.urls()
    demo.process.kill()
    demo.process.wait()
    wait_until(lambda: not demo.children(), "children live on", 15)


def test_only_one_at_a_time(demo: Running) -> None:
    demo.urls()
    second = Running(demo.folder)
    assert second.process.wait(20) == 1
    assert "runs already" in second.said
