"""What people have written from a call's card: into every CRM, once, whatever becomes of the answer."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from clients import book
from clients.models import Client
from crm_adapters.base import Capability
from crm_adapters.contacts import NAME
from employees.models import Role, User
from integrations import card_writes, keeping, lookups
from integrations.models import CardWrite, Integration
from outbound.errors import Temporary
from telephony.models import Call
from tests.crm_adapters.calls import operated
from tests.crm_adapters.conftest import CRMS, slugs_having
from tests.emulators.crm import Crm
from tests.factories import (
    CallFactory,
    ConnectionFactory,
    CredentialFactory,
    IntegrationFactory,
    MembershipFactory,
)

pytestmark = pytest.mark.django_db
KNOWN, STRANGER = "+79000000666", "+79000000777"
Kind, State = CardWrite.Kind, CardWrite.State


@dataclass
class Desk:
    """A company with one CRM account, and somebody who talks."""

    crm: Crm
    integration: Integration
    author: User

    def call(self, phone: str) -> Call:
        found: Call = CallFactory(
            connection=self.integration.connections.get(), client_phone=phone, state="answered", outcome=""
        )
        return found

    def look(self, phone: str) -> Client | None:
        """Somebody's card is shown."""
        lookups.ask(self.call(phone), self.integration.credential, detailed=True)
        return book.find(self.integration.company, phone, self.integration.credential.source)

    def intend(self, kind: str, phone: str, **wished: Any) -> CardWrite | None:
        token = wished.pop("token", None) or uuid.uuid4()
        return card_writes.intend(self.call(phone), self.integration, kind, token, self.author, **wished)

    def write(self, kind: str, phone: str, **wished: Any) -> CardWrite:
        row = self.intend(kind, phone, **wished)
        assert row
        card_writes.carry_out(row.pk)
        row.refresh_from_db()
        return row


def having(capability: Capability) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("desk", slugs_having(capability), indirect=True)


@pytest.fixture(params=sorted(CRMS))
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    slug = str(request.param)
    with operated(CRMS[slug]()) as crm:
        crm.know(KNOWN, "Maria", crm.users["102"])
        credential = CredentialFactory(crm=slug, values=crm.secrets, state="ready")
        connection = ConnectionFactory(company=credential.company)
        settings = credential.adapter.settings_form(crm.settings)
        assert settings.is_valid()
        row = IntegrationFactory(
            credential=credential, connections=[connection], settings=settings.cleaned_data, active=True
        )
        yield Desk(crm, row, MembershipFactory(company=credential.company, role=Role.OPERATOR).user)


@having(Capability.CONTACTS)
def test_a_client_is_made_and_known_at_once(desk: Desk) -> None:
    row = desk.write(Kind.CREATE, STRANGER, values={NAME: "Nina", "email": "nina@example.com"})
    assert (row.state, row.words) == (State.DONE, "")
    assert desk.crm.contact(STRANGER)[NAME] == "Nina"
    client = book.find(row.company, STRANGER, desk.integration.credential.source)
    assert client
    assert (client.name, client.details) == ("Nina", {NAME: "Nina", "email": "nina@example.com"})


@having(Capability.CONTACTS)
def test_whom_the_crm_knows_is_not_made_again(desk: Desk) -> None:
    row = desk.write(Kind.CREATE, KNOWN, values={NAME: "Nina"})
    assert (row.state, row.code) == (State.REFUSED, card_writes.THERE)
    client = book.find(row.company, KNOWN, desk.integration.credential.source)
    assert client
    assert client.name == "Maria"
    assert desk.crm.violations == []


@having(Capability.CONTACTS)
@pytest.mark.parametrize("fault", ["lost", "truncated"])
def test_a_lost_answer_makes_no_second_client(desk: Desk, fault: str) -> None:
    """Each request loses its answer in its turn; he who tries again has one client in the end."""
    for skip in range(8):
        with desk.crm.faulty(fault, skip=skip, count=1) as struck:
            row = desk.write(Kind.CREATE, STRANGER, values={NAME: "Nina"})
        if row.state == State.DONE and struck.hits:
            break
    assert row.state == State.DONE
    assert desk.crm.contact(STRANGER)[NAME] == "Nina"
    assert desk.crm.violations == []


@having(Capability.CONTACTS)
def test_data_are_changed_as_they_were_seen(desk: Desk) -> None:
    client = desk.look(KNOWN)
    assert client
    assert client.details
    assert client.details[NAME] == "Maria"
    wished = {"entity": client.entity, "values": {NAME: "Masha"}, "before": {NAME: "Maria"}}
    assert desk.write(Kind.SAVE, KNOWN, **wished).state == State.DONE
    client.refresh_from_db()
    assert (client.name, client.details[NAME], desk.crm.contact(KNOWN)[NAME]) == ("Masha", "Masha", "Masha")
    again = desk.write(Kind.SAVE, KNOWN, **{**wished, "values": {NAME: "Marusya"}})
    assert (again.state, again.code) == (State.REFUSED, card_writes.CHANGED)
    assert desk.crm.contact(KNOWN)[NAME] == "Masha"
    assert desk.crm.violations == []


@having(Capability.CONTACTS)
def test_a_lost_answer_to_a_change_is_looked_for(desk: Desk) -> None:
    client = desk.look(KNOWN)
    assert client
    wished = {"entity": client.entity, "values": {NAME: "Masha"}, "before": {NAME: "Maria"}}
    for skip in range(8):
        with desk.crm.faulty("lost", skip=skip, count=1) as struck:
            row = desk.write(Kind.SAVE, KNOWN, **wished)
        if desk.crm.contact(KNOWN)[NAME] == "Masha":
            break
    assert struck.hits
    assert row.state == State.DONE


@having(Capability.TASKS)
def test_a_task_is_set_for_who_is_named(desk: Desk) -> None:
    client = desk.look(KNOWN)
    assert client
    due = timezone.now().replace(second=0, microsecond=0) + timedelta(days=1)
    user = desk.crm.users["101"]
    wished = {"entity": client.entity, "values": {"text": "Send prices"}, "due_at": due, "responsible": user}
    assert desk.write(Kind.TASK, KNOWN, **wished).state == State.DONE
    (task,) = desk.crm.tasks_of(KNOWN)
    assert (task.text, task.due_at, task.person) == ("Send prices", due, user)


@having(Capability.TASKS)
def test_a_task_whose_answer_is_lost_is_in_doubt_and_left_alone(desk: Desk) -> None:
    client = desk.look(KNOWN)
    assert client
    wished = {"entity": client.entity, "values": {"text": "Send prices"}, "due_at": timezone.now()}
    wished["responsible"] = desk.crm.users["101"]
    with desk.crm.faulty("lost", count=1):
        row = desk.write(Kind.TASK, KNOWN, **wished)
    assert row.state == State.DOUBT
    assert card_writes.waiting() == []
    card_writes.carry_out(row.pk)
    assert len(desk.crm.tasks_of(KNOWN)) == 1


@having(Capability.CONTACTS)
@pytest.mark.parametrize("fault", ["down", "html"])
def test_a_crm_in_trouble_is_no_reason_to_try_by_itself(desk: Desk, fault: str) -> None:
    with desk.crm.faulty(fault):
        row = desk.write(Kind.CREATE, STRANGER, values={NAME: "Nina"})
    assert row.state == State.REFUSED
    assert row.words
    assert card_writes.waiting() == []
    assert desk.write(Kind.CREATE, STRANGER, values={NAME: "Nina"}).state == State.DONE


# --- Of one CRM: the others are alike


@pytest.fixture
def one() -> Iterator[Desk]:
    slug = "amocrm"
    with operated(CRMS[slug]()) as crm:
        credential = CredentialFactory(crm=slug, values=crm.secrets, state="ready")
        connection = ConnectionFactory(company=credential.company)
        row = IntegrationFactory(credential=credential, connections=[connection], active=True)
        yield Desk(crm, row, MembershipFactory(company=credential.company).user)


def test_a_form_is_one_write(one: Desk) -> None:
    token = uuid.uuid4()
    assert one.intend(Kind.TASK, STRANGER, token=token, values={"text": "Once"})
    assert one.intend(Kind.TASK, STRANGER, token=token, values={"text": "Once"}) is None
    assert one.intend(Kind.TASK, STRANGER, values={"text": "Another"})


def test_two_windows_do_not_make_one_client_twice(one: Desk) -> None:
    first = one.intend(Kind.CREATE, STRANGER, values={NAME: "Nina"})
    assert first
    assert one.intend(Kind.CREATE, STRANGER, values={NAME: "Nina"}) is None
    card_writes.carry_out(first.pk)
    assert one.intend(Kind.CREATE, STRANGER, values={NAME: "Nina"})


def test_what_was_never_sent_is_sent_and_what_was_is_in_doubt(one: Desk) -> None:
    """A worker that dies, and a message that a broker lost."""
    with time_machine.travel(timezone.now() - timedelta(minutes=5), tick=True):
        lost = one.intend(Kind.CREATE, STRANGER, values={NAME: "Nina"})
        sent = one.intend(Kind.CREATE, "+79000000778", values={NAME: "Olga"})
        assert lost
        assert sent
        assert card_writes._claimed(sent.pk)
    assert card_writes.waiting() == [lost.pk]
    sent.refresh_from_db()
    assert sent.state == State.DOUBT
    card_writes.carry_out(sent.pk)
    assert one.crm.violations == []
    with pytest.raises(ValueError, match="not enough"):
        one.crm.contact("+79000000778")


def test_what_somebody_sends_nobody_else_sends(one: Desk) -> None:
    row = one.intend(Kind.CREATE, STRANGER, values={NAME: "Nina"})
    assert row
    assert card_writes._claimed(row.pk)
    assert not card_writes._claimed(row.pk)


def test_fields_are_read_once_in_a_while(one: Desk) -> None:
    one.crm.know(KNOWN, "Maria", one.crm.users["101"])
    one.look(KNOWN)
    before = sum(one.crm.hits.values())
    one.look(KNOWN)
    assert sum(one.crm.hits.values()) == before


def test_fields_that_did_not_come_in_time_are_asked_for_again(one: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    one.crm.know(KNOWN, "Maria", one.crm.users["101"])
    adapter = type(one.integration.credential.adapter)

    def away(*_: object) -> dict[str, str]:
        raise Temporary("not now")

    with monkeypatch.context() as patch:
        patch.setattr(adapter, "read_contact", away)
        client = one.look(KNOWN)
        assert client
        assert client.detailed_at is None
    client = one.look(KNOWN)
    assert client
    assert client.details


def test_old_writes_are_deleted(one: Desk) -> None:
    with time_machine.travel(timezone.now() - timedelta(days=keeping.CARD_DAYS + 1)):
        one.intend(Kind.TASK, STRANGER, values={"text": "Old"})
    young = one.intend(Kind.TASK, STRANGER, values={"text": "Young"})
    keeping.delete_old()
    assert list(CardWrite.objects.all()) == [young]
