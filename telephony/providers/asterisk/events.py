"""What the reader told of a call, and the facts that it states.

The first channel says which way a call goes: a trunk calls us, a phone dials, and what was made by an Originate begins
with a phone that is called. Who was called and came together with somebody has talked: not who answered a menu or a
queue. An outgoing call is one share of whoever dialled, however many trunks were tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from pydantic import Field, ValidationError

from telephony.providers.base import (
    CommandResult,
    Direction,
    Leg,
    LegState,
    NotUnderstood,
    Outcome,
    Parsed,
    Party,
    Place,
    RecordingFact,
    RecordingState,
    Summary,
)
from telephony.providers.values import Id, Integer, Model, Text, faults

from . import ids
from .channels import Kind, Plan

_NUMBER = re.compile(r"\+?[0-9*#]{3,32}")
_HIDDEN = {"anonymous", "unknown", "restricted", "private", "unavailable", "withheld", "asterisk", "s"}
_BUSY, _REJECTED = {"17"}, {"21"}
_FAILED = {"1", "3", "20", "27", "28", "34", "38", "41", "42", "44", "50", "58", "127"}
_REASONS = {
    "0": "no such channel, or refused",
    "1": "hung up",
    "3": "the employee's phone rang without an answer",
    "5": "the employee's phone is busy",
    "8": "congestion: the employee's phone cannot be reached",
}
# The states of an outgoing call's one leg: dialled, each trunk that was tried, talking, over.
_TALKS, _ENDS = 1000, 2000


class _Leg(Model):
    """As `reader.Leg` is told."""

    id: Id
    place: Annotated[Integer, Field(ge=0, lt=900)] = 0
    channel: Text = ""
    number: Text = ""
    exten: Text = ""
    state: Text = ""
    dialled: Text = ""
    called: bool = False
    began: datetime | None = None
    rang: datetime | None = None
    joined: datetime | None = None
    left: datetime | None = None
    ended: datetime | None = None
    cause: Text = ""
    status: Text = ""
    forward: Text = ""
    shown: Text = ""

    @property
    def stopped(self) -> datetime | None:
        """When whoever talked here stopped."""
        return self.left or self.ended

    @property
    def why(self) -> Outcome | None:
        """What became of a leg at which nobody talked."""
        if self.joined:
            return None
        if self.status == "CANCEL":
            return Outcome.CANCELLED
        if self.status == "BUSY" or self.cause in _BUSY:
            return Outcome.BUSY
        if self.cause in _REJECTED:
            return Outcome.REJECTED
        if self.status in ("CONGESTION", "CHANUNAVAIL") or (self.status != "NOANSWER" and self.cause in _FAILED):
            return Outcome.FAILED
        return Outcome.NO_ANSWER


class _Call(Model):
    """As `reader.Call` is told."""

    event: Text
    at: datetime
    call: Id
    did: Text = ""
    ext_to_call: Text = ""
    recording: Text = ""
    wanted: Text = ""
    joined_late: bool = False
    over: bool = False
    legs: list[_Leg]


class _Answer(Model):
    """A request of ours to dial has failed."""

    at: datetime
    action: Id
    reason: Text = ""


def read(told: dict[str, object], plan: Plan) -> list[Parsed]:
    """Raises `NotUnderstood`."""
    try:
        if told.get("event") == "OriginateResponse":
            return _result(_Answer.model_validate(told))
        return [*_Facts(_Call.model_validate(told), plan)]
    except ValidationError as error:
        raise NotUnderstood(faults(error)) from error


def _result(answer: _Answer) -> list[Parsed]:
    if not (command := ids.command_of(answer.action)):
        return []
    words = _REASONS.get(answer.reason, f"reason {answer.reason}")
    return [CommandResult(command=command, ok=False, code=f"originate_{answer.reason}", words=words)]


class _Facts:
    """The facts of a call, as far as it is told."""

    def __init__(self, call: _Call, plan: Plan):
        self.call, self.plan = call, plan
        self.first = next((leg for leg in call.legs if leg.id == call.call), None)
        self.others = [leg for leg in call.legs if leg is not self.first and leg.called]
        self.trunks = [leg for leg in self.others if plan.kind(leg.channel) is Kind.TRUNK]
        self.phones = [leg for leg in self.others if plan.kind(leg.channel) is Kind.PHONE]
        self.originated = bool(self.first and self.first.state == "Down")
        self.direction = self._direction()

    def __iter__(self) -> Iterator[Parsed]:
        if self.direction is Direction.IN:
            yield from self._incoming()
        elif self.direction is Direction.OUT:
            yield from self._outgoing()
        else:
            yield from self._internal()
        yield from self._recordings()
        if self.call.over and self._known_whole:
            yield self._summary()

    # --- Who and whereto

    def _direction(self) -> Direction:
        first, plan = self.first, self.plan
        if first is None:  # it went on already when we came, and its first channel was gone
            return Direction.IN if any(not leg.called for leg in self._outside) else Direction.INTERNAL
        if plan.kind(first.channel) is Kind.TRUNK:
            return Direction.OUT if first.called else Direction.IN
        if self.originated:
            return Direction.INTERNAL if plan.is_extension(self.call.wanted) and not self.trunks else Direction.OUT
        if plan.is_extension(first.exten):
            return Direction.INTERNAL
        return Direction.OUT if self.trunks or number_of(first.exten) else Direction.INTERNAL

    @property
    def _outside(self) -> list[_Leg]:
        return [leg for leg in self.call.legs if self.plan.kind(leg.channel) is Kind.TRUNK]

    @property
    def _dialler(self) -> str:
        """Who dialled an outgoing or internal call."""
        if self.first is None:
            return ""
        return self.plan.extension(self.first.channel)

    @property
    def _client(self) -> str:
        """What was dialled on a trunk is the only reliable number of an outgoing call."""
        if self.direction is Direction.IN:
            caller = self.first or next((leg for leg in self._outside if not leg.called), None)
            return number_of(caller.number) if caller else ""
        if self.direction is Direction.INTERNAL:
            return ""
        dialled = next((number for leg in self._outside if (number := number_in(leg.dialled))), "")
        return dialled or number_of(self.call.wanted) or number_of(self.first.exten if self.first else "")

    @property
    def _line(self) -> str:
        """The company's number: whom the client called, or what he is shown."""
        if self.direction is Direction.IN:
            return number_of(self.call.did) or number_of(self.first.exten if self.first else "")
        return ""

    # --- Legs

    def _fact(self, leg: str, seq: int, state: LegState, at: datetime, **more: object) -> Leg:
        return Leg(call=self.call.call, at=at, leg=leg, seq=seq, state=state, **more)  # type: ignore[arg-type]

    def _incoming(self) -> Iterator[Parsed]:
        client = Party(number=self._client)
        if self.first:
            yield from self._waiting(self.first, client)
        for leg in self.phones:
            yield from self._called(leg, client, Party(extension=self.plan.extension(leg.channel)))
        for leg in self.trunks:
            yield from self._called(leg, client, Party(number=number_in(leg.dialled)))

    def _waiting(self, first: _Leg, client: Party) -> Iterator[Parsed]:
        """The client in a greeting, a menu or a queue, until he is with somebody."""
        more = {"place": Place.MENU, "caller": client, "direction": Direction.IN}
        began = first.began or self.call.at
        if self.call.did and number_of(self.call.did) != number_of(first.exten):
            yield self._fact(first.id, 0, LegState.RINGING, began, virtual_number=self._line, **more)
        yield self._fact(first.id, 1, LegState.RINGING, began, virtual_number=number_of(first.exten), **more)
        joined = [leg.joined for leg in self.others if leg.joined]
        if end := min([*joined, *([first.ended] if first.ended else [])], default=None):
            yield self._fact(first.id, 2, LegState.ENDED, end, **more)

    def _called(self, leg: _Leg, caller: Party, callee: Party) -> Iterator[Parsed]:
        sides = {"caller": caller, "callee": callee, "virtual_number": self._line}
        if leg.rang:
            yield self._fact(leg.id, 1, LegState.RINGING, leg.rang, **sides)
        if leg.joined:
            yield self._fact(leg.id, 2, LegState.TALKING, leg.joined, **sides)
        if leg.ended:
            why = Outcome.MISSED if leg.why in (Outcome.NO_ANSWER, Outcome.CANCELLED) else leg.why
            yield self._fact(leg.id, 3, LegState.ENDED, leg.stopped or leg.ended, why=why, **sides)

    def _outgoing(self) -> Iterator[Parsed]:
        """One leg of whoever dialled, from when the number is known that a trunk was asked for.

        He may hand the client on: then others are called as if the client called.
        """
        client, dialler = Party(number=self._client), Party(extension=self._dialler)
        yield from self._dialled(dialler, client)
        for leg in self.phones:
            extension = self.plan.extension(leg.channel)
            if extension != dialler.extension:
                yield from self._called(leg, client, Party(extension=extension))

    def _dialled(self, dialler: Party, client: Party) -> Iterator[Parsed]:
        call, first = self.call, self.first
        command = ids.command_of(call.call)
        if self.originated:
            began = (first.began if first else None) or call.at
            click = {
                "caller": client,
                "callee": dialler,
                "callback": True,
                "command": command,
                "direction": Direction.OUT,
            }
            yield self._fact(call.call, 1, LegState.RINGING, began, **click)
        sides = {"caller": dialler, "callee": client, "command": command, "virtual_number": self._shown}
        sides["direction"] = Direction.OUT
        for leg in self.trunks:
            if leg.rang:
                yield self._fact(call.call, 2 + leg.place, LegState.RINGING, leg.rang, **sides)
        talks = [leg for leg in self.trunks if leg.joined]
        for leg in talks[:1]:
            yield self._fact(call.call, _TALKS, LegState.TALKING, leg.joined or call.at, **sides)
        ends = [leg.stopped for leg in talks if leg.stopped] + ([first.ended] if first and first.ended else [])
        if ends and (self.trunks or self.originated):
            why = None if talks else self._outcome
            yield self._fact(call.call, _ENDS, LegState.ENDED, min(ends), why=why, **sides)

    @property
    def _shown(self) -> str:
        """The company's number that the client sees, where the dialplan has set one."""
        shown = (number_of(leg.shown) for leg in self.trunks if not self.plan.is_extension(leg.shown))
        return next((number for number in shown if number and number != self._client), "")

    def _internal(self) -> Iterator[Parsed]:
        for leg in self.phones:
            extension = self.plan.extension(leg.channel)
            if extension != self._dialler:
                yield from self._called(leg, Party(extension=self._dialler), Party(extension=extension))

    # --- The end

    @property
    def _talkers(self) -> list[_Leg]:
        """Who talked, one after the other: with the client, or with a colleague."""
        if self.direction is Direction.OUT:
            return [leg for leg in self.others if leg.joined and (leg in self.trunks or not self._is_dialler(leg))]
        return sorted((leg for leg in self.others if leg.joined), key=lambda leg: (leg.joined, leg.place))

    def _is_dialler(self, leg: _Leg) -> bool:
        return self.plan.extension(leg.channel) == self._dialler

    @property
    def _outcome(self) -> Outcome:
        if self._talkers:
            return Outcome.ANSWERED
        reasons = [leg.why for leg in (self.trunks if self.direction is Direction.OUT else self.phones)]
        if Outcome.BUSY in reasons:
            return Outcome.BUSY
        if self.direction is not Direction.OUT:
            return Outcome.MISSED
        if not self.trunks:
            return Outcome.FAILED
        return reasons[-1] or Outcome.NO_ANSWER

    @property
    def _known_whole(self) -> bool:
        """Of a call that we came late to, only that somebody talked is sure: whether somebody did before is not."""
        if self.direction is Direction.INTERNAL and not self.phones:
            return False  # a feature code, a conference, a mailbox: nobody was called
        return bool(self.first and not self.call.joined_late) or bool(self._talkers)

    def _summary(self) -> Summary:
        talkers, outcome = self._talkers, self._outcome
        answered = min((leg.joined for leg in talkers if leg.joined), default=None)
        stopped = max((leg.stopped or self.call.at for leg in talkers), default=None)
        talk = round((stopped - answered).total_seconds()) if answered and stopped else 0
        whole = not self.call.joined_late
        return Summary(
            call=self.call.call,
            at=self.call.at,
            direction=self.direction,
            client_number=self._client,
            extension=self._responsible,
            started_at=self.first.began if self.first and whole else None,
            virtual_number=self._line or (self._shown if self.direction is Direction.OUT else ""),
            answered_at=answered if whole else None,
            outcome=outcome,
            talk_seconds=talk if whole or outcome is not Outcome.ANSWERED else None,
        )

    @property
    def _responsible(self) -> str:
        """Who dialled; who talked last; the only one who rang; whom the PBX wanted to call."""
        if self.direction is not Direction.IN:
            return self._dialler
        talked = [extension for leg in self._talkers if (extension := self.plan.extension(leg.channel))]
        rang = {self.plan.extension(leg.channel) for leg in self.phones}
        if talked:
            return talked[-1]
        if self._talkers:
            return self._forwarder
        return rang.pop() if len(rang) == 1 else self.call.ext_to_call if not rang else ""

    @property
    def _forwarder(self) -> str:
        """Whose phone sent the call on to a number outside."""
        sent = [self.plan.extension(leg.channel) for leg in self.phones if leg.forward]
        return sent[-1] if sent else self.call.ext_to_call

    def _recordings(self) -> Iterator[Parsed]:
        """A file is announced before anybody answers, and also of calls that nobody does: then there is nothing in it.
        It is whole when the call is over."""
        if self.call.recording and self._talkers:
            state = RecordingState.READY if self.call.over else RecordingState.ANNOUNCED
            path = self.call.recording
            name = path.rpartition("/")[2][-200:]
            yield RecordingFact(call=self.call.call, at=self.call.at, recording=name, state=state, url=path)


def number_of(text: str) -> str:
    """A number as it may be dialled; words stand for a hidden one."""
    text = text.strip()
    return text if text.lower() not in _HIDDEN and _NUMBER.fullmatch(text) else ""


def number_in(text: str) -> str:
    """The number in what was dialled on a trunk: `7900…@provider`, `provider/7900…`, `Local/…`."""
    parts = [part.partition("@")[0] for part in re.split(r"[/,&]", text)]
    numbers = [number for part in parts if (number := number_of(part.rpartition(":")[2]))]
    return max(numbers, key=len, default="")
