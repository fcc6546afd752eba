"""Requests to a connection that were refused at the door lately: for whoever sets up its PBX. They stand in the cache
for an hour and nowhere else; a cache that is down loses them, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.core.cache import cache
from django.utils import timezone

from .providers.base import Refused

KEPT_SECONDS = 3600
MOST = 20


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """`code` and `why` are those of the refusal."""

    at: datetime
    status: int
    code: str
    why: str
    remote: str


def note(connections: Iterable[int], refusal: Refused, remote: str) -> None:
    row = TurnedAway(timezone.now(), refusal.reply.status, refusal.code, refusal.why, remote)
    for connection_id in connections:
        cache.set(_name(connection_id), [*_kept(connection_id), row][-MOST:], KEPT_SECONDS)


def since(connection_id: int, moment: datetime) -> list[TurnedAway]:
    """The earliest first."""
    return [row for row in _kept(connection_id) if row.at >= moment]


def _kept(connection_id: int) -> list[TurnedAway]:
    return list(cache.get(_name(connection_id), ()))


def _name(connection_id: int) -> str:
    return f"turned-away:{connection_id}"
