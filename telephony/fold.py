"""The reducer: all facts known of a call in, the call as it is now out.

Pure. Facts may come in any order and any number of times; the answer is the same, because each fold begins anew and
sorts by leg and the vendor's own sequence. The vendor's history of a call is its last word: where it is known, its legs
take the place of those that were told live, so nobody takes part twice.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from .providers.base import (
    Alias,
    CallHistory,
    Closed,
    Direction,
    Fact,
    HistoryLeg,
    Leg,
    LegState,
    Note,
    Outcome,
    Party,
    Place,
    Played,
    RecordingFact,
    RecordingState,
    Summary,
)

LONGEST = 24 * 3600
"""Seconds: what is said to have taken longer did not."""


class CallState(enum.StrEnum):
    RINGING = "ringing"
    ANSWERED = "answered"
    HELD = "held"
    TRANSFERRED = "transferred"
    FINISHED = "finished"


class Source(enum.StrEnum):
    """Who told us of a call: the PBX while it lived, its history afterwards, a person's import into the journal, or
    ourselves, who play it (a test call)."""

    LIVE = "live"
    HISTORY = "history"
    IMPORT = "import"
    TRIAL = "trial"


@dataclass(slots=True)
class Share:
    """An employee's share in a call. `leg` is where he is now or was last."""

    extension: str
    leg: str
    rang_at: datetime | None = None
    answered_at: datetime | None = None
    left_at: datetime | None = None
    state: LegState = LegState.RINGING
    why: Outcome | None = None


@dataclass(slots=True)
class FoldedCall:
    """A call as its facts tell it. Numbers are as the vendor writes them. Times: None where not known."""

    source: Source = Source.LIVE
    direction: Direction = Direction.IN
    state: CallState = CallState.RINGING
    client_number: str = ""
    virtual_number: str = ""
    extension: str = ""
    first_extension: str = ""
    outcome: Outcome | None = None
    started_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    talk_seconds: int = 0
    tracking_number: str = ""
    shares: list[Share] = field(default_factory=list)
    recordings: dict[str, RecordingFact] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    waiting_leg: str = ""
    """The leg in the menu or queue that can still be routed; empty when there is none."""
    live_leg: str = ""
    """The leg that carries the conversation or the ringing now: what hang up and transfer speak of."""
    legs_ended_at: datetime | None = None
    """When the last leg ended, while the vendor's summary is still missing."""


@dataclass(slots=True)
class _LegLine:
    """The states of one leg in the vendor's order."""

    states: list[Leg]

    @property
    def first(self) -> Leg:
        return self.states[0]

    @property
    def last(self) -> Leg:
        return self.states[-1]


def fold(facts: Iterable[Fact], dials: Collection[str] = (), *, sums_up: bool = True) -> FoldedCall:
    """The call that these facts tell. `dials` are ids of dial commands of ours: their calls are outgoing. Where nothing
    `sums_up` a call, it is over with its last leg."""
    facts = list(facts)
    live = _leg_lines([fact for fact in facts if isinstance(fact, Leg)])
    history = _last_history(facts)
    past = _past_lines(history) if history else []
    lines, told = past or live, past + live
    call = FoldedCall(source=_source(facts), recordings=_recordings(facts))
    callback = any(line.first.callback or line.first.command in dials for line in told)
    call.direction = _direction(lines, callback)
    call.commands = tuple(dict.fromkeys(state.command for line in live for state in line.states if state.command))
    _read_numbers(call, told, facts)
    _read_shares(call, lines, callback)
    _read_times(call, facts, history)
    _read_state(call, lines, callback)
    summary = _last_word(facts, lines)
    closed = next((fact for fact in facts if isinstance(fact, Closed)), None)
    if past:
        _finish_by_history(call, lines, summary, _counted(history))
    elif summary:
        _finish_by_summary(call, summary, lines)
    elif closed:
        _finish_by_legs(call, lines, closed.at)
    elif call.legs_ended_at and not sums_up:
        _finish_by_legs(call, lines, call.legs_ended_at)
    _read_extensions(call, lines, summary)
    if call.source is Source.TRIAL:
        call.live_leg = ""  # the PBX has no such leg
    return call


# --- Legs -------------------------------------------------------------------------------------------------------------


def _leg_lines(states: list[Leg]) -> list[_LegLine]:
    by_leg: dict[str, dict[int, Leg]] = {}
    for state in states:
        numbered = by_leg.setdefault(state.leg, {})
        if state.seq not in numbered or state.at < numbered[state.seq].at:  # told again later, by the clock of receipt
            numbered[state.seq] = state
    lines = []
    for numbered in by_leg.values():
        ordered = [numbered[seq] for seq in sorted(numbered)]
        end = next((i for i, state in enumerate(ordered) if state.state is LegState.ENDED), None)
        lines.append(_LegLine(ordered if end is None else ordered[: end + 1]))
    lines.sort(key=lambda line: (line.first.at, line.first.leg))
    _end_where_others_took_over(lines)
    return lines


def _end_where_others_took_over(lines: list[_LegLine]) -> None:
    takers = [state for line in lines for state in line.states if state.takes_over]
    for taker in sorted(takers, key=lambda state: (state.at, state.leg)):
        for line in lines:
            talked = next((state for state in line.states if state.state is LegState.TALKING), None)
            if talked and talked.at < taker.at and talked.leg != taker.leg and line.last.state is not LegState.ENDED:
                line.states.append(replace(line.last, state=LegState.ENDED, at=taker.at))


def _direction(lines: list[_LegLine], callback: bool) -> Direction:
    if callback:
        return Direction.OUT
    roots = [line for line in lines if not line.first.parent] or lines
    if not roots:
        return Direction.IN
    root = roots[0].first
    if root.direction:
        return root.direction
    if root.caller.extension:
        return Direction.INTERNAL if root.callee.extension else Direction.OUT
    return Direction.IN


def _outsider(leg: Leg) -> Party | None:
    """The side of a leg that is no employee; None where both are."""
    if not leg.caller.extension:
        return leg.caller
    return None if leg.callee.extension else leg.callee


def _employee(leg: Leg) -> str:
    """The employee at the leg; on an internal leg the one who is called."""
    return leg.callee.extension or leg.caller.extension


def _with_client(leg: Leg) -> bool:
    return leg.place is Place.PERSON and _outsider(leg) is not None and bool(_employee(leg))


def _prepares_callback(leg: Leg, callback: bool) -> bool:
    """The first leg of a callback rings the employee and looks incoming; the client is not on it."""
    return callback and not leg.caller.extension and bool(leg.callee.extension)


# --- The vendor's history ---------------------------------------------------------------------------------------------


def _source(facts: list[Fact]) -> Source:
    if any(isinstance(fact, Played) for fact in facts):
        return Source.TRIAL
    histories = [fact for fact in facts if isinstance(fact, CallHistory)]
    if not histories or any(isinstance(fact, (Leg, Summary)) for fact in facts):
        return Source.LIVE
    return Source.IMPORT if all(fact.journal_only for fact in histories) else Source.HISTORY


def _last_history(facts: list[Fact]) -> CallHistory | None:
    """The history as it was when it was asked for the last time."""
    histories = [fact for fact in facts if isinstance(fact, CallHistory)]
    return max(histories, key=lambda fact: (fact.at, repr(fact.legs)), default=None)


def _last_word(facts: list[Fact], lines: list[_LegLine]) -> Summary | None:
    """What the vendor says of the whole call in the end. Where parts of it were told as calls, each has a last word."""
    told = _summaries(facts)
    if not any(isinstance(fact, Alias) and fact.part for fact in facts):
        return max(told, key=lambda summary: summary.at, default=None)
    last = {summary.call: summary for summary in sorted(told, key=lambda each: (each.at, each.call))}
    if not last or {line.first.call for line in lines} - last.keys():
        return None
    parts = list(last.values())
    outcomes = [part.outcome for part in parts]
    return replace(
        parts[-1],
        started_at=min((part.started_at for part in parts if part.started_at), default=None),
        answered_at=min((part.answered_at for part in parts if part.answered_at), default=None),
        outcome=Outcome.ANSWERED if Outcome.ANSWERED in outcomes else outcomes[-1],
        talk_seconds=sum(part.talk_seconds or 0 for part in parts),
    )


def _summaries(facts: list[Fact]) -> list[Summary]:
    """What was told again later, by the clock of receipt, counts from when it was told first."""
    told: dict[Summary, Summary] = {}
    for fact in facts:
        if isinstance(fact, Summary):
            same = replace(fact, at=_EARLY)
            told[same] = min(told.get(same, fact), fact, key=lambda summary: summary.at)
    return list(told.values())


def _past_lines(history: CallHistory) -> list[_LegLine]:
    legs = sorted(history.legs, key=lambda leg: leg.started_at)
    # The first leg of a callback rings the employee, and looks as if the client had called him.
    callback = legs[0].direction is Direction.OUT and not legs[0].caller.extension
    return [_past_line(history.call, number, leg, callback and not number) for number, leg in enumerate(legs)]


def _past_line(call: str, number: int, leg: HistoryLeg, callback: bool) -> _LegLine:
    rings = Leg(
        call=call,
        at=leg.started_at,
        leg=f"history-{number:03}",
        seq=1,
        state=LegState.RINGING,
        caller=leg.caller,
        callee=leg.callee,
        virtual_number=leg.virtual_number,
        direction=leg.direction,
        callback=callback,
    )
    talks = [replace(rings, seq=2, state=LegState.TALKING, at=leg.answered_at)] if leg.answered_at else []
    ends = [replace(rings, seq=3, state=LegState.ENDED, at=leg.ended_at, why=leg.why)] if leg.ended_at else []
    return _LegLine([rings, *talks, *ends])


# --- Numbers and people -----------------------------------------------------------------------------------------------


def _read_numbers(call: FoldedCall, lines: list[_LegLine], facts: list[Fact]) -> None:
    states = [state for line in lines for state in line.states]
    notes = [fact for fact in facts if isinstance(fact, Note)]
    call.virtual_number = next((state.virtual_number for state in states if state.virtual_number), "")
    call.virtual_number = call.virtual_number or next(
        (note.virtual_number for note in notes if note.virtual_number), ""
    )
    call.tracking_number = next((state.tracking_number for state in states if state.tracking_number), "")
    if call.direction is Direction.INTERNAL:
        return
    numbers = (party.number for state in states if (party := _outsider(state)) and party.number)
    call.client_number = next(numbers, "") or next((note.client_number for note in notes if note.client_number), "")


def _read_shares(call: FoldedCall, lines: list[_LegLine], callback: bool) -> None:
    shares: dict[tuple[str, str], Share] = {}
    for line in lines:
        for state in line.states:
            if state.place is not Place.PERSON:
                continue
            if call.direction is Direction.INTERNAL:
                _share(shares, state, state.callee.extension)
                continue
            if _with_client(state) and not _prepares_callback(state, callback):
                _share(shares, state, _employee(state))
            elif _with_client(state) and state.state is LegState.RINGING:
                _share(shares, replace(state, leg=""), _employee(state))
    call.shares = _joined(shares.values())


def _share(shares: dict[tuple[str, str], Share], state: Leg, extension: str) -> None:
    if not extension:
        return
    share = shares.setdefault((state.leg, extension), Share(extension, state.leg))
    if state.state is LegState.RINGING:
        share.rang_at = share.rang_at or state.at
    elif state.state is LegState.TALKING:
        share.answered_at = share.answered_at or state.at
    elif state.state is LegState.ENDED:
        share.left_at, share.why = state.at, state.why
    share.state = state.state


def _joined(shares: Iterable[Share]) -> list[Share]:
    """The click of a callback and the leg to the client are one share of the one who dialled."""
    rows = list(shares)
    clicks = {share.extension: share for share in rows if not share.leg}
    kept = [share for share in rows if share.leg]
    for share in kept:
        if click := clicks.pop(share.extension, None):
            share.rang_at = click.rang_at
    rows = kept + list(clicks.values())
    return sorted(rows, key=lambda share: (share.rang_at or share.answered_at or share.left_at or _EARLY, share.leg))


_EARLY = datetime.min.replace(tzinfo=UTC)


def _recordings(facts: list[Fact]) -> dict[str, RecordingFact]:
    rank = {RecordingState.ANNOUNCED: 0, RecordingState.ABSENT: 1, RecordingState.READY: 2}
    best: dict[str, RecordingFact] = {}
    told = [fact for fact in facts if isinstance(fact, RecordingFact)]
    for fact in sorted(told, key=lambda fact: (fact.at, fact.extension, fact.url)):
        known = best.get(fact.recording)
        if known is None or rank[fact.state] > rank[known.state]:
            kept = fact if known is None else replace(fact, extension=fact.extension or known.extension)
            best[fact.recording] = kept
        elif not known.extension and fact.extension:
            best[fact.recording] = replace(known, extension=fact.extension)
    return dict(sorted(best.items()))


# --- Times and state --------------------------------------------------------------------------------------------------


def _read_times(call: FoldedCall, facts: list[Fact], history: CallHistory | None) -> None:
    moments = [fact.at for fact in facts if not isinstance(fact, (RecordingFact, Closed, CallHistory))]
    if history:
        moments += [leg.call_started_at or leg.started_at for leg in history.legs]
    call.started_at = min(moments or [fact.at for fact in facts], default=None)
    call.answered_at = min((share.answered_at for share in call.shares if share.answered_at), default=None)


def _read_state(call: FoldedCall, lines: list[_LegLine], callback: bool) -> None:
    live = [line.last for line in lines if line.last.state is not LegState.ENDED]
    talked = [share for share in call.shares if share.answered_at]
    with_client = [leg for leg in live if _with_client(leg) and not _prepares_callback(leg, callback)] or (
        [leg for leg in live if leg.place is Place.PERSON] if call.direction is Direction.INTERNAL else []
    )
    talking = [leg for leg in with_client if leg.state is LegState.TALKING]
    held = [leg for leg in live if leg.state is LegState.HELD]
    ringing = [leg for leg in with_client if leg.state is LegState.RINGING]
    waiting = [leg for leg in live if leg.place is not Place.PERSON and leg.state is LegState.RINGING]
    call.waiting_leg = waiting[0].leg if waiting and not talked else ""
    call.live_leg = next((leg.leg for leg in [*talking, *held, *ringing, *live]), "")
    before = {share.extension for share in talked if share.state is LegState.ENDED}
    if talking:
        newcomer = any(_employee(leg) not in before for leg in talking)
        call.state = CallState.TRANSFERRED if before and newcomer else CallState.ANSWERED
    elif held:
        call.state = CallState.HELD
    elif talked and ringing:
        call.state = CallState.TRANSFERRED
    elif talked and live:
        call.state = CallState.HELD
    else:
        call.state = CallState.ANSWERED if talked else CallState.RINGING
    if lines and not live:
        call.legs_ended_at = max(line.last.at for line in lines)


# --- The end ----------------------------------------------------------------------------------------------------------


def _finish_by_summary(call: FoldedCall, summary: Summary, lines: list[_LegLine]) -> None:
    call.direction = summary.direction or call.direction
    call.client_number = "" if call.direction is Direction.INTERNAL else call.client_number or summary.client_number
    call.virtual_number = call.virtual_number or summary.virtual_number
    call.started_at = summary.started_at or call.started_at
    call.answered_at = summary.answered_at or _answered_by(call, summary)
    _believe_in_extension(call, summary)
    outcome = summary.outcome or (Outcome.ANSWERED if summary.answered_at else _outcome_by_legs(call, lines))
    _finish(call, outcome, summary.at, summary.talk_seconds)


def _answered_by(call: FoldedCall, summary: Summary) -> datetime | None:
    """When a call was answered whose summary says only that it was."""
    if summary.outcome is not Outcome.ANSWERED:
        return None
    return call.answered_at or summary.at - timedelta(seconds=summary.talk_seconds or 0)


def _believe_in_extension(call: FoldedCall, summary: Summary) -> None:
    """Notifications overtake each other: until a leg tells who was there or who answered, the summary counts."""
    told = any(share.answered_at for share in call.shares) if call.answered_at else bool(call.shares)
    if told or not summary.extension or call.direction is Direction.INTERNAL:
        return
    share = next((share for share in call.shares if share.extension == summary.extension), None)
    if share is None:
        share = Share(summary.extension, leg="", state=LegState.ENDED)
        call.shares.append(share)
    share.answered_at = call.answered_at


def _counted(history: CallHistory | None) -> int | None:
    """How long was talked, where the vendor has counted it."""
    counts = [leg.talk_seconds for leg in history.legs if leg.talk_seconds is not None] if history else []
    return sum(counts) if counts else None


def _finish_by_history(
    call: FoldedCall, lines: list[_LegLine], summary: Summary | None, talk_seconds: int | None
) -> None:
    """Its legs say whether and how long somebody talked. Why nobody did, a summary of the whole call knows better."""
    outcome = Outcome.ANSWERED if call.answered_at else _outcome_by_legs(call, lines)
    if summary:
        call.virtual_number = call.virtual_number or summary.virtual_number
        if summary.outcome and Outcome.ANSWERED not in (outcome, summary.outcome):
            outcome = summary.outcome
    _finish(call, outcome, max(line.last.at for line in lines), talk_seconds)


def _finish_by_legs(call: FoldedCall, lines: list[_LegLine], at: datetime) -> None:
    outcome = Outcome.ANSWERED if call.answered_at else _outcome_by_legs(call, lines)
    _finish(call, outcome, call.legs_ended_at or at, None)


def _outcome_by_legs(call: FoldedCall, lines: list[_LegLine]) -> Outcome:
    reasons = [line.last.why for line in lines if line.last.why]
    for likely in (Outcome.BUSY, Outcome.REJECTED, Outcome.FAILED, Outcome.CANCELLED):
        if likely in reasons and (likely is not Outcome.FAILED or set(reasons) == {likely}):
            return likely
    return Outcome.NO_ANSWER if call.direction is Direction.OUT else Outcome.MISSED


def _finish(call: FoldedCall, outcome: Outcome, at: datetime, talk_seconds: int | None) -> None:
    call.state, call.outcome, call.ended_at = CallState.FINISHED, outcome, at
    call.started_at = min(call.started_at or at, at)
    call.answered_at = min(call.answered_at, at) if call.answered_at else None
    call.waiting_leg = call.live_leg = ""
    call.legs_ended_at = None
    if outcome is not Outcome.ANSWERED:
        call.answered_at, call.talk_seconds = None, 0
        for share in call.shares:
            share.answered_at = None
        return
    if talk_seconds is None:
        talk_seconds = round((at - call.answered_at).total_seconds()) if call.answered_at else 0
    call.talk_seconds = min(max(0, talk_seconds), LONGEST)
    for share in call.shares:
        if share.answered_at:
            share.left_at, share.state, share.why = share.left_at or at, LegState.ENDED, Outcome.ANSWERED
        elif share.why in {Outcome.MISSED, Outcome.NO_ANSWER}:
            share.why = None  # somebody else answered: he missed nothing


def _read_extensions(call: FoldedCall, lines: list[_LegLine], summary: Summary | None) -> None:
    """Who talked last (of us); who rang first when nobody talked; who dialled in an outgoing or internal call."""
    talked = sorted((s for s in call.shares if s.answered_at), key=lambda s: (s.answered_at, s.leg))
    named = summary.extension if summary else ""
    first = next((share.extension for share in call.shares), "")
    if call.direction is Direction.INTERNAL:
        call.extension = call.first_extension = (lines[0].first.caller.extension if lines else "") or named
    elif talked:
        call.first_extension, call.extension = talked[0].extension, talked[-1].extension
    else:
        call.first_extension = call.extension = named or first
    if call.direction is Direction.OUT:
        call.extension = first or named
