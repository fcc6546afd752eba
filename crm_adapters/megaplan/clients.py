"""Whom Megaplan knows under a number, and the new client of a call from or to a number that it does not know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import ClientMatch, Done, Job, NotMade, Result, Said
from outbound.errors import Rejected, Temporary, VendorFault

from . import failures, people, wire
from .api import Account
from .steps import LATER, client_in, digits

REFUSED = "refused"
Made = dict[str, list[str]]
"""Clients that this batch has created, by phone: Megaplan may need some seconds to show them."""


def find(account: Account, phone: str, deadline: float) -> ClientMatch | None:
    """One request (`callRoute`): the client, whom Megaplan would call for him, and other clients of this number.

    The description promises the extension with the employees, its samples have none: it is read where it comes. The
    house knows managers by their ids.
    """
    route = wire.parse(wire.Route, account.get("callRoute", {"phone": digits(phone)}, deadline))
    clients = [person for person in wire.rows(wire.Person, route.users) if person.is_client]
    if not clients:
        return None
    first, *others = clients
    called = wire.rows(wire.Person, route.employees)
    manager = next((each.id for each in called if each.id), "") or first.manager
    extension = next((each.internalNumber for each in called if each.id == manager), "")
    return match(first, manager=manager, extension=extension, others=others)


def match(
    person: wire.Person, *, manager: str = "", extension: str = "", others: Iterable[wire.Person] = ()
) -> ClientMatch:
    return ClientMatch(
        entity=person.contentType,
        entity_id=person.id,
        name=person.shown_name,
        manager=manager or person.manager,
        manager_extension=wire.Config(internalNumber=extension).number,
        company=wire.parse(wire.Person, person.company).name,
        others=tuple(f"{each.contentType}:{each.id} {each.shown_name}".strip() for each in others),
    )


# --- The new client of a call -----------------------------------------------------------------------------------------


def wanted(job: Job) -> bool:
    """Whether a client is still to be looked up, and created where there is none."""
    setting = "create_client_outgoing" if people.outgoing(job.facts) else "create_client_incoming"
    known = job.progress.get("client")
    later = known == LATER and bool(job.progress.get("finished"))
    return bool(job.settings.get(setting) and job.facts.client_phone) and (not known or later)


def create(account: Account, job: Job, made: Made) -> Result:
    """Look, then create: one request for a known number, two for a new one.

    During the conversation nothing of this may hold up the end of the call: what fails comes again after it. It looks
    again then, so an answer that was lost makes no second client.
    """
    again = job.progress.get("client") == LATER  # it may be ours, and not bound to the call yet
    try:
        return Done(_notes(_looked_up(account, job, made), made=again) or _created(account, job, made))
    except Temporary:
        if job.progress.get("finished"):
            raise
        return Done({"client": LATER})
    except Rejected as error:
        if failures.concerns_all(error):
            raise
        words = Said(_("Megaplan did not create the client: %(words)s"), {"words": error.words})
        return Done({"client": REFUSED}, (words,))


def _looked_up(account: Account, job: Job, made: Made) -> list[str]:
    phone = digits(job.facts.client_phone)
    if phone in made:
        return made[phone]
    route = wire.parse(wire.Route, account.get("callRoute", {"phone": phone}))
    owners = sorted(wire.rows(wire.Link, route.users), key=lambda each: not each.is_client)
    return owners[0].pair if owners and owners[0].id else []


def _notes(pair: list[str], *, made: bool = False) -> dict[str, Any]:
    if not pair:
        return {}
    return {"client": pair, "made": True} if made else {"client": pair}


def _created(account: Account, job: Job, made: Made) -> dict[str, Any]:
    phone = digits(job.facts.client_phone)
    responsible = people.current(job) or people.default(job)
    body: dict[str, Any] = {
        "contentType": "ContractorHuman",
        "firstName": phone,
        "contactInfo": [_contact(phone, isMain=True)],
    }
    if responsible:
        body["responsibles"] = [wire.employee(responsible)]
    client = wire.parse(wire.Link, account.post("contractorHuman", body))
    if not client.id:
        raise VendorFault(_("Megaplan gave the client no id"), code="no_id", fate_unknown=True)
    made[phone] = ["ContractorHuman", client.id]
    return {**_notes(made[phone], made=True), "created": True}


def _contact(phone: str, **more: Any) -> dict[str, Any]:
    return {"contentType": "ContactInfo", "type": "phone", "value": phone, **more}


def look(account: Account, job: Job) -> Result:
    """Whether the client whose answer was lost is there: by the route, then among the possible doubles.

    It is bound to the call in any case, which changes nothing where Megaplan has done so.
    """
    if pair := _looked_up(account, job, {}):
        return Done(_notes(pair, made=True))
    phone = digits(job.facts.client_phone)
    doubles = account.get("contractorHuman/possibleDuplicates", {"contactInfo": [_contact(phone)], "limit": 10})
    for person in wire.rows(wire.Person, doubles):
        if person.is_client and phone in map(digits, person.contacts("phone")):
            return Done(_notes(person.pair, made=True))
    return NotMade()


def attach(account: Account, job: Job) -> Result:
    """The new client becomes the client of the call, and of its communication where there is one."""
    kind, number = job.progress["client"]
    made = account.post(f"callInfo/{job.progress['call']}/setContractor", wire.link(kind, number))
    return Done({"attached": True, **client_in(job, wire.parse(wire.CallInfo, made))})
