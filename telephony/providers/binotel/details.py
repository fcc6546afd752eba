"""Binotel's unified call structure: it comes after each call, and is what the statistics answer with.

Of the attempts within a call it tells how long each rang and was talked, and only of the whole call when it began.
Source: the fields of public clients, and a real body of API CALL COMPLETED; the order of attempts is inferred.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from telephony.providers.base import NO_TIME, Direction, HistoryLeg, Outcome, Party
from telephony.providers.values import EmptyObject, Id, MaybeInteger, Model, Text, Timestamp

from . import phones

_LONGEST = 24 * 3600
_DIRECTIONS = {"0": Direction.IN, "1": Direction.OUT}
_ANSWERED = {"ANSWER", "ANSWERED", "SUCCESS"}
_PASSED_ON = {"TRANSFER", ""}
_UNANSWERED = {"NOANSWER", "NO ANSWER", "CANCEL", "VM", "VM-SUCCESS", "TRANSFER", ""}
_GOING_ON = {"ONLINE", "CALLING"}
_NO_ANSWER = {Direction.IN: Outcome.MISSED, Direction.OUT: Outcome.NO_ANSWER}


def rows(value: Any) -> Any:
    """A list that may come as an object of its places or keys; an empty one may be a text."""
    return list(value.values()) if isinstance(value, dict) else value or []


def direction(call_type: str) -> Direction | None:
    return _DIRECTIONS.get(call_type)


class Attempt(Model):
    """What was tried to reach somebody."""

    wait: MaybeInteger = Field(None, alias="waitsec")
    bill: MaybeInteger = Field(None, alias="billsec")
    disposition: Text = ""
    extension: Text = Field("", alias="internalNumber")

    @property
    def waited(self) -> int:
        return min(max(0, self.wait or 0), _LONGEST)

    @property
    def billed(self) -> int:
        """Seconds of conversation, or of the message that was left (VM-SUCCESS)."""
        return min(max(0, self.bill or 0), _LONGEST)

    @property
    def talked(self) -> bool:
        return self.disposition in _ANSWERED or (self.disposition in _PASSED_ON and self.billed > 0)

    @property
    def goes_on(self) -> bool:
        return self.disposition in _GOING_ON

    @property
    def is_message(self) -> bool:
        """An SMS, which is told in the same form."""
        return self.disposition.startswith("SMS-")

    def outcome(self, direction: Direction | None) -> Outcome | None:
        """What it came to; None for an unanswered call of which nobody says who called whom. CONGESTION, CHANUNAVAIL,
        FAILED and words that we do not know are failures."""
        if self.talked:
            return Outcome.ANSWERED
        if self.disposition in _UNANSWERED:
            return _NO_ANSWER[direction] if direction else None
        return Outcome.BUSY if self.disposition == "BUSY" else Outcome.FAILED


class _Line(Model):
    number: Text = ""
    name: Text = ""


class Details(Attempt):
    """A call; as an attempt it is the whole of them."""

    call_id: Id = Field(alias="generalCallID")
    company: Text = Field("", alias="companyID")
    started_at: Timestamp = Field(NO_TIME, alias="startTime")
    call_type: Text = Field("", alias="callType")
    external: Text = Field("", alias="externalNumber")
    line: Annotated[_Line, EmptyObject] = Field(_Line(), alias="pbxNumberData")
    recording_status: Text = Field("", alias="recordingStatus")
    history: Annotated[list[Attempt], BeforeValidator(rows)] = Field([], alias="historyData")

    @property
    def direction(self) -> Direction | None:
        return direction(self.call_type)

    @property
    def client(self) -> Party:
        return phones.party(self.external)

    @property
    def virtual_number(self) -> str:
        return phones.read(self.line.number)

    @property
    def recordings(self) -> tuple[str, ...]:
        """Of other states than this one the documentation is silent."""
        return (self.call_id,) if self.recording_status == "uploaded" else ()

    @property
    def attempts(self) -> list[Attempt]:
        """One after the other. Where they contradict the whole, the whole counts."""
        agree = any(attempt.talked for attempt in self.history) is self.talked
        return self.history if self.history and agree else [self]

    def legs(self) -> tuple[HistoryLeg, ...]:
        """The attempts, each from where the one before it ended; none where the beginning is not told.

        Together they ring no longer than the whole call did, and after the first conversation they ring within it: so
        the conversation is as long as Binotel says.
        """
        if self.started_at == NO_TIME:
            return ()
        found: list[HistoryLeg] = []
        at, talked = self.started_at, False
        rung_out = at + timedelta(seconds=self.waited or sum(attempt.waited for attempt in self.attempts))
        for attempt in self.attempts:
            rings = timedelta(seconds=0 if talked else attempt.waited)
            reached = max(at, min(at + rings, rung_out))
            end = reached + timedelta(seconds=attempt.billed)
            found.append(self._leg(attempt, at, reached, end))
            at, talked = end, talked or attempt.talked
        if self.goes_on:
            found[-1] = replace(found[-1], ended_at=None)
        spoken = max((place for place, leg in enumerate(found) if leg.answered_at), default=len(found) - 1)
        found[spoken] = replace(found[spoken], recordings=self.recordings)
        return tuple(found)

    def _leg(self, attempt: Attempt, began: datetime, reached: datetime, end: datetime) -> HistoryLeg:
        employee = Party(extension=attempt.extension)
        dialled = self.direction is Direction.OUT
        return HistoryLeg(
            call=self.call_id,
            direction=self.direction,
            caller=employee if dialled else self.client,
            callee=self.client if dialled else employee,
            virtual_number=self.virtual_number,
            started_at=began,
            answered_at=reached if attempt.talked else None,
            ended_at=end,
            why=(attempt if self.talked else self).outcome(self.direction),
        )
