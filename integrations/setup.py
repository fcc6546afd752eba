"""The form of an integration: the account, the adapter's blocks with the house's own settings in them, the mapping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.db import transaction
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm_adapters.base import Adapter, Capability
from employees.forms import defaults
from employees.models import Company, Employee
from telephony.models import Connection, VirtualNumber

from . import crm_lists, modes
from .crm_lists import Found
from .models import Credential, EmployeeMapping, Integration


class HouseForm(forms.Form):
    """What is the same for all CRMs."""

    active = forms.BooleanField(
        label=gettext_lazy("Integration is active"),
        required=False,
        help_text=gettext_lazy("While this is off, the integration does nothing: no cards, no records, no forwarding."),
    )
    name = forms.CharField(
        label=gettext_lazy("Name"),
        required=False,
        max_length=200,
        help_text=gettext_lazy("Not needed. To tell integrations apart in lists."),
    )
    connections = forms.ModelMultipleChoiceField(
        label=gettext_lazy("PBX connections"),
        queryset=Connection.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        to_field_name="uuid",
        help_text=gettext_lazy("Calls of these connections are written."),
    )
    filter_numbers = forms.BooleanField(
        label=gettext_lazy("Filter by virtual numbers"),
        required=False,
        help_text=gettext_lazy("Only calls by the chosen numbers are written; all others are left out."),
    )
    numbers = forms.ModelMultipleChoiceField(
        label=gettext_lazy("List of virtual numbers"),
        queryset=VirtualNumber.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, company: Company, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["connections"].queryset = Connection.objects.filter(company=company)  # type: ignore[attr-defined]
        self.fields["numbers"].queryset = VirtualNumber.objects.filter(company=company)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("filter_numbers") and not data.get("numbers") and "numbers" not in self.errors:
            self.add_error("numbers", _("Choose at least one number, or switch the filter off."))
        return data


@dataclass
class Line:
    """A line of «Сопоставления сотрудников»."""

    employee: Employee
    extensions: str
    user: str = ""
    use: bool = True
    suggested: bool = False
    gone: bool = False
    """The CRM tells its users, and he is not among them."""

    @property
    def user_field(self) -> str:
        return f"user_{self.employee.uuid}"

    @property
    def use_field(self) -> str:
        return f"use_{self.employee.uuid}"


@dataclass
class Block:
    title: Any
    fields: list[tuple[forms.BoundField, str]] = field(default_factory=list)
    """Each with the id of the switch that opens it, or an empty text."""


class Setup:
    """All parts of the page of one integration, from what is stored or from what was sent.

    The choices of users belong to one account. When another account was chosen the page is shown once more with that
    account's users, and nothing is kept until then: mapping and responsibles are asked anew.
    """

    def __init__(self, integration: Integration, post: QueryDict | None = None):
        self.integration = integration
        self.company = integration.company
        self.accounts = list(Credential.objects.filter(company=self.company, crm=integration.credential.crm))
        self.account = self._chosen(post)
        self.account_changed = self.account.pk != integration.credential_id
        self.asked_anew = post is not None and post.get("shown_account") != str(self.account.uuid)
        self.adapter: Adapter = self.account.adapter
        self.users: Found = crm_lists.of(self.account)
        self._post = post
        data = post if post is not None and not self.asked_anew else None
        self.house = HouseForm(self.company, data, initial=self._house_initial(post))
        self.settings = self.adapter.settings_form(data, initial=self._settings_initial())
        fill_listed_fields(self.settings, self.account)
        modes.show(self.settings, self.adapter, Connection.objects.filter(company=self.company))
        self.lines = self._lines(data)

    def _chosen(self, post: QueryDict | None) -> Credential:
        named = post.get("account") if post is not None else None
        current = self.integration.credential
        return next((row for row in self.accounts if str(row.uuid) == named), current)

    def _house_initial(self, post: QueryDict | None) -> dict[str, Any]:
        row = self.integration
        return {
            "active": row.active,
            "name": row.name,
            "connections": [item.uuid for item in row.connections.all()],
            "filter_numbers": row.filter_numbers,
            "numbers": list(row.numbers.all()),
        }

    def _settings_initial(self) -> dict[str, Any]:
        form_class = self.adapter.settings_form
        stored = {**defaults(form_class), **self.integration.settings}
        if self.account_changed:
            for name in listed_fields(form_class):
                stored.pop(name, None)
        return stored

    # --- Mapping

    @property
    def has_users(self) -> bool:
        return Capability.USERS in self.adapter.capabilities

    def _lines(self, data: QueryDict | None) -> list[Line]:
        mapped = (
            {}
            if self.account_changed or not self.integration.pk
            else {row.employee_id: row for row in self.integration.mapping.all()}
        )
        lines = []
        listed = {user.id for user in self.users.users}
        people = Employee.objects.filter(company=self.company).select_related("company").order_by("name")
        for person in people.prefetch_related("extensions", "phones"):
            line = Line(person, ", ".join(row.number for row in person.extensions.all()))
            if data is not None:
                line.user, line.use = data.get(line.user_field, "").strip()[:64], line.use_field in data
            elif row := mapped.get(person.pk):
                line.user, line.use = row.crm_user, row.use_for_personal_manager
            else:
                line.user = crm_lists.suggestion(person, self.users.users)
                line.suggested = bool(line.user)
            line.gone = bool(listed and line.user and line.user not in listed)
            lines.append(line)
        lines.sort(key=lambda line: line.employee.pk in mapped and not line.gone)  # those to be looked at come first
        return lines

    @property
    def user_choices(self) -> list[tuple[str, str]]:
        """The CRM's users, and whoever is chosen though the CRM does not list him."""
        choices = list(self.users.choices) or [("", "—")]
        known = dict(choices)
        for line in self.lines:
            if line.user and line.user not in known:
                known[line.user] = line.user
                choices.append((line.user, _("user %(id)s (not found in the CRM)") % {"id": line.user}))
        return choices

    # --- Blocks

    @property
    def blocks(self) -> list[Block]:
        """The adapter's blocks in its order; the house's fields stand in the first of them."""
        depends: dict[str, str] = getattr(self.settings, "depends", {})
        found = []
        for title, names in getattr(self.settings, "blocks", ((_("Settings"), tuple(self.settings.fields)),)):
            block = Block(title)
            for name in names:
                master = depends.get(name)
                block.fields.append((self.settings[name], self.settings[master].id_for_label if master else ""))
            found.append(block)
        mine = [(self.house[name], "") for name in ("active", "name", "connections", "filter_numbers")]
        mine.append((self.house["numbers"], self.house["filter_numbers"].id_for_label))
        if found:
            found[0].fields = [mine[0], *found[0].fields, *mine[1:]]
        else:
            found = [Block(_("Integration parameters"), mine)]
        return found

    # --- Keeping

    def is_valid(self) -> bool:
        if self.asked_anew:
            return False
        if not all([self.house.is_valid(), self.settings.is_valid()]):
            return False
        words = modes.refusal(self.adapter, self.settings.cleaned_data, self.house.cleaned_data["connections"])
        if words and self.adapter.browser_phone_setting:
            self.settings.add_error(self.adapter.browser_phone_setting[0], words)
        return not words

    @transaction.atomic
    def save(self) -> Integration:
        row, data = self.integration, self.house.cleaned_data
        row.credential, row.active, row.name = self.account, data["active"], data["name"]
        row.filter_numbers = data["filter_numbers"]
        row.settings = {**self._kept_settings(), **self.settings.cleaned_data}
        row.save()
        row.connections.set(data["connections"])
        row.numbers.set(data["numbers"])
        self._save_mapping()
        return row

    def _kept_settings(self) -> dict[str, Any]:
        """Settings that this form does not have (of an older version) stay as they are."""
        return {name: value for name, value in self.integration.settings.items() if name not in self.settings.fields}

    def _save_mapping(self) -> None:
        names = {user.id: user.name for user in self.users.users}
        wanted = {line.employee.pk: line for line in self.lines if line.user}
        for gone in self.integration.mapping.exclude(employee__in=wanted):
            gone.delete()
        for pk, line in wanted.items():
            known = {"crm_user": line.user, "use_for_personal_manager": line.use}
            if line.user in names:
                known["crm_user_name"] = names[line.user][:200]
            EmployeeMapping.objects.update_or_create(integration=self.integration, employee_id=pk, defaults=known)


def fill_listed_fields(form: forms.Form, account: Credential) -> None:
    """With what the CRM has to choose from; where it does not say, with what is chosen already or typed."""
    for name, source in listed_fields(type(form)).items():
        shown = form.fields[name]
        found = crm_lists.of(account, source)
        value = form[name].value() or ""
        several = isinstance(shown.widget, forms.SelectMultiple)
        if not found.listed and not several:
            shown.widget = forms.TextInput()
            shown.widget.is_required = shown.required
            continue
        choices = found.choices[1:] if several else found.choices
        missing = {str(each) for each in (value if several else [value]) if each} - dict(choices).keys()
        gone = [(each, _("%(id)s (not found in the CRM)") % {"id": each}) for each in sorted(missing)]
        shown.widget.choices = choices + gone


def listed_fields(form_class: type[forms.Form]) -> dict[str, str]:
    """Fields that are a choice of what the CRM has: name → the list's."""
    sources = ((name, item.widget.attrs.get("data-source")) for name, item in form_class.base_fields.items())
    return {name: source for name, source in sources if source}
