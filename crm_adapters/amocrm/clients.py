"""Whom amoCRM knows behind a telephone number.

`query` searches all fields, and phones by a few last digits only, so what it finds is filtered by its PHONE fields. The
national ten digits find however a number was typed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from . import wire
from .api import Account

CLOSED = (142, 143)
"""Statuses of deals that are won and lost, the same in all pipelines."""
FOUND = 50


@dataclass(frozen=True, slots=True)
class Found:
    """A contact, or (`kind`) a company."""

    kind: str
    row: wire.Client
    others: tuple[wire.Client, ...] = ()

    @property
    def manager(self) -> str:
        return str(self.row.responsible_user_id or "")


def digits(phone: str) -> str:
    """The last ten digits, by which amoCRM itself compares numbers of calls."""
    return "".join(filter(str.isdecimal, phone))[-10:]


def find(account: Account, phone: str, deadline: float | None = None) -> Found | None:
    """A contact with this phone, else a company: those with deals first, then the newest. One request or two.

    `deadline` seconds hold for both together.
    """
    end = time.monotonic() + (account.http.deadline if deadline is None else deadline)
    for kind in ("contacts", "companies"):
        params = {"query": digits(phone), "with": "leads", "limit": str(FOUND)}
        body = account.get(f"/api/v4/{kind}", params, end - time.monotonic())
        rows = [row for row in wire.embedded(wire.Client, body, kind) if row.id and _has(row, phone)]
        if rows:
            rows.sort(key=lambda row: (not row.leads, -row.updated_at, row.id))
            return Found(kind, rows[0], tuple(rows[1:]))
    return None


def _has(row: wire.Client, phone: str) -> bool:
    return any(is_same(each, phone) for each in row.phones)


def is_same(typed: str, phone: str) -> bool:
    """Whether what somebody typed is `phone` (E.164): with its country's code, with 8 for +7, or without any."""
    one, other = "".join(filter(str.isdecimal, typed)), "".join(filter(str.isdecimal, phone))
    if one == other or one[-10:] != other[-10:]:
        return one == other
    return len(one) <= 10 or (one[:-10] == "8" and other[:-10] == "7" and not typed.strip().startswith("+"))


def leads(account: Account, ids: Sequence[int]) -> list[wire.Lead]:
    """Deals by their ids, the newest first."""
    if not ids:
        return []
    params = {f"filter[id][{place}]": str(each) for place, each in enumerate(sorted(ids, reverse=True)[:FOUND])}
    body = account.get("/api/v4/leads", {**params, "limit": str(FOUND)})
    found = [row for row in wire.embedded(wire.Lead, body, "leads") if row.id in ids and not row.is_deleted]
    return sorted(found, key=lambda row: (-row.created_at, -row.id))


def newest_active(account: Account, ids: Sequence[int]) -> int:
    """The newest deal that is neither won nor lost; 0 where there is none."""
    return next((row.id for row in leads(account, ids) if row.status_id not in CLOSED), 0)
