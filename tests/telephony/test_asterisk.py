"""Asterisk: what the contract of all providers does not know: the wire, cuts, call records, the dialplan's question."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import subprocess
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from employees.forms import defaults
from outbound.errors import AddressRefused, CredentialsRefused, OutboundError, Rejected
from outbound.http import Exchange, Http
from telephony import webhooks
from telephony.events import ToldByHistory
from telephony.fold import CallState, FoldedCall, fold
from telephony.models import InboxEvent
from telephony.providers import registry
from telephony.providers.asterisk import events, history, ids, listener, wire
from telephony.providers.asterisk.channels import Kind, Name, Plan, matcher
from telephony.providers.asterisk.forms import AsteriskForm
from telephony.providers.asterisk.reader import Reader, Told
from telephony.providers.asterisk.wire import Message
from telephony.providers.base import Advice, Capability, Fact, Outcome, Request, SipDoor
from telephony.providers.values import zone
from tests.conftest import needs
from tests.emulators.asterisk import CDR_PASSWORD, CDR_USER, Emulator, Story, records
from tests.emulators.pbx import SCENARIOS, Call
from tests.emulators.pbx import Told as Answered
from tests.emulators.served import Asked, Wire
from tests.factories import ConnectionFactory
from tests.stack import free_port, wait_until

PROVIDER = registry.get("asterisk")
FOLDER = Path(PROVIDER.folder) / "samples"
PLAN = Plan("", "_XX, _XXX, _XXXX")
SAMPLES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
CALLS = sorted(name for name, sample in SAMPLES.items() if sample["expect"].get("direction"))
NOW = datetime(2026, 11, 21, tzinfo=UTC)
COARSE = {Outcome.NO_ANSWER: "missed", Outcome.CANCELLED: "missed", Outcome.REJECTED: "failed"}


@functools.cache
def recorded(name: str) -> list[tuple[Message, datetime]]:
    """The messages of a sample, with the moments at which they came."""
    messages = wire.Messages().feed((FOLDER / f"{name}.ami").read_bytes())
    moments = dict(map(tuple, SAMPLES[name]["timeline"]))
    return [(message, NOW + timedelta(seconds=moments.get(place, 0.0))) for place, message in enumerate(messages)]


def folded(told: Iterable[Told]) -> dict[str, FoldedCall]:
    facts: dict[str, list[Fact]] = defaultdict(list)
    for each in told:
        for fact in events.read(json.loads(json.dumps(each)), PLAN):
            if isinstance(fact, Fact):
                facts[fact.call].append(fact)
    return {call: fold(his) for call, his in facts.items()}


def agrees(call: FoldedCall, name: str, seconds: int = 1) -> None:
    expect = SAMPLES[name]["expect"]
    assert call.state is CallState.FINISHED
    assert call.direction == expect["direction"]
    assert call.client_number[-10:] == expect["client_phone"][-10:]
    assert (call.virtual_number, call.extension) == (expect["virtual_number"], expect["extension"])
    assert COARSE.get(call.outcome, call.outcome) == expect["outcome"]  # type: ignore[arg-type]
    assert abs(call.talk_seconds - expect["talk_seconds"]) <= seconds


# --- The wire


def test_the_proof_of_a_login_is_that_which_a_real_pbx_took() -> None:
    assert wire.proof("176539109", "lab-ami-secret") == "e65b1e68d206a0b6898bc44fa56c06d5"


@given(st.lists(st.integers(1, 4000), max_size=60))
@settings(max_examples=30, deadline=None)
def test_however_bytes_are_cut_the_messages_are_the_same(cuts: list[int]) -> None:
    data = (FOLDER / "inbound_answered.ami").read_bytes()
    reader, place, found = wire.Messages(), 0, []
    for cut in [*cuts, len(data)]:
        found += reader.feed(data[place : place + cut])
        place += cut
    assert found == wire.Messages().feed(data)


def test_a_message_without_an_end_takes_no_memory_and_loses_nothing_after_it() -> None:
    reader = wire.Messages()
    for _part in range(100):
        assert reader.feed(b"x" * 65_536) == []
    assert len(reader._rest) <= wire.MOST
    assert [each.event for each in reader.feed(b"\r\n\r\nEvent: Hangup\r\n\r\n")] == ["Hangup"]


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_value_of_ours_becomes_a_header(name: str, value: str) -> None:
    sent = wire.action("Originate", {"CallerID": f"{name}\r\nAction: Command\n{value}"})
    assert [message["action"] for message in wire.Messages().feed(sent)] == ["Originate"]
    assert len(sent.strip(b"\r\n").split(b"\r\n")) == 2


@pytest.mark.parametrize(
    ("channel", "resource", "kind"),
    [
        ("PJSIP/101-0000000e", "101", Kind.PHONE),
        ("SIP/my-own-trunk-0000000e", "my-own-trunk", Kind.TRUNK),
        ("Local/103@from-queue-00000000;1", "103", Kind.NOBODY),
        ("DAHDI/i1/74951234567-3", "i1", Kind.TRUNK),
        ("Surrogate/PJSIP/101-0000000e", "PJSIP/101", Kind.NOBODY),
        ("IAX2/74950000001-77", "74950000001", Kind.TRUNK),
        ("", "", Kind.NOBODY),
    ],
)
def test_names_of_channels(channel: str, resource: str, kind: Kind) -> None:
    assert (Name.of(channel).resource, PLAN.kind(channel)) == (resource, kind)


def test_trunks_that_look_like_extensions_are_named() -> None:
    plan = Plan("777, prov*", "_XXX, 5[01]")
    assert [plan.kind(f"PJSIP/{name}-1") for name in ("777", "provider", "101")] == [Kind.TRUNK, Kind.TRUNK, Kind.PHONE]
    assert [matcher("_[2-4]XX., 7*")(each) for each in ("2001", "200", "1001", "78")] == [True, False, False, True]
    with pytest.raises(ValueError, match="no pattern"):
        matcher("_[z-a]X")


@given(st.uuids())
def test_a_call_of_our_making_is_known_by_its_id(command: uuid.UUID) -> None:
    channel = ids.channel_of(command.hex)
    assert len(channel) <= 30
    assert channel.isalnum()
    assert ids.command_of(channel) == ids.command_of(f"{channel};2") == command.hex
    assert ids.command_of("1795207779.0") == ""


# --- Recorded streams


@pytest.mark.parametrize("name", CALLS)
def test_a_recorded_call_is_what_it_was_whatever_it_is_heard_by(name: str) -> None:
    told = [json.loads(request.body) for request in listener.overheard(SAMPLES[name], FOLDER)]
    (call,) = folded(told).values()
    agrees(call, name)
    assert len(told) <= 10


def listed(heard: Iterable[tuple[Message, datetime]]) -> list[Message]:
    """The channels that a PBX would list now, from what it told until then."""
    there: dict[str, Message] = {}
    dialled: set[str] = set()
    for message, at in heard:
        unique = message["uniqueid"]
        if message.event == "Newchannel":
            there[unique] = Message(message) | Message(event="CoreShowChannel", began=at.isoformat())  # type: ignore[assignment]
        elif message.event == "DialBegin":
            dialled.add(message["destuniqueid"])
        elif message.event == "BridgeEnter" and unique in there:
            there[unique]["bridgeid"] = message["bridgeuniqueid"]
        elif message.event == "BridgeLeave" and unique in there:
            there[unique]["bridgeid"] = ""
        elif message.event == "Hangup":
            there.pop(unique, None)
    for unique in dialled & there.keys():
        there[unique]["applicationdata"] = "(Outgoing Line)"
    return [Message(row) for row in there.values()]


@pytest.mark.parametrize("name", [each for each in CALLS if not each.startswith("reconnect")])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_who_is_killed_in_a_call_tells_it_on_from_what_goes_on(name: str, data: st.DataObject) -> None:
    """Nothing is remembered, and some of what the PBX told meanwhile is lost. It stays one call, and nothing false is
    told of it: what can be told is as it was, the rest is left to the history."""
    stream = recorded(name)
    cut = data.draw(st.integers(1, len(stream) - 1))
    lost = data.draw(st.integers(0, 5))
    before, after = stream[:cut], stream[cut + lost :]
    first, second = Reader(), Reader()
    told = [each for message, at in before for each in first.hear(message, at)]
    when = stream[min(cut + lost, len(stream) - 1)][1]
    told += second.see(map(_with_duration(when), listed(stream[: cut + lost])), when)
    told += [each for message, at in after for each in second.hear(message, at)]
    calls = folded(told)
    assert len(calls) <= 1
    for call in calls.values():
        expect = SAMPLES[name]["expect"]
        if call.client_number:
            assert call.client_number[-10:] == expect["client_phone"][-10:]
        if call.state is CallState.FINISHED and call.outcome is Outcome.ANSWERED:
            assert expect["outcome"] == "answered"
            assert call.talk_seconds <= expect["talk_seconds"] + 4


def _with_duration(when: datetime) -> Any:
    def dated(row: Message) -> Message:
        seconds = int((when - datetime.fromisoformat(row["began"])).total_seconds())
        return Message({**row, "duration": f"00:00:{seconds:02}"})

    return dated


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_lost_doubled_or_mixed_makes_no_other_call(data: st.DataObject) -> None:
    one, other = data.draw(st.sampled_from(CALLS)), data.draw(st.sampled_from(CALLS))
    stream = [*recorded(one), *recorded(other)]
    chosen = data.draw(st.lists(st.sampled_from(range(len(stream))), max_size=400))
    reader, told = Reader(), []
    for place in chosen:
        told += reader.hear(*stream[place])
    known = {message["linkedid"] for message, _ in stream} | {message["destlinkedid"] for message, _ in stream}
    assert set(folded(told)) <= known
    assert len(reader.calls) <= len(known)


@given(st.lists(st.binary(max_size=300), max_size=20), st.data())
@settings(max_examples=200, deadline=None)
def test_no_bytes_break_the_reader(parts: list[bytes], data: st.DataObject) -> None:
    whole = (FOLDER / "inbound_ring_group.ami").read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    messages, reader = wire.Messages(), Reader()
    for part in [*parts, whole[start : start + 3000], *parts]:
        for message in messages.feed(part):
            for told in reader.hear(message, NOW):
                events.read(told, PLAN)
            reader.see([message], NOW)


@pytest.mark.parametrize("variable", [True, False])
def test_a_click_that_the_employee_does_not_take_is_a_call_of_ours_to_the_client(variable: bool) -> None:
    """Also where nothing but the number shown to the employee says whom it is for (no right to read variables)."""
    pbx = Emulator(lambda _wire: Answered(200))
    command = uuid.uuid4().hex
    pbx.channel_ids.append(ids.channel_of(command))
    pbx.deliver = lambda _wire: Answered(200)
    call = pbx.redial("101", "+79000000007")
    story = Story(call)
    phone = story.channel("101", "101")
    wanted = story.of("VarSet", phone, "Down", Variable="CALLBRIDGE_TO", Value="79000000007")
    shown = {**phone.headers("Down", "Dest"), "DestCallerIDNum": "79000000007"}
    refused = {"ActionID": call.id, "Response": "Failure", "Reason": "0", "Uniqueid": call.id, "Exten": "79000000007"}
    wires = [
        story.of("Newchannel", phone, "Down"),
        *([wanted] if variable else []),
        story.told("DialBegin", **shown, DialString="101"),
        story.told("OriginateResponse", **refused),
        story.hangs_up(phone, 17),
    ]
    reader, told = Reader(), []
    for each in wires:
        for message in wire.Messages().feed(each.body):
            told += reader.hear(message, NOW)
    for so_far in range(1, len(told) + 1):  # its client is known from the first event on
        (row,) = folded(told[:so_far]).values()
        assert (row.direction, row.client_number, row.extension) == ("out", "79000000007", "101")
    assert (row.state, row.outcome, row.commands) == (CallState.FINISHED, Outcome.FAILED, (command,))
    assert [each["event"] for each in told] == ["VarSet" if variable else "DialBegin", "Hangup"]


def test_a_request_to_dial_of_which_there_is_no_call_is_refused_by_its_id() -> None:
    command = uuid.uuid4().hex
    failed = wire.Message(event="OriginateResponse", actionid=ids.channel_of(command), response="Failure", reason="0")
    (told,) = Reader().hear(failed, NOW)
    (result,) = events.read(told, PLAN)
    assert (getattr(result, "command", ""), getattr(result, "ok", True)) == (command, False)


def test_two_readers_of_one_pbx_tell_one_call() -> None:
    """Their clocks differ by a moment."""
    readers, told = (Reader(), Reader()), []
    for message, at in recorded("inbound_blind_transfer"):
        for place, reader in enumerate(readers):
            told += reader.hear(message, at + timedelta(milliseconds=80 * place))
    (call,) = folded(told).values()
    agrees(call, "inbound_blind_transfer")
    assert [share.extension for share in call.shares] == ["101", "102"]


def test_a_list_of_channels_forgets_what_ended_unheard() -> None:
    reader = Reader()
    for message, at in recorded("inbound_answered")[:60]:
        reader.hear(message, at)
    assert len(reader.calls) == 1
    reader.see([], NOW + timedelta(seconds=2))
    assert len(reader.calls) == 1  # its end may be on the way
    reader.see([], NOW + timedelta(minutes=5))
    assert reader.calls == {}


# --- Call records

_NAMES = {
    "calldate": "starttime",
    "src": "source",
    "dst": "destination",
    "dstchannel": "destinationchannel",
    "lastapp": "lastapplication",
    "billsec": "billableseconds",
}


@pytest.mark.parametrize("name", [each for each in CALLS if "cdr" in {m.event.lower() for m, _ in recorded(each)}])
def test_call_records_alone_tell_the_call(name: str) -> None:
    """A record counts from when a menu or a greeting answered."""
    said = [message for message, _ in recorded(name) if message.event == "Cdr"]
    rows = [
        history.Row.model_validate({key: each[_NAMES.get(key, key)] for key in history.Row.model_fields})
        for each in said
    ]
    legs = history.read(rows[0].linkedid, rows, PLAN, zone("UTC"))
    agrees(fold(ToldByHistory(call=rows[0].linkedid, legs=tuple(legs)).facts(NOW)), name, seconds=4)


def test_what_a_menu_answered_is_counted_from_when_people_talked_where_that_is_kept() -> None:
    said = next(message for message, _ in recorded("inbound_ivr") if message.event == "Cdr")
    row = history.Row.model_validate({key: said[_NAMES.get(key, key)] for key in history.Row.model_fields})
    entered = {(row.linkedid, row.dstchannel): "2026-11-20 20:50:55.000000"}
    legs = history.read(row.linkedid, [row], PLAN, zone("UTC"), entered)
    assert fold(ToldByHistory(call=row.linkedid, legs=tuple(legs)).facts(NOW)).talk_seconds == 4


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real server on a free port."""
    server = shutil.which("mariadbd") or shutil.which("mysqld")
    needs("" if server and shutil.which("mariadb-install-db") else "no MariaDB here")
    folder, port = tmp_path_factory.mktemp("mariadb"), free_port()
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    made = ["mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", f"--user={user}"]
    made.append("--auth-root-authentication-method=normal")
    subprocess.run(made, check=True, capture_output=True)
    options = [f"--datadir={folder}/data", f"--port={port}", f"--socket={folder}/s", f"--user={user}"]
    process = subprocess.Popen(
        [str(server), "--no-defaults", *options, "--bind-address=127.0.0.1", "--skip-name-resolve"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until((folder / "s").exists, "MariaDB does not start", 60)
        statements = f"""
            CREATE DATABASE asteriskcdrdb; USE asteriskcdrdb;
            CREATE TABLE cdr (calldate DATETIME, src VARCHAR(80), dst VARCHAR(80), dcontext VARCHAR(80),
              channel VARCHAR(80), dstchannel VARCHAR(80), lastapp VARCHAR(80), lastdata VARCHAR(80), duration INT,
              billsec INT, disposition VARCHAR(45), uniqueid VARCHAR(32), did VARCHAR(50), recordingfile VARCHAR(255),
              cnum VARCHAR(80), linkedid VARCHAR(32), sequence INT);
            CREATE USER '{CDR_USER}'@'%' IDENTIFIED BY '{CDR_PASSWORD}';
            GRANT SELECT ON asteriskcdrdb.* TO '{CDR_USER}'@'%';
        """
        _run_sql(folder, statements)
        rows = [row for call in played() for row in records(call)]
        for row in rows:
            names, values = ", ".join(row), ", ".join(f"'{value}'" for value in row.values())
            _run_sql(folder, f"INSERT INTO asteriskcdrdb.cdr ({names}) VALUES ({values});")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _run_sql(folder: Path, text: str) -> None:
    done = subprocess.run(
        ["mariadb", "--no-defaults", "-uroot", f"--socket={folder}/s"], input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@functools.cache
def played() -> list[Call]:
    pbx = Emulator(lambda _wire: Answered(200))
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    return [pbx.new_call(each, began=began + timedelta(minutes=5 * place)) for place, each in enumerate(SCENARIOS)]


def secrets_of(port: int, **more: str) -> dict[str, Any]:
    known = {"cdr_host": "127.0.0.1", "cdr_port": str(port), "cdr_user": CDR_USER, "cdr_password": CDR_PASSWORD}
    return {**defaults(PROVIDER.form), **known, **more}


def test_a_real_database_tells_the_calls(mariadb: int) -> None:
    now = datetime.now(UTC)
    found: dict[str, list[Any]] = defaultdict(list)
    for leg in PROVIDER.history(Http(allow_private=True), secrets_of(mariadb), now - timedelta(hours=6), now):
        found[leg.call].append(leg)
    for call in played():
        told = fold(ToldByHistory(call=call.id, legs=tuple(found.pop(call.id))).facts(now))
        assert (told.direction, told.outcome, told.talk_seconds) == (
            call.truth["direction"],
            call.truth["outcome"],
            call.truth["talk_seconds"],
        ), call.scenario.name
    assert found == {}


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"cdr_password": "another"}, CredentialsRefused),
        ({"cdr_database": "nothing"}, OutboundError),
        ({"cdr_table": "nothing"}, OutboundError),
        ({"cdr_table": "cdr`; DROP TABLE cdr; --"}, Rejected),
    ],
)
def test_a_real_databases_refusals_by_their_kind(
    mariadb: int, wrong: dict[str, str], error: type[OutboundError]
) -> None:
    with pytest.raises(error):
        history.probe(Http(allow_private=True), secrets_of(mariadb, **wrong))


# --- Commands and checks


class World:
    def __init__(self, exits: ExitStack):
        self.pbx = Emulator(lambda wire_: self.speak(wire_))
        exits.enter_context(self.pbx.serving())
        self.exchanges: list[Exchange] = []
        self.secrets: dict[str, Any] = {**defaults(PROVIDER.form), **self.pbx.secrets}
        known = [value for name, value in self.secrets.items() if name in PROVIDER.secret_fields]
        self.http = Http(allow_private=True, record=self.exchanges.append, secrets=known, deadline=5)

    def speak(self, told: Wire) -> Answered:
        self.pbx.speak(told)
        return Answered(200)

    def live(self, until: str = "BridgeEnter") -> Call:
        """A call that goes on."""
        call = self.pbx.new_call(SCENARIOS[0])
        for told in self.pbx.events(call):
            self.pbx.speak(told)
            if f"Event: {until}".encode() in told.body and b"provider" in told.body:
                break
        return call


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as exits:
        yield World(exits)


def test_the_clients_channel_is_hung_up(world: World) -> None:
    call = world.live()
    PROVIDER.hangup(world.http, world.secrets, command="0", leg=call.id)
    (channel,) = world.pbx.hung_up
    assert channel.startswith("PJSIP/provider-")
    world.pbx.live.clear()
    PROVIDER.hangup(world.http, world.secrets, command="0", leg=call.id)  # over already: that is what was wanted


def test_a_client_is_handed_on(world: World) -> None:
    call = world.live()
    phone = next(unique for unique in world.pbx.live if unique != call.id)
    PROVIDER.transfer(world.http, world.secrets, command="0", leg=phone, by="101", to="102", method="blind")
    ((channel, context, exten),) = world.pbx.redirected
    assert channel.startswith("PJSIP/provider-")
    assert (context, exten) == ("from-internal", "102")
    with pytest.raises(Rejected):
        PROVIDER.transfer(world.http, world.secrets, command="0", leg=phone, by="101", to="102", method="hold")
    world.pbx.live.clear()
    with pytest.raises(Rejected):
        PROVIDER.transfer(world.http, world.secrets, command="0", leg=phone, by="101", to="102", method="blind")


@pytest.mark.parametrize(
    ("extension", "phone"), [("10x", "+79000000001"), ("101\r\nAction: x", "+79000000001"), ("101", "7@y")]
)
def test_what_is_no_number_is_not_sent(world: World, extension: str, phone: str) -> None:
    with pytest.raises(Rejected):
        PROVIDER.dial(world.http, world.secrets, command=uuid.uuid4().hex, extension=extension, phone=phone, line="")
    assert world.pbx.connects == 0


def test_no_secret_is_in_what_is_recorded(world: World) -> None:
    PROVIDER.users(world.http, world.secrets)
    assert [exchange.request.split("\n")[0] for exchange in world.exchanges][:2] == [
        "Action: Challenge",
        "Action: Login",
    ]
    told = " ".join(f"{exchange.request} {exchange.answer} {exchange.url}" for exchange in world.exchanges)
    assert world.secrets["ami_secret"] not in told
    challenge = world.exchanges[0].answer.rpartition("challenge: ")[2].strip()
    assert hashlib.md5(f"{challenge}{world.secrets['ami_secret']}".encode()).hexdigest() not in told


def test_a_private_address_is_refused_where_the_house_says_so(world: World) -> None:
    with pytest.raises(AddressRefused):
        PROVIDER.users(Http(allow_private=False), world.secrets)
    with pytest.raises(AddressRefused):
        history.probe(Http(allow_private=False), world.secrets)


def test_a_right_that_lacks_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.emulators.asterisk.COMMANDS", ("CoreShowChannels", "ExtensionStateList", "Getvar"))
    lacking = [check for check in PROVIDER.check(world.http, world.secrets, "") if not check.ok]
    assert len(lacking) == 2
    assert "Hangup, Redirect" in lacking[0].cure
    assert "Originate" in lacking[1].cure


def test_a_pbx_without_encryption_is_told_from_one_that_is_not_there(world: World) -> None:
    (check,) = PROVIDER.check(world.http, {**world.secrets, "ami_tls": "yes"}, "")
    assert not check.ok
    assert "5039" in check.cure


def test_without_call_records_there_is_no_history(world: World) -> None:
    assert Capability.HISTORY in PROVIDER.able(world.secrets)
    assert Capability.HISTORY not in PROVIDER.able({**world.secrets, "cdr_host": ""})


# --- Recordings


@pytest.mark.parametrize("content", [b"RIFF" + b"\0" * 40, b"RIFF\xff\xff\xff\x00" + b"\0" * 400, b""])
def test_a_recording_that_is_empty_or_still_written_is_not_there_yet(world: World, content: bytes) -> None:
    call = world.pbx.new_call(next(each for each in SCENARIOS if each.recorded))
    (name,) = call.recordings
    assert PROVIDER.recording(world.http, world.secrets, name, "") is not None
    call.recordings[name] = content
    assert PROVIDER.recording(world.http, world.secrets, name, "") is None
    assert PROVIDER.recording(world.http, world.secrets, f"no{name}", "") is None


def test_a_recording_by_ari_is_asked_for_by_its_name_below_the_folder(world: World) -> None:
    asked: list[str] = []

    def answer(each: Asked) -> bytes:
        asked.append(each.path)
        return b"RIFF" + bytes(100)

    world.pbx.also("GET", "/ari/*", answer)
    secrets = {**world.secrets, "recordings": "ari", "recordings_url": f"{world.pbx.url}/ari"}
    PROVIDER.recording(world.http, secrets, "a.wav", "/var/spool/asterisk/recording/2026/01/02/a.wav")
    assert asked == ["/ari/recordings/stored/2026%2F01%2F02%2Fa/file"]
    for path in ("/x/monitor/../../etc/passwd", "/x/recording/../a"):
        with pytest.raises(Rejected):
            PROVIDER.recording(world.http, secrets, "a.wav", path)


# --- The dialplan's question


@pytest.mark.parametrize("extension", ["102", ""])
def test_the_dialplan_hears_digits_or_nothing(extension: str) -> None:
    request = Request("GET", "route", b"", "did=74950000001&from=79000000001&linkedid=1795207779.0")
    question = PROVIDER.question(request)
    assert question
    assert (question.client_number, question.virtual_number, question.call) == (
        "79000000001",
        "74950000001",
        "1795207779.0",
    )
    reply = PROVIDER.answer(request, Advice(extension=extension, client="Anna"))
    assert (reply.status, reply.body) == (200, extension.encode())
    assert PROVIDER.answer(request, Advice(extension="102@evil")).body == b""


@pytest.mark.django_db
def test_who_knows_the_address_may_ask_and_not_tell() -> None:
    connection = ConnectionFactory.create(provider="asterisk", brand="asterisk", credentials=defaults(PROVIDER.form))
    token = connection.address.token
    body = json.dumps({"event": "Newchannel", "at": NOW.isoformat(), "call": "x", "legs": []}).encode()
    for method, path in (("POST", "ami"), ("GET", "ami"), ("POST", "route"), ("GET", "")):
        reply = webhooks.receive(PROVIDER, token, Request(method, path, body))
        assert reply.status == 404
    assert not InboxEvent.objects.exists()
    asked = Request("GET", "route", b"", "did=74950000001&from=79000000001&linkedid=1795207779.0")
    reply = webhooks.receive(PROVIDER, token, asked)
    assert (reply.status, reply.body, reply.content_type[:10]) == (200, b"", "text/plain")
    assert InboxEvent.objects.get(path="route").state == InboxEvent.State.FOLDED


def test_the_story_of_a_channel_that_came_late_is_not_lost() -> None:
    """Whoever was asked first and then handed the client takes part in his call."""
    pbx = Emulator(lambda _wire: Answered(200))
    call = pbx.new_call(SCENARIOS[0])
    told: list[Told] = []
    reader = Reader()

    def hear(*wires: Wire) -> None:
        for each in wires:
            for message in wire.Messages().feed(each.body):
                told.extend(reader.hear(message, NOW))

    wires = list(pbx.events(call))
    end = next(place for place, each in enumerate(wires) if b"Event: BridgeLeave" in each.body)
    hear(*wires[:end])
    consult = Call("1795300000.9", SCENARIOS[-1], "", "", call.began + timedelta(seconds=20))
    story = Story(consult)
    first, second = story.channel("101", "101", exten="105"), story.channel("105", "105")
    hear(story.of("Newchannel", first, "Ring"), *story.dials(first, second, "105"))
    hear(*story.joins(second, first))
    story.wait(10)
    second.linked = call.id
    hear(*story.joins(second), story.hangs_up(first))
    hear(*wires[end : end + 2], wires[-2])
    story.wait(15)
    hear(story.hangs_up(second), wires[-1])
    calls = folded(told)
    assert [share.extension for share in calls[call.id].shares] == ["101", "105"]
    assert calls[call.id].extension == "105"
    assert calls[consult.id].direction == "internal"


# --- Phones in browsers


@pytest.mark.parametrize(
    ("address", "fine"),
    [
        ("wss://pbx.example:8089/ws", True),
        ("wss://pbx.example/ws", True),
        ("ws://127.0.0.1:8088/ws", True),
        ("ws://pbx.example:8088/ws", False),
        ("https://pbx.example/ws", False),
        ("wss://user:secret@pbx.example/ws", False),
        ("wss://pbx.example:port/ws", False),
        ("wss:///ws", False),
        ("pbx.example", False),
    ],
)
def test_browsers_are_led_to_a_web_socket_with_tls(address: str, fine: bool) -> None:
    form = AsteriskForm({"sip_address": address})
    assert ("sip_address" not in form.errors) == fine


def test_only_a_pbx_with_such_an_address_takes_phones_in_browsers() -> None:
    keys = {"sip_address": "wss://pbx.example:8089/ws"}
    assert Capability.BROWSER_PHONE in PROVIDER.able(keys)
    assert Capability.BROWSER_PHONE not in PROVIDER.able({"sip_address": ""})
    assert PROVIDER.sip_door(keys) == SipDoor("wss://pbx.example:8089/ws", "pbx.example")
    assert PROVIDER.sip_door(keys | {"sip_domain": "sip.example"}).domain == "sip.example"
