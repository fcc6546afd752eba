"""Support's search over all companies: a number in any spelling, the id of a call, a name, an e-mail."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Q

from employees import phones
from employees.models import Company, Membership
from telephony.models import Call, CallAlias, Connection, VirtualNumber

from .models import Credential

MOST = 50
SHORTEST = 3
"""Letters of a name: with fewer everybody would be found."""


@dataclass
class Found:
    """What was found, each kind by itself and at most `MOST` of it."""

    calls: list[Call] = field(default_factory=list)
    numbers: list[VirtualNumber] = field(default_factory=list)
    companies: list[Company] = field(default_factory=list)
    members: list[Membership] = field(default_factory=list)
    accounts: list[Credential] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.calls, self.numbers, self.companies, self.members, self.accounts))


def search(text: str) -> Found:
    """Everything that `text` may name. A part of a number is not looked for: that would read every call there is."""
    companies = list(Company.objects.all())
    if uuid := _uuid(text):
        return _by_uuid(uuid)
    numbers = {phones.normalise(text, region) for region in {row.region for row in companies}}
    numbers = {number for number in numbers if phones.is_phone(number)}
    calls = _called(text) | _with_number(numbers, companies)
    return Found(
        calls=_newest(Q(pk__in=calls)),
        numbers=list(VirtualNumber.objects.filter(number__in=numbers).select_related("company", "connection")[:MOST]),
        **_named(text, companies),
    )


# With its company or connection each of these is a step in an index, and without it every row there is.


def _with_number(numbers: set[str], companies: list[Company]) -> set[int]:
    """The newest calls with clients of these numbers."""
    if not numbers:
        return set()
    rows = Call.objects.filter(company__in=[row.pk for row in companies], client_phone__in=numbers)
    return set(rows.order_by("-started_at", "-id").values_list("pk", flat=True)[:MOST])


def _called(key: str) -> set[int]:
    """Calls that a vendor knows by this id."""
    connections = list(Connection.objects.values_list("pk", flat=True))
    calls = Call.objects.filter(connection__in=connections, key=key).values_list("pk", flat=True)
    aliases = CallAlias.objects.filter(connection__in=connections, key=key).values_list("call", flat=True)
    return {*calls[:MOST], *aliases[:MOST]}


def _newest(calls: Q) -> list[Call]:
    rows = Call.objects.filter(calls).select_related("company", "connection", "employee")
    return list(rows.order_by("-started_at", "-id")[:MOST])


def _by_uuid(uuid: UUID) -> Found:
    """A call, or what else has an id of ours that people see in addresses."""
    companies = Q(uuid=uuid) | Q(connections__uuid=uuid) | Q(integrations__uuid=uuid) | Q(credentials__uuid=uuid)
    return Found(calls=_newest(Q(uuid=uuid)), companies=list(Company.objects.filter(companies).distinct()))


def _named(text: str, companies: list[Company]) -> dict[str, list]:
    """Companies by name, members by e-mail, CRM accounts by name or address."""
    if len(text) < SHORTEST:
        return {}
    asked = text.casefold()
    members = Membership.objects.filter(user__email__icontains=text).select_related("user", "company")
    accounts = Credential.objects.filter(Q(domain__icontains=text) | Q(name__icontains=text)).select_related("company")
    return {
        "companies": [row for row in companies if asked in row.name.casefold()][:MOST],
        "members": list(members.order_by("user__email")[:MOST]),
        "accounts": list(accounts.order_by("domain")[:MOST]),
    }


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
