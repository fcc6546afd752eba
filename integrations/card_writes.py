"""What people have written into CRMs from the card of a call: a new client, his data, a task.

Never on the thread of their page: it is written down with the form's token and sent by a worker, and the card tells
what became of it. It is sent once. Before a client is made the CRM is asked whether it knows the number; before data
are changed, whether they are still what the person saw. After an answer that was lost we look once; where that does not
tell, the person is told to, and nothing is repeated by itself. What time mends he tries again himself: he is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import structlog
from django.db import IntegrityError
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from clients.models import Client
from crm_adapters.base import ClientMatch
from crm_adapters.contacts import NewContact, NewTask, Record, full_name
from employees.models import User
from outbound.errors import OutboundError, Rejected
from outbound.http import Http
from telephony import live
from telephony.hot import after_commit, hot_write, persistently
from telephony.models import Call

from . import credentials, mirror
from .models import CardWrite, Credential, Integration

log = structlog.get_logger(__name__)

T = TypeVar("T")
Kind, State = CardWrite.Kind, CardWrite.State
SECONDS = 8.0
"""For each request: somebody waits."""
SHOWN = timedelta(hours=1)
"""How long the card says what became of it."""
RESENT = timedelta(seconds=5)
"""A message to a worker that is older may be lost: it is given again."""
LOST = timedelta(minutes=2)
"""Whoever has been sending for so long is gone, and so is the answer."""
THERE, CHANGED, DOUBT = "there", "changed", "doubt"


# --- Written down -----------------------------------------------------------------------------------------------------


def intend(
    call: Call,
    integration: Integration,
    kind: str,
    token: UUID,
    author: User,
    **wished: Any,
) -> CardWrite | None:
    """Note what is to be written, once for each form; None where the same is under way, in another window perhaps."""
    rows = CardWrite.objects.filter(integration__credential=integration.credential_id, client_phone=call.client_phone)
    try:
        with hot_write():
            Integration.objects.select_for_update(no_key=True).get(pk=integration.pk)  # two clicks come in turn
            if kind != Kind.TASK and rows.filter(kind=kind, state__in=(State.INTENDED, State.SENT)).exists():
                return None
            row = CardWrite.objects.create(
                token=token,
                company=call.company,
                integration=integration,
                call=call,
                client_phone=call.client_phone,
                kind=kind,
                author=author,
                **wished,
            )
            after_commit(_send, row.pk)
    except IntegrityError:
        return None
    return row


def _send(pk: int) -> None:
    from .actors import write_from_card

    write_from_card.send(pk)


def lately(credential_ids: list[int], phone: str) -> dict[tuple[int, str], CardWrite]:
    """The last write of each kind into each of these accounts about this client, where it is not long ago."""
    rows = CardWrite.objects.filter(client_phone=phone, created_at__gt=timezone.now() - SHOWN)
    rows = rows.filter(integration__credential__in=credential_ids).select_related("integration", "author")
    return {(row.integration.credential_id, row.kind): row for row in rows.order_by("created_at", "pk")}


# --- Sent -------------------------------------------------------------------------------------------------------------


def carry_out(pk: int) -> None:
    """Send what was noted, unless somebody has done so; the pages that show it are told."""
    if not persistently(lambda: _claimed(pk)):
        return
    row = CardWrite.objects.select_related("integration__credential__company", "company").get(pk=pk)
    way = {Kind.CREATE: _create, Kind.SAVE: _save, Kind.TASK: _set_task}[Kind(row.kind)]
    try:
        link = way(_Account(row))
    except OutboundError as error:
        log.info("not written from a card", kind=row.kind, code=error.code, words=error.words)
        state = State.DOUBT if error.fate_unknown else State.REFUSED
        said = {"error_kind": error.kind, "code": error.code[:100], "words": error.words}
        persistently(lambda: _note(row, state=state, **said))
    else:
        persistently(lambda: _note(row, state=State.DONE, link=link[:500]))


def _claimed(pk: int) -> bool:
    with hot_write():
        rows = CardWrite.objects.filter(pk=pk, state=State.INTENDED)
        return bool(rows.update(state=State.SENT, sent_at=timezone.now()))


def _note(row: CardWrite, **outcome: Any) -> None:
    with hot_write():
        CardWrite.objects.filter(pk=row.pk).update(**outcome)
    if row.call_id:
        live.touch(row.call_id)


def waiting() -> list[int]:
    """Those whose message was lost. What was sent by somebody who is gone is in doubt from now on."""
    now = timezone.now()
    for row in CardWrite.objects.filter(state=State.SENT, sent_at__lt=now - LOST):
        _note(row, state=State.DOUBT, error_kind=DOUBT)
    rows = CardWrite.objects.filter(state=State.INTENDED, created_at__lt=now - RESENT)
    return list(rows.values_list("pk", flat=True))


class _Account:
    """A write, and how its account is spoken to."""

    def __init__(self, row: CardWrite):
        self.row = row
        self.credential: Credential = row.integration.credential
        self.adapter = self.credential.adapter
        self.settings: Mapping[str, Any] = row.integration.settings
        self.http: Http = credentials.http_for(
            self.credential, purpose="call card", call_id=row.call_id, deadline=SECONDS
        )

    def ask(self, work: Callable[[dict[str, str]], T]) -> T:
        return credentials.speaking(self.credential, self.http, work)

    def look(self, work: Callable[[dict[str, str]], T]) -> T:
        """Nothing can have been made by it."""
        try:
            return self.ask(work)
        except OutboundError as error:
            error.fate_unknown = False
            raise

    def find(self) -> ClientMatch | None:
        return self.look(lambda keys: self.adapter.find_client(self.http, keys, self.row.client_phone, SECONDS))

    def read(self) -> dict[str, str]:
        return self.look(lambda keys: self.adapter.read_contact(self.http, keys, self.record))

    @property
    def record(self) -> Record:
        return record_of(self.row.entity, self.row.client_phone)

    def mirror(self, match: ClientMatch, values: Mapping[str, str] | None = None) -> str:
        """The book has the client as the CRM does now; his page there."""
        client = persistently(lambda: mirror.remember(self.credential, self.row.client_phone, match))
        if values is not None:
            mirror.detail(client, values)
        return client.link


def record_of(entity: str, phone: str) -> Record:
    """A record as the client book names it."""
    kind, _colon, number = entity.partition(":")
    return Record(kind, number, phone)


def _create(account: _Account) -> str:
    """Looks first: another tab, the CRM itself or a colleague may have made him. Looks again after a lost answer."""
    if there := account.find():
        account.mirror(there)
        raise Rejected(_("The CRM knows this number already, so nobody was made."), code=THERE)
    row = account.row
    contact = NewContact(row.client_phone, row.values, row.responsible, str(row.token))
    try:
        made = account.ask(lambda keys: account.adapter.create_contact(account.http, keys, account.settings, contact))
    except OutboundError as error:
        found = _looked(account.find) if error.fate_unknown else None
        if found is None:
            raise
        made = found
    return account.mirror(made, row.values)


def _save(account: _Account) -> str:
    """What somebody else has changed since the person saw it is not written over."""
    row, now = account.row, account.read()
    client = Client.objects.filter(company=row.company_id, source=account.credential.source, entity=row.entity).first()
    if any(plain(now.get(name, "")) != seen for name, seen in row.before.items()):
        if client:
            mirror.detail(client, now)
        raise Rejected(_("Somebody has changed this in the CRM meanwhile: look at it as it is now."), code=CHANGED)
    try:
        account.ask(lambda keys: account.adapter.save_contact(account.http, keys, account.record, row.values))
    except OutboundError as error:
        found = _looked(account.read) if error.fate_unknown else None
        if found is None or any(plain(found.get(name, "")) != value for name, value in row.values.items()):
            raise
    if client is None:
        return ""
    values = now | row.values
    mirror.detail(client, values, name=full_name(values))
    return client.link


def plain(text: str) -> str:
    """As texts are compared: browsers end lines in their own way, and CRMs trim."""
    return text.replace("\r\n", "\n").strip()


def _set_task(account: _Account) -> str:
    row = account.row
    if row.due_at is None:
        raise Rejected(_("The task has no time."))
    task = NewTask(account.record, row.values["text"], row.due_at, row.responsible, str(row.token))
    return account.ask(lambda keys: account.adapter.create_task(account.http, keys, account.settings, task))


def _looked(look: Callable[[], T]) -> T | None:
    """What a look after a lost answer tells; None where it tells nothing either."""
    try:
        return look()
    except OutboundError:
        return None
