"""SIP phones that do what a test says: dial, ring, answer, transfer, hang up; a tone sounds while they talk.

Just enough of SIP for phones beside their PBX on one machine, where no packet gets lost: UDP, one codec (A-law), no
registration (the PBX knows where each phone is), no authentication.
"""

from __future__ import annotations

import itertools
import math
import re
import secrets
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

PORT = 5060
PACKET_SECONDS = 0.02
SAMPLES = 160
PCMA = 8
"""The number that RTP gives to A-law."""


# --- Messages


@dataclass(slots=True)
class Message:
    """A request or a response; names of headers are in lower case, repeated headers stay apart."""

    start: str
    headers: list[tuple[str, str]]
    body: str = ""

    @classmethod
    def read(cls, data: bytes) -> Message:
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return cls(start, [(name.strip().lower(), value.strip()) for name, _, value in pairs], body)

    def __bytes__(self) -> bytes:
        lines = [self.start, *(f"{name}: {value}" for name, value in self.headers)]
        lines.append(f"Content-Length: {len(self.body.encode())}")
        return ("\r\n".join(lines) + "\r\n\r\n" + self.body).encode()

    def __getitem__(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def status(self) -> int:
        """Of a response; 0 for a request."""
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """What is asked, or what was asked."""
        return self["cseq"].split()[-1]


def tag(value: str) -> str:
    """Of a From or a To."""
    return value.partition(";tag=")[2].partition(";")[0]


def user(uri: str) -> str:
    """Whom a SIP URI (or a header that holds one) means."""
    return uri.partition("sip:")[2].partition("@")[0]


# --- Calls


@dataclass(slots=True, eq=False)
class Call:
    """A call as one phone has it. `state`: `dialling` or `ringing`, `talking`, `over`; `status` is the SIP status that
    it was refused with (0: it was not), `far` the number at the other end, `dialled` what was dialled."""

    phone: Phone
    id: str
    incoming: bool
    far: str
    dialled: str
    mine: str
    """This end as From and To write it; `theirs` is the other."""
    theirs: str
    target: str
    """Where the other end wants its requests."""
    state: str = "dialling"
    status: int = 0
    heard_ringing: bool = False
    ended_here: bool = False
    talked_from: float = 0.0
    talked_until: float = 0.0
    invite: Message = field(default_factory=lambda: Message("", []))
    sound: socket.socket | None = None
    sound_to: tuple[str, int] | None = None
    transferring: bool = False
    pressed: str = ""
    """Keys that the other end has pressed."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(2))

    # --- What a person does

    def answer(self) -> Self:
        """Take an incoming call."""
        self.sound_to = _listens(self.invite)
        self.phone.respond(self.invite, "200 OK", self, self._sdp())
        self._became("talking")
        return self

    def refuse(self, status: str = "486 Busy Here") -> None:
        """Do not take an incoming call."""
        self.phone.respond(self.invite, status, self)
        self._became("over")

    def hang_up(self) -> None:
        """End a talk, or give up dialling."""
        self.ended_here = True
        if self.state == "talking":
            self._request("BYE")
            self._became("over")
        elif self.state == "dialling":
            branch = self.invite["via"]
            request = self.invite.start.split()[1]
            self.phone.send(Message(f"CANCEL {request} SIP/2.0", self._head(branch, f"{_cseq(self.invite)} CANCEL")))

    def transfer(self, number: str) -> None:
        """Send the other end on to a number, without asking there, and hang up, as a desk phone does."""
        self.transferring = True
        to = f"<sip:{number}@{self.phone.pbx[0]}:{self.phone.pbx[1]}>"
        self._request("REFER", ("Refer-To", to), ("Referred-By", f"<{self.phone.contact(self)}>"))

    def press(self, key: str) -> None:
        """A key of the phone during a talk."""
        kind = ("Content-Type", "application/dtmf-relay")
        self._request("INFO", kind, body=f"Signal={key}\r\nDuration=160\r\n")

    # --- What is seen

    def hears(self) -> bytes:
        """A packet of the other end's sound."""
        assert self.sound
        self.sound.settimeout(10)
        return self.sound.recv(2048)

    def wait(self, state: str, timeout: float = 20.0) -> Self:
        """Until it is in this state (`heard`: until it is known that it rings there)."""
        what = f"{self.phone.user}'s call with {self.far} came into {state}"
        self.phone.exchange.wait(lambda: self.heard_ringing if state == "heard" else self.state == state, what, timeout)
        return self

    @property
    def talked(self) -> float:
        """Seconds since it was answered, or between the answer and the end."""
        if not self.talked_from:
            return 0.0
        return (self.talked_until or time.monotonic()) - self.talked_from

    # --- Below that

    def _became(self, state: str) -> None:
        with self.phone.exchange.changed:
            if self.state == "over" or self.state == state:
                return
            self.state = state
            if state == "talking":
                self.talked_from = time.monotonic()
            elif self.talked_from:
                self.talked_until = time.monotonic()
            if state == "over":
                self.sound_to = None
            self.phone.exchange.changed.notify_all()

    def _request(self, method: str, *more: tuple[str, str], body: str = "") -> None:
        head = self._head(self.phone.via(), f"{next(self.numbers)} {method}")
        self.phone.send(Message(f"{method} {self.target} SIP/2.0", [*head, *more], body))

    def _head(self, via: str, cseq: str) -> list[tuple[str, str]]:
        return [
            ("Via", via),
            ("From", self.mine),
            ("To", self.theirs),
            ("Call-ID", self.id),
            ("CSeq", cseq),
            ("Max-Forwards", "70"),
            ("Contact", f"<{self.phone.contact(self)}>"),
        ]

    def _sdp(self) -> str:
        if self.sound is None:
            self.sound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sound.bind((self.phone.ip, 0))
        ip, port = self.sound.getsockname()
        lines = ("v=0", f"o=- 1 1 IN IP4 {ip}", "s=-", f"c=IN IP4 {ip}", "t=0 0", f"m=audio {port} RTP/AVP {PCMA}")
        return "\r\n".join((*lines, f"a=rtpmap:{PCMA} PCMA/8000", "a=ptime:20", ""))

    def came(self, message: Message) -> None:
        """Something from the PBX that belongs to this call."""
        if message.status:
            self._answered(message)
        elif message.method == "INVITE":
            if message["cseq"] != self.invite["cseq"]:  # not a repetition: other sound is wished
                self.sound_to = _listens(message)
                self.phone.respond(message, "200 OK", self, self._sdp())
        elif message.method == "CANCEL":
            self.phone.respond(message, "200 OK", self)
            if self.state == "ringing":
                self.refuse("487 Request Terminated")
        elif message.method != "ACK":
            self.phone.respond(message, "200 OK", self)
            if message.method == "BYE":
                self._became("over")
            elif message.method == "INFO":
                self._pressed(message)
            elif message.method == "NOTIFY" and self.transferring and self.state == "talking":
                self.hang_up()

    def _pressed(self, info: Message) -> None:
        if key := re.search(r"^Signal= *(\S)", info.body, re.M):
            with self.phone.exchange.changed:
                self.pressed += key[1]
                self.phone.exchange.changed.notify_all()

    def _answered(self, response: Message) -> None:
        if response.method != "INVITE":
            return
        if response.status in (180, 183):
            with self.phone.exchange.changed:
                self.heard_ringing = True
                self.phone.exchange.changed.notify_all()
        elif 200 <= response.status < 300:
            self.theirs, self.target = response["to"], _address(response["contact"])
            self.sound_to = _listens(response)
            head = self._head(self.phone.via(), f"{_cseq(response)} ACK")
            self.phone.send(Message(f"ACK {self.target} SIP/2.0", head))
            self._became("talking")
        elif response.status >= 300:
            self.theirs = response["to"]
            request = self.invite.start.split()[1]
            head = self._head(self.invite["via"], f"{_cseq(response)} ACK")
            self.phone.send(Message(f"ACK {request} SIP/2.0", head))
            self.status = 0 if self.ended_here else response.status
            self._became("over")


def _cseq(message: Message) -> str:
    return message["cseq"].split()[0]


def _address(value: str) -> str:
    """Of a Contact."""
    found = re.search(r"<([^>]+)>", value)
    return found[1] if found else value.partition(";")[0]


def _listens(message: Message) -> tuple[str, int] | None:
    """Where the other end listens, by its SDP."""
    ip, port = re.search(r"^c=IN IP4 (\S+)", message.body, re.M), re.search(r"^m=audio (\d+)", message.body, re.M)
    return (ip[1], int(port[1])) if ip and port else None


# --- Phones


class Phone:
    """A phone (or a whole telephone company: it answers for every number) at an address of its own.

    `busy` refuses what comes, `reachable=False` does not hear it at all.
    """

    def __init__(self, exchange: Exchange, user: str, ip: str, pbx: tuple[str, int]):
        self.exchange, self.user, self.ip, self.pbx = exchange, user, ip, pbx
        self.busy, self.reachable = False, True
        self.calls: list[Call] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, PORT))
        self.socket.setblocking(False)

    def dial(self, number: str, *, me: str = "") -> Call:
        """Call a number; a telephone company says for which of its subscribers (`me`)."""
        me = me or self.user
        mine = f"<sip:{me}@{self.ip}:{PORT}>;tag={secrets.token_hex(6)}"
        uri = f"sip:{number}@{self.pbx[0]}:{self.pbx[1]}"
        call = Call(self, secrets.token_hex(12), False, number, number, mine, f"<{uri}>", uri)
        head = [*call._head(self.via(), "1 INVITE"), ("Content-Type", "application/sdp")]
        call.invite = Message(f"INVITE {uri} SIP/2.0", [(name.lower(), value) for name, value in head], call._sdp())
        self.calls.append(call)
        self.send(call.invite)
        return call

    def rings(self, *, by: str = "", for_number: str = "", timeout: float = 20.0) -> Call:
        """The call that rings here (by this number, for this one), as soon as it does."""

        def ringing() -> Call | None:
            for call in self.calls:
                if call.state == "ringing" and by in ("", call.far) and for_number in ("", call.dialled):
                    return call
            return None

        what = f"{self.user} rang {for_number} {by}"
        found: Call = self.exchange.wait(ringing, what, timeout)
        return found

    # --- Below that

    def contact(self, call: Call) -> str:
        return f"sip:{user(call.mine)}@{self.ip}:{PORT}"

    def via(self) -> str:
        return f"SIP/2.0/UDP {self.ip}:{PORT};branch=z9hG4bK{secrets.token_hex(8)}"

    def send(self, message: Message) -> None:
        self.socket.sendto(bytes(message), self.pbx)

    def respond(self, request: Message, status: str, call: Call | None = None, sdp: str = "") -> None:
        to = request["to"] if tag(request["to"]) or not call else call.mine
        copied = [(name, value) for name, value in request.headers if name == "via"]
        head = [*copied, ("From", request["from"]), ("To", to), ("Call-ID", request["call-id"])]
        head.append(("CSeq", request["cseq"]))
        if call:
            head.append(("Contact", f"<{self.contact(call)}>"))
        if sdp:
            head.append(("Content-Type", "application/sdp"))
        self.send(Message(f"SIP/2.0 {status}", head, sdp))

    def came(self, message: Message) -> None:
        if not self.reachable:
            return
        call = next((call for call in self.calls if call.id == message["call-id"]), None)
        if call:
            call.came(message)
        elif message.method == "INVITE" and not message.status:
            self._rings(message)
        elif not message.status and message.method != "ACK":
            self.respond(message, "200 OK" if message.method == "OPTIONS" else "481 Call Does Not Exist")

    def _rings(self, invite: Message) -> None:
        dialled = user(invite.start)
        mine = f"{invite['to']};tag={secrets.token_hex(6)}"
        target = _address(invite["contact"])
        call = Call(self, invite["call-id"], True, user(invite["from"]), dialled, mine, invite["from"], target)
        call.invite = invite
        call.state = "ringing"
        if self.busy:
            call.refuse()
        else:
            self.respond(invite, "180 Ringing", call)
        with self.exchange.changed:
            self.calls.append(call)
            self.exchange.changed.notify_all()


class Exchange:
    """The two threads behind the phones: one hears what the PBX says, the other makes the sound of all talks."""

    def __init__(self) -> None:
        self.phones: list[Phone] = []
        self.changed = threading.Condition()
        self._selector = selectors.DefaultSelector()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._hear, self._sound)]

    def phone(self, user: str, ip: str, pbx: tuple[str, int]) -> Phone:
        phone = Phone(self, user, ip, pbx)
        self.phones.append(phone)
        self._selector.register(phone.socket, selectors.EVENT_READ, phone)
        return phone

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(5)
        for phone in self.phones:
            phone.socket.close()
            for call in phone.calls:
                if call.sound:
                    call.sound.close()

    def wait(self, test: Any, what: str, timeout: float) -> Any:
        """Until `test` gives something true; that. Raises `AssertionError`, which says what did not happen."""
        with self.changed:
            found = self.changed.wait_for(test, timeout)
        assert found, f"not within {timeout} s: {what}"
        return found

    def hang_up(self) -> None:
        """Everybody puts down what is still in the hand."""
        for phone in self.phones:
            for call in list(phone.calls):
                if call.state == "ringing":
                    call.refuse("480 Temporarily Unavailable")
                elif call.state != "over":
                    call.hang_up()

    def cut_off(self) -> None:
        """The PBX is gone, and all calls with it."""
        for phone in self.phones:
            for call in phone.calls:
                call._became("over")

    def _hear(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.2):
                while data := _datagram(key.data.socket):
                    key.data.came(Message.read(data))

    def _sound(self) -> None:
        sound = bytes(_alaw(int(8000 * math.sin(2 * math.pi * 450 * n / 8000))) for n in range(SAMPLES))
        due = time.monotonic()
        for number in itertools.count():
            due += PACKET_SECONDS
            if self._ending.wait(max(0.0, due - time.monotonic())):
                return
            head = struct.pack(">BBHII", 0x80, PCMA, number % 0x10000, number * SAMPLES % 2**32, 0x10AB)
            for call in [call for phone in self.phones for call in phone.calls]:
                if (to := call.sound_to) and call.sound and call.state == "talking":
                    call.sound.sendto(head + sound, to)


def _datagram(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65_536)
    except (BlockingIOError, ConnectionRefusedError):  # the latter: the PBX did not listen when something was sent
        return b""


def _alaw(sample: int) -> int:
    """One sample of 16 bits, by ITU-T G.711."""
    sign = 0x80 if sample >= 0 else 0
    size = min(abs(sample), 32_635) >> 4
    exponent = max(1, size.bit_length() - 5) if size >= 32 else 0
    mantissa = (size >> exponent if exponent else size >> 1) & 0x0F
    return (sign | exponent << 4 | mantissa) ^ 0x55
