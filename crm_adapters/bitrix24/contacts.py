"""A client's record as people change it from a call's card, and a to-do about him.

`crm.lead|contact|company.get`, `.update`, `crm.contact.add`, `crm.activity.todo.add` (b24restdocs). E-mails are a list
whose rows have ids: a row with its id is changed, one without is added, one with an empty value is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from crm_adapters.base import ClientMatch
from crm_adapters.contacts import NAME, ContactField, NewContact, NewTask, Record, full_name
from crm_adapters.values import text
from outbound.errors import VendorFault

from . import wire
from .directory import link
from .entities import TYPE_IDS
from .rest import Portal

FIELDS = (
    ContactField(NAME, _("First name")),
    ContactField("last_name", _("Last name")),
    ContactField("email", _("E-mail")),
    ContactField("position", _("Position")),
    ContactField("note", _("Note in the record"), long=True),
)
ORIGINATOR = "callbridge"
_PERSON = {NAME: "NAME", "last_name": "LAST_NAME", "position": "POST", "note": "COMMENTS"}
_COMPANY = {NAME: "TITLE", "note": "COMMENTS"}


class _Record(wire.Wire):
    NAME: wire.Text = ""
    LAST_NAME: wire.Text = ""
    TITLE: wire.Text = ""
    POST: wire.Text = ""
    COMMENTS: wire.Text = ""
    EMAIL: wire.Rows = []

    @property
    def emails(self) -> list[_Email]:
        return wire.rows(_Email, self.EMAIL)


class _Email(wire.Wire):
    ID: wire.Text = ""
    VALUE: wire.Text = ""


def _names(record: Record) -> Mapping[str, str]:
    """Fields of this kind of record: ours → Bitrix24's."""
    return _COMPANY if record.entity == "COMPANY" else _PERSON


def _got(portal: Portal, record: Record) -> _Record:
    return wire.parse(_Record, portal.call(f"crm.{record.entity.lower()}.get", {"id": record.entity_id}))


def read(portal: Portal, record: Record) -> dict[str, str]:
    got = _got(portal, record)
    values = {name: str(getattr(got, theirs)) for name, theirs in _names(record).items()}
    return values | {"email": next((each.VALUE for each in got.emails), "")}


def save(portal: Portal, record: Record, changes: Mapping[str, str]) -> None:
    """One request, and one more before it where the first e-mail is to be another."""
    fields: dict[str, Any] = {theirs: changes[name] for name, theirs in _names(record).items() if name in changes}
    if "email" in changes:
        there = next(({"ID": each.ID} for each in _got(portal, record).emails), {})
        if there or changes["email"]:
            fields["EMAIL"] = [{**there, **_value(changes["email"])}]
    portal.call(f"crm.{record.entity.lower()}.update", {"id": record.entity_id, "fields": fields})


def create(portal: Portal, contact: NewContact) -> ClientMatch:
    values = contact.values
    fields: dict[str, Any] = {theirs: values[name] for name, theirs in _PERSON.items() if values.get(name)}
    fields |= {"PHONE": [_value(contact.phone)], "ORIGINATOR_ID": ORIGINATOR, "ORIGIN_ID": contact.key}
    if values.get("email"):
        fields["EMAIL"] = [_value(values["email"])]
    if contact.responsible:
        fields["ASSIGNED_BY_ID"] = contact.responsible
    made = text(portal.call("crm.contact.add", {"fields": fields}))
    if not made:
        raise VendorFault(gettext_noop("Bitrix24 gave the contact no id"), code="no_id", fate_unknown=True)
    name = full_name(values)
    return ClientMatch("CONTACT", made, name, manager=contact.responsible, link=link("CONTACT", made))


def _value(value: str) -> dict[str, str]:
    return {"VALUE": value, "VALUE_TYPE": "WORK"}


def add_task(portal: Portal, task: NewTask) -> str:
    """A to-do in the client's timeline («дело»); who is not named has it himself, as whom we speak."""
    said: dict[str, Any] = {
        "ownerTypeId": TYPE_IDS[task.record.entity],
        "ownerId": task.record.entity_id,
        "deadline": task.due_at.isoformat(timespec="seconds"),
        "title": task.title,
        "description": task.text,
    }
    if task.responsible:
        said["responsibleId"] = task.responsible
    portal.call("crm.activity.todo.add", said)
    return link(task.record.entity, task.record.entity_id)
