"""The telephony API that a CRM publishes for PBXs, from that CRM's side: a PBX that can be connected to it can be
connected to us.

Several vendors speak it. Each has a folder with a subclass, which says what the key is called there, and what else that
vendor can do. Their forms have the fields `our_key`, `pbx_url` and `pbx_token`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from abc import ABC
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar
from urllib.parse import urlsplit

from outbound.errors import CredentialsRefused, RateLimited, Rejected, Temporary
from outbound.http import Http
from outbound.limits import Limit

from . import telephony_api_events as events
from . import values
from .base import (
    Advice,
    Audio,
    Capability,
    NotUnderstood,
    Parsed,
    Provider,
    Question,
    Refused,
    Reply,
    Request,
    Secrets,
)

NEEDS = {
    "event": ("type", "event", "phone", "callid"),
    "record": ("callid", "record_link"),
    "contact": ("phone",),
    "ping": (),
}
"""The commands of a PBX, and the fields without which they are refused."""
_WRONG = b'{"error":"Invalid parameters"}'
OTHER_KEY, NO_KEY, NO_FORM = "other_key", "no_key", "no_form"
"""Why a request is not proven."""
_RATE = (2.0, 5)  # no limit is published: what no PBX should mind
_SECONDS = 10.0


class TelephonyApi(Provider, ABC):
    """What is common to the vendors that speak it."""

    capabilities = frozenset({Capability.DIAL, Capability.RECORDINGS})
    methods = frozenset({"GET", "POST"})
    answer_seconds = 1.0
    names_dials = False
    key_names: ClassVar[tuple[str, ...]]
    """Fields in which the PBX may send our key; the header `Authorization: Bearer` is taken too."""

    def able(self, secrets: Secrets) -> frozenset[Capability]:
        """Commands want the PBX's address and key."""
        dials = secrets.get("pbx_url") and secrets.get("pbx_token")
        return self.capabilities if dials else self.capabilities - {Capability.DIAL}

    # --- What a PBX sends

    def fields(self, request: Request) -> dict[str, str]:
        """As `fields_of`; for those who send something else besides."""
        return fields_of(request)

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """There is no signature: the key is the proof, and comes with every request."""
        try:
            given = self._key(request, request.once(self.fields))
        except ValueError as error:
            raise Refused(400, "Invalid parameters", NO_FORM) from error
        ours = secrets.get("our_key", "")
        if not ours or not hmac.compare_digest(given.encode("utf-8", "replace"), ours.encode()):
            raise Refused(401, "Invalid token", OTHER_KEY if given else NO_KEY if _is_form(request) else NO_FORM)

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        """`ping` is answered with what the PBX itself has told its owner to enter here."""
        told = self._told(request)
        if not _is_complete(told):
            return Reply(400, _WRONG)
        if told["cmd"] != "ping":
            return Reply(200, b"")
        known = {"pbxToken": secrets.get("pbx_token", ""), "pbxUrl": secrets.get("pbx_url", "")}
        return Reply(200, json.dumps(known).encode())

    def question(self, request: Request) -> Question | None:
        told = self._told(request)
        if told.get("cmd") != "contact" or not _is_complete(told):
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
        told = self._told(request)
        if not _is_complete(told):
            raise NotUnderstood("an unknown command, or one that lacks what it needs")
        return events.read(told)

    def _told(self, request: Request) -> dict[str, str]:
        """Nothing where the body is no form: what is needed is missing then."""
        try:
            return request.once(self.fields)
        except ValueError:
            return {}

    def _key(self, request: Request, told: Mapping[str, str]) -> str:
        scheme, _blank, token = request.headers.get("authorization", "").partition(" ")
        sent = [*(told.get(name, "") for name in self.key_names), token.strip() if scheme.lower() == "bearer" else ""]
        return next(filter(None, sent), "")

    # --- What we ask of it

    def dial(self, http: Http, secrets: Secrets, *, command: str, extension: str, phone: str, line: str) -> None:
        """Ring the employee, then the client. The answer names no call; the line shown to him is the PBX's affair. 200
        is done, anything else is shown with the PBX's own words."""
        url, key = secrets.get("pbx_url", ""), secrets.get("pbx_token", "")
        if not url:
            raise Rejected("not sent: the connection has no address of the PBX", code="no_address")
        limit = Limit(f"{self.slug}:{hashlib.sha256(f'{url} {key}'.encode()).hexdigest()[:16]}", *_RATE)
        wanted = {"cmd": "makeCall", "from": extension, "to": phone.lstrip("+"), "token": key}
        answer = http.request("POST", url, data=wanted, limits=(limit,), deadline=_SECONDS)
        words, code = f"HTTP {answer.status}: {answer.text[:200]}", f"http_{answer.status}"
        if answer.status == 401:
            raise CredentialsRefused(words, code=code)
        if answer.status == 429:
            raise RateLimited(words, code=code, retry_after=5.0)
        if answer.status >= 500:
            raise Temporary(words, code=code, fate_unknown=True)
        if answer.status != 200:
            raise Rejected(words, code=code)

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        """A link may work once only: what goes wrong then is told, and asked for again until the house gives up."""
        if not url:
            raise Rejected("the PBX gave no link to the recording", code="no_link")
        return Audio.fetched(hiding(http, url), url)


def fields_of(request: Request) -> dict[str, str]:
    """The parameters of the form, in the body or the query (what the body says counts); an empty one counts as not
    sent. Raises `ValueError`."""
    kind = request.headers.get("content-type", "")
    told = values.form(request.query) | values.any_form(request.body, kind)
    return {name: value.strip() for name, value in told.items() if value.strip()}


def hiding(http: Http, link: str) -> Http:
    """Whoever has the link has the recording: it is kept out of the record of exchanges."""
    secret = link.partition("://")[2].partition("/")[2]
    return replace(http, secrets=[*http.secrets, secret]) if secret else http


def same_server(one: str, other: str) -> bool:
    """Whether two addresses lead to the same server, which may then see the same key."""
    one_parts, other_parts = urlsplit(one), urlsplit(other)
    return bool(one_parts.netloc) and one_parts[:2] == other_parts[:2]


def _is_complete(told: Mapping[str, str]) -> bool:
    """Whether a command is known and has what it needs."""
    needs = NEEDS.get(told.get("cmd", ""))
    return needs is not None and all(name in told for name in needs)


def _is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").lower()
    return not request.body or kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data"))
