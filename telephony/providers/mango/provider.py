"""Mango Office as a provider: what the protocol's parts do together."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from outbound.http import Http
from outbound.masking import mask
from telephony.providers.base import (
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
    Refused,
    Reply,
    Request,
    Secrets,
    Visitor,
)
from telephony.providers.values import clean, load

from . import checks, commands, directory, events, history, recordings
from .api import Api
from .forms import MangoForm
from .reports import Wait
from .signature import Envelope, open_envelope


class Mango(Provider):
    """The VPBX API of Mango Office, document v1.9 (text of June 2026)."""

    slug = "mango"
    title = "Mango Office"
    brands = (
        Brand("mango", "Mango Office", countries=("RU",), aliases=("Манго Офис", "Манго", "Mango", "Манго Телеком")),
    )
    capabilities = frozenset(
        {
            Capability.DIAL,
            Capability.HANGUP,
            Capability.TRANSFER,
            Capability.ROUTE,
            Capability.USERS,
            Capability.NUMBERS,
            Capability.HISTORY,
            Capability.RECORDINGS,
            Capability.TRACKING,
        }
    )
    form = MangoForm
    secret_fields = frozenset({"api_key", "api_salt", "vpbx_api_key", "sign"})
    wire_names = {"vpbx_api_key": "api_key", "vpbx_api_salt": "api_salt"}
    shared_paths = ("exec/mango",)
    # The document calls its times "UTC+3": where an account takes that literally, it is three hours ahead.
    clock_shifts = (10_800,)

    # --- What Mango sends

    def identify(self, request: Request) -> str:
        """The key of the PBX that the request names. Raises `Refused`."""
        key = _opened(request).key
        if not key:
            raise Refused(401, "unknown_key")
        return key

    def account(self, secrets: Secrets) -> str:
        return secrets.get("api_key", "")

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """The signature has neither time nor nonce: a repeated request is a genuine one, and facts are the same."""
        envelope = _opened(request)
        if not secrets.get("api_key") or not envelope.from_account(secrets["api_key"]):
            raise Refused(401, "unknown_key")
        if not secrets.get("api_salt") or not envelope.genuine(secrets["api_salt"]):
            raise Refused(401, "bad_signature")

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        """Mango looks at the status alone. The body of its `ping` is not documented: any will do there."""
        try:
            if events.endpoint(request.path) != "ping":
                load(_opened(request).json)
        except ValueError:
            return Reply(400, b'{"error":"bad_json"}')
        return Reply(200, b'{"success":true}')

    def parse(self, request: Request, secrets: Secrets) -> list[Parsed]:
        try:
            envelope = request.once(_envelope)
        except ValueError as error:
            raise NotUnderstood(str(error)) from error
        return events.read(request.path, envelope.json)

    def shown(self, request: Request) -> str:
        """The signed JSON, indented; raw where it is broken."""
        try:
            text = request.once(_envelope).json
        except ValueError:
            text = request.body.decode("utf-8", "replace")
        try:
            text = jsonlib.dumps(load(text), ensure_ascii=False, indent=2)
        except (ValueError, RecursionError):
            pass
        return mask(clean(text))

    # --- What we ask of Mango

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        return checks.run(Api(http, secrets))

    def dial(self, http: Http, secrets: Secrets, *, command: str, extension: str, phone: str, line: str) -> None:
        commands.dial(Api(http, secrets), command=command, extension=extension, phone=phone, line=line)

    def hangup(self, http: Http, secrets: Secrets, *, command: str, leg: str) -> None:
        commands.hangup(Api(http, secrets), command=command, leg=leg)

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
        commands.transfer(Api(http, secrets), command=command, leg=leg, by=by, to=to, method=method)

    def route(self, http: Http, secrets: Secrets, *, command: str, leg: str, extension: str, deadline: float) -> None:
        commands.route(Api(http, secrets), command=command, leg=leg, extension=extension, deadline=deadline)

    def users(self, http: Http, secrets: Secrets) -> list[PbxUser]:
        return directory.users(Api(http, secrets))

    def numbers(self, http: Http, secrets: Secrets) -> list[PbxNumber]:
        return directory.numbers(Api(http, secrets))

    def history(
        self, http: Http, secrets: Secrets, since: datetime, until: datetime, wait: Wait = time.sleep
    ) -> Iterator[HistoryLeg]:
        """Waits with `wait` while Mango prepares its report: five minutes at most for each month asked for."""
        api = Api(http, secrets)

        def extensions() -> dict[str, str]:
            return {user.vendor_id: user.extension for user in directory.users(api) if user.vendor_id}

        return history.legs(api, since, until, extensions=extensions, wait=wait)

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        """`url` is empty: Mango's links work once and come with each request."""
        return recordings.fetch(Api(http, secrets), recording)

    def visitor(self, http: Http, secrets: Secrets, tracking_number: str) -> Visitor | None:
        return directory.visitor(Api(http, secrets), tracking_number)


def _envelope(request: Request) -> Envelope:
    return open_envelope(request.body)


def _opened(request: Request) -> Envelope:
    """Raises `Refused` for what is no request of Mango's."""
    try:
        return request.once(_envelope)
    except ValueError as error:
        raise Refused(400, "bad_request") from error
