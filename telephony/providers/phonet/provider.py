"""Phonet as a provider: what the protocol's parts do together."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

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
    PbxUser,
    Provider,
    Question,
    Refused,
    Reply,
    Request,
    Secrets,
)

from . import addresses, bodies, checks, commands, directory, events, history, recordings
from .api import Api, domain
from .forms import PhonetForm


class Phonet(Provider):
    """The HTTPS API v4.1 of Phonet."""

    slug = "phonet"
    title = "Phonet"
    brands = (Brand("phonet", "Phonet", countries=("UA",), aliases=("Фонет", "Teler", "Телер")),)
    capabilities = frozenset(
        {Capability.DIAL, Capability.HANGUP, Capability.USERS, Capability.HISTORY, Capability.RECORDINGS}
    )
    form = PhonetForm
    secret_fields = frozenset({"api_key"})
    names_dials = False
    sums_up = False

    # --- What Phonet sends

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """Phonet signs nothing: who knows our address, sends from one of its own and names the account is believed.
        Its question who calls does not even name the account."""
        if addresses.foreign(request.remote):
            raise Refused(403, "unknown_sender")
        told = _fields(request)
        if "event" in told and not _same(told.get("accountDomain"), domain(secrets.get("account_domain", ""))):
            raise Refused(403, "unknown_account")

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        return Reply(200, b"[]")

    def question(self, request: Request) -> Question | None:
        """What is no event asks who calls, before the call rings. How long Phonet waits is not documented."""
        told = _fields(request)
        if "event" in told:
            return None
        return Question(_text(told.get("otherLegNum")), _text(told.get("trunkNum")))

    def answer(self, request: Request, advice: Advice) -> Reply:
        """Phonet sends the call to the manager where the customer's own scheme has that step."""
        told = {
            "name": advice.client or None,
            "url": None,
            "urlText": None,
            "newEntity": not advice.client,
            "responsibleEmployeeExt": advice.extension or None,
            "responsibleEmployeeEmail": None,
        }
        return Reply(200, json.dumps(told, ensure_ascii=False).encode())

    def parse(self, request: Request, secrets: Secrets) -> list[Parsed]:
        try:
            return events.read(request.once(bodies.fields))
        except ValueError as error:
            raise NotUnderstood(str(error)) from error

    # --- What we ask of Phonet

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        return checks.run(Api(http, secrets))

    def dial(self, http: Http, secrets: Secrets, *, command: str, extension: str, phone: str, line: str) -> None:
        """The line shown to the client cannot be chosen for a call."""
        commands.dial(Api(http, secrets), extension=extension, phone=phone)

    def hangup(self, http: Http, secrets: Secrets, *, command: str, leg: str) -> None:
        commands.hangup(Api(http, secrets), leg)

    def users(self, http: Http, secrets: Secrets) -> list[PbxUser]:
        return directory.users(Api(http, secrets))

    def history(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> Iterator[HistoryLeg]:
        return history.legs(Api(http, secrets), since, until)

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        return recordings.fetch(Api(http, secrets), recording)


def _fields(request: Request) -> dict[str, Any]:
    """Raises `Refused` for what is no request of Phonet's."""
    try:
        return request.once(bodies.fields)
    except ValueError as error:
        raise Refused(400, "bad_request") from error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _same(told: Any, ours: str) -> bool:
    return bool(ours) and hmac.compare_digest(_text(told).lower().encode("utf-8", "replace"), ours.encode())
