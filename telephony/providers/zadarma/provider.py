"""Zadarma as a provider: what the protocol's parts do together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime

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
from telephony.providers.values import any_form, form, zone

from . import checks, commands, directory, events, history, recordings, signature
from .api import Api
from .forms import ZadarmaForm

_ECHO = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_RING_SECONDS = 15


class Zadarma(Provider):
    """The PBX API v1 of Zadarma."""

    slug = "zadarma"
    title = "Zadarma"
    brands = (Brand("zadarma", "Zadarma", aliases=("Задарма",)),)
    capabilities = frozenset(
        {Capability.DIAL, Capability.USERS, Capability.NUMBERS, Capability.HISTORY, Capability.RECORDINGS}
    )
    form = ZadarmaForm
    secret_fields = frozenset({"user_key", "secret"})
    wire_names = {"account_timezone": "timezone"}
    methods = frozenset({"GET", "POST"})
    names_dials = False

    # --- What Zadarma sends

    def handshake(self, request: Request) -> Reply | None:
        """When the address is saved in the cabinet, Zadarma asks it to repeat a word."""
        if request.method != "GET":
            return None
        word = _fields(request, query=True).get("zd_echo", "")
        if not _ECHO.fullmatch(word):
            return Reply(400, b'{"error":"zd_echo_expected"}')
        return Reply(200, word.encode(), "text/plain; charset=utf-8")

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """Zadarma signs only while the account has API keys: what is not signed is not believed."""
        sign = request.headers.get("signature", "")
        if not secrets.get("secret") or not signature.genuine(_fields(request), sign, secrets["secret"]):
            raise Refused(403, "bad_signature")

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        return Reply(200, b"{}")

    def question(self, request: Request) -> Question | None:
        """Zadarma waits with an incoming call for who shall take it. How long is not documented."""
        fields = _fields(request)
        if fields.get("event") != "NOTIFY_START":
            return None
        caller = events.party(fields.get("caller_id", ""))
        return Question(caller.number, fields.get("called_did", ""), fields.get("pbx_call_id", ""))

    def answer(self, request: Request, advice: Advice) -> Reply:
        """When the manager does not take it, the call goes on as the customer's own scheme says."""
        told: dict[str, str | int] = {}
        if advice.extension:
            told |= {"redirect": advice.extension, "return_timeout": _RING_SECONDS}
        if advice.client:
            told["caller_name"] = advice.client
        return Reply(200, json.dumps(told, ensure_ascii=False).encode())

    def parse(self, request: Request, secrets: Secrets) -> list[Parsed]:
        try:
            return events.read(request.once(_form), zone(secrets.get("timezone", "")))
        except ValueError as error:
            raise NotUnderstood(str(error)) from error

    # --- What we ask of Zadarma

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        return checks.run(Api(http, secrets), zone(secrets.get("timezone", "")), webhook_url)

    def dial(self, http: Http, secrets: Secrets, *, command: str, extension: str, phone: str, line: str) -> None:
        """The line shown to the client is that of the extension: it cannot be chosen for a call."""
        commands.dial(Api(http, secrets), extension=extension, phone=phone)

    def users(self, http: Http, secrets: Secrets) -> list[PbxUser]:
        return directory.users(Api(http, secrets))

    def numbers(self, http: Http, secrets: Secrets) -> list[PbxNumber]:
        return directory.numbers(Api(http, secrets))

    def history(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> Iterator[HistoryLeg]:
        return history.legs(Api(http, secrets), since, until, zone(secrets.get("timezone", "")))

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        return recordings.fetch(Api(http, secrets), recording)


def _fields(request: Request, *, query: bool = False) -> dict[str, str]:
    """Raises `Refused` for what is no notification of Zadarma's."""
    try:
        return form(request.query) if query else request.once(_form)
    except ValueError as error:
        raise Refused(400, "bad_request") from error


def _form(request: Request) -> dict[str, str]:
    """A form for calls, one of several parts for everything else. Raises `ValueError`."""
    return any_form(request.body, request.headers.get("content-type", ""))
