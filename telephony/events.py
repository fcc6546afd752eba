"""Stored events and what they say: from a row of the inbox to facts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

import structlog
from pydantic import BaseModel

from employees import installation

from . import clocks, directory
from .bodies import storable
from .directory import Known
from .models import Connection, InboxEvent
from .providers.base import (
    AT_RECEIPT,
    CallHistory,
    Closed,
    Fact,
    HistoryLeg,
    Leg,
    NotUnderstood,
    Parsed,
    RecordingFact,
    RecordingState,
    Request,
)
from .scripts import Script

log = structlog.get_logger(__name__)

OURS = "_callbridge/"
"""What the paths of events begin with that we write ourselves: nobody may send us such a one."""
CLOSE_PATH = f"{OURS}close"
"""The path of events that we write ourselves when a call's end never came."""
HISTORY_PATH = f"{OURS}history"
"""The path of events that we write ourselves of calls that the PBX's history told us."""


ANSWER_PATH = f"{OURS}answer"
"""The path of events that we write ourselves when we have answered a PBX's question."""
TRIAL_PATH = f"{OURS}trial"
"""The path of events that we write ourselves of calls that we play (`scripts.Script` is their body)."""


class AnswerGiven(BaseModel):
    """The body of an event at `ANSWER_PATH`: what was decided about a call while the PBX waited (`models.Decision`).

    `call` is the PBX's id of it; `client` the id of the client that it was recognised as coming from.
    """

    call: str
    code: str
    details: dict[str, Any] = {}
    milliseconds: int
    client: int | None = None


class ToldByHistory(BaseModel):
    """The body of an event at `HISTORY_PATH`: the legs of one call. What was told again has the same body."""

    call: str
    legs: tuple[HistoryLeg, ...]
    journal_only: bool = False

    @property
    def body(self) -> bytes:
        return self.model_dump_json().encode()

    def facts(self, at: datetime) -> list[Fact]:
        """`at`: when the history was asked."""
        ready = [
            RecordingFact(
                call=self.call,
                at=at,
                recording=recording,
                state=RecordingState.READY,
                extension=leg.callee.extension or leg.caller.extension,
                url=url,
            )
            for leg in self.legs
            for recording, url in zip_longest(leg.recordings, leg.links[: len(leg.recordings)], fillvalue="")
        ]
        return [CallHistory(call=self.call, at=at, legs=self.legs, journal_only=self.journal_only), *ready]


def close_event(connection_id: int, call: str, why: str, at: datetime) -> InboxEvent:
    """`why`: a code of `words.CLOSED`, and what else is to be shown after a colon."""
    return InboxEvent(connection_id=connection_id, received_at=at, path=CLOSE_PATH, body=f"{call}\n{why}".encode())


def history_event(connection_id: int, told: ToldByHistory, at: datetime) -> InboxEvent:
    return InboxEvent(connection_id=connection_id, received_at=at, path=HISTORY_PATH, body=told.body)


def answer_event(connection_id: int, given: AnswerGiven, at: datetime) -> InboxEvent:
    body = given.model_dump_json().encode()
    return InboxEvent(connection_id=connection_id, received_at=at, path=ANSWER_PATH, body=body)


def trial_event(connection_id: int, script: Script, at: datetime) -> InboxEvent:
    return InboxEvent(connection_id=connection_id, received_at=at, path=TRIAL_PATH, body=script.body)


def script_of(event: InboxEvent) -> Script:
    return Script.model_validate_json(bytes(event.body))


def answer_of(event: InboxEvent) -> AnswerGiven:
    return AnswerGiven.model_validate_json(bytes(event.body))


def request_of(event: InboxEvent) -> Request:
    return Request("POST", event.path, bytes(event.body), event.query, event.headers, event.remote)


def parse(event: InboxEvent) -> list[Parsed | AnswerGiven]:
    """What an event says; an event that is not understood is marked as that, with the reason."""
    try:
        known = directory.by_id(event.connection_id)
        parsed = _ours(event) or known.provider.parse(request_of(event), known.secrets)
    except NotUnderstood as error:
        event.state, event.error = InboxEvent.State.FAILED, storable(str(error))
        return []
    except Exception as error:
        log.exception("event not understood", inbox_event=event.id)
        event.state, event.error = InboxEvent.State.FAILED, storable(f"{type(error).__name__}: {error}")
        return []
    event.state, event.error = InboxEvent.State.FOLDED, ""
    _recognise_clock(known, event, parsed)
    return [_made_possible(event, item) if isinstance(item, Fact) else item for item in parsed]


def _made_possible(event: InboxEvent, fact: Fact) -> Fact:
    if event.path.startswith(OURS):
        return fact
    shift = timedelta(seconds=directory.by_id(event.connection_id).clock_shift or 0)
    made = clocks.made_possible(fact, event.received_at + shift)
    if made != fact and fact.at != AT_RECEIPT:
        event.impossible_time = fact.at
    return made


def _ours(event: InboxEvent) -> list[Parsed | AnswerGiven]:
    """What an event that we wrote ourselves says; nothing of another's."""
    if event.path == CLOSE_PATH:
        call, why = bytes(event.body).decode().split("\n", 1)
        return [Closed(call=call, at=event.received_at, why=why)]
    if event.path == ANSWER_PATH:
        return [answer_of(event)]
    if event.path == HISTORY_PATH:
        return [*ToldByHistory.model_validate_json(bytes(event.body)).facts(event.received_at)]
    if event.path == TRIAL_PATH:
        shift = timedelta(seconds=directory.by_id(event.connection_id).clock_shift or 0)
        return [*script_of(event).facts(event.received_at + shift)]  # by the vendor's clock, as all facts are
    return []


def _recognise_clock(known: Known, event: InboxEvent, parsed: Sequence[Parsed | AnswerGiven]) -> None:
    """A vendor whose clock may be ahead by a known amount: the first live event tells."""
    if known.clock_shift is not None or not known.provider.clock_shifts or event.path.startswith(OURS):
        return
    ahead = max(
        ((item.at - event.received_at).total_seconds() for item in parsed if isinstance(item, Leg)), default=None
    )
    if ahead is None:
        return
    for shift in (0, *known.provider.clock_shifts):
        if abs(ahead - shift) < 300:
            Connection.objects.filter(pk=known.id).update(clock_shift=shift)
            installation.changed()
            directory.refresh()
