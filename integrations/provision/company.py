"""A company as the file has it, brought into the database: people first, then PBX accounts, CRM accounts, integrations.

What the file names is made or changed to what it says; a list that it gives is the whole list; what it leaves out stays
as it is. Everything runs in one transaction, which is undone when anything at all was wrong: so a wrong thing is noted
and left out, and the rest is tried on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.utils.translation import gettext as _

from employees import phones
from employees.models import Company, Employee, EmployeePhone, Extension, Membership, Role, User
from telephony.models import Connection, VirtualNumber
from telephony.providers import registry as pbxs
from telephony.providers.base import Provider

from .reading import Section
from .tree import Node
from .vendor_forms import as_texts, filled, secrets_of

M = TypeVar("M", bound=models.Model)

COMPANY = ("name", "time_zone", "region", "language")
USER = ("email", "role", "password")
EMPLOYEE = ("name", "email", "extensions", "phones")
CONNECTION = ("key", "name", "provider", "brand", "credentials", "numbers")
NUMBER = ("number", "line_name")


@dataclass(slots=True)
class Changes:
    """What was written, in words."""

    words: list[str] = field(default_factory=list)

    def put(self, row: models.Model, touched: Sequence[str] = (), /, **values: Any) -> None:
        """Give a row these values. It is written only when it is new, or one differs, or fields were `touched`."""
        new = row._state.adding
        different = [name for name, value in values.items() if new or getattr(row, name) != value]
        for name in different:
            setattr(row, name, values[name])
        if new:
            row.save()
        elif different or touched:
            row.save(update_fields=[*different, *touched])
        else:
            return
        self.note(row)

    def note(self, row: models.Model) -> None:
        self.words.append(f"{row._meta.verbose_name}: {row}")

    def drop(self, rows: models.QuerySet[Any]) -> None:
        """Rows that a list of the file no longer has."""
        for row in rows:
            self.note(row)
            row.delete()


def sole(rows: models.QuerySet[M], section: Section, name: str) -> M | None:
    """The one row that is called so; several of them are a problem, since the file could mean any."""
    found = list(rows[:2])
    if len(found) > 1:
        section.wrong(_("there are several with this name: rename one of them"), name)
    return found[0] if found else None


class Names:
    """Names that a file may give only once."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    def new(self, section: Section, node: Node, name: str) -> bool:
        if name in self._lines:
            section.wrong_at(
                node, _("“%(name)s” is there already, in line %(line)d") % {"name": name, "line": self._lines[name]}
            )
            return False
        self._lines[name] = node.line
        return True


def company_of(file: Section, changes: Changes) -> Company:
    """The company. One that is not valid is made nevertheless, with what is valid of it: then the rest is checked."""
    section = file.section("company", COMPANY)
    if "company" not in file.node.fields:
        file.wrong(_("is missing"), "company")
        section.broken = True
    name = section.text("name", required=True) or "?"
    row = sole(Company.objects.filter(name=name), section, "name") or Company(name=name)
    values: dict[str, Any] = {}
    for key in COMPANY[1:]:
        text = section.text(key)
        if text is None:
            continue
        try:
            column: models.Field[Any, Any] = Company._meta.get_field(key)  # type: ignore[assignment]
            values[key] = column.clean(text, row)
        except ValidationError as error:
            section.wrong(" ".join(error.messages), key)
    changes.put(row, **values)
    return row


class People:
    """Users and employees."""

    def __init__(self, company: Company, changes: Changes):
        self.company, self.changes = company, changes

    def bring(self, file: Section) -> None:
        emails, names, numbers, cards = Names(), Names(), Names(), Names()
        for section in file.sections("users", USER):
            self._user(section, emails)
        for section in file.sections("employees", EMPLOYEE):
            if employee := self._employee(section, names):
                self._extensions(section, employee, numbers)
                self._phones(section, employee, cards)

    def _user(self, section: Section, emails: Names) -> None:
        email = (self._email(section, required=True) or "").lower()
        role = section.text("role", required=True)
        if role is not None and role not in Role.values:
            section.wrong(_("is no role; there are: %(names)s") % {"names": ", ".join(Role.values)}, "role")
            role = None
        user = User.objects.filter(email__iexact=email).first() if email else None
        password = self._password(section, user, email)
        if not email or not emails.new(section, section.fields["email"], email) or role is None:
            return
        if user is None:
            user = User.objects.create_user(email, password)
            self.changes.note(user)
        member = Membership.objects.filter(company=self.company, user=user).first()
        self.changes.put(member or Membership(company=self.company, user=user), role=role)

    def _password(self, section: Section, user: User | None, email: str) -> str | None:
        """The first password of a new user. Who is there already keeps his own."""
        if section.text("password", required=user is None) is None:
            return None
        password = section.fields["password"].text
        try:
            validate_password(password, user or User(email=email))
        except ValidationError as error:
            section.wrong(" ".join(error.messages), "password")
        return password

    @staticmethod
    def _email(section: Section, *, required: bool = False) -> str | None:
        email = section.text("email", required=required)
        if email:
            try:
                validate_email(email)
            except ValidationError as error:
                section.wrong(" ".join(error.messages), "email")
                return None
        return email

    def _employee(self, section: Section, names: Names) -> Employee | None:
        name, email = section.text("name", required=True), self._email(section)
        if not name or not names.new(section, section.fields["name"], name):
            return None
        values: dict[str, Any] = {}
        if email is not None:
            user = User.objects.filter(email__iexact=email, memberships__company=self.company).first()
            values = {"email": email, "user": user}
        row = sole(Employee.objects.filter(company=self.company, name=name), section, "name")
        row = row or Employee(company=self.company, name=name)
        self.changes.put(row, **values)
        return row

    def _extensions(self, section: Section, employee: Employee, seen: Names) -> None:
        listed = section.texts("extensions", longest=32)
        if listed is None:
            return
        numbers = [number for node, number in listed if seen.new(section, node, number)]
        for row in employee.extensions.exclude(number__in=numbers):
            self.changes.put(row, employee=None, handling=Extension.Handling.UNKNOWN)
        for number in numbers:
            found = Extension.objects.filter(company=self.company, number=number).first()
            row = found or Extension(company=self.company, number=number)
            self.changes.put(row, employee=employee, handling=Extension.Handling.EMPLOYEE)

    def _phones(self, section: Section, employee: Employee, seen: Names) -> None:
        listed = section.texts("phones")
        if listed is None:
            return
        wanted = []
        for node, text in listed:
            try:
                phone = phones.required(text, self.company.region)
            except ValidationError as error:
                section.wrong_at(node, " ".join(error.messages))
                continue
            if seen.new(section, node, phone):
                wanted.append(phone)
        self.changes.drop(employee.phones.exclude(phone__in=wanted))
        for phone in wanted:
            row = EmployeePhone.objects.filter(company=self.company, phone=phone).first()
            self.changes.put(row or EmployeePhone(phone=phone, employee=employee), employee=employee)


class Connections:
    """PBX accounts by the keys of the file."""

    def __init__(self, company: Company, changes: Changes):
        self.company, self.changes = company, changes
        self.by_key: dict[str, Connection | None] = {}
        """None stands for one that is there in the file, but wrong."""

    def bring(self, file: Section) -> None:
        keys, names = Names(), Names()
        for section in file.sections("connections", CONNECTION):
            key = section.text("key", required=True)
            if key and keys.new(section, section.fields["key"], key):
                self.by_key[key] = self._connection(section, section.text("name") or key, names)

    def _connection(self, section: Section, name: str, names: Names) -> Connection | None:
        provider = self._provider(section)
        if provider is None or not names.new(section, section.fields.get("name", section.fields["key"]), name):
            return None
        row = Connection.objects.select_for_update().filter(company=self.company, name=name).first()
        if row and row.provider != provider.slug:
            section.wrong(
                _("this connection is there already, with another provider: give it another name"), "provider"
            )
            return None
        brand = self._brand(section, provider, row)
        credentials = self._credentials(section, provider, brand, row)
        if brand is None or credentials is None:
            return None
        row = row or Connection(company=self.company, name=name, provider=provider.slug, brand=brand)
        touched: list[str] = []
        if row.credentials != credentials:
            row.credentials = credentials
            touched = ["secrets", "account_digest"]
        self.changes.put(row, touched, brand=brand)
        self._numbers(section, row)
        return row

    @staticmethod
    def _provider(section: Section) -> Provider | None:
        slug = section.text("provider", required=True)
        known = pbxs.all_providers()
        if slug is not None and slug not in known:
            section.wrong(_("is not installed; there are: %(names)s") % {"names": ", ".join(known)}, "provider")
        return known.get(slug or "")

    @staticmethod
    def _brand(section: Section, provider: Provider, row: Connection | None) -> str | None:
        brands = [brand.slug for brand in provider.brands]
        brand = section.text("brand") or (row.brand if row else brands[0])
        if brand not in brands:
            words = _("is no brand of this provider; there are: %(names)s") % {"names": ", ".join(brands)}
            section.wrong(words, "brand")
            return None
        return brand

    @staticmethod
    def _credentials(
        section: Section, provider: Provider, brand: str | None, row: Connection | None
    ) -> dict[str, str] | None:
        words = section.section("credentials", provider.form.base_fields)
        chosen = next((item for item in provider.brands if item.slug == brand), None)
        stored = row.credentials if row else dict(chosen.defaults) if chosen else {}
        cleaned = filled(provider.form, words, stored, secrets_of(provider.form, provider.secret_fields))
        return None if cleaned is None else as_texts(cleaned)

    def _numbers(self, section: Section, connection: Connection) -> None:
        if section.items("numbers") is None:
            return
        seen, wanted = Names(), []
        for number in section.sections("numbers", NUMBER):
            phone = line_of(number, number.text("number", required=True, longest=128), self.company.region)
            if not phone or not seen.new(number, number.fields["number"], phone):
                continue
            wanted.append(phone)
            line_name = number.text("line_name")
            row = connection.virtual_numbers.filter(number=phone).first()
            values: dict[str, Any] = {} if line_name is None else {"line_name": line_name}
            self.changes.put(row or VirtualNumber(connection=connection, number=phone), **values)
        self.changes.drop(connection.virtual_numbers.exclude(number__in=wanted))


def line_of(section: Section, text: str | None, region: str, node: Node | None = None) -> str | None:
    """A virtual number: a phone, or the SIP address of a line."""
    if text is None:
        return None
    number = phones.normalise(text, region)
    if phones.is_phone(number) or "@" in number or number.lower().startswith("sip:"):
        return number
    words = _("“%(number)s” is neither a phone number nor the address of a SIP line") % {"number": text}
    section.wrong_at(node or section.fields["number"], words)
    return None
