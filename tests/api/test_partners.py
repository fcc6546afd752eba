"""A partner by program: how he looks, and links to the guided path in his own pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from employees import embedding
from employees.models import Change, Company, Embedding
from tests import factories as make

CABINET = "https://cabinet.example.com"


@pytest.fixture
def customer(partner) -> Company:
    return make.CompanyFactory(partner=partner)


def test_a_partner_says_how_he_looks(reseller, partner):
    told = reseller.get("partner").json()
    assert (told["name"], told["colour"], told["origins"]) == (partner.name, "#2563eb", [])
    changed = reseller.patch("partner", {"name": "North", "colour": "#7c2d12", "origins": [CABINET]})
    assert changed.status_code == 200, changed.json()
    assert changed.json() == {**told, "name": "North", "colour": "#7c2d12", "origins": [CABINET]}
    assert reseller.get("partner").json() == changed.json()
    noted = Change.objects.get(kind="partner", action="changed")
    assert (noted.company, noted.actor_name[:3]) == (None, "API")
    stale = reseller.patch("partner", {"name": "South"}, if_match='"another"')
    assert (stale.status_code, stale.json()["code"]) == (412, "changed_meanwhile")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"colour": "#ffff00"}, "colour"),
        ({"colour": "blue"}, "colour"),
        ({"origins": ["http://cabinet.example.com"]}, "origins.0"),
        ({"origins": [CABINET, "https://*.example.com"]}, "origins.1"),
        ({"origins": [CABINET] * 21}, "origins"),
        ({"name": ""}, "name"),
    ],
)
def test_what_is_not_right_is_said(reseller, body, field):
    answer = reseller.patch("partner", body)
    assert answer.status_code == 422, answer.json()
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_only_a_partner_is_one(program, mine):
    for answer in (
        program.get("partner"),
        program.patch("partner", {"name": "Mine"}),
        program.post(f"companies/{mine.company.uuid}/embed-links"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def test_a_link_opens_the_path(reseller, partner, customer):
    answer = reseller.post(f"companies/{customer.uuid}/embed-links", {"expires_in": 60})
    assert answer.status_code == 201, answer.json()
    row = Embedding.objects.get()
    assert row.expires_at <= timezone.now() + timedelta(seconds=60)
    token = answer.json()["url"].rstrip("/").rpartition("/")[2]
    assert token not in str(vars(row)), "only its digest is kept"
    page = Client().get(f"/embed/{token}/", follow=True)
    assert page.status_code == 200
    assert partner.name in page.content.decode()
    assert Change.objects.filter(kind="embedding", company=customer).count() == 2, "made by the key, opened"


def test_another_partners_company_is_not_found(reseller, theirs):
    Company.objects.filter(pk=theirs.company.pk).update(partner=make.PartnerFactory())
    answer = reseller.post(f"companies/{theirs.company.uuid}/embed-links")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("lacking", embedding.SCOPES)
def test_a_key_gives_no_more_than_it_has(key, partner, customer, lacking):
    program = key(partner, *(scope for scope in embedding.SCOPES if scope != lacking))
    answer = program.post(f"companies/{customer.uuid}/embed-links")
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert answer.json()["detail"] == lacking
    assert not Embedding.objects.exists()


@pytest.mark.parametrize("seconds", [0, 29, 901, "soon", None])
def test_a_link_lives_minutes(reseller, customer, seconds):
    answer = reseller.post(f"companies/{customer.uuid}/embed-links", {"expires_in": seconds})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "expires_in")
