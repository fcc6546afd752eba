"""UniTalk as a provider: what the protocol's parts do together."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from datetime import datetime

from outbound.http import Http
from telephony.providers.base import (
    Audio,
    Brand,
    Capability,
    Check,
    HistoryLeg,
    NotUnderstood,
    Parsed,
    PbxUser,
    Provider,
    Refused,
    Reply,
    Request,
    Secrets,
)
from telephony.providers.values import zone

from . import checks, commands, directory, events, history, recordings
from .api import Api
from .forms import UniTalkForm


class UniTalk(Provider):
    """The API and the event handling of UniTalk, formerly Nextel."""

    slug = "unitalk"
    title = "UniTalk"
    brands = (Brand("unitalk", "UniTalk", countries=("UA",), aliases=("Юнитолк", "Nextel")),)
    capabilities = frozenset({Capability.DIAL, Capability.USERS, Capability.HISTORY, Capability.RECORDINGS})
    form = UniTalkForm
    secret_fields = frozenset({"api_key", "hook_token"})
    names_dials = False

    # --- What UniTalk sends

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """UniTalk signs nothing: a header of the customer's own is all the proof that it can send."""
        told, known = request.headers.get("x-hub-token", ""), secrets.get("hook_token", "")
        if not known or not hmac.compare_digest(told.encode(), known.encode()):
            raise Refused(403, "bad_token")

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        return Reply(200, b"{}")

    def parse(self, request: Request, secrets: Secrets) -> list[Parsed]:
        try:
            return events.read(request.body, zone(secrets.get("timezone", "")))
        except ValueError as error:
            raise NotUnderstood(str(error)) from error

    # --- What we ask of UniTalk

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        return checks.run(Api(http, secrets))

    def dial(self, http: Http, secrets: Secrets, *, command: str, extension: str, phone: str, line: str) -> None:
        """The number shown to the client is set in the cabinet: it cannot be chosen for a call."""
        commands.dial(Api(http, secrets), command=command, extension=extension, phone=phone)

    def users(self, http: Http, secrets: Secrets) -> list[PbxUser]:
        return directory.users(Api(http, secrets))

    def history(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> Iterator[HistoryLeg]:
        return history.legs(Api(http, secrets), since, until, zone(secrets.get("timezone", "")))

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        return recordings.fetch(Api(http, secrets), recording)
