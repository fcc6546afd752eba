"""The communication («коммуникация», a Todo of Megaplan) of a call, for the chosen kinds of calls."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, override

from crm_adapters.base import Done, Job, NotMade, Result, Said
from outbound.errors import Rejected, VendorFault

from . import failures, people, wire
from .api import Account
from .steps import digits, type_of

REFUSED = "refused"
LANGUAGE = "ru"
"""Megaplan speaks Russian, whoever looks at it."""
_TITLES = {
    "in": gettext_noop("Incoming call %(phone)s"),
    "miss": gettext_noop("Missed call %(phone)s"),
    "out": gettext_noop("Outgoing call %(phone)s"),
    "fail": gettext_noop("Outgoing call without an answer %(phone)s"),
}


def wanted(job: Job) -> bool:
    settings = job.settings
    chosen = settings.get("communication_types") or ()
    switched_on = bool(settings.get("create_communication")) and type_of(job.facts) in chosen
    return switched_on and "todo" not in job.progress


def create(account: Account, job: Job) -> Result:
    """Where people saw a card they may have made one from it: that one is enough. Calls that nobody saw have none."""
    try:
        if not job.progress.get("silent") and (there := _there(account, job)):
            return Done({"todo": there})
        made = wire.parse(wire.Link, account.post(f"callInfo/{job.progress['call']}/todos", _body(job)))
    except Rejected as error:
        if failures.concerns_all(error):
            raise
        words = Said(gettext_noop("Megaplan did not create the communication: %(words)s"), {"words": error.words})
        return Done({"todo": REFUSED}, (words,))
    if not made.id:
        raise VendorFault(gettext_noop("Megaplan gave the communication no id"), code="no_id", fate_unknown=True)
    return Done({"todo": made.id})


def look(account: Account, job: Job) -> Result:
    there = _there(account, job)
    return Done({"todo": there}) if there else NotMade()


def _there(account: Account, job: Job) -> str:
    data = account.get(f"callInfo/{job.progress['call']}/todos", {"all": True, "limit": 1})
    return next((each.id for each in wire.rows(wire.Link, data) if each.id), "")


def _body(job: Job) -> dict[str, Any]:
    """Without `when`: Megaplan refuses every spelling of it in a new one."""
    facts = job.facts
    body: dict[str, Any] = {"contentType": "Todo", "name": _title(job)}
    if category := str(job.settings.get("communication_category") or ""):
        body["category"] = wire.link("TodoCategory", category)
    if user := people.current(job):
        body["responsible"] = wire.employee(user)
    if relations := _relations(job):
        body["relations"] = relations
    if facts.talk_seconds:
        with override(LANGUAGE):
            body["description"] = _("%(seconds)d s") % {"seconds": facts.talk_seconds}
    return body


def _title(job: Job) -> str:
    with override(LANGUAGE):
        return (_(_TITLES[type_of(job.facts)]) % {"phone": digits(job.facts.client_phone)}).strip()


def _relations(job: Job) -> list[dict[str, str]]:
    """The client, and the deal from which the call was asked for."""
    found = []
    client = job.progress.get("client")
    if isinstance(client, list) and client[0] in wire.CLIENTS:
        found.append(wire.link(*client))
    kind, _colon, number = job.facts.crm_entity.partition(":")
    if kind == "Deal" and number:
        found.append(wire.link("Deal", number))
    return found
