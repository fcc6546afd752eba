"""What stands in a CRM because of us, what it tells of its clients, and who clicks there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clients import book
from crm_adapters.base import ClientChanged, ClientMatch, DialRequested
from integrations import crm_setup, dials, mirror
from integrations.models import CallSync, Credential, Integration
from tests.crm_adapters.calls import operated
from tests.emulators.altegio import Emulator
from tests.factories import (
    CallSyncFactory,
    ConnectionFactory,
    CredentialFactory,
    ExtensionFactory,
    IntegrationFactory,
    VirtualNumberFactory,
)

pytestmark = pytest.mark.django_db
NEW, READY = Credential.State.NEW, Credential.State.READY


@pytest.fixture
def chain() -> Iterator[Emulator]:
    with operated(Emulator()) as found:
        found.chain.connected = False
        yield found


@pytest.fixture
def integration(chain: Emulator) -> Integration:
    account = CredentialFactory(crm="altegio", values=chain.secrets, state=NEW)
    found: Integration = IntegrationFactory(credential=account, settings=chain.settings)
    return found


def state(integration: Integration) -> str:
    integration.credential.refresh_from_db()
    return integration.credential.state


def test_what_is_set_up_is_taken_down_when_the_last_call_is_written(chain: Emulator, integration: Integration) -> None:
    crm_setup.prepare(integration.credential)
    assert (chain.chain.connected, state(integration)) == (True, READY)
    under_way = CallSyncFactory(integration=integration, wanted=2, noted=1)
    Integration.objects.update(active=False)
    crm_setup.retire(integration.credential)
    assert (chain.chain.connected, state(integration)) == (True, READY)  # this call is still to be saved there
    CallSync.objects.filter(pk=under_way.pk).update(noted=2)
    crm_setup.retire_unused()
    assert (chain.chain.connected, state(integration)) == (False, NEW)
    asked = len(chain.requests)
    crm_setup.retire_unused()
    assert len(chain.requests) == asked


def test_nothing_is_taken_down_that_another_integration_needs(chain: Emulator, integration: Integration) -> None:
    crm_setup.prepare(integration.credential)
    IntegrationFactory(credential=integration.credential, active=False)
    crm_setup.retire_unused()
    assert (chain.chain.connected, state(integration)) == (True, READY)


def test_a_crm_that_is_away_keeps_nobody_from_the_others(chain: Emulator, integration: Integration) -> None:
    crm_setup.prepare(integration.credential)
    Integration.objects.update(active=False)
    with chain.faulty("down"):
        crm_setup.retire_unused()
    assert (chain.chain.connected, state(integration)) == (True, READY)
    crm_setup.retire_unused()
    assert not chain.chain.connected


def test_lines_are_those_whose_calls_are_written() -> None:
    connection = ConnectionFactory()
    numbers = [VirtualNumberFactory(connection=connection) for _ in range(3)]
    VirtualNumberFactory(connection__company=connection.company)
    everything = IntegrationFactory(credential__company=connection.company, connections=[connection])
    some = IntegrationFactory(credential__company=connection.company, connections=[connection], filter_numbers=True)
    some.numbers.set(numbers[1:2])
    assert crm_setup.lines_of([everything]) == numbers
    assert crm_setup.lines_of([some]) == numbers[1:2]
    assert crm_setup.lines_of([everything, some]) == numbers
    assert crm_setup.lines_of([]) == []


def test_a_client_that_changed_is_known_as_he_is_now() -> None:
    account = CredentialFactory()
    old = ClientMatch("contact", "7", "Maria", manager="12")
    mirror.remember(account, "+79000000001", old)
    new = ClientMatch("contact", "7", "Maria Sokolova", manager="13")
    mirror.changed(account, ClientChanged(entity="contact", entity_id="7", phones=("8 900 000-00-02", "?"), match=new))
    assert book.find(account.company, "+79000000001", account.source) is None
    found = book.find(account.company, "+79000000002", account.source)
    assert found is not None
    assert (found.name, found.manager) == ("Maria Sokolova", "13")
    mirror.changed(account, ClientChanged(entity="contact", entity_id="7"))
    assert book.find(account.company, "+79000000002", account.source) is None


def test_a_click_of_one_who_is_known_by_his_extension() -> None:
    account = CredentialFactory()
    connection = ConnectionFactory(company=account.company)
    IntegrationFactory(credential=account, connections=[connection])
    ExtensionFactory(company=account.company, number="107")
    known = dials._who_dials(account, DialRequested(phone="+79000000001", extension="107"), "")
    assert known == (connection, "107")
    stranger = dials._who_dials(account, DialRequested(phone="+79000000001", extension="999"), "")
    assert stranger == dials.Outcome("no_extension", {"extension": "999"})
