"""The guided path says what is there, and what is the next thing to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation

from crm_adapters.base import CrmUser
from employees.models import Company, Employee, EmployeePhone, Extension
from integrations import crm_lists, path
from integrations.models import CallSync, EmployeeMapping
from telephony import account_forms
from telephony.models import Connection
from telephony.providers.base import PbxNumber, PbxUser
from telephony.providers.mango.provider import Mango
from tests import factories as make
from tests.portal.conftest import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def company() -> Company:
    row: Company = make.CompanyFactory()
    return row


@pytest.fixture
def owner(company: Company, signed_in: Callable[..., Client]) -> Client:
    return signed_in(company, language="en")


def steps(company: Company) -> list[tuple[str, bool]]:
    with translation.override("en"):
        return [(step.title, step.done) for step in path.of(company).steps]


def current(company: Company) -> str:
    with translation.override("en"):
        found = path.of(company).current
        return found.title if found else ""


def test_each_step_follows_from_what_is_there(company: Company) -> None:
    assert current(company) == "Connect your PBX"
    connection = make.ConnectionFactory(company=company)
    assert current(company) == "See that the PBX answers"
    Connection.objects.update(checked_at=timezone.now())
    assert current(company) == "Say whose the extensions are"
    employee = make.EmployeeFactory(company=company)
    make.ExtensionFactory(company=company, employee=employee)
    assert current(company) == "Take over your numbers"
    make.VirtualNumberFactory(connection=connection)
    assert current(company) == "Choose your CRM and enter its keys"
    credential: Any = make.CredentialFactory(company=company, state="new")
    assert current(company) == "Connect the CRM"
    credential.state = "ready"
    credential.save()
    assert current(company) == "Say who is who in the CRM"
    integration = make.IntegrationFactory(credential=credential, connections=[connection], active=False)
    make.EmployeeMappingFactory(integration=integration, employee=employee)
    assert current(company) == "Choose the settings and switch the integration on"
    integration.active = True
    integration.save()
    assert current(company) == "Make a test call"
    assert not path.landed(company)
    make.CallSyncFactory(call__connection=connection, integration=integration)
    assert path.landed(company)
    assert current(company) == ""


def test_a_new_companys_overview_leads_there(owner: Client) -> None:
    text = owner.get("/").content.decode()
    assert 'href="/start/"' in text
    assert "Connect your PBX" in text


def test_it_leaves_the_menu_once_a_call_has_landed(mine: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(mine.company)
    assert 'href="/start/"' not in client.get("/calls/").content.decode()
    CallSync.objects.all().delete()
    assert 'href="/start/"' in client.get("/calls/").content.decode()
    operator = signed_in(mine.company, "operator")
    assert 'href="/start/"' not in operator.get("/calls/").content.decode()


def test_every_button_leads_to_a_page_that_leads_back(mine: World, signed_in: Callable[..., Client]) -> None:
    CallSync.objects.all().delete()
    client = signed_in(mine.company, language="en")
    for step in path.of(mine.company).steps:
        if step.fields is None:
            text = client.get(f"{step.link}?next=/start/").content.decode()
            assert 'href="/start/"' in text, step.title
            assert "Back to the path" in text, step.title


@pytest.mark.parametrize("there", ["https://elsewhere.example/", "//elsewhere.example/", "javascript:alert(1)"])
def test_the_way_back_leads_nowhere_else(owner: Client, there: str) -> None:
    text = owner.get("/connections/", {"next": there}).content.decode()
    assert "Back to the path" not in text
    assert 'href="https://elsewhere' not in text
    assert 'href="//elsewhere' not in text


# --- The pages on the way


@pytest.fixture
def pbx(company: Company, monkeypatch: pytest.MonkeyPatch) -> Connection:
    users = [PbxUser("Anna Ivanova", "101", "anna@example.com", "89000000101"), PbxUser("Boris Petrov", "102")]
    monkeypatch.setattr(Mango, "users", lambda *_: users)
    monkeypatch.setattr(Mango, "numbers", lambda *_: [PbxNumber("74990000001", "Shop")])
    monkeypatch.setattr(Mango, "check", lambda *_: [])
    row: Connection = make.ConnectionFactory(company=company)
    return row


def test_a_check_that_finds_nothing_wrong_is_remembered_until_the_keys_change(owner: Client, pbx: Connection) -> None:
    owner.post(f"/connections/{pbx.uuid}/check/?next=/start/")
    pbx.refresh_from_db()
    assert pbx.checked_at
    form = {"name": pbx.name, "active": "on", **pbx.credentials, "api_key": "another"}
    owner.post(f"/connections/{pbx.uuid}/", form)
    pbx.refresh_from_db()
    assert pbx.credentials["api_key"] == "another"
    assert pbx.checked_at is None


def test_users_and_numbers_are_taken_over_and_the_path_goes_on(owner: Client, pbx: Connection) -> None:
    response = owner.post(f"/connections/{pbx.uuid}/users/load/?next=/start/")
    assert response["Location"].endswith("/users/?next=%2Fstart%2F")
    page = owner.get(response["Location"])
    sent = {line.field: line.chosen for line in page.context["lines"]}
    assert set(sent.values()) == {"new"}
    assert owner.post(response["Location"], sent)["Location"] == "/start/"
    assert set(Employee.objects.values_list("name", flat=True)) == {"Anna Ivanova", "Boris Petrov"}
    response = owner.post(f"/connections/{pbx.uuid}/numbers/load/?next=/start/")
    assert response["Location"] == "/start/"
    assert pbx.virtual_numbers.get().line_name == "Shop"


def test_users_are_known_by_mail_phone_and_name(company: Company) -> None:
    by_mail = make.EmployeeFactory(company=company, name="A", email="a@example.com")
    by_phone = make.EmployeeFactory(company=company, name="B")
    make.EmployeePhoneFactory(employee=by_phone, phone="+79000000102")
    by_name = make.EmployeeFactory(company=company, name="Vera Sidorova")
    users = [
        PbxUser("Anna", "101", "A@example.com"),
        PbxUser("Boris", "102", mobile="8 900 000-01-02"),
        PbxUser("vera sidorova", "103"),
        PbxUser("Somebody", "104"),
    ]
    found = {line.extension: line.chosen for line in account_forms.matches(company, users)}
    expected = {f"10{place}": f"employee:{row.uuid}" for place, row in enumerate((by_mail, by_phone, by_name), 1)}
    assert found == {**expected, "104": "new"}


def test_a_partial_list_takes_nothing_away(owner: Client, pbx: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the PBX does not list any more is shown, and stays as it was unless a person says otherwise."""
    gone = make.ExtensionFactory(company=pbx.company, number="109", employee=make.EmployeeFactory(company=pbx.company))
    page = owner.get(owner.post(f"/connections/{pbx.uuid}/users/load/")["Location"])
    lines = {line.extension: line for line in page.context["lines"]}
    assert lines["109"].disappeared
    assert lines["101"].appeared
    owner.post(f"/connections/{pbx.uuid}/users/", {line.field: line.chosen for line in lines.values()})
    assert Extension.objects.get(pk=gone.pk).employee == gone.employee
    monkeypatch.setattr(Mango, "users", lambda *_: [])
    text = owner.post(f"/connections/{pbx.uuid}/users/load/", follow=True).content.decode()
    assert "Nothing was changed" in text
    assert Extension.objects.filter(company=pbx.company, employee__isnull=False).count() == 3


def test_a_user_is_known_by_his_phone(company: Company) -> None:
    employee = make.EmployeeFactory(company=company, name="Anna")
    EmployeePhone.objects.create(employee=employee, phone="+79000000101")
    users = [CrmUser("7", "Ivanova A.", phones=("8 (900) 000-01-01",)), CrmUser("8", "Another")]
    assert crm_lists.suggestion(employee, users) == "7"


def test_a_user_who_left_the_crm_is_shown_and_kept(
    mine: World, signed_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    from crm_adapters.bitrix24.adapter import Bitrix24

    monkeypatch.setattr(Bitrix24, "users", lambda *_: [CrmUser("1", "Anna Boss")])
    make.EmployeeMappingFactory(integration=mine.integration, employee=mine.employee, crm_user="99")
    client: Any = signed_in(mine.company, language="en")
    page = client.get(f"/integrations/{mine.integration.uuid}/")
    assert "not listed by the CRM any more" in page.content.decode()
    assert page.context["setup"].lines[0].user == "99"
    assert EmployeeMapping.objects.get().crm_user == "99"
