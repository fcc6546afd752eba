"""Planfix's telephony API (`/tel/api`), to which we are a PBX: forms that are answered with an empty body or JSON.

Source: "API ПланФикса для телефоний" (planfix.com/ru/help). Its general part calls our key `token`, every table and
example `planfix_token`: that is sent. No deadline, no limit and no repetition is documented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_noop as _

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Answer, Http

from . import address

_SURELY_NOT_DONE = (502, 503)
"""Something before Planfix has answered: the request was not carried out. Any other 5xx leaves a doubt."""


@dataclass(frozen=True, slots=True)
class Telephony:
    """One account's telephony API."""

    http: Http
    url: str
    token: str
    ours: str

    @classmethod
    def of(cls, http: Http, secrets: Mapping[str, str]) -> Telephony:
        """Raises `Rejected` as long as Planfix has not told its address and key: the calls wait for that."""
        if not address.has_voip(secrets):
            raise CredentialsRefused(_("Planfix has not told its address and key yet"), code="not_set_up")
        return cls(http, secrets["planfix_url"], secrets["planfix_token"], secrets.get("token", ""))

    def event(self, fields: Mapping[str, str]) -> None:
        """One event of a call."""
        self._send({"cmd": "event", **fields})

    def record(self, call: str, link: str) -> None:
        """The recording of a call that has ended. Our link lives, so it is none for one download (`is_temp`)."""
        self._send({"cmd": "record", "callid": call, "record_link": link})

    def contact(self, phone: str, call: str = "", deadline: float | None = None) -> dict[str, Any]:
        """`contact_name` and `responsible` (a short number) of whom Planfix knows; neither for a stranger."""
        asked = {"cmd": "contact", "phone": phone, **({"callid": call} if call else {})}
        return _object(self._send(asked, deadline))

    def ping(self) -> dict[str, Any]:
        """`pbxToken` and `pbxUrl` as the customer has typed them into Planfix. The answer has our key in clear text."""
        self.http.secrets = [*self.http.secrets, self.ours]
        return _object(self._send({"cmd": "ping"}))

    def _send(self, fields: Mapping[str, str], deadline: float | None = None) -> Answer:
        answer = self.http.request("POST", self.url, data={**fields, "planfix_token": self.token}, deadline=deadline)
        if answer.status == 200 and not answer.body.lstrip().startswith(b"<"):
            return answer
        raise _failure(answer)


def _failure(answer: Answer) -> OutboundError:
    said = _words(answer)
    words, code = said or f"HTTP {answer.status}", f"http_{answer.status}"
    if answer.status == 401:
        return CredentialsRefused(words, code="invalid_token")
    if answer.status == 429:
        return RateLimited(words, code=code, retry_after=5.0)
    if answer.status >= 500:
        return Temporary(words, code=code, fate_unknown=answer.status not in _SURELY_NOT_DONE)
    if answer.status == 400:
        return Rejected(words, code="invalid_parameters")
    if answer.status == 404:
        return Rejected(words, code="no_such_account")
    if answer.status < 300:
        return VendorFault(_("a page came instead of an answer"), code="page", fate_unknown=True)
    return Rejected(words, code="elsewhere" if answer.status < 400 else code)


def _words(answer: Answer) -> str:
    try:
        body = answer.json()
    except VendorFault:
        return ""
    return str(body.get("error") or "") if isinstance(body, dict) else ""


def _object(answer: Answer) -> dict[str, Any]:
    body = answer.json() if answer.body.strip() else {}
    return body if isinstance(body, dict) else {}
