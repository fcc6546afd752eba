"""The portal as any emulated CRM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Self

from tests.emulators.crm import ANOTHER, Crm, ToDo, Written

from .portal import CONTACT, Client, Finish, PortalConfig
from .portal import Call as Card
from .server import Bitrix24Emulator

ANSWERED = "200"
OTHERWISE: dict[str, dict[str, Any]] = {"html": {"kind": "html200"}, "lost": {"kind": "reset", "after": True}}
"""Faults that have another name here."""


class Emulator(Crm):
    users: Mapping[str, str] = {"101": "12", "102": "13", "103": "14"}
    default = "1"
    keys = frozenset({"access_token", "refresh_token", "client_secret"})
    copies = True
    clicks = True

    def __init__(self, name: str = "demo", latency: float = 0.0):
        super().__init__(name, latency)
        self.config = PortalConfig(
            access_token=f"{name}-access",
            refresh_token=f"{name}-refresh",
            application_token=f"{name}-application-token",
            member_id=f"{name}-member",
        )

    @contextmanager
    def serving(self) -> Iterator[Self]:
        with Bitrix24Emulator([self.config], latency_ms=self.latency * 1000) as self.emulator:
            self.url = self.emulator.url
            self.violations = self.emulator.hub.violations  # type: ignore[assignment]
            self.hits = self.emulator.portal.hits
            yield self

    @contextmanager
    def faulty(self, kind: str, *, path: str = "", **options: Any) -> Iterator[Any]:
        with self.emulator.faulty(
            **OTHERWISE.get(kind, {"kind": kind}), method=path or None, target="all", **options
        ) as fault:
            yield fault

    @property
    def secrets(self) -> dict[str, str]:
        config = self.config
        return {
            "domain": self.url,
            "client_id": config.client_id,
            "client_secret": config.client_secret,
            "oauth_url": self.url,
            "access_token": config.access_token,
            "refresh_token": config.refresh_token,
            "application_token": config.application_token,
            "member_id": config.member_id,
        }

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "telephony_mode": "ip",
            "forward_to_personal_manager": True,
            "create_entity_incoming": True,
            "default_responsible_incoming": self.default,
            "assign_incoming_to": "first",
            "create_entity_outgoing": True,
            "default_responsible_outgoing": self.default,
            "use_call_tracking": False,
            "utm_tags": ["utm_source", "utm_medium"],
            "post_call_message_to_chat": True,
        }

    def calls(self, phone: str) -> Sequence[Written]:
        """Those that stand in the statistics or on a screen: of what was registered and hidden nobody hears again."""
        return [self._written(card) for card in self._cards(phone) if card.finish or self._seers(card)]

    def _cards(self, phone: str) -> list[Card]:
        return [card for card in self.emulator.calls if f"+{card.phone.lstrip('+')}" == phone]

    def _seers(self, card: Card) -> set[str]:
        return {str(user) for user, cards in self.emulator.portal.screens.items() if card.call_id in cards}

    def _written(self, card: Card) -> Written:
        direction = "out" if card.type == 1 else "in"
        client = bool(card.crm_id or card.created_entities)
        if card.finish is None:
            return Written(direction, answered=False, client=client)
        responsible = self.emulator.portal.activities[card.finish.activity_id]["RESPONSIBLE_ID"]
        return Written(
            direction,
            answered=card.finish.status_code == ANSWERED,
            seconds=card.finish.duration,
            person=str(responsible),
            recording=card.record.sha256 if card.record else "",
            client=client,
            ended=True,
        )

    def screens(self, phone: str) -> set[str]:
        return {
            str(user) for card in self._cards(phone) for _, what, detail in card.history for user in _seen(what, detail)
        }

    def open_cards(self, phone: str) -> set[str]:
        return {user for card in self._cards(phone) for user in self._seers(card)}

    def write_for_another(self, phone: str, direction: str, seconds: int, began: datetime) -> None:
        portal, at = self.emulator.portal, began.timestamp()
        number = portal.next_id("stat")
        kind = 1 if direction == "out" else 2
        card = Card(f"externalCall.{number}", f"other-{number}", 1, phone.lstrip("+"), kind, "", "", at, app=ANOTHER)
        card.started = began.isoformat(timespec="seconds")
        card.finish = Finish(number, portal.next_id("activity"), 1, seconds, ANSWERED, "", at + seconds, False)
        portal.calls[card.call_id] = card
        portal.rows.append(card)
        portal.activities[card.finish.activity_id] = {"ID": card.finish.activity_id, "RESPONSIBLE_ID": 1}

    def know(self, phone: str, name: str, manager: str) -> None:
        portal = self.emulator.portal
        portal.add_client(Client(CONTACT, portal.next_id(CONTACT), name, (phone,), int(manager)))

    def contact(self, phone: str) -> Mapping[str, str]:
        row = self._entity(phone)
        emails = [str(each["VALUE"]) for each in row.get("EMAIL") or []]
        told = {"name": "NAME", "last_name": "LAST_NAME", "position": "POST", "note": "COMMENTS"}
        values = {name: str(row.get(theirs) or "") for name, theirs in told.items()}
        return {**values, "email": next(iter(emails), ""), "responsible": str(row["ASSIGNED_BY_ID"])}

    def tasks_of(self, phone: str) -> Sequence[ToDo]:
        number = str(self._entity(phone)["ID"])
        own = [each for each in self.emulator.portal.todos if str(each["ownerId"]) == number]
        return [
            ToDo(each["description"], datetime.fromisoformat(each["deadline"]), str(each.get("responsibleId", "")))
            for each in own
        ]

    def _entity(self, phone: str) -> Mapping[str, Any]:
        rows = self.emulator.portal.entities[CONTACT].values()
        (found,) = (row for row in rows if any(each["VALUE"] == phone for each in row.get("PHONE") or ()))
        return found

    def install(self, handler_url: str) -> None:
        self.emulator.fire_app_install(handler_url)

    def click(self, extension: str, phone: str) -> None:
        self.emulator.fire_call_start(int(self.users[extension]), phone)

    def expire(self) -> None:
        self.emulator.expire_tokens()


def _seen(what: str, detail: Any) -> list[int]:
    """Who gets to see a card by this step."""
    if what == "register" and detail.get("show"):
        return [detail["user"]]
    return list(detail["done"]) if what == "show" else []
