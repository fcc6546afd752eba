"""Invitations: who may invite whom, what each link proves, and who may use it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from employees import invitations
from employees.models import Invitation, Membership, Role, User
from tests import factories as make
from tests.portal.conftest import World
from tests.portal.test_sign_up import code_in, text

GUEST = "guest@example.com"
NEW = {"first_name": "Boris", "password1": "seven green bicycles"}


def link_in(mail: EmailMessage) -> str:
    found = re.search(r"http://[^/]+(/accounts/invitation/\S+)", str(mail.body))
    assert found
    return found[1]


def shown_in(response: Any) -> str:
    found = re.search(r'data-copy="http://[^/]+(/accounts/invitation/[^"]+)"', text(response))
    assert found
    return found[1]


@pytest.fixture
def guest(db: None) -> Client:
    return Client(headers={"accept-language": "en"})


@pytest.fixture
def links(mine: World, owner: Client, mailoutbox: list[EmailMessage]) -> tuple[str, str]:
    """The mailed link and the shown one of an operator's invitation."""
    response = owner.post("/members/", {"email": "Guest@example.com", "role": "operator"})
    return link_in(mailoutbox.pop()), shown_in(response)


def test_links_are_kept_nowhere(links: tuple[str, str], owner: Client) -> None:
    page = text(owner.get("/members/"))
    assert GUEST in page
    assert "data-copy" not in page
    stored = str(Invitation.objects.filter(email=GUEST).values())
    for link in links:
        assert link.strip("/").split("/")[-1] not in stored
    assert links[0] != links[1]


def test_somebody_new_joins_by_the_mailed_link(
    links: tuple[str, str], mine: World, guest: Client, settings: Any
) -> None:
    """The link proves the address; signing up is open to him even where it is not to strangers."""
    settings.SIGN_UP = False
    page = guest.get(links[0], follow=True)
    assert GUEST in text(page)
    where = page.request["PATH_INFO"]
    assert guest.post(where, {**NEW, "email": "other@example.com"})["Location"] == links[0]
    user = User.objects.get(email=GUEST)
    assert EmailAddress.objects.get(user=user).verified
    assert guest.post(links[0])["Location"] == "/"
    membership = Membership.objects.get(user=user)
    assert (membership.company, membership.role) == (mine.company, Role.OPERATOR)
    assert guest.get("/").status_code == 200
    assert not User.objects.filter(email="other@example.com").exists()


def test_a_copied_link_confirms_no_address(
    links: tuple[str, str], guest: Client, mailoutbox: list[EmailMessage]
) -> None:
    """Whoever invites has this link too: he could make himself a confirmed account of somebody else's address."""
    where = f"{links[1]}new/"
    assert where in text(guest.get(links[1]))
    assert guest.post(where, NEW)["Location"] == "/accounts/confirm-email/"
    assert "_auth_user_id" not in guest.session
    assert not EmailAddress.objects.get(email=GUEST).verified
    assert not Membership.objects.filter(user__email=GUEST).exists()
    assert guest.post("/accounts/confirm-email/", {"code": code_in(mailoutbox[-1])})["Location"] == links[1]
    guest.post(links[1])
    assert Membership.objects.filter(user__email=GUEST).exists()


def test_a_known_person_signs_in_and_joins(links: tuple[str, str], mine: World, guest: Client) -> None:
    user = make.MembershipFactory(user__email=GUEST, role=Role.OWNER).user
    before = user.password
    page = text(guest.get(links[0]))
    assert f"/login/?next={links[0]}" in page
    assert "/new/" not in page
    response = guest.post("/login/", {"email": GUEST, "password": make.PASSWORD, "next": links[0]})
    assert response["Location"] == links[0]
    guest.post(links[0])
    user.refresh_from_db()
    assert user.password == before
    assert Membership.objects.filter(user=user).count() == 2
    assert mine.company.name in text(guest.get("/")), "the company that he joined is shown"


@pytest.mark.parametrize("known", [True, False])
def test_a_copied_link_does_not_tell_who_has_an_account(links: tuple[str, str], guest: Client, known: bool) -> None:
    if known:
        make.UserFactory(email=GUEST)
    page = text(guest.get(links[1]))
    assert "Sign in and join" in page
    assert "I am new here" in page


def test_the_wrong_person_does_not_join(links: tuple[str, str], theirs: World, guest: Client) -> None:
    guest.force_login(theirs.member.user)
    for link in links:
        assert "You are signed in as theirs-m@example.com" in text(guest.get(link))
        guest.post(link)
    assert not Membership.objects.filter(user=theirs.member.user).exclude(company=theirs.company).exists()
    assert Invitation.objects.get(email=GUEST).accepted_at is None


def test_a_link_works_once(links: tuple[str, str], guest: Client, owner: Client) -> None:
    user = make.UserFactory(email=GUEST)
    guest.force_login(user)
    guest.post(links[0])
    Membership.objects.get(user=user).delete()
    for link in links:
        response = guest.post(link)
        assert response.status_code == 410
        assert "has been used" in text(response)
    assert not Membership.objects.filter(user=user).exists()


def test_two_at_the_same_time_join_once(mine: World) -> None:
    row = make.InvitationFactory(company=mine.company)
    first, second = (Invitation.objects.get(pk=row.pk) for _ in range(2))
    user = make.UserFactory(email=row.email)
    assert invitations.accept(first, user)
    assert invitations.accept(second, user) is None


def test_an_expired_one_is_over(links: tuple[str, str], guest: Client) -> None:
    Invitation.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    guest.force_login(make.UserFactory(email=GUEST))
    response = guest.post(links[0])
    assert response.status_code == 410
    assert "has expired" in text(response)
    assert guest.get(f"{links[0]}new/").status_code == 410


def test_one_that_was_taken_back_is_over(links: tuple[str, str], guest: Client, owner: Client) -> None:
    row = Invitation.objects.get(email=GUEST)
    owner.post(reverse("portal:member_invited", args=[row.uuid]), {"revoke": "1"})
    for link in links:
        assert guest.get(link).status_code == 410


def test_sending_again_ends_the_old_links(
    links: tuple[str, str], guest: Client, owner: Client, mailoutbox: list[EmailMessage]
) -> None:
    row = Invitation.objects.get(email=GUEST)
    response = owner.post(reverse("portal:member_invited", args=[row.uuid]))
    for link in links:
        assert guest.get(link).status_code == 410
    for link in (link_in(mailoutbox.pop()), shown_in(response)):
        assert guest.get(link).status_code in (200, 302)


@pytest.mark.parametrize("change", [{"role": Role.OPERATOR}, None], ids=["demoted", "removed"])
def test_it_ends_with_the_right_of_whoever_invited(
    links: tuple[str, str], mine: World, guest: Client, change: dict[str, str] | None
) -> None:
    inviter = Membership.objects.filter(user=Invitation.objects.get(email=GUEST).invited_by)
    if change:
        inviter.update(**change)
    else:
        inviter.delete()
    assert guest.get(links[0]).status_code == 410


def test_a_role_is_given_by_who_has_it(mine: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(mine.company, Role.ADMINISTRATOR)
    client.post("/members/", {"email": GUEST, "role": "owner"})
    assert not Invitation.objects.filter(email=GUEST).exists()
    boss = make.InvitationFactory(company=mine.company, role=Role.OWNER, email=GUEST)
    client.post("/members/", {"email": GUEST, "role": "operator"})
    where = reverse("portal:member_invited", args=[boss.uuid])
    client.post(where)
    client.post(where, {"revoke": "1"})
    assert Invitation.objects.get(email=GUEST).mailed_digest == boss.mailed_digest


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.READ_ONLY])
def test_operators_invite_nobody(mine: World, signed_in: Callable[..., Client], role: str) -> None:
    client = signed_in(mine.company, role)
    assert client.post("/members/", {"email": GUEST, "role": "read_only"}).status_code == 403
    assert client.post(reverse("portal:member_invited", args=[mine.invitation.uuid])).status_code == 403
    assert not Invitation.objects.filter(email=GUEST).exists()


def test_a_member_is_not_invited(mine: World, owner: Client, mailoutbox: list[EmailMessage]) -> None:
    response = owner.post("/members/", {"email": mine.member.user.email.upper(), "role": "owner"})
    assert "id_email_error" in text(response)
    assert mailoutbox == []


def test_a_company_sends_so_many(mine: World, owner: Client, mailoutbox: list[EmailMessage]) -> None:
    most = int(invitations.MOST.split("/")[0])
    for number in range(most + 1):
        owner.post("/members/", {"email": f"guest{number}@example.com", "role": "operator"})
    assert len(mailoutbox) == most
    assert not Invitation.objects.filter(email=f"guest{most}@example.com").exists()
    where = reverse("portal:member_invited", args=[mine.invitation.uuid])
    owner.post(where)
    assert len(mailoutbox) == most


def test_without_a_mail_server_the_link_is_there(mine: World, owner: Client, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert shown_in(owner.post("/members/", {"email": GUEST, "role": "operator"}))
