"""A rolling restart: each process is told to end while calls go on, ends in seconds, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.emulators.bitrix24 import Bitrix24Emulator
from tests.emulators.mango import Account, MangoEmulator
from tests.emulators.mango.simulator import Call
from tests.stack import Stack, company, running, wait_until

pytestmark = pytest.mark.process

WORST = 10.0
"""Seconds within which every process must have ended."""
BOOTED = '"event": "working"'
KINDS = ("incoming_direct", "outgoing", "missed_direct", "transfer_blind")


@dataclass
class Scene:
    stack: Stack
    mango: MangoEmulator
    bitrix: Bitrix24Emulator

    def restart(self, role: str) -> None:
        """As a supervisor does it; the process is ready again."""
        assert self.stack.terminate(role, WORST) == 0, self.stack.log(role)[-3000:]
        booted = self.stack.log(role).count(BOOTED)
        self.stack.spawn(role)
        if role == "web":
            self.stack.wait_ready()
        if role == "worker":
            wait_until(lambda: self.stack.log(role).count(BOOTED) > booted, lambda: self.stack.log(role)[-3000:])

    def differences(self, call: Call) -> list[str]:
        """Where PBX, CRM and journal do not agree on a call."""
        truth = call.truth(events=False)
        rows = self.stack.rows("SELECT * FROM telephony_call WHERE client_phone = %s", f"+{call.client}")
        cards = [card for card in self.bitrix.calls if card.phone == f"+{call.client}"]
        leads = list(self.bitrix.portal.find_by_phone(f"+{call.client}"))
        found = {
            "journal": [(row["state"], row["talk_seconds"]) for row in rows],
            "cards": [card.finish.duration if card.finish else None for card in cards],
            "finishes": [[what for _, what, _ in card.history].count("finish") for card in cards],
            "leads": len(leads),
        }
        talk = truth["talk_seconds"]
        expected = {
            "journal": [("finished", talk)],
            "cards": [talk],
            "finishes": [1],
            "leads": int(truth["direction"] == "in"),
        }
        return [f"{call.client} {name}: {found[name]}" for name in expected if found[name] != expected[name]]


def insist(mango: MangoEmulator) -> None:
    """What is not answered 200 is sent again until it is."""
    courier = mango.courier

    async def send(account: Account, event: Any) -> int | str:
        while (answer := await courier._attempt(account, event)) != 200:
            event.answers.append(answer)
            await asyncio.sleep(0.1)
        event.answers.append(answer)
        return answer

    courier.send = send  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def scene(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ExitStack() as exits:
        bitrix = exits.enter_context(Bitrix24Emulator(latency_ms=30))
        mango = exits.enter_context(MangoEmulator(retry_on_failure=True))
        insist(mango)
        # A lease that nobody would wait for: what was under way is handed back, not waited for.
        folder = tmp_path_factory.mktemp(f"restart-{kind}")
        stack = exits.enter_context(running(kind, folder, SYNC_LEASE_SECONDS="600", LOG_LEVEL="INFO"))
        made = stack.provision(company(mango.url, bitrix.url))
        mango.account().hub_url = made["connections"]["pbx"]["webhook_url"]
        yield Scene(stack, mango, bitrix)


numbers = itertools.count(79_003_000_000)


def test_nothing_is_lost_or_doubled_while_each_process_is_restarted(scene: Scene) -> None:
    stack = scene.stack
    clients = [str(next(numbers)) for _ in range(60)]
    values = [
        {"scenario": KINDS[number % len(KINDS)], "client": client, "speed": 30} for number, client in enumerate(clients)
    ]
    playing = scene.mango.play(values, 6.0)
    restarts = 0
    while not playing.done() or restarts < 2:
        for role in stack.roles():
            scene.restart(role)
        restarts += 1
    playing.result(60)
    scene.mango.wait_idle(60)
    stack.wait_quiet(60)
    calls = [call for call in scene.mango.calls if call.client in clients]
    assert len(calls) == len(clients)
    assert [line for call in calls for line in scene.differences(call)] == []
    assert scene.mango.violations == []
    assert scene.bitrix.violations == []


def test_a_request_that_hangs_does_not_hold_up_the_restart(scene: Scene) -> None:
    """It is of unknown fate, and settled as its step declares, long before its lease would have run out."""
    stack, role = scene.stack, "web" if scene.stack.kind == "embedded" else "worker"
    client = str(next(numbers))
    scene.bitrix.hub.latency = 15.0
    playing = scene.mango.play([{"scenario": "incoming_direct", "client": client, "speed": 1000}], 1.0)
    wait_until(lambda: [card for card in scene.bitrix.calls if card.phone == f"+{client}"], "a request under way")
    scene.restart(role)
    scene.bitrix.hub.latency = 0.03
    playing.result(60)
    scene.mango.wait_idle(60)
    stack.wait_quiet(60)
    (call,) = [call for call in scene.mango.calls if call.client == client]
    assert scene.differences(call) == []


def _told(line: socket.socket) -> bytes:
    """Nothing where the other side has gone, however it went."""
    try:
        return line.recv(12)
    except ConnectionResetError:
        return b""


def test_who_sends_slowly_does_not_hold_up_the_restart(scene: Scene) -> None:
    """What came in part was not taken."""
    stack = scene.stack
    path = scene.mango.account().hub_url.removeprefix(stack.url)
    with socket.create_connection(("127.0.0.1", stack.port)) as line:
        line.sendall(f"POST {path}ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nvpbx_api_key=".encode())
        scene.restart("web")
        assert line.recv(12) in {b"", b"HTTP/1.1 500", b"HTTP/1.1 503"}
    assert stack.row("SELECT count(*) AS count FROM telephony_inboxevent WHERE state = 2") == {"count": 0}
