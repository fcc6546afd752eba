"""Managers are told of a trouble once, and once more when it works again; nobody is flooded, nothing is silent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.test import Client
from django.utils import timezone

from employees.models import Role
from integrations import credentials, notice_actors, notices, sync
from integrations.models import CallSync, Credential, Notice
from outbound.errors import CredentialsRefused
from telephony.models import CoverageDay, Listening, Recording
from tests import factories as make
from tests.portal.conftest import build

STEP = 5
NOON = "2024-05-15 12:00:00+00:00"


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def world(clock: Any, db: None) -> SimpleNamespace:
    world = build("mine")
    world.company.language = "en"
    world.company.save()
    make.MembershipFactory(company=world.company, role=Role.OWNER, user__email="boss@example.com")
    return world


def pass_by(clock: Any, minutes: int) -> list[Any]:
    """The time passes, the schedule comes round; returns the e-mails of this time."""
    mail.outbox.clear()
    for _ in range(0, minutes, STEP):
        clock.shift(timedelta(minutes=STEP))
        notices.look()
        for company_id in notices.to_tell():
            notices.tell(company_id)
    return mail.outbox


def refuse(world: SimpleNamespace) -> None:
    credentials.refuse(world.credential, CredentialsRefused("invalid_grant"))


# --- Once, and once more ----------------------------------------------------------------------------------------------


def test_a_trouble_is_told_once_and_its_end_once(world: SimpleNamespace, clock: Any) -> None:
    refuse(world)
    (letter,) = pass_by(clock, 10)
    assert letter.to == ["boss@example.com"]
    assert "mine credential" in letter.subject
    html = letter.alternatives[0][0]
    for body in (letter.body, html):
        assert f"http://127.0.0.1:8000/credentials/{world.credential.uuid}/" in body
        assert "mine credential" in body
    assert pass_by(clock, 60) == []
    credentials.store(world.credential, {})
    (letter,) = pass_by(clock, 60)
    assert letter.subject.startswith("Callbridge: It works again")
    assert pass_by(clock, 60) == []
    (row,) = Notice.objects.all()
    assert row.mended
    refuse(world)
    assert len(pass_by(clock, 60)) == 1


def test_what_is_over_in_a_moment_is_not_told(world: SimpleNamespace, clock: Any) -> None:
    refuse(world)
    notices.look()
    credentials.store(world.credential, {})
    assert pass_by(clock, 60) == []
    assert Notice.objects.get().closed_at


def test_keys_that_were_only_entered_are_no_success(world: SimpleNamespace, clock: Any) -> None:
    refuse(world)
    pass_by(clock, 10)
    Credential.objects.filter(pk=world.credential.pk).update(state=Credential.State.NEW)
    assert pass_by(clock, 60) == []
    assert Notice.objects.get().closed_at is None


def test_an_account_that_was_never_connected_is_no_news(world: SimpleNamespace, clock: Any) -> None:
    make.CredentialFactory(company=world.company, state=Credential.State.NEW)
    assert pass_by(clock, 60) == []


def test_much_at_once_is_one_letter_and_then_it_is_quiet(world: SimpleNamespace, clock: Any) -> None:
    refuse(world)
    make.RecordingFactory(call=world.call, state=Recording.State.READY, waits_for_storage=True, error="full")
    (letter,) = pass_by(clock, 10)
    assert letter.subject == "Callbridge: 2 things need you"
    assert letter.body.count("Mend it:") == 2
    make.CredentialFactory(company=world.company, name="Another", state=Credential.State.REFUSED)
    assert pass_by(clock, 15) == []
    assert "Another" in pass_by(clock, 20)[0].subject


# --- Each kind --------------------------------------------------------------------------------------------------------


def parked(world: SimpleNamespace, cause: str, count: int = 1) -> list[CallSync]:
    return [
        make.CallSyncFactory.create(
            call=make.CallFactory(connection=world.connection),
            integration=world.integration,
            noted=0,
            parked=True,
            error_kind="rejected",
            error=cause,
            cause=cause,
            failed_at=timezone.now(),
        )
        for _ in range(count)
    ]


def test_each_cause_of_unwritten_calls_is_told_by_itself(world: SimpleNamespace, clock: Any) -> None:
    rows = parked(world, "E1 no such user", 3)
    (letter,) = pass_by(clock, 10)
    assert "3 calls could not be written into “mine credential”" in letter.body
    assert "no such user" in letter.body
    parked(world, "E1 no such user")
    assert pass_by(clock, 60) == []
    parked(world, "E2 no such stage")
    (letter,) = pass_by(clock, 60)
    assert "E2" in letter.body
    assert "E1" not in letter.body
    assert len(rows) == 3


def test_pressing_the_button_is_not_yet_success(world: SimpleNamespace, clock: Any) -> None:
    (row,) = parked(world, "E1 no such user")
    pass_by(clock, 10)
    sync.retry(CallSync.objects.filter(pk=row.pk))
    assert pass_by(clock, 60) == []
    assert Notice.objects.get().closed_at is None
    CallSync.objects.filter(pk=row.pk).update(noted=1)
    assert "It works again" in pass_by(clock, 60)[0].subject


def test_a_line_that_is_down(world: SimpleNamespace, clock: Any) -> None:
    line = Listening.objects.create(connection=world.connection, down_since=timezone.now(), error="no route to host")
    (letter,) = pass_by(clock, 20)
    assert "no route to host" in letter.body
    line.up_since, line.down_since = timezone.now(), None
    line.save()
    assert "It works again" in pass_by(clock, 60)[0].subject


def test_a_pbx_that_fell_silent(world: SimpleNamespace, clock: Any) -> None:
    for back in range(4):
        make.CallFactory(connection=world.connection, started_at=timezone.now() - timedelta(days=back))
    make.InboxEventFactory(connection=world.connection)
    clock.shift(timedelta(hours=25))
    (letter,) = pass_by(clock, 10)
    assert "has told us nothing since 15.05.2024 15:00" in letter.body  # the company's time
    make.InboxEventFactory(connection=world.connection)
    assert "It works again" in pass_by(clock, 60)[0].subject


def test_what_is_switched_off_does_not_work_again(world: SimpleNamespace, clock: Any) -> None:
    Listening.objects.create(connection=world.connection, down_since=timezone.now(), error="no route to host")
    pass_by(clock, 20)
    world.connection.active = False
    world.connection.save()
    assert pass_by(clock, 60) == []
    row = Notice.objects.get()
    assert row.closed_at
    assert not row.mended


def test_a_day_that_is_not_whole_until_its_calls_came(world: SimpleNamespace, clock: Any) -> None:
    now = timezone.now()
    missing = [{"call": "lost", "at": now.isoformat(), "phone": "", "extension": "", "why": "not_sent"}]
    day = (now - timedelta(days=1)).date()
    CoverageDay.objects.create(connection=world.connection, day=day, until=now, told=1, missing=missing)
    (letter,) = pass_by(clock, 10)
    assert "1 call of 14.05.2024 that “mine connection” has is not here." in letter.body
    make.CallFactory(connection=world.connection, key="lost")
    assert "It works again" in pass_by(clock, 60)[0].subject


# --- Who, in what language --------------------------------------------------------------------------------------------


def test_managers_who_want_it_are_told(world: SimpleNamespace, clock: Any) -> None:
    for role in (Role.ADMINISTRATOR, Role.OPERATOR, Role.READ_ONLY):
        make.MembershipFactory(company=world.company, role=role, user__email=f"{role}@example.com")
    make.MembershipFactory(company=world.company, user__is_active=False)
    deaf = make.MembershipFactory(company=world.company)
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(deaf.user)
    assert "checked" in browser.get("/notices/").content.decode().split('name="by_email"')[1][:60]
    browser.post("/notices/", {})
    refuse(world)
    assert [letter.to for letter in pass_by(clock, 10)] == [["boss@example.com"], ["administrator@example.com"]]
    browser.post("/notices/", {"by_email": "on"})
    assert deaf in notices.readers(world.company)


def test_each_company_in_its_language_and_of_its_own(world: SimpleNamespace, clock: Any) -> None:
    theirs = build("theirs")
    make.MembershipFactory(company=theirs.company, role=Role.OWNER, user__email="шеф@example.com")
    refuse(world)
    refuse(theirs)
    first, second = sorted(pass_by(clock, 10), key=lambda letter: letter.to)
    assert "the CRM refuses the keys" in first.body
    assert "theirs" not in first.body
    assert "mine" not in second.body
    assert "CRM не принимает" in second.body or "the CRM refuses" not in second.body


def test_a_letter_that_cannot_be_sent_is_sent_later(
    world: SimpleNamespace, clock: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    refuse(world)
    with monkeypatch.context() as patch:

        def fail(*_: Any) -> None:
            raise ConnectionRefusedError("no mail server")

        patch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", fail)
        assert pass_by(clock, 10) == []
    assert Notice.objects.get().told_at is None
    assert len(pass_by(clock, 10)) == 1


def test_two_workers_tell_it_once(world: SimpleNamespace, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(world)
    notices.look()
    clock.shift(timedelta(minutes=5))
    send = notices._send

    def meanwhile(*given: Any) -> bool:
        monkeypatch.setattr(notices, "_send", send)
        assert not notices.tell(world.company.pk)
        return send(*given)

    monkeypatch.setattr(notices, "_send", meanwhile)
    assert notices.tell(world.company.pk)
    assert len(mail.outbox) == 1


def test_the_actors_do_it(world: SimpleNamespace, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice_actors.tell_of_notices, "send", notice_actors.tell_of_notices.fn)
    refuse(world)
    notice_actors.look_for_notices()
    clock.shift(timedelta(minutes=5))
    notice_actors.look_for_notices()
    assert len(mail.outbox) == 1


def test_the_page_shows_what_goes_on_and_what_is_over(world: SimpleNamespace, clock: Any) -> None:
    refuse(world)
    pass_by(clock, 10)
    boss = Client(headers={"accept-language": "en"})
    boss.force_login(world.company.memberships.get(role=Role.OWNER).user)
    text = boss.get("/notices/").content.decode()
    assert "mine credential" in text
    assert "Since 15.05.2024" in text
    credentials.store(world.credential, {})
    pass_by(clock, 40)
    assert "works again" in boss.get("/notices/").content.decode()
