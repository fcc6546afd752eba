"""Telegram's Bot API, as far as notices need it (https://core.telegram.org/bots/api; limits: …/bots/faq).

Nothing here knows whose chat it is. Every call raises `OutboundError`: `CredentialsRefused` (the bot's token),
`RateLimited` (with Telegram's `retry_after`), `ChatGone`, `Rejected` for the rest of what it does not take, `Temporary`
for everything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary
from outbound.http import Answer, Http
from outbound.limits import Limit
from telephony.exchanges import limiter

LONGEST = 4096
"""Characters of a message."""
KEY = "telegram"
ALL = Limit(KEY, rate=20, burst=5)
"""Telegram takes about thirty messages a second from one bot, and one a second for one chat, in short more."""
POLL, PATIENCE = 8, 5.0
"""Seconds that Telegram waits for something to tell us, and that we wait for its answers."""
NAME = "telegram-bot"
NAMED_SECONDS = 3600


class ChatGone(Rejected):
    """The chat takes nothing any more: its owner blocked the bot, closed his account, or never pressed Start."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What somebody did in his own chat with the bot: wrote `text`, or shut it (`blocked`)."""

    chat: int
    name: str
    language: str
    text: str = ""
    blocked: bool = False


def on() -> bool:
    """Whether the installation has a bot."""
    return bool(settings.TELEGRAM_BOT_TOKEN)


def send(chat: int, text: str) -> None:
    """A plain message: nothing in it is markup, no page is shown in small."""
    limits = (ALL, Limit(f"{KEY}:{chat}", rate=1, burst=3))
    _call("sendMessage", limits, chat_id=chat, text=text[:LONGEST], link_preview_options={"is_disabled": True})


def known_name() -> str:
    """The bot's name in links, as it was last heard; empty where Telegram did not tell it of late."""
    return cache.get(NAME) or ""


def learn_name() -> None:
    if not known_name():
        cache.set(NAME, _call("getMe")["username"], NAMED_SECONDS)


def hear() -> Iterator[Heard]:
    """What people did since it was asked last; the first question waits for something. Asking on says that what came
    before is done with, so what breaks in between is heard again."""
    offset, wait = 0, POLL
    wanted = ["message", "my_chat_member"]
    while updates := _call("getUpdates", seconds=wait, offset=offset, timeout=wait, allowed_updates=wanted):
        for update in updates:
            if heard := _heard(update):
                yield heard
        offset, wait = updates[-1]["update_id"] + 1, 0


def _heard(update: dict[str, Any]) -> Heard | None:
    """Nothing where it is of no chat of one person: in a group others would read what we tell."""
    told = update.get("message") or update.get("my_chat_member") or {}
    chat, person = told.get("chat", {}), told.get("from", {})
    if chat.get("type") != "private":
        return None
    name = " ".join(filter(None, (person.get("first_name"), person.get("last_name")))) or person.get("username", "")
    blocked = told.get("new_chat_member", {}).get("status") == "kicked"
    return Heard(chat["id"], name, person.get("language_code", ""), told.get("text", ""), blocked)


# --- One request ------------------------------------------------------------------------------------------------------


def _call(method: str, limits: tuple[Limit, ...] = (), *, seconds: float = 0, **parameters: Any) -> Any:
    token = settings.TELEGRAM_BOT_TOKEN
    # The address is the operator's own word: a Bot API server of his may stand in a private network.
    http = Http(secrets=(token,), limiter=limiter, allow_private=True, deadline=PATIENCE + seconds)
    answer = http.request("POST", f"{settings.TELEGRAM_API_URL}/bot{token}/{method}", limits=limits, json=parameters)
    said = _read(answer)
    if said.get("ok"):
        return said.get("result")
    raise _error(answer.status, said)


def _read(answer: Answer) -> dict[str, Any]:
    try:
        said = json.loads(answer.body)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {}


def _error(status: int, said: dict[str, Any]) -> OutboundError:
    code, words = str(said.get("error_code") or status), str(said.get("description") or f"HTTP {status}")
    if code == "429":
        wait = float(said.get("parameters", {}).get("retry_after", 1))
        limiter.block(KEY, wait)
        return RateLimited(words, code=code, retry_after=wait)
    if code in {"401", "404"}:
        return CredentialsRefused(words, code=code)
    if code == "403" or "chat not found" in words:
        return ChatGone(words, code=code)
    return Rejected(words, code=code) if code == "400" else Temporary(words, code=code)
