"""What is played in a test call: its kind, its people, and what its events say. Pure."""

from __future__ import annotations

import enum
import secrets
from collections.abc import Mapping
from datetime import datetime

import phonenumbers
from pydantic import BaseModel

from .providers.base import (
    Direction,
    Fact,
    Leg,
    LegState,
    Outcome,
    Party,
    Played,
    RecordingFact,
    RecordingState,
    Summary,
)

SECONDS: Mapping[LegState, int] = {LegState.RINGING: 4, LegState.TALKING: 6}
"""How long a stage lasts."""


class Kind(enum.StrEnum):
    IN_ANSWERED = "in_answered"
    IN_MISSED = "in_missed"
    IN_BUSY = "in_busy"
    OUT_ANSWERED = "out_answered"
    OUT_NO_ANSWER = "out_no_answer"

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.partition("_")[2])

    @property
    def direction(self) -> Direction:
        return Direction(self.partition("_")[0])


class Script(BaseModel):
    """A test call. It is the body of each of its events; `stage` says which of them. Numbers are E.164.

    `call` is the key that the call has in place of the vendor's.
    """

    call: str
    kind: Kind
    client: str
    line: str = ""
    extension: str = ""
    recorded: bool = False
    stage: int = 0

    @property
    def body(self) -> bytes:
        return self.model_dump_json().encode()

    @property
    def states(self) -> tuple[LegState, ...]:
        talk = (LegState.TALKING,) if self.kind.outcome is Outcome.ANSWERED else ()
        return (LegState.RINGING, *talk, LegState.ENDED)

    @property
    def state(self) -> LegState:
        return self.states[self.stage]

    @property
    def following(self) -> Script | None:
        """The next stage; None when this one ends the call."""
        return None if self.state is LegState.ENDED else self.model_copy(update={"stage": self.stage + 1})

    @property
    def seconds(self) -> int:
        """How long this stage lasts."""
        return SECONDS.get(self.state, 0)

    def facts(self, at: datetime) -> list[Fact]:
        """What this stage says; it began `at`."""
        return [Played(call=self.call, at=at), self._leg(at), *(self._end(at) if self.state is LegState.ENDED else ())]

    def _leg(self, at: datetime) -> Leg:
        client, employee = Party(number=self.client), Party(extension=self.extension)
        incoming = self.kind.direction is Direction.IN
        return Leg(
            call=self.call,
            at=at,
            leg="test",
            seq=self.stage + 1,
            state=self.state,
            caller=client if incoming else employee,
            callee=employee if incoming else client,
            virtual_number=self.line,
            direction=self.kind.direction,
            why=self.kind.outcome if self.state is LegState.ENDED else None,
        )

    def _end(self, at: datetime) -> list[Fact]:
        end = Summary(call=self.call, at=at, direction=self.kind.direction, outcome=self.kind.outcome)
        if not self.recorded or self.kind.outcome is not Outcome.ANSWERED:
            return [end]
        ready = RecordingState.READY
        return [end, RecordingFact(call=self.call, at=at, recording="test", state=ready, extension=self.extension)]


# --- Numbers that nobody has ------------------------------------------------------------------------------------------

FOR_FICTION: Mapping[str, tuple[str, range]] = {
    "US": ("+120255501{:02}", range(100)),
    "CA": ("+161355501{:02}", range(100)),
    "GB": ("+447700900{:03}", range(1000)),
    "FR": ("+3363998{:04}", range(10_000)),
}
"""Numbers that a country keeps free for films and books."""


def fictional_number(region: str) -> str:
    """A number of the region (E.164) that cannot be dialled, most likely another one each time.

    One that the country keeps free for fiction, where it is known to do so; else one as long as the region's numbers
    are, with a code that its numbering plan gives to nobody.
    """
    if region in FOR_FICTION:
        text, choice = FOR_FICTION[region]
        return text.format(secrets.choice(choice))
    example = phonenumbers.example_number(region) or phonenumbers.PhoneNumber(7, 9_120_000_000)
    length = len(phonenumbers.national_significant_number(example))
    tail = f"{secrets.randbelow(10_000):04}".rjust(length, "0")
    numbers = (f"+{example.country_code}{code % 1000:03}{tail[3:]}" for code in range(500, 1500))
    return next(number for number in numbers if _is_nobodys(number))


def _is_nobodys(number: str) -> bool:
    parsed = phonenumbers.parse(number)
    again = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return again == number and phonenumbers.is_possible_number(parsed) and not phonenumbers.is_valid_number(parsed)
