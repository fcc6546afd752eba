"""The measurements. Each returns plain dicts of figures, in milliseconds where not said otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from . import calls, machine
from .calls import Account, Call, Shot
from .client import open_loop
from .crm import Written
from .product import Product, soon
from .provision import WITHOUT_FORWARDING

Figures = dict[str, Any]
P99_LIMIT = 1.0
DRAIN_SECONDS = 12.0
DISTURBED = 0.15


def percentiles(seconds: Sequence[float]) -> Figures:
    """p50 and p99 in milliseconds, and how many there were."""
    if not seconds:
        return {"p50": None, "p99": None, "n": 0}
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {
        "p50": round(ordered[round(0.50 * last)] * 1000, 1),
        "p99": round(ordered[round(0.99 * last)] * 1000, 1),
        "n": len(ordered),
    }


# --- Load -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Run:
    """What came of a load. Times are percentiles; `sustained` by the rule of the benchmark."""

    rate: float
    events: int
    calls: int
    refused: int
    lost: int
    doubled: int
    violations: list[str]
    answer: Figures
    crm: Figures
    register: Figures
    finish: Figures
    hits: int
    hits_per_call: float
    drained_in: float
    busy: float
    milliseconds_per_event: float
    others: float
    """Cores that were busy with something else: more than a little makes the figures worthless."""
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def sustained(self) -> bool:
        fine = not (self.refused or self.lost or self.doubled or self.violations)
        return fine and self.crm["p99"] is not None and self.crm["p99"] < P99_LIMIT * 1000


def load(product: Product, rate: float, seconds: float, tries: int = 3) -> Run:
    """Random calls over all companies, `rate` events a second; once more where the machine was busy with others."""
    runs: list[Run] = []
    while len(runs) < tries and not (runs and runs[-1].others < DISTURBED):
        runs.append(_load(product, rate, seconds))
    return min(runs, key=lambda run: run.others)


def _load(product: Product, rate: float, seconds: float) -> Run:
    product.fill_buckets()
    made = list(calls.poisson(product.accounts, rate, seconds, soon(0.5 + rate * seconds * 60e-6)))
    shots = [shot for call in made for shot in call.shots]
    pids = product.pids() + (machine.server_processes() if product.kind == "production" else [])
    before = machine.processor_seconds(pids)
    with machine.Watch([*pids, product.crm.pid]) as watch:
        product.fire(shots)
        drained = product.crm.wait_finished(len(made), DRAIN_SECONDS)
    used = machine.processor_seconds(pids) - before
    memory = product.memory()
    run = _told(rate, made, shots, product.crm.written())
    run.violations = [violation["what"] for violation in product.crm.violations()]
    run.hits = product.crm.hits()
    run.hits_per_call = round(run.hits / max(1, len(made)), 2)
    run.drained_in, run.busy, run.others = round(drained, 2), round(used / watch.seconds, 2), round(watch.others, 2)
    run.milliseconds_per_event = round(used / max(1, len(shots)) * 1000, 2)
    run.memory = asdict(memory)
    return run


def _told(rate: float, made: list[Call], shots: list[Shot], written: dict[tuple[str, str], Written]) -> Run:
    nothing = Written(0.0, 0.0, 0)
    pairs = [(call, written.get((call.account.portal, call.phone), nothing)) for call in made]
    register, finish = _lags(pairs)
    return Run(
        rate=rate,
        events=len(shots),
        calls=len(made),
        refused=sum(shot.status != 200 for shot in shots),
        lost=sum(not found.finished for _, found in pairs),
        doubled=sum(found.times > 1 for _, found in pairs),
        violations=[],
        answer=percentiles([shot.took for shot in shots if shot.status == 200]),
        crm=percentiles(register + finish),
        register=percentiles(register),
        finish=percentiles(finish),
        hits=0,
        hits_per_call=0.0,
        drained_in=0.0,
        busy=0.0,
        milliseconds_per_event=0.0,
        others=0.0,
    )


def _lags(pairs: list[tuple[Call, Written]]) -> tuple[list[float], list[float]]:
    """Seconds from a call's begin, and from its end, until the CRM had it."""
    register = [found.registered - call.rings.due for call, found in pairs if found.registered]
    finish = [found.finished - call.ends.due for call, found in pairs if found.finished]
    return register, finish


TROUBLES: dict[str, Figures] = {
    "healthy": {},
    "healthy too (how far chance alone goes)": {},
    "dead (resets connections)": {"kind": "reset"},
    "slow (10 s)": {"kind": "slow", "seconds": 10},
    "hostile (never answers)": {"kind": "no_answer", "seconds": 120},
}
TROUBLED_SHARE = 0.05


def bulkheads(product: Product, rate: float, seconds: float, rounds: int) -> Figures:
    """Event → CRM of all others while one CRM is in trouble, which a twentieth of the calls belong to.

    They take turns, each round beginning with another one, and each figure is of all its turns: whatever else the
    machine does hits all alike.
    """
    troubled = {words: product.accounts[number] for number, words in enumerate(TROUBLES)}
    others = product.accounts[len(troubled) :]
    lags: dict[str, list[float]] = {words: [] for words in TROUBLES}
    order = list(TROUBLES)
    for _ in range(rounds):
        for words in order:
            sick = [troubled[words]] * round(len(others) * TROUBLED_SHARE)
            lags[words] += _beside(product, others, sick, TROUBLES[words], rate, seconds)
        order.append(order.pop(0))
    found: Figures = {words: percentiles(took) for words, took in lags.items()}
    for figures in found.values():
        figures["ratio"] = round(figures["p99"] / found["healthy"]["p99"], 2)
    return found


def _beside(
    product: Product, others: list[Account], sick: list[Account], trouble: Figures, rate: float, seconds: float
) -> list[float]:
    """Seconds that each write for the others took."""
    product.fill_buckets()
    if trouble:
        product.crm.trouble(sick[0].portal, **trouble)
    made = list(calls.poisson([*others, *sick], rate, seconds, soon(0.5 + rate * seconds * 60e-6)))
    product.fire([shot for call in made for shot in call.shots])
    watched = [call for call in made if call.account != sick[0]]
    product.crm.wait_finished(len(watched), DRAIN_SECONDS, without=sick[0].portal)
    written = product.crm.written()
    product.crm.heal()
    nothing = Written(0.0, 0.0, 0)
    register, finish = _lags([(call, written.get((call.account.portal, call.phone), nothing)) for call in watched])
    return register + finish


def warm_up(product: Product) -> None:
    """One call for each company: from then on the product remembers its configuration."""
    made = calls.evenly(product.accounts, 50, soon())
    product.fire([shot for call in made for shot in call.shots])
    product.crm.wait_finished(len(made), 30)


def highest(
    product: Product, first: float, seconds: float, closeness: float, tries: int, say: Callable[[str], None]
) -> tuple[Run, list[Run]]:
    """The highest rate that is sustained: up by halves until it fails, then halving the gap."""
    runs: list[Run] = []

    def holds(rate: float) -> bool:
        run = load(product, rate, seconds, tries)
        if not run.sustained and tries > 1:  # once more: a single hiccup of the machine is not the product's limit
            time.sleep(1)
            run = load(product, rate, seconds, tries)
        runs.append(run)
        say(f"  {rate:.0f}/s: {'held' if run.sustained else 'not held'} {_brief(run)}")
        return run.sustained

    low, high, rate = 0.0, float("inf"), first
    while rate > 5 and high / max(low, 1.0) > closeness:
        if holds(rate):
            low = rate
        else:
            high = rate
        rate = low * 1.5 if high == float("inf") else (low + high) / 2 if low else high / 2
    held = [run for run in runs if run.sustained]
    return max(held or runs, key=lambda run: run.rate), runs


def _brief(run: Run) -> str:
    return (
        f"(answer {run.answer['p50']}/{run.answer['p99']} ms, CRM {run.crm['p50']}/{run.crm['p99']} ms, "
        f"refused {run.refused}, lost {run.lost}, doubled {run.doubled}, {run.hits_per_call} hits a call, "
        f"core {run.busy:.0%}, {run.milliseconds_per_event} ms an event, others {run.others:.0%}, "
        f"violations {run.violations[:3]})"
    )


# --- One by one -------------------------------------------------------------------------------------------------------


def hits_by_kind(product: Product) -> Figures:
    """HTTP requests to the CRM for one call alone, by kind: each in a portal of its own."""
    product.fill_buckets()
    start = soon()
    made = {
        kind: make(account, start) for (kind, make), account in zip(calls.KINDS.items(), product.accounts, strict=False)
    }
    product.fire([shot for call in made.values() for shot in call.shots])
    product.crm.wait_finished(len(made), 10)
    time.sleep(1)
    return {kind: product.crm.hits(call.account.portal) for kind, call in made.items()}


def routing(product: Product, companies: int, warm_rounds: int) -> Figures:
    """From the event in the greeting to the command at the PBX. Cold: the CRM is asked; warm: the client book knows."""
    forwarding = product.accounts[WITHOUT_FORWARDING:][:companies]
    figures: Figures = {}
    cold = _routed(product, forwarding)
    warm: list[float] = []
    for _ in range(warm_rounds):
        warm += _routed(product, forwarding)
    figures["cold"] = percentiles(cold)
    figures["warm"] = percentiles(warm)
    figures["cold"]["of"], figures["warm"]["of"] = len(forwarding), len(forwarding) * warm_rounds
    return figures


def _routed(product: Product, accounts: list[calls.Account]) -> list[float]:
    product.fill_buckets()
    start = soon()
    made = [calls.greeted(account, start + number / 20) for number, account in enumerate(accounts)]
    product.pbx.routed.clear()
    product.fire([shot for call in made for shot in call.shots])
    return [product.pbx.routed[call.leg] - call.rings.due for call in made if call.leg in product.pbx.routed]


def busy_portal(product: Product, number: int) -> Figures:
    """One portal whose bucket is empty gets many calls at once: how fast they drain at the vendor's own rate."""
    account = product.accounts[0]
    product.fill_buckets()
    product.empty_buckets()
    start = soon()
    made = [calls.answered(account, start + i * 0.002) for i in range(number)]
    product.fire([shot for call in made for shot in call.shots])
    product.crm.wait_finished(number, 60)
    written = product.crm.written()
    ends = [found.finished for call in made if (found := written.get((account.portal, call.phone)))]
    took = max(ends) - start if len(ends) == number and all(ends) else None
    return {
        "calls": number,
        "finished": sum(map(bool, ends)),
        "seconds": round(took, 1) if took else None,
        "calls_per_second": round(number / took, 1) if took else None,
        "hits_per_call": round(product.crm.hits() / number, 2),
        "violations": [violation["what"] for violation in product.crm.violations()],
    }


def time_to_be_back(product: Product, times: int) -> Figures:
    """Seconds from `kill -9` of every process to the first webhook that is answered with 200."""
    took = []
    for _ in range(times):
        product.restart_after_kill()
        begun = time.time()
        while time.time() - begun < 60:
            call = calls.missed(product.accounts[0], time.time())
            open_loop(product.port, call.shots[:1], patience=5)
            if call.shots[0].status == 200:
                took.append(call.shots[0].answered - begun)
                break
            time.sleep(0.02)
        product.stack.wait_ready()
    return {"seconds": round(sum(took) / len(took), 2) if took else None, "n": len(took)}
