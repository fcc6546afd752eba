"""What a run has found, in words: for the terminal, and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from tests.bench.machine import described

from .run import Run
from .schedule import Window
from .verdict import DEADLINE, Verdict
from .world import World

SHOWN = 40
"""Failures that are told in full; the others are counted."""


@dataclass(frozen=True, slots=True)
class Report:
    """One stack's run, what was found, and the figures beside it."""

    run: Run
    verdict: Verdict
    figures: dict[str, str]

    @property
    def failed(self) -> bool:
        return bool(self.verdict.failures)


def report(world: World, run: Run, verdict: Verdict) -> Report:
    """`world` must still be there: figures are asked of it."""
    return Report(run, verdict, dict(_figures(world, run, verdict)))


def _figures(world: World, run: Run, verdict: Verdict) -> Iterator[tuple[str, str]]:
    calls = [played.call for played in run.played if played.call]
    events = [event for call in world.mango.calls for event in call.events]
    registers = sum(step == "register" for crm in world.crms for card in crm.calls for _, step, _ in card.history)
    cards = sum(len(crm.calls) for crm in world.crms)
    looks = world.stack.row("SELECT count(*) AS looks FROM telephony_exchange WHERE purpose = 'look'")["looks"]
    slow = [seconds for event in events for seconds in event.took if seconds > DEADLINE]
    yield "calls played", str(len(run.played))
    yield "· of them at the PBX, clicks apart", str(len(calls))
    yield "calls in the CRM as they were", str(verdict.written)
    yield "· responsible corrected after the end, for a late event", str(verdict.corrected)
    yield "calls not in the CRM, with the reason", str(sum(verdict.explained.values()))
    yield "clicks that were not taken", str(verdict.not_taken)
    yield "recordings compared", str(verdict.recordings)
    for what, count in verdict.counts().items():
        yield f"**{what}**", f"**{count}**"
    yield "events sent", str(len(events))
    yield "· sent again, for want of a 200", str(sum(len(event.answers) - 1 for event in events))
    yield f"answers to the PBX after more than {DEADLINE:g} s (worst)", f"{len(slow)} ({max(slow, default=0):.1f} s)"
    yield "registers repeated in the CRM", str(registers - cards)
    yield "requests that asked the CRM what was written", str(looks)
    for what, seconds in sorted(world.backs.items()):
        yield f"seconds until ready after kill: {what}, median (worst)", f"{median(seconds):.1f} ({max(seconds):.1f})"
    for role, count in sorted(world.keeper.ended.items()):
        yield f"ended by itself and was started again: {role}", str(count)
    yield "accounts that their customer had to connect again", str(world.reconnected)
    if run.stack == "production":
        yield "PostgreSQL", world.postgres.version()
    yield "seconds of calls, of settling", f"{run.play_seconds:.0f}, {run.settle_seconds:.0f}"


# --- Words ------------------------------------------------------------------------------------------------------------


def plan_text(windows: list[Window]) -> str:
    """The schedule, a line for each window."""
    return "\n".join(f"  {window.at:8.2f} s  {window.seconds:5.2f} s  {window.fault}" for window in windows)


def text(done: Report) -> str:
    """For the terminal."""
    lines = [f"{done.run.stack}, seed {done.run.seed}:"]
    lines += [f"  {name.strip('*'):<64} {value.strip('*')}" for name, value in done.figures.items()]
    lines += [f"  explained: {count} × {reason}" for reason, count in done.verdict.explained.most_common()]
    lines += [f"  excused: {count} × {reason}" for reason, count in done.verdict.excused.most_common()]
    return "\n".join(lines + [f"  {line}" for line in _failures(done)])


def markdown(reports: list[Report], command: str) -> str:
    """A document: what ran and on what, the figures of each stack, the schedule by kind, the failures."""
    machine = described()
    lines = [
        "# Faults",
        "",
        f"`{command}` on {machine['processor']}, {machine['memory']}, {machine['system']}, Python {machine['python']}, "
        f"SQLite {machine['sqlite']}.",
        "",
        *_table(["", *(done.run.stack for done in reports)], _rows([done.figures for done in reports])),
        *_section("Calls that are not in the CRM", [done.verdict.explained for done in reports], reports),
        *_section("Excused", [done.verdict.excused for done in reports], reports),
        *_section("Calls by kind", [Counter(p.plan.kind for p in done.run.played) for done in reports], reports),
        *_section("Windows by fault", [Counter(w.fault for w, _, _ in done.run.happened) for done in reports], reports),
        "",
        "## Failures",
        "",
    ]
    for done in reports:
        lines += [f"- {done.run.stack}: {line}" for line in _failures(done)] or [f"- {done.run.stack}: none"]
    return "\n".join(lines) + "\n"


def _failures(done: Report) -> list[str]:
    found = done.verdict.failures
    lines = [f"{failure.what}: {failure.call}: {failure.words}" for failure in found[:SHOWN]]
    return [*lines, f"… and {len(found) - SHOWN} more"] if len(found) > SHOWN else lines


def _section(title: str, counted: list[Counter[str]], reports: list[Report]) -> list[str]:
    if not any(counted):
        return []
    rows = _rows([{name: str(count) for name, count in each.items()} for each in counted])
    return ["", f"## {title}", "", *_table(["", *(done.run.stack for done in reports)], sorted(rows))]


def _rows(columns: list[dict[str, str]]) -> list[list[str]]:
    names = dict.fromkeys(name for column in columns for name in column)
    return [[name, *(column.get(name, "–") for column in columns)] for name in names]


def _table(head: list[str], body: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
