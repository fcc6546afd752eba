"""The second factor, and the list of one's sessions. Passkeys need a browser: tests/browser/test_passkeys.py."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import reverse

from employees import devices
from employees.models import Change, User
from tests import factories as make
from tests.portal.test_sign_up import text

ANNA = {"email": "anna@example.com", "password": make.PASSWORD}
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1"


@pytest.fixture
def anna(db: None) -> User:
    return make.MembershipFactory(user__email=ANNA["email"]).user


def browser(agent: str = FIREFOX) -> Client:
    client = Client(headers={"accept-language": "en", "user-agent": agent})
    assert client.post("/login/", ANNA).status_code == 302
    return client


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time())))


@pytest.fixture
def secret(anna: User) -> str:
    """Anna has an authenticator app; its secret."""
    return enrol()


def enrol() -> str:
    client = browser()
    client.post("/accounts/reauthenticate/", {"password": make.PASSWORD})
    page = text(client.get("/accounts/2fa/totp/activate/"))
    found = re.search(r'id="authenticator_secret"[^>]*value="(\w+)"', page)
    assert found
    assert client.post("/accounts/2fa/totp/activate/", {"code": code(found[1])}).status_code == 302
    cache.clear()  # a code is taken once: in real life another one comes
    return found[1]


def test_an_authenticator_app_is_asked_for(anna: User, secret: str) -> None:
    client = Client(headers={"accept-language": "en"})
    there = client.post("/login/", ANNA)["Location"]
    assert there == "/accounts/2fa/authenticate/"
    assert "_auth_user_id" not in client.session
    assert client.get("/").status_code == 302
    assert client.post(there, {"code": "000000"}).status_code == 200
    assert client.post(there, {"code": code(secret)})["Location"] == "/"
    assert client.get("/").status_code == 200


def test_its_secret_is_encrypted(secret: str) -> None:
    stored = Authenticator.objects.get(type="totp").data["secret"]
    assert secret not in stored


def test_a_recovery_code_works_once(anna: User, secret: str) -> None:
    codes = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()
    for status in (302, 200):
        cache.clear()
        client = Client()
        there = client.post("/login/", ANNA)["Location"]
        assert client.post(there, {"code": codes[0]}).status_code == status


def test_guessing_codes_ends(anna: User, secret: str) -> None:
    client = Client(headers={"accept-language": "en"})
    there = client.post("/login/", ANNA)["Location"]
    for _ in range(5):
        client.post(there, {"code": "000000"})
    assert "Too many failed attempts" in text(client.post(there, {"code": code(secret)}))
    assert "_auth_user_id" not in client.session


def test_what_is_sensitive_asks_for_the_password_again(anna: User) -> None:
    client = browser()
    for page in ("2fa/totp/activate/", "2fa/webauthn/add/"):
        there = client.get(f"/accounts/{page}")["Location"]
        assert there.startswith("/accounts/reauthenticate/")
    response = client.post(there, {"password": "guess"})
    assert response.status_code == 200
    assert client.post(there, {"password": make.PASSWORD}).status_code == 302
    assert client.get("/accounts/2fa/totp/activate/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_change_is_told_by_mail(anna: User, mailoutbox: list[EmailMessage]) -> None:
    secret = enrol()
    assert mailoutbox
    assert all(mail.to == [ANNA["email"]] and secret not in str(mail.body) for mail in mailoutbox)


def test_support_helps_who_has_lost_the_device(anna: User, secret: str) -> None:
    boss = make.UserFactory(is_staff=True, is_superuser=True)
    Authenticator.objects.create(user=boss, type="totp", data={"secret": "x"})
    desk = Client()
    desk.force_login(make.support_lead())
    sent = {"action": "remove_second_factors", "_selected_action": [anna.pk, boss.pk]}
    desk.post(reverse("support:employees_user_changelist"), sent)
    assert list(Authenticator.objects.values_list("user", flat=True)) == [boss.pk], "staff is a matter of superusers"
    assert Client().post("/login/", ANNA)["Location"] == "/"
    assert Change.objects.filter(kind="account", subject=anna.email, actor__is_staff=True).exists()


# --- Sessions ---------------------------------------------------------------------------------------------------------


def test_sessions_are_listed_with_their_devices(anna: User) -> None:
    make.MembershipFactory()
    here, _there = browser(), browser(PHONE)
    page = text(here.get("/accounts/sessions/"))
    assert "Firefox, Windows" in page
    assert "Safari, iPhone" in page
    assert "127.0.0.1" in page


def test_one_session_is_ended(anna: User) -> None:
    here, there, third = browser(), browser(PHONE), browser("curl/8.0")
    row = UserSession.objects.get(user_agent=PHONE)
    here.post("/accounts/sessions/", {"session": row.pk})
    assert there.get("/").status_code == 302
    assert third.get("/").status_code == here.get("/").status_code == 200


def test_all_others_are_ended(anna: User) -> None:
    here, there, third = browser(), browser(PHONE), browser("curl/8.0")
    here.post("/accounts/sessions/")
    assert there.get("/").status_code == third.get("/").status_code == 302
    assert here.get("/").status_code == 200


def test_sessions_of_others_are_not_ended(anna: User) -> None:
    theirs = browser(PHONE)
    row = UserSession.objects.get()
    client = Client()
    client.force_login(make.UserFactory())
    assert client.post("/accounts/sessions/", {"session": row.pk}).status_code == 404
    client.post("/accounts/sessions/")
    assert theirs.get("/").status_code == 200


def test_a_new_password_ends_other_sessions(anna: User) -> None:
    here, there = browser(), browser(PHONE)
    sent = {"oldpassword": make.PASSWORD, "password1": "eight red tricycles", "password2": "eight red tricycles"}
    assert here.post("/accounts/password/change/", sent).status_code == 302
    assert there.get("/").status_code == 302
    assert here.get("/").status_code == 200
    assert "Safari" not in text(here.get("/accounts/sessions/"))


def test_the_last_visit_is_written_down_now_and_then(anna: User) -> None:
    client = browser()
    UserSession.objects.update(last_seen_at="2020-01-01T00:00:00Z")
    client.get("/")
    first = UserSession.objects.get().last_seen_at
    assert first.year > 2020
    client.get("/")
    assert UserSession.objects.get().last_seen_at == first
    cache.clear()
    client.get("/")
    assert UserSession.objects.get().last_seen_at > first


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox, Windows"),
        (PHONE, "Safari, iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36", "Chrome, Linux"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/140.0.0.0 Mobile Safari/537.36", "Chrome, Android"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0", "Edge, Windows"),
        ("curl/8.0", "curl/8.0"),
    ],
)
def test_devices_have_names(agent: str, name: str) -> None:
    assert devices.named(agent) == name
