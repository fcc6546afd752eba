"""Which fault happens when: dealt from a seed, so that a run that failed can be had again."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from .faults import FAULTS, LANES

LONGEST = 8.0
"""Seconds of a window. Shorter than any request to a vendor may take: see `SYNC_LEASE_SECONDS`."""
SLOT = 12.0
FIRST = 0.5


@dataclass(frozen=True, slots=True)
class Window:
    """`fault` from `at` on for so long, both in seconds since the first call. `seed` deals what the fault deals."""

    at: float
    seconds: float
    fault: str
    seed: str


def schedule(seed: int, stack: str, seconds: float, only: Collection[str] = ()) -> list[Window]:
    """Windows for a run of so many seconds. In each lane one follows another, and the lanes overlap; every fault comes
    once before any comes again."""
    windows: list[Window] = []
    for lane in LANES:
        names = [
            name
            for name, fault in FAULTS.items()
            if fault.lane == lane and stack in fault.stacks and (not only or name in only)
        ]
        windows += _deal(names, random.Random(f"{seed}-{stack}-{lane}"), seconds)
    return sorted(windows, key=lambda window: window.at)


def _deal(names: list[str], rng: random.Random, seconds: float) -> list[Window]:
    """A slot for each window; it begins and ends within."""
    slot = min(SLOT, (seconds - FIRST) / max(1, len(names)))
    windows: list[Window] = []
    deck: list[str] = []
    for number in range(round((seconds - FIRST) / slot) if names else 0):
        deck = deck or rng.sample(names, len(names))
        at = FIRST + (number + rng.uniform(0, 0.15)) * slot
        lasts = min(LONGEST, slot * rng.uniform(0.4, 0.8))
        windows.append(Window(round(at, 2), round(lasts, 2), deck.pop(), str(rng.randrange(10**6))))
    return windows
