"""The engine of calls: legs, virtual time, notifications, truth. What happens in a call is told in `scenarios`.

`entry_id` names a whole call, `call_id` one leg, `seq` counts the events of one leg. Each call has a clock of its own:
timestamps follow from the scenario, whatever the pace; the real waiting is the virtual one divided by `speed`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from . import wire
from .account import Account, Recording
from .delivery import Courier, Delivery, Event, Outbox

FAST = 1000.0  # from this speed on nothing is waited for, except explicit windows in real seconds

OVER, NOT_NOW, ACCEPTED = 4101, 4100, 1000


@dataclass(slots=True)
class CallSpec:
    """What a call shall be. Times are virtual seconds; the two windows are real ones."""

    scenario: str = "incoming_direct"
    client: str = "79000000001"
    line: str = "74950000001"
    extension: str = "101"
    second: str = "102"
    group: str = "200"
    outcome: str = "answered"  # answered | busy | no_answer | caller_hung_up
    hangup_by: str = "client"  # client | employee
    greeting_seconds: float = 5
    ring_seconds: float = 5
    talk_seconds: float = 10
    before_transfer_seconds: float = 8
    consult_seconds: float = 6
    second_ring_seconds: float = 4
    second_answers: bool = True
    employee_answers: bool = True
    employee_ring_seconds: float = 3
    record: bool = False
    record_delay: float = 30
    linked: bool = True
    completed_first: bool = False
    dtmf: list[list[Any]] = field(default_factory=list)
    dct: str = ""
    command_id: str = ""
    callback_initiator: str = ""
    route_window: float | None = None
    talk_window: float | None = None
    window_seconds: float = 2
    at: float | None = None
    ahead: float = 0  # how far the clock of this PBX is ahead
    speed: float | None = None
    delivery: dict[str, Any] | None = None

    @property
    def planned(self) -> float:
        """A rough length of the call, to place a fast one so that it ends about now."""
        return self.greeting_seconds + self.ring_seconds + self.talk_seconds + 30


@dataclass(slots=True)
class Command:
    """A request of the hub (or of a person at the phone) that acts on a live leg."""

    kind: str
    command_id: str = ""
    target: str = ""
    method: str = ""
    reason: int = 1181
    done: bool = False


@dataclass(slots=True)
class Leg:
    """One leg of a call with what its events repeat."""

    call_id: str
    location: str
    from_: dict[str, Any]
    to: dict[str, Any]
    extra: dict[str, Any]
    appeared: float
    seq: int = 0
    state: str = ""
    answered: float = 0.0
    ended: float = 0.0
    reason: int = 0
    recording: Recording | None = None

    @property
    def extension(self) -> str:
        """Our side of the leg."""
        return str(self.to.get("extension") or self.from_.get("extension") or "")

    @property
    def our_side(self) -> dict[str, Any]:
        """The party that is an employee."""
        return self.to if "extension" in self.to or "extension" not in self.from_ else self.from_


class Call:
    """A call while it lives, and its truth afterwards."""

    __slots__ = (
        "_accepts", "_waiter", "account", "client", "created", "direction", "done", "end_time", "entry_id",
        "entry_result", "error", "events", "extensions", "finished", "first_extension", "forward_time", "legs", "line",
        "now", "outbox", "reason", "recordings", "sim", "spec", "speed", "summary_from", "summary_to", "talk_time",
    )  # fmt: skip

    def __init__(self, sim: Simulator, account: Account, spec: CallSpec) -> None:
        self.sim, self.account, self.spec = sim, account, spec
        self.speed = sim.speed if spec.speed is None else spec.speed
        self.entry_id: str = wire.opaque(f"6{sim.id_seed}{sim.serial():06d}")
        past = spec.planned * (1 - 1 / max(self.speed, 1.0))
        self.created: float
        self.now: float
        self.created = self.now = float(int(sim.clock() - past + spec.ahead)) if spec.at is None else spec.at
        self.client: str = spec.client
        self.line: str = spec.line
        self.direction: int = 1
        self.legs: list[Leg] = []
        self.events: list[Event] = []
        self.recordings: list[Recording] = []
        self.extensions: list[str] = []
        self.first_extension = ""
        self.summary_from: dict[str, Any] = {}
        self.summary_to: dict[str, Any] = {}
        self.forward_time = self.talk_time = self.end_time = 0.0
        self.entry_result = self.reason = 0
        self.finished = self.done = False
        self.error = ""
        self.outbox = Outbox(sim.courier, self, Delivery(**{**sim.delivery, **(spec.delivery or {})}))
        self._accepts: frozenset[str] = frozenset()
        self._waiter: asyncio.Future[Command | None] | None = None

    # --- time and commands

    async def pause(self, seconds: float, accepts: Iterable[str] = (), window: float | None = None) -> Command | None:
        """Let time pass; a command of an accepted kind ends it early and is returned.

        With `window` (real seconds) the product gets that long whatever the speed; a command is then booked as
        `window_seconds` of virtual time."""
        real = (0.0 if self.speed >= FAST else seconds / self.speed) if window is None else window
        if real <= 0:
            self.now += seconds
            return None
        loop = asyncio.get_running_loop()
        self._waiter, self._accepts, started = loop.create_future(), frozenset(accepts), loop.time()
        timer = loop.call_later(real, self.proceed)
        command = await self._waiter
        timer.cancel()
        elapsed = self.spec.window_seconds if window is not None else (loop.time() - started) * self.speed
        self.now += seconds if command is None else float(int(min(seconds, elapsed)))
        self._waiter, self._accepts = None, frozenset()
        return command

    def proceed(self) -> None:
        """End the present pause as if its time were over."""
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def offer(self, leg: Leg, command: Command) -> int:
        """A command arrives: 1000 accepted, 4100 not in this state, 4101 the leg is over."""
        if leg.ended or self.finished:
            return OVER
        if command.kind not in self._accepts or self._waiter is None or self._waiter.done():
            return NOT_NOW
        self._waiter.set_result(command)
        return ACCEPTED

    # --- parties

    def client_party(self, taken_from: Leg | None = None) -> dict[str, Any]:
        """The outer party as `from`; a hidden number is absent."""
        party: dict[str, Any] = {"number": self.client} if self.client else {}
        return party | ({"taken_from_call_id": taken_from.call_id} if taken_from else {})

    def employee_party(self, extension: str, taken_from: Leg | None = None, **more: Any) -> dict[str, Any]:
        """An employee; the number is the SIP address of the device, never the virtual number."""
        shown: Any = int(extension) if self._quirk("numeric_extension") and extension.isdigit() else extension
        party: dict[str, Any] = {"extension": shown, "number": f"sip:user{extension}@{self.account.domain}"}
        return party | ({"taken_from_call_id": taken_from.call_id} if taken_from else {}) | more

    def line_party(self, **more: Any) -> dict[str, Any]:
        """The virtual number as `to` of a leg in IVR or queue."""
        return {"number": self.line, "line_number": self.line, **more}

    def _quirk(self, name: str) -> bool:
        return name in self.account.quirks

    # --- legs and events

    def leg(self, location: str, from_: dict[str, Any], to: dict[str, Any], **extra: Any) -> Leg:
        """A new leg, and its Appeared."""
        call_id = wire.opaque(f"1:10000001:777:9{self.sim.id_seed}{self.sim.serial():06d}")
        leg = Leg(call_id, location, from_, to, {k: v for k, v in extra.items() if v}, self.now)
        self.legs.append(leg)
        self.sim.live[call_id] = (self, leg)
        if location == "abonent" and leg.extension and leg.extension not in self.extensions:
            self.extensions.append(leg.extension)
        self.emit(leg, "Appeared")
        return leg

    def connect(self, leg: Leg, talk: bool = True) -> None:
        """Connected; `talk`: the client and an employee talk now."""
        leg.answered = leg.answered or self.now
        if talk:
            self.talk_time = self.talk_time or self.now
            self.first_extension = self.first_extension or leg.extension
            if leg.extension:
                self.extensions = [item for item in self.extensions if item != leg.extension] + [leg.extension]
        self.emit(leg, "Connected")
        if talk and self.spec.record and leg.recording is None:
            self.start_recording(leg)

    def end(self, leg: Leg, reason: int, **flags: Any) -> None:
        """Disconnected, once per leg."""
        if leg.ended:
            return
        leg.ended = self.end_time = self.now
        leg.reason = self.reason = reason
        self.sim.live.pop(leg.call_id, None)
        if leg.recording:
            leg.recording.seconds = self.now - (leg.answered or self.now)
        self.emit(leg, "Disconnected", reason, **flags)

    def end_all(self, reason: int) -> None:
        """Disconnect every leg that is left."""
        for leg in self.legs:
            self.end(leg, reason)

    def emit(self, leg: Leg, state: str, reason: int = 0, **flags: Any) -> None:
        """`events/call` with the fields in the order of the documentation's examples; `flags` go to our party."""
        leg.seq, leg.state = leg.seq + 1, state
        from_, to = dict(leg.from_), dict(leg.to)
        (to if leg.our_side is leg.to else from_).update(flags)
        if self._quirk("no_line_later") and leg.seq > 1:
            to.pop("line_number", None)
        data = {
            "entry_id": self.entry_id,
            "call_id": leg.call_id,
            "timestamp": self.stamp(),
            "seq": leg.seq,
            "call_state": state,
            "locaton" if self._quirk("locaton") else "location": leg.location,
            "from": from_,
            "to": to,
        }
        if reason:
            data["disconnect_reason"] = reason
        data |= leg.extra
        data["dct"] = {"number": self.spec.dct, "type": 1} if self.spec.dct else {"type": 0}
        self.notify("events/call", data)

    def notify(self, path: str, data: dict[str, Any]) -> None:
        """Generate one notification and hand it over for delivery."""
        if self._quirk("string_types"):
            data = data | {name: str(data[name]) for name in ("seq", "timestamp", "result") if name in data}
        body = wire.odd_dumps(data) if self._quirk("odd_json") else wire.dumps(data)
        event = Event(path, body, [])
        self.events.append(event)
        self.outbox.put(event)

    def stamp(self, at: float | None = None) -> int:
        """Epoch seconds as the PBX tells them (an account may be shifted by three hours)."""
        moment = self.now if at is None else at
        return int(moment) + self.account.timestamp_shift if moment else 0

    def result(self, command: Command, code: int = 1000) -> None:
        """`result/<command>`: the asynchronous outcome of a command, once."""
        if command.command_id and not command.done:
            command.done = True
            self.notify(RESULT_PATHS[command.kind], {"command_id": command.command_id, "result": code})

    def dtmf(self, leg: Leg, seq: int, digits: str, location: str) -> None:
        """One complete DTMF sequence in the IVR."""
        data: dict[str, Any] = {"seq": seq, "dtmf": digits, "timestamp": self.stamp(), "call_id": leg.call_id}
        data |= {"entry_id": self.entry_id, "location": location, "initiator": self.client, "from_number": self.client}
        self.notify("events/dtmf", data | {"to_number": self.line, "line_number": self.line})

    # --- recordings

    def start_recording(self, leg: Leg, command_id: str = "") -> None:
        """`events/recording` Started; a recording has a seq of its own."""
        recording_id = wire.opaque(f"1:10000001:7{self.sim.id_seed}{self.sim.serial():06d}:0")
        leg.recording = Recording(recording_id, self.entry_id, leg.call_id, leg.extension)
        self.recordings.append(leg.recording)
        self.account.recordings[recording_id] = leg.recording
        self._recording_event(leg.recording, "Started", self.now, {"command_id": command_id} if command_id else {})

    def complete_recordings(self) -> None:
        """`events/recording` Completed, a second after the end."""
        for item in self.recordings:
            item.seq = 2
            self._recording_event(item, "Completed", self.end_time + 1, {"completion_code": 1000, "recipient": "Cloud"})

    def _recording_event(self, item: Recording, state: str, at: float, more: dict[str, Any]) -> None:
        data: dict[str, Any] = {"recording_id": item.recording_id, "recording_state": state, "seq": item.seq}
        data |= {"entry_id": self.entry_id, "call_id": item.call_id, "extension": item.extension}
        self.notify("events/recording", data | {"timestamp": self.stamp(at)} | more)

    def add_recordings(self) -> None:
        """`events/record/added`: from now on the files can be fetched."""
        for item in self.recordings:
            person = self.account.employee(item.extension)
            item.added = True
            data: dict[str, Any] = {"entry_id": self.entry_id, "product_id": self.account.product_id}
            data |= {"user_id": person.user_id if person and self.spec.linked else -1, "timestamp": self.stamp()}
            self.notify("events/record/added", data | {"recording_id": item.recording_id})

    # --- the end and the truth

    def summary(self) -> None:
        """`events/summary`: the call is over; no line for an internal call."""
        line = {} if self.direction == 0 else {"line_number": self.line}
        data: dict[str, Any] = {"entry_id": self.entry_id, "call_direction": self.direction}
        data |= {"from": self.summary_from, "to": self.summary_to, **line, "create_time": self.stamp(self.created)}
        data |= {"forward_time": self.stamp(self.forward_time), "talk_time": self.stamp(self.talk_time)}
        data |= {"end_time": self.stamp(self.end_time), "entry_result": self.entry_result}
        self.finished = True
        self.notify("events/summary", data | {"disconnect_reason": self.reason})

    @property
    def talk_seconds(self) -> int:
        """From the first answer to the end."""
        return int(self.end_time) - int(self.talk_time) if self.talk_time and self.end_time else 0

    @property
    def outcome(self) -> str:
        """The coarse outcome; `live` before the end."""
        if not self.finished:
            return "live"
        if self.talk_time:
            return "answered"
        return "busy" if self.reason in (1121, 1122, 1123, 1124, 1193) else "missed"

    @property
    def extension(self) -> str:
        """Who talked last; who rang first when nobody talked; who dialled an outgoing or internal call."""
        if self.direction != 1:
            return str(self.summary_from.get("extension", ""))
        if self.talk_time:
            return self.extensions[-1]
        return self.extensions[0] if self.extensions else ""

    def truth(self, events: bool = True) -> dict[str, Any]:
        """The facts of the call as the tests compare them."""
        facts: dict[str, Any] = {
            "entry_id": self.entry_id,
            "account": self.account.key,
            "scenario": self.spec.scenario,
            "direction": ("internal", "in", "out")[self.direction],
            "client": self.client,
            "line": "" if self.direction == 0 else self.line,
            "extension": self.extension,
            "first_extension": (self.first_extension if self.direction == 1 else "") or self.extension,
            "extensions": list(self.extensions),
            "outcome": self.outcome,
            "reason": self.reason,
            "created": int(self.created),
            "answered": int(self.talk_time),
            "ended": int(self.end_time),
            "talk_seconds": self.talk_seconds,
            "recordings": [item.recording_id for item in self.recordings],
            "done": self.done,
            "error": self.error,
        }
        if events:
            facts["events"] = [{"path": e.path, "data": e.data, "answers": e.answers} for e in self.events]
        return facts

    def settle(self) -> None:
        """Everything is generated and delivered."""
        self.done = True
        self.sim.settled()

    def wait(self, timeout: float = 30.0) -> Call:
        """Block (another thread than the emulator's) until the call is over and all is delivered."""
        if not self.sim.wait_for(lambda: self.done, timeout):
            raise TimeoutError(f"call {self.entry_id} ({self.spec.scenario}) is not over")
        if self.error:
            raise RuntimeError(self.error)
        return self


RESULT_PATHS = {
    "callback": "result/callback",
    "callback_group": "result/callback_group",
    "hangup": "result/call/hangup",
    "route": "result/route",
    "transfer": "result/transfer",
    "transfer_cancel": "result/transfer_cancel/",
    "calls_connect": "result/calls_connect/",
    "hold": "result/call/hold/on",
    "recording": "result/recording/start",
    "play": "result/play/start",
}

Script = Callable[[Call], Awaitable[None]]


class Simulator:
    """Runs calls in the emulator's event loop."""

    def __init__(self, courier: Courier, clock: Callable[[], float], speed: float, id_seed: int) -> None:
        self.courier, self.clock, self.speed = courier, clock, speed
        self.id_seed = f"{id_seed % 10**9:09d}"
        self.delivery: dict[str, Any] = {}
        self.calls: list[Call] = []
        self.live: dict[str, tuple[Call, Leg]] = {}
        self.unsettled = 0
        self.changed = threading.Condition()
        self._serial = 0

    def serial(self) -> int:
        """The next number for identifiers."""
        self._serial += 1
        return self._serial

    def start(self, account: Account, spec: CallSpec, script: Script) -> Call:
        """Begin a call; in the loop's thread."""
        call = Call(self, account, spec)
        self.calls.append(call)
        self.unsettled += 1
        self.courier.spawn(self._run(call, script))
        return call

    async def _run(self, call: Call, script: Script) -> None:
        try:
            await script(call)
            await self._close(call)
        except Exception as error:  # an emulator's own bug must be seen, not swallowed with the task
            call.error = repr(error)
        finally:
            for leg in call.legs:
                self.live.pop(leg.call_id, None)
            call.outbox.seal(call.events)

    async def _close(self, call: Call) -> None:
        """Summary, then the recording's way into the store."""
        call.end_all(call.reason or 1100)
        if call.spec.completed_first:
            call.complete_recordings()
        call.entry_result = call.entry_result or int(bool(call.talk_time))
        call.summary()
        if not call.recordings:
            return
        if not call.spec.completed_first:
            call.complete_recordings()
        call.now = call.end_time + 1
        await call.pause(call.spec.record_delay)
        call.add_recordings()

    def find(self, call_id: str) -> tuple[Call, Leg] | None:
        """The live leg with this id."""
        return self.live.get(call_id)

    def settled(self) -> None:
        """One more call is over and delivered."""
        self.unsettled -= 1
        with self.changed:
            self.changed.notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        """Wait in another thread for a change."""
        with self.changed:
            return self.changed.wait_for(predicate, timeout)
