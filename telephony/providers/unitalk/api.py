"""One account's channel to UniTalk: counts, sends, and turns what is no success into a typed error.

Source: the vendor's API reference. With which HTTP status errors come it does not say: `status` in the answer counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, VendorFault
from outbound.http import Answer, Http
from outbound.limits import Limit
from telephony.providers.base import Secrets
from telephony.providers.values import Model, Text, faults

DEFAULT_URL = "https://api.unitalk.cloud/api"
_MINUTE = 60.0
# UniTalk names no figure, only that bursts trip its "DOS protection".
_RATE, _BURST = 2.0, 5

M = TypeVar("M", bound=Model)


class _Said(Model):
    status: Text = ""
    message: Text = ""


class Api:
    """Speaks for one account. Methods raise `outbound.errors`."""

    def __init__(self, http: Http, secrets: Secrets):
        self.http = http
        self.headers = {"Authorization": secrets.get("api_key", "")}
        account = hashlib.sha256(secrets.get("api_key", "").encode()).hexdigest()[:16]
        self.limits = (Limit(f"unitalk:{account}", _RATE, _BURST),)
        self._url = (secrets.get("api_url") or DEFAULT_URL).rstrip("/")

    def ask(self, method: str, question: Mapping[str, Any], answer: type[M]) -> M:
        """Ask for data of a known shape."""
        return _read(self._asked(method, json=question), answer)

    def order(self, method: str, form: Mapping[str, str]) -> None:
        """Have something done: only the word `Success` says that it is."""
        if _read(self._asked(method, form=form), _Said).status != "Success":
            raise VendorFault("the answer does not say that it succeeded", code="shape", fate_unknown=True)

    def _asked(self, method: str, *, json: Any = None, form: Mapping[str, str] | None = None) -> Any:
        answer = self.http.request(
            "POST", f"{self._url}/{method}", json=json, data=form, headers=self.headers, limits=self.limits
        )
        if answer.status == 429:
            raise RateLimited("UniTalk: HTTP 429", code="rate_limit", retry_after=_MINUTE)
        told = _json(answer)
        if error := _error(answer, told):
            raise error
        return told


def _json(answer: Answer) -> Any:
    """An order may have taken effect behind a page that says nothing of it."""
    try:
        return answer.json()
    except VendorFault as fault:
        fault.fate_unknown = answer.status == 200 or answer.status >= 500
        raise


def _read(told: Any, model: type[M]) -> M:
    try:
        return model.model_validate(told)
    except ValidationError as error:
        words = f"the answer has another shape: {faults(error)}"
        raise VendorFault(words, code="shape", fate_unknown=True) from error


def _error(answer: Answer, told: Any) -> OutboundError | None:
    """What an answer that is no success means. Lists have no status."""
    said = _read(told, _Said) if isinstance(told, dict) else _Said()
    if said.status == "Success" or (said.status != "Error" and answer.status < 400):
        return None
    words, code = f"UniTalk: {said.message or f'HTTP {answer.status}'}", f"http_{answer.status}"
    if said.message == "Authorization invalid":
        return CredentialsRefused(words, code=code)
    if "dos protection" in said.message.lower():
        return RateLimited(words, code="rate_limit", retry_after=_MINUTE)
    if said.message == "Internal error" or answer.status >= 500:
        return VendorFault(words, code=code, fate_unknown=True)
    return Rejected(words, code=code)
