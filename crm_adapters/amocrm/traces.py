"""What a test call left in amoCRM. The API takes back an unsorted entry; deals, contacts, notes and tasks a person must
delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import Trace
from outbound.errors import Rejected

from . import address, failures
from .api import Account

UNSORTED = "unsorted"
_WITH_PAGES = ("leads", "contacts", "companies", "customers")


def of(notes: Mapping[str, Any], secrets: Mapping[str, str]) -> list[Trace]:
    """The deal and the contact of an unsorted entry go with it."""
    found = []
    if entry := notes.get("unsorted"):
        known = isinstance(entry, str)
        title = _("Unsorted entry, with its deal and contact")
        found.append(Trace(title, UNSORTED, entry if known else "", removable=known))
    created = notes.get("created") or {}
    if number := created.get("lead"):
        found.append(Trace(_("Deal"), "leads", str(number), _page("leads", number, secrets)))
    if number := created.get("contact"):
        found.append(Trace(_("Contact"), "contacts", str(number), _page("contacts", number, secrets)))
    if notes.get("written") and not notes.get("unsorted"):
        kind, number = notes.get("entity") or ("", 0)
        found.append(
            Trace(
                _("The call in the feed of the record"),
                "notes",
                str(notes.get("note") or ""),
                _page(kind, number, secrets),
            )
        )
    if notes.get("task") and notes["task"] != "refused":
        found.append(Trace(_("Task"), "tasks", str(notes["task"])))
    return found


def _page(kind: str, number: Any, secrets: Mapping[str, str]) -> str:
    if kind not in _WITH_PAGES:
        return ""
    try:
        return f"{address.origin(secrets.get('domain', ''))}/{kind}/detail/{number}"
    except ValueError:
        return ""


def remove(account: Account, trace: Trace) -> None:
    """Declining takes the entry away with the deal and the contact that nobody has accepted. One that is not there was
    declined, or it was accepted and they live on: only a person sees which."""
    try:
        account.send("DELETE", f"/api/v4/leads/unsorted/{trace.id}/decline", None)
    except Rejected as error:
        if error.code != failures.NOT_FOUND:
            raise
        raise Rejected(_("somebody has accepted or declined it already"), code=error.code) from error
