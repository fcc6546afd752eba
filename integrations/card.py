"""The card of a call, for somebody who may be talking: how it stands, who it is, and what can be done."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from clients import book
from clients.models import Client, Comment
from employees import phones
from employees.models import Employee, Extension
from telephony.models import Call, Participant
from telephony.providers.base import Capability, Direction, LegState, Outcome
from telephony.words import in_words

from . import directory, lookups, mirror, routing, words
from .directory import Wanting
from .models import Credential

LAST_CALLS = 5
TALKS = (LegState.TALKING, LegState.HELD)


@dataclass(frozen=True)
class Known:
    """What a CRM account (or, without one, our own book) knows of a number. `words` say why that is nothing."""

    credential: Credential | None = None
    client: Client | None = None
    link: str = ""
    manager: str = ""
    words: str = ""


@dataclass
class Card:
    """`stage`: `ringing`, `talking`, `elsewhere` (a colleague has or had it, or it rings somewhere else), `over`.
    `since`: what the clock counts from. `colleague`: who has answered in this person's place."""

    call: Call
    people: Sequence[Participant]
    stage: str
    since: datetime | None
    line: str
    colleague: Participant | None = None
    known: list[Known] = field(default_factory=list)
    own: Client | None = None
    last_calls: list[Call] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    can_hang_up: bool = False
    transfer_to: list[Extension] = field(default_factory=list)

    @property
    def rings(self) -> bool:
        """Whether the person is to be called to the telephone."""
        return self.stage == "ringing" and self.call.direction != Direction.OUT

    @property
    def name(self) -> str:
        """Whom to greet: the first who is known."""
        return next((row.client.name for row in self.known if row.client), "")

    @property
    def may_enter(self) -> bool:
        """Whether people say here who the client is: where a CRM is asked, it is said there."""
        asked = any(row.credential for row in self.known)
        return phones.is_phone(self.call.client_phone) and not asked


def compose(call: Call, employees: frozenset[int] | None) -> Card:
    """`employees`: whose card it is (`live.employees_of`)."""
    people = list(call.participants.select_related("employee"))
    own = [person for person in people if employees is None or person.employee_id in employees]
    stage = _stage(call, people, own)
    line = directory.line_name(call.connection_id, call.virtual_number)
    card = Card(call, people, stage, _since(call, own, stage), line)
    if stage == "elsewhere":
        card.colleague = next((person for person in reversed(people) if person.answered_at), None)
    _add_commands(card)
    card.comments = list(book.comments(call.company, call.client_phone, call.uuid)[:20])
    if phones.is_phone(call.client_phone):
        card.known = _known(call)
        card.own = book.find(call.company, call.client_phone)
        earlier = Call.objects.filter(company=call.company_id, client_phone=call.client_phone).exclude(pk=call.pk)
        card.last_calls = list(earlier.select_related("employee").order_by("-started_at")[:LAST_CALLS])
    return card


# --- How it stands ----------------------------------------------------------------------------------------------------


def _stage(call: Call, people: Sequence[Participant], own: Sequence[Participant]) -> str:
    if call.finished:
        his = not own or any(person.answered_at for person in own)
        return "over" if his or call.outcome != Outcome.ANSWERED else "elsewhere"
    if any(person.state in TALKS for person in own):
        return "talking"
    if any(person.state == LegState.RINGING for person in own):
        return "ringing"
    return "elsewhere" if people else "ringing"


def _since(call: Call, own: Sequence[Participant], stage: str) -> datetime | None:
    if stage == "talking":
        return next((person.answered_at for person in own if person.state in TALKS), None) or call.answered_at
    return call.started_at if stage == "ringing" else None


def _add_commands(card: Card) -> None:
    """Buttons for what the PBX can; a colleague's conversation is left to him."""
    call = card.call
    if card.stage not in ("ringing", "talking"):
        return
    able = call.connection.protocol.able(call.connection.credentials)
    card.can_hang_up = Capability.HANGUP in able and bool(call.live_leg)
    if Capability.TRANSFER in able and card.stage == "talking":
        busy = [person.extension for person in card.people if person.state in TALKS]
        rows = Extension.objects.filter(company=call.company_id, employee__isnull=False).exclude(number__in=busy)
        card.transfer_to = list(rows.select_related("employee").order_by("employee__name", "number"))


# --- What is known ----------------------------------------------------------------------------------------------------


def _known(call: Call) -> list[Known]:
    """The CRMs that this call goes to come first; what else the book has of the number follows."""
    phone, caller = call.client_phone, lookups.caller_of(call)
    rows = Client.objects.filter(company=call.company_id, phones__phone=phone).exclude(name="").order_by("seen_at")
    clients = {row.source: row for row in rows}
    accounts = {row.pk: row for row in Credential.objects.filter(company=call.company_id).order_by("id")}
    asked: dict[int, Wanting] = {}
    if not directory.is_employee_phone(call.company_id, phone):
        wanting = [row for row in directory.of_connection(call.connection_id) if routing.knows_clients(row, caller)]
        asked = {row.credential_id: row for row in wanting}
    managers = _Managers(call.company_id, clients.values(), asked.values())
    found = [_asked(call, accounts[pk], clients.pop(accounts[pk].source, None), managers) for pk in asked]
    others = {row.source: row for row in accounts.values()}
    found += [_row(client, others.get(source), managers) for source, client in clients.items()]
    return found


def _asked(call: Call, credential: Credential, client: Client | None, managers: _Managers) -> Known:
    """What the book has, while it is fresh or the call is over; else the CRM is asked, and the book shown meanwhile."""
    from .actors import look_up_client

    fresh = client and client.seen_at > timezone.now() - mirror.FRESH
    if fresh or (call.finished and client):
        return _row(client, credential, managers)
    if credential.state != Credential.State.READY:
        return _row(client, credential, managers, str(credential.get_state_display()))
    if not call.finished and lookups.begins(credential, call.client_phone):
        look_up_client.send(call.pk, credential.pk)
    said = lookups.outcome(credential, call.client_phone)
    if said == lookups.NOBODY:
        return Known(credential, words=_("nobody has this number there"))
    if said == lookups.ASKING:
        return _row(client, credential, managers, "" if call.finished else _("is being asked …"))
    return _row(client, credential, managers, in_words(words.DECISIONS, said) if said != lookups.FOUND else "")


def _row(client: Client | None, credential: Credential | None, managers: _Managers, said: str = "") -> Known:
    if client is None:
        return Known(credential, words=said)
    return Known(credential, client, _link(client, credential), managers.name(client), said)


def _link(client: Client, credential: Credential | None) -> str:
    """The client's page in the CRM: what the CRM gave leads from its own address."""
    if not (credential and credential.domain and client.link.startswith("/")):
        return ""
    address = credential.domain if "://" in credential.domain else f"https://{credential.domain}"
    return address.rstrip("/") + client.link if address.startswith(("https://", "http://")) else ""


class _Managers:
    """Names of the clients' managers: employees of ours, as the integrations map them or by their extensions."""

    def __init__(self, company_id: int, clients: Collection[Client], wanting: Collection[Wanting]):
        self._mapped = {row.crm_user: key for each in wanting for key, row in each.mapping.items() if row.crm_user}
        shorts = {client.manager_extension for client in clients} - {""}
        rows = Extension.objects.filter(company=company_id, number__in=shorts, employee__isnull=False)
        self._by_extension = dict(rows.values_list("number", "employee__name"))
        ids = {self._mapped[client.manager] for client in clients if client.manager in self._mapped}
        self._names: dict[Any, str] = dict(Employee.objects.filter(pk__in=ids).values_list("pk", "name"))

    def name(self, client: Client) -> str:
        mapped = self._names.get(self._mapped.get(client.manager))
        return mapped or self._by_extension.get(client.manager_extension, "") or client.manager_extension
