"""Which integrations want the calls of a connection, remembered in this process until configuration changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_adapters.base import Adapter, CallFacts, Job, Step
from employees import installation
from employees.models import Company, Employee, EmployeePhone
from telephony import hours as working_hours
from telephony.coverage import zone_of
from telephony.models import Call, Connection, VirtualNumber

from . import knowing
from .models import Integration, Rule, WebhookEndpoint


@dataclass(frozen=True, slots=True)
class Mapped:
    """An employee's user in the CRM."""

    crm_user: str
    use_for_personal_manager: bool


@dataclass(frozen=True, slots=True)
class Differing:
    """A rule. Conditions that are empty fit every call."""

    direction: str
    outcome: str
    client: str
    hours: str
    numbers: frozenset[str]
    settings: dict[str, Any]

    def fits(self, call: Call, known: bool | None) -> bool:
        """`known`: whether the CRM knows the client; None while, or where, nobody has asked."""
        if self.hours and self.hours != _when(call):
            return False
        who = "" if known is None else "known" if known else "unknown"
        answered = "answered" if call.outcome == Rule.Outcome.ANSWERED else "unanswered"
        return (
            self.direction in ("", call.direction)
            and self.outcome in ("", answered if call.outcome else "")
            and self.client in ("", who)
            and (not self.numbers or call.virtual_number in self.numbers)
        )


@dataclass(frozen=True, slots=True)
class Wanting:
    """An active integration, as planning and syncing need it. `numbers` is None where no filter is set."""

    integration_id: int
    integration: UUID
    credential_id: int
    account: str
    company_id: int
    adapter: Adapter
    settings: dict[str, Any]
    numbers: frozenset[str] | None
    mapping: dict[int, Mapped]
    rules: tuple[Differing, ...] = ()

    def job(self, call: Call, facts: CallFacts, progress: Mapping[str, Any]) -> Job:
        """What an adapter needs to know. Of the rules the first that fits the call lays its settings over the usual."""
        known = progress.get(knowing.KNOWN)
        rule = next((each for each in self.rules if each.fits(call, known)), None)
        return Job(facts, {**self.settings, **rule.settings} if rule else self.settings, progress)

    def plan(self, job: Job) -> Step | None:
        """The next step: the adapter's, after the look-up that a rule depends on."""
        depends = any(rule.client for rule in self.rules)
        return (knowing.step(job) if depends else None) or self.adapter.plan(job)


@dataclass(frozen=True, slots=True)
class Hearing:
    """An endpoint that is switched on. It hears of all connections where it names none."""

    endpoint_id: int
    kinds: frozenset[str]
    connections: frozenset[int]

    def wants(self, kind: str, connection_id: int | None) -> bool:
        fits = connection_id is None or not self.connections or connection_id in self.connections
        return fits and kind in self.kinds


@dataclass(slots=True)
class _Memory:
    version: int = -1
    by_connection: dict[int, list[Wanting]] = field(default_factory=dict)
    by_id: dict[int, Wanting] = field(default_factory=dict)
    lines: dict[int, dict[str, str]] = field(default_factory=dict)
    hours: dict[int, dict[str, working_hours.Hours | None]] = field(default_factory=dict)
    zones: dict[int, ZoneInfo] = field(default_factory=dict)
    employee_phones: dict[int, dict[str, int]] = field(default_factory=dict)
    endpoints: dict[int, list[Hearing]] | None = None
    connections: dict[int, tuple[str, str]] = field(default_factory=dict)
    employees: dict[int, dict[int, dict[str, str]]] = field(default_factory=dict)


_memory = _Memory()


def _current() -> _Memory:
    global _memory
    if _memory.version != installation.seen:
        _memory = _Memory(version=installation.seen)
    return _memory


def of_connection(connection_id: int) -> list[Wanting]:
    """Active integrations fed by this connection, in the order in which they were made."""
    memory = _current()
    found = memory.by_connection.get(connection_id)
    if found is None:
        rows = Integration.objects.filter(active=True, connections=connection_id).order_by("id")
        found = memory.by_connection[connection_id] = [by_id(pk) for pk in rows.values_list("id", flat=True)]
    return found


def by_id(integration_id: int) -> Wanting:
    """Also an integration that was switched off meanwhile: what it began is brought to its end."""
    memory = _current()
    found = memory.by_id.get(integration_id)
    if found is None:
        row = Integration.objects.select_related("credential").get(pk=integration_id)
        found = memory.by_id[integration_id] = _wanting(row)
    return found


def _wanting(row: Integration) -> Wanting:
    numbers = frozenset(row.numbers.values_list("number", flat=True)) if row.filter_numbers else None
    mapping = {
        mapped.employee_id: Mapped(mapped.crm_user, mapped.use_for_personal_manager) for mapped in row.mapping.all()
    }
    return Wanting(
        integration_id=row.pk,
        integration=row.uuid,
        credential_id=row.credential_id,
        account=row.credential.account,
        company_id=row.company_id,
        adapter=row.credential.adapter,
        settings=row.settings,
        numbers=numbers,
        mapping=mapping,
        rules=tuple(_differing(rule) for rule in row.rules.prefetch_related("numbers")),
    )


def _differing(rule: Rule) -> Differing:
    numbers = frozenset(row.number for row in rule.numbers.all())
    return Differing(rule.direction, rule.outcome, rule.client, rule.hours, numbers, rule.settings)


def line_name(connection_id: int, number: str) -> str:
    lines = _current().lines
    if connection_id not in lines:
        rows = VirtualNumber.objects.filter(connection_id=connection_id).values_list("number", "line_name")
        lines[connection_id] = dict(rows)
    return lines[connection_id].get(number, "")


def _when(call: Call) -> str:
    """`working` or `off` where the line's hours are known, by the clock of the company."""
    known = _current().hours
    if call.connection_id not in known:
        rows = VirtualNumber.objects.filter(connection_id=call.connection_id).exclude(hours="")
        known[call.connection_id] = {row.number: working_hours.read(row.hours) for row in rows}
    found = known[call.connection_id].get(call.virtual_number)
    if found is None:
        return ""
    return Rule.Hours.WORKING if found.are_now(call.started_at, _zone(call.company_id)) else Rule.Hours.OFF


def _zone(company_id: int) -> ZoneInfo:
    zones = _current().zones
    if company_id not in zones:
        zones[company_id] = zone_of(Company.objects.get(pk=company_id))
    return zones[company_id]


def is_employee_phone(company_id: int, phone: str) -> bool:
    return phone in _employee_phones(company_id)


def phone_of(company_id: int, employee_id: int) -> str:
    """A phone of an employee; empty where he has none."""
    owners = _employee_phones(company_id).items()
    return next((phone for phone, owner in owners if owner == employee_id), "")


def _employee_phones(company_id: int) -> dict[str, int]:
    """Whose each phone is."""
    known = _current().employee_phones
    if company_id not in known:
        rows = EmployeePhone.objects.filter(company_id=company_id).order_by("id")
        known[company_id] = dict(rows.values_list("phone", "employee_id"))
    return known[company_id]


# --- What webhooks need -----------------------------------------------------------------------------------------------


def endpoints(company_id: int) -> list[Hearing]:
    """Those of a company that are switched on. All companies' are read at once: most have none, and for them this is a
    look into a dictionary."""
    memory = _current()
    if memory.endpoints is None:
        found: dict[int, list[Hearing]] = {}
        for row in WebhookEndpoint.objects.filter(active=True).defer("url", "secrets").prefetch_related("connections"):
            connections = frozenset(connection.pk for connection in row.connections.all())
            found.setdefault(row.company_id, []).append(Hearing(row.pk, frozenset(row.kinds.split()), connections))
        memory.endpoints = found
    return memory.endpoints.get(company_id, [])


def connection(connection_id: int) -> tuple[str, str]:
    """Its id as others know it, and its name."""
    known = _current().connections
    if connection_id not in known:
        row = Connection.objects.only("uuid", "name").get(pk=connection_id)
        known[connection_id] = (str(row.uuid), row.name)
    return known[connection_id]


def employee(company_id: int, employee_id: int) -> dict[str, str] | None:
    """`id` (as others know it) and `name`; None of somebody who was deleted meanwhile."""
    known = _current().employees
    if company_id not in known:
        rows = Employee.objects.filter(company_id=company_id).values_list("pk", "uuid", "name")
        known[company_id] = {pk: {"id": str(uuid), "name": name} for pk, uuid, name in rows}
    return known[company_id].get(employee_id)
