"""The contract of all PBX providers: each against its own emulated PBX, through the real door and the real fold."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from employees.forms import defaults
from integrations.replay.player import pbx_request, pbx_secrets
from outbound.errors import CredentialsRefused, OutboundError
from outbound.http import Http
from telephony import commands, directory, history, inbox, webhooks
from telephony.fold import fold
from telephony.models import Call as Row
from telephony.models import Command, Connection, HistoryRun, InboxEvent, Recording
from telephony.providers import registry
from telephony.providers.base import CallHistory, Capability, HistoryLeg, NotUnderstood, Provider, Refused, Request
from tests.ears import Ear
from tests.emulators.pbx import SCENARIOS, Call, Pbx, Scenario, Told, Wire, emulated
from tests.factories import ConnectionFactory

PROVIDERS = registry.all_providers()
EMULATED = emulated()
LINE = "+74950000001"


class World:
    """A connection of the product and the PBX behind it."""

    def __init__(self, slug: str):
        self.provider = PROVIDERS[slug]
        self.pbx: Pbx = EMULATED[slug](self.deliver)
        self.connection: Connection
        self.looked = False
        self.token = ""
        self.ear: Ear | None = None

    @contextmanager
    def open(self) -> Iterator[World]:
        with self.pbx.serving(), ExitStack() as exits:
            self.connection = ConnectionFactory.create(
                provider=self.provider.slug,
                brand=self.provider.brands[0].slug,
                credentials={**defaults(self.provider.form), **self.pbx.secrets},
            )
            self.http = Http(allow_private=True, patience=0.5)
            if listener := self.provider.listener(self.secrets):
                self.ear = exits.enter_context(Ear(listener).listening())
            yield self
        assert self.pbx.violations == []

    @property
    def secrets(self) -> dict[str, Any]:
        return self.connection.credentials

    @property
    def wrong(self) -> dict[str, Any]:
        """The same with other keys."""
        hidden = self.provider.secret_fields | self.pbx.proofs
        hidden |= {name for wire, name in self.provider.wire_names.items() if wire in hidden}
        return {name: "another" if name in hidden else value for name, value in self.secrets.items()}

    def wires(self, call: Call) -> list[Wire]:
        """A call as it comes to the inbox: requests of the PBX, or what was heard of it."""
        wires = list(self.pbx.events(call))
        if self.ear is None:
            return wires
        return [Wire(request.body, request.path) for request in self.ear.hear(self.pbx, *wires)]

    def deliver(self, wire: Wire) -> Told:
        if self.ear is None:
            return self.knock(wire)
        heard = [wire] if wire.path else [Wire(each.body, each.path) for each in self.ear.hear(self.pbx, wire)]
        known = directory.by_id(self.connection.pk)
        inbox.store([inbox.event_of(known, Request("POST", each.path, each.body)) for each in heard])
        while inbox.drain():
            pass
        self.looked = False
        return Told(200)

    def knock(self, wire: Wire) -> Told:
        """At the door for requests."""
        request = Request(wire.method, wire.path, wire.body, wire.query, wire.headers, "127.0.0.1")
        reply = webhooks.receive(self.provider, self.token or self.connection.address.token, request)
        self.looked = False
        return Told(reply.status, reply.body)

    def look(self) -> None:
        """What events do not say the history does."""
        if self.provider.sums_up or self.looked:
            return
        self.looked, now = True, datetime.now(UTC)
        run = history.start(self.connection, HistoryRun.Kind.SCHEDULED, now - timedelta(hours=6), now)
        while run.pk in history.due():
            history.work(run.pk)

    def tells(self, call: Call) -> Row:
        """Our row of a call; fails where there is not exactly one, or where it says anything else."""
        self.look()
        assert InboxEvent.objects.filter(state=InboxEvent.State.FAILED).count() == 0
        row = Row.objects.get(connection=self.connection, key__in={call.id, call.in_history})
        told = {name: getattr(row, name) for name in call.truth}
        assert call.agrees(told), (call.scenario.name, told, call.truth)
        assert row.state == "finished"
        return row


@pytest.fixture(params=EMULATED)
def world(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[World]:
    with World(request.param).open() as opened:
        yield opened


def known_as(recording: Recording, call: Call) -> str:
    """What the PBX calls the audio: by its id or its link."""
    return recording.key if recording.key in call.recordings else recording.vendor_url


def where(fits: Callable[[Provider], object]) -> pytest.MarkDecorator:
    """With the PBXs whose provider fits."""
    return pytest.mark.parametrize("world", [slug for slug in EMULATED if fits(PROVIDERS[slug])], indirect=True)


def able(capability: Capability) -> pytest.MarkDecorator:
    return where(lambda provider: capability in provider.capabilities)


ASKS = {Capability.USERS, Capability.NUMBERS, Capability.HISTORY}
"""With one of these there is something to ask a PBX that changes nothing."""
TOLD = [
    (slug, scenario) for slug, kind in EMULATED.items() for scenario in SCENARIOS if scenario.name not in kind.lacks
]


# --- Events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("world", "scenario"), TOLD, indirect=["world"], ids=[f"{slug}: {scenario.name}" for slug, scenario in TOLD]
)
def test_a_call_of_each_kind_is_told_as_it_was(world: World, scenario: Scenario) -> None:
    call = world.pbx.play(scenario)
    row = world.tells(call)
    if scenario.direction == "in":
        assert row.virtual_number == LINE
        rang = {person.extension for person in row.participants.all()}
        assert rang == set(scenario.rings)
    ready = row.recordings.filter(state=Recording.State.READY)
    assert {known_as(recording, call) for recording in ready} == set(call.recordings)
    assert all(200 <= told.status < 300 for told in world.pbx.answers)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_events_and_their_number_change_nothing(world: World, seed: int) -> None:
    """Notifications overtake each other and come twice. Who talked first may then be told only by their own times."""
    rng = random.Random(seed)
    told = []
    for scenario in SCENARIOS:
        if scenario.name in world.pbx.lacks | world.pbx.told_by_order:
            continue
        call = world.pbx.new_call(scenario)
        wires = world.wires(call)
        wires += rng.sample(wires, len(wires) // 2)
        rng.shuffle(wires)
        for wire in wires:
            world.deliver(wire)
        told.append(call)
    for call in told:
        world.tells(call)


def test_calls_at_one_time_stay_apart(world: World) -> None:
    calls = [world.pbx.new_call(scenario) for scenario in SCENARIOS[:4] if scenario.name not in world.pbx.lacks]
    streams = [list(world.pbx.events(call)) for call in calls]
    for place in range(max(map(len, streams))):
        for stream in streams:
            if place < len(stream):
                world.deliver(stream[place])
    for call in calls:
        world.tells(call)


def test_who_cannot_prove_himself_tells_nothing(world: World) -> None:
    call = world.pbx.new_call(SCENARIOS[0])
    wires = world.wires(call)
    world.connection.credentials = world.wrong
    world.connection.save()
    if not world.pbx.proves_itself:
        world.token = "another"
    assert {world.knock(world.pbx.forged(wire)).status for wire in wires} <= {401, 403, 404}
    assert not InboxEvent.objects.exists()


# --- What we ask ------------------------------------------------------------------------------------------------------


@able(Capability.USERS)
def test_users(world: World) -> None:
    users = world.provider.users(world.http, world.secrets)
    assert {user.extension: user.name for user in users} == dict(world.pbx.people)


@able(Capability.NUMBERS)
def test_numbers(world: World) -> None:
    assert {row.number.lstrip("+") for row in world.provider.numbers(world.http, world.secrets)} == set(world.pbx.lines)


@able(Capability.DIAL)
def test_a_dial_rings_and_its_call_is_known_as_ours(world: World) -> None:
    command = commands.dial(world.connection, extension="101", phone="+79001234567")
    assert world.pbx.dialled == [("101", "+79001234567")]
    call = world.pbx.redial("101", "+79001234567")
    assert world.tells(call).dialled_by == command


@where(lambda provider: Capability.DIAL in provider.capabilities and not provider.names_dials)
def test_only_one_of_two_equal_calls_is_the_one_we_dialled(world: World) -> None:
    command = commands.dial(world.connection, extension="101", phone="+79001234567")
    ours = world.pbx.redial("101", "+79001234567")
    by_hand = world.pbx.redial("101", "+79001234567")
    assert [world.tells(call).dialled_by for call in (ours, by_hand)] == [command, None]
    assert Command.objects.count() == 1


@able(Capability.RECORDINGS)
def test_a_recording_is_fetched_as_it_is(world: World) -> None:
    call = world.pbx.play(next(each for each in SCENARIOS if each.recorded))
    world.look()
    for row in Recording.objects.filter(call__key=call.id, state=Recording.State.READY):
        audio = world.provider.recording(world.http, world.secrets, row.key, row.vendor_url)
        assert audio is not None
        with audio.content as file:
            file.seek(0)
            assert file.read() == call.recordings[known_as(row, call)]
    assert Recording.objects.filter(state=Recording.State.READY).count() == len(call.recordings) > 0


@able(Capability.HISTORY)
def test_history_tells_the_same_calls_as_the_events(world: World) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    played = [
        world.pbx.new_call(scenario, began=now - timedelta(minutes=5 * place + 10))
        for place, scenario in enumerate(SCENARIOS)
        if scenario.name not in world.pbx.lacks | world.pbx.lacks_in_history
    ]
    found: dict[str, list[HistoryLeg]] = {}
    for leg in world.provider.history(world.http, world.secrets, now - timedelta(hours=6), now):
        found.setdefault(leg.call, []).append(leg)
    assert set(found) == {call.in_history for call in played}
    for call in played:
        legs = tuple(found[call.in_history])
        told = fold([CallHistory(call=call.in_history, at=now, legs=legs)])
        truth = call.truth
        assert (told.direction, told.outcome, told.talk_seconds, told.extension) == (
            truth["direction"],
            truth["outcome"],
            truth["talk_seconds"],
            truth["extension"],
        ), call.scenario.name
        assert told.client_number.lstrip("+") == truth["client_phone"].lstrip("+")
        assert {key for leg in legs for key in leg.recordings} == set(call.recordings)


@able(Capability.HISTORY)
def test_calls_that_went_by_are_filled_in_from_the_history(world: World) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    heard = world.pbx.play(SCENARIOS[0], began=now - timedelta(minutes=40))
    unheard = world.pbx.new_call(SCENARIOS[2], began=now - timedelta(minutes=30))
    run = history.start(world.connection, HistoryRun.Kind.SCHEDULED, now - timedelta(hours=1), now)
    while run.pk in history.due():
        history.work(run.pk)
    run.refresh_from_db()
    assert run.state == HistoryRun.State.DONE, run.error
    assert [world.tells(call).source for call in (heard, unheard)] == ["live", "history"]


# --- Checks and errors ------------------------------------------------------------------------------------------------


def test_the_check_is_all_well_and_changes_nothing(world: World) -> None:
    if hasattr(world.pbx, "notifications"):
        world.pbx.notifications = world.connection.address.url
    checks = world.provider.check(world.http, world.secrets, world.connection.address.url)
    assert [check for check in checks if not check.ok] == []
    assert len({check.name for check in checks}) == len(checks) >= 2
    assert (world.pbx.dialled, world.pbx.calls) == ([], [])


@where(lambda provider: provider.capabilities & ASKS)
def test_a_wrong_key_is_named_with_its_cure(world: World) -> None:
    checks = world.provider.check(world.http, world.wrong, world.connection.address.url)
    assert checks[-1].cure
    assert not checks[-1].ok
    world.pbx.violations.clear()


@able(Capability.USERS)
def test_a_wrong_key_is_refused_as_that(world: World) -> None:
    with pytest.raises(CredentialsRefused):
        world.provider.users(world.http, world.wrong)
    world.pbx.violations.clear()


@where(lambda provider: provider.capabilities & ASKS)
def test_a_server_that_is_not_there_is_a_failed_check(world: World) -> None:
    gone = {
        name: "http://127.0.0.1:1" if isinstance(value, str) and value.startswith("http") else value
        for name, value in world.secrets.items()
    } | dict(world.pbx.nowhere)
    assert gone != world.secrets
    checks = world.provider.check(world.http, gone, world.connection.address.url)
    assert not checks[0].ok
    assert checks[0].cure


@pytest.mark.parametrize("answer", [b"", b"<html>down</html>", b"[]", b'{"a":', b'"text"', b"null"])
def test_an_answer_that_is_none_is_an_error_and_no_crash(
    world: World, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.pbx, "answer", lambda _asked: (200, answer, "application/json"))
    now = datetime.now(UTC)
    asked = {
        Capability.USERS: lambda: world.provider.users(world.http, world.secrets),
        Capability.NUMBERS: lambda: world.provider.numbers(world.http, world.secrets),
        Capability.HISTORY: lambda: list(
            world.provider.history(world.http, world.secrets, now - timedelta(hours=1), now)
        ),
    }
    for capability, ask in asked.items():
        if capability in world.provider.capabilities:
            with pytest.raises(OutboundError):
                ask()


# --- Anything at all --------------------------------------------------------------------------------------------------

_TEXT = st.text(max_size=40)
_VALUES = st.one_of(
    _TEXT, st.integers().map(str), st.sampled_from(["", "0", "101", "+79000000001", "answered", "null"])
)


@pytest.mark.parametrize("slug", PROVIDERS)
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_request_breaks_a_provider(slug: str, data: st.DataObject) -> None:
    """Recorded requests with something changed in them, and noise: each is refused, understood or not understood."""
    provider = PROVIDERS[slug]
    request, secrets = data.draw(st.sampled_from(_recorded(provider)))
    changed = data.draw(_changed(request))
    for act in (
        lambda: provider.handshake(changed),
        lambda: provider.authenticate(changed, secrets),
        lambda: provider.reply(changed, secrets),
        lambda: provider.question(changed),
        lambda: provider.parse(changed, secrets),
        lambda: provider.shown(changed),
    ):
        try:
            act()
        except (Refused, NotUnderstood):
            pass


@functools.cache
def _recorded(provider: Provider) -> list[tuple[Request, dict[str, Any]]]:
    folder = Path(provider.folder) / "samples"
    found = []
    for path in sorted(folder.glob("*.json")):
        sample = json.loads(path.read_text())
        secrets = pbx_secrets(provider, sample)
        sent = [pbx_request(each) for each in sample["exchanges"] if each["direction"] == "vendor->hub"]
        found += [(request, secrets) for request in [*sent, *provider.overheard(sample, folder, secrets)]]
    return found


@st.composite
def _changed(draw: st.DrawFn, request: Request) -> Request:
    body = draw(
        st.one_of(
            st.just(request.body),
            st.binary(max_size=200),
            st.integers(0, max(0, len(request.body))).map(lambda cut: request.body[:cut]),
            st.tuples(st.integers(0, max(0, len(request.body))), st.binary(max_size=8)).map(
                lambda at: request.body[: at[0]] + at[1] + request.body[at[0] :]
            ),
        )
    )
    query = draw(st.one_of(st.just(request.query), _TEXT))
    method = draw(st.sampled_from([request.method, *sorted({"GET", "POST"})]))
    path = draw(st.one_of(st.just(request.path), _TEXT))
    headers = draw(st.one_of(st.just(dict(request.headers)), st.dictionaries(st.sampled_from(_HEADERS), _VALUES)))
    return Request(method, path, body, query, headers, "127.0.0.1")


_HEADERS = ["content-type", "authorization", "signature", "user-agent"]
