"""What Megaplan tells us: a client was changed (an application's event stream), and a call is asked for from a deal
(the external request of a scenario).

Nothing is signed: the secret part of our address is the proof, and the application's UUID where the customer has
entered it. What the built-in web telephone sends to telephony applications is not published.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping

from django.utils.translation import gettext_noop as _

from crm_adapters.base import ClientChanged, DialRequested, Event, Refused, Request
from outbound.errors import OutboundError, Rejected
from outbound.http import Http

from . import clients, failures, wire
from .api import Account

MAX_BODY = 1024 * 1024
"""An entity comes whole, with its long texts."""
CREATED, UPDATED, DROPPED = "on_after_create", "on_after_update", "on_after_drop"


class _AccountInfo(wire.Wire):
    integrationUuid: wire.Text = ""  # noqa: N815 - Megaplan's own names
    uuid: wire.Text = ""
    model: wire.Text = ""


class _Told(wire.Wire):
    """An event of a stream: `event`, the entity in `data`, and `accountInfo`. A deal's request has `data.deal`."""

    event: wire.Text = ""
    data: wire.Mapping = {}
    accountInfo: wire.Mapping = {}  # noqa: N815

    @property
    def about(self) -> _AccountInfo:
        return wire.parse(_AccountInfo, self.accountInfo)


class _OldLink(wire.Wire):
    """Entities in a deal's request have the names of API v1."""

    Id: wire.Text = ""


def _told(request: Request) -> _Told:
    """Raises `Refused` for what is no event at all."""
    if len(request.body) > MAX_BODY:
        raise Refused(413, "too_large")
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise Refused(400, "bad_json") from error
    if not isinstance(body, dict):
        raise Refused(400, "bad_json")
    return wire.parse(_Told, body)


def authenticate(request: Request, secrets: Mapping[str, str]) -> None:
    """Raises `Refused` for an event of another application than the one that was entered."""
    told, ours = _told(request), secrets.get("application_uuid", "")
    named = told.about.integrationUuid
    if told.event and ours and not hmac.compare_digest(named.lower().encode(), ours.lower().encode()):
        raise Refused(403, "unknown_application")


def parse(request: Request, http: Http, secrets: Mapping[str, str]) -> list[Event]:
    """What an event says; unknown ones say nothing."""
    told = _told(request)
    if told.event:
        return _changed(told)
    deal = told.data.get("deal")
    return _dial(Account.of(http, secrets), wire.parse(_OldLink, deal)) if isinstance(deal, dict) else []


def _changed(told: _Told) -> list[Event]:
    person = wire.parse(wire.Person, told.data)
    kind = person.contentType or told.about.model
    if kind not in wire.CLIENTS or not person.id or told.event not in (CREATED, UPDATED, DROPPED):
        return []
    phones = person.contacts("phone")
    match = clients.match(person) if told.event != DROPPED and phones else None
    return [ClientChanged(key=told.about.uuid, entity=kind, entity_id=person.id, phones=phones, match=match)]


def _dial(account: Account, deal: _OldLink) -> list[Event]:
    """The request names the deal and its client, neither a number nor who pressed the button: two questions more.

    The deal's manager dials, else who is responsible for the client. A deal without a client, or a client without a
    number, is no wish that could be carried out.
    """
    if not deal.Id.isdecimal():
        return []
    client = wire.parse(wire.Person, account.get(f"deal/{deal.Id}/contractor"))
    phones = client.contacts("phone")
    if not phones:
        raise Rejected(_("the client of this deal has no telephone number"), code="no_phone")
    manager = _manager(account, deal.Id) or client.manager
    return [DialRequested(crm_user=manager, phone=_spelt(phones[0]), crm_entity=f"Deal:{deal.Id}")]


def _manager(account: Account, deal: str) -> str:
    try:
        found = wire.parse(wire.Deal, account.get(f"deal/{deal}", {"fields": ["manager"]}))
    except OutboundError as error:
        if failures.concerns_all(error):
            raise
        return ""
    return wire.parse(wire.Link, found.manager).id


def _spelt(phone: str) -> str:
    """Megaplan keeps digits with the country's code and no plus; what people typed otherwise stays as it is."""
    return f"+{phone}" if phone.isdecimal() and len(phone) > 10 and phone[0] != "8" else phone
