"""What the hot path must know of connections, remembered in this process and dropped when configuration changes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from django.db.models import Q
from django.utils import timezone

from employees import installation
from employees.models import Extension

from .models import Connection, WebhookAddress, digest
from .providers.base import Provider


@dataclass(frozen=True, slots=True)
class Address:
    """Whom a request is for: a connection by the token of its own address, or an account on a shared path."""

    provider: str
    token: str = ""
    account: str = ""

    @property
    def digest(self) -> str:
        return digest(f"account.{self.provider}", self.account) if self.account else digest("webhook", self.token)


@dataclass(frozen=True, slots=True)
class Known:
    """A connection as the hot path needs it."""

    id: int
    uuid: str
    company_id: int
    provider: Provider
    secrets: dict[str, str]
    region: str
    clock_shift: int | None
    active: bool


@dataclass(frozen=True, slots=True)
class Short:
    """Whose a short number is, and what is to be done with its calls (`Extension.Handling`)."""

    handling: str
    employee_id: int | None = None


@dataclass(slots=True)
class _Memory:
    version: int = -1
    looked_at: float = 0.0
    by_id: dict[int, Known] = field(default_factory=dict)
    by_address: dict[Address, tuple[Known, ...]] = field(default_factory=dict)
    inhabited: frozenset[str] | None = None
    extensions: dict[int, dict[str, Short]] = field(default_factory=dict)


_memory = _Memory()
_lock = threading.Lock()
STRANGER_SECONDS = 1.0
"""How long nobody asks again whether an address has come to be."""


def refresh() -> None:
    """Forget everything if configuration has changed since."""
    global _memory
    if installation.refresh() != _memory.version:
        with _lock:
            _memory = _Memory(version=installation.seen)
    _memory.looked_at = time.monotonic()


def forget() -> None:
    """Drop everything: a transaction whose rows are remembered here was rolled back."""
    global _memory
    with _lock:
        _memory = _Memory()


def peek(address: Address) -> tuple[Known, ...] | None:
    """The connections behind an address, if they are remembered: no database."""
    return _memory.by_address.get(address)


def is_stranger(address: Address) -> bool:
    """Whether, as far as was looked a moment ago, nobody has this address: no database, and nothing to remember of
    those who guess."""
    memory = _memory
    if address in memory.by_address or memory.inhabited is None:
        return False
    if time.monotonic() - memory.looked_at > STRANGER_SECONDS:
        return False
    return address.digest not in memory.inhabited


def find(address: Address) -> tuple[Known, ...]:
    """The connections behind an address. Several may claim one account."""
    refresh()
    memory = _memory
    if memory.inhabited is None:
        memory.inhabited = _inhabited()
    if is_stranger(address):
        return ()
    return _of_account(address, memory) if address.account else _of_token(address, memory)


def _of_account(address: Address, memory: _Memory) -> tuple[Known, ...]:
    rows = Connection.objects.filter(provider=address.provider, account_digest=address.digest).order_by("id")
    known = tuple(memory.by_id.setdefault(row.id, _known(row)) for row in rows.select_related("company"))
    if known:
        memory.by_address[address] = known
    return known


def _of_token(address: Address, memory: _Memory) -> tuple[Known, ...]:
    row = (
        WebhookAddress.objects.filter(digest=address.digest, connection__provider=address.provider)
        .filter(Q(retires_at=None) | Q(retires_at__gt=timezone.now()))
        .select_related("connection__company")
        .first()
    )
    if row is None:
        return ()
    known = (memory.by_id.setdefault(row.connection_id, _known(row.connection)),)
    if row.retires_at is None:  # a retiring address is looked up each time, so that it ends when it should
        memory.by_address[address] = known
    return known


def _inhabited() -> frozenset[str]:
    """Digests of all addresses and accounts."""
    accounts = Connection.objects.exclude(account_digest="").values_list("account_digest", flat=True)
    return frozenset([*WebhookAddress.objects.values_list("digest", flat=True), *accounts])


def by_id(connection_id: int) -> Known:
    memory = _memory
    known = memory.by_id.get(connection_id)
    if known is None:
        connection = Connection.objects.select_related("company").get(pk=connection_id)
        known = memory.by_id.setdefault(connection_id, _known(connection))
    return known


def extensions(company_id: int) -> dict[str, Short]:
    """All extensions of a company that have been seen or entered."""
    memory = _memory
    known = memory.extensions.get(company_id)
    if known is None:
        rows = Extension.objects.filter(company_id=company_id).values_list("number", "handling", "employee_id")
        known = {number: Short(handling, employee_id) for number, handling, employee_id in rows}
        memory.extensions[company_id] = known
    return known


def _known(connection: Connection) -> Known:
    return Known(
        id=connection.id,
        uuid=str(connection.uuid),
        company_id=connection.company_id,
        provider=connection.protocol,
        secrets=connection.credentials,
        region=connection.company.region,
        clock_shift=connection.clock_shift,
        active=connection.active,
    )
