"""Faults that are switched at run time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

KINDS = frozenset(
    {
        "down",
        "reset",
        "slow",
        "no_answer",
        "html200",
        "html500",
        "truncated",
        "empty",
        "too_many",
        "expired_token",
        "rate_limited",
        "error",
    }
)
TARGETS = frozenset({"rest", "oauth", "all"})


@dataclass(slots=True)
class Fault:
    """One fault. `method` narrows it to a method (also inside a batch), `count` to the next N matches after `skip`.

    `after`: the request is executed first, and only its answer is spoilt (always so for `no_answer`, `truncated` and
    `empty`). `too_many` is HTTP 429 with a Retry-After of `seconds`, as something in front of a portal may say it.
    """

    id: int
    kind: str
    portal: str | None = None
    method: str | None = None
    skip: int = 0
    count: int | None = None
    until: float | None = None
    seconds: float = 60.0
    status: int = 400
    error: str = "INTERNAL_SERVER_ERROR"
    error_description: str = "Internal server error"
    target: str = "rest"
    after: bool = False
    hits: int = 0

    def matches(self, portal: str, target: str, methods: Iterable[str], now: float) -> bool:
        return (
            (self.count is None or self.count > 0)
            and (self.until is None or now < self.until)
            and (self.portal is None or self.portal == portal)
            and self.target in (target, "all")
            and (self.method is None or any(self.method == name for name in methods))
        )

    def skips(self) -> bool:
        """Whether this request is one of those to be left alone first."""
        self.skip -= 1
        return self.skip >= 0

    def use(self) -> Fault:
        self.hits += 1
        if self.count is not None:
            self.count -= 1
        return self


class Faults:
    """The switchboard."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self.items: list[Fault] = []

    def add(self, kind: str, *, for_seconds: float | None = None, **options: Any) -> Fault:
        """Switch a fault on, for `for_seconds`, `count` times, or until it is cleared."""
        if kind not in KINDS or options.get("target", "rest") not in TARGETS:
            raise ValueError(f"unknown fault {kind!r} or target {options.get('target')!r}")
        if options.get("method"):
            options["method"] = str(options["method"]).lower()
        fault = Fault(next(self._ids), kind, **options)
        fault.after = fault.after or kind in ("no_answer", "truncated", "empty")
        fault.until = None if for_seconds is None else self._clock() + for_seconds
        self.items.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> None:
        self.items = [] if fault_id is None else [item for item in self.items if item.id != fault_id]

    def http(self, portal: str, target: str, methods: Iterable[str]) -> list[Fault]:
        """The faults of a whole HTTP exchange (an `error` belongs to a command, see `command`)."""
        now, names = self._clock(), list(methods)
        matching = [f for f in self.items if f.kind != "error" and f.matches(portal, target, names, now)]
        return [f.use() for f in matching if not f.skips()]

    def command(self, portal: str, method: str) -> Fault | None:
        now = self._clock()
        for fault in self.items:
            if fault.kind == "error" and fault.matches(portal, "rest", (method,), now):
                return fault.use()
        return None
