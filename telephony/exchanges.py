"""Speaking to a vendor in the name of an account: limits counted over all processes, every exchange written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from uuid import UUID

from django.conf import settings

from outbound.http import Exchange as Masked
from outbound.http import Http
from outbound.limits import Limit, advance

from .hot import hot_write, upsert
from .models import Connection, Exchange, ExchangeCall, RateState


class DatabaseLimiter:
    """A limiter whose numbers lie in the database: one for all processes, and a restart forgets nothing."""

    def take(self, limits: tuple[Limit, ...]) -> float:
        if not limits:
            return 0.0
        with hot_write():
            return self.take_in_transaction(limits)

    @staticmethod
    def take_in_transaction(limits: tuple[Limit, ...]) -> float:
        """The same, inside a transaction of the caller's."""
        now = time.time()
        keys = sorted(limit.key for limit in limits)
        rows = {row.key: row for row in RateState.objects.select_for_update().filter(key__in=keys).order_by("key")}
        if len(rows) < len(keys):
            RateState.objects.bulk_create([RateState(key=key) for key in keys], ignore_conflicts=True)
            rows = {row.key: row for row in RateState.objects.select_for_update().filter(key__in=keys).order_by("key")}
        longest = 0.0
        for limit in limits:
            row = rows[limit.key]
            row.arrival, wait = advance(row.arrival, limit, now)
            longest = max(longest, wait, row.blocked_until - now)
        if not longest:
            RateState.objects.bulk_create(
                rows.values(), update_conflicts=True, unique_fields=["key"], update_fields=["arrival"]
            )
        return longest

    def block(self, key: str, seconds: float) -> None:
        until = time.time() + seconds
        with hot_write():
            if not RateState.objects.filter(key=key, blocked_until__gte=until).exists():
                RateState.objects.update_or_create(key=key, defaults={"blocked_until": until})

    def blocked(self, keys: tuple[str, ...]) -> dict[str, float]:
        now = time.time()
        rows = RateState.objects.filter(key__in=keys, blocked_until__gt=now).values_list("key", "blocked_until")
        return {key: until - now for key, until in rows}


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
    Exchange.objects.bulk_create([exchange for exchange, _ in rows])
    links = [ExchangeCall(exchange=exchange, call_id=call_id) for exchange, ids in rows for call_id in set(ids)]
    if links:
        ExchangeCall.objects.bulk_create(links)


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


__all__ = ["DatabaseLimiter", "http_for", "limiter", "open_http", "row_of", "upsert", "write"]
