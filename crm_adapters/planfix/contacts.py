"""A contact as people change it from a call's card, and a task about it. All of it by REST.

`GET contact/{id}?fields=`, `POST contact/`, `POST contact/{id}` (partial), `POST task/` (REST API). Texts of tasks are
HTML; a contact's description is HTML as well, so it is left to Planfix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.html import escape, linebreaks
from django.utils.translation import gettext_noop, pgettext_lazy

from crm_adapters.base import ClientMatch, Settings
from crm_adapters.contacts import NAME, ContactField, NewContact, NewTask, Record, full_name
from crm_adapters.values import text
from outbound.errors import Rejected

from . import clients, failures, rest
from .rest import Account

FIELDS = (
    ContactField(NAME, pgettext_lazy("Planfix", "First name, or the company's name")),
    ContactField("middle_name", pgettext_lazy("Planfix", "Middle name")),
    ContactField("last_name", pgettext_lazy("Planfix", "Last name")),
    ContactField("email", pgettext_lazy("Planfix", "E-mail")),
    ContactField("position", pgettext_lazy("Planfix", "Position")),
    ContactField("address", pgettext_lazy("Planfix", "Address")),
)
CONTACT = "contact"
_NAMES = {
    NAME: "name",
    "middle_name": "midname",
    "last_name": "lastname",
    "email": "email",
    "position": "position",
    "address": "address",
}


def _number(record: Record) -> str:
    """The telephony API alone names no record."""
    if record.entity != CONTACT:
        raise Rejected(gettext_noop("Planfix did not say which contact this is"), code=failures.NO_TOKEN)
    return record.entity_id


def read(account: Account, record: Record) -> dict[str, str]:
    got = account.get(f"contact/{_number(record)}", ",".join(_NAMES.values())).get("contact")
    row = got if isinstance(got, dict) else {}
    return {name: text(row.get(theirs)) for name, theirs in _NAMES.items()}


def save(account: Account, record: Record, changes: Mapping[str, str]) -> None:
    account.change(f"contact/{_number(record)}", {_NAMES[name]: value for name, value in changes.items()})


def create(account: Account, settings: Settings, contact: NewContact) -> ClientMatch:
    more = {_NAMES[name]: value for name, value in contact.values.items() if value}
    responsible = contact.responsible or str(settings.get("default_responsible") or "")
    number = clients.create(
        account,
        contact.phone,
        contact.key,
        template=str(settings.get("contact_template") or ""),
        responsible=[responsible] if responsible else [],
        more=more,
    )
    return ClientMatch(CONTACT, str(number), full_name(contact.values), manager=responsible)


def add_task(account: Account, settings: Settings, task: NewTask) -> str:
    """The client is its counterparty («Контрагент»). Times are in the zone of the token's user, as the settings have
    it."""
    template, zone = str(settings.get("new_task_template") or ""), str(settings.get("time_zone") or "UTC")
    body: dict[str, Any] = {"template": {"id": int(template)}} if template else {}
    body |= {
        "name": task.title,
        "description": linebreaks(escape(task.text)).replace("\n", ""),
        "counterparty": {"id": f"contact:{_number(task.record)}"},
        "endDateTime": {"datetime": task.due_at.astimezone(ZoneInfo(zone)).strftime("%d-%m-%Y %H:%M")},
        "sourceObjectId": task.key,
    }
    if task.responsible:
        body["assignees"] = rest.people([task.responsible])
    account.change("task/", body)
    return ""
