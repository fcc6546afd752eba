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
from employees.models import Company
from telephony.models import Connection, VirtualNumber

from . import card_fields, crm_lists, mapping, modes
from .card_fields import CARD_FIELDS
from .crm_lists import Found
from .mapping import Line
from .models import Credential, Integration


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

    def __init__(self, company: Company, adapter: Adapter, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if adapter.contact_fields:
            self.fields[CARD_FIELDS] = card_fields.choice(adapter)
        self.fields["connections"].queryset = Connection.objects.filter(company=company)  # type: ignore[attr-defined]
        self.fields["numbers"].queryset = VirtualNumber.objects.filter(company=company)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("filter_numbers") and not data.get("numbers") and "numbers" not in self.errors:
            self.add_error("numbers", _("Choose at least one number, or switch the filter off."))
        return data


def house_of(row: Integration, adapter: Adapter) -> dict[str, Any]:
    """What `HouseForm` shows of an integration."""
    return {
        "active": row.active,
        "name": row.name,
        "connections": [item.uuid for item in row.connections.all()],
        "filter_numbers": row.filter_numbers,
        "numbers": list(row.numbers.all()),
        CARD_FIELDS: card_fields.shown_beside_the_name(adapter, row.settings),
    }


def settings_of(row: Integration, account: Credential) -> dict[str, Any]:
    """What the adapter's form shows of one. What the CRM has to choose from belongs to one account: for another than
    the integration's it is asked anew."""
    form = account.adapter.settings_form
    stored = {**defaults(form), **row.settings}
    if account.pk != row.credential_id:
        for name in listed_fields(form):
            stored.pop(name, None)
    return stored


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
        self.house = HouseForm(self.company, self.adapter, data, initial=house_of(integration, self.adapter))
        self.settings = self.adapter.settings_form(data, initial=settings_of(integration, self.account))
        fill_listed_fields(self.settings, self.account)
        modes.show(self.settings, self.adapter, Connection.objects.filter(company=self.company))
        self.lines = self._lines(data)

    def _chosen(self, post: QueryDict | None) -> Credential:
        named = post.get("account") if post is not None else None
        current = self.integration.credential
        return next((row for row in self.accounts if str(row.uuid) == named), current)

    # --- Mapping

    @property
    def has_users(self) -> bool:
        return Capability.USERS in self.adapter.capabilities

    def _lines(self, data: QueryDict | None) -> list[Line]:
        stored = {} if self.account_changed or not self.integration.pk else mapping.stored(self.integration)
        lines = mapping.lines(self.company, stored, self.users.users)
        if data is not None:
            for line in lines:
                line.user, line.use = data.get(line.user_field, "").strip()[:64], line.use_field in data
                line.suggested = False
        lines.sort(key=lambda line: line.employee.pk in stored and not line.gone)  # those to be looked at come first
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
        if CARD_FIELDS in self.house.fields:
            found.append(Block(_("Call card"), [(self.house[CARD_FIELDS], "")]))
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
        store(self.integration, self.account, self.house, self.settings)
        wanted = {line.employee.pk: (line.user, line.use) for line in self.lines}
        mapping.store(self.integration, wanted, self.users.users)
        return self.integration


@transaction.atomic
def new(account: Credential) -> Integration:
    """One that is off, for the calls of all PBXs that there are."""
    row = Integration.objects.create(company=account.company, credential=account)
    row.connections.set(Connection.objects.filter(company=account.company, active=True))
    return row


@transaction.atomic
def store(row: Integration, account: Credential, house: HouseForm, settings: forms.Form | None) -> None:
    """Keep what these valid forms say (without settings: those that there are). Settings that the form does not have
    (of an older version) stay as they are."""
    data = house.cleaned_data
    row.credential, row.active, row.name = account, data["active"], data["name"]
    row.filter_numbers = data["filter_numbers"]
    if settings:
        older = {name: value for name, value in row.settings.items() if name not in settings.fields}
        row.settings = {**older, **settings.cleaned_data}
    if CARD_FIELDS in data:
        row.settings = {**row.settings, CARD_FIELDS: data[CARD_FIELDS]}
    row.save()
    row.connections.set(data["connections"])
    row.numbers.set(data["numbers"])


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
