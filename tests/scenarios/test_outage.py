"""The product is down, or the PBX's notifications get lost, while calls happen: afterwards every call is in the CRM."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.emulators.mango.simulator import Call
from tests.scenarios.world import World, audio, world
from tests.stack import wait_until

pytestmark = pytest.mark.process

ANNA, BORIS, DEFAULT = 12, 13, 1
KINDS = {
    "incoming_direct": (ANNA, "200"),
    "incoming_group": (BORIS, "200"),
    "missed_direct": (DEFAULT, "304"),
    "outgoing": (ANNA, "200"),
}
AN_HOUR = 3600.0


@pytest.fixture(scope="module")
def scene(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(kind, tmp_path_factory.mktemp(f"outage-{kind}")) as found:
        # The company has been here since yesterday.
        found.stack.rows("UPDATE telephony_connection SET created_at = %s", _ago(hours=26))
        yield found


def _ago(**period: float) -> str:
    return (datetime.now(UTC) - timedelta(**period)).strftime("%Y-%m-%d %H:%M:%S.%f")


def unheard(scene: World, first: int) -> list[Call]:
    """One call of each kind, an hour ago, with a recording where somebody talked; nobody hears of them."""
    at = time.time() - AN_HOUR
    values: dict[str, Any] = {"record": True, "at": at, "speed": 1000}
    started = [
        scene.mango.call(name, client=f"7900001{number:04}", **values) for number, name in enumerate(KINDS, start=first)
    ]
    return [call.wait() for call in started]


def gap_is_filled(scene: World, calls: list[Call]) -> None:
    def done() -> bool:
        runs = scene.stack.rows("SELECT 1 FROM telephony_historyrun WHERE state = 'done'")
        return bool(runs) and not scene.stack.busy()

    wait_until(done, lambda: f"{scene.stack.busy()}\n{scene.stack.log('web')[-2000:]}", timeout=60)
    for call in calls:
        _is_there_once(scene, call)
    assert not any(scene.bitrix.portal.screens.values())


def _is_there_once(scene: World, call: Call) -> None:
    truth = call.truth(events=False)
    row = scene.stack.row("SELECT * FROM telephony_call WHERE key = %s", call.entry_id)
    assert (row["state"], row["talk_seconds"], row["extension"]) == (
        "finished",
        truth["talk_seconds"],
        truth["extension"],
    )
    (card,) = scene.cards(call)
    person, code = KINDS[call.spec.scenario]
    assert card.finish is not None
    assert (card.finish.user_id, card.finish.status_code) == (person, code)
    assert card.finish.duration == truth["talk_seconds"]
    # Registered and finished, and no card was shown or hidden for anybody.
    assert "show" not in {what for _, what, _ in card.history}
    stored = scene.stack.rows("SELECT sha256 FROM telephony_recording WHERE call_id = %s", row["id"])
    assert [each["sha256"] for each in stored] == audio(call)
    if call.recordings:
        assert card.record is not None
        assert [card.record.sha256] == audio(call)


def test_lost_notifications_are_filled_in(scene: World) -> None:
    scene.mango.fault("hub_unreachable")
    calls = unheard(scene, 1000)
    scene.mango.clear_faults()
    assert not scene.stack.rows("SELECT 1 FROM telephony_call")
    scene.stack.wait_quiet()
    # An hour has passed since the last comparison.
    scene.stack.rows("UPDATE telephony_schedule SET due_at = %s WHERE name LIKE '%%plan_comparisons'", _ago(hours=1))
    gap_is_filled(scene, calls)
    assert {row["source"] for row in scene.stack.rows("SELECT source FROM telephony_call")} == {"history"}


def test_calls_during_an_outage_are_filled_in_at_the_start(scene: World) -> None:
    scene._fresh_limits()
    heard = scene.mango.call("incoming_direct", client="79000012000", speed=0.0001, at=time.time() - AN_HOUR)
    wait_until(lambda: heard.events and all(event.answers for event in heard.events), "the first ring")
    scene.quiet()
    assert any(scene.bitrix.portal.screens.values())
    for role in scene.stack.processes:
        scene.stack.kill(role)
    scene.mango.hangup(heard)
    calls = unheard(scene, 2001)
    heard.wait()
    scene.stack.rows("DELETE FROM telephony_historyrun")
    scene.stack.rows("UPDATE telephony_schedule SET due_at = %s WHERE name = 'door'", _ago(hours=2))
    for role in scene.stack.roles():
        scene.stack.spawn(role)
    scene.stack.wait_ready()
    gap_is_filled(scene, calls)
    kinds = [row["kind"] for row in scene.stack.rows("SELECT kind FROM telephony_historyrun")]
    assert kinds == ["outage"]
    (card,) = scene.cards(heard)
    assert card.finish is not None
    assert card.finish.status_code == "304"
    _counted(scene)


def _counted(scene: World) -> None:
    """Every day is whole, and nobody broke a vendor's rules."""
    rows = scene.stack.rows("SELECT told, missing FROM telephony_coverageday")
    assert sum(row["told"] for row in rows) == len(scene.mango.calls)
    assert not any(row["missing"] for row in rows)
    assert scene.mango.violations == []
    assert scene.bitrix.violations == []
    assert scene.stack.rows("SELECT path, error FROM telephony_inboxevent WHERE state = 2") == []
