"""The way to a new connection: the PBX is found however it is typed, and one that we do not know can be asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from employees.models import Role
from telephony import catalogue
from telephony.models import PbxWish
from telephony.providers import registry
from tests.portal.conftest import World


def titles(asked: str) -> list[str]:
    return [found.brand.title for found in catalogue.search(asked)]


@pytest.mark.parametrize("asked", ["BİRLink", "birlink", "Birlınk", "BIR-LINK", "bir link", "бирлинк"])
def test_a_brand_is_found_however_it_is_typed(asked: str) -> None:
    assert titles(asked) == ["BİRLink"]


@pytest.mark.parametrize("asked", ["Азербайджан", "azerbaijan", "AZ азер"])
def test_brands_are_found_by_their_country(asked: str) -> None:
    assert {"BİRLink", "Azerizone"} <= set(titles(asked))
    assert "Zadarma" not in titles(asked)


def test_every_brand_is_there_when_nothing_is_asked_and_none_for_nonsense() -> None:
    assert len(catalogue.search("  ")) == len(registry.brands())
    assert catalogue.search("no such pbx") == []


@pytest.mark.parametrize("slug", [brand.slug for _provider, brand in registry.brands()])
def test_every_brand_opens_its_form(slug: str, mine: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(mine.company)
    page = client.get(reverse("portal:connection_new", args=[slug]))
    assert page.status_code == 200
    assert "cb-prose" in page.content.decode()


def test_a_pbx_that_is_not_here_is_asked_for(mine: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(mine.company)
    page = client.get(reverse("portal:connection_catalogue"), {"q": "Moon PBX"}).content.decode()
    assert "Напишите нам" in page
    assert 'value="Moon PBX"' in page
    told = {"name": "Moon PBX", "site": "moon.example", "words": "SIP and hooks"}
    assert client.post(reverse("portal:connection_wish"), told).status_code == 302
    wish = PbxWish.objects.get()
    assert (wish.company, wish.name, wish.site, wish.done) == (mine.company, "Moon PBX", "moon.example", False)
    assert wish.asked_by


def test_a_wish_without_a_name_says_so(mine: World, signed_in: Callable[..., Client]) -> None:
    page = signed_in(mine.company).post(reverse("portal:connection_wish"), {"name": ""})
    assert page.status_code == 200
    assert "details" in page.content.decode()
    assert not PbxWish.objects.exists()


def test_an_operator_asks_for_none(mine: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(mine.company, Role.OPERATOR)
    assert client.post(reverse("portal:connection_wish"), {"name": "x"}).status_code in (302, 403, 404)
    assert not PbxWish.objects.exists()
