"""Sign-ins that failed: the person and support see them, and nobody learns which addresses exist."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from clients.models import Comment
from employees.models import Change, Membership
from telephony import keeping
from telephony.models import PlannedCall
from tests import factories as make
from tests.portal.conftest import World

LOGIN = "/login/"


def tries(email: str, password: str = "wrong") -> str:
    """The page that a browser without a session is answered."""
    response = Client(REMOTE_ADDR="203.0.113.9").post(LOGIN, {"email": email, "password": password})
    assert response.status_code == 200
    return response.content.decode()


@pytest.fixture(autouse=True)
def _no_limits() -> None:
    cache.clear()


def test_a_wrong_password_is_written_down_for_the_person_and_support(mine: World, owner: Client) -> None:
    user = Membership.objects.get(company=mine.company, role="owner").user
    tries(user.email)
    (row,) = Change.objects.filter(action=Change.Action.REFUSED)
    assert (row.company, row.actor, row.subject, row.address) == (mine.company, None, user.email, "203.0.113.9")
    assert "203.0.113.9" in owner.get(reverse("usersessions_list")).content.decode()
    assert user.email in owner.get(reverse("portal:changes")).content.decode()
    staff = Client()
    staff.force_login(make.UserFactory.create(is_staff=True, is_superuser=True))
    assert user.email in staff.get(reverse("support:employees_change_changelist")).content.decode()


def test_who_has_no_company_sees_it_too(db: None) -> None:
    user = make.UserFactory.create()
    tries(user.email.upper())
    browser = Client()
    browser.force_login(user)
    assert "203.0.113.9" in browser.get(reverse("usersessions_list")).content.decode()


def test_of_an_address_that_nobody_has_nothing_is_written_and_the_answer_is_the_same(mine: World) -> None:
    user = make.UserFactory.create()
    known, unknown = tries(user.email), tries("nobody@example.com")
    assert Change.objects.filter(action=Change.Action.REFUSED).count() == 1

    def without(page: str, email: str) -> list[str]:
        return [line.replace(email, "") for line in page.splitlines() if "csrf" not in line]

    assert without(known, user.email) == without(unknown, "nobody@example.com")


def test_who_signs_in_was_not_refused(db: None) -> None:
    user = make.UserFactory.create()
    Client().post(LOGIN, {"email": user.email, "password": make.PASSWORD})
    assert not Change.objects.filter(action=Change.Action.REFUSED).exists()


def test_one_attempt_is_one_for_who_has_several_companies(mine: World, theirs: World) -> None:
    user = make.UserFactory.create()
    for world in (mine, theirs):
        make.MembershipFactory.create(company=world.company, user=user)
    with time_machine.travel(timezone.now().replace(microsecond=0), tick=False):
        tries(user.email)
    assert Change.objects.filter(action=Change.Action.REFUSED).count() == 2
    browser = Client()
    browser.force_login(user)
    assert browser.get(reverse("usersessions_list")).content.decode().count("203.0.113.9") == 1


@pytest.mark.parametrize("kept", [None, 30])
def test_each_company_has_changes_comments_and_done_calls_deleted_when_it_wants(
    mine: World, theirs: World, kept: int | None
) -> None:
    long_ago = timezone.now() - timedelta(days=31)
    for world in (mine, theirs):
        for at in (long_ago, timezone.now()):
            make.ChangeFactory.create(company=world.company, at=at)
            make.PlannedCallFactory.create(company=world.company, done_at=at)
            comment = make.CommentFactory.create(company=world.company)
            Comment.objects.filter(pk=comment.pk).update(at=at)
        make.PlannedCallFactory.create(company=world.company, made_at=long_ago)
    for what in ("changes", "comments", "planned"):
        setattr(mine.company, f"{what}_kept_days", kept)
    mine.company.save()
    models = (Change, Comment, PlannedCall)
    before = {
        (model, world.name): model._default_manager.filter(company=world.company).count()
        for model in models
        for world in (mine, theirs)
    }
    keeping.delete_old()
    for model in models:
        for world in (mine, theirs):
            gone = before[model, world.name] - model._default_manager.filter(company=world.company).count()
            assert gone == (1 if kept and world is mine else 0), (model, world.name)
