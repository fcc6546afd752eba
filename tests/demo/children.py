"""Processes that belong to this one: they end with it, whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

GRACE = 7.0
"""Seconds that children get to end by themselves."""
PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


class Stopped(Exception):
    """A signal asked us to end."""


class Failed(Exception):
    """Something did not come to its end as it should: `words` for the newcomer, `log` where more stands."""

    def __init__(self, words: str, log: Path | None = None):
        super().__init__(words)
        self.words, self.log = words, log


class Child:
    """A process in a group of its own (so that Ctrl-C reaches it through us alone), with its log."""

    def __init__(self, name: str, command: list[str], log: Path, environment: Mapping[str, str], folder: Path):
        self.name, self.log = name, log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )

    def signal(self, number: int) -> None:
        """To its whole group: also to what it has started itself."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None


def _die_with(parent: int) -> Callable[[], None]:
    """On Linux the kernel ends a child whose parent was killed outright."""

    def prepare() -> None:
        if _prctl is not None:
            _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


class Children:
    """All of them. `stop` leaves none behind."""

    def __init__(self, folder: Path, logs: Path, environment: Mapping[str, str]):
        self._folder, self._logs, self.environment = folder, logs, dict(environment)
        self._all: list[Child] = []
        self.stopping = threading.Event()

    def start(self, name: str, *command: str) -> Child:
        child = Child(name, [sys.executable, *command], self._logs / f"{name}.log", self.environment, self._folder)
        self._all.append(child)
        return child

    def run(self, name: str, *command: str) -> str:
        """A command that ends soon; what it wrote. Raises `Failed`, or `Stopped` when we were asked to end."""
        child = self.start(name, *command)
        while not child.ended:
            self.pause(0.05)
        self._all.remove(child)
        if child.process.returncode:
            raise Failed(name, child.log)
        return child.log.read_text(encoding="utf-8", errors="replace")

    def pause(self, seconds: float) -> None:
        """Wait. Raises `Stopped` at once when we were asked to end."""
        if self.stopping.wait(seconds):
            raise Stopped

    def dead(self) -> Child | None:
        """One that has ended though nobody asked it to."""
        return next((child for child in self._all if child.ended), None)

    def stop(self) -> None:
        for child in self._all:
            child.signal(signal.SIGTERM)
        end = time.monotonic() + GRACE
        while time.monotonic() < end and not all(child.ended for child in self._all):
            time.sleep(0.05)
        for child in self._all:
            if not child.ended:
                child.signal(signal.SIGKILL)
            child.process.wait()
            child.signal(signal.SIGKILL)  # what may be left of its group


def answers(url: str) -> bool:
    """Whether something at `url` says that all is well. Asks directly, whatever proxy the environment names."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False
