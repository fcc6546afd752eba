"""What a PBX's own history tells of calls, compared with ours. What we lack is stored as events of our own, and folded.

The comparison only decides whether to tell: what becomes of a call is decided by the fold, from all that was told.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from outbound.errors import Rejected

from . import calls, inbox, statements
from .events import HISTORY_PATH, ToldByHistory, history_event
from .fold import CallState, FoldedCall, Source, fold
from .hot import hot_write
from .models import Call, CallAlias, Connection, HistoryRun, InboxEvent
from .providers.base import Direction, HistoryLeg, Outcome

SETTLE = timedelta(minutes=2)
"""A call whose last leg has just ended may go on with another one: it is left alone for so long."""
TALK_SECONDS = 3
"""By so much the lengths of a conversation may differ: vendors round."""
FEW = 3
"""So many calls here and there that have nothing in common are no chance."""
LOT = 200
"""Calls that are told, or looked for, at once: a live event waits behind these at the most."""

T = TypeVar("T")


class Verdict(enum.StrEnum):
    """How a call of the history stands here."""

    SAME = "same"
    GOING_ON = "going_on"
    UNKNOWN = "unknown"
    UNFINISHED = "unfinished"
    DIFFERENT = "different"
    UNWRITTEN = "unwritten"  # imported into the journal alone, and now wanted in the CRM


FILLED = (Verdict.UNKNOWN, Verdict.UNWRITTEN)
CORRECTED = (Verdict.UNFINISHED, Verdict.DIFFERENT)


@dataclass(frozen=True, slots=True)
class Compared:
    """A call of the history, and ours. `folded` is how the history tells it, by the vendor's clock."""

    told: ToldByHistory
    call: Call | None
    folded: FoldedCall
    verdict: Verdict


def shift_of(connection: Connection) -> timedelta:
    """By how much the vendor's clock is ahead."""
    return timedelta(seconds=connection.clock_shift or 0)


def ours(connection: Connection, keys: Iterable[str]) -> dict[str, Call]:
    """Our calls by the vendor's ids, other ids of the same call among them; with their recordings."""
    found: dict[str, Call] = {}
    for lot in _lots(list(keys)):
        known = {call.key: call for call in Call.objects.filter(connection=connection, key__in=lot)}
        aliases = CallAlias.objects.filter(connection=connection, key__in=lot).select_related("call")
        by_id = {call.pk: call for call in known.values()}
        known |= {alias.key: by_id.setdefault(alias.call_id, alias.call) for alias in aliases}
        calls.load_people(known.values())
        found |= known
    return found


def known(named: Iterable[tuple[int, str]]) -> set[tuple[int, str]]:
    """Those of these (connection, vendor's id) that are calls of ours, or other ids of such a call."""
    found: set[tuple[int, str]] = set()
    for lot in _lots(sorted(named)):
        connections, keys = {connection for connection, _key in lot}, {key for _connection, key in lot}
        for model in (Call, CallAlias):
            rows = model._default_manager.filter(connection__in=connections, key__in=keys)
            found |= set(rows.values_list("connection_id", "key"))
    return found


def _lots(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + LOT] for start in range(0, len(items), LOT))


def compare(run: HistoryRun, legs: Iterable[HistoryLeg]) -> list[Compared]:
    """The calls of the history, each beside ours."""
    legs = list(legs)
    known = ours(run.connection, {leg.call for leg in legs})
    by_call: dict[str, list[HistoryLeg]] = defaultdict(list)
    for leg in legs:
        by_call[known[leg.call].key if leg.call in known else leg.call].append(leg)
    now = timezone.now() + shift_of(run.connection)
    found = []
    for key, rows in by_call.items():
        call = known.get(rows[0].call)
        told = ToldByHistory(call=key, legs=tuple(rows), journal_only=_journal_only(run, call, rows))
        folded = fold(told.facts(now))
        found.append(Compared(told, call, folded, _verdict(run, call, told, folded, now)))
    return found


def check_names(run: HistoryRun, compared: Sequence[Compared], begin: datetime) -> None:
    """Raises `Rejected` where the history knows none of the calls that came live: then it is another account's, or
    names calls otherwise than events do. Filled in, each call would be here twice."""
    strange = sum(each.verdict is Verdict.UNKNOWN for each in compared)
    if strange < FEW or any(each.call for each in compared):
        return
    period = {"started_at__gte": begin, "started_at__lt": run.reached, "state": CallState.FINISHED}
    live = Call.objects.filter(connection=run.connection, source=Source.LIVE, **period)
    if live.exclude(direction=Direction.INTERNAL).count() >= FEW:
        words = _("The history knows none of the calls that the PBX has told of: is it another account's?")
        raise Rejected(words, code="foreign_history")


def _journal_only(run: HistoryRun, call: Call | None, legs: list[HistoryLeg]) -> bool:
    """An import may keep the past out of the CRM. What began since we are connected is no past but a gap."""
    if run.kind == HistoryRun.Kind.IMPORT and run.into_crm:
        return False
    if call:
        return call.source == Source.IMPORT
    began = min(leg.started_at for leg in legs) - shift_of(run.connection)
    return run.kind == HistoryRun.Kind.IMPORT and began < run.connection.created_at


def _verdict(run: HistoryRun, call: Call | None, told: ToldByHistory, folded: FoldedCall, now: datetime) -> Verdict:
    if any(leg.ended_at is None or leg.ended_at > now - SETTLE for leg in told.legs):
        return Verdict.SAME if call and call.finished else Verdict.GOING_ON
    if call is None:
        return Verdict.UNKNOWN
    if not call.finished:
        return Verdict.GOING_ON if _goes_further(run, call, folded) else Verdict.UNFINISHED
    if _contradicts(run, call, folded) or _says_why(run, call, folded):
        return Verdict.DIFFERENT
    lifted = call.source == Source.IMPORT and not told.journal_only
    return Verdict.UNWRITTEN if lifted else Verdict.SAME


def _goes_further(run: HistoryRun, call: Call, folded: FoldedCall) -> bool:
    """Whether we know of somebody who was called or answered after the end in the history: it has not all legs yet."""
    moments = [moment for person in call.people for moment in (person.rang_at, person.answered_at) if moment]
    return any(moment + shift_of(run.connection) > folded.ended_at for moment in moments if folded.ended_at)


def _contradicts(run: HistoryRun, call: Call, folded: FoldedCall) -> bool:
    """Whether somebody talked, how long, and of what there is audio. Finer reasons live events know better."""
    if (call.outcome == Outcome.ANSWERED) != (folded.outcome is Outcome.ANSWERED):
        return True
    if run.connection.protocol.history_counts_talk and abs(call.talk_seconds - folded.talk_seconds) > TALK_SECONDS:
        return True
    return not set(folded.recordings) <= {row.key for row in call.audio}


def _says_why(run: HistoryRun, call: Call, folded: FoldedCall) -> bool:
    """Whether only the history knows why nobody talked."""
    return not run.connection.protocol.sums_up and call.outcome != folded.outcome


# --- Telling ----------------------------------------------------------------------------------------------------------


def fill(run: HistoryRun, compared: Sequence[Compared]) -> bool:
    """Tell what we lack, and fold it; false when the run is not ours any more (it was cancelled, the lease is over)."""
    to_tell = [each for each in compared if each.verdict in FILLED + CORRECTED]
    said = _said_before(run.connection, to_tell)
    to_tell = [each for each in to_tell if each.told.body not in said]
    for lot in _lots(to_tell):
        if not _tell(run, lot):
            return False
        drain()
    return True


def drain() -> None:
    """Fold what waits now."""
    while inbox.drain():
        pass


def _tell(run: HistoryRun, lot: Sequence[Compared]) -> bool:
    """The events and their count, in one commit: a process that dies in between repeats neither."""
    now = timezone.now()
    filled = sum(each.verdict in FILLED for each in lot)
    counts = {"filled": F("filled") + filled, "corrected": F("corrected") + len(lot) - filled}
    with hot_write():
        mine = HistoryRun.objects.filter(pk=run.pk, lease=run.lease, state=HistoryRun.State.OPEN).update(**counts)
        if mine:
            statements.insert([history_event(run.connection_id, each.told, now) for each in lot])
    return bool(mine)


def _said_before(connection: Connection, compared: Sequence[Compared] = ()) -> set[bytes]:
    """Bodies of what was told before: to say it in the very same words was not understood, or changes nothing now."""
    told = InboxEvent.objects.filter(connection=connection, path=HISTORY_PATH)
    bodies = list(told.filter(state=InboxEvent.State.FAILED).values_list("body", flat=True))
    known = [each.call.pk for each in compared if each.call]
    for lot in _lots(known):
        bodies += told.filter(call__in=lot).values_list("body", flat=True)
    return {bytes(body) for body in bodies}


# --- What is missing all the same -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Missing:
    """A call that the PBX has and we have not. `why` is a code of `words.MISSING`."""

    compared: Compared
    why: str


def missing(connection: Connection, compared: Sequence[Compared]) -> list[Missing]:
    """The calls that are still unknown here."""
    strange = {each.told.call: each for each in compared}
    for key in ours(connection, strange):
        del strange[key]
    failed = _said_before(connection)
    return [Missing(each, _why(each, failed)) for each in strange.values()]


def _why(each: Compared, failed: set[bytes]) -> str:
    if each.verdict is Verdict.GOING_ON:
        return "going_on"
    return "not_understood" if each.told.body in failed else "not_filled"
