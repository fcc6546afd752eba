"""What can break. Each fault is a context manager: it begins, lasts as long as its window, and is mended.

To add one write a function of a `World` and a random generator that breaks something until it is left, and put it into
`FAULTS` under a name of its own; the schedule deals it from then on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from .wires import MODES
from .world import World

PROCESSES, HOUSE, VENDORS = "processes", "house", "vendors"
LANES = (PROCESSES, HOUSE, VENDORS)
"""Within a lane one fault follows another, so that two never break the same thing; the lanes overlap."""
BOTH = ("embedded", "production")
PRODUCTION = ("production",)

Happening = Callable[[World, random.Random], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """`stacks`: where there is anything to break."""

    lane: str
    happens: Happening
    stacks: tuple[str, ...] = BOTH


# --- Processes and servers --------------------------------------------------------------------------------------------


@contextmanager
def _killed(role: str, world: World, rng: random.Random) -> Iterator[None]:
    """`kill -9`, and nobody there until the window is over."""
    world.keeper.kill(role)
    yield
    world.keeper.start(role)
    if role == "web":
        world.note_back("web")


@contextmanager
def _restarted(world: World, rng: random.Random) -> Iterator[None]:
    """As a new version is rolled out: SIGTERM one after another; where it can be, the new one comes first."""
    for role in world.stack.roles():
        world.keeper.replace(role)
    yield


@contextmanager
def _database_killed(world: World, rng: random.Random) -> Iterator[None]:
    world.postgres.kill()
    yield
    world.postgres.start()
    world.note_back("database")


@contextmanager
def _broker_killed(world: World, rng: random.Random) -> Iterator[None]:
    world.redis.kill()
    yield
    world.redis.start()
    world.note_back("broker")


@contextmanager
def _broker_emptied(world: World, rng: random.Random) -> Iterator[None]:
    """FLUSHALL: messages and cache are gone, the connections stay."""
    world.redis.flush()
    yield
    world.redis.flush()


@contextmanager
def _power_cut(world: World, rng: random.Random) -> Iterator[None]:
    """Everything at once, the servers too, and all of it comes back together."""
    for role in world.stack.roles():
        world.keeper.kill(role)
    if world.stack.kind == "production":
        world.postgres.kill()
        world.redis.kill()
    yield
    if world.stack.kind == "production":
        world.postgres.start()
        world.redis.start()
    for role in world.stack.roles():
        world.keeper.start(role)
    world.note_back("everything")


# --- Wires ------------------------------------------------------------------------------------------------------------


@contextmanager
def _on_wire(way: str, mode: str, world: World, rng: random.Random) -> Iterator[None]:
    with ExitStack() as broken:
        for wire in world.wires[way]:
            broken.enter_context(wire.broken(mode))
        yield


# --- What the CRM says ------------------------------------------------------------------------------------------------


@contextmanager
def _crm_says(kind: str, options: dict[str, Any], world: World, rng: random.Random) -> Iterator[None]:
    with ExitStack() as faults:
        for crm in world.crms:
            faults.enter_context(crm.faulty(kind, **options))
        yield


@contextmanager
def _crm_hangs(world: World, rng: random.Random) -> Iterator[None]:
    """What was asked for is done, and the answer does not come."""
    with _crm_says("no_answer", {"seconds": world.hang_seconds}, world, rng):
        yield


@contextmanager
def _tokens_over(world: World, rng: random.Random) -> Iterator[None]:
    """401 to every request until the tokens are renewed."""
    for crm in world.crms:
        crm.expire_tokens()
    yield


CRM_SAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "503": ("down", {}),
    "500": ("html500", {"after": True}),
    "429": ("too_many", {"seconds": 2}),
    "html": ("html200", {}),
    "empty": ("empty", {}),
    "truncated": ("truncated", {}),
    "error-in-200": ("error", {"status": 200}),
    "slow": ("slow", {"seconds": 2.0}),
}

# --- What the PBX does ------------------------------------------------------------------------------------------------


@contextmanager
def _pbx_says(kind: str, world: World, rng: random.Random) -> Iterator[None]:
    world.mango.fault(kind, seconds=2.0)
    yield
    world.mango.clear_faults()


@contextmanager
def _events(delivery: dict[str, Any], world: World, rng: random.Random) -> Iterator[None]:
    """For calls that begin meanwhile."""
    world.delivery = delivery
    yield
    world.delivery = {}


@contextmanager
def _clock(sign: int, world: World, rng: random.Random) -> Iterator[None]:
    """The PBX's clock is wrong, for calls that begin meanwhile."""
    world.ahead = sign * rng.choice((20, 150, 1300))
    yield
    world.ahead = 0


DELIVERIES: dict[str, dict[str, Any]] = {
    "doubled": {"duplicate": True},
    "shuffled": {"shuffle": True},
    "late": {"delay": 1.0},
    "crowded": {"parallel": True, "duplicate": True, "delay": 1.5},
}

# --- All of them ------------------------------------------------------------------------------------------------------

FAULTS: dict[str, Fault] = {
    "kill-web": Fault(PROCESSES, partial(_killed, "web")),
    "kill-worker": Fault(PROCESSES, partial(_killed, "worker"), PRODUCTION),
    "kill-schedule": Fault(PROCESSES, partial(_killed, "schedule"), PRODUCTION),
    "restart": Fault(PROCESSES, _restarted),
    "kill-database": Fault(PROCESSES, _database_killed, PRODUCTION),
    "kill-broker": Fault(PROCESSES, _broker_killed, PRODUCTION),
    "flush-broker": Fault(PROCESSES, _broker_emptied, PRODUCTION),
    "power-cut": Fault(PROCESSES, _power_cut),
    # A PBX looks at the status alone, and nobody could notice a changed digit in a row: nothing is corrupted there.
    **{f"front-{mode}": Fault(HOUSE, partial(_on_wire, "front", mode)) for mode in MODES if mode != "corrupt"},
    **{
        f"{way}-{mode}": Fault(HOUSE, partial(_on_wire, way, mode), PRODUCTION)
        for way in ("database", "broker")
        for mode in MODES
        if mode != "corrupt"
    },
    **{f"{way}-{mode}": Fault(VENDORS, partial(_on_wire, way, mode)) for way in ("crm", "pbx") for mode in MODES},
    **{f"crm-{name}": Fault(VENDORS, partial(_crm_says, kind, options)) for name, (kind, options) in CRM_SAYS.items()},
    "crm-hangs": Fault(VENDORS, _crm_hangs),
    "crm-401": Fault(VENDORS, _tokens_over),
    **{
        f"pbx-{name}": Fault(VENDORS, partial(_pbx_says, kind))
        for name, kind in {"503": "down", "429": "rate_limited", "html": "html", "slow": "slow"}.items()
    },
    **{f"events-{name}": Fault(VENDORS, partial(_events, delivery)) for name, delivery in DELIVERIES.items()},
    "clock-ahead": Fault(VENDORS, partial(_clock, 1)),
    "clock-behind": Fault(VENDORS, partial(_clock, -1)),
}
