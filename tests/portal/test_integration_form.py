"""The form of an integration keeps exactly what it shows."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from crm_adapters.base import CrmUser
from crm_adapters.bitrix24.adapter import Bitrix24
from integrations import accounts, crm_lists
from integrations.models import EmployeeMapping, Integration
from integrations.setup import Setup
from outbound.errors import Temporary
from tests import factories as make
from tests.portal.conftest import World

USERS = [
    CrmUser("1", "Anna Boss"),
    CrmUser("2", "employee mine"),
    CrmUser("3", "By Extension", extension="101"),
    CrmUser("4", "Gone", active=False),
]


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> list[CrmUser]:
    monkeypatch.setattr(Bitrix24, "users", lambda *_: USERS)
    monkeypatch.setattr(accounts.crm_setup, "prepare", lambda row: None)
    return USERS


def sent(mine: World, **changes: Any) -> dict[str, Any]:
    """What the page sends as it is shown, but for `changes`."""
    data = {
        "shown_account": str(mine.credential.uuid),
        "account": str(mine.credential.uuid),
        "active": "on",
        "name": "",
        "connections": [str(mine.connection.uuid)],
        "telephony_mode": "ip",
        "forward_to_personal_manager": "on",
        "default_responsible_incoming": "1",
        "assign_incoming_to": "last",
        "default_responsible_outgoing": "2",
        f"user_{mine.employee.uuid}": "3",
        f"use_{mine.employee.uuid}": "1",
        **changes,
    }
    return {name: value for name, value in data.items() if value is not None}


def post(owner: Client, mine: World, **changes: Any) -> Any:
    return owner.post(reverse("portal:integration", args=[mine.integration.uuid]), sent(mine, **changes))


def test_what_was_sent_is_kept(mine: World, owner: Client, users: list[CrmUser]) -> None:
    response = post(owner, mine, filter_numbers="on", numbers=[str(mine.number.pk)])
    assert response.status_code == 302
    row = Integration.objects.get(pk=mine.integration.pk)
    assert row.active
    assert row.filter_numbers
    assert list(row.numbers.all()) == [mine.number]
    assert row.settings["assign_incoming_to"] == "last"
    assert row.settings["forward_to_personal_manager"] is True
    assert row.settings["create_entity_incoming"] is False
    assert row.settings["default_responsible_outgoing"] == "2"
    mapping = row.mapping.get()
    assert (mapping.employee, mapping.crm_user, mapping.crm_user_name) == (mine.employee, "3", "By Extension")
    assert mapping.use_for_personal_manager


def test_the_page_shows_what_is_kept(mine: World, owner: Client, users: list[CrmUser]) -> None:
    post(owner, mine, **{f"use_{mine.employee.uuid}": None})
    setup = Setup(Integration.objects.get(pk=mine.integration.pk))
    assert setup.settings["assign_incoming_to"].value() == "last"
    assert setup.settings["default_responsible_outgoing"].value() == "2"
    line = setup.lines[0]
    assert (line.user, line.use, line.suggested) == ("3", False, False)
    text = owner.get(reverse("portal:integration", args=[mine.integration.uuid])).content.decode()
    blocks = "Учётные данные|Параметры интеграции|Входящие|Исходящие|Прочее|Сопоставления сотрудников"
    for words in blocks.split("|"):
        assert words in text
    assert text.index("Интеграция активна") < text.index("Режим телефонии")
    assert 'data-depends="id_use_call_tracking"' in text
    assert "Gone" not in text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"default_responsible_incoming": ""}, "default_responsible_incoming"),
        ({"default_responsible_outgoing": ""}, "default_responsible_outgoing"),
        ({"connections": []}, "connections"),
        ({"filter_numbers": "on"}, "numbers"),
        ({"use_call_tracking": "on"}, "utm_tags"),
    ],
)
def test_required_is_required(
    mine: World, owner: Client, users: list[CrmUser], changes: dict[str, Any], field: str
) -> None:
    before = mine.integration.settings
    response = post(owner, mine, **changes)
    assert response.status_code == 200
    assert f'id="id_{field}' in response.content.decode()
    assert "cb-error" in response.content.decode()
    mine.integration.refresh_from_db()
    assert mine.integration.settings == before
    assert not EmployeeMapping.objects.exists()


def test_another_account_asks_users_anew(mine: World, owner: Client, users: list[CrmUser]) -> None:
    post(owner, mine)
    other = make.CredentialFactory(company=mine.company)
    response = post(owner, mine, account=str(other.uuid))
    text = response.content.decode()
    assert response.status_code == 200
    assert f'value="{other.uuid}"' in text
    assert "Ещё не сохранено" in text
    mine.integration.refresh_from_db()
    assert mine.integration.credential == mine.credential
    assert mine.integration.mapping.count() == 1
    changes = {"account": str(other.uuid), "shown_account": str(other.uuid), f"user_{mine.employee.uuid}": "2"}
    assert post(owner, mine, **changes).status_code == 302
    mine.integration.refresh_from_db()
    assert mine.integration.credential == other
    assert mine.integration.mapping.get().crm_user == "2"
    mine.sync.refresh_from_db()
    assert mine.sync.credential == mine.credential  # the old calls stay with the old account


def test_a_silent_crm_leaves_free_text(mine: World, owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts.crm_setup, "prepare", lambda row: None)
    text = owner.get(reverse("portal:integration", args=[mine.integration.uuid])).content.decode()
    assert "CRM сейчас не называет своих пользователей" in text
    assert post(owner, mine, default_responsible_incoming="17").status_code == 302
    mine.integration.refresh_from_db()
    assert mine.integration.settings["default_responsible_incoming"] == "17"


def test_the_crm_is_asked_once_a_minute(mine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def users(*_: Any) -> list[CrmUser]:
        asked.append(1)
        return USERS

    monkeypatch.setattr(Bitrix24, "users", users)
    assert crm_lists.of(mine.credential) == crm_lists.of(mine.credential)
    assert len(asked) == 1


def test_those_to_be_looked_at_come_first(mine: World, owner: Client, users: list[CrmUser]) -> None:
    new, gone = (make.EmployeeFactory(company=mine.company, name=name) for name in ("Zoya New", "Yuri Gone"))
    make.EmployeeMappingFactory(integration=mine.integration, employee=mine.employee, crm_user=users[0].id)
    make.EmployeeMappingFactory(integration=mine.integration, employee=gone, crm_user="987654")
    setup = Setup(Integration.objects.get(pk=mine.integration.pk))
    assert [line.employee for line in setup.lines] == [gone, new, mine.employee]
    assert [line.gone for line in setup.lines] == [True, False, False]


def test_suggestions(mine: World) -> None:
    assert crm_lists.suggestion(mine.employee, USERS) == "3"  # the extension is the surest
    mine.extension.number = "999"
    mine.extension.save()
    assert crm_lists.suggestion(mine.employee, USERS) == "2"  # the name, in whatever order
    assert crm_lists.suggestion(make.EmployeeFactory(company=mine.company, name="Nobody"), USERS) == ""


def test_a_failing_set_up_is_a_warning(mine: World, owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(row: Any) -> None:
        raise Temporary("no route")

    monkeypatch.setattr(Bitrix24, "users", lambda *_: USERS)
    monkeypatch.setattr(accounts.crm_setup, "prepare", fail)
    response = post(owner, mine)
    assert response.status_code == 302
    assert "no route" in owner.get(response.headers["Location"]).content.decode()


def test_a_new_integration_is_off(mine: World, owner: Client) -> None:
    response = owner.post(reverse("portal:integration_new", args=["bitrix24"]), {"account": str(mine.credential.uuid)})
    row = Integration.objects.order_by("-id").first()
    assert row is not None
    assert response.headers["Location"] == reverse("portal:integration", args=[row.uuid])
    assert not row.active


def test_an_integration_that_has_written_is_kept(mine: World, owner: Client) -> None:
    where = reverse("portal:integration_delete", args=[mine.integration.uuid])
    owner.post(where)
    mine.integration.refresh_from_db()
    assert not mine.integration.active
    mine.sync.delete()
    owner.post(where)
    assert not Integration.objects.exists()


# --- The mode in which one talks in the CRM's own pages

BROWSERS = {"ami_host": "pbx.example", "extensions": "_1XX", "sip_address": "wss://pbx.example:8089/ws"}


def test_without_a_pbx_for_it_the_mode_cannot_be_chosen(mine: World, owner: Client, users: list[CrmUser]) -> None:
    page = owner.get(reverse("portal:integration", args=[mine.integration.uuid])).content.decode()
    (shown,) = [part for part in page.split("<input")[1:] if 'value="webrtc"' in part]
    assert "disabled" in shown.partition(">")[0]
    assert "ни одна из ваших АТС не принимает телефоны в браузере" in page or "none of your PBXs" in page
    answer = post(owner, mine, telephony_mode="webrtc")
    assert answer.status_code == 200
    assert mine.connection.name in answer.context["setup"].settings.errors["telephony_mode"][0]
    assert Integration.objects.get(pk=mine.integration.pk).settings["telephony_mode"] == "ip"


def test_with_a_pbx_for_it_the_mode_is_kept(mine: World, owner: Client, users: list[CrmUser]) -> None:
    pbx = make.ConnectionFactory(company=mine.company, provider="asterisk", brand="asterisk", credentials=BROWSERS)
    refused = post(owner, mine, telephony_mode="webrtc")
    assert "telephony_mode" in refused.context["setup"].settings.errors
    post(owner, mine, telephony_mode="webrtc", connections=[str(pbx.uuid)])
    assert Integration.objects.get(pk=mine.integration.pk).settings["telephony_mode"] == "webrtc"
