"""Processes die at any moment, the CRM is slow, down, or loses its answers: no call is lost, none is written twice.

The promise begins with an answer: what the PBX was answered 200 for is on disk and reaches the CRM. What was not
answered (the process died, or was not there) has not been accepted, and the PBX here sends it again until it is:
without that nobody could know of it. So PBX and CRM must agree in the end on every call.

`FAULT_CALLS` is the number of calls in the first test (200; the others play a part of it), `FAULT_SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.emulators.bitrix24 import Bitrix24Emulator, PortalConfig
from tests.emulators.bitrix24.portal import Call as Card
from tests.emulators.mango import Account, MangoEmulator
from tests.emulators.mango.simulator import Call
from tests.stack import Stack, company, running

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

CALLS = int(os.environ.get("FAULT_CALLS", "200"))
SEED = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**6))
COMPANIES = 4
LEAST_KILLS = 4
HIT = ("web", "web", "worker", "worker", "schedule")
"""Who is killed, as often as it stands here."""
USERS = {"101": 12, "102": 13, "103": 14}
DEFAULT = 1
KINDS = {
    "incoming_direct": "200",
    "incoming_group": "200",
    "transfer_blind": "200",
    "outgoing": "200",
    "missed_direct": "304",
    "busy": "486",
    "outgoing_no_answer": "480",
}
"""Kinds of calls with the status code that the CRM must end up with."""


class World:
    """Several companies on one installation, each with a PBX account and a CRM of its own."""

    def __init__(self, stack: Stack, mango: MangoEmulator, crms: list[Bitrix24Emulator]):
        self.stack, self.mango, self.crms = stack, mango, crms
        rows = [
            company(mango.url, crm.url, f"Flowers{number}", prefix=f"c{number}", api_key=key)
            for number, (crm, key) in enumerate(zip(crms, mango.accounts, strict=True))
        ]
        for account, made in zip(mango.accounts.values(), stack.provision_all(rows), strict=True):
            account.hub_url = made["connections"]["pbx"]["webhook_url"]
        self._numbers = iter(range(1_000_000, 2_000_000))

    def play(self, calls: int, per_second: float, rng: random.Random) -> list[Call]:
        """Calls of all kinds, spread over the companies; each is over and accepted."""
        before = len(self.mango.calls)
        values = [
            {
                "scenario": rng.choice(list(KINDS)),
                "account": rng.choice(list(self.mango.accounts)),
                "client": f"7900{next(self._numbers):07}",
                "speed": 30,
            }
            for _ in range(calls)
        ]
        self.mango.play(values, per_second).result(300)
        self.mango.wait_idle(300)
        return self.mango.calls[before:]

    def crm_of(self, call: Call) -> Bitrix24Emulator:
        return self.crms[list(self.mango.accounts).index(call.account.key)]

    def cards(self, call: Call) -> list[Card]:
        return [card for card in self.crm_of(call).calls if card.phone == f"+{call.client}"]


def _insist(mango: MangoEmulator) -> None:
    """`retry_on_failure` without an end: a notification is sent until it is answered 200."""
    courier = mango.courier

    async def send(account: Account, event: Any) -> int | str:
        while True:
            answer = await courier._attempt(account, event)
            event.answers.append(answer)
            if answer == 200:
                return answer
            await asyncio.sleep(0.1)

    courier.send = send  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def scene(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    accounts = [Account(key=f"key{number:029}") for number in range(COMPANIES)]
    configs = [
        PortalConfig(
            access_token=f"c{number}-access",
            refresh_token=f"c{number}-refresh",
            application_token=f"c{number}-application-token",
            member_id=f"c{number}-member",
        )
        for number in range(COMPANIES)
    ]
    with ExitStack() as exits:
        crms = [exits.enter_context(Bitrix24Emulator([config], latency_ms=30)) for config in configs]
        mango = exits.enter_context(MangoEmulator(accounts=accounts, retry_on_failure=True))
        _insist(mango)
        folder = tmp_path_factory.mktemp(f"faults-{kind}")
        stack = exits.enter_context(running(kind, folder, SYNC_LEASE_SECONDS="6"))
        yield World(stack, mango, crms)


class Killer:
    """Kills processes of the product at random moments, as long as it is let."""

    def __init__(self, stack: Stack, rng: random.Random):
        self._stack, self._rng = stack, rng
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.killed: Counter[str] = Counter()
        self._error: Exception | None = None

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(120)
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            while not (self._over.wait(self._rng.uniform(0.1, 2.0)) and self.killed.total() >= LEAST_KILLS):
                role = self._rng.choice([role for role in HIT if role in self._stack.processes])
                self._stack.kill_and_restart(role)
                self.killed[role] += 1
                if role == "web":
                    self._stack.wait_ready()
        except Exception as error:
            self._error = error


# --- The troubles


@contextmanager
def healthy(crms: list[Bitrix24Emulator]) -> Iterator[None]:
    yield


@contextmanager
def slow_to_begin(crms: list[Bitrix24Emulator]) -> Iterator[None]:
    """Two seconds pass before a request is executed."""
    for crm in crms:
        crm.fault("slow", seconds=2.0)
    yield
    for crm in crms:
        crm.clear_faults()


@contextmanager
def slow_to_answer(crms: list[Bitrix24Emulator]) -> Iterator[None]:
    """A request is executed at once, and answered two seconds later."""
    for crm in crms:
        crm.hub.latency = 2.0
    yield
    for crm in crms:
        crm.hub.latency = 0.03


@contextmanager
def down(crms: list[Bitrix24Emulator]) -> Iterator[None]:
    for crm in crms:
        crm.fault("down", for_seconds=min(60.0, CALLS / 40))
    yield


@contextmanager
def answers_lost(crms: list[Bitrix24Emulator]) -> Iterator[None]:
    """Requests are executed, and their answers never come."""
    for crm in crms:
        crm.fault("no_answer", seconds=0.2, count=3)
        crm.fault("no_answer", seconds=0.2, count=3, method="telephony.externalCall.finish")
    yield


TROUBLES = {
    "healthy": (healthy, CALLS, 16.0),
    "slow-to-begin": (slow_to_begin, max(8, CALLS // 10), 8.0),
    "slow-to-answer": (slow_to_answer, max(8, CALLS // 10), 8.0),
    "down": (down, max(8, CALLS // 10), 8.0),
    "answers-lost": (answers_lost, max(8, CALLS // 10), 8.0),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_nothing_is_lost_and_nothing_doubled(scene: World, trouble: str) -> None:
    rng = random.Random(f"{SEED}-{trouble}")
    print(f"FAULT_SEED={SEED}")
    begin, count, per_second = TROUBLES[trouble]
    with begin(scene.crms):
        with Killer(scene.stack, rng) as killer:
            calls = scene.play(count, per_second, rng)
        scene.stack.wait_ready()
        scene.stack.wait_quiet(timeout=180)
    print(f"{trouble}: {len(calls)} calls, killed {dict(killer.killed)}, {_hardship(scene, calls)}")
    assert killer.killed.total() >= LEAST_KILLS
    assert [line for call in calls for line in _differences(scene, call)] == []
    assert [entry for crm in scene.crms for entry in crm.violations] == []
    assert scene.mango.violations == []


def _hardship(scene: World, calls: list[Call]) -> str:
    """What the run has put the product through, so that a run that proves nothing is seen."""
    resent = sum(len(event.answers) - 1 for call in calls for event in call.events)
    again = sum(step == "register" for call in calls for card in scene.cards(call) for _, step, _ in card.history)
    looks = scene.stack.row("SELECT count(*) AS looks FROM telephony_exchange WHERE purpose = 'look'")["looks"]
    return f"{resent} notifications sent again, {again - len(calls)} registers repeated, {looks} looks so far"


def _differences(scene: World, call: Call) -> list[str]:
    """Where PBX, CRM and our own journal do not say the same of a call."""
    truth, cards = call.truth(events=False), scene.cards(call)
    about = f"{truth['scenario']} {truth['client']}"
    if len(cards) != 1:
        return [f"{about}: {len(cards)} calls in the CRM: {[card.history for card in cards]}"]
    (card,) = cards
    expected = {
        "ended": True,
        "person": _person(truth),
        "code": KINDS[truth["scenario"]],
        "duration": truth["talk_seconds"],
        "steps": ["register", "finish"],
        "statistics": 1,
        "leads": int(truth["direction"] == "in"),
        "journal": [("finished", truth["talk_seconds"])],
    }
    crm, end = scene.crm_of(call), card.finish
    found = {
        "ended": end is not None,
        "person": end and end.user_id,
        "code": end and end.status_code,
        "duration": end and end.duration,
        "steps": _steps(card),
        "statistics": [row.phone for row in crm.portal.rows].count(card.phone),
        "leads": len(list(crm.portal.find_by_phone(card.phone))),
        "journal": [
            (row["state"], row["talk_seconds"])
            for row in scene.stack.rows("SELECT * FROM telephony_call WHERE client_phone = %s", f"+{call.client}")
        ],
    }
    return [
        f"{about}: {name}: the PBX says {value!r}, found {found[name]!r}; {card.history}"
        for name, value in expected.items()
        if found[name] != value
    ]


def _steps(card: Card) -> list[str]:
    """The order of beginning and end; a repeated register (its answer was lost) is the same step."""
    steps = [what for _, what, _ in card.history if what.startswith(("register", "finish"))]
    return [step for number, step in enumerate(steps) if step != "register" or "register" not in steps[:number]]


def _person(truth: dict[str, Any]) -> int:
    if truth["direction"] == "out":
        return USERS[truth["extension"]]
    return USERS[truth["first_extension"]] if truth["outcome"] == "answered" else DEFAULT
