"""Signing up: the person, the proof of the address, the company; a forgotten password; what is switched off."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import reverse

from employees.models import Change, Company, Membership, Role, User
from tests import factories as make

ANNA = {"first_name": "Anna Ivanova", "email": "Anna@example.com", "password1": "seven green bicycles"}
COMPANY = {"name": "Flowers", "region": "KZ", "time_zone": "Asia/Almaty", "language": "en"}


@pytest.fixture
def browser(db: None) -> Client:
    return Client(headers={"accept-language": "en"})


def code_in(mail: EmailMessage) -> str:
    found = re.search(r"^[A-Z0-9]{3,}(-[A-Z0-9]+)*$", str(mail.body), re.M)
    assert found
    return found[0]


def text(response: Any) -> str:
    return response.content.decode()


def test_from_signing_up_to_a_company(browser: Client, mailoutbox: list[EmailMessage]) -> None:
    assert "Full name" in text(browser.get("/accounts/signup/"))
    there = browser.post("/accounts/signup/", ANNA)["Location"]
    assert there == "/accounts/confirm-email/"
    assert "_auth_user_id" not in browser.session
    (mail,) = mailoutbox
    assert mail.to == ["anna@example.com"]
    assert browser.post(there, {"code": code_in(mail)})["Location"] == "/accounts/company/"
    assert EmailAddress.objects.get().verified
    page = browser.get("/accounts/company/", headers={"accept-language": "ru-KZ,ru;q=0.9"})
    assert '<option value="KZ" selected>' in text(page)
    assert browser.post("/accounts/company/", COMPANY)["Location"] == "/"
    company, anna = Company.objects.get(), User.objects.get()
    assert {name: getattr(company, name) for name in COMPANY} == COMPANY
    assert Membership.objects.get().role == Role.OWNER
    assert (anna.first_name, anna.is_staff) == ("Anna Ivanova", False)
    assert browser.get("/members/").status_code == 200


def test_without_the_code_nobody_is_in(browser: Client, mailoutbox: list[EmailMessage]) -> None:
    browser.post("/accounts/signup/", ANNA)
    assert browser.post("/accounts/confirm-email/", {"code": "WRONG1"}).status_code == 200
    assert browser.get("/accounts/company/").status_code == 302
    cache.clear()  # some seconds later he may ask for another code
    other = Client()
    response = other.post("/login/", {"email": ANNA["email"], "password": ANNA["password1"]})
    assert response["Location"] == "/accounts/confirm-email/"
    assert "_auth_user_id" not in other.session
    assert not EmailAddress.objects.get().verified


def test_a_known_address_is_not_betrayed(browser: Client, mailoutbox: list[EmailMessage]) -> None:
    make.UserFactory(email="anna@example.com")
    assert browser.post("/accounts/signup/", ANNA)["Location"] == "/accounts/confirm-email/"
    assert User.objects.count() == 1
    (mail,) = mailoutbox
    assert "already exists" in str(mail.body)


@pytest.mark.parametrize("password", ["short", "password123", "anna@example.com"])
def test_a_weak_password_is_refused(browser: Client, password: str) -> None:
    assert browser.post("/accounts/signup/", {**ANNA, "password1": password}).status_code == 200
    assert not User.objects.exists()


def test_signing_up_may_be_switched_off(browser: Client, settings: Any) -> None:
    settings.SIGN_UP = False
    assert "/accounts/signup/" not in text(browser.get("/login/"))
    assert browser.post("/accounts/signup/", ANNA).status_code == 200
    assert not User.objects.exists()
    browser.force_login(make.UserFactory())
    assert browser.post("/accounts/company/", COMPANY).status_code == 404
    assert not Company.objects.exists()


def test_strangers_make_no_company(browser: Client) -> None:
    assert browser.post("/accounts/company/", COMPANY)["Location"].startswith("/login/")


def test_several_companies_but_not_without_end(browser: Client) -> None:
    browser.force_login(make.MembershipFactory().user)
    for _ in range(6):
        response = browser.post("/accounts/company/", COMPANY)
    assert "Try again tomorrow" in text(response)
    assert Company.objects.filter(name="Flowers").count() == 5
    assert "Switch the company" in text(browser.get("/"))


@pytest.mark.parametrize(("field", "value"), [("region", "XX"), ("time_zone", "Mars/Base"), ("name", "")])
def test_a_company_that_cannot_be_is_refused(browser: Client, field: str, value: str) -> None:
    browser.force_login(make.UserFactory())
    response = browser.post("/accounts/company/", {**COMPANY, field: value})
    assert f"id_{field}_error" in text(response)
    assert not Company.objects.exists()


def test_a_forgotten_password(browser: Client, mailoutbox: list[EmailMessage]) -> None:
    user = make.MembershipFactory(user__email="anna@example.com").user
    signed_in = Client()
    signed_in.force_login(user)
    browser.post("/accounts/password/reset/", {"email": "Anna@example.com"})
    found = re.search(r"http://\S+", str(mailoutbox[0].body))
    assert found
    page = browser.get(found[0], follow=True)
    where = page.request["PATH_INFO"]
    browser.post(where, {"password1": "eight red tricycles", "password2": "eight red tricycles"})
    user.refresh_from_db()
    assert user.check_password("eight red tricycles")
    assert signed_in.get("/").status_code == 302, "whoever was signed in with the old password is out"
    assert "_auth_user_id" not in browser.session
    again = Client().get(found[0], follow=True)
    assert 'name="password1"' not in text(again), "the link works once"


def test_nobody_is_told_who_has_an_account(browser: Client, mailoutbox: list[EmailMessage]) -> None:
    response = browser.post("/accounts/password/reset/", {"email": "nobody@example.com"})
    assert response["Location"] == "/accounts/password/reset/done/"
    assert mailoutbox == []


def test_a_mail_server_that_is_down_is_told(browser: Client, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    response = browser.post("/accounts/signup/", ANNA, follow=True)
    assert response.status_code == 200
    assert "could not be sent" in text(response)


def test_people_made_by_the_operator_need_no_proof(browser: Client) -> None:
    """`provision` and the support desk vouch for those whom they make."""
    make.MembershipFactory(user__email="anna@example.com")
    response = browser.post("/login/", {"email": "anna@example.com", "password": make.PASSWORD})
    assert response["Location"] == "/"


def test_another_address_counts_when_it_is_confirmed(browser: Client, mailoutbox: list[EmailMessage]) -> None:
    user = make.MembershipFactory(user__email="anna@example.com").user
    browser.post("/login/", {"email": user.email, "password": make.PASSWORD})
    sent = {"email": "new@example.com", "action_add": "1"}
    asked = browser.post("/accounts/email/", sent)["Location"]
    assert asked.startswith("/accounts/reauthenticate/")
    there = browser.post(asked, {"password": make.PASSWORD})["Location"]
    user.refresh_from_db()
    assert user.email == "anna@example.com"
    browser.post(there, {"code": code_in(next(mail for mail in mailoutbox if mail.to == ["new@example.com"]))})
    user.refresh_from_db()
    assert user.email == "new@example.com"
    (row,) = Change.objects.filter(kind="account")
    assert row.lines == [{"label": "e-mail", "before": "anna@example.com", "after": "new@example.com"}]
    assert Client().post("/login/", {"email": "new@example.com", "password": make.PASSWORD})["Location"] == "/"


def test_support_vouches_for_the_address_that_it_enters(browser: Client) -> None:
    user = make.MembershipFactory(user__email="anna@example.com").user
    browser.post("/login/", {"email": user.email, "password": make.PASSWORD})
    desk = Client()
    desk.force_login(make.support_lead())
    sent = {"email": "new@example.com", "first_name": "Anna", "last_name": "", "is_active": "on"}
    desk.post(reverse("support:employees_user_change", args=[user.pk]), sent)
    assert Client().post("/login/", {"email": "new@example.com", "password": make.PASSWORD})["Location"] == "/"
    assert Client().post("/login/", {"email": "anna@example.com", "password": make.PASSWORD}).status_code == 200


PAGES = ["company/", "password/change/", "email/", "2fa/", "2fa/totp/activate/", "2fa/webauthn/", "sessions/"]


@pytest.mark.parametrize("page", PAGES)
def test_pages_of_a_person_are_not_for_strangers(browser: Client, page: str) -> None:
    assert browser.get(f"/accounts/{page}")["Location"].startswith("/login/")
    browser.force_login(make.UserFactory())
    assert browser.get(f"/accounts/{page}").status_code in (200, 302)
    assert not browser.get(f"/accounts/{page}").get("Location", "").startswith("/login/")


@pytest.mark.parametrize("page", ["signup/", "password/reset/", "../login/"])
def test_pages_for_strangers_open(browser: Client, page: str) -> None:
    assert browser.get(f"/accounts/{page}".replace("/accounts/../", "/")).status_code == 200
