"""Support visits a customer: it only looks unless it says more, never longer than it may, and the customer sees it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from employees.models import Employee, Membership, Role, User
from employees.sites import portal
from integrations.models import Visit
from tests import factories as make
from tests.portal.conftest import World
from tests.portal.test_isolation import NO_PAGES, address, pages

REASON = "Calls of Monday are missing, request 4711"


@pytest.fixture
def helper(db: None) -> User:
    return make.UserFactory(is_staff=True, email="helper@example.com")


@pytest.fixture
def desk(helper: User) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(helper)
    return client


@pytest.fixture
def boss(mine: World) -> Membership:
    return make.MembershipFactory(company=mine.company, role=Role.OWNER, user__email="boss@example.com")


def begin(desk: Client, member: Membership, **more: Any) -> Visit:
    response = desk.post(reverse("support:visit", args=[member.pk]), {"reason": REASON, **more})
    assert response.status_code == 302
    assert response["Location"] == "/"
    return Visit.objects.latest("pk")


def allow_writing(helper: User) -> None:
    helper.user_permissions.add(Permission.objects.get(codename="write_on_visit"))


def write(desk: Client) -> Any:
    return desk.post(reverse("support:visit_write"), {"reason": "He asked me to add Anna"})


def add_employee(desk: Client) -> Any:
    return desk.post("/employees/new/", {"name": "Anna"})


# --- Looking ----------------------------------------------------------------------------------------------------------


def test_support_sees_what_the_member_sees(desk: Client, boss: Membership, theirs: World) -> None:
    assert desk.get("/calls/").status_code == 302
    begin(desk, boss)
    text = desk.get("/connections/").content.decode()
    assert "mine connection" in text
    assert "theirs" not in text
    assert "You look at “mine company” as boss@example.com" in text
    assert "Nothing can be changed." in text
    assert desk.get(reverse("portal:connection", args=[theirs.connection.uuid])).status_code == 404


def test_a_member_who_may_less_shows_less(desk: Client, mine: World) -> None:
    begin(desk, mine.member)  # an operator
    assert desk.get("/calls/").status_code == 200
    assert desk.get("/connections/").status_code == 403


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_no_page_changes_anything(page: Any, desk: Client, boss: Membership, mine: World) -> None:
    begin(desk, boss)
    response = desk.post(address(page, mine), {"name": "changed", "remove": "1", "choice": "ignored"})
    assert response.status_code == 403
    assert "You are looking only" in response.content.decode()


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_no_method_does(method: str, desk: Client, boss: Membership) -> None:
    begin(desk, boss)
    assert getattr(desk, method)("/employees/new/", {"name": "Anna"}).status_code == 403
    assert not Employee.objects.filter(name="Anna").exists()


def test_signing_out_and_the_language_are_always_open(desk: Client, boss: Membership) -> None:
    begin(desk, boss)
    assert desk.post(reverse("set_language"), {"language": "ru", "next": "/"}).status_code == 302
    assert desk.post("/logout/").status_code == 302
    assert desk.get("/calls/")["Location"].startswith("/login/")


def test_the_desk_stays_open_beside_it(desk: Client, boss: Membership, theirs: World) -> None:
    begin(desk, boss)
    assert "theirs company" in desk.get("/support/").content.decode()


def test_recordings_are_heard_only_where_the_reason_says_so(desk: Client, boss: Membership, mine: World) -> None:
    where = reverse("portal:recording", args=[mine.call.uuid, mine.recording.uuid])
    begin(desk, boss)
    refused = desk.get(where)
    assert refused.status_code == 403
    assert "not part of this visit" in refused.content.decode()
    begin(desk, boss, listens="on")
    assert desk.get(where)["Content-Type"] == "audio/mpeg"


# --- Its end ----------------------------------------------------------------------------------------------------------


def test_a_visit_ends_by_itself(desk: Client, boss: Membership) -> None:
    visit = begin(desk, boss)
    assert visit.until - visit.began_at <= timedelta(minutes=30, seconds=1)
    Visit.objects.update(until=timezone.now())
    response = desk.get("/calls/", follow=True)
    assert response.redirect_chain == [("/support/", 302)]
    assert "Your visit is over." in response.content.decode()
    assert desk.get("/calls/")["Location"].startswith("/login/")


def test_leaving(desk: Client, boss: Membership, mine: World) -> None:
    begin(desk, boss)
    assert desk.get(reverse("support:visit_leave")).status_code == 405
    response = desk.post(reverse("support:visit_leave"))
    assert response["Location"] == reverse("support:customer", args=[mine.company.uuid])
    assert Visit.objects.get().ended_at
    assert desk.get("/calls/")["Location"].startswith("/login/")


@pytest.mark.parametrize(
    "loss",
    [
        lambda boss, helper: boss.delete(),
        lambda boss, helper: User.objects.filter(pk=helper.pk).update(is_staff=False),
    ],
    ids=["member", "staff"],
)
def test_who_loses_his_right_is_out_at_once(
    desk: Client, boss: Membership, helper: User, loss: Callable[[Membership, User], Any]
) -> None:
    begin(desk, boss)
    loss(boss, helper)
    assert desk.get("/calls/").status_code == 302


def test_a_visit_belongs_to_one_person(desk: Client, boss: Membership) -> None:
    visit = begin(desk, boss)
    other = Client()
    other.force_login(make.UserFactory(is_staff=True))
    session = other.session
    session["visit"] = visit.pk
    session.save()
    assert other.get("/calls/").status_code == 302


# --- Who may, and why -------------------------------------------------------------------------------------------------


def test_a_reason_is_needed(desk: Client, boss: Membership) -> None:
    response = desk.post(reverse("support:visit", args=[boss.pk]), {"reason": " "})
    assert response.status_code == 200
    assert not Visit.objects.exists()


def test_only_staff_visits(owner: Client, theirs: World) -> None:
    assert owner.post(reverse("support:visit", args=[theirs.member.pk]), {"reason": REASON}).status_code == 302
    assert not Visit.objects.exists()


# --- Changing things --------------------------------------------------------------------------------------------------


def test_changing_needs_a_permission_a_visit_and_a_reason(desk: Client, helper: User, boss: Membership) -> None:
    begin(desk, boss)
    assert write(desk).status_code == 403
    allow_writing(helper)
    assert desk.post(reverse("support:visit_write"), {"reason": ""}).status_code == 200
    assert add_employee(desk).status_code == 403
    assert write(desk).status_code == 302
    assert add_employee(desk).status_code == 302
    desk.post(reverse("support:visit_leave"))
    assert write(desk)["Location"] == "/support/"


def test_every_change_is_written_down(desk: Client, helper: User, boss: Membership, mine: World) -> None:
    allow_writing(helper)
    begin(desk, boss)
    write(desk)
    assert "You can change things" in desk.get("/").content.decode()
    add_employee(desk)
    assert Employee.objects.get(name="Anna").company == mine.company
    (change,) = Visit.objects.get().changes.all()
    assert (change.path, change.status) == ("/employees/new/", 302)


def test_the_next_visit_only_looks_again(desk: Client, helper: User, boss: Membership) -> None:
    allow_writing(helper)
    begin(desk, boss)
    write(desk)
    begin(desk, boss)
    assert add_employee(desk).status_code == 403


# --- Who sees it ------------------------------------------------------------------------------------------------------


def test_the_customer_sees_who_looked_and_why(
    desk: Client, boss: Membership, mine: World, theirs: World, signed_in: Callable[..., Client]
) -> None:
    members = signed_in(mine.company, Role.OWNER, "en")
    assert "Visits of our support" not in members.get("/members/").content.decode()
    begin(desk, boss)
    text = members.get("/members/").content.decode()
    for shown in ("Visits of our support", "helper@example.com", "boss@example.com", REASON, "looked only"):
        assert shown in text
    assert REASON not in signed_in(theirs.company).get("/members/").content.decode()
    assert (
        "127.0.0.1"
        in desk.get(reverse("support:integrations_visit_change", args=[Visit.objects.get().pk])).content.decode()
    )


def test_the_banner_is_on_every_page(desk: Client, boss: Membership, mine: World) -> None:
    begin(desk, boss, listens="on")
    for page in portal.pages:
        response = desk.get(address(page, mine)) if not page.posts and page.name not in NO_PAGES else None
        if response and response.status_code == 200:
            assert "You look at “mine company”" in response.content.decode(), page.name
