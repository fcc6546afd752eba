"""A contact or company as people change it from a call's card, and a task about it.

`GET|PATCH|POST /api/v4/contacts|companies` ("Контакты", amocrm.ru/developers). A field is sent with all of its values,
so the others than the first go back as they came; without any `values` is null, as the vendor's own SDK has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, pgettext_lazy

from crm_adapters.base import ClientMatch
from crm_adapters.contacts import NAME, ContactField, NewContact, NewTask, Record
from crm_adapters.values import text
from outbound.errors import OutboundError, Rejected

from . import api, people, wire
from .api import Account
from .directory import KINDS, link
from .tasks import CALL

FIELDS = (
    ContactField(NAME, pgettext_lazy("client", "Name")),
    ContactField("email", _("E-mail")),
    ContactField("position", _("Position")),
    ContactField("address", _("Address")),
)
_LISTS = {one: many for many, one in KINDS.items()}
_CODES = {"contact": {"email": "EMAIL", "position": "POSITION"}, "company": {"email": "EMAIL", "address": "ADDRESS"}}
"""`field_code` of the fields that every account has from the beginning; an account may have deleted one."""
_WORK = {"EMAIL": {"enum_code": "WORK"}, "PHONE": {"enum_code": "WORK"}}
"""What kind of address or number it is."""


def _got(account: Account, record: Record) -> wire.Client:
    got = wire.parse(wire.Client, account.get(f"/api/v4/{_LISTS[record.entity]}/{record.entity_id}"))
    if not got.id:  # HTTP 204
        raise Rejected(gettext_noop("amoCRM has this record no more"), code="gone")
    return got


def _values(client: wire.Client, code: str) -> list[dict[str, Any]]:
    """As they came, but for what amoCRM only tells."""
    fields = wire.rows(wire.FieldValues, client.custom_fields_values)
    found = [each for field in fields if field.field_code == code for each in field.values]
    return [{name: each[name] for name in ("value", "enum_code") if name in each} for each in found]


def read(account: Account, record: Record) -> dict[str, str]:
    got = _got(account, record)
    firsts = {name: next(iter(_values(got, code)), {}) for name, code in _CODES[record.entity].items()}
    return {NAME: got.name, **{name: text(each.get("value")) for name, each in firsts.items()}}


def save(account: Account, record: Record, changes: Mapping[str, str]) -> None:
    """One request, and one before it where a field that may hold several values is to be another."""
    said: dict[str, Any] = {"id": int(record.entity_id)}
    if NAME in changes:
        said["name"] = changes[NAME]
    codes = {name: code for name, code in _CODES[record.entity].items() if name in changes}
    if codes:
        got = _got(account, record)
        said["custom_fields_values"] = [_field(code, _values(got, code), changes[name]) for name, code in codes.items()]
    (error,) = api.change(account, f"/api/v4/{_LISTS[record.entity]}", {"": said}).values()
    if error:
        raise error


def _field(code: str, there: list[dict[str, Any]], value: str) -> dict[str, Any]:
    first = {**_WORK.get(code, {}), **(there[0] if there else {}), "value": value}
    kept = [first, *there[1:]] if value else there[1:]
    return {"field_code": code, "values": kept or None}


def create(account: Account, contact: NewContact) -> ClientMatch:
    codes = {"PHONE": contact.phone, **{code: contact.values.get(name, "") for name, code in _CODES["contact"].items()}}
    said: dict[str, Any] = {
        "name": contact.values[NAME],
        "custom_fields_values": [_field(code, [], value) for code, value in codes.items() if value],
        "request_id": contact.key,
    }
    if contact.responsible:
        said["responsible_user_id"] = people.number(contact.responsible)
    made = api.bulk(account, "POST", "/api/v4/contacts", {contact.key: said}, "contacts")[contact.key]
    if isinstance(made, OutboundError):
        raise made
    number = str(made.id)
    name = contact.values[NAME]
    return ClientMatch("contact", number, name, manager=contact.responsible, link=link("contact", number))


def add_task(account: Account, task: NewTask) -> str:
    """A task «Связаться» of the client; who is not named has it himself, as whom we speak."""
    record = task.record
    said: dict[str, Any] = {
        "text": task.text,
        "complete_till": int(task.due_at.timestamp()),
        "task_type_id": CALL,
        "entity_type": _LISTS[record.entity],
        "entity_id": int(record.entity_id),
        "request_id": task.key,
    }
    if task.responsible:
        said["responsible_user_id"] = people.number(task.responsible)
    made = api.bulk(account, "POST", "/api/v4/tasks", {task.key: said}, "tasks")[task.key]
    if isinstance(made, OutboundError):
        raise made
    return link(record.entity, record.entity_id)
