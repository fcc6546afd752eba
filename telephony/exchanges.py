"""Speaking to a vendor in the name of an account: limits counted over all processes, every exchange written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from django.conf import settings

from outbound.http import Exchange as Masked
from outbound.http import Http
from outbound.limits import Limit, advance

from . import statements
from .hot import hot_write
from .models import Connection, Exchange, ExchangeCall, RateState

LONGEST_BLOCK = 24 * 3600.0
"""Seconds: the longest for which a vendor tells us to stop."""


class DatabaseLimiter:
    """A limiter whose numbers lie in the database: one for all processes, and a restart forgets nothing."""

    def take(self, limits: tuple[Limit, ...]) -> float:
        if not limits:
            return 0.0
        with hot_write():
            return self.take_each([limits])[0]

    @staticmethod
    def take_each(wishes: Sequence[tuple[Limit, ...]]) -> list[float]:
        """For each wish one request from all of its limits or from none: the seconds to wait (0: taken).

        Inside a transaction of the caller's.
        """
        now = time.time()
        rows = _rate_states({limit.key for limits in wishes for limit in limits})
        waits, taken = [], {}
        for limits in wishes:
            steps = [(rows[limit.key], *advance(rows[limit.key].arrival, limit, now)) for limit in limits]
            wait = max((max(wait, row.blocked_until - now) for row, _, wait in steps), default=0.0)
            if wait <= 0:
                for row, arrival, _ in steps:
                    row.arrival, taken[row.key] = arrival, row
            waits.append(max(wait, 0.0))
        statements.update(taken.values(), ["arrival"])
        return waits

    def block(self, key: str, seconds: float) -> None:
        until = time.time() + seconds
        with hot_write():
            if not RateState.objects.filter(key=key, blocked_until__gte=until).exists():
                RateState.objects.update_or_create(key=key, defaults={"blocked_until": until})

    def mend_after_a_clock_step(self) -> None:
        """Our clock was put back: nothing is blocked until a time it showed before (arrivals mend themselves)."""
        with hot_write():
            RateState.objects.filter(blocked_until__gt=time.time() + LONGEST_BLOCK).update(blocked_until=0)

    def blocked(self, keys: tuple[str, ...]) -> dict[str, float]:
        now = time.time()
        rows = RateState.objects.filter(key__in=keys, blocked_until__gt=now).values_list("key", "blocked_until")
        return {key: until - now for key, until in rows}


def _rate_states(keys: set[str]) -> dict[str, RateState]:
    """Locked; by key, as everybody locks them."""
    rows = statements.select(RateState, {"key": keys}, order="key", lock=statements.WAIT)
    if len(rows) < len(keys):
        RateState.objects.bulk_create([RateState(key=key) for key in sorted(keys)], ignore_conflicts=True)
        rows = statements.select(RateState, {"key": keys}, order="key", lock=statements.WAIT)
    return {row.key: row for row in rows}


limiter = DatabaseLimiter()


def row_of(masked: Masked, *, company_id: int, vendor: str, account: UUID | str, purpose: str = "") -> Exchange:
    return Exchange(
        company_id=company_id,
        vendor=vendor,
        account=account,
        purpose=purpose,
        at=masked.at,
        method=masked.method,
        url=masked.url,
        request=masked.request,
        status=masked.status,
        answer=masked.answer,
        milliseconds=masked.milliseconds,
        error=masked.error,
    )


def write(rows: Iterable[tuple[Exchange, Iterable[int]]]) -> None:
    """Write exchanges, each with the ids of the calls it spoke of."""
    rows = list(rows)
    statements.insert_for_ids([exchange for exchange, _ in rows])
    statements.insert([ExchangeCall(exchange=row, call_id=call_id) for row, ids in rows for call_id in set(ids)])


def http_for(
    connection: Connection, *, purpose: str, call_id: int | None = None, deadline: float = 15.0, patience: float = 2.0
) -> Http:
    """How this connection speaks to its PBX."""

    def record(masked: Masked) -> None:
        row = row_of(
            masked,
            company_id=connection.company_id,
            vendor=connection.provider,
            account=connection.uuid,
            purpose=purpose,
        )
        with hot_write():
            write([(row, [call_id] if call_id else [])])

    return open_http(secrets=_secret_values(connection), record=record, deadline=deadline, patience=patience)


def open_http(
    *, secrets: Iterable[str], record: Callable[[Masked], None], deadline: float = 15.0, patience: float = 2.0
) -> Http:
    return Http(
        secrets=tuple(secrets),
        limiter=limiter,
        record=record,
        allow_private=settings.ALLOW_PRIVATE_HOSTS,
        deadline=deadline,
        patience=patience,
    )


def _secret_values(connection: Connection) -> list[str]:
    names = connection.protocol.secret_fields
    return [value for name, value in connection.credentials.items() if name in names and value]
