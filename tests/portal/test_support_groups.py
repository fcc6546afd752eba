"""What each group of support may: every address of the desk, as each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from employees.api import keys
from employees.sites import support
from integrations import support_groups
from integrations.support_groups import LEAD, MAY, SUPPORT
from tests import factories as make
from tests.portal.conftest import World
from tests.portal.test_support import fill, lists

GROUPS = [SUPPORT, LEAD]


def _partner_key(world: World) -> list[Any]:
    row, _secret = keys.issue(make.PartnerFactory(), "cabinet", keys.SCOPES)
    return [row.owner.uuid, row.uuid]


ARGUMENTS: dict[str, Callable[[World], Any]] = {
    "partner_keys": lambda w: make.PartnerFactory().uuid,
    "partner_key": _partner_key,
    "customer": lambda w: w.company.uuid,
    "call": lambda w: w.call.uuid,
    "renewals": lambda w: w.credential.uuid,
    "unwritten_calls": lambda w: w.credential.uuid,
    "visit": lambda w: w.member.pk,
}
LEADS_ALONE = {"visit_write", "partner_keys", "partner_key"}
CHANGED = {
    SUPPORT: {"pbxwish"},
    LEAD: {"pbxwish", "company", "partner", "user", "employee", "connection", "integration"},
}
"""Lists whose rows each group may change."""


def somebody(group: str = "") -> Client:
    user = make.UserFactory(is_staff=True)
    user.groups.set(Group.objects.filter(name=group))
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("group", ["", *GROUPS])
@pytest.mark.parametrize("name", [name for _route, _view, name in support.pages])
def test_pages_of_the_desk(name: str, group: str, mine: World) -> None:
    given = ARGUMENTS[name](mine) if name in ARGUMENTS else []
    address = reverse(f"support:{name}", args=given if isinstance(given, list) else [given])
    status = somebody(group).get(address).status_code
    if name in LEADS_ALONE and group != LEAD:
        assert status == 403
    else:
        assert status in (200, 302, 405)
    assert Client().get(address)["Location"].startswith(reverse("support:login"))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("row", lists(), ids=lambda row: row.opts.model_name)
def test_lists_of_the_desk(row: Any, group: str, mine: World) -> None:
    fill(mine)
    client, name = somebody(group), f"support:{row.opts.app_label}_{row.opts.model_name}"
    address = reverse(f"{name}_change", args=[row.model._default_manager.first().pk])
    assert client.get(reverse(f"{name}_changelist")).status_code == 200
    assert client.get(address).status_code == 200
    assert (client.post(address, {}).status_code != 403) == (row.opts.model_name in CHANGED[group])
    adds = row.opts.model_name in ("company", "partner") and group == LEAD
    assert (client.get(reverse(f"{name}_add")).status_code == 200) == adds


@pytest.mark.parametrize("group", GROUPS)
def test_who_changes_things_on_a_visit(group: str, mine: World) -> None:
    client, reason = somebody(group), {"reason": "request 4711"}
    client.post(reverse("support:visit", args=[mine.member.pk]), reason)
    client.post(reverse("support:visit_write"), reason)
    changed = client.post(reverse("portal:planner_new"), {"phone": "+79261112233"}).status_code
    assert changed == (302 if group == LEAD else 403)


def test_only_superusers_say_who_is_of_support(mine: World) -> None:
    address = reverse("support:employees_user_change", args=[mine.member.user.pk])
    assert 'name="groups"' not in somebody(LEAD).get(address).content.decode()
    boss = Client()
    boss.force_login(make.UserFactory(is_staff=True, is_superuser=True))
    assert 'name="groups"' in boss.get(address).content.decode()
    somebody(LEAD).post(address, {"email": mine.member.user.email, "is_active": "on", "is_staff": "on"})
    mine.member.user.refresh_from_db()
    assert not mine.member.user.is_staff


@pytest.mark.django_db
def test_the_groups_are_made_once_and_then_left_alone() -> None:
    assert {
        group.name: {f"{p.content_type.app_label}.{p.codename}" for p in group.permissions.all()}
        for group in Group.objects.filter(name__in=MAY)
    } == MAY
    Group.objects.get(name=LEAD).permissions.clear()
    support_groups.make()
    assert not Group.objects.get(name=LEAD).permissions.exists()
    Group.objects.all().delete()
    staff, boss = make.UserFactory(is_staff=True), make.UserFactory(is_staff=True, is_superuser=True)
    support_groups.make()
    assert [group.name for group in staff.groups.all()] == [SUPPORT]
    assert not boss.groups.exists()
