"""The open telephony API as a provider: what its parts do together."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace

from django.utils.translation import pgettext

from outbound.errors import Rejected
from outbound.http import Http
from telephony.providers.base import (
    Advice,
    Audio,
    Brand,
    Capability,
    Check,
    NotUnderstood,
    Parsed,
    Provider,
    Question,
    Refused,
    Reply,
    Request,
    Secrets,
)

from . import bodies, commands, events
from .forms import OpenApiForm

_WRONG = b'{"error":"Invalid parameters"}'


class OpenApi(Provider):
    """The telephony API that Planfix publishes for PBXs, from the other side: whoever can be connected to Planfix by it
    can be connected to us."""

    slug = "open_api"
    title = "Open telephony API"
    brands = (
        Brand("open_api", "Open telephony API", aliases=("Любая АТС", "API", "Open API", "Другая АТС")),
        Brand("iptel", "IpTel", countries=("UA",), aliases=("АйПиТел", "IP Tel")),
        Brand("macarena", "Macarena", aliases=("Макарена", "mac-sol")),
        Brand("azerizone", "Azerizone", countries=("AZ",), aliases=("Азеризон", "VirtualATS", "vats.az")),
    )
    capabilities = frozenset({Capability.DIAL, Capability.RECORDINGS})
    form = OpenApiForm
    # Our key is shown in the form: who sets up the PBX must enter it there.
    secret_fields = frozenset({"planfix_token", "pbx_token", "token"})
    wire_names = {"planfix_token": "our_key", "token": "pbx_token"}
    methods = frozenset({"GET", "POST"})
    answer_seconds = 1.0
    names_dials = False

    # --- What a PBX sends

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """There is no signature: the key is the proof, and comes with every request."""
        try:
            given = bodies.key(request, bodies.fields(request))
        except ValueError as error:
            raise Refused(400, "Invalid parameters") from error
        ours = secrets.get("our_key", "")
        if not ours or not hmac.compare_digest(given.encode("utf-8", "replace"), ours.encode()):
            raise Refused(401, "Invalid token")

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        """`ping` is answered with what the PBX itself has told its owner to enter here."""
        told = _fields(request)
        if not bodies.is_complete(told):
            return Reply(400, _WRONG)
        if told["cmd"] != "ping":
            return Reply(200, b"")
        known = {"pbxToken": secrets.get("pbx_token", ""), "pbxUrl": secrets.get("pbx_url", "")}
        return Reply(200, json.dumps(known).encode())

    def question(self, request: Request) -> Question | None:
        told = _fields(request)
        if told.get("cmd") != "contact" or not bodies.is_complete(told):
            return None
        return Question(told["phone"], told.get("diversion", ""), told.get("callid", ""))

    def answer(self, request: Request, advice: Advice) -> Reply:
        """What is not known is left out. A short number is written as a number where nothing is lost by that."""
        known: dict[str, str | int] = {"contact_name": advice.client} if advice.client else {}
        if extension := advice.extension:
            plain = extension.isdecimal() and extension == str(int(extension))
            known["responsible"] = int(extension) if plain else extension
        return Reply(200, json.dumps(known, ensure_ascii=False).encode())

    def parse(self, request: Request, secrets: Secrets) -> list[Parsed]:
        told = _fields(request)
        if not bodies.is_complete(told):
            raise NotUnderstood("an unknown command, or one that lacks what it needs")
        return events.read(told)

    # --- What we ask of it

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        """Nothing can be asked of such a PBX without making it ring."""
        both = bool(secrets.get("pbx_url")) == bool(secrets.get("pbx_token"))
        cure = pgettext("Open API", "Enter both the address and the key of your PBX, or neither.")
        dials = pgettext("Open API", "Without the address of your PBX nothing can be dialled from here.")
        return [
            Check(pgettext("Open API", "The PBX's address and key belong together"), both, "" if both else cure),
            Check(pgettext("Open API", "Calls can be dialled"), True, "" if secrets.get("pbx_url") else dials),
        ]

    def dial(self, http: Http, secrets: Secrets, *, command: str, extension: str, phone: str, line: str) -> None:
        """The line shown to the client is the PBX's affair."""
        commands.dial(http, secrets, extension=extension, phone=phone)

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        """A link may work once only: what goes wrong then is told, and asked for again until the house gives up."""
        if not url:
            raise Rejected("the PBX gave no link to the recording", code="no_link")
        # Whoever has the link has the recording: it is kept out of the record of exchanges.
        secret = url.partition("://")[2].partition("/")[2]
        return Audio.fetched(replace(http, secrets=[*http.secrets, secret] if secret else http.secrets), url)


def _fields(request: Request) -> dict[str, str]:
    """Nothing where the body is no form: what is needed is missing then."""
    try:
        return bodies.fields(request)
    except ValueError:
        return {}
