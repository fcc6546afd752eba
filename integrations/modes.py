"""Integrations whose employees talk in the CRM's own pages, and which PBXs allow that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _

from crm_adapters.base import Adapter
from telephony import browser_phones
from telephony.models import Connection

from .models import Credential, Integration


def wanted(adapter: Adapter, settings: Mapping[str, Any]) -> bool:
    """Whether with these settings employees talk in the CRM's pages."""
    if adapter.browser_phone_setting is None:
        return False
    name, value = adapter.browser_phone_setting
    return settings.get(name) == value


def name_of(adapter: Adapter) -> str:
    """The setting's name; empty where the adapter has none."""
    return adapter.browser_phone_setting[0] if adapter.browser_phone_setting else ""


def talks(integration: Integration) -> bool:
    """Whether employees talk in the CRM's pages by it now."""
    return integration.active and wanted(integration.credential.adapter, integration.settings)


def in_browser(credential: Credential) -> list[Integration]:
    """The active integrations of an account in which one does."""
    rows = Integration.objects.filter(credential=credential, active=True).order_by("id")
    return [row for row in rows if wanted(credential.adapter, row.settings)]


def refusal(adapter: Adapter, settings: Mapping[str, Any], connections: Iterable[Connection]) -> str:
    """Why these settings do not go with the PBXs that were chosen; empty where they do."""
    rows = list(connections)
    if not wanted(adapter, settings) or browser_phones.able(rows):
        return ""
    names = ", ".join(f"“{row}”" for row in rows) or "—"
    words = _(
        "%(names)s: no phones in browsers. Such a mode needs a PBX that takes SIP by WebSocket, with its address "
        "entered in the connection. Choose the other mode: there one talks on a telephone or a softphone."
    )
    return words % {"names": names}


class _OneOut(forms.RadioSelect):
    """Every way is shown; the one that does not lead anywhere cannot be chosen."""

    out: str = ""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        option["attrs"] |= {"disabled": True} if str(value) == self.out else {}
        return option


def show(form: forms.Form, adapter: Adapter, connections: Iterable[Connection]) -> None:
    """Where none of the company's PBXs allows it, the mode in the settings cannot be chosen, and says why."""
    if adapter.browser_phone_setting is None or browser_phones.able(connections):
        return
    name, value = adapter.browser_phone_setting
    shown: Any = form.fields[name]
    why = _("none of your PBXs takes phones in browsers, or its address for them is not entered")
    choices = [(key, f"{label} — {why}" if key == value else label) for key, label in shown.choices]
    shown.widget = _OneOut(choices=choices)
    shown.widget.out = value
