"""The card of a call, for somebody who may be talking: how it stands, who it is, and what can be done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from clients import book
from clients.models import Client, Comment, Task
from clients.task_pages import TaskForm
from crm_adapters.base import Capability as CrmCapability
from crm_adapters.contacts import ContactField
from employees import phones
from employees.models import Employee, Extension, User
from outbound.errors import OutboundError
from telephony.live_pages import ClientForm
from telephony.models import Call, Participant
from telephony.providers.base import Capability, Direction, LegState, Outcome
from telephony.words import in_words, ours

from . import card_fields, card_offers, card_writes, directory, lookups, mirror, routing, words
from .card_offers import Offer
from .directory import Wanting
from .models import CardWrite, Credential

LAST_CALLS = 5
MOST_TASKS = 20
Kind = CardWrite.Kind
TALKS = (LegState.TALKING, LegState.HELD)


@dataclass(frozen=True)
class Known:
    """What a CRM account (or, without one, our own book) knows of a number. `words` say why that is nothing.

    `shown`: further fields, title and value. `offers`: what can be written by this `integration`, `told`: what became
    of what was.
    """

    credential: Credential | None = None
    client: Client | None = None
    link: str = ""
    manager: str = ""
    words: str = ""
    shown: Sequence[tuple[Any, str]] = ()
    asking: bool = False
    integration: UUID | None = None
    offers: Sequence[Offer] = ()
    told: Sequence[Told] = ()

    @property
    def home(self) -> str:
        """The CRM itself, where no page of the client is known."""
        return _address("/", self.credential)


@dataclass(frozen=True)
class Told:
    """What became of a write: `words` say why it was not made, `help` what can be done about it."""

    write: CardWrite
    words: str
    help: str
    link: str


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
    entry: ClientForm | None = None
    last_calls: list[Call] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    task_form: TaskForm | None = None
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
        """Whether people say here who the client is: where a CRM takes that, it is said there."""
        taken = any(row.credential and CrmCapability.CONTACTS in _able(row.credential) for row in self.known)
        return phones.is_phone(self.call.client_phone) and not taken


def compose(call: Call, employees: frozenset[int] | None, user: User) -> Card:
    """`employees`: whose card it is (`live.employees_of`), `user`: who looks."""
    people = list(call.participants.select_related("employee"))
    own = [person for person in people if employees is None or person.employee_id in employees]
    stage = _stage(call, people, own)
    line = directory.line_name(call.connection_id, call.virtual_number)
    card = Card(call, people, stage, _since(call, own, stage), line)
    if stage == "elsewhere":
        card.colleague = next((person for person in reversed(people) if person.answered_at), None)
    _add_commands(card)
    card.comments = list(book.comments(call.company, call.client_phone, call.uuid)[:20])
    card.tasks = list(book.tasks(call.company, call.client_phone, call.uuid)[:MOST_TASKS])
    if phones.is_phone(call.client_phone):
        card.known = _known(call, user)
        card.own = book.find(call.company, call.client_phone)
        if card.may_enter:
            card.entry = _entry(call, card.own)
        earlier = Call.objects.filter(company=call.company_id, client_phone=call.client_phone).exclude(pk=call.pk)
        card.last_calls = list(earlier.select_related("employee").order_by("-started_at")[:LAST_CALLS])
    # Not while a CRM may yet turn out to keep the client's tasks: the form would become another one.
    if not any(row.asking or any(offer.kind == Kind.TASK for offer in row.offers) for row in card.known):
        everybody = Employee.objects.filter(company=call.company)
        card.task_form = card_offers.task_form(everybody, user, f"task-{call.uuid.hex}-%s")
    return card


def _entry(call: Call, own: Client | None) -> ClientForm:
    known = {"name": own.name, "organisation": own.organisation, **(own.details or {})} if own else None
    return ClientForm(initial=known, auto_id=f"own-{call.uuid.hex}-%s")


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


def _known(call: Call, user: User) -> list[Known]:
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
    writes = card_writes.lately(list(asked), phone)
    found = []
    for pk, each in asked.items():
        own = {kind: row for (account, kind), row in writes.items() if account == pk}
        client = clients.pop(accounts[pk].source, None)
        known = _asked(call, accounts[pk], client, managers, card_fields.chosen(each.adapter, each.settings))
        found.append(_with_offers(known, call, each, accounts[pk], user, own))
    others = {row.source: row for row in accounts.values()}
    found += [_row(client, others.get(source), managers) for source, client in clients.items()]
    return found


def _asked(
    call: Call,
    credential: Credential,
    client: Client | None,
    managers: _Managers,
    fields: Sequence[ContactField],
) -> Known:
    """What the book has, while it is fresh or the call is over; else the CRM is asked, and the book shown meanwhile."""
    from .actors import look_up_client

    detailed = bool(fields) and CrmCapability.CONTACTS in _able(credential)
    fresh = client and client.seen_at > timezone.now() - mirror.FRESH
    if client and ((fresh and not (detailed and lookups.lacks_details(client))) or call.finished):
        return _row(client, credential, managers)
    if credential.state != Credential.State.READY:
        return _row(client, credential, managers, str(credential.get_state_display()))
    if not call.finished and lookups.begins(credential, call.client_phone):
        look_up_client.send(call.pk, credential.pk, detailed=detailed)
    said = lookups.outcome(credential, call.client_phone)
    if said == lookups.NOBODY:
        return Known(credential, words=_("nobody has this number there"))
    if said == lookups.ASKING:
        row = _row(client, credential, managers, "" if call.finished or fresh else _("is being asked …"))
        return replace(row, asking=not call.finished)
    return _row(client, credential, managers, in_words(words.DECISIONS, said) if said != lookups.FOUND else "")


def _with_offers(
    row: Known,
    call: Call,
    wanting: Wanting,
    credential: Credential,
    user: User,
    writes: Mapping[str, CardWrite],
) -> Known:
    """`row` with what can be written, and what became of what was. A call that is over may outlive what the CRM said of
    its client."""
    client, said = row.client, lookups.outcome(credential, call.client_phone)
    unknown = client is None and (said == lookups.NOBODY or (call.finished and said == lookups.ASKING))
    details = (client.details if client else None) or {}
    fields = card_fields.chosen(wanting.adapter, wanting.settings)
    return replace(
        row,
        shown=[(each.title, details[each.name]) for each in fields[1:] if details.get(each.name)],
        integration=wanting.integration,
        offers=card_offers.of(call, wanting, credential, client, unknown=unknown, author=user, writes=writes),
        told=[_told(each, credential) for each in writes.values()],
    )


def _told(row: CardWrite, credential: Credential) -> Told:
    error = OutboundError(row.words, code=row.code)
    error.kind = row.error_kind
    helping = credential.adapter.errors_help(error) if row.state == CardWrite.State.REFUSED else ""
    return Told(row, str(ours(row.words)) if row.words else "", helping, _address(row.link, credential))


def _able(credential: Credential) -> frozenset[CrmCapability]:
    return credential.adapter.able(credential.values)


def _row(client: Client | None, credential: Credential | None, managers: _Managers, said: str = "") -> Known:
    if client is None:
        return Known(credential, words=said)
    own = [] if credential else [(title, (client.details or {}).get(name)) for name, title in book.FIELDS.items()]
    shown = [(title, value) for title, value in own if value]
    return Known(credential, client, _link(client, credential), managers.name(client), said, shown)


def _link(client: Client, credential: Credential | None) -> str:
    """The client's page in the CRM."""
    return _address(client.link, credential)


def _address(link: str, credential: Credential | None) -> str:
    """A page of the CRM: what the CRM gave leads from its own address."""
    if not (credential and credential.domain and link.startswith("/")):
        return ""
    address = credential.domain if "://" in credential.domain else f"https://{credential.domain}"
    return address.rstrip("/") + link if address.startswith(("https://", "http://")) else ""


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
