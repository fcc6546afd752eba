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
Meanwhile = Callable[[], None]


@dataclass
class Talk:
    """An incoming call that goes on."""

    client: str
    calling: Call
    employee: Call

    @classmethod
    def begin(cls, scene: World, extension: int) -> Talk:
        client = scene.client()
        calling = scene.lab.outside.dial(line(extension), me=client)
        return cls(client, calling, scene.lab.phone(extension).rings(by=client).answer())

    @classmethod
    def begun(cls, scene: World, extension: int) -> Talk:
        """One that the product knows of, and the CRM."""
        talk = cls.begin(scene, extension)
        scene.wait_row(talk.client, "answered")
        scene.wait_card(talk.client)
        return talk

    def end(self) -> None:
        self.calling.hang_up()
        ended(self.employee, self.calling)

    @property
    def truth(self) -> Truth:
        return Truth(self.client, self.employee.phone.user, talk=self.employee.talked, recorded=True)


UNHEARD: dict[World, list[Talk]] = {}
"""Whose end nobody has heard: only after a while the product is sure of it."""


@pytest.fixture(scope="module")
def scene(kind: str, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(kind, lab, tmp_path_factory.mktemp(f"breaks-{kind}")) as found:
        UNHEARD[found] = []
        yield found


def killed(scene: World, meanwhile: Meanwhile) -> None:
    """`kill -9` of whoever holds the line; another one takes over when the lease is free."""
    role = "listen" if "listen" in scene.stack.processes else "web"
    scene.stack.kill(role)
    meanwhile()
    scene.stack.rows("UPDATE telephony_listening SET lease_until = NULL, up_since = NULL")
    scene.stack.spawn(role)
    scene.stack.wait_ready()


def cut(scene: World, meanwhile: Meanwhile) -> None:
    """The connection to the PBX."""
    with scene.wire.broken("refuse"):
        wait_until(lambda: not scene.lab.pbx.listeners(), "the PBX has somebody who listens")
        meanwhile()
        wait_until(lambda: not scene.listens(), "the product believes that it listens")


@pytest.mark.parametrize("broken", [killed, cut])
def test_calls_that_went_on_meanwhile_are_there_once(scene: World, broken: Callable[[World, Meanwhile], None]) -> None:
    """One talk outlives it, one ends while nobody listens, one begins then."""
    outlives, ends = Talk.begun(scene, 101), Talk.begun(scene, 108)
    begins: list[Talk] = []

    def meanwhile() -> None:
        ends.end()
        begins.append(Talk.begin(scene, 103))

    broken(scene, meanwhile)
    scene.listening()
    scene.wait_row(begins[0].client, "answered")
    talk()
    for each in (outlives, *begins):
        each.end()
        scene.wait_row(each.client, "finished")
    scene.work_off()
    scene.agrees(outlives.truth)
    scene.agrees(begins[0].truth, within=2.0)  # since when it went on, the PBX says in whole seconds
    UNHEARD[scene].append(ends)


def test_the_pbx_is_restarted(scene: World) -> None:
    """Its calls end with it; the next one is a call like any other."""
    going_on = Talk.begun(scene, 104)
    scene.lab.pbx.stop()
    scene.lab.cut_off()
    wait_until(lambda: not scene.listens(), "the product believes that it listens")
    scene.lab.pbx.start()
    scene.listening()
    afterwards = Talk.begun(scene, 105)
    talk()
    afterwards.end()
    scene.wait_row(afterwards.client, "finished")
    scene.work_off()
    scene.agrees(afterwards.truth)
    UNHEARD[scene].append(going_on)


def test_what_ended_unheard_is_over(scene: World) -> None:
    scene.settle()
    for each in UNHEARD[scene]:
        row = scene.row(each.client)
        assert (row["outcome"], row["extension"]) == ("answered", each.truth.extension)
        (card,) = scene.cards(each.client)
        assert card.finish is not None
        person = (card.finish.user_id, card.finish.status_code, card.finish.duration)
        assert person == (int(each.truth.extension), "200", row["talk_seconds"])
    scene.nothing_is_wrong()
