"""The machine: which core what runs on, what memory and processor time it takes, servers of our own to pin."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests import stack
from tests.servers import Postgres, Redis, family, postgres_missing, redis_missing

PRODUCT_CORE, LOAD_CORE = 0, 1
_TICK = os.sysconf("SC_CLK_TCK")
_own_servers: list[int] = []
"""Ids of the PostgreSQL and the Redis that were started here."""


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started meanwhile stays on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# --- Processes --------------------------------------------------------------------------------------------------------


def processes(groups: set[int]) -> list[int]:
    """Ids of the live processes of these process groups."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            if int(fields[2]) in groups:
                found.append(int(entry.name))
    return found


def server_processes() -> list[int]:
    """Our PostgreSQL with its backends, and our Redis."""
    return [pid for server in _own_servers for pid in family(server)]


@dataclass(frozen=True, slots=True)
class Memory:
    """MB: resident, and the fair share of what is shared between processes."""

    rss: float = 0.0
    pss: float = 0.0


def memory(pids: list[int]) -> Memory:
    total = {"Rss": 0, "Pss": 0}
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name in total:
                total[name] += int(value.split()[0])
    return Memory(total["Rss"] / 1024, total["Pss"] / 1024)


def processor_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICK


class Watch:
    """What the machine does meanwhile: `others` is how many cores were busy with what is not ours."""

    def __init__(self, ours: list[int]):
        self._ours = [os.getpid(), *ours]

    def __enter__(self) -> Watch:
        self._begun = time.monotonic()
        self._busy, self._used = _busy_seconds(), processor_seconds(self._ours)
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._begun
        busy, used = _busy_seconds() - self._busy, processor_seconds(self._ours) - self._used
        self.others = max(0.0, busy - used) / self.seconds


def _busy_seconds() -> float:
    """Of both cores, with what the hypervisor took."""
    user, nice, system, _, _, irq, softirq, steal = map(int, _lines("/proc/stat")[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICK


# --- Servers of our own -----------------------------------------------------------------------------------------------


@contextmanager
def servers() -> Iterator[str]:
    """PostgreSQL and Redis of our own on the product's core, for as long as this lasts; yields what could not be had.

    Without them the ones that are there are used, and run where they like.
    """
    missing: list[str] = []
    with ExitStack() as started:
        if why := postgres_missing():
            missing.append(f"PostgreSQL is the machine's own and not pinned: {why}")
        else:
            stack.POSTGRES = _pinned(started, Postgres())
        if why := redis_missing():
            missing.append(f"Redis is the machine's own and not pinned: {why}")
        else:
            stack.REDIS = _pinned(started, Redis())
        yield "; ".join(missing)


def _pinned(started: ExitStack, server: Postgres | Redis) -> str:
    with on_core(PRODUCT_CORE):
        started.enter_context(server)
    _own_servers.append(server.pid)
    return server.url


# --- Words ------------------------------------------------------------------------------------------------------------


def described() -> dict[str, str]:
    """What the figures were taken on; no names of machines."""
    model = next((line.split(":")[1] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    total = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "processor": f"{model.strip()}, {os.cpu_count()} cores",
        "memory": f"{total / 1024 / 1024:.0f} GB",
        "system": f"Linux {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": _postgres_version(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _postgres_version() -> str:
    try:
        with psycopg.connect(stack.POSTGRES, connect_timeout=2) as connection:
            return str(connection.execute("SHOW server_version").fetchone()[0]).split()[0]  # type: ignore[index]
    except psycopg.Error:
        return "none"
