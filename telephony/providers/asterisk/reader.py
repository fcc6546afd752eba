"""From AMI's messages to calls: what channels exist, to which call they belong, who dialled whom and who talks.

The reader judges nothing: whose channel is a phone and whose a trunk, and what a call came to, is `events`' affair,
which can be asked again after a mend. It tells, whenever something happens that matters, what is known of the call by
then; what it tells is stored and read by `events.read`. In the end it tells the whole call at once.

Source: traces of Asterisk 16 and 22 (`samples/`); a call is what has one `Linkedid`, a channel has one `Uniqueid`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from . import ids
from .channels import is_local, is_real
from .wire import Message

SILENCE = timedelta(minutes=1)
"""A call that a list of channels does not name may have ended a moment ago: its end is still on the way."""
MOST_LEGS = 60
"""Legs that the end of a call is told with: a queue may have called a hundred phones."""
LONGEST = 200
MOST_GONE = 10_000
"""Channels that have hung up, of which something may still be on the way."""

Told = dict[str, Any]
"""What is told of a call: see `Reader`."""
Variables = Mapping[str, str]


@dataclass(slots=True)
class Leg:
    """A channel with somebody at it, in AMI's words. `number`, `exten`, `context` and `state` are those it began with.

    `dialled`: what the PBX dialled to make it, `shown` the number of who dialled it then; `called`: whether it was
    dialled at all. `rang`, `joined` (it came
    together with somebody), `left` and `ended` are when that was first, or last, heard.
    """

    id: str
    place: int
    channel: str = ""
    number: str = ""
    exten: str = ""
    context: str = ""
    state: str = ""
    dialled: str = ""
    called: bool = False
    began: datetime | None = None
    rang: datetime | None = None
    joined: datetime | None = None
    left: datetime | None = None
    ended: datetime | None = None
    cause: str = ""
    status: str = ""
    forward: str = ""
    shown: str = ""

    def told(self) -> Told:
        """Without what is empty."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: _plain(value) for name, value in values if value not in ("", None, False)}


@dataclass(slots=True)
class Call:
    """`joined_late`: it went on already when we came to listen. `wanted`: whom an Originate was for."""

    id: str
    heard: datetime
    joined_late: bool
    legs: dict[str, Leg] = field(default_factory=dict)
    alive: set[str] = field(default_factory=set)
    did: str = ""
    ext_to_call: str = ""
    recording: str = ""
    queue: str = ""
    wanted: str = ""
    hung_up_by: str = ""
    made: int = 0

    def told(self, event: str, at: datetime, legs: Iterable[Leg], *, over: bool = False) -> Told:
        names = ("did", "ext_to_call", "recording", "queue", "wanted", "hung_up_by", "joined_late")
        known = {name: value for name in names if (value := getattr(self, name))}
        rows = sorted(legs, key=lambda leg: leg.place)
        told = {"event": event, "at": _plain(at), "call": self.id, **known, "legs": [leg.told() for leg in rows]}
        return {**told, "over": True} if over else told


def _plain(value: Any) -> Any:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value


class Reader:
    """Reads one PBX's messages in their order, also over a cut: `see` what goes on when the connection is back.

    `hear` and `see` return what is to be stored: `call` (Linkedid), `event` (what of AMI's made us tell), `at` (ours),
    what is known of the call, and `legs`: the first one and the one that it is about; in the end (`over`) all of them.
    """

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self._call_of: dict[str, str] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._ahead = timedelta()

    def hear(self, message: Message, at: datetime) -> list[Told]:
        """What an event changes. Events that say nothing to us, and what is none, change nothing.

        `at`: when it came; a PBX with `timestampevents` says by its own clock when it happened.
        """
        handler = _HANDLERS.get(message.event)
        if handler is None:
            return []
        if said := _seconds(message["timestamp"]):
            moment = datetime.fromtimestamp(said, UTC)
            self._ahead, at = moment - at, moment
        return handler(self, message, at)

    # --- Channels

    def _leg(self, message: Message, at: datetime, prefix: str = "") -> tuple[Call, Leg] | None:
        """The channel that a message is about, known from now on. None for helpers, for what names none, and for one
        that has hung up: events of two channels have no order."""
        channel, unique = message[f"{prefix}channel"], message[f"{prefix}uniqueid"][:LONGEST]
        linked = message[f"{prefix}linkedid"][:LONGEST] or self._call_of.get(unique, "")
        if not unique or not linked or unique in self._gone or not (is_real(channel) or is_local(channel)):
            return None
        if self._call_of.get(unique, linked) != linked:
            return self._moved(unique, linked, at)
        call = self.calls.get(linked)
        if call is None:
            call = self.calls[linked] = Call(linked, at, joined_late=message.event != "Newchannel" or unique != linked)
        call.heard = at
        self._call_of[unique] = linked
        leg = call.legs.get(unique)
        if leg is None:
            leg = call.legs[unique] = Leg(unique, call.made, channel[:LONGEST], began=at)
            call.made += 1
            call.alive.add(unique)
        leg.number = leg.number or message[f"{prefix}calleridnum"][:LONGEST]
        leg.state = leg.state or message[f"{prefix}channelstatedesc"]
        return call, leg

    def _moved(self, unique: str, linked: str, at: datetime) -> tuple[Call, Leg] | None:
        """A channel has come into another call (somebody was asked first, then handed the client): there it is one
        more who was called."""
        old = self.calls[self._call_of[unique]]
        was = old.legs[unique]
        call = self.calls.setdefault(linked, Call(linked, at, joined_late=True))
        leg = Leg(unique, call.made, was.channel, called=True, began=at, rang=at)
        call.made += 1
        call.legs[unique], call.heard = leg, at
        call.alive.add(unique)
        self._call_of[unique] = linked
        was.ended = was.ended or at
        was.left = was.left or (at if was.joined else None)
        old.alive.discard(unique)
        return call, leg

    def _orphans(self, at: datetime) -> list[Told]:
        """Calls whose last channel has gone over into another one."""
        empty = [call for call in self.calls.values() if not call.alive]
        return [self._over(call, "Hangup", at) for call in empty]

    def _forget(self, unique: str) -> None:
        self._gone[unique] = None
        if len(self._gone) > MOST_GONE:
            self._gone.popitem(last=False)

    def _over(self, call: Call, event: str, at: datetime) -> Told:
        self.calls.pop(call.id, None)
        for unique in call.legs:
            if self._call_of.get(unique) == call.id:
                del self._call_of[unique]
        real = [leg for leg in call.legs.values() if leg.id == call.id or is_real(leg.channel)]
        if len(real) > MOST_LEGS:
            kept = [leg for leg in real if leg.joined or leg.id == call.id][:MOST_LEGS]
            rest = [leg for leg in real if leg not in kept]
            real = kept + rest[len(rest) - (MOST_LEGS - len(kept)) :]
        return call.told(event, at, real, over=True)

    @staticmethod
    def _tell(call: Call, event: str, at: datetime, leg: Leg) -> Told:
        legs = {each.id: each for each in (call.legs.get(call.id), leg) if each}
        return call.told(event, at, legs.values())

    # --- Events

    def _new_channel(self, message: Message, at: datetime) -> list[Told]:
        found = self._leg(message, at)
        if not found:
            return []
        call, leg = found
        leg.exten, leg.context = message["exten"][:LONGEST], message["context"][:LONGEST]
        leg.state = message["channelstatedesc"] or leg.state
        if leg.id != call.id:
            return []
        call.joined_late = False
        return [] if ids.command_of(leg.id) else [self._tell(call, message.event, at, leg)]

    def _variable(self, message: Message, at: datetime) -> list[Told]:
        name, value = message["variable"].lstrip("_"), message["value"][:1000]
        call = self.calls.get(self._call_of.get(message["uniqueid"], ""))
        if call is None or not value:
            return []
        if name == "MIXMONITOR_FILENAME":
            call.recording = value
        elif name == ids.WANTED:
            return self._wants(call, value, message, at)
        elif name == "EXTTOCALL":
            call.ext_to_call = value
        elif name == "FROM_DID" and not call.did:
            call.did = value
            first = call.legs.get(call.id)
            if first and first.exten != value:
                return [self._tell(call, message.event, at, first)]
        return []

    def _wants(self, call: Call, number: str, message: Message, at: datetime) -> list[Told]:
        """Whom a call of our making is for; only then it is told of."""
        first = call.legs.get(call.id)
        if call.wanted or first is None or not ids.command_of(call.id):
            return []
        call.wanted = number[:LONGEST]
        return [self._tell(call, message.event, at, first)]

    def _dial_begins(self, message: Message, at: datetime) -> list[Told]:
        found = self._leg(message, at, "dest")
        if not found:
            return []
        call, leg = found
        leg.dialled, leg.called = message["dialstring"][:LONGEST], True
        leg.shown = message["calleridnum"][:LONGEST]
        leg.rang = leg.rang or at
        if leg.id == call.id:  # what we show the employee is the client's number
            return self._wants(call, message["destcalleridnum"], message, at)
        return [self._tell(call, message.event, at, leg)] if is_real(leg.channel) else []

    def _dial_ends(self, message: Message, at: datetime) -> list[Told]:
        if found := self._leg(message, at, "dest"):
            found[1].status = message["dialstatus"]
            found[1].forward = message["forward"][:LONGEST]
        return []

    def _bridge_entered(self, message: Message, at: datetime) -> list[Told]:
        found = self._leg(message, at)
        if not found:
            return []
        call, leg = found
        first_time, leg.joined, leg.left = leg.joined is None, leg.joined or at, None
        told = first_time and leg.called and leg.id != call.id and is_real(leg.channel)
        return ([self._tell(call, message.event, at, leg)] if told else []) + self._orphans(at)

    def _bridge_left(self, message: Message, at: datetime) -> list[Told]:
        if found := self._leg(message, at):
            found[1].left = at
        return self._orphans(at)

    def _hung_up(self, message: Message, at: datetime) -> list[Told]:
        if message["uniqueid"] not in self._call_of:
            return []
        found = self._leg(message, at)
        if not found:
            return []
        call, leg = found
        leg.ended, leg.cause = at, message["cause"]
        leg.left = leg.left or (at if leg.joined else None)
        call.alive.discard(leg.id)
        self._forget(leg.id)
        if not call.alive:
            return [self._over(call, message.event, at)]
        told = is_real(leg.channel) and (leg.called or leg.id == call.id)
        return ([self._tell(call, message.event, at, leg)] if told else []) + self._orphans(at)

    def _hangup_requested(self, message: Message, at: datetime) -> list[Told]:
        if message["uniqueid"] in self._call_of and (found := self._leg(message, at)) and is_real(found[1].channel):
            found[0].hung_up_by = found[0].hung_up_by or found[1].id
        return []

    def _queue_joined(self, message: Message, at: datetime) -> list[Told]:
        if found := self._leg(message, at):
            found[0].queue = message["queue"][:LONGEST]
        return []

    def _originated(self, message: Message, at: datetime) -> list[Told]:
        """Success says only that the employee has picked up. A failure of which there is a call is told as its end."""
        if call := self.calls.get(self._call_of.get(message["uniqueid"], "")):
            call.wanted = call.wanted or message["exten"][:LONGEST]
            return []
        gone = message["uniqueid"] in self._gone
        if gone or message["response"].lower() != "failure" or not message["actionid"]:
            return []
        answer = {"action": message["actionid"][:LONGEST], "reason": message["reason"][:20]}
        return [{"event": message.event, "at": _plain(at), **answer}]

    # --- What goes on when we come

    def see(
        self,
        listed: Iterable[Message],
        at: datetime,
        variables: Mapping[str, Variables] | None = None,
        since: datetime | None = None,
    ) -> list[Told]:
        """All channels there are (`CoreShowChannel`), and what the variables of calls' first channels say, by their
        Uniqueid. What we knew and is not there any more has ended unheard, unless it was heard of after `since`."""
        listed, at = list(listed), at + self._ahead
        since = since + self._ahead if since else None
        self._miss({message["uniqueid"] for message in listed}, at, since or at - SILENCE)
        changed: dict[str, Call] = {}
        for message in listed:
            new = message["uniqueid"] not in self._call_of
            if (found := self._leg(message, at)) and self._note_seen(found[1], message, at, new):
                changed[found[0].id] = found[0]
        for call in changed.values():
            self._note_variables(call, (variables or {}).get(call.id, {}), at)
        return [
            call.told("CoreShowChannels", at, (leg for leg in call.legs.values() if is_real(leg.channel)))
            for call in changed.values()
        ]

    def _miss(self, there: set[str], at: datetime, since: datetime) -> None:
        for call in [call for call in self.calls.values() if call.heard <= since and not call.alive <= there]:
            for unique in call.alive - there:
                leg = call.legs[unique]
                leg.ended = leg.ended or at
                leg.left = leg.left or (at if leg.joined else None)
            call.alive &= there
            call.joined_late = True
            if not call.alive:
                self._over(call, "", at)

    @staticmethod
    def _note_seen(leg: Leg, message: Message, at: datetime, new: bool) -> bool:
        """Whether that told us something."""
        talks = bool(message["bridgeid"]) and leg.joined is None
        if new:
            leg.began = at - _duration(message["duration"])
            leg.called = "(outgoing line)" in message["applicationdata"].lower()
            leg.rang = leg.began if leg.called else None
        if talks:
            leg.joined = leg.began if new else at
        return new or talks

    @staticmethod
    def _note_variables(call: Call, said: Variables, at: datetime) -> None:
        """`EPOCH` is the PBX's clock. Who talks has done so since the PBX answered at the earliest."""
        call.did = call.did or said.get("FROM_DID", "")
        call.recording = call.recording or said.get("MIXMONITOR_FILENAME", "")
        clock, answered = (_seconds(said.get(name, "")) for name in ("EPOCH", "CDR(answer,u)"))
        if not clock or not answered:
            return
        since = at - timedelta(seconds=max(0.0, clock - answered))
        for leg in call.legs.values():
            # Durations are told in whole seconds.
            leg.joined = max(leg.joined - timedelta(seconds=1), since) if leg.joined else None


def _duration(text: str) -> timedelta:
    """`00:01:30`."""
    parts = text.split(":")
    if len(parts) != 3 or not all(part.isdecimal() and len(part) < 6 for part in parts):
        return timedelta()
    hours, minutes, seconds = map(int, parts)
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 < value < 7e9 else 0.0


_HANDLERS = {
    "Newchannel": Reader._new_channel,
    "VarSet": Reader._variable,
    "DialBegin": Reader._dial_begins,
    "DialEnd": Reader._dial_ends,
    "BridgeEnter": Reader._bridge_entered,
    "BridgeLeave": Reader._bridge_left,
    "Hangup": Reader._hung_up,
    "HangupRequest": Reader._hangup_requested,
    "QueueCallerJoin": Reader._queue_joined,
    "OriginateResponse": Reader._originated,
}
