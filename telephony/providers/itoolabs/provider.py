"""iTooLabs as a provider: what the protocol's parts do together."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from datetime import datetime

from outbound.http import Http
from telephony.providers.base import (
    Advice,
    Audio,
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

from . import bodies, checks, commands, directory, events, history, recordings
from .api import Api
from .brands import BRANDS
from .forms import ItoolabsForm


class Itoolabs(Provider):
    """The CRM API of the iTooLabs Communications Server, in its REST form and in the older one."""

    slug = "itoolabs"
    title = "iTooLabs Communications Server"
    brands = BRANDS
    capabilities = frozenset(
        {Capability.DIAL, Capability.USERS, Capability.NUMBERS, Capability.HISTORY, Capability.RECORDINGS}
    )
    form = ItoolabsForm
    secret_fields = frozenset({"api_key", "crm_token", "token", "link"})
    methods = frozenset({"GET", "POST"})
    answer_seconds = 1.0
    names_dials = False

    # --- What the PBX sends

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """The key in the notification is all that proves it: there is no signature, no time and no id of an event."""
        fields = _fields(request)
        ours = secrets.get("crm_token", "")
        if not ours or not hmac.compare_digest(fields.get("crm_token", "").encode(), ours.encode()):
            raise Refused(401, "Invalid token")
        if not events.is_known(fields):
            raise Refused(400, "Invalid parameters")

    def question(self, request: Request) -> Question | None:
        """The PBX waits with an incoming call for who calls. How long is not documented."""
        fields = _fields(request)
        if fields.get("cmd") != "contact":
            return None
        caller = events.client(fields.get("phone", ""))
        return Question(caller.number, fields.get("diversion", ""), fields.get("callid", ""))

    def answer(self, request: Request, advice: Advice) -> Reply:
        """`responsible` takes the call where the cabinet allows it for the number; what is not known is left out."""
        told = {"contact_name": advice.client, "responsible": advice.extension}
        known = {name: value for name, value in told.items() if value}
        return Reply(200, json.dumps(known, ensure_ascii=False).encode())

    def parse(self, request: Request, secrets: Secrets) -> list[Parsed]:
        try:
            fields = request.once(bodies.fields)
        except ValueError as error:
            raise NotUnderstood(str(error)) from error
        return events.read(fields, recorded=secrets.get("recorded") == "yes")

    # --- What we ask of the PBX

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        return checks.run(Api(http, secrets))

    def dial(self, http: Http, secrets: Secrets, *, command: str, extension: str, phone: str, line: str) -> None:
        commands.dial(Api(http, secrets), extension=extension, phone=phone, line=line)

    def users(self, http: Http, secrets: Secrets) -> list[PbxUser]:
        return directory.staff(Api(http, secrets)).users

    def numbers(self, http: Http, secrets: Secrets) -> list[PbxNumber]:
        return directory.numbers(Api(http, secrets))

    def history(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> Iterator[HistoryLeg]:
        return history.legs(Api(http, secrets), since, until)

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        return recordings.fetch(Api(http, secrets), recording, url)


def _fields(request: Request) -> dict[str, str]:
    """Raises `Refused` for what is no notification of this PBX."""
    try:
        return request.once(bodies.fields)
    except ValueError as error:
        raise Refused(400, "Invalid parameters") from error
