"""Binotel as a provider: what the protocol's parts do together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from outbound.http import Http
from telephony.providers.base import (
    Advice,
    Audio,
    Brand,
    Capability,
    Check,
    HistoryLeg,
    NotUnderstood,
    Parsed,
    PbxNumber,
    PbxUser,
    Provider,
    Question,
    Refused,
    Reply,
    Request,
    Secrets,
)

from . import bodies, checks, commands, directory, events, history, recordings, sender
from .api import Api
from .forms import BinotelForm

_TAKEN = b'{"status":"success"}'


class Binotel(Provider):
    """The API 4.0 of Binotel."""

    slug = "binotel"
    title = "Binotel"
    brands = (Brand("binotel", "Binotel", countries=("UA", "KZ", "UZ"), aliases=("Бинотел", "Бінотел")),)
    capabilities = frozenset(
        {
            Capability.DIAL,
            Capability.HANGUP,
            Capability.TRANSFER,
            Capability.USERS,
            Capability.NUMBERS,
            Capability.HISTORY,
            Capability.RECORDINGS,
        }
    )
    form = BinotelForm
    secret_fields = frozenset({"key", "secret"})
    names_dials = False

    # --- What Binotel sends

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        sender.prove(request, _fields(request), secrets)

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        """Anything else is repeated, up to seven times within 38 hours."""
        return Reply(200, _TAKEN)

    def question(self, request: Request) -> Question | None:
        """Binotel waits with each call for who it is, and with an incoming one for who shall take it. How long is not
        documented."""
        return events.question(_fields(request))

    def answer(self, request: Request, advice: Advice) -> Reply:
        """Of somebody unknown nothing is said: the call goes on as the customer's own scheme says."""
        customer: dict[str, str] = {}
        if advice.client:
            customer["name"] = advice.client
        if advice.extension and events.asks_who_takes_it(_fields(request)):
            customer["assignedToEmployeeNumber"] = advice.extension
        told = {"customerData": customer} if customer else {}
        return Reply(200, json.dumps(told, ensure_ascii=False).encode())

    def parse(self, request: Request, secrets: Secrets) -> list[Parsed]:
        try:
            return events.read(request.once(bodies.fields))
        except ValueError as error:
            raise NotUnderstood(str(error)) from error

    def shown(self, request: Request) -> str:
        """In place of a form whose brackets are written as codes."""
        return json.dumps(_fields(request), ensure_ascii=False, indent=1)

    # --- What we ask of Binotel

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        """Where notifications go only Binotel's support can see."""
        return checks.run(Api(http, secrets), secrets.get("company_id", ""))

    def dial(self, http: Http, secrets: Secrets, *, command: str, extension: str, phone: str, line: str) -> None:
        commands.dial(Api(http, secrets), extension=extension, phone=phone, line=line)

    def hangup(self, http: Http, secrets: Secrets, *, command: str, leg: str) -> None:
        commands.hangup(Api(http, secrets), leg=leg)

    def transfer(
        self,
        http: Http,
        secrets: Secrets,
        *,
        command: str,
        leg: str,
        by: str,
        to: str,
        method: Literal["blind", "hold"],
    ) -> None:
        commands.transfer(Api(http, secrets), leg=leg, to=to)

    def users(self, http: Http, secrets: Secrets) -> list[PbxUser]:
        return directory.users(Api(http, secrets))

    def numbers(self, http: Http, secrets: Secrets) -> list[PbxNumber]:
        return directory.numbers(Api(http, secrets))

    def history(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> Iterator[HistoryLeg]:
        return history.legs(Api(http, secrets), since, until)

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        return recordings.fetch(Api(http, secrets), recording)


def _fields(request: Request) -> dict[str, Any]:
    """Raises `Refused` for what is no notification of Binotel's."""
    try:
        return request.once(bodies.fields)
    except ValueError as error:
        raise Refused(400, "bad_request") from error
