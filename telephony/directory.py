"""What the hot path must know of connections, remembered in this process and dropped when configuration changes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from django.db.models import Q
from django.utils import timezone

from employees import installation
from employees.models import Extension

from .models import Connection, WebhookAddress, digest
from .providers.base import Provider, Refused, Request


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
    by_id: dict[int, Known] = field(default_factory=dict)
    by_token: dict[tuple[str, str], Known] = field(default_factory=dict)
    strangers: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)
    extensions: dict[int, dict[str, Short]] = field(default_factory=dict)


_memory = _Memory()
_lock = threading.Lock()
STRANGER_SECONDS = 5
MAX_STRANGERS = 10_000


def refresh() -> None:
    """Forget everything if configuration has changed since."""
    global _memory
    if installation.refresh() != _memory.version:
        with _lock:
            _memory = _Memory(version=installation.seen)


def forget() -> None:
    """Drop everything: a transaction whose rows are remembered here was rolled back."""
    global _memory
    with _lock:
        _memory = _Memory()


def peek(provider: str, token: str) -> Known | None:
    """The connection behind an address, if it is remembered: no database."""
    return _memory.by_token.get((provider, token))


def is_stranger(provider: str, token: str) -> bool:
    """Whether this address was just looked for in vain: no database."""
    return _memory.strangers.get((provider, token), 0) > time.monotonic()


def find(provider: str, token: str) -> Known | None:
    """The connection behind an address."""
    refresh()
    memory = _memory
    now = timezone.now()
    address = (
        WebhookAddress.objects.filter(digest=digest("webhook", token), connection__provider=provider)
        .filter(Q(retires_at=None) | Q(retires_at__gt=now))
        .select_related("connection__company")
        .first()
    )
    if address is None:
        memory.strangers[(provider, token)] = time.monotonic() + STRANGER_SECONDS
        while len(memory.strangers) > MAX_STRANGERS:
            memory.strangers.popitem(last=False)
        return None
    known = memory.by_id.setdefault(address.connection_id, _known(address.connection))
    if address.retires_at is None:  # a retiring address is looked up each time, so that it ends when it should
        memory.by_token[(provider, token)] = known
    return known


def find_by_account(provider: Provider, request: Request) -> Known | None:
    """The connection that a request to a shared path names and proves. Several may claim one account."""
    refresh()
    account = provider.identify(request)
    rows = Connection.objects.filter(
        provider=provider.slug, account_digest=digest(f"account.{provider.slug}", account)
    ).select_related("company")
    for connection in rows:
        known = _memory.by_id.setdefault(connection.id, _known(connection))
        try:
            provider.authenticate(request, known.secrets)
        except Refused:
            continue
        return known
    return None


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
