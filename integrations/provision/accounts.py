"""CRM accounts and the integrations that lead into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from crm_adapters import registry as crms
from crm_adapters.base import Adapter
from employees.models import Company, Employee
from integrations import modes, sync
from integrations.models import Credential, EmployeeMapping, Integration
from telephony.models import Connection, VirtualNumber

from .company import Changes, Names, line_of, sole
from .reading import Section
from .vendor_forms import as_texts, filled, secrets_of

CREDENTIAL = ("key", "name", "crm", "credentials")
INTEGRATION = ("key", "name", "connections", "credential", "active", "numbers", "settings", "employee_mapping")
MAPPING = ("extension", "crm_user", "use_for_personal_manager")


class Credentials:
    """CRM accounts by the keys of the file."""

    def __init__(self, company: Company, changes: Changes):
        self.company, self.changes = company, changes
        self.by_key: dict[str, Credential | None] = {}
        """None stands for one that is there in the file, but wrong."""
        self.adapters: dict[str, Adapter | None] = {}

    def bring(self, file: Section) -> None:
        keys, names = Names(), Names()
        for section in file.sections("crm_credentials", CREDENTIAL):
            key, adapter = section.text("key", required=True), self._adapter(section)
            if not key or not keys.new(section, section.fields["key"], key):
                continue
            name = section.text("name") or key
            self.by_key[key], self.adapters[key] = None, adapter
            if adapter and names.new(section, section.fields.get("name", section.fields["key"]), name):
                self.by_key[key] = self._credential(section, name, adapter)

    @staticmethod
    def _adapter(section: Section) -> Adapter | None:
        slug = section.text("crm", required=True)
        known = crms.all_adapters()
        if slug is not None and slug not in known:
            section.wrong(_("is not installed; there are: %(names)s") % {"names": ", ".join(known)}, "crm")
        return known.get(slug or "")

    def _credential(self, section: Section, name: str, adapter: Adapter) -> Credential | None:
        rows = Credential.objects.select_for_update().filter(company=self.company, name=name)
        row = sole(rows, section, "name" if "name" in section.fields else "key")
        if row and row.crm != adapter.slug:
            section.wrong(_("this account is there already, in another CRM: give it another name"), "crm")
            return None
        tokens = adapter.token_fields
        words = section.section("credentials", (*adapter.credential_form.base_fields, *tokens))
        stored = row.values if row else {}
        cleaned = filled(
            adapter.credential_form, words, stored, secrets_of(adapter.credential_form, adapter.secret_fields)
        )
        given = {token: text for token in tokens if (text := words.text(token, longest=4000))}
        if cleaned is None:
            return None
        values = _merged(row, adapter, as_texts(cleaned), given)
        return self._store(row or Credential(company=self.company, name=name, crm=adapter.slug), values)

    def _store(self, row: Credential, values: dict[str, str]) -> Credential:
        touched: list[str] = []
        new, state = row._state.adding, row.state
        if new or row.values != values:
            row.values = values
            touched = ["secrets", "account_digest", "domain"]
            if row.adapter.connected(values):
                state = Credential.State.READY
        reconnected = not new and state != row.state
        words = row.state_words if state == row.state else ""
        self.changes.put(row, touched, state=state, state_words=words)
        if reconnected:
            sync.resume(row)
        return row


def _merged(row: Credential | None, adapter: Adapter, form: dict[str, str], tokens: dict[str, str]) -> dict[str, str]:
    """What to keep. An account that is connected renews its tokens by itself: those of the file are older by now."""
    if row is None:
        return {**form, **tokens}
    stored = row.values
    if adapter.account({**stored, **form, **tokens}) != adapter.account(stored):
        return {**form, **tokens}  # another account of the CRM: nothing of the old one fits
    if row.state == Credential.State.READY:
        return {**tokens, **stored, **form}
    return {**stored, **form, **tokens}


class Integrations:
    """Integrations by the keys of the file."""

    def __init__(
        self,
        company: Company,
        changes: Changes,
        connections: Mapping[str, Connection | None],
        credentials: Credentials,
    ):
        self.company, self.changes = company, changes
        self.connections, self.credentials = connections, credentials
        self.by_key: dict[str, Integration] = {}

    def bring(self, file: Section) -> None:
        keys, names = Names(), Names()
        for section in file.sections("integrations", INTEGRATION):
            key = section.text("key", required=True)
            if not key or not keys.new(section, section.fields["key"], key):
                continue
            name = section.text("name") or key
            if names.new(section, section.fields.get("name", section.fields["key"]), name):
                self._integration(section, key, name)

    def _integration(self, section: Section, key: str, name: str) -> None:
        rows = Integration.objects.filter(company=self.company, name=name)
        row = sole(rows, section, "name" if "name" in section.fields else "key")
        connections = self._connections(section)
        reference = self._reference(section)
        settings = self._settings(section, reference, row, connections)
        numbers = self._numbers(section, connections)
        mapping = self._mapping(section)
        credential = self.credentials.by_key.get(reference or "")
        if credential is None or settings is None:
            return
        values: dict[str, Any] = {"credential": credential, "settings": settings}
        if (active := section.flag("active")) is not None:
            values["active"] = active
        if numbers is not None:
            values["filter_numbers"] = bool(section.items("numbers"))
        row = row or Integration(company=self.company, name=name)
        self.changes.put(row, **values)
        self._join(row, row.connections, connections)
        if numbers is not None:
            self._join(row, row.numbers, numbers)
        if mapping is not None:
            self._map(row, mapping)
        self.by_key[key] = row

    def _connections(self, section: Section) -> list[Connection]:
        listed = section.texts("connections")
        if not listed and not section.broken and "connections" not in section.fields:
            section.wrong(_("is missing"), "connections")
        elif listed == [] and not section.items("connections"):
            section.wrong(_("is empty"), "connections")
        found = []
        for node, key in listed or ():
            if key not in self.connections:
                section.wrong_at(node, _("there is no connection “%(key)s” in this file") % {"key": key})
            elif connection := self.connections[key]:
                found.append(connection)
        return found

    def _reference(self, section: Section) -> str | None:
        key = section.text("credential", required=True)
        if key is not None and key not in self.credentials.by_key:
            section.wrong(_("there is no CRM account “%(key)s” in this file") % {"key": key}, "credential")
        return key

    def _settings(
        self, section: Section, reference: str | None, row: Integration | None, connections: list[Connection]
    ) -> dict[str, Any] | None:
        adapter = self.credentials.adapters.get(reference or "")
        if adapter is None:
            return None
        same_crm = row is not None and row.credential.crm == adapter.slug
        stored = row.settings if row and same_crm else {}
        given = section.section("settings", adapter.settings_form.base_fields)
        settings = filled(adapter.settings_form, given, stored)
        if settings is not None and (words := modes.refusal(adapter, settings, connections)):
            given.wrong(words)
            return None
        return settings

    def _numbers(self, section: Section, connections: list[Connection]) -> list[VirtualNumber] | None:
        listed = section.texts("numbers")
        if listed is None:
            return None
        found = []
        for node, text in listed:
            number = line_of(section, text, self.company.region, node)
            rows = list(VirtualNumber.objects.filter(connection__in=connections, number=number)) if number else []
            if number and connections and not rows:
                section.wrong_at(node, _("is no number of these connections"))
            found += rows
        return found

    def _mapping(self, section: Section) -> dict[Employee, dict[str, Any]] | None:
        if section.items("employee_mapping") is None:
            return None
        mapping: dict[Employee, dict[str, Any]] = {}
        seen = Names()
        for line in section.sections("employee_mapping", MAPPING):
            number, crm_user = line.text("extension", required=True), line.text("crm_user", required=True, longest=64)
            employee = Employee.objects.filter(extensions__number=number, company=self.company).first()
            if number and employee is None:
                words = _("no employee has the extension “%(number)s”") % {"number": number}
                line.wrong(words, "extension")
            if employee and crm_user and seen.new(line, line.fields["extension"], employee.name):
                values: dict[str, Any] = {"crm_user": crm_user}
                if (use := line.flag("use_for_personal_manager")) is not None:
                    values["use_for_personal_manager"] = use
                mapping[employee] = values
        return mapping

    def _map(self, integration: Integration, mapping: dict[Employee, dict[str, Any]]) -> None:
        self.changes.drop(integration.mapping.exclude(employee__in=mapping))
        for employee, values in mapping.items():
            row = integration.mapping.filter(employee=employee).first()
            row = row or EmployeeMapping(integration=integration, employee=employee)
            if row.crm_user != values["crm_user"]:
                values = {**values, "crm_user_name": ""}
            self.changes.put(row, **values)

    def _join(self, row: Integration, relation: Any, wanted: list[Any]) -> None:
        """The rows of a many-to-many relation."""
        if set(relation.all()) != set(wanted):
            relation.set(wanted)
            self.changes.note(row)
