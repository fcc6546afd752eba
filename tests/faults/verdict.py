"""Three truths compared: the PBX's calls, the CRMs' state, and our own database."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.bitrix24.portal import Call as Card
from tests.emulators.mango.simulator import Call
from tests.emulators.mango.wire import mp3

from .calls import CLICK, DEFAULT, KINDS, USERS
from .run import Played, Run
from .world import World

LOST = "lost"
DOUBLED = "written twice"
ORDER = "wrong order"
PERSON = "wrong person"
FACTS = "wrong facts"
RECORDING = "recording missing or different"
UNEXPLAINED = "unexplained"
VIOLATION = "violation"
LEFT = "work left"
FAILURES = (LOST, DOUBLED, ORDER, PERSON, FACTS, RECORDING, UNEXPLAINED, VIOLATION, LEFT)
DEADLINE = 5.0
"""Seconds within which a notification should be answered. (The vendor documents none.)"""
AFTERMATH = 3.0
"""Seconds after a fault during which its consequences may still come."""


@dataclass(frozen=True, slots=True)
class Failure:
    """`what` is one of `FAILURES`, `call` says which call in the words of the PBX, and `words` what is wrong."""

    what: str
    call: str
    words: str


@dataclass(slots=True)
class Verdict:
    """What was found. `explained` are calls that are not in the CRM, by the reason that a person reads. `excused` are
    violations that the wires and not the product have committed. `corrected`: calls whose responsible was corrected
    after their end, because an event came late."""

    failures: list[Failure] = field(default_factory=list)
    explained: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    written: int = 0
    corrected: int = 0
    not_taken: int = 0
    recordings: int = 0

    def fail(self, what: str, call: str, words: str) -> None:
        self.failures.append(Failure(what, call, words))

    def counts(self) -> dict[str, int]:
        counted = Counter(failure.what for failure in self.failures)
        return {what: counted[what] for what in FAILURES}


def judge(world: World, run: Run) -> Verdict:
    """Compare everything, after the world has settled."""
    verdict = Verdict()
    known = _Known(world)
    for played in run.played:
        _judge_call(known, played, verdict)
    _judge_strangers(known, run, verdict)
    _judge_vendors(world, run, verdict)
    _judge_files(world, verdict)
    for row in world.stack.rows("SELECT path, error FROM telephony_inboxevent WHERE state = 2"):
        verdict.fail(UNEXPLAINED, row["path"], f"the event was not understood: {row['error']}")
    if run.left:
        verdict.fail(LEFT, "", run.left[:500])
    return verdict


class _Known:
    """What each side knows, found by call."""

    def __init__(self, world: World):
        rows = world.stack.rows
        self.crms = world.crms
        self.calls: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows("SELECT * FROM telephony_call"):
            self.calls[row["key"]].append(row)
        self.syncs: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in rows("SELECT * FROM integrations_callsync"):
            self.syncs[row["call_id"]].append(row)
        self.recordings: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in rows("SELECT * FROM telephony_recording"):
            self.recordings[row["call_id"]].append(row)
        self.cards: dict[tuple[int, str], list[Card]] = defaultdict(list)
        for number, crm in enumerate(world.crms):
            for card in crm.calls:
                self.cards[number, card.phone.lstrip("+")].append(card)
        self.callbacks = {call.client: call for call in world.mango.calls if call.spec.scenario == "callback"}
        told = rows("SELECT body, state, outcome, error, received_at FROM integrations_crmevent")
        self._clicks = [(bytes(row.pop("body")).decode(), row) for row in told]

    def click(self, card: str) -> dict[str, Any] | None:
        """The event that told of the click behind this card."""
        return next((row for body, row in self._clicks if card in body), None)


# --- A call -----------------------------------------------------------------------------------------------------------


def _judge_call(known: _Known, played: Played, verdict: Verdict) -> None:
    plan = played.plan
    call = played.call or known.callbacks.get(plan.client)
    if call is None:
        _judge_click(known, played, verdict)
        return
    truth = call.truth(events=False)
    about = f"{plan.kind} {truth['client'] or '(hidden)'} in company {plan.company}, {call.entry_id}"
    cards = known.cards[plan.company, plan.client] if truth["client"] == plan.client else []
    rows = known.calls.get(call.entry_id, [])
    if len(rows) != 1:
        verdict.fail(DOUBLED if rows else LOST, about, f"{len(rows)} calls in the journal")
        return
    (row,) = rows
    _judge_journal(truth, row, about, verdict)
    syncs = known.syncs[row["id"]]
    if len(syncs) != 1:
        verdict.fail(UNEXPLAINED, about, f"{len(syncs)} rows say whether it belongs into the CRM")
        return
    (sync,) = syncs
    ended = [card for card in cards if card.finish]
    if len(cards) > 1:
        verdict.fail(DOUBLED, about, f"{len(cards)} calls in the CRM: {[card.history for card in cards]}")
    elif reason := _why_not(sync):
        _judge_unwritten(KINDS[plan.kind].reason, sync, reason, ended, about, verdict)
    elif not ended:
        verdict.fail(LOST, about, f"the CRM has {[card.history for card in cards]}, we say {_said(sync)}")
    elif KINDS[plan.kind].reason:
        verdict.fail(FACTS, about, "it does not belong into the CRM, and is there")
    else:
        verdict.written += 1
        _judge_card(known, played, truth, cards[0], verdict, about)
        _judge_recording(call, known.recordings[row["id"]], cards[0], verdict, about)


def _judge_journal(truth: dict[str, Any], row: dict[str, Any], about: str, verdict: Verdict) -> None:
    expected = {
        "state": "finished",
        "direction": truth["direction"],
        "talk_seconds": truth["talk_seconds"],
        "extension": truth["extension"],
    }
    for name, value in expected.items():
        if row[name] != value:
            verdict.fail(FACTS, about, f"{name} in the journal: the PBX says {value!r}, found {row[name]!r}")


def _why_not(sync: dict[str, Any]) -> str:
    """Why a call is not written, as a person reads it; empty where it should be."""
    if sync["parked"]:
        return f"parked, {sync['error_kind']}: {sync['error'] or '(no words)'}"
    return "" if sync["state"] == "wanted" else f"{sync['state']}: {sync['reason'] or '(no reason)'}"


def _judge_unwritten(
    expected: str, sync: dict[str, Any], reason: str, ended: list[Card], about: str, verdict: Verdict
) -> None:
    if "(no " in reason:
        verdict.fail(UNEXPLAINED, about, reason)
    elif not sync["parked"] and sync["reason"] != expected:
        verdict.fail(UNEXPLAINED, about, f"{reason}, where {expected or 'nothing'} was expected")
    elif expected and ended:
        verdict.fail(FACTS, about, f"it is {reason}, and in the CRM")
    else:
        verdict.explained[reason] += 1


def _said(sync: dict[str, Any]) -> str:
    names = ("state", "wanted", "noted", "intent", "attempts", "error", "progress", "history")
    return ", ".join(f"{name}={sync[name]!r}" for name in names if sync[name])


def _judge_card(known: _Known, played: Played, truth: dict[str, Any], card: Card, verdict: Verdict, about: str) -> None:
    crm, end = known.crms[played.plan.company], card.finish
    assert end is not None
    steps = [step for _, step, _ in card.history]
    if _without_repetitions(steps) != ["register", "finish"]:
        verdict.fail(ORDER, about, str(card.history))
    leads = list(crm.portal.find_by_phone(card.phone))
    rows = crm.portal.rows.count(card)
    if rows > 1 or len(leads) > 1:
        verdict.fail(DOUBLED, about, f"{rows} rows in the statistics, {len(leads)} leads")
    person = _person(truth)
    responsible = crm.portal.activities[end.activity_id]["RESPONSIBLE_ID"]
    verdict.corrected += responsible != end.user_id
    if responsible != person or any(lead["ASSIGNED_BY_ID"] != person for _, lead in leads):
        verdict.fail(PERSON, about, f"{person} is responsible, the CRM has {responsible} and {leads}: {card.history}")
    expected = (KINDS[played.plan.kind].code, truth["talk_seconds"], int(truth["direction"] == "in"))
    found = (end.status_code, end.duration, len(leads))
    if expected != found:
        verdict.fail(FACTS, about, f"code, seconds, leads: {expected} expected, {found} found: {card.history}")
    if seers := [user for user, cards in crm.portal.screens.items() if card.call_id in cards]:
        verdict.fail(ORDER, about, f"the card is still on the screens of {seers}: {card.history}")


def _without_repetitions(steps: list[str]) -> list[str]:
    """Beginning and end in their order; a repeated register (its answer was lost) is the same step."""
    kept = [step for step in steps if step.startswith(("register", "finish"))]
    return [step for number, step in enumerate(kept) if step != "register" or "register" not in kept[:number]]


def _person(truth: dict[str, Any]) -> int:
    if truth["direction"] == "out":
        return USERS[truth["extension"]]
    return USERS[truth["first_extension"]] if truth["outcome"] == "answered" else DEFAULT


def _judge_recording(call: Call, rows: list[dict[str, Any]], card: Card, verdict: Verdict, about: str) -> None:
    """The bytes at the end of the way are those at its beginning. (No kind of call here has more than one.)"""
    audio = [hashlib.sha256(mp3(item.recording_id, item.seconds)).hexdigest() for item in call.recordings]
    verdict.recordings += len(audio)
    stored = [row["sha256"] for row in rows]
    there = [card.record.sha256] if card.record else []
    if not stored == there == audio:
        states = [(row["state"], row["attempts"], row["error"]) for row in rows]
        verdict.fail(RECORDING, about, f"the PBX has {audio}, we have {states} {stored}, the CRM has {there}")


def _judge_files(world: World, verdict: Verdict) -> None:
    """What lies on the disk is what the rows name, or is written down to be removed."""
    folder = world.stack.folder / "recordings"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    loose = {row["name"] for row in world.stack.rows("SELECT name FROM telephony_loosefile")}
    named = {row["file"] for row in world.stack.rows("SELECT file FROM telephony_recording WHERE file <> ''")}
    for name in named - there:
        verdict.fail(RECORDING, name, "the file that a recording names is not there")
    for name in there - loose - named:
        verdict.fail(RECORDING, name, "a file that nobody names")


# --- A click ----------------------------------------------------------------------------------------------------------


def _judge_click(known: _Known, played: Played, verdict: Verdict) -> None:
    """A click in the CRM that led to no call. What the product has not taken nobody could tell it of again."""
    about = f"{CLICK} {played.plan.client} in company {played.plan.company}, {played.card}"
    event, card = known.click(played.card), known.crms[played.plan.company].portal.calls[played.card]
    if not played.taken:
        verdict.not_taken += 1
    elif event is None:
        verdict.fail(LOST, about, "the click was answered 200, and is not stored")
    elif not event["outcome"] or card.live:
        verdict.fail(UNEXPLAINED, about, f"the click was taken, and no call was made: {event}; {card.history}")
    else:
        verdict.explained[f"click: {event['outcome']}"] += 1


# --- Everything else --------------------------------------------------------------------------------------------------


def _judge_strangers(known: _Known, run: Run, verdict: Verdict) -> None:
    """Calls that nobody made."""
    planned = {(played.plan.company, played.plan.client) for played in run.played}
    for (number, phone), cards in known.cards.items():
        if (number, phone) not in planned:
            verdict.fail(DOUBLED, f"{phone} in company {number}", f"nobody called: {[card.history for card in cards]}")


HELD_BACK = ("pbx-delay", "pbx-throttle", "pbx-blackhole")
UNREACHABLE = ("front-", "database-", "kill-web", "kill-database", "restart", "power-cut")
"""Beginnings of the faults during which nobody can fetch anything from us."""


def _judge_vendors(world: World, run: Run, verdict: Verdict) -> None:
    for each in world.mango.violations:
        if each.what == "rate_limit" and _during(run, HELD_BACK, each.time):
            verdict.excused["requests to the PBX that a wire held back and let go together"] += 1
        else:
            verdict.fail(VIOLATION, each.account, f"PBX: {each.what}: {each.detail}")
    for number, crm in enumerate(world.crms):
        for entry in crm.violations:
            if entry["what"] == "record_url_failed" and _during(run, UNREACHABLE, entry["time"]):
                verdict.excused["recordings that the CRM could not fetch while we were not there"] += 1
            else:
                verdict.fail(VIOLATION, f"company {number}", f"CRM: {entry['what']}: {entry['detail']}")


def _during(run: Run, faults: tuple[str, ...], moment: float) -> bool:
    """Whether one of these was open, or had just been."""
    return any(
        window.fault.startswith(faults) and begin <= moment <= end + AFTERMATH for window, begin, end in run.happened
    )
