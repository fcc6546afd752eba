"""People's chats with our bot: linked by a link that works once, told what is queued, let go when they are shut.

What is to be told is written down first and sent by workers, so a notice that Telegram does not take at this moment is
tried again, for a day. Of a message whose answer was lost nobody knows whether it came: it is sent once more.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db.models import F
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _

from employees.models import Membership, User
from employees.rights import Right, may
from outbound.errors import PASSING, CredentialsRefused, OutboundError, Rejected
from telephony.hot import hot_write

from . import telegram
from .models import Chat, ChatMessage
from .telegram import ChatGone, Heard

log = structlog.get_logger(__name__)

CODE_LASTS = timedelta(minutes=15)
LEASE = timedelta(minutes=1)
"""Longer than one message may take: a worker that died leaves it to another after that."""
GIVEN_UP = timedelta(days=1)
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 600.0
"""Seconds until a message is tried again."""
DIGITS = 32


# --- Linking ----------------------------------------------------------------------------------------------------------


def invite(user: User) -> None:
    """From now on, for a quarter of an hour, whoever opens the person's link in Telegram links his chat with him."""
    Chat.objects.update_or_create(user=user, defaults={"code_until": timezone.now() + CODE_LASTS})


def code_of(chat: Chat) -> str:
    """What the link carries while it works; Telegram takes up to 64 letters, digits, `-` and `_`. It is in no table."""
    return f"{chat.pk}-{_proof(chat)}" if chat.code_until and chat.code_until > timezone.now() else ""


def _proof(chat: Chat) -> str:
    at = chat.code_until.timestamp() if chat.code_until else 0
    return salted_hmac("telegram-chat", f"{chat.pk}:{at}", algorithm="sha256").hexdigest()[:DIGITS]


def link_of(chat: Chat) -> str:
    """The address that opens the bot with the code; empty where there is no code, or Telegram is out of reach."""
    name, code = telegram.known_name(), code_of(chat)
    return f"https://t.me/{name}?start={code}" if name and code else ""


def unlink(user: User) -> None:
    _forget(Chat.objects.filter(user=user).first())


def _forget(chat: Chat | None, lost: bool = False) -> bool:
    """True for whoever took the chat away."""
    if chat is None:
        return False
    empty = {"chat": None, "code_until": None, "error": "", "lost_at": timezone.now() if lost else None}
    with hot_write():
        ChatMessage.objects.filter(membership__user=chat.user_id).delete()
        return bool(Chat.objects.filter(pk=chat.pk).exclude(chat=None, code_until=None).update(**empty))


# --- What people say to the bot ---------------------------------------------------------------------------------------


def listen() -> None:
    telegram.learn_name()
    for heard in telegram.hear():
        with translation.override("ru" if heard.language.startswith("ru") else "en"):
            if answer := _answer(heard):
                _reply(heard.chat, answer)


def _answer(heard: Heard) -> str:
    """What is said back; nothing to who shut the chat."""
    command, _blank, code = heard.text.partition(" ")
    if heard.blocked or command == "/stop":
        known = [chat for chat in Chat.objects.filter(chat=heard.chat) if _forget(chat, lost=heard.blocked)]
        return "" if heard.blocked or not known else _("You get no more notices here.")
    if chat := _link(heard, code.strip()) if command == "/start" else None:
        words = _("Notices of Callbridge for %(email)s come here from now on. Write /stop to end that.")
        return words % {"email": chat.user.email}
    if not heard.text:
        return ""
    words = _("To get notices here, open %(page)s, press “Connect Telegram” there and follow the link.")
    return words % {"page": settings.PUBLIC_URL + reverse("portal:notices")}


def _link(heard: Heard, code: str) -> Chat | None:
    """The chat that the code is of, now linked; a code works once."""
    key, _dash, proof = code.partition("-")
    rows = Chat.objects.filter(pk=key if key.isdecimal() and len(key) < 19 else 0, code_until__gt=timezone.now())
    chat = rows.select_related("user").first()
    if chat is None or not constant_time_compare(proof, _proof(chat)):
        return None
    now = timezone.now()
    linked = {"chat": heard.chat, "name": heard.name[:200], "linked_at": now, "worked_at": None, "lost_at": None}
    mine = rows.filter(code_until=chat.code_until).update(**linked, code_until=None, error="")
    return chat if mine else None


def _reply(chat: int, text: str) -> None:
    """That one is heard also shows that the chat works. An answer that cannot be given is not worth another try."""
    try:
        telegram.send(chat, text)
    except OutboundError as error:
        log.warning("the bot could not answer", error=error.words)
        return
    Chat.objects.filter(chat=chat).update(worked_at=timezone.now(), error="")


# --- What people are told ---------------------------------------------------------------------------------------------


def queue(members: Iterable[Membership], text: str) -> list[ChatMessage]:
    """One message to each, to be sent by a worker."""
    return ChatMessage.objects.bulk_create(ChatMessage(membership=member, text=text) for member in members)


def due() -> list[int]:
    return list(
        ChatMessage.objects.filter(due_at__lte=timezone.now()).order_by("pk").values_list("pk", flat=True)[:500]
    )


def deliver(message_id: int) -> None:
    """Send what is due, if nobody else does; who may not read it any more is not told."""
    now = timezone.now()
    mine = ChatMessage.objects.filter(pk=message_id, due_at__lte=now)
    if not mine.update(due_at=now + LEASE, tries=F("tries") + 1):
        return
    row = ChatMessage.objects.select_related("membership__user", "membership__company").get(pk=message_id)
    chat = Chat.objects.filter(user=row.membership.user_id).exclude(chat=None).first()
    if chat is None or not may(row.membership, Right.MANAGE):
        row.delete()
        return
    _send(chat, row)


def _send(chat: Chat, row: ChatMessage) -> None:
    try:
        telegram.send(chat.chat or 0, row.text)
    except ChatGone as error:
        _lose(chat, row, error)
    except Rejected as error:
        log.error("Telegram does not take a message", error=error.words)
        _note_error(chat, error)
        row.delete()
    except (*PASSING, CredentialsRefused) as error:
        _try_later(chat, row, error)
    else:
        row.delete()
        Chat.objects.filter(pk=chat.pk).update(worked_at=timezone.now(), error="")


def _try_later(chat: Chat, row: ChatMessage, error: OutboundError) -> None:
    _note_error(chat, error)
    now = timezone.now()
    if now - row.made_at > GIVEN_UP:
        log.warning("a notice could not be sent by Telegram for a day", error=error.words)
        row.delete()
        return
    pause = error.retry_after or min(FIRST_PAUSE * 2 ** min(row.tries, 10), LONGEST_PAUSE)
    ChatMessage.objects.filter(pk=row.pk).update(due_at=now + timedelta(seconds=pause))


def _note_error(chat: Chat, error: OutboundError) -> None:
    Chat.objects.filter(pk=chat.pk).update(error=error.words[:300])


def _lose(chat: Chat, row: ChatMessage, error: OutboundError) -> None:
    """The chat is shut: what it was to be told, and that nothing more comes there, is said by e-mail once."""
    if not _forget(chat, lost=True):
        return
    log.info("a chat is shut", chat=chat.pk, error=error.words)
    company, user = row.membership.company, row.membership.user
    with translation.override(company.language):
        context = {"company": company, "text": row.text, "site": settings.PUBLIC_URL}
        subject = _("Callbridge: Telegram takes no more notices for you")
        letter = render_to_string("mail/chat_lost.txt", context)
    try:
        send_mail(subject, letter, None, [user.email])
    except OSError as failure:  # the page says it too
        log.warning("a letter could not be sent", error=f"{type(failure).__name__}: {failure}")
