"""API keys on the pages: made, shown once, replaced, revoked; a partner's by those of support who may."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from employees.api import keeping, keys
from employees.models import ApiKey, ApiRequest, Change, KeptAnswer
from tests import factories as make
from tests.api.conftest import Program

PLACE = "/keys/"


def _secret(page: Any) -> str:
    return re.search(r'data-copy="(cb_[^"]+)"', page.content.decode())[1]  # type: ignore[index]


def test_a_key_is_made_with_what_it_may_do(owner, mine):
    page = owner.post(PLACE, {"name": "accounting", "days": "30", "calls": "read", "clients": "write"})
    program = Program(_secret(page))
    row = ApiKey.objects.get()
    assert row.scopes == ["calls:read", "clients:read", "clients:write"]
    assert row.expires_at
    assert timedelta(days=29) < row.expires_at - timezone.now() <= timedelta(days=30)
    assert program.get("employees").json()["code"] == "scope_missing"
    assert _secret(page) not in owner.get(PLACE).content.decode()
    assert Change.objects.filter(kind="key", action="created", actor_name__contains="@").exists()


def test_a_key_that_may_nothing_is_not_made(owner):
    page = owner.post(PLACE, {"name": "nothing"}, headers={"accept-language": "en"})
    assert "Choose what the key may do." in page.content.decode()
    assert not ApiKey.objects.exists()


def test_a_secret_is_replaced_and_a_key_revoked(owner, mine):
    row, old = keys.issue(mine.company, "accounting", ["people:read"])
    place = reverse("portal:key", args=[row.uuid])
    fresh = Program(_secret(owner.post(place, {"rotate": "1"})))
    assert [fresh.get("employees").status_code, Program(old).get("employees").status_code] == [200, 200]
    assert "/api/v1/employees" in owner.get(place).content.decode()
    owner.post(place, {"revoke": "1"})
    assert [fresh.get("employees").status_code, Program(old).get("employees").status_code] == [401, 401]
    owner.post(place, {"rotate": "1"})
    row.refresh_from_db()
    assert not row.works


@pytest.mark.django_db
def test_a_partners_keys_are_made_by_those_who_may():
    partner = make.PartnerFactory()
    place = reverse("support:partner_keys", args=[partner.uuid])
    staff = make.UserFactory(is_staff=True)
    client = Client()
    client.force_login(staff)
    assert client.get(place).status_code == 403
    staff.user_permissions.add(Permission.objects.get(codename="add_apikey"))
    program = Program(_secret(client.post(place, {"name": "cabinet", "companies": "write"})))
    assert program.post("companies", {"name": "Flowers"}).status_code == 201
    row = partner.api_keys.get()
    assert client.get(reverse("support:partner_key", args=[partner.uuid, row.uuid])).status_code == 200
    other = make.PartnerFactory()
    assert client.get(reverse("support:partner_key", args=[other.uuid, row.uuid])).status_code == 404


@pytest.mark.django_db
def test_what_is_old_is_forgotten():
    _, secret = keys.issue(make.CompanyFactory(), "accounting", ["people:write"])
    Program(secret).post("employees", {"name": "Anna"}, idempotency_key="one")
    keeping.delete_old()
    assert (ApiRequest.objects.count(), KeptAnswer.objects.count()) == (1, 1)
    with time_machine.travel(timezone.now() + keeping.ANSWERS_KEPT + timedelta(minutes=1)):
        keeping.delete_old()
        assert (ApiRequest.objects.count(), KeptAnswer.objects.count()) == (1, 0)
    with time_machine.travel(timezone.now() + keeping.REQUESTS_KEPT + timedelta(minutes=1)):
        keeping.delete_old()
        assert not ApiRequest.objects.exists()
