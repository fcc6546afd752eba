"""Lines to PBXs that must be listened to: the real switchboard, a real connection, the real inbox."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from employees.forms import defaults
from telephony.listening import Switchboard
from telephony.models import Call, Connection, HistoryRun, InboxEvent, Listening
from telephony.pipeline import Pipeline
from telephony.providers import registry
from tests.emulators.pbx import SCENARIOS, Pbx, Told, Wire, emulated
from tests.factories import ConnectionFactory
from tests.stack import ROOT, running, wait_until

LISTENED_TO = [slug for slug, kind in emulated().items() if kind.listened_to]
ANSWERED = SCENARIOS[0]


class World:
    """A PBX, a connection to it, and a switchboard."""

    def __init__(self, slug: str, exits: ExitStack):
        self.pbx: Pbx = exits.enter_context(emulated()[slug](self.deliver).serving())
        self.slug = slug
        self.exits = exits
        self.connection = self.connect()

    def connect(self, **secrets: str) -> Connection:
        provider = registry.get(self.slug)
        return ConnectionFactory.create(
            provider=self.slug,
            brand=provider.brands[0].slug,
            credentials={**defaults(provider.form), **self.pbx.secrets, **secrets},
        )

    def deliver(self, wire: Wire) -> Told:
        self.pbx.speak(wire)
        return Told(200)

    @contextmanager
    def listening(self) -> Iterator[None]:
        pipeline = Pipeline()
        board = Switchboard(pipeline)
        pipeline.start()
        board.start()
        try:
            yield
        finally:
            board.stop()
            pipeline.stop()

    def line(self) -> Listening:
        return Listening.objects.get(connection=self.connection)

    def is_up(self) -> bool:
        return Listening.objects.filter(connection=self.connection).exclude(up_since=None).exists()

    def wait_up(self) -> None:
        wait_until(self.is_up, lambda: f"the line is down: {self.line().error}")

    def wait_for(self, **fields: Any) -> Call:
        return wait_until(Call.objects.filter(connection=self.connection, **fields).first, f"no call with {fields}")


@pytest.fixture(params=LISTENED_TO)
def world(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[World]:
    with ExitStack() as exits:
        yield World(request.param, exits)


def test_what_is_told_becomes_a_call(world: World) -> None:
    with world.listening():
        world.wait_up()
        call = world.pbx.play(ANSWERED)
        row = world.wait_for(state="finished")
    assert call.agrees({name: getattr(row, name) for name in call.truth})
    assert world.line().up_since is None  # nobody listens any more
    assert world.line().lease is None


def test_a_line_that_breaks_is_up_again_and_what_went_by_is_asked_for(world: World) -> None:
    with world.listening():
        world.wait_up()
        first = world.line().up_since
        world.pbx.cut()  # type: ignore[attr-defined]
        wait_until(lambda: world.is_up() and world.line().up_since != first, "the line is not up again")
        run = wait_until(HistoryRun.objects.filter(kind=HistoryRun.Kind.OUTAGE).first, "the history is not asked")
    assert run.until - run.since < timedelta(days=2)


def test_a_call_that_ended_unheard_is_ended(world: World) -> None:
    """However short before. Without a history there is nothing more to be known of it."""
    world.connection.credentials = {**world.connection.credentials, "cdr_host": ""}
    world.connection.save()
    Call.objects.create(
        company=world.connection.company,
        connection=world.connection,
        key="ended unheard",
        direction="in",
        state="ringing",
        started_at=timezone.now(),
        first_received_at=timezone.now(),
    )
    with world.listening():
        world.wait_up()
        wait_until(lambda: InboxEvent.objects.filter(path="_callbridge/close").exists(), "it is not ended", 60)


def test_why_a_line_is_down_is_said_and_it_comes_up_when_that_is_put_right(world: World) -> None:
    right = world.connection.credentials
    world.connection.credentials = {**right, **world.pbx.nowhere}
    world.connection.save()
    with world.listening():
        wait_until(lambda: Listening.objects.exclude(error="").exists(), "nothing is said")
        assert "connect" in world.line().error
        assert world.line().down_since is not None
        world.connection.credentials = right
        world.connection.save()
        world.wait_up()
        assert world.line().error == ""


def test_new_and_paused_connections_are_noticed(world: World) -> None:
    with world.listening():
        world.wait_up()
        world.connection.active = False
        world.connection.save()
        wait_until(lambda: not world.is_up(), "a paused connection is still listened to")
        wait_until(lambda: not world.pbx.sessions, "its line is still there")  # type: ignore[attr-defined]
        world.connection = world.connect()
        world.wait_up()


def test_of_two_switchboards_one_listens(world: World) -> None:
    with world.listening():
        world.wait_up()
        with world.listening():
            world.pbx.play(ANSWERED)
            world.wait_for(state="finished")
            assert world.pbx.connects == 1


def test_what_is_heard_while_the_database_is_away_is_stored_afterwards(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from telephony import inbox

    stored = inbox.store
    refused: list[list[InboxEvent]] = []

    def away(events: list[InboxEvent]) -> None:
        if len(refused) < 3:
            refused.append(events)
            raise OSError("no database")
        stored(events)

    with world.listening():
        world.wait_up()
        monkeypatch.setattr(inbox, "store", away)
        call = world.pbx.play(ANSWERED)
        row = world.wait_for(state="finished")
    assert len(refused) == 3
    assert call.agrees({name: getattr(row, name) for name in call.truth})


@pytest.mark.process
@pytest.mark.parametrize("slug", LISTENED_TO)
def test_the_process_listens_and_ends_in_seconds(slug: str, tmp_path: Any) -> None:
    """On the embedded stack the product itself does it; the process beside it finds the line taken."""
    from tests.faults.test_every_pbx import _company

    with ExitStack() as exits:
        pbx = exits.enter_context(emulated()[slug](lambda _wire: Told(200)).serving())
        stack = exits.enter_context(running("embedded", tmp_path))
        made = stack.provision(_company(slug, pbx, "http://127.0.0.1:1"))
        assert made
        wait_until(lambda: stack.rows("SELECT 1 FROM telephony_listening WHERE up_since IS NOT NULL"), "not up")
        beside = subprocess.Popen([sys.executable, "manage.py", "listen"], cwd=ROOT, env=stack.environment)
        try:
            stack.terminate("web")
            wait_until(lambda: pbx.connects > 1, "nobody has taken the line over", 40)
        finally:
            beside.send_signal(signal.SIGTERM)
            assert beside.wait(10) == 0
