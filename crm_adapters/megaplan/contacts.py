"""A client as people change it from a call's card, and a task about him.

`GET|POST contractorHuman/{id}`, `contractorCompany/{id}`, `POST contractorHuman`, `POST task` (API v3; the last with
the fields of the official sample). An update without its id in the body makes a second client, so the id stands in
both. How `contactInfo` is merged is not described: an e-mail is written with a new client only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from crm_adapters.base import ClientMatch, Settings
from crm_adapters.contacts import NAME, ContactField, NewContact, NewTask, Record, full_name
from outbound.errors import Rejected, VendorFault

from . import wire
from .api import Account
from .steps import digits

FIELDS = (
    ContactField(NAME, _("First name, or the company's name")),
    ContactField("middle_name", _("Middle name")),
    ContactField("last_name", _("Last name")),
    ContactField("email", _("E-mail"), fixed=True),
    ContactField("note", _("Description in the record"), long=True),
)
HUMAN, COMPANY = wire.CLIENTS
_NAMES: Mapping[str, Mapping[str, str]] = {
    HUMAN: {NAME: "firstName", "middle_name": "middleName", "last_name": "lastName", "note": "description"},
    COMPANY: {NAME: "name", "note": "description"},
}


class _Client(wire.Person):
    middleName: wire.Text = ""  # noqa: N815 - Megaplan's own name
    description: wire.Text = ""


def _path(record: Record) -> str:
    return f"{record.entity[:1].lower()}{record.entity[1:]}/{record.entity_id}"


def read(account: Account, record: Record) -> dict[str, str]:
    got = wire.parse(_Client, account.get(_path(record)))
    values = {name: str(getattr(got, theirs)) for name, theirs in _NAMES[record.entity].items()}
    return values | {"email": next(iter(got.contacts("email")), "")}


def save(account: Account, record: Record, changes: Mapping[str, str]) -> None:
    names = _NAMES[record.entity]
    fields = {names[name]: value for name, value in changes.items() if name in names}
    made = account.post(_path(record), {**wire.link(record.entity, record.entity_id), **fields})
    if wire.parse(wire.Link, made).id != record.entity_id:
        raise VendorFault(gettext_noop("Megaplan answered with another client"), code="other_id", fate_unknown=True)


def create(account: Account, settings: Settings, contact: NewContact) -> ClientMatch:
    values = contact.values
    info = [{"contentType": "ContactInfo", "type": "phone", "value": digits(contact.phone), "isMain": True}]
    if values.get("email"):
        info.append({"contentType": "ContactInfo", "type": "email", "value": values["email"], "isMain": True})
    body: dict[str, Any] = {"contentType": HUMAN, "contactInfo": info}
    body |= {theirs: values[name] for name, theirs in _NAMES[HUMAN].items() if values.get(name)}
    responsible = contact.responsible or str(settings.get("default_responsible") or "")
    if responsible:
        body["responsibles"] = [wire.employee(responsible)]
    made = wire.parse(wire.Link, account.post("contractorHuman", body))
    if not made.id:
        raise VendorFault(gettext_noop("Megaplan gave the client no id"), code="no_id", fate_unknown=True)
    return ClientMatch(HUMAN, made.id, full_name(values), manager=responsible)


def add_task(account: Account, settings: Settings, task: NewTask) -> str:
    responsible = task.responsible or str(settings.get("default_responsible") or "")
    if not responsible:
        words = gettext_noop("Megaplan wants a responsible: map yourself to its user, or choose a default one")
        raise Rejected(words, code="no_responsible")
    body = {
        "contentType": "Task",
        "name": task.title,
        "subject": task.text,
        "isUrgent": False,
        "isTemplate": False,
        "responsible": wire.employee(responsible),
        "deadline": wire.moment(task.due_at),
        "contractor": wire.link(task.record.entity, task.record.entity_id),
    }
    account.post("task", body)
    return ""
