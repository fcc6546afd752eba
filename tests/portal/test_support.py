"""The support desk: everything over all companies, nothing secret, and facts are not changed."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.admin import ModelAdmin
from django.test import Client
from django.urls import reverse

from employees.admin import FactAdmin
from employees.api import keys
from employees.models import ApiRequest
from employees.sites import support
from integrations.models import CardWrite
from telephony.models import InboxEvent, PbxWish
from tests import factories as make
from tests.portal.conftest import World


@pytest.fixture
def desk(db: None) -> Client:
    client = Client()
    client.force_login(make.UserFactory(is_staff=True))
    return client


def lists() -> list[ModelAdmin]:
    from config import urls  # noqa: F401  (it looks for them)

    return [support._registry[model] for model in support._registry]


def fill(mine: World) -> None:
    """A row for each list beside those of a world."""
    make.InboxEventFactory(connection=mine.connection, call=mine.call)
    make.CrmEventFactory(credential=mine.credential)
    make.ExchangeFactory(company=mine.company, call=mine.call)
    make.CommandFactory(connection=mine.connection)
    make.ExportFactory(company=mine.company)
    PbxWish.objects.create(company=mine.company, name="mine PBX")
    make.VisitFactory(membership=mine.member)
    make.NoticeFactory(company=mine.company)
    make.WebhookDeliveryFactory(endpoint__company=mine.company)
    CardWrite.objects.create(
        token=uuid4(),
        company=mine.company,
        integration=mine.integration,
        call=mine.call,
        client_phone=mine.call.client_phone,
        kind=CardWrite.Kind.TASK,
        author=mine.member.user,
    )
    key, _secret = keys.issue(make.PartnerFactory(name="mine partner"), "mine key", keys.SCOPES)
    ApiRequest.objects.create(
        key=key, company=mine.company, method="GET", path="/api/v1/calls", status=200, milliseconds=1
    )


@pytest.mark.parametrize("row", lists(), ids=lambda row: row.opts.model_name)
def test_lists_open_over_all_companies(row: ModelAdmin, desk: Client, mine: World, theirs: World) -> None:
    fill(mine)
    name = f"support:{row.opts.app_label}_{row.opts.model_name}"
    response = desk.get(reverse(f"{name}_changelist"))
    assert response.status_code == 200
    assert desk.get(reverse(f"{name}_changelist"), {"q": "mine"}).status_code == 200
    first = row.model._default_manager.first()
    assert first is not None
    text = desk.get(reverse(f"{name}_change", args=[first.pk])).content.decode()
    for secret in (*mine.credential.secret_values, *theirs.credential.secret_values):
        assert secret not in text
    for world in (mine, theirs):
        for name_ in ("api_key", "api_salt"):
            assert world.connection.credentials[name_] not in text
        assert world.credential.webhook_token not in text


@pytest.mark.parametrize("row", lists(), ids=lambda row: row.opts.model_name)
def test_facts_are_not_changed(row: ModelAdmin, desk: Client, mine: World) -> None:
    name = f"support:{row.opts.app_label}_{row.opts.model_name}"
    first = row.model._default_manager.first()
    if first is not None and isinstance(row, FactAdmin):
        assert desk.post(reverse(f"{name}_change", args=[first.pk]), {}).status_code == 403
    if first is not None:
        assert desk.post(reverse(f"{name}_delete", args=[first.pk]), {"post": "yes"}).status_code == 403


def test_what_was_not_understood_is_parsed_again(desk: Client, mine: World) -> None:
    row = make.InboxEventFactory(connection=mine.connection, state=InboxEvent.State.FAILED, error="bug", path="ping")
    where = reverse("support:telephony_inboxevent_changelist")
    desk.post(where, {"action": "parse_again", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert row.error != "bug"


def test_support_does_not_make_itself_master(desk: Client, db: None) -> None:
    boss = make.UserFactory(is_staff=True, is_superuser=True)
    where = reverse("support:employees_user_change", args=[boss.pk])
    assert desk.post(where, {"email": "x@example.com"}).status_code == 403
