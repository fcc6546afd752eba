"""Live calls on people's pages: over real processes, on both stacks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.conftest import STACKS
from tests.emulators.bitrix24 import Bitrix24Emulator
from tests.emulators.mango import Account, MangoEmulator
from tests.emulators.mango.simulator import Call
from tests.scenarios.world import CRAWL
from tests.stack import Stack, company, free_port, running, wait_until
from tests.streams import listening, make_operators, sign_in

pytestmark = pytest.mark.process

OTHER_KEY = "demo0vpbx0api0key0000000000000c3"
WORST = 10.0
CONNECTIONS = 7
"""To the database, for a process: fewer than there are streams in a test."""


@dataclass
class Scene:
    """Two companies, each with a PBX of its own; Anna and Boris work in one of them, Zoya in the other."""

    stack: Stack
    mango: MangoEmulator

    def call(self, **values: Any) -> Call:
        """A call that rings until it is led on."""
        values = {"client": str(next(numbers)), "speed": CRAWL, **values}
        return self.mango.call("incoming_direct", **values)

    def uuid(self, call: Call) -> str:
        """Of our call, in plain digits."""
        row = self.stack.row("SELECT * FROM telephony_call WHERE key = %s", call.entry_id)
        return str(row["uuid"]).replace("-", "")

    def answer_and_end(self, call: Call) -> None:
        for _ in range(2):
            self.go_on(call)
        call.wait(10)

    def go_on(self, call: Call) -> None:
        seen = len(call.events)
        self.mango.proceed(call)
        wait_until(lambda: len(call.events) > seen or call.done, "the call's next event")


numbers = itertools.count(79_004_000_000)


@pytest.fixture(scope="module")
def scene(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    accounts = [Account(), Account(key=OTHER_KEY)]
    with ExitStack() as exits:
        bitrix = exits.enter_context(Bitrix24Emulator())
        mango = exits.enter_context(MangoEmulator(accounts=accounts))
        folder = tmp_path_factory.mktemp(f"live-{kind}")
        stack = exits.enter_context(running(kind, folder, DATABASE_POOL=str(CONNECTIONS)))
        keys = {"Flowers": accounts[0].key, "Others": OTHER_KEY}
        rows = [company(mango.url, bitrix.url, name, api_key=key) for name, key in keys.items()]
        for key, made in zip(keys.values(), stack.provision_all(rows), strict=True):
            mango.account(key).hub_url = made["connections"]["pbx"]["webhook_url"]
        make_operators(
            stack,
            ("Flowers", "Anna", "anna@flowers.example"),
            ("Flowers", "Boris", "boris@flowers.example"),
            ("Others", "Anna", "zoya@others.example"),
        )
        yield Scene(stack, mango)


def test_a_call_comes_to_whom_it_concerns_and_to_nobody_else(scene: Scene) -> None:
    people = [sign_in(scene.stack, f"{name}.example") for name in ("anna@flowers", "boris@flowers", "zoya@others")]
    with ExitStack() as exits:
        anna, boris, zoya = (exits.enter_context(listening(scene.stack, person)) for person in people)
        call = scene.call(extension="101")
        told = anna.told(over=False)
        assert told["call"].replace("-", "") == scene.uuid(call)
        card = people[0].get(f"{scene.stack.url}/card/?call={told['call']}", headers={"X-Part": "1"}, timeout=5).text
        assert f'data-card="{told["call"]}"' in card
        assert "data-rings" in card
        assert people[2].get(f"{scene.stack.url}/card/?call={told['call']}", timeout=5).status_code == 404
        scene.answer_and_end(call)
        assert anna.told(over=True)["call"] == told["call"]
        # Theirs come by the same look at the database: what was to be told to them would be there by now.
        other = scene.call(extension="102")
        boris.told(over=False)
        assert {each["call"] for each in anna.calls} == {told["call"]}
        assert told["call"] not in {each["call"] for each in boris.calls}
        assert zoya.calls == []
        scene.answer_and_end(other)


def test_lists_are_told_that_something_of_their_company_has_changed(scene: Scene) -> None:
    """And nothing else: neither which call it is, nor anything of another company's."""
    people = [sign_in(scene.stack, f"{name}.example") for name in ("anna@flowers", "zoya@others")]
    with ExitStack() as exits:
        anna, zoya = (exits.enter_context(listening(scene.stack, each, path="/calls/live/")) for each in people)
        assert anna.kinds == []
        call = scene.call(extension="102")
        wait_until(lambda: anna.kinds, "the word that something has changed")
        # Both are looked after at the same moment.
        assert zoya.kinds == []
        journal = people[0].get(f"{scene.stack.url}/calls/", headers={"X-Part": "1"}, timeout=5).text
        assert scene.uuid(call) in journal.replace("-", "")
        scene.answer_and_end(call)
        assert set(anna.kinds) == {"changed"}
        assert anna.calls == []


def test_who_comes_again_is_told_what_went_by_meanwhile(scene: Scene) -> None:
    anna = sign_in(scene.stack, "anna@flowers.example")
    with listening(scene.stack, anna) as stream:
        before = scene.call(extension="101")
        stream.told(over=False)
        place = stream.place
    scene.answer_and_end(before)
    meanwhile = scene.call(extension="101")
    scene.answer_and_end(meanwhile)
    scene.stack.wait_quiet()
    with listening(scene.stack, anna, place) as stream:
        told = {call["call"].replace("-", "") for call in stream.calls if call["over"]}
        assert told >= {scene.uuid(before), scene.uuid(meanwhile)}
    with listening(scene.stack, anna) as stream:
        assert stream.calls == []


@pytest.mark.parametrize("kind", STACKS[1:], indirect=True)
def test_every_web_process_tells_what_one_of_them_took(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, port = scene.stack, free_port()
    roles = {"second web": ["serve", "--port", str(port)], **stack.roles()}
    monkeypatch.setattr(stack, "roles", lambda: roles)
    stack.spawn("second web")
    address = f"http://127.0.0.1:{port}/health/ready"
    wait_until(lambda: _answers(address), lambda: stack.log("second web")[-3000:])
    with listening(stack, sign_in(stack, "anna@flowers.example"), port=port) as stream:
        call = scene.call(extension="101")
        assert stream.told(over=False)["call"].replace("-", "") == scene.uuid(call)
        scene.answer_and_end(call)
        stream.told(over=True)
    assert stack.terminate("second web", WORST) == 0


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=2).ok
    except requests.RequestException:
        return False


def test_a_lost_mark_is_found_out_for(scene: Scene) -> None:
    """What another process changes without a word is told all the same."""
    anna = sign_in(scene.stack, "anna@flowers.example")
    call = scene.call(extension="101")
    with listening(scene.stack, anna) as stream:
        told = stream.told(over=False)
        scene.stack.rows("UPDATE telephony_call SET version = version + 1 WHERE key = %s", call.entry_id)
        wait_until(lambda: stream.calls[-1]["version"] > told["version"], lambda: f"{stream.calls}")
    scene.answer_and_end(call)


def test_who_opens_too_many_is_told_so_and_holds_up_nobody(scene: Scene) -> None:
    anna, boris = (sign_in(scene.stack, f"{name}@flowers.example") for name in ("anna", "boris"))
    with ExitStack() as exits:
        streams = [exits.enter_context(listening(scene.stack, person)) for person in (anna, boris) * 4]
        assert len(streams) > CONNECTIONS
        assert not any(stream.kinds for stream in streams)
        assert anna.get(f"{scene.stack.url}/calls/", timeout=5).status_code == 200
        one_more = exits.enter_context(listening(scene.stack, boris))
        assert one_more.ended.wait(5)
        assert one_more.kinds == ["full"]


def test_a_stream_ends_with_the_session(scene: Scene) -> None:
    anna = sign_in(scene.stack, "anna@flowers.example")
    with listening(scene.stack, anna) as stream:
        scene.stack.rows("DELETE FROM django_session")
        assert stream.ended.wait(30)
        assert stream.kinds == ["over"]


def test_a_restart_waits_for_no_stream(scene: Scene) -> None:
    people = [sign_in(scene.stack, f"{name}@flowers.example") for name in ("anna", "boris")]
    with ExitStack() as exits:
        streams = [exits.enter_context(listening(scene.stack, person)) for person in people]
        began = time.monotonic()
        assert scene.stack.terminate("web", WORST) == 0, scene.stack.log("web")[-3000:]
        assert time.monotonic() - began < WORST
        assert all(stream.ended.wait(5) for stream in streams)
        assert "graceful shutdown exceeded" not in scene.stack.log("web")
    scene.stack.spawn("web")
    scene.stack.wait_ready()
    with listening(scene.stack, people[0], streams[0].place) as stream:
        scene.answer_and_end(scene.call(extension="101"))
        stream.told(over=True)
