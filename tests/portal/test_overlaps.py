"""What people wonder about: two integrations for one account, and how a number is compared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from clients.models import Client as Person
from integrations.overlaps import overlaps
from tests import factories as make
from tests.portal.conftest import World


def second(mine: World, **changes: Any) -> Any:
    return make.IntegrationFactory(credential=mine.credential, connections=[mine.connection], **changes)


def test_the_same_calls_for_the_same_account_are_seen(mine: World, owner: Client) -> None:
    other = second(mine, name="The other")
    (found,) = overlaps(mine.integration)
    assert (found.other, found.numbers, found.first) == (other, [], False)
    assert overlaps(other)[0].first
    page = owner.get(reverse("portal:integration", args=[mine.integration.uuid])).content.decode()
    assert "The other" in page


def test_filters_that_do_not_meet_do_not_overlap(mine: World) -> None:
    other = second(mine, filter_numbers=True)
    other.numbers.set([make.VirtualNumberFactory(connection=mine.connection)])
    mine.integration.filter_numbers = True
    mine.integration.save()
    mine.integration.numbers.set([mine.number])
    assert overlaps(mine.integration) == []
    other.numbers.add(mine.number)
    assert overlaps(mine.integration)[0].numbers == [mine.number.number]


def test_another_account_or_one_that_is_off_does_not_overlap(mine: World) -> None:
    second(mine, active=False)
    make.IntegrationFactory(credential__company=mine.company, connections=[mine.connection])
    assert overlaps(mine.integration) == []


@pytest.mark.parametrize("typed", ["8 900 000-00-55", "+79000000055", "7 (900) 000 00 55"])
def test_a_number_is_shown_as_it_is_compared(mine: World, owner: Client, typed: str) -> None:
    page = owner.get(reverse("portal:clients"), {"q": typed}).content.decode()
    assert "+79000000055" in page
    assert "8 (900) 000-00-55" in page


def test_what_is_no_number_is_said_so(mine: World, owner: Client) -> None:
    page = owner.get(reverse("portal:clients"), {"q": "123456"}).content.decode()
    assert "cb-warning" in page


def test_old_and_ambiguous_matches_are_shown_as_that(mine: World, owner: Client) -> None:
    Person.objects.filter(pk=mine.client.pk).update(others=["Anna Other"], seen_at=timezone.now() - timedelta(days=40))
    page = owner.get(reverse("portal:clients")).content.decode()
    assert "Anna Other" in page
    assert "не единственное совпадение" in page
    assert "могло устареть" in page
