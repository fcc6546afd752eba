"""How much a company may have, as support has set it."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from employees.models import Company, Invitation
from tests import factories as make
from tests.portal.conftest import World


def limit(world: World, **most: int) -> None:
    Company.objects.filter(pk=world.company.pk).update(**most)


@pytest.mark.parametrize(
    ("field", "page", "argument"),
    [("most_connections", "connection_new", "mango"), ("most_integrations", "integration_new", "bitrix24")],
)
@pytest.mark.parametrize(("most", "opens"), [(None, True), (2, True), (1, False), (0, False)])
def test_what_is_full_takes_no_more(
    mine: World, owner: Client, field: str, page: str, argument: str, most: int, opens: bool
) -> None:
    limit(mine, **{field: most})
    for answer in (
        owner.get(reverse(f"portal:{page}", args=[argument])),
        owner.post(reverse(f"portal:{page}", args=[argument])),
    ):
        assert (answer.status_code == 200) is opens
        assert opens or f"({most})" in str(list(get_messages(answer.wsgi_request))[-1])
    assert mine.company.connections.count() == mine.company.integrations.count() == 1


def test_whoever_is_invited_takes_a_place(mine: World, owner: Client) -> None:
    members = mine.company.memberships.count()
    limit(mine, most_members=members + Invitation.objects.filter(company=mine.company).count() + 1)
    where = reverse("portal:members")
    for email in ("one@example.com", "one@example.com", "two@example.com"):
        owner.post(where, {"email": email, "role": "operator"})
    assert Invitation.objects.filter(email="one@example.com").exists()
    assert not Invitation.objects.filter(email="two@example.com").exists()


def test_support_sets_it_and_nobody_else(mine: World, owner: Client) -> None:
    staff = Client()
    staff.force_login(make.UserFactory(is_staff=True, is_superuser=True))
    page = staff.get(reverse("support:employees_company_change", args=[mine.company.pk])).content.decode()
    for field in ("most_connections", "most_integrations", "most_members"):
        assert f'name="{field}"' in page
        assert f'name="{field}"' not in owner.get(reverse("portal:company")).content.decode()
