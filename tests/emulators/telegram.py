"""Telegram's Bot API as one bot sees it (https://core.telegram.org/bots/api): its methods over HTTP, people with chats,
and what Telegram refuses."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from .served import Asked, Refusal, Served, api

TOKEN = "4711:an-emulated-bot-of-nobody"
LONGEST = 4096


@dataclass
class Person:
    """Somebody with Telegram. `got`: what the bot wrote to him."""

    chat: int
    name: str = "Anna Smirnova"
    language: str = "ru"
    started: bool = False
    blocked: bool = False
    got: list[str] = field(default_factory=list)


class Telegram(Served):
    """The bot `callbridge_bot`."""

    def __init__(self) -> None:
        super().__init__()
        self.people: dict[int, Person] = {}
        self.updates: list[dict[str, Any]] = []
        self.flood: int | None = None
        """Seconds that the next message is told to wait."""
        self._last = 100
        self._news = threading.Condition()

    # --- What people do

    def person(self, chat: int, **facts: Any) -> Person:
        self.people[chat] = Person(chat, **facts)
        return self.people[chat]

    def writes(self, person: Person, text: str, kind: str = "private") -> None:
        """`/start …` is what the button of a link sends."""
        person.started = True
        self._tell(person, kind, message={"message_id": 1, "date": 0, "text": text})

    def blocks(self, person: Person, silently: bool = False) -> None:
        """`silently`: the bot is not told of it and finds out when it writes."""
        person.blocked = True
        if not silently:
            self._tell(person, my_chat_member={"date": 0, "new_chat_member": {"status": "kicked"}})

    def _tell(self, person: Person, kind: str = "private", **update: Any) -> None:
        first, _blank, last = person.name.partition(" ")
        (told,) = update.values()
        told["from"] = {
            "id": person.chat,
            "is_bot": False,
            "first_name": first,
            "last_name": last,
            "language_code": person.language,
        }
        told["chat"] = {"id": person.chat, "type": kind}
        with self._news:
            self._last += 1
            self.updates.append({"update_id": self._last, **update})
            self._news.notify_all()

    # --- The API

    def trust(self, asked: Asked) -> None:
        if not asked.path.startswith(f"/bot{TOKEN}/"):
            raise _refusal(401, "Unauthorized")

    @api("POST", "/bot{token}/getMe")
    def get_me(self, asked: Asked) -> Any:
        return _fine({"id": 4711, "is_bot": True, "first_name": "Callbridge", "username": "callbridge_bot"})

    @api("POST", "/bot{token}/getUpdates")
    def get_updates(self, asked: Asked) -> Any:
        """What is above `offset`; what is below is forgotten."""
        said = asked.json
        with self._news:
            self.updates = [row for row in self.updates if row["update_id"] >= said.get("offset", 0)]
            if not self.updates:
                self._news.wait_for(lambda: self.updates, timeout=said.get("timeout", 0))
            wanted = said.get("allowed_updates") or []
            return _fine([row for row in self.updates if not wanted or set(row) & set(wanted)])

    @api("POST", "/bot{token}/sendMessage")
    def send_message(self, asked: Asked) -> Any:
        said = asked.json
        if self.flood is not None:
            wait, self.flood = self.flood, None
            raise _refusal(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
        if not said.get("text") or len(said["text"]) > LONGEST:
            raise _refusal(400, "Bad Request: message text is empty or too long")
        person = self.people.get(said["chat_id"])
        if person is None or not person.started:
            raise _refusal(400, "Bad Request: chat not found")
        if person.blocked:
            raise _refusal(403, "Forbidden: bot was blocked by the user")
        person.got.append(said["text"])
        return _fine({"message_id": len(person.got), "date": 0, "chat": {"id": person.chat, "type": "private"}})


def _fine(result: Any) -> dict[str, Any]:
    return {"ok": True, "result": result}


def _refusal(code: int, words: str, **parameters: Any) -> Refusal:
    told = {"ok": False, "error_code": code, "description": words}
    return Refusal(code, told | ({"parameters": parameters} if parameters else {}))
