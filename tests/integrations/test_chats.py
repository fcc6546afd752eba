"""Notices by Telegram: who links his chat is told there once, and nobody else; a shut chat is let go and said so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from employees.models import Role
from integrations import chats, credentials, notice_actors, notices, telegram
from integrations.models import Chat, ChatMessage, Notice, NoticeChoice
from outbound.errors import CredentialsRefused, OutboundError
from telephony.exchanges import limiter
from tests import factories as make
from tests.emulators.telegram import TOKEN, Person, Telegram
from tests.portal.conftest import build

NOON = "2024-05-15 12:00:00+00:00"


@pytest.fixture
def bot(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telegram]:
    monkeypatch.setattr(telegram, "POLL", 0)
    with Telegram().serving() as bot:
        settings.TELEGRAM_BOT_TOKEN, settings.TELEGRAM_API_URL = TOKEN, bot.url
        yield bot
        assert bot.violations == []


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def world(clock: Any, db: None) -> SimpleNamespace:
    world = build("mine")
    world.company.language = "en"
    world.company.save()
    world.boss = make.MembershipFactory(company=world.company, role=Role.OWNER, user__email="boss@example.com")
    world.browser = browser_of(world.boss)
    return world


def browser_of(member: Any) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(member.user)
    return client


def link_shown(browser: Client) -> str:
    """Empty where the page shows none."""
    found = re.search(r'href="(https://t\.me/[^"]+)"', browser.get("/notices/").content.decode())
    return found[1] if found else ""


def press_start(bot: Telegram, person: Person, link: str) -> None:
    bot.writes(person, f"/start {parse_qs(urlsplit(link).query)['start'][0]}")
    chats.listen()


@pytest.fixture
def anna(world: SimpleNamespace, bot: Telegram) -> Person:
    """The boss's chat, linked."""
    person = bot.person(77, language="en")
    telegram.learn_name()
    world.browser.post("/notices/telegram/", {"do": "link"})
    press_start(bot, person, link_shown(world.browser))
    assert Chat.objects.get().chat == 77
    person.got.clear()
    return person


def pass_by(clock: Any, minutes: int) -> list[Any]:
    """The time passes, the schedule comes round; returns the e-mails of this time."""
    mail.outbox.clear()
    for _ in range(0, minutes, 5):
        clock.shift(timedelta(minutes=5))
        notices.look()
        for company_id in notices.to_tell():
            notices.tell(company_id)
        deliver()
    return mail.outbox


def deliver() -> None:
    for message_id in chats.due():
        chats.deliver(message_id)


def refuse(world: SimpleNamespace) -> None:
    credentials.refuse(world.credential, CredentialsRefused("invalid_grant"))


# --- Linking ----------------------------------------------------------------------------------------------------------


def test_without_a_bot_nothing_is_said_of_it(world: SimpleNamespace) -> None:
    assert "Telegram" not in world.browser.get("/notices/").content.decode()
    page = world.browser.post("/notices/telegram/", {"do": "link"}, follow=True).content.decode()
    assert "has no bot in Telegram" in page
    assert not Chat.objects.exists()


def test_a_chat_is_linked_by_a_link_and_says_so(world: SimpleNamespace, bot: Telegram) -> None:
    anna = bot.person(77, language="en")
    telegram.learn_name()
    world.browser.post("/notices/telegram/", {"do": "link"})
    link = link_shown(world.browser)
    assert link.startswith("https://t.me/callbridge_bot?start=")
    press_start(bot, anna, link)
    assert anna.got == ["Notices of Callbridge for boss@example.com come here from now on. Write /stop to end that."]
    text = world.browser.get("/notices/").content.decode()
    assert "Anna Smirnova" in text
    assert "The last message came there 15.05.2024" in text
    assert "t.me" not in text


def test_a_link_works_once_and_not_for_long(world: SimpleNamespace, bot: Telegram, clock: Any) -> None:
    first, second = bot.person(77, language="en"), bot.person(78, language="en")
    telegram.learn_name()
    world.browser.post("/notices/telegram/", {"do": "link"})
    link = link_shown(world.browser)
    press_start(bot, first, link)
    press_start(bot, second, link)
    assert "press “Connect Telegram” there" in second.got[0]
    assert Chat.objects.get().chat == 77
    world.browser.post("/notices/telegram/", {"do": "unlink"})
    world.browser.post("/notices/telegram/", {"do": "link"})
    link = link_shown(world.browser)
    clock.shift(timedelta(minutes=16))
    press_start(bot, second, link)
    assert Chat.objects.get().chat is None
    assert link_shown(world.browser) == ""


@pytest.mark.parametrize("code", ["", "1", "1-", "x-y", "999999999999999999999-1", "-", "1-0123456789abcdef"])
def test_a_code_that_is_none_links_nobody(world: SimpleNamespace, bot: Telegram, code: str) -> None:
    chats.invite(world.boss.user)
    anna = bot.person(77)
    bot.writes(anna, f"/start {code}")
    chats.listen()
    assert Chat.objects.get().chat is None
    assert "откройте" in anna.got[0] or "open" in anna.got[0]


def test_a_group_is_never_linked(world: SimpleNamespace, bot: Telegram) -> None:
    """Others would read there what is meant for one."""
    chats.invite(world.boss.user)
    bot.writes(bot.person(-5), f"/start {chats.code_of(Chat.objects.get())}", kind="group")
    chats.listen()
    assert Chat.objects.get().chat is None


def test_what_was_heard_is_heard_once(world: SimpleNamespace, bot: Telegram) -> None:
    anna = bot.person(77)
    bot.writes(anna, "hello")
    chats.listen()
    chats.listen()
    assert len(anna.got) == 1


def test_what_breaks_is_heard_again(world: SimpleNamespace, bot: Telegram, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = bot.person(77)
    bot.writes(anna, "hello")
    with monkeypatch.context() as patch:

        def fail(_heard: Any) -> str:
            raise RuntimeError("the database went away")

        patch.setattr(chats, "_answer", fail)
        with pytest.raises(RuntimeError):
            chats.listen()
    chats.listen()
    assert len(anna.got) == 1


def test_the_page_waits_for_telegram(world: SimpleNamespace, bot: Telegram) -> None:
    world.browser.post("/notices/telegram/", {"do": "link"})
    assert "out of our reach" in world.browser.get("/notices/").content.decode()
    chats.listen()
    part = world.browser.get("/notices/", headers={"X-Part": "1"}).content.decode()
    assert "https://t.me/callbridge_bot?start=" in part
    assert "<html" not in part


def test_support_on_a_visit_links_no_chat(world: SimpleNamespace, bot: Telegram) -> None:
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(make.UserFactory(is_staff=True, is_superuser=True))
    browser.post(f"/support/visits/{world.boss.pk}/", {"reason": "request 4711"})
    browser.post("/support/visits/write/", {"reason": "request 4711"})
    assert "Connect Telegram" not in browser.get("/notices/").content.decode()
    assert browser.post("/notices/telegram/", {"do": "link"}).status_code == 403
    assert not Chat.objects.exists()


# --- Being told -------------------------------------------------------------------------------------------------------


def test_a_trouble_is_told_once_and_its_end_once(world: SimpleNamespace, clock: Any, anna: Person) -> None:
    refuse(world)
    (letter,) = pass_by(clock, 10)
    (text,) = anna.got
    assert text == letter.body.strip()
    assert f"http://127.0.0.1:8000/credentials/{world.credential.uuid}/" in text
    pass_by(clock, 60)
    assert len(anna.got) == 1
    credentials.store(world.credential, {})
    pass_by(clock, 60)
    assert "It works again" in anna.got[1]
    assert len(anna.got) == 2


def test_it_is_told_as_each_wants_it(world: SimpleNamespace, clock: Any, anna: Person) -> None:
    NoticeChoice.objects.create(membership=world.boss, by_email=False)
    refuse(world)
    assert pass_by(clock, 10) == []
    assert len(anna.got) == 1
    assert Notice.objects.get().told_at
    world.browser.post("/notices/", {})
    choice = NoticeChoice.objects.get()
    assert not choice.by_telegram
    credentials.store(world.credential, {})
    pass_by(clock, 60)
    assert len(anna.got) == 1


def test_who_is_no_manager_any_more_is_not_told(world: SimpleNamespace, clock: Any, anna: Person) -> None:
    """Not even of what was queued before: notices name clients whom his role may not see."""
    (row,) = chats.queue([world.boss], "a secret of the managers")
    world.boss.role = Role.OPERATOR
    world.boss.save()
    deliver()
    refuse(world)
    pass_by(clock, 10)
    assert anna.got == []
    assert not ChatMessage.objects.exists()
    chats.queue([world.boss], "another")
    world.boss.delete()
    assert not ChatMessage.objects.filter(pk=row.pk).exists()


def test_another_company_is_told_nothing(world: SimpleNamespace, clock: Any, bot: Telegram, anna: Person) -> None:
    theirs = build("theirs")
    make.MembershipFactory(company=theirs.company, role=Role.OWNER)
    refuse(theirs)
    pass_by(clock, 10)
    assert anna.got == []


def test_telegram_alone_is_enough_when_no_mail_goes(
    world: SimpleNamespace, clock: Any, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrations.notices._sent", lambda _letter: False)
    refuse(world)
    pass_by(clock, 60)
    assert len(anna.got) == 1


def test_a_test_message_shows_that_it_works(world: SimpleNamespace, clock: Any, anna: Person) -> None:
    world.browser.post("/notices/telegram/", {"do": "test"})
    clock.shift(timedelta(minutes=1))
    deliver()
    assert anna.got == ["This is a test: notices of Callbridge come here."]
    assert Chat.objects.get().worked_at == timezone.now()


# --- When it does not work --------------------------------------------------------------------------------------------


def test_a_blocked_bot_is_let_go_and_told_by_letter(
    world: SimpleNamespace, clock: Any, bot: Telegram, anna: Person
) -> None:
    bot.blocks(anna, silently=True)
    refuse(world)
    letters = pass_by(clock, 10)
    assert [letter.subject.split(": ")[1] for letter in letters][1] == "Telegram takes no more notices for you"
    assert "mine credential" in letters[1].body
    assert Chat.objects.get().chat is None
    asked = bot.hits["POST /bot{token}/sendMessage"]
    assert pass_by(clock, 120) == []
    assert bot.hits["POST /bot{token}/sendMessage"] == asked
    text = world.browser.get("/notices/").content.decode()
    assert "Telegram has taken nothing for you since 15.05.2024" in text
    assert "Connect Telegram" in text


@pytest.mark.parametrize("how", ["blocks", "writes /stop", "the page"])
def test_somebody_ends_it_himself(world: SimpleNamespace, bot: Telegram, anna: Person, how: str) -> None:
    chats.queue([world.boss], "something")
    if how == "blocks":
        bot.blocks(anna)
    elif how == "the page":
        world.browser.post("/notices/telegram/", {"do": "unlink"})
    else:
        bot.writes(anna, "/stop")
    chats.listen()
    assert Chat.objects.get().chat is None
    assert bool(Chat.objects.get().lost_at) == (how == "blocks")
    assert not ChatMessage.objects.exists()
    assert anna.got == (["You get no more notices here."] if how == "writes /stop" else [])
    assert mail.outbox == []


def test_a_flood_is_waited_out(world: SimpleNamespace, clock: Any, bot: Telegram, anna: Person) -> None:
    bot.flood = 40
    chats.queue([world.boss], "one")
    deliver()
    assert anna.got == []
    assert limiter.blocked((telegram.KEY,))[telegram.KEY] == 40
    clock.shift(timedelta(seconds=39))
    assert chats.due() == []
    clock.shift(timedelta(seconds=2))
    deliver()
    assert anna.got == ["one"]


@pytest.mark.parametrize("kind", ["down", "html", "reset", "lost", "truncated"])
def test_what_breaks_is_tried_again(world: SimpleNamespace, clock: Any, bot: Telegram, anna: Person, kind: str) -> None:
    chats.queue([world.boss], "one")
    with bot.faulty(kind):
        deliver()
    assert Chat.objects.get().error
    assert "did not come there" in world.browser.get("/notices/").content.decode()
    clock.shift(timedelta(minutes=1))
    deliver()
    assert anna.got[-1] == "one"
    assert not ChatMessage.objects.exists()
    assert Chat.objects.get().error == ""


def test_a_refused_token_keeps_messages_for_a_day(
    world: SimpleNamespace, clock: Any, bot: Telegram, anna: Person, settings: Any
) -> None:
    settings.TELEGRAM_BOT_TOKEN = "4711:another"
    chats.queue([world.boss], "one")
    for _ in range(24):
        deliver()
        clock.shift(timedelta(hours=1))
    assert ChatMessage.objects.get().tries == 24
    clock.shift(timedelta(hours=1))
    deliver()
    assert not ChatMessage.objects.exists()
    assert "another" not in Chat.objects.get().error
    bot.violations.clear()


def test_two_workers_send_it_once(
    world: SimpleNamespace, bot: Telegram, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = chats.queue([world.boss], "one")
    send: Callable[[int, str], None] = telegram.send

    def meanwhile(chat: int, text: str) -> None:
        monkeypatch.setattr(telegram, "send", send)
        chats.deliver(row.pk)
        send(chat, text)

    monkeypatch.setattr(telegram, "send", meanwhile)
    chats.deliver(row.pk)
    assert anna.got == ["one"]


def test_the_token_is_in_no_error(world: SimpleNamespace, bot: Telegram, settings: Any) -> None:
    settings.TELEGRAM_API_URL = "http://127.0.0.1:1"
    with pytest.raises(OutboundError) as caught:
        telegram.send(77, "one")
    assert TOKEN not in str(caught.value)


def test_a_long_notice_fits(world: SimpleNamespace, anna: Person) -> None:
    chats.queue([world.boss], "word " * 2000)
    deliver()
    assert len(anna.got[0]) == telegram.LONGEST


def test_the_schedule_does_it(
    world: SimpleNamespace, clock: Any, bot: Telegram, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    for actor in (notice_actors.send_chat_message, notice_actors.listen_to_chats):
        monkeypatch.setattr(actor, "send", actor.fn)
    chats.queue([world.boss], "one")
    notice_actors.sweep_chat_messages()
    bot.writes(anna, "hello")
    cache.delete(telegram.NAME)
    clock.shift(timedelta(minutes=1))
    notice_actors.ask_what_people_write()
    assert [anna.got[0], telegram.known_name()] == ["one", "callbridge_bot"]
    assert len(anna.got) == 2
    with bot.faulty("down"):
        notice_actors.ask_what_people_write()  # said in the log, asked again in ten seconds
