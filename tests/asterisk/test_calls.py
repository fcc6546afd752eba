"""Real calls through the whole product, on both stacks, judged by what the phones know of them."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest

from tests.stack import wait_until

from .calls import CALLS, Truth, ended, talk
from .lab import Lab, line
from .world import World, world

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def scene(kind: str, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(kind, lab, tmp_path_factory.mktemp(f"asterisk-{kind}")) as found:
        yield found


@pytest.fixture(scope="module")
def placed(scene: World) -> dict[str, Truth]:
    """Calls of every kind, that went on at the same time."""
    truths = scene.place()
    scene.settle()
    return truths


@pytest.mark.parametrize("name", [name for name in CALLS if name != "internal"])
def test_a_call_is_written_as_it_was(scene: World, placed: dict[str, Truth], name: str) -> None:
    scene.agrees(placed[name])


def test_an_internal_call_is_in_the_journal_alone(scene: World, placed: dict[str, Truth]) -> None:
    truth = placed["internal"]
    row = scene.stack.row("SELECT * FROM telephony_call WHERE direction = 'internal'")
    assert (row["state"], row["outcome"], row["client_phone"]) == ("finished", "answered", "")
    assert abs(row["talk_seconds"] - truth.talk) <= 1
    sync = scene.stack.row("SELECT state, reason FROM integrations_callsync WHERE call_id = %s", row["id"])
    assert sync == {"state": "skipped", "reason": "internal_call"}


def test_there_are_no_other_calls(scene: World, placed: dict[str, Truth]) -> None:
    assert scene.stack.row("SELECT count(*) AS n FROM telephony_call") == {"n": len(placed)}
    assert len(scene.bitrix.calls) == len(placed) - 1


# --- What we ask of the PBX


def test_a_click_in_the_crm_calls_the_employee_then_the_client(scene: World) -> None:
    client = scene.client()
    started = scene.bitrix.fire_call_start(101, f"+{client}", line(0))
    assert started["statuses"] == [200]
    employee = scene.lab.phone(101).rings().answer()
    outside = scene.lab.outside.rings(for_number=client).answer()
    talk()
    employee.hang_up()
    ended(employee, outside)
    scene.settle()
    scene.agrees(Truth(client, "101", direction="out", talk=outside.talked, recorded=True))
    (card,) = scene.cards(client)
    assert (card.call_id, card.origin) == (started["call_id"], "portal")


def test_a_click_that_the_employee_does_not_take_calls_nobody(scene: World) -> None:
    client = scene.client()
    started = scene.bitrix.fire_call_start(101, f"+{client}", line(0))
    scene.lab.phone(101).rings().refuse()
    (card,) = scene.cards(client)
    assert card.call_id == started["call_id"]
    wait_until(lambda: card.finish, "the CRM is told that nobody was called")
    assert card.finish is not None
    assert (card.finish.user_id, card.finish.duration) == (101, 0)
    assert card.finish.status_code != "200"
    assert not [call for call in scene.lab.outside.calls if call.dialled == client]


def test_a_call_is_hung_up_from_the_portal(scene: World) -> None:
    client = scene.client()
    calling = scene.lab.outside.dial(line(101), me=client)
    employee = scene.lab.phone(101).rings(by=client).answer()
    row = scene.wait_row(client, "answered")
    scene.press(f"/calls/{UUID(str(row['uuid']))}/hangup/")
    ended(employee, calling)
    assert (employee.ended_here, calling.ended_here) == (False, False)
    scene.settle()
    scene.agrees(Truth(client, "101", talk=employee.talked, recorded=True))


def test_a_talk_is_handed_on(scene: World) -> None:
    client = scene.client()
    calling = scene.lab.outside.dial(line(101), me=client)
    first = scene.lab.phone(101).rings(by=client).answer()
    row = scene.wait_row(client, "answered")
    talk()
    scene.stack.shell(
        "from telephony import commands\n"
        "from telephony.models import Call\n"
        f"commands.transfer(Call.objects.get(uuid='{row['uuid']}'), '116')"
    )
    first.wait("over")
    second = scene.lab.phone(116).rings(by=client).answer()
    talk()
    calling.hang_up()
    ended(second, calling)
    scene.settle()
    scene.agrees(Truth(client, "116", first="101", talk=second.talked_until - first.talked_from, recorded=True))


# --- Who shall take a call


def test_the_dialplan_asks_and_the_personal_manager_gets_the_call(scene: World) -> None:
    client = scene.managed
    scene.lab.pbx.set_global("HUB", f"{scene.address}route?")
    calling = scene.lab.outside.dial(line(4), me=client)
    manager = scene.lab.phone(119).rings(by=client).answer()
    talk()
    calling.hang_up()
    ended(manager, calling)
    scene.settle()
    scene.agrees(Truth(client, "119", talk=manager.talked, recorded=True))
    # Once more: now his client is known here, and no CRM is asked.
    calling = scene.lab.outside.dial(line(4), me=client)
    scene.lab.phone(119).rings(by=client)
    calling.hang_up()
    scene.settle()
    sql = "SELECT code, details FROM telephony_decision WHERE kind = 'routing' AND code = 'manager_found' ORDER BY id"
    decisions = scene.stack.rows(sql)
    assert [decision["code"] for decision in decisions] == ["manager_found"] * 2
    assert decisions[1]["details"]["source"] == "book"


@pytest.mark.parametrize("hub", ["http://127.0.0.1:9/?", "{address}route?"], ids=["down", "stranger"])
def test_the_dialplan_goes_on_by_itself_without_an_answer(scene: World, hub: str) -> None:
    """Nobody is there to be asked, or there is nothing to say of the client."""
    client = scene.client()
    scene.lab.pbx.set_global("HUB", hub.format(address=scene.address))
    calling = scene.lab.outside.dial(line(4), me=client)
    ringing = scene.lab.phone(101).rings(by=client).answer()
    talk()
    calling.hang_up()
    ended(ringing, calling)
    scene.settle()
    scene.agrees(Truth(client, "101", talk=ringing.talked, recorded=True))


def test_nothing_else_is_wrong(scene: World) -> None:
    """The last test: over all the calls before."""
    scene.nothing_is_wrong()
