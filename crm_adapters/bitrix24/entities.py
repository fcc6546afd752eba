"""Changing what a call created in the CRM, and its activity; finding and deleting what a test call left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import Trace
from outbound.errors import OutboundError, Rejected

from . import address
from .rest import Command, Portal

TYPE_IDS = {"LEAD": 1, "DEAL": 2, "CONTACT": 3, "COMPANY": 4}


def update(kind: str, number: int, fields: Mapping[str, Any]) -> Command:
    """Change fields of an entity; they are in camelCase here."""
    return Command("crm.item.update", {"entityTypeId": TYPE_IDS[kind], "id": number, "fields": dict(fields)})


def update_activity(number: int, fields: Mapping[str, Any]) -> Command:
    """Change fields of an activity; they are in capitals here."""
    return Command("crm.activity.update", {"id": number, "fields": dict(fields)})


def delete_activity(number: int) -> Command:
    return Command("crm.activity.delete", {"id": number})


def is_gone(error: OutboundError) -> bool:
    """Whether what was to be deleted is not there any more."""
    rejected = isinstance(error, Rejected)
    return rejected and (error.code.lower() in _GONE or "not found" in error.words.lower())


# --- What a test call left --------------------------------------------------------------------------------------------

ACTIVITY, STATISTICS, FILE = "ACTIVITY", "STATISTICS", "FILE"
_TITLES = {"LEAD": _("Lead"), "DEAL": _("Deal"), "CONTACT": _("Contact"), "COMPANY": _("Company")}
_GONE = frozenset({"not_found", "error_not_found"})


def traces(notes: Mapping[str, Any], secrets: Mapping[str, str]) -> list[Trace]:
    """The activity first: it goes with what it is bound to. Only `created` was not there before."""
    found = []
    if activity := notes.get("activity"):
        found.append(Trace(_("The call among the activities"), ACTIVITY, str(activity), removable=True))
    for kind, number in notes.get("created", ()):
        title, known = _TITLES.get(kind, _("What the call created")), kind in TYPE_IDS
        found.append(Trace(title, kind, str(number), _page(kind, number, secrets) if known else "", removable=known))
    if notes.get("record") and notes["record"] != "refused":
        found.append(Trace(_("The recording on Bitrix24.Drive"), FILE, str(notes["record"])))
    if notes.get("finished"):
        found.append(Trace(_("The call in the statistics of telephony"), STATISTICS, ""))
    return found


def _page(kind: str, number: int, secrets: Mapping[str, str]) -> str:
    try:
        return f"{address.origin(secrets.get('domain', ''))}/crm/{kind.lower()}/details/{number}/"
    except ValueError:
        return ""


def remove(portal: Portal, trace: Trace) -> None:
    """`crm.activity.delete` and `crm.item.delete` (b24restdocs): the statistics and the drive offer us nothing."""
    try:
        if trace.kind == ACTIVITY:
            portal.call("crm.activity.delete", {"id": int(trace.id)})
        else:
            portal.call("crm.item.delete", {"entityTypeId": TYPE_IDS[trace.kind], "id": int(trace.id)})
    except Rejected as error:
        if not is_gone(error):
            raise
