"""A company with one of everything, and browsers of its people."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from employees.models import Company, Role
from tests import factories as make

World = SimpleNamespace
AUDIO = bytes(range(256)) * 40


def build(name: str) -> World:
    """One of everything, all names beginning with `name`."""
    world = World(name=name)
    world.company = make.CompanyFactory(name=f"{name} company")
    email = f"{name}-m@example.com"
    world.member = make.MembershipFactory(company=world.company, role=Role.OPERATOR, user__email=email)
    world.invitation = make.InvitationFactory(
        company=world.company, email=f"{name}-guest@example.com", invited_by=world.member.user
    )
    world.change = make.ChangeFactory(company=world.company)
    world.employee = make.EmployeeFactory(company=world.company, name=f"{name} employee", user=world.member.user)
    world.extension = make.ExtensionFactory(company=world.company, number="101", employee=world.employee)
    world.unknown = make.ExtensionFactory(company=world.company, number="105", name=f"{name} unknown")
    world.connection = make.ConnectionFactory(company=world.company, name=f"{name} connection")
    world.history = make.HistoryRunFactory(connection=world.connection, error=f"{name} words")
    world.number = make.VirtualNumberFactory(connection=world.connection, line_name=f"{name} line")
    world.client = make.ClientFactory(company=world.company, name=f"{name} client")
    world.client_phone = make.ClientPhoneFactory(client=world.client)
    world.call = make.CallFactory(
        connection=world.connection,
        employee=world.employee,
        client=world.client,
        client_phone=world.client_phone.phone,
        virtual_number=world.number.number,
        started_at=timezone.now(),
    )
    make.ParticipantFactory(call=world.call, employee=world.employee)
    world.comment = make.CommentFactory(
        company=world.company,
        client_phone=world.call.client_phone,
        call=world.call.uuid,
        author=world.member.user,
        text=f"{name} comment",
    )
    world.task = make.TaskFactory(
        company=world.company, client_phone=world.call.client_phone, call=world.call.uuid, text=f"{name} task"
    )
    world.recording = make.RecordingFactory(call=world.call, content=AUDIO)
    world.credential = make.CredentialFactory(company=world.company, name=f"{name} credential")
    world.integration = make.IntegrationFactory(
        credential=world.credential, name=f"{name} integration", connections=[world.connection]
    )
    world.rule = make.RuleFactory(integration=world.integration)
    world.sync = make.CallSyncFactory(call=world.call, integration=world.integration)
    return world


@pytest.fixture
def mine(db: None) -> World:
    return build("mine")


@pytest.fixture
def theirs(db: None) -> World:
    return build("theirs")


@pytest.fixture
def signed_in(db: None) -> Callable[..., Client]:
    """A browser of somebody new with a role in a company; Russian unless told."""

    def sign_in(company: Company, role: str = Role.OWNER, language: str = "ru") -> Client:
        client = Client(headers={"accept-language": language})
        client.force_login(make.MembershipFactory(company=company, role=role).user)
        # Been here just now: the first visit is written into the list of sessions, which tests that count would see.
        cache.set(f"seen:{client.session.session_key}", 1)
        return client

    return sign_in


@pytest.fixture
def owner(mine: World, signed_in: Callable[..., Client]) -> Client:
    return signed_in(mine.company)


@pytest.fixture(autouse=True)
def streams_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream tells what there is and ends, as it does when its process ends. The test's connection is kept."""
    from telephony import live

    monkeypatch.setattr(live.hub, "closed", True)
    monkeypatch.setattr(live, "looked_after", lambda work, *arguments: work(*arguments))


@pytest.fixture(autouse=True)
def silent_vendors(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test of pages speaks to a vendor."""
    from outbound.errors import Temporary
    from outbound.http import Http

    def refuse(*_: object, **__: object) -> None:
        raise Temporary("no vendor in this test")

    monkeypatch.setattr(Http, "request", refuse)
