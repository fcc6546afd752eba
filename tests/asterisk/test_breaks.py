"""Who listens to the PBX dies, the connection is cut, the PBX is restarted: afterwards all calls are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.stack import wait_until

from .calls import Truth, ended, talk
from .lab import Lab, line
from .sip import Call
from .world import World, world

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def scene(kind: str, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(kind, lab, tmp_path_factory.mktemp(f"breaks-{kind}")) as found:
        yield found


@dataclass
class Talk:
    """An incoming call that goes on, as the product knows."""

    client: str
    calling: Call
    employee: Call

    @classmethod
    def begin(cls, scene: World, extension: int) -> Talk:
        client = scene.client()
        calling = scene.lab.outside.dial(line(extension), me=client)
        employee = scene.lab.phone(extension).rings(by=client).answer()
        scene.wait_row(client, "answered")
        scene.wait_card(client)
        return cls(client, calling, employee)

    def end(self) -> None:
        self.calling.hang_up()
        ended(self.employee, self.calling)

    @property
    def truth(self) -> Truth:
        return Truth(self.client, self.employee.phone.user, talk=self.employee.talked, recorded=True)


def _killed(scene: World, meanwhile: Callable[[], None]) -> None:
    role = "listen" if "listen" in scene.stack.processes else "web"
    scene.stack.kill(role)
    meanwhile()
    scene.stack.spawn(role)
    scene.stack.wait_ready()


def _cut(scene: World, meanwhile: Callable[[], None]) -> None:
    with scene.wire.broken("refuse"):
        meanwhile()


@pytest.mark.parametrize("broken", [_killed, _cut])
def test_calls_that_went_on_meanwhile_are_there_once(
    scene: World, broken: Callable[[World, Callable[[], None]], None]
) -> None:
    """One talk outlives it, one ends while nobody listens, one begins then."""
    outlives, ends = Talk.begin(scene, 101), Talk.begin(scene, 102)
    begins: list[Call] = []
    client = scene.client()

    def meanwhile() -> None:
        wait_until(lambda: not scene.lab.pbx.listeners(), "somebody listens still")
        ends.end()
        begins.append(scene.lab.outside.dial(line(103), me=client))
        begins.append(scene.lab.phone(103).rings(by=client).answer())

    broken(scene, meanwhile)
    scene.listening()
    scene.wait_row(client, "answered")
    talk()
    begins[0].hang_up()
    ended(begins[0], begins[1])
    outlives.end()
    scene.settle()
    scene.agrees(outlives.truth)
    scene.agrees(Truth(client, "103", talk=begins[1].talked, recorded=True))
    # Nobody has seen it end: the product found it gone.
    row = scene.row(ends.client)
    assert (row["state"], row["outcome"], row["extension"]) == ("finished", "answered", "102")
    (card,) = scene.cards(ends.client)
    assert card.finish is not None
    assert (card.finish.user_id, card.finish.status_code) == (102, "200")


def test_calls_end_with_their_pbx(scene: World) -> None:
    going_on = Talk.begin(scene, 104)
    scene.lab.pbx.stop()
    scene.lab.cut_off()
    scene.lab.pbx.start()
    scene.listening()
    scene.settle()
    row = scene.row(going_on.client)
    assert (row["state"], row["outcome"], row["extension"]) == ("finished", "answered", "104")
    afterwards = Talk.begin(scene, 104)
    talk()
    afterwards.end()
    scene.settle()
    scene.agrees(afterwards.truth)


def test_nothing_else_is_wrong(scene: World) -> None:
    scene.nothing_is_wrong()
