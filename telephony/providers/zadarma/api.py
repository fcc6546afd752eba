"""One account's channel to Zadarma: signs, counts, sends, and turns what is no success into a typed error.

Source: the vendor's OpenAPI description of v1; that a limit may be told with HTTP 200 is a public client's experience.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Answer, Http
from outbound.limits import Limit
from telephony.providers.base import Secrets
from telephony.providers.values import Model, Text, faults

from .signature import authorization

DEFAULT_URL = "https://api.zadarma.com"
_MINUTE = 60.0
# 100 requests a minute, of them 3 of the statistics.
_TOTAL, _STATISTICS = (1.5, 10), (0.045, 1)

M = TypeVar("M", bound=Model)


class _Said(Model):
    status: Text = ""
    message: Text = ""


class Api:
    """Speaks for one account. Methods raise `outbound.errors`."""

    def __init__(self, http: Http, secrets: Secrets):
        self.http = http
        self._url = (secrets.get("api_url") or DEFAULT_URL).rstrip("/")
        self._key, self._secret = secrets.get("user_key", ""), secrets.get("secret", "")
        account = hashlib.sha256(self._key.encode()).hexdigest()[:16]
        self._total = Limit(f"zadarma:{account}", *_TOTAL)
        self._statistics = Limit(f"zadarma:{account}:statistics", *_STATISTICS)

    def get(self, path: str, answer: type[M], **params: str) -> M:
        """Ask for data of a known shape."""
        return _read(self._asked(path, params, (self._total,)), answer)

    def statistics(self, path: str, answer: type[M], **params: str) -> M:
        return _read(self._asked(path, params, (self._total, self._statistics)), answer)

    def _asked(self, path: str, params: Mapping[str, str], limits: tuple[Limit, ...]) -> Answer:
        path, params = f"/v1/{path}/", {**params, "format": "json"}
        answer = self.http.request(
            "GET",
            f"{self._url}{path}",
            params=dict(sorted(params.items())),
            headers={"Authorization": authorization(self._key, self._secret, path, params)},
            limits=limits,
        )
        if error := _error(answer):
            raise error
        return answer


def _read(answer: Answer, model: type[M]) -> M:
    try:
        return model.model_validate(answer.json())
    except ValidationError as error:
        raise VendorFault(f"the answer has another shape: {faults(error)}", code="shape") from error


def _error(answer: Answer) -> OutboundError | None:
    """What an answer that is no success means. There are no codes; of the words only those of the limit are known."""
    try:
        said = _read(answer, _Said)
    except VendorFault:
        if answer.status == 200:
            raise
        said = _Said()
    words, code = f"Zadarma: {said.message or f'HTTP {answer.status}'}", f"http_{answer.status}"
    if answer.status == 429 or (said.status == "error" and "rate limit" in said.message.lower()):
        return RateLimited(words, code="rate_limit", retry_after=_MINUTE)
    if answer.status in (401, 403):
        return CredentialsRefused(words, code=code)
    if answer.status >= 500:
        return Temporary(words, code=code, fate_unknown=True)
    return Rejected(words, code=code) if answer.status >= 400 or said.status == "error" else None
