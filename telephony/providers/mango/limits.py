"""What Mango allows an account, and what we stop when it has called a request wrong.

Source: official document of the VPBX API v1.9, "Limits": for one PBX 10 requests a second in all, of them 4 callbacks
and 4 hang-ups; transfers, routes, lists of employees and reports one in two seconds each. More than one wrong request
(3xxx) within two minutes locks the whole account until two minutes after the first.
"""

from __future__ import annotations

import enum
import hashlib

from outbound.limits import Limit, Limiter
from telephony.providers.base import Secrets

from . import codes

LOCK_SECONDS = 125.0
"""The two minutes of the lock, and some seconds for two clocks that differ."""


class Kind(enum.StrEnum):
    """The kinds of requests that are counted, and stopped, each on its own."""

    CALLBACK = "callback"
    HANGUP = "hangup"
    TRANSFER = "transfer"
    ROUTE = "route"
    USERS = "users"
    LINES = "lines"
    STATS = "stats"
    REPORTS = "reports"
    RECORDINGS = "recordings"
    TRACKING = "tracking"


# (rate, burst). Mango counts requests in a second, our limiter lets a whole burst go and refills meanwhile: so that no
# second has more than Mango allows, rate and burst together make what it allows. The slow kinds keep a little more than
# their two seconds apart, for the way there takes one request longer than another.
_TOTAL = (7.0, 2)
_COMMANDS = (3.0, 1)
_SLOW = (0.48, 1)
_RATES: dict[Kind, tuple[float, int]] = {
    Kind.CALLBACK: _COMMANDS,
    Kind.HANGUP: _COMMANDS,
    Kind.TRANSFER: _SLOW,
    Kind.ROUTE: _SLOW,
    Kind.USERS: _SLOW,
    Kind.STATS: _SLOW,
}
# Never waits for its turn: the total leaves room for it, so no download of recordings can keep it from going.
_BESIDES_THE_TOTAL = frozenset({Kind.ROUTE})
# Counts nothing; it is there to be blocked.
_GATE = (1000.0, 1000)
_CONVERSATION = frozenset({Kind.ROUTE, Kind.HANGUP})


class Limits:
    """The limits of one account. Keys hold digests: no key of the vendor's lies in a store of ours."""

    def __init__(self, secrets: Secrets):
        key, salt = secrets.get("api_key", ""), secrets.get("api_salt", "")
        self._account = f"mango:{_digest(key)}"
        # A pair of its own, so that who mends a wrong secret need not wait until the wrong one is forgotten.
        self._credentials = Limit(f"{self._account}:pair:{_digest(key + salt)}", *_GATE)
        self._lock = Limit(f"{self._account}:lock", *_GATE)
        self._total = Limit(f"{self._account}:total", *_TOTAL)

    def of(self, kind: Kind) -> tuple[Limit, ...]:
        """What a request of this kind is counted under."""
        counted = (self._kind(kind),) if kind in _BESIDES_THE_TOTAL else (self._total, self._kind(kind))
        return self._credentials, self._lock, *counted

    def locked(self, limiter: Limiter) -> None:
        """The vendor has locked the account: stop everything."""
        limiter.block(self._lock.key, LOCK_SECONDS)

    def wrong(self, limiter: Limiter, kind: Kind, code: int) -> None:
        """The vendor called a request wrong: let no second one follow before it has forgotten the first."""
        if codes.known(code) in (codes.SIGNATURE_WRONG, codes.KEY_WRONG):
            limiter.block(self._credentials.key, LOCK_SECONDS)
            return
        stopped = {kind, *(set(Kind) - _CONVERSATION)} if codes.is_malformed(code) else {kind}
        for each in stopped:
            limiter.block(self._kind(each).key, LOCK_SECONDS)

    def _kind(self, kind: Kind) -> Limit:
        return Limit(f"{self._account}:{kind.value}", *_RATES.get(kind, _TOTAL))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
