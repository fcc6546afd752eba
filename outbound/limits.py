"""Rate limits with declared keys: a vendor says what it allows, one store counts it for all processes.

The arithmetic is GCRA (a leaky bucket that remembers one number, the theoretical arrival time): a bucket of `burst`
requests that refills at `rate` a second. It is pure; where the number is kept is the store's affair.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from django.utils.translation import gettext_noop as _

from .errors import RateLimited

CLOCKS_DIFFER = 60.0
"""Seconds by which the clocks of our machines may differ."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `burst` requests at once under `key`, refilled at `rate` a second.

    So `burst + rate` may pass within one second: choose figures whose every window fits what the vendor allows.
    """

    key: str
    rate: float
    burst: int = 1


def advance(arrival: float, limit: Limit, now: float) -> tuple[float, float]:
    """One request more: the new theoretical arrival time, and the seconds to wait first (0: go)."""
    interval = 1.0 / limit.rate
    if arrival > now + interval * limit.burst + CLOCKS_DIFFER:
        arrival = now  # further ahead than a used up bucket: it was put there by a clock that has been put back since
    arrival = max(arrival, now)
    wait = arrival + interval - interval * limit.burst - now
    return (arrival, wait) if wait > 1e-9 else (arrival + interval, 0.0)


class Limiter(Protocol):
    """What counts requests for all processes."""

    def take(self, limits: tuple[Limit, ...]) -> float:
        """Take one request from every limit, or from none: the seconds to wait (0: taken)."""

    def block(self, key: str, seconds: float) -> None:
        """Let nothing through under `key` for so long: the vendor told us to stop."""

    def blocked(self, keys: tuple[str, ...]) -> dict[str, float]:
        """The keys among these that are blocked, and for how many seconds yet. Takes nothing."""


class MemoryLimiter:
    """A limiter of this process alone: for scripts and tests."""

    def __init__(self) -> None:
        self._arrivals: dict[str, float] = {}
        self._blocked: dict[str, float] = {}

    def take(self, limits: tuple[Limit, ...]) -> float:
        now = time.time()
        steps = [(limit.key, *advance(self._arrivals.get(limit.key, 0.0), limit, now)) for limit in limits]
        wait = max(
            [wait for _, _, wait in steps] + list(self.blocked(tuple(limit.key for limit in limits)).values()) + [0.0]
        )
        if not wait:
            self._arrivals.update({key: arrival for key, arrival, _ in steps})
        return wait

    def block(self, key: str, seconds: float) -> None:
        self._blocked[key] = max(self._blocked.get(key, 0.0), time.time() + seconds)

    def blocked(self, keys: tuple[str, ...]) -> dict[str, float]:
        now = time.time()
        return {key: wait for key in keys if (wait := self._blocked.get(key, 0.0) - now) > 0}


def take_within(limiter: Limiter, limits: tuple[Limit, ...], budget: float) -> None:
    """Take one request from `limits`, waiting at most `budget` seconds.

    Raises `RateLimited` (with `retry_after`) at once when the wait would be longer than the budget.
    """
    end = time.monotonic() + budget
    while wait := limiter.take(limits):
        if time.monotonic() + wait > end:
            raise RateLimited(_("our own limit for this account is used up"), code="own_limit", retry_after=wait)
        time.sleep(wait)
