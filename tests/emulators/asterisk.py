"""An emulated Asterisk: AMI over TCP (events of the shapes that versions 16 and 22 were recorded with), its call
records as a MySQL server hands them out, and its recordings in a web folder.

Nothing of the provider's is used here: what the wire looks like is written down once more.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets as random
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Self

from tests.emulators.pbx import Call, Pbx, Scenario
from tests.emulators.served import Asked, Refusal, Server, Wire, api, listening

USER, SECRET = "hub", "emulated-ami-secret"
WEB_USER, WEB_PASSWORD = "listener", "emulated-web-password"
CDR_USER, CDR_PASSWORD = "cdrreader", "emulated-cdr-password"
ZONE = timezone(timedelta(hours=3))
RING = 5
LINE_LENGTH = 1024
COMMANDS = ("CoreShowChannels", "ExtensionStateList", "Hangup", "Redirect", "Getvar", "Originate", "DBGet", "Ping")
HEADER = "Asterisk Call Manager/11.0.0\r\n"


def message(**headers: str) -> bytes:
    return ("".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode()


class Channel:
    """A channel, and the events in which it is told of."""

    def __init__(
        self, name: str, unique: str, linked: str, number: str, exten: str = "s", context: str = "from-internal"
    ):
        self.name, self.unique, self.linked = name, unique, linked
        self.number, self.exten, self.context = number, exten, context

    def headers(self, state: str, prefix: str = "") -> dict[str, str]:
        states = {"Down": "0", "Ring": "4", "Ringing": "5", "Up": "6", "Busy": "7"}
        told = {
            "Channel": self.name,
            "ChannelState": states[state],
            "ChannelStateDesc": state,
            "CallerIDNum": self.number or "<unknown>",
            "CallerIDName": "<unknown>",
            "ConnectedLineNum": "<unknown>",
            "ConnectedLineName": "<unknown>",
            "Language": "en",
            "AccountCode": "",
            "Context": self.context,
            "Exten": self.exten,
            "Priority": "1",
            "Uniqueid": self.unique,
            "Linkedid": self.linked,
        }
        return {f"{prefix}{name}": value for name, value in told.items()}


class Story:
    """Tells one call as it happens, by the PBX's clock."""

    def __init__(self, call: Call):
        self.call, self.at = call, call.began.timestamp()
        self.number = int(call.id.rpartition(".")[2]) if "." in call.id else int(random.token_hex(2), 16)
        self.made = 0

    def wait(self, seconds: float) -> None:
        self.at += seconds

    def told(self, event: str, **headers: str) -> Wire:
        stamp = {"Timestamp": f"{self.at:.6f}"}
        return Wire(message(Event=event, Privilege="call,all", **stamp, **headers))

    def channel(self, resource: str, number: str, **more: str) -> Channel:
        first = self.made == 0
        unique = self.call.id if first else f"{int(self.at)}.{self.number * 100 + self.made}"
        self.made += 1
        return Channel(f"PJSIP/{resource}-{self.number:06x}{self.made:02x}", unique, self.call.id, number, **more)

    def of(self, event: str, channel: Channel, state: str, **headers: str) -> Wire:
        return self.told(event, **channel.headers(state), **headers)

    def dials(self, by: Channel | None, to: Channel, dialled: str) -> Iterator[Wire]:
        yield self.of("Newchannel", to, "Down")
        source = by.headers("Ring") if by else {}
        yield self.told("DialBegin", **source, **to.headers("Down", "Dest"), DialString=dialled)
        yield self.of("Newstate", to, "Ringing")

    def dialled(self, by: Channel, to: Channel, status: str) -> Wire:
        return self.told("DialEnd", **by.headers("Ring"), **to.headers("Up", "Dest"), DialStatus=status)

    def joins(self, *channels: Channel) -> Iterator[Wire]:
        bridge = random.token_hex(8)
        for place, channel in enumerate(channels, 1):
            yield self.of("BridgeEnter", channel, "Up", BridgeUniqueid=bridge, BridgeNumChannels=str(place))

    def leaves(self, *channels: Channel) -> Iterator[Wire]:
        for channel in channels:
            yield self.of("BridgeLeave", channel, "Up", BridgeUniqueid="", BridgeNumChannels="0")

    def hangs_up(self, channel: Channel, cause: int = 16) -> Wire:
        return self.of("Hangup", channel, "Up", Cause=str(cause))


class Emulator(Pbx):
    proofs = frozenset()
    told_by_order = frozenset()
    listened_to = True
    nowhere = {"ami_port": "1"}

    def __init__(self, deliver: Any):
        super().__init__(deliver)
        self.ami_port = self.cdr_port = 0
        self.channel_ids: list[str] = []
        self.live: dict[str, dict[str, str]] = {}
        self.sessions: list[_Ami] = []
        self.redirected: list[tuple[str, str, str]] = []
        self.timestamps = True
        self._at_sessions = threading.Lock()
        self._next_id = ""

    @property
    def secrets(self) -> dict[str, str]:
        return {
            "ami_host": "127.0.0.1",
            "ami_port": str(self.ami_port),
            "ami_user": USER,
            "ami_secret": SECRET,
            "recordings": "web",
            "recordings_url": f"{self.url}/monitor",
            "recordings_user": WEB_USER,
            "recordings_password": WEB_PASSWORD,
            "cdr_host": "127.0.0.1",
            "cdr_port": str(self.cdr_port),
            "cdr_user": CDR_USER,
            "cdr_password": CDR_PASSWORD,
        }

    @contextmanager
    def serving(self) -> Iterator[Self]:
        with super().serving(), _serving(_Ami, self) as self.ami_port, _serving(_Sql, self) as self.cdr_port:
            yield self

    def said(self, asked: Asked) -> tuple[bytes, bool]:
        """The answer on a line that is not HTTP, and whether the line goes on."""
        answer = self.answer(asked)
        return (answer[1], answer[2] == "text/plain") if answer else (b"", False)

    # --- Calls

    def call_id(self, scenario: Scenario, number: int) -> str:
        return self._next_id or f"{1795207000 + number * 10}.{number}"

    def new_call(self, scenario: Scenario, client: str = "", began: datetime | None = None) -> Call:
        call = super().new_call(scenario, client, began)
        for place, old in enumerate(list(call.recordings)):
            kind, who = ("in", call.line) if scenario.direction == "in" else ("out", scenario.rings[0])
            name = f"{kind}-{who}-{call.client}-{call.began.astimezone(ZONE):%Y%m%d-%H%M%S}-{call.id}.{place}.wav"
            call.recordings[name] = call.recordings.pop(old)
        return call

    def redial(self, extension: str, phone: str) -> Call:
        self._next_id = self.channel_ids.pop()
        try:
            return super().redial(extension, phone)
        finally:
            self._next_id = ""

    def events(self, call: Call) -> Iterator[Wire]:
        story = Story(call)
        tellers = {"in": self._incoming, "out": self._outgoing, "internal": self._internal}
        yield from tellers[call.scenario.direction](call, story)

    def _recorded(self, call: Call, story: Story, first: Channel) -> Iterator[Wire]:
        """MixMonitor begins before anybody answers, also in calls that nobody does."""
        name = next(iter(call.recordings), "") or f"in-{call.line}-{call.client}-{call.id}.wav"
        path = f"/var/spool/asterisk/monitor/{call.began.astimezone(ZONE):%Y/%m/%d}/{name}"
        if call.recordings or not call.scenario.talks:
            yield story.of("VarSet", first, "Ring", Variable="MIXMONITOR_FILENAME", Value=path)

    def _incoming(self, call: Call, story: Story) -> Iterator[Wire]:
        kind = call.scenario
        number = "anonymous" if kind.hidden else call.client
        client = story.channel("provider", number, exten=call.line, context="from-trunk")
        yield story.of("Newchannel", client, "Ring")
        yield story.of("VarSet", client, "Ring", Variable="__FROM_DID", Value=call.line)
        yield from self._recorded(call, story, client)
        later = set(kind.talks[1:])
        phones = {each: story.channel(each, each) for each in kind.rings if each not in later}
        for extension, phone in phones.items():
            yield from story.dials(client, phone, f"{extension}/sip:{extension}@127.0.0.1:5101")
        story.wait(RING)
        if not kind.talks:
            status, cause = ("BUSY", 17) if kind.outcome == "busy" else ("NOANSWER", 0)
            for phone in phones.values():
                yield story.dialled(client, phone, status)
                yield story.hangs_up(phone, cause)
            yield story.hangs_up(client, 34)
            return
        for extension, phone in phones.items():
            yield story.dialled(client, phone, "ANSWER" if extension == kind.talks[0] else "CANCEL")
        for extension, phone in phones.items():
            if extension != kind.talks[0]:
                yield story.hangs_up(phone, 26)
        for place, extension in enumerate(kind.talks):
            phone = phones.get(extension) or story.channel(extension, extension)
            if place:
                yield from story.dials(client, phone, f"{extension}/sip:{extension}@127.0.0.1:5102")
                yield story.dialled(client, phone, "ANSWER")
            yield from story.joins(phone, client)
            story.wait(kind.seconds)
            yield from story.leaves(client, phone)
            yield story.hangs_up(phone)
        yield story.hangs_up(client)

    def _outgoing(self, call: Call, story: Story) -> Iterator[Wire]:
        kind, ours = call.scenario, "." not in call.id
        phone = story.channel(kind.rings[0], kind.rings[0], exten="s" if ours else call.client)
        yield story.of("Newchannel", phone, "Down" if ours else "Ring")
        if ours:
            yield story.of("VarSet", phone, "Down", Variable="CALLBRIDGE_TO", Value=call.client)
            yield story.told("DialBegin", **phone.headers("Down", "Dest"), DialString=kind.rings[0])
            answer = {"ActionID": call.id, "Response": "Success", "Reason": "4", "Uniqueid": call.id}
            yield story.told("OriginateResponse", **answer, Exten=call.client, Context="from-internal")
        yield from self._recorded(call, story, phone)
        phone.number = call.line  # the dialplan shows the company's number from here on
        trunk = story.channel("provider", "s", context="from-trunk")
        yield from story.dials(phone, trunk, f"{call.client}@provider")
        story.wait(RING)
        if not kind.talks:
            status, cause = ("BUSY", 17) if kind.outcome == "busy" else ("NOANSWER", 19)
            yield story.dialled(phone, trunk, status)
            yield story.hangs_up(trunk, cause)
            yield story.hangs_up(phone, cause)
            return
        yield story.dialled(phone, trunk, "ANSWER")
        yield from story.joins(trunk, phone)
        story.wait(kind.seconds)
        yield from story.leaves(trunk, phone)
        yield story.hangs_up(trunk)
        yield story.hangs_up(phone)

    def _internal(self, call: Call, story: Story) -> Iterator[Wire]:
        kind = call.scenario
        phone = story.channel(kind.rings[0], kind.rings[0], exten=kind.rings[1])
        yield story.of("Newchannel", phone, "Ring")
        other = story.channel(kind.rings[1], kind.rings[1])
        yield from story.dials(phone, other, kind.rings[1])
        story.wait(RING)
        yield story.dialled(phone, other, "ANSWER")
        yield from story.joins(other, phone)
        story.wait(kind.seconds)
        yield from story.leaves(phone, other)
        yield story.hangs_up(phone)
        yield story.hangs_up(other)

    # --- AMI

    def speak(self, wire: Wire) -> None:
        """Tell whoever listens now; what is told to nobody is gone."""
        with self._at_sessions:
            self._note_live(wire.body)
            for each in list(self.sessions):
                each.send(wire.body)

    def mark(self, name: str) -> None:
        """What every listener tells and nobody believes: a request to dial has failed that nobody made."""
        self.speak(
            Wire(message(Event="OriginateResponse", ActionID=name, Response="Failure", Reason="0", Uniqueid="-"))
        )

    def cut(self) -> None:
        """Every connection breaks."""
        with self._at_sessions:
            for each in self.sessions:
                with suppress(OSError):
                    each.request.shutdown(socket.SHUT_RDWR)

    def _note_live(self, body: bytes) -> None:
        told = dict(line.partition(": ")[::2] for line in body.decode().split("\r\n"))
        if told.get("Event") == "Newchannel":
            self.live[told["Uniqueid"]] = {**told, "since": told.get("Timestamp", "0")}
        elif told.get("Event") == "DialBegin":
            self.live[told["DestUniqueid"]] |= {"ApplicationData": "(Outgoing Line)"}
        elif told.get("Event") == "BridgeEnter":
            self.live[told["Uniqueid"]] |= {"BridgeId": told["BridgeUniqueid"], "ChannelStateDesc": "Up"}
        elif told.get("Event") == "Hangup":
            self.live.pop(told["Uniqueid"], None)

    @api("AMI", "/Ping")
    def _ping(self, asked: Asked) -> Any:
        return _done(asked, Ping="Pong", Timestamp=f"{datetime.now(UTC).timestamp():.6f}")

    @api("AMI", "/ListCommands")
    def _commands(self, asked: Asked) -> Any:
        return _done(asked, **dict.fromkeys(COMMANDS, "(Priv: call,reporting,all)"))

    @api("AMI", "/CoreShowChannels")
    def _channels(self, asked: Asked) -> Any:
        rows = [{**row, "Duration": "00:00:00"} for row in self.live.values()]
        names = "Channel ChannelState ChannelStateDesc CallerIDNum Context Exten Uniqueid Linkedid ApplicationData"
        keep = (*names.split(), "Duration", "BridgeId")
        rows = [{name: row.get(name, "") for name in keep} for row in rows]
        return _listed(asked, "CoreShowChannel", rows)

    @api("AMI", "/ExtensionStateList")
    def _hints(self, asked: Asked) -> Any:
        rows = [{"Exten": each, "Context": "ext-local", "Hint": f"PJSIP/{each}", "Status": "0"} for each in self.people]
        return _listed(asked, "ExtensionStatus", rows)

    @api("AMI", "/DBGet")
    def _entry(self, asked: Asked) -> Any:
        name = self.people.get(asked.query["Key"].partition("/")[0])
        if asked.query["Family"] != "AMPUSER" or name is None:
            raise Refusal(400, _failed(asked, "Database entry not found"))
        return _listed(asked, "DBGetResponse", [{"Family": "AMPUSER", "Key": asked.query["Key"], "Val": name}])

    @api("AMI", "/Getvar")
    def _variable(self, asked: Asked) -> Any:
        return _done(asked, Variable=asked.query["Variable"], Value="")

    @api("AMI", "/Originate")
    def _originate(self, asked: Asked) -> Any:
        told = asked.query
        who = re.fullmatch(r"PJSIP/(\d+)", told.get("Channel", ""))
        fine = who and who[1] in self.people and told.get("Async") == "true" and re.fullmatch(r"\d+", told["Exten"])
        if not who or not fine or not re.fullmatch(r"\w{1,30}", told.get("ChannelId", "")):
            raise Refusal(400, _failed(asked, "Extension does not exist."), violation=f"Originate {told}")
        self.dialled.append((who[1], f"+{told['Exten']}"))
        self.channel_ids.append(told["ChannelId"])
        return _done(asked, Message="Originate successfully queued")

    @api("AMI", "/Hangup")
    def _hang_up(self, asked: Asked) -> Any:
        if not any(row["Channel"] == asked.query.get("Channel") for row in self.live.values()):
            raise Refusal(400, _failed(asked, "No such channel"))
        self.hung_up.append(asked.query["Channel"])
        return _done(asked, Message="Channel Hungup")

    @api("AMI", "/Redirect")
    def _redirect(self, asked: Asked) -> Any:
        told = asked.query
        if not any(row["Channel"] == told.get("Channel") for row in self.live.values()):
            raise Refusal(400, _failed(asked, f"Channel does not exist: {told.get('Channel')}"))
        self.redirected.append((told["Channel"], told["Context"], told["Exten"]))
        return _done(asked, Message="Redirect successful")

    # --- Recordings and call records

    @api("GET", "/monitor/*")
    def recording(self, asked: Asked) -> Any:
        wanted = base64.b64encode(f"{WEB_USER}:{WEB_PASSWORD}".encode()).decode()
        if asked.headers.get("authorization") != f"Basic {wanted}":
            raise Refusal(401, b"<html>401 Authorization Required</html>")
        name = asked.path.rpartition("/")[2]
        if not name:
            raise Refusal(403, b"<html>403 Forbidden</html>")
        for call in self.calls:
            folder = f"/monitor/{call.began.astimezone(ZONE):%Y/%m/%d}/"
            if name in call.recordings and asked.path.startswith(folder):
                return call.recordings[name]
        raise Refusal(404, b"<html>404 Not Found</html>")

    @api("SQL", "/")
    def select(self, asked: Asked) -> Any:
        """`SELECT columns FROM cdr [WHERE calldate BETWEEN …]`."""
        text = asked.body.decode()
        if " FROM cel " in text:
            joined = [each for call in self.calls for each in joins(call)]
            return _result(["linkedid", "channame", "joined"], joined)
        columns = [name.strip() for name in text.partition("SELECT ")[2].partition(" FROM ")[0].split(",")]
        times = re.findall(r"'(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)'", text)
        rows = [row for call in self.calls for row in records(call)]
        if times:
            rows = [row for row in rows if times[0] <= row["calldate"] <= times[1]]
        return _result(columns, [[str(row[name]) for name in columns] for row in rows])


def joins(call: Call) -> list[list[str]]:
    """When channels came together with somebody, as `cel` has it."""
    talked = [row for row in records(call) if row["billsec"]]
    found = []
    for row in talked:
        end = datetime.fromisoformat(row["calldate"]) + timedelta(seconds=row["duration"] - row["billsec"])
        found.append([call.id, row["dstchannel"], f"{end:%Y-%m-%d %H:%M:%S}"])
    return found


def records(call: Call) -> list[dict[str, Any]]:
    """Its rows in `cdr`, as FreePBX's table has them: one for each phone or trunk that was dialled."""
    kind, rows = call.scenario, []
    incoming, internal = kind.direction == "in", kind.direction == "internal"
    later = kind.talks[1:]
    dialled = kind.rings if incoming else kind.rings[1:] if internal else ("provider",)
    for place, who in enumerate(dialled):
        turn = kind.talks.index(who) if who in kind.talks else 0
        talked = bool(kind.talks) and (who in kind.talks or not incoming)
        began = call.began + timedelta(seconds=RING + turn * kind.seconds if who in later and incoming else 0)
        billed = kind.seconds if talked else 0
        refused = "BUSY" if kind.outcome == "busy" else "NO ANSWER"
        rows.append(
            {
                "calldate": began.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S"),
                "src": ("anonymous" if kind.hidden else call.client)
                if incoming
                else kind.rings[0]
                if internal
                else call.line,
                "dst": who if incoming or internal else call.client,
                "dcontext": "from-did-direct" if incoming else "from-internal",
                "channel": "PJSIP/provider-00000001" if incoming else f"PJSIP/{kind.rings[0]}-00000001",
                "dstchannel": f"PJSIP/{who}-0000000{place + 2}",
                "lastapp": "Dial",
                "lastdata": f"PJSIP/{who}/sip:x@127.0.0.1,8,tr"
                if incoming or internal
                else f"PJSIP/{call.client}@provider,60",
                "duration": billed + (0 if who in later and incoming else RING),
                "billsec": billed,
                "disposition": "ANSWERED" if talked else refused,
                "uniqueid": call.id,
                "did": call.line if incoming else "",
                "recordingfile": next(iter(call.recordings), "") if place == 0 else "",
                "cnum": "" if incoming else kind.rings[0],
                "linkedid": call.id,
                "sequence": place + 1,
            }
        )
    return rows


# --- AMI's server -----------------------------------------------------------------------------------------------------


def _done(asked: Asked, **headers: str) -> bytes:
    return message(Response="Success", ActionID=asked.query.get("ActionID", ""), **headers)


def _failed(asked: Asked, words: str) -> bytes:
    return message(Response="Error", ActionID=asked.query.get("ActionID", ""), Message=words)


def _listed(asked: Asked, event: str, rows: list[dict[str, str]]) -> bytes:
    number = asked.query.get("ActionID", "")
    head = message(Response="Success", ActionID=number, EventList="start", Message="A list will follow")
    body = b"".join(message(Event=event, ActionID=number, **row) for row in rows)
    end = message(Event=f"{event}Complete", ActionID=number, EventList="Complete", ListItems=str(len(rows)))
    return head + body + end


class _Ami(socketserver.BaseRequestHandler):
    pbx: Emulator
    request: socket.socket

    def setup(self) -> None:
        self._challenge = str(int(random.token_hex(3), 16))
        self._logged_in = False
        self._sending = threading.Lock()

    def handle(self) -> None:
        self.pbx.connects += 1
        self.send(HEADER.encode())
        waiting = b""
        try:
            while data := self.request.recv(65_536):
                *actions, waiting = (waiting + data).split(b"\r\n\r\n")
                for raw in actions:
                    if not self._act(raw):
                        return
        except OSError:
            return

    def finish(self) -> None:
        with self.pbx._at_sessions:
            if self in self.pbx.sessions:
                self.pbx.sessions.remove(self)

    def send(self, data: bytes) -> None:
        try:
            with self._sending:
                self.request.sendall(data)
        except OSError:
            pass

    def _act(self, raw: bytes) -> bool:
        lines = raw.decode().split("\r\n")
        told = {name: value for name, _, value in (line.partition(": ") for line in lines)}
        asked = Asked("AMI", f"/{told.get('Action', '')}", told, {}, raw)
        name = told.get("Action", "")
        if name == "Challenge":
            self.send(_done(asked, Challenge=self._challenge))
        elif name == "Login":
            return self._log_in(asked)
        elif not self._logged_in:
            self.send(_failed(asked, "Permission denied"))
        else:
            body, _goes_on = self.pbx.said(asked)
            self.send(body)
            return body.endswith(b"\r\n\r\n")
        return True

    def _log_in(self, asked: Asked) -> bool:
        key = hashlib.md5((self._challenge + SECRET).encode()).hexdigest()
        if asked.query.get("Username") != USER or asked.query.get("Key") != key:
            self.send(_failed(asked, "Authentication failed"))
            return False
        self._logged_in = True
        self.send(_done(asked, Message="Authentication accepted"))
        if asked.query.get("Events") == "on":
            with self.pbx._at_sessions:
                self.pbx.sessions.append(self)
        return True


@contextmanager
def _serving(handler: type[socketserver.BaseRequestHandler], pbx: Emulator) -> Iterator[int]:
    with listening(Server(("127.0.0.1", 0), type(handler.__name__, (handler,), {"pbx": pbx}))) as port:
        try:
            yield port
        finally:
            pbx.cut()


# --- MySQL's server ---------------------------------------------------------------------------------------------------


def _packet(number: int, body: bytes) -> bytes:
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


def _text(value: str) -> bytes:
    data = value.encode()
    return (bytes([len(data)]) if len(data) < 251 else b"\xfc" + struct.pack("<H", len(data))) + data


def _result(columns: list[str], rows: list[list[str]]) -> bytes:
    """A result as the text protocol has it, each column a VARCHAR."""
    kind = b"\x0c" + struct.pack("<HIBHB", 45, LINE_LENGTH, 0xFD, 0, 0) + b"\0\0"
    definitions = [b"".join(map(_text, ("def", "", "cdr", "cdr", name, name))) + kind for name in columns]
    end = b"\xfe\0\0\x02\0"
    bodies = [bytes([len(columns)]), *definitions, end, *(b"".join(map(_text, row)) for row in rows), end]
    return b"".join(_packet((number + 1) % 256, body) for number, body in enumerate(bodies))


class _Sql(socketserver.BaseRequestHandler):
    """As much of MySQL as a client needs to log in and to read."""

    pbx: Emulator
    request: socket.socket

    def handle(self) -> None:
        salt = random.token_hex(10).encode()
        capabilities = 0x0001 | 0x0008 | 0x0200 | 0x2000 | 0x8000 | 0x80000
        hello = b"\x0a5.5.5-10.11.0-MariaDB\0" + struct.pack("<I", 1) + salt[:8] + b"\0"
        hello += struct.pack("<HBHH", capabilities & 0xFFFF, 45, 2, capabilities >> 16) + bytes([21]) + b"\0" * 10
        self.request.sendall(_packet(0, hello + salt[8:] + b"\0mysql_native_password\0"))
        try:
            if not self._log_in(salt):
                return
            while self._answer(self._read()):
                pass
        except (OSError, EOFError):
            return

    def _log_in(self, salt: bytes) -> bool:
        told = self._read()[32:]
        user, _, rest = told.partition(b"\0")
        proof = rest[1 : 1 + rest[0]]
        inner = hashlib.sha1(CDR_PASSWORD.encode()).digest()
        outer = hashlib.sha1(salt + hashlib.sha1(inner).digest()).digest()
        if user.decode() != CDR_USER or proof != bytes(a ^ b for a, b in zip(inner, outer, strict=True)):
            words = f"Access denied for user '{user.decode()}'@'127.0.0.1' (using password: YES)".encode()
            self.request.sendall(_packet(2, b"\xff" + struct.pack("<H", 1045) + b"#28000" + words))
            return False
        self.request.sendall(_packet(2, b"\0\0\0\x02\0\0\0"))
        return True

    def _answer(self, asked: bytes) -> bool:
        if asked[:1] != b"\x03":
            return False
        if not asked[1:].lstrip().upper().startswith(b"SELECT"):
            self.request.sendall(_packet(1, b"\0\0\0\x02\0\0\0"))
            return True
        body, goes_on = self.pbx.said(Asked("SQL", "/", {}, {}, asked[1:]))
        self.request.sendall(body)
        return goes_on

    def _read(self) -> bytes:
        head = self._exactly(4)
        return self._exactly(int.from_bytes(head[:3], "little"))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if not (part := self.request.recv(size - len(data))):
                raise EOFError
            data += part
        return data
