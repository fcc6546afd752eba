"""Keys: who is let in, to what, how often, and that it is written down."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from employees.api import keys
from employees.models import ApiKey, ApiRequest, Change
from tests import factories as make
from tests.api.conftest import Program


def test_a_key_reads_what_its_company_has(program, mine, theirs):
    rows = program.get("employees").json()["results"]
    assert [row["uuid"] for row in rows] == [str(mine.employee.uuid)]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"authorization": ""}, "key_missing"),
        ({"authorization": "Bearer cb_nobody"}, "key_refused"),
        ({"authorization": "Basic cb_nobody"}, "key_missing"),
    ],
)
@pytest.mark.django_db
def test_who_has_no_key_is_told_so(headers, code):
    answer = Program("", **headers).get("employees")
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer["Content-Type"] == "application/problem+json"


def test_a_scope_is_needed_for_each_area_and_for_writing(mine, key):
    reader = key(mine.company, "people:read")
    assert reader.get("employees").status_code == 200
    assert reader.get("companies").json()["detail"] == "companies:read"
    refused = reader.post("employees", {"name": "Rita"})
    assert (refused.status_code, refused.json()["code"], refused.json()["detail"]) == (
        403,
        "scope_missing",
        "people:write",
    )


def test_a_key_ends_when_it_is_revoked_or_out_of_date(mine, key):
    late = key(mine.company, expires_at=timezone.now() + timedelta(days=1))
    assert late.get("employees").status_code == 200
    with time_machine.travel(timezone.now() + timedelta(days=2)):
        assert late.get("employees").json()["code"] == "key_refused"
    keys.revoke(ApiKey.objects.get())
    assert late.get("employees").json()["code"] == "key_refused"


def test_a_rotated_key_works_with_both_secrets_for_a_day(program, mine):
    row = ApiKey.objects.get()
    told = program.post(f"keys/{row.uuid}/rotate")
    assert told.status_code == 200
    fresh = Program(told.json()["secret"])
    assert [fresh.get("employees").status_code, program.get("employees").status_code] == [200, 200]
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        assert [fresh.get("employees").status_code, program.get("employees").status_code] == [200, 401]


def test_no_secret_is_told_twice_or_kept(program, mine):
    made = program.post("keys", {"name": "second", "scopes": ["people:read"]}).json()
    assert made["secret"].startswith(made["prefix"])
    assert "secret" not in program.get(f"keys/{made['uuid']}").json()
    row = ApiKey.objects.get(uuid=made["uuid"])
    assert made["secret"] not in str(ApiKey.objects.filter(pk=row.pk).values()[0])
    assert made["secret"] not in str(list(Change.objects.values()))


def test_a_key_makes_none_that_may_more(mine, key):
    small = key(mine.company, "keys:write", "people:read")
    refused = small.post("keys", {"name": "more", "scopes": ["calls:read"]})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    big = ApiKey.objects.get()
    keys.issue(mine.company, "big", keys.SCOPES)
    other = ApiKey.objects.exclude(pk=big.pk).get()
    assert small.post(f"keys/{other.uuid}/rotate").json()["code"] == "not_allowed"


# --- Partners


def test_a_partner_names_the_company(reseller, partner, mine, theirs):
    mine.company.partner = partner
    mine.company.save()
    assert reseller.get("employees").json()["code"] == "company_required"
    assert len(reseller.of(mine.company).get("employees").json()["results"]) == 1
    assert reseller.of(theirs.company).get("employees").status_code == 404
    assert reseller.get("employees", callbridge_company="nonsense").status_code == 404
    assert [row["uuid"] for row in reseller.get("companies").json()["results"]] == [str(mine.company.uuid)]


def test_a_company_names_itself_or_nobody(program, mine, theirs):
    assert program.of(mine.company).get("employees").status_code == 200
    assert program.of(theirs.company).get("employees").status_code == 404


def test_a_partner_makes_companies_and_invites_their_owner(reseller, partner, mailoutbox):
    made = reseller.post("companies", {"name": "Flowers", "region": "KZ", "time_zone": "Asia/Almaty"})
    assert made.status_code == 201
    company = partner.companies.get(uuid=made.json()["uuid"])
    invited = reseller.of(company).post("invitations", {"email": "Owner@flowers.example", "role": "owner"})
    assert invited.status_code == 201, invited.json()
    assert mailoutbox[0].to == ["owner@flowers.example"]
    assert partner.name in mailoutbox[0].body
    assert "/accounts/invitation/" in invited.json()["link"]


def test_a_company_makes_no_companies_and_no_owners(program):
    assert program.post("companies", {"name": "Second"}).json()["code"] == "not_allowed"
    assert program.post("invitations", {"email": "a@b.example", "role": "owner"}).json()["code"] == "not_allowed"


# --- How often, and what is written down


def test_too_many_requests_are_told_to_wait(program, settings):
    settings.API_RATE = 2
    answers = [program.get("employees") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0]["RateLimit-Policy"] == '"key";q=2;w=60'
    assert answers[0]["RateLimit"].startswith('"key";r=1;t=')
    assert answers[2]["RateLimit"].startswith('"key";r=0;t=')
    assert int(answers[2]["Retry-After"]) > 0
    assert answers[2].json()["code"] == "too_many_requests"


def test_every_request_is_written_down(program, mine):
    program.get("employees")
    program.get(f"employees/{uuid.uuid4()}")
    told = [(row.method, row.path, row.status, row.code, row.company_id) for row in ApiRequest.objects.order_by("id")]
    assert told[0] == ("GET", "/api/v1/employees", 200, "", mine.company.pk)
    assert told[1][2:] == (404, "not_found", mine.company.pk)
    assert ApiKey.objects.get().last_used_at


def test_what_a_program_changes_is_written_down_as_its_doing(program, mine):
    program.patch(f"employees/{mine.employee.uuid}", {"name": "Somebody else"})
    row = Change.objects.latest("id")
    assert row.actor is None
    assert row.actor_name.startswith("API · program · cb_")


def test_members_and_the_last_owner(program, mine):
    owner = make.MembershipFactory(company=mine.company)
    assert program.patch(f"members/{mine.member.pk}", {"role": "read_only"}).json()["role"] == "read_only"
    assert program.delete(f"members/{owner.pk}").json()["code"] == "not_allowed"
    assert program.delete(f"members/{mine.member.pk}").status_code == 204


def test_a_partner_leaves_a_company_an_owner(reseller, partner):
    owner: Any = make.MembershipFactory(company__partner=partner)
    about = reseller.of(owner.company)
    assert about.delete(f"members/{owner.pk}").json()["code"] == "conflict"
