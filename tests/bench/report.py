"""Figures as a table that people read, with their floors and the goals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
STACKS = ("embedded", "production")
NAMES = {"embedded": "embedded (SQLite)", "production": "production (PostgreSQL, Redis)"}
FLOOR_OF = {"embedded": "sqlite", "production": "postgres"}


def _pair(figure: dict[str, Any] | None) -> str:
    return f"{figure['p50']} / {figure['p99']} ms" if figure and figure.get("p50") is not None else "–"


def _times(figure: float | None, floor: float | None) -> str:
    return f"{figure / floor:.2f} × floor" if figure and floor else ""


def _with_ratio(text: str, ratio: str) -> str:
    return f"{text} ({ratio})" if ratio else text


def _beside(figures: dict[str, Any], words: str) -> str:
    found = figures["bulkheads"][words]
    return _pair(found) if words == "healthy" else f"{_pair(found)} (p99 × {found['ratio']})"


def rows(results: dict[str, Any]) -> Iterator[tuple[str, list[str], str]]:
    """What is measured, one text for each stack, and the goal."""
    stacks = results["stacks"]
    floors = results["floors"]

    def each(tell: Any) -> list[str]:
        return [tell(stacks[kind], floors.get(FLOOR_OF[kind], {})) for kind in STACKS if kind in stacks]

    def highest(figures: Any, floor: Any) -> str:
        rate = figures["highest"]["rate"] if figures["highest"]["sustained"] else 0
        return _with_ratio(f"**{rate:.0f}**", _times(rate, floor.get("per_second")))

    yield "highest sustained, events/s", each(highest), "800 · 500"
    yield "processor time per event", each(lambda f, _: f"{f['highest']['milliseconds_per_event']} ms"), ""
    for name, words, goal in (("at_30", "30/s", "p50 < 10, p99 < 25 ms"), ("at_70_percent", "70 % of the highest", "")):
        yield f"event → CRM at {words}, p50 / p99", each(lambda f, _, n=name: _pair(f[n]["crm"])), goal
        for step in ("register", "finish"):
            yield f"· {step} alone", each(lambda f, _, n=name, s=step: _pair(f[n][s])), ""
    for name, words, goal in (
        ("at_30", "30/s", ""),
        ("at_100", "100/s", "p99 < 25 ms"),
        ("at_70_percent", "70 % of the highest", ""),
    ):

        def answer(figures: Any, floor: Any, name: str = name) -> str:
            found = figures[name]["answer"]
            return _with_ratio(_pair(found), _times(found["p99"], floor.get(name, {}).get("p99")))

        yield f"webhook answer at {words}, p50 / p99", each(answer), goal
    yield "routing answer, client book warm", each(lambda f, _: _pair(f["routing"]["warm"])), "p99 < 20 ms"
    yield "routing answer, cold (CRM's 30 ms within)", each(lambda f, _: _pair(f["routing"]["cold"])), ""
    limits = {"answered, one rings": "≤ 3", "answered, a group rings": "≤ 3", "missed": "≤ 2", "outgoing": "≤ 2"}
    for kind, goal in limits.items():
        yield f"CRM hits, one call alone: {kind}", each(lambda f, _, k=kind: str(f["hits"][k])), goal
    yield "CRM hits a call under the highest load", each(lambda f, _: str(f["highest"]["hits_per_call"])), "falls"
    for words in next(iter(stacks.values()))["bulkheads"]:
        goal = "" if words == "healthy" else "× < 1.2"
        yield f"all others' event → CRM beside one CRM that is {words}", each(lambda f, _, w=words: _beside(f, w)), goal
    yield "one busy portal, calls/s at its own limit", each(lambda f, _: str(f["busy_portal"]["calls_per_second"])), ""
    yield "· CRM hits a call there", each(lambda f, _: str(f["busy_portal"]["hits_per_call"])), ""
    yield (
        "memory idle, all processes, RSS (PSS)",
        each(lambda f, _: f"{f['idle']['rss']:.0f} ({f['idle']['pss']:.0f}) MB"),
        "< 300 MB",
    )
    yield "memory peak, RSS (PSS)", each(lambda f, _: f"{f['peak']['rss']:.0f} ({f['peak']['pss']:.0f}) MB"), ""
    yield "back after `kill -9` of everything", each(lambda f, _: f"{f['back']['seconds']} s"), ""


def floor_rows(results: dict[str, Any]) -> Iterator[list[str]]:
    words = {
        "plain": "uvicorn answering 200",
        "sqlite": "the same, one durable INSERT for each request (SQLite WAL, synchronous=FULL)",
        "postgres": "the same, one durable INSERT for each request (PostgreSQL)",
    }
    for name, floor in results["floors"].items():
        yield [words[name], str(floor["per_second"]), _pair(floor["at_30"]), _pair(floor["at_100"])]


def markdown(results: dict[str, Any]) -> str:
    machine = results["machine"]
    kinds = [kind for kind in STACKS if kind in results["stacks"]]
    lines = [
        f"Measured on {machine['processor']}, {machine['memory']}, {machine['system']}, Python {machine['python']}, "
        f"SQLite {machine['sqlite']}, PostgreSQL {machine['postgresql']}"
        + (f"; {results['caveat']}." if results["caveat"] else "."),
        "",
        *_table(["", *(NAMES[kind] for kind in kinds), "goal"], [[a, *b, c] for a, b, c in rows(results)]),
        "",
        *_table(["floor", "requests/s", "answer at 30/s, p50 / p99", "at 100/s"], list(floor_rows(results))),
    ]
    return "\n".join(lines)


def renew(file: Path, results: dict[str, Any]) -> None:
    """Put the tables between the marks of a document."""
    before, _, rest = file.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    file.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{after}")


def _table(head: list[str], body: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(line) + " |" for line in lines]


def profile_text(parts: dict[str, list[tuple[str, float]]]) -> str:
    lines = []
    for title, found in parts.items():
        lines += [f"  {title}:", *(f"    {share:5.1f} %  {name}" for name, share in found)]
    return "\n".join(lines)
