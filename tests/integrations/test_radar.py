"""Calls that somebody else writes into the same CRM: found, shown, and over when they stop."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from crm_adapters import registry
from crm_adapters.base import Capability, Listed, Secrets
from integrations import radar, troubles
from integrations.models import CallSync, Credential, Double, Integration
from outbound.errors import CredentialsRefused, OutboundError, Temporary
from outbound.http import Http
from telephony.models import Call
from tests.factories import CallFactory, ConnectionFactory, CredentialFactory, IntegrationFactory
from tests.integrations.test_sync import Paper

pytestmark = pytest.mark.django_db
BEGAN = timedelta(hours=1)


class Book(Paper):
    """It lists what stands in it."""

    capabilities = frozenset({Capability.LISTS_CALLS})
    twice_help = "Switch the other one off."

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[Listed] = []
        self.periods: list[tuple[datetime, datetime]] = []
        self.error: OutboundError | None = None

    def calls(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> list[Listed]:
        if self.error:
            raise self.error
        self.periods.append((since, until))
        return [each for each in self.listed if since <= each.started_at < until]

    def number_of(self, progress: Any) -> str:
        return str(progress.get("number") or "")


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> Book:
    found = Book()
    monkeypatch.setitem(registry.all_adapters(), "paper", found)
    return found


@pytest.fixture
def integration(book: Book) -> Integration:
    credential = CredentialFactory.create(crm="paper", values={"account": "A", "token": "t"})
    connection = ConnectionFactory.create(company=credential.company)
    return IntegrationFactory.create(credential=credential, connections=[connection], settings={})


def written(integration: Integration, **fields: Any) -> Call:
    began = timezone.now() - BEGAN
    call = CallFactory.create(connection=integration.connections.get(), **{"started_at": began, **fields})
    CallSync.objects.create(
        call=call,
        credential=integration.credential,
        integration=integration,
        state=CallSync.State.WANTED,
        wanted=1,
        noted=1,
        progress={"number": f"n{call.pk}"},
    )
    return call


def other(call: Call, **changes: Any) -> Listed:
    """The same call, as another integration writes it."""
    told: dict[str, Any] = {
        "id": f"other-{call.pk}",
        "key": "",
        "direction": call.direction,
        "phone": call.client_phone.replace("+7", "8"),
        "started_at": call.started_at,
        "seconds": call.talk_seconds,
        "writer": "Other PBX",
    }
    return Listed(**{**told, **changes})


def looked(integration: Integration) -> int:
    return radar.look(Credential.objects.get(pk=integration.credential_id))


def test_a_call_that_stands_there_twice_is_found_once(book: Book, integration: Integration):
    call = written(integration)
    mine = [other(call, id="x", key=str(call.uuid)), other(call, id=f"n{call.pk}")]
    book.listed = [*mine, other(call)]
    assert looked(integration) == 1
    looked(integration)
    (found,) = Double.objects.all()
    assert (found.call, found.listed, found.writer) == (call, f"other-{call.pk}", "Other PBX")


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"seconds": 65}, True),  # with the ringing
        ({"started": 65}, True),  # the end is taken for the time
        ({"started": -100}, True),
        ({"seconds": 300}, False),
        ({"started": 600}, False),
        ({"direction": "out"}, False),
        ({"phone": "+79160000000"}, False),
        ({"phone": ""}, False),
    ],
)
def test_what_is_the_same_call(book: Book, integration: Integration, changes: dict[str, Any], same: bool):
    call = written(integration)
    changes = dict(changes)
    moved = timedelta(seconds=changes.pop("started", 0))
    book.listed = [other(call, started_at=call.started_at + moved, **changes)]
    assert looked(integration) == same


def test_a_call_that_we_have_not_written_is_nobodys_double(book: Book, integration: Integration):
    call = written(integration)
    CallSync.objects.update(noted=0)
    book.listed = [other(call)]
    assert looked(integration) == 0


def test_what_we_wrote_of_a_part_is_ours(book: Book, integration: Integration):
    call = written(integration)
    CallSync.objects.create(
        call=call, credential=integration.credential, integration=integration, state="wanted", part={"id": "part-7"}
    )
    book.listed = [other(call, key="part-7")]
    assert looked(integration) == 0


def test_it_is_shown_counted_and_over_when_it_stops(book: Book, integration: Integration):
    calls = [written(integration) for _ in range(7)]
    book.listed = [other(call, writer="" if place else "Other PBX") for place, call in enumerate(calls)]
    looked(integration)
    accounts = Credential.objects.all()
    (found,) = radar.lately(accounts)
    assert (found.count, len(found.examples), found.help) == (7, 5, "Switch the other one off.")
    assert found.writers == {"": 6, "Other PBX": 1}
    causes = [each.cause for each in troubles.of(integration.company)]
    assert f"twice:{integration.uuid}" in causes
    with time_machine.travel(timezone.now() + radar.LATELY):
        assert radar.lately(accounts) == []
    with time_machine.travel(timezone.now() + radar.KEPT + timedelta(minutes=1)):
        radar.delete_old()
    assert not Double.objects.exists()


def test_each_look_goes_on_where_the_last_one_ended(book: Book, integration: Integration):
    looked(integration)
    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        looked(integration)
    with time_machine.travel(timezone.now() + timedelta(days=9)):
        looked(integration)
    (first, second, third) = book.periods
    assert first[1] - first[0] == radar.LONGEST
    assert second[0] == first[1] - radar.OVERLAP
    assert third[1] - third[0] == radar.LONGEST, "after a long silence only the last day is asked for"


@pytest.mark.parametrize("error", [Temporary("away"), CredentialsRefused("no right to the statistics")])
def test_a_crm_that_does_not_say_is_asked_again(book: Book, integration: Integration, error: OutboundError):
    """Its refusal holds up nothing else."""
    book.error = error
    assert looked(integration) == 0
    integration.credential.refresh_from_db()
    assert (integration.credential.calls_read_until, integration.credential.state) == (None, Credential.State.READY)
    assert radar.due() == [integration.credential_id]


def test_only_accounts_that_can_and_need_to_are_asked(book: Book, integration: Integration):
    Integration.objects.update(active=False)
    assert radar.due() == []
