"""What a customer sets at a PBX connection: its keys, its numbers, whose its extensions are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.db import transaction
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt

from employees import audit, phones
from employees.forms import defaults, vendor_form
from employees.models import Company, Employee, Extension
from outbound.errors import OutboundError
from outbound.vendors import Check

from . import words
from .exchanges import http_for
from .models import Connection, VirtualNumber, WebhookAddress
from .providers import registry
from .providers.base import Brand, PbxNumber, PbxUser, Provider

ASK_SECONDS = 10.0
"""How long a page waits for a PBX that it asks something."""
OVERLAP = timedelta(hours=24)
"""How long an address goes on working after it was rotated."""


# --- The connection itself --------------------------------------------------------------------------------------------


class NameForm(forms.ModelForm):
    """What is the same for all PBXs."""

    class Meta:
        model = Connection
        fields = ["name", "active"]
        help_texts = {"active": gettext_lazy("A connection that is switched off takes no events from the PBX.")}

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = Connection.objects.filter(company=self.instance.company, name=name).exclude(pk=self.instance.pk)
        if others.exists():
            raise forms.ValidationError(_("There is a connection with this name already."))
        return name


def brand_of(provider: str, brand: str) -> Brand:
    brands = registry.get(provider).brands
    return next((row for row in brands if row.slug == brand), brands[0])


def find_brand(slug: str) -> tuple[Provider, Brand] | None:
    return next(((provider, brand) for provider, brand in registry.brands() if brand.slug == slug), None)


def begin(company: Company, provider: Provider, brand: Brand) -> Connection:
    """A new connection, not saved, with a name that is free."""
    mine = Connection.objects.filter(company=company)
    name = brand.title
    if mine.filter(name=name).exists():
        name = f"{brand.title} {mine.count() + 1}"
    return Connection(company=company, provider=provider.slug, brand=brand.slug, name=name)


def keys_form(connection: Connection, post: QueryDict | None) -> forms.Form:
    """The form of the connection's protocol, worded for its brand."""
    protocol = connection.protocol
    brand = brand_of(connection.provider, connection.brand)
    stored = connection.credentials if connection.pk else dict(brand.defaults)
    form = vendor_form(protocol.form, post, stored, protocol.secret_fields, brand.labels)
    for name in brand.without:
        del form.fields[name]
    if not connection.pk:
        form.initial = {**defaults(protocol.form), **form.initial}
    return form


def save(connection: Connection, names: NameForm, keys: forms.Form) -> Connection:
    """Keep what was entered; fields that the form does not have (of an older version) stay."""
    before = connection.credentials if connection.pk else {}
    connection = names.save(commit=False)
    connection.credentials = {**before, **keys.cleaned_data}
    if connection.credentials != before:
        connection.checked_at = None
    connection.save()
    return connection


def check(connection: Connection) -> list[Check]:
    """Try its keys at the PBX, and note whether all is well. Raises `outbound.errors.OutboundError`."""
    http = http_for(connection, purpose="check", deadline=ASK_SECONDS)
    checks = connection.protocol.check(http, connection.credentials, connection.address.url)
    connection.checked_at = timezone.now() if all(check.ok for check in checks) else None
    connection.save(update_fields=["checked_at"])
    return checks


def users(connection: Connection) -> list[PbxUser]:
    """Those of the PBX. Raises `OutboundError`, or `NotImplementedError` where it tells none."""
    http = http_for(connection, purpose="users", deadline=ASK_SECONDS)
    return connection.protocol.users(http, connection.credentials)


def load_numbers(connection: Connection) -> tuple[int, list[VirtualNumber]]:
    """Take over the numbers of the PBX (see `add_numbers`). Raises as `users` does."""
    http = http_for(connection, purpose="numbers", deadline=ASK_SECONDS)
    return add_numbers(connection, connection.protocol.numbers(http, connection.credentials))


def unanswered(connection: Connection, error: Exception) -> str:
    """Why the PBX did not answer, in words."""
    if isinstance(error, OutboundError):
        return words.unreachable(connection.protocol.title, error.kind, error.words)
    return str(words.REFUSALS["not_supported"])


@transaction.atomic
def rotate(connection: Connection) -> WebhookAddress:
    """A new address; the old one works on for a day."""
    connection.addresses.filter(retires_at=None).update(retires_at=timezone.now() + OVERLAP)
    address = WebhookAddress.issue(connection)
    connection.save(update_fields=["active"])  # every process learns of the new address
    audit.note(connection, [audit.secret_line(gettext_lazy("webhook address"))])
    return address


def guide(folder: Path, **places: str) -> str:
    """A vendor's set-up guide in the reader's language, as HTML; `{name}` in it is filled from `places`."""
    for language in ((get_language() or settings.LANGUAGE_CODE)[:2], "en", "ru"):
        path = folder / f"guide.{language}.md"
        if path.exists():
            text = path.read_text(encoding="utf-8")
            for name, value in places.items():
                text = text.replace("{" + name + "}", value)
            return MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return ""


# --- Numbers ----------------------------------------------------------------------------------------------------------


class NumberForm(forms.ModelForm):
    class Meta:
        model = VirtualNumber
        fields = ["line_name"]
        widgets = {"line_name": forms.TextInput(attrs={"aria-label": gettext_lazy("Line name")})}


Numbers = forms.modelformset_factory(VirtualNumber, form=NumberForm, extra=0)


def add_numbers(connection: Connection, found: Iterable[PbxNumber]) -> tuple[int, list[VirtualNumber]]:
    """Take over what the PBX lists: how many are new, and which of ours it does not list. None is removed."""
    region = connection.company.region
    known = {row.number: row for row in connection.virtual_numbers.all()}
    listed, new = set(), 0
    for item in found:
        number = phones.normalise(item.number, region)[:128]
        if not number or number in listed:
            continue
        listed.add(number)
        if number not in known:
            VirtualNumber.objects.create(connection=connection, number=number, line_name=item.name[:200])
            new += 1
        elif not known[number].line_name and item.name:
            known[number].line_name = item.name[:200]
            known[number].save()
    return new, [row for number, row in known.items() if number not in listed]


# --- Extensions -------------------------------------------------------------------------------------------------------


@dataclass
class Match:
    """A line of the matching table: an extension of the PBX and whose it is."""

    extension: str
    name: str = ""
    email: str = ""
    phone: str = ""
    row: Extension | None = None
    appeared: bool = False
    disappeared: bool = False
    chosen: str = ""
    suggested: bool = False

    @property
    def field(self) -> str:
        return f"for_{self.extension}"


def matches(company: Company, users: Iterable[PbxUser]) -> list[Match]:
    """What the PBX listed, then what it did not list any more; with a suggestion where nothing is decided."""
    known = {row.number: row for row in Extension.objects.filter(company=company).select_related("employee")}
    people = list(Employee.objects.filter(company=company).prefetch_related("phones"))
    lines: dict[str, Match] = {}
    for user in users:
        if user.extension and user.extension not in lines:
            row = known.get(user.extension)
            phone = phones.normalise(user.mobile, company.region)
            line = Match(user.extension[:32], user.name, user.email, phone, row, appeared=row is None)
            _choose(line, people)
            lines[user.extension] = line
    if lines:
        for number, row in known.items():
            if number not in lines:
                lines[number] = Match(number, row.name, row=row, disappeared=True, chosen=chosen(row))
    return list(lines.values())


def chosen(row: Extension | None) -> str:
    """What is decided of an extension, as the table's select says it."""
    if row is None or row.handling == Extension.Handling.UNKNOWN:
        return ""
    if row.employee:
        return f"employee:{row.employee.uuid}"
    return str(row.handling)


def _choose(line: Match, people: list[Employee]) -> None:
    line.chosen = chosen(line.row)
    if line.chosen:
        return
    name, email = line.name.casefold().strip(), line.email.casefold().strip()
    same = next((row for row in people if email and row.email.casefold() == email), None)
    same = same or next((row for row in people if line.phone in {own.phone for own in row.phones.all()}), None)
    same = same or next((row for row in people if name and row.name.casefold() == name), None)
    line.chosen = f"employee:{same.uuid}" if same else "new" if name else ""
    line.suggested = bool(line.chosen)


def choices(company: Company) -> list[tuple[str, Any]]:
    """What can be chosen for an extension."""
    people = [(f"employee:{row.uuid}", row.name) for row in Employee.objects.filter(company=company)]
    return [
        ("", _("— not decided —")),
        ("new", _("new employee with this name")),
        (Extension.Handling.DEFAULT, _("calls go to the default responsible")),
        (Extension.Handling.IGNORED, _("calls are ignored on purpose")),
        *people,
    ]


@transaction.atomic
def keep_matches(company: Company, lines: Iterable[Match], post: QueryDict) -> int:
    """Keep what was chosen; returns how many extensions changed. A line that was not sent stays as it is."""
    changed = 0
    people = {f"employee:{row.uuid}": row for row in Employee.objects.filter(company=company)}
    for line in lines:
        choice = post.get(line.field)
        if choice is None or choice == chosen(line.row):
            continue
        row = line.row or Extension(company=company, number=line.extension)
        row.name = line.name[:200] or row.name
        row.employee, row.handling = None, Extension.Handling.UNKNOWN
        if choice == "new":
            row.employee = _new_employee(company, line)
        elif choice in people:
            row.employee = people[choice]
        elif choice in (Extension.Handling.DEFAULT, Extension.Handling.IGNORED):
            row.handling = Extension.Handling(choice)
        if row.employee:
            row.handling = Extension.Handling.EMPLOYEE
        row.save()
        changed += 1
    return changed


def _new_employee(company: Company, line: Match) -> Employee:
    name = line.name.strip() or line.extension
    email = line.email[:254] if "@" in line.email else ""
    return Employee.objects.create(company=company, name=name[:200], email=email)
