"""One run: calls are played in an open loop while the scheduled windows open and close; then everything is mended."""

from __future__ import annotations

import random
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.mango.simulator import Call

from .calls import CLICK, KINDS, LINE, USERS, Planned, deal
from .faults import FAULTS, LANES
from .schedule import Window, schedule
from .world import World

CLICKERS = 16
"""Clicks in the CRM that may wait for their answer at the same time."""


@dataclass(slots=True)
class Played:
    """A call that was planned and what became of it: `call` at the PBX, or for a click the CRM's `card`, and whether
    the product took it."""

    plan: Planned
    call: Call | None = None
    card: str = ""
    taken: bool = True


@dataclass(slots=True)
class Run:
    """What happened. `happened` are the windows with the moments (epoch seconds) between which they were open."""

    stack: str
    seed: int
    played: list[Played] = field(default_factory=list)
    happened: list[tuple[Window, float, float]] = field(default_factory=list)
    left: str = ""
    """What was still to be done when patience ended; empty as it should be."""
    play_seconds: float = 0.0
    settle_seconds: float = 0.0


def run(world: World, seed: int, calls: int, per_second: float, patience: float, only: Collection[str] = ()) -> Run:
    """Play so many calls through the schedule of this seed, mend everything, wait until nothing is left to do."""
    done = Run(world.stack.kind, seed)
    windows = schedule(seed, world.stack.kind, calls / per_second, only)
    began = time.monotonic()
    with ThreadPoolExecutor(len(LANES)) as lanes:
        breaking = [lanes.submit(_break, world, lane, windows, done) for lane in LANES]
        _play(world, list(deal(calls, len(world.crms), random.Random(f"{seed}-calls"))), per_second, done)
        for each in breaking:
            each.result()
    done.play_seconds = time.monotonic() - began
    if world.hurry:
        opened = time.time()
        world.forget_leases()
        done.happened.append((Window(done.play_seconds, 0, "power-cut", ""), opened, time.time()))
    done.left = world.settle(patience)
    done.settle_seconds = time.monotonic() - began - done.play_seconds
    return done


# --- Breaking ---------------------------------------------------------------------------------------------------------


def _break(world: World, lane: str, windows: list[Window], done: Run) -> None:
    began = time.monotonic()
    for window in windows:
        fault = FAULTS[window.fault]
        if fault.lane == lane:
            time.sleep(max(0.0, began + window.at - time.monotonic()))
            opened = time.time()
            with fault.happens(world, random.Random(window.seed)):
                time.sleep(window.seconds)
            done.happened.append((window, opened, time.time()))


# --- Playing ----------------------------------------------------------------------------------------------------------


def _play(world: World, plans: list[Planned], per_second: float, done: Run) -> None:
    """The next one comes when it is due, whatever has become of those before."""
    began = time.monotonic()
    keys = list(world.mango.accounts)
    with ThreadPoolExecutor(CLICKERS) as clickers:
        clicks: list[Future[None]] = []
        for number, plan in enumerate(plans):
            time.sleep(max(0.0, began + number / per_second - time.monotonic()))
            played = Played(plan)
            done.played.append(played)
            if plan.kind == CLICK:
                clicks.append(clickers.submit(_click, world, played))
            else:
                delivery: dict[str, Any] = {**world.delivery, "seed": number}
                values = plan.spec() | {"delivery": delivery, "ahead": world.ahead}
                scenario = KINDS[plan.kind].scenario
                played.call = world.mango.call(scenario, account=keys[plan.company], **values)
        for click in clicks:
            click.result()


def _click(world: World, played: Played) -> None:
    """An employee clicks a number in the CRM. The CRM tells of it once; who sees no call clicks anew."""
    plan = played.plan
    said = world.crms[plan.company].fire_call_start(USERS[plan.extension], f"+{plan.client}", LINE)
    played.card, played.taken = said["call_id"], 200 in said["statuses"]
