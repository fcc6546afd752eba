"""Webhooks over real processes, on both stacks: calls are told, outages are survived, a restart loses nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.receiver import Receiver, Reply
from tests.scenarios.world import World, world
from tests.stack import wait_until

pytestmark = pytest.mark.process

SUBSCRIBE = """
from employees.models import Company
from integrations import endpoints, payloads
row, secret = endpoints.create(Company.objects.get(), {url!r}, list(payloads.KINDS))
print(secret)
"""
WORST = 15.0


@dataclass
class Scene:
    world: World
    receiver: Receiver

    def told(self, client: str) -> dict[str, dict[str, Any]]:
        """What was told of the calls with a client, by id."""
        return {
            name: event
            for name, event in self.receiver.events.items()
            if event["data"].get("client_phone") == f"+{client}"
        }

    def kinds(self, client: str) -> Counter[str]:
        return Counter(event["type"] for event in self.told(client).values())

    def wait(self, client: str, *kinds: str) -> None:
        """Until these were told, and nothing else."""
        wait_until(lambda: self.kinds(client) == Counter(kinds), lambda: f"{self.kinds(client)}", 40)


@pytest.fixture(scope="module")
def scene(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Receiver() as receiver, world(kind, tmp_path_factory.mktemp(f"hooks-{kind}")) as found:
        receiver.secret = found.stack.shell(SUBSCRIBE.format(url=receiver.url)).strip()
        yield Scene(found, receiver)


def test_a_call_is_told_from_its_first_ring_to_its_recording(scene: Scene) -> None:
    played = scene.world.play("incoming_direct", client="79000020001", record=True)
    kinds = ("call.ringing", "call.answered", "call.finished", "recording.ready")
    scene.wait("79000020001", *kinds)
    told = scene.told("79000020001")
    assert {event["data"]["id"].replace("-", "") for event in told.values()} == {
        str(played.row["uuid"]).replace("-", "")
    }
    ready = next(event["data"] for event in told.values() if event["type"] == "recording.ready")
    (recording,) = ready["recordings"]
    assert recording["url"].startswith(scene.world.stack.url)
    assert not scene.receiver.forged
    assert {name: scene.receiver.seen.count(name) for name in told} == dict.fromkeys(told, 1)


def test_what_was_not_taken_comes_when_the_programme_is_back(scene: Scene) -> None:
    scene.receiver.usual = Reply(503)
    scene.world.play("missed_direct", client="79000020002")
    wait_until(lambda: len(scene.receiver.seen) > len(scene.receiver.events), "a try")
    assert not scene.told("79000020002")
    scene.receiver.usual = Reply()
    scene.wait("79000020002", "call.ringing", "call.finished")


def test_a_restart_while_it_is_sent_loses_nothing(scene: Scene) -> None:
    """The new worker waits for nobody's lease. What was under way comes twice, with one id."""
    stack, receiver = scene.world.stack, scene.receiver
    role = "web" if stack.kind == "embedded" else "worker"
    receiver.free.clear()
    scene.world.play("missed_direct", client="79000020003")
    wait_until(lambda: receiver.busy, "a request")
    stack.terminate(role, WORST)
    receiver.free.set()
    stack.spawn(role)
    stack.wait_ready()
    scene.wait("79000020003", "call.ringing", "call.finished")
    bodies = {name: json.dumps(event) for name, event in scene.told("79000020003").items()}
    wait_until(lambda: max(receiver.seen.count(name) for name in bodies) == 2, lambda: f"{receiver.seen}")
