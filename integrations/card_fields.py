"""Which of a client's fields the card shows, as the company chooses for each integration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from crm_adapters.base import Adapter
from crm_adapters.contacts import NAME, ContactField

from .models import Integration

CARD_FIELDS = "card_fields"
"""Where the choice stands among an integration's settings. Without it all are shown."""


def chosen(adapter: Adapter, settings: Mapping[str, Any]) -> list[ContactField]:
    """The fields to be shown and changed, in the adapter's order, the name first; [] where records are not read."""
    names = settings.get(CARD_FIELDS)
    if names == []:
        return []
    return [each for each in adapter.contact_fields if names is None or each.name in (NAME, *names)]


def shown_beside_the_name(adapter: Adapter, settings: Mapping[str, Any]) -> list[str]:
    """Names of the chosen fields, as `choice` takes them."""
    return [each.name for each in chosen(adapter, settings) if each.name != NAME]


def choice(adapter: Adapter) -> forms.MultipleChoiceField:
    """Without the name, which the card shows in any case."""
    return forms.MultipleChoiceField(
        label=_("Client's fields in the call card"),
        help_text=_(
            "What of the client's record people see while they talk, and may change there. With none the record is not "
            "read, which saves the CRM a request for each card."
        ),
        choices=[(each.name, each.title) for each in adapter.contact_fields if each.name != NAME],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )


def settings_fields(row: Integration) -> dict[str, forms.Field]:
    """The fields that an integration's settings keep."""
    adapter = row.credential.adapter
    return {**adapter.settings_form.base_fields, CARD_FIELDS: choice(adapter)}
