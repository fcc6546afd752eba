"""What an adapter says of a call with the settings as they are, and of a manager whom it knows by his extension."""

from __future__ import annotations

from typing import Any

import pytest

from crm_adapters.base import ClientMatch
from integrations import mirror, plan, routing, words
from integrations.models import CallSync, Integration
from telephony import calls
from telephony.routing import Caller
from tests.factories import (
    CallFactory,
    ConnectionFactory,
    CredentialFactory,
    EmployeeFactory,
    EmployeeMappingFactory,
    ExtensionFactory,
    IntegrationFactory,
)

pytestmark = pytest.mark.django_db
PHONE, LINE = "+79000000555", "+74950000001"


@pytest.fixture
def integration() -> Integration:
    connection = ConnectionFactory()
    credential = CredentialFactory(company=connection.company)
    row: Integration = IntegrationFactory(
        company=connection.company, credential=credential, active=True, settings={"forward_to_personal_manager": True}
    )
    row.connections.set([connection])
    return row


def asked(row: Integration, **match: Any) -> Any:
    known = ClientMatch(entity="CONTACT", entity_id="1", name="Maria Known", **match)
    mirror.remember(row.credential, PHONE, known)
    connection = row.connections.get()
    return routing.answer(Caller(connection.pk, row.company_id, PHONE, LINE), 1.0)


@pytest.mark.parametrize(
    ("match", "code", "extension"),
    [
        ({"manager": "7", "manager_extension": "199"}, "manager_found", "101"),  # the mapping counts first
        ({"manager_extension": "102"}, "manager_found", "102"),
        ({"manager": "9", "manager_extension": "102"}, "manager_found", "102"),  # a user who is not mapped
        ({"manager_extension": "199"}, "manager_not_mapped", ""),
        ({}, "no_manager", ""),
    ],
)
def test_a_manager_is_known_by_his_extension_too(
    integration: Integration, match: dict[str, str], code: str, extension: str
) -> None:
    for number in ("101", "102"):
        person = EmployeeFactory(company=integration.company)
        ExtensionFactory(company=integration.company, number=number, employee=person)
        if number == "101":
            EmployeeMappingFactory(integration=integration, employee=person, crm_user="7")
    opinion = asked(integration, **match)
    assert (opinion.code, opinion.extension) == (code, extension)


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [({}, ("skipped", "nobody_rung")), ({"no_operator_extension": "100"}, ("wanted", ""))],
)
def test_settings_decide_what_is_left_out(settings: dict[str, str], verdict: tuple[str, str]) -> None:
    connection = ConnectionFactory()
    credential = CredentialFactory(company=connection.company, crm="planfix")
    row = IntegrationFactory(company=connection.company, credential=credential, active=True, settings=settings)
    row.connections.set([connection])
    call = CallFactory(connection=connection, outcome="missed", answered_at=None)
    calls.load_people([call])
    plan.plan_calls([call])
    sync = CallSync.objects.get(call=call)
    assert (sync.state, sync.reason) == verdict
    assert words.reason("planfix", "nobody_rung", {})
