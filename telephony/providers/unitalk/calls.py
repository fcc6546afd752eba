"""A call as UniTalk writes it, in its events and in its history.

Source: the vendor's "Event handling" and answers of its history, as public clients quote them. Where the numbers of an
outgoing call stand is known of the history alone, so an internal line is told from a number by its length.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from telephony.providers.base import Direction, Outcome
from telephony.providers.values import MaybeInteger, Model, Text

_LINE = re.compile(r"[0-9]{1,8}")
_NUMBER = re.compile(r"\+?[0-9]{1,20}")
_LONGEST_LINK = 300
_DIRECTIONS = {"IN": Direction.IN, "OUT": Direction.OUT, "INNER": Direction.INTERNAL}
_OUTCOMES = {
    "ANSWER": Outcome.ANSWERED,
    "BUSY": Outcome.BUSY,
    "BUSYOUT": Outcome.BUSY,
    "NOANSWER": Outcome.MISSED,
    "UNREACHABLE": Outcome.MISSED,
    "DIALING": Outcome.MISSED,
    "FAIL": Outcome.FAILED,
    "CHANUNAVAIL": Outcome.FAILED,
    "NOMONEY": Outcome.FAILED,
    "WRONGDIR": Outcome.FAILED,
    "BLOCKED": Outcome.FAILED,
    "NOT_EXIST": Outcome.FAILED,
}


def is_line(number: str) -> bool:
    """Whether it is an employee's: those of clients are at least nine digits long."""
    return bool(_LINE.fullmatch(number))


def _direction(value: Any) -> Direction | None:
    return _DIRECTIONS.get(str(value))


def _several(value: Any) -> Any:
    if value is None or value == "":
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)


class Call(Model):
    """Which fields it has depends on where it is told. Times and seconds are as UniTalk counts them."""

    caller: Text = Field("", alias="from")
    to: Annotated[tuple[Text, ...], BeforeValidator(_several)] = ()
    outer_number: Text = Field("", alias="outerNumber")
    direction: Annotated[Direction | None, BeforeValidator(_direction)] = None
    date: Text = ""
    full_seconds: MaybeInteger = Field(None, alias="secondsFullTime")
    talk_seconds: MaybeInteger = Field(None, alias="secondsTalk")
    state: Text = ""
    link: Text = ""

    @property
    def client(self) -> str:
        """The client's number; empty where it is hidden, and in a call between employees."""
        if self.direction is Direction.INTERNAL:
            return ""
        if self.direction is Direction.IN:
            number = self.caller
        else:
            long = (number for number in (*self.to, self.caller) if number and not is_line(number))
            number = next(long, next(iter(self.to), ""))
        return number if _NUMBER.fullmatch(number) and number.strip("+0") else ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The employees who are called."""
        return tuple(filter(is_line, self.to))

    @property
    def dialler(self) -> str:
        """The employee who calls."""
        return self.caller if is_line(self.caller) else next(iter(self.lines), "")

    @property
    def mark(self) -> str:
        """What an event and the history both say of a call, and of no other: when it began, and with whom. (No public
        client has seen an id in the history.)"""
        who = self.dialler if self.direction is Direction.INTERNAL else self.client
        return f"{self.date[:19]} {who.lstrip('+')}".strip()

    @property
    def over(self) -> bool:
        return bool(self.state) or self.full_seconds is not None

    @property
    def talked(self) -> int:
        """Seconds of the conversation."""
        return max(0, self.talk_seconds or 0)

    @property
    def outcome(self) -> Outcome:
        """What the call came to. Where the state says nothing to us, the length of the conversation does."""
        outcome = _OUTCOMES.get(self.state)
        if outcome is None and self.talked:
            return Outcome.ANSWERED
        if outcome is None and self.state:
            return Outcome.FAILED
        if outcome in (None, Outcome.MISSED):
            return Outcome.MISSED if self.direction is Direction.IN else Outcome.NO_ANSWER
        return outcome

    @property
    def recordings(self) -> tuple[str, ...]:
        """A recording is known by its link: nothing else is told of it."""
        fits = self.link.startswith(("https://", "http://")) and len(self.link) <= _LONGEST_LINK
        return (self.link,) if fits else ()
