"""A client as people change him from a call's card ("Клиент", "Коллекция клиентов", YCLIENTS REST API). No tasks.

A client has a record in each location. Editing wants name and phone with every request, and what becomes of a field
that is left out is not written: so what can be read goes back as it was, but for sums of money, which are never sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, pgettext_lazy

from crm_adapters.base import Choice, ClientMatch, Settings
from crm_adapters.contacts import NAME, ContactField, NewContact, Record
from crm_adapters.values import text
from outbound.errors import Rejected, VendorFault

from . import failures, people
from .calls import digits
from .chain import Chain

FIELDS = (
    ContactField(NAME, pgettext_lazy("client", "Name")),
    ContactField("email", _("E-mail")),
    ContactField("note", _("Comment in the record"), long=True),
)
LOCATIONS = "locations"
_NAMES = {NAME: "name", "email": "email", "note": "comment"}
_SENT_BACK = ("sex_id", "importance_id", "discount", "card", "birth_date", "sms_check", "sms_not", "custom_fields")
"""Beside `categories`, which are read as objects and written as ids. Not `spent` and `balance`."""


def read(chain: Chain, secrets: Mapping[str, str], record: Record) -> dict[str, str]:
    """Two requests: which location's record it is, and the record."""
    got = _got(chain, secrets, _path(chain, secrets, record))
    return {name: text(got.get(theirs)) for name, theirs in _NAMES.items()}


def save(chain: Chain, secrets: Mapping[str, str], record: Record, changes: Mapping[str, str]) -> None:
    path = _path(chain, secrets, record)
    got = _got(chain, secrets, path)
    body: dict[str, Any] = {name: got[name] for name in _SENT_BACK if got.get(name) not in (None, [])}
    body["categories"] = [each["id"] for each in got.get("categories") or () if isinstance(each, dict)]
    body |= {theirs: text(got.get(theirs)) for theirs in _NAMES.values()}
    body |= {_NAMES[name]: value for name, value in changes.items()}
    people.ask(chain, secrets, "PUT", path, {**body, "phone": digits(text(got.get("phone")) or record.phone)})


def _path(chain: Chain, secrets: Mapping[str, str], record: Record) -> str:
    """Raises `Rejected` where the number belongs to another client by now."""
    rows = people.records(chain, secrets, record.phone)
    found = next((row for row in rows if str(row["id"]) == record.entity_id and row.get("company_id")), None)
    if found is None:
        raise Rejected(gettext_noop("this client is not there any more under this number"), code="gone")
    return f"/client/{quote(str(found['company_id']), safe='')}/{quote(record.entity_id, safe='')}"


def _got(chain: Chain, secrets: Mapping[str, str], path: str) -> dict[str, Any]:
    got = people.ask(chain, secrets, "GET", path)
    if not isinstance(got, dict):
        raise VendorFault(gettext_noop("the answer is no client"), code="no_client")
    return got


def create(chain: Chain, secrets: Mapping[str, str], settings: Settings, contact: NewContact) -> ClientMatch:
    location = str(settings.get("location") or "") or _only_location(chain, secrets)
    body = {_NAMES[name]: value for name, value in contact.values.items() if value}
    path = f"/clients/{quote(location, safe='')}"
    made = people.ask(chain, secrets, "POST", path, {**body, "phone": digits(contact.phone)})
    number = text(made.get("id")) if isinstance(made, dict) else ""
    if not number:
        raise VendorFault(gettext_noop("the new client has no id"), code="no_id", fate_unknown=True)
    return ClientMatch(people.CLIENT, number, contact.values[NAME])


def _only_location(chain: Chain, secrets: Mapping[str, str]) -> str:
    known = locations(chain, secrets)
    if len(known) != 1:
        words = gettext_noop("the chain has several locations, and none was chosen for new clients")
        raise Rejected(words, code=failures.NO_LOCATION)
    return known[0].id


def locations(chain: Chain, secrets: Mapping[str, str]) -> list[Choice]:
    """Those of the chain that this user may manage (`GET /groups`)."""
    found = people.ask(chain, secrets, "GET", "/groups")
    chains = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    rows = [
        each for row in chains if str(row.get("id")) == secrets.get("chain_id") for each in row.get("companies") or ()
    ]
    return [Choice(str(row["id"]), text(row.get("title"))) for row in rows if isinstance(row, dict) and row.get("id")]
