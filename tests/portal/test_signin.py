"""Signing in: where it leads, and what happens to those who guess."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

from tests import factories as make

FAILURES, OF_ADDRESS = (int(rate.split("/")[0]) for rate in settings.ACCOUNT_RATE_LIMITS["login_failed"].split(","))
WRONG = {"email": "anna@example.com", "password": "guess"}
RIGHT = {"email": "Anna@example.com", "password": make.PASSWORD}


@pytest.fixture
def anna(db: None) -> None:
    make.MembershipFactory(user__email="anna@example.com")


def test_the_portal_opens(anna: None) -> None:
    client = Client()
    assert client.get("/").headers["Location"] == "/login/?next=/"
    assert client.post("/login/", {**RIGHT, "next": "/calls/"}).headers["Location"] == "/calls/"
    assert client.get("/").status_code == 200
    assert client.post("/logout/").headers["Location"] == "/login/"
    assert client.get("/").status_code == 302


def test_nobody_is_sent_elsewhere(anna: None) -> None:
    response = Client().post("/login/", {**RIGHT, "next": "https://evil.example/"})
    assert response.headers["Location"] == "/"


def test_staff_without_a_company_goes_to_support(db: None) -> None:
    make.UserFactory(email="anna@example.com", is_staff=True)
    client = Client()
    assert client.post("/login/", RIGHT).headers["Location"] == "/support/"
    assert client.get("/support/").status_code == 200


def test_somebody_without_a_company_is_told_so(db: None) -> None:
    make.UserFactory(email="anna@example.com")
    client = Client()
    response = client.post("/login/", RIGHT, follow=True, headers={"accept-language": "en"})
    assert response.status_code == 200
    assert "not open to you" in response.content.decode()


def test_nobody_runs_in_circles(anna: None) -> None:
    """What is closed to somebody who is signed in is told, not redirected for ever."""
    client = Client(headers={"accept-language": "en"})
    client.post("/login/", RIGHT)
    response = client.get("/support/", follow=True)
    assert response.status_code == 200
    assert "not open to you" in response.content.decode()
    staff = Client(headers={"accept-language": "en"})
    staff.force_login(make.UserFactory(is_staff=True))
    assert "not open to you" in staff.get("/calls/", follow=True).content.decode()
    assert staff.get("/login/").headers["Location"] == "/support/"


def test_guessing_ends(anna: None) -> None:
    client = Client(headers={"accept-language": "en"})
    for _ in range(FAILURES):
        assert client.post("/login/", WRONG).status_code == 200
    response = client.post("/login/", RIGHT)
    assert response.status_code == 429
    assert "Too many failed attempts" in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_others_are_not_locked_out_with_the_one_who_guesses(anna: None) -> None:
    for _ in range(FAILURES):
        Client().post("/login/", WRONG)
    assert Client(REMOTE_ADDR="192.0.2.7").post("/login/", RIGHT).status_code == 302


def test_success_forgets_failures(anna: None) -> None:
    for _ in range(2):
        for _ in range(FAILURES - 1):
            assert Client().post("/login/", WRONG).status_code == 200
        assert Client().post("/login/", RIGHT).status_code == 302


def test_success_does_not_forget_failures_with_other_names(anna: None) -> None:
    """Whoever has an account here may not guess the passwords of others by signing in in between."""
    for number in range(OF_ADDRESS):
        assert Client().post("/login/", {**WRONG, "email": f"{number}@example.com"}).status_code == 200
        if number % 10 == 0:
            assert Client().post("/login/", RIGHT).status_code == 302
    assert Client().post("/login/", {**WRONG, "email": "next@example.com"}).status_code == 429


def test_signing_in_is_protected_against_forgery(anna: None) -> None:
    assert Client(enforce_csrf_checks=True).post("/login/", RIGHT).status_code == 403
