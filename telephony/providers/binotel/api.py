"""One account's channel to Binotel: counts, sends, and turns what is no success into a typed error.

Key and secret go in the body of each request, so bodies are never written anywhere unmasked.
Source: public clients; codes 121 and 151 as two of them copy the vendor's list of errors. Numeric limits are not
published: ours are modest, and Binotel is left alone for a while when it says that we ask too often.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

from pydantic import ValidationError

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Answer, Http
from outbound.limits import Limit
from telephony.providers.base import Secrets
from telephony.providers.values import Model, Text, faults

DEFAULT_URL = "https://api.binotel.com"
WRONG_DATA = "104"
_WENT_WRONG, _TOO_OFTEN = "105", "106"
_DISABLED, _WRONG_KEY = "120", "121"
_PAUSE = 5.0
_RATE, _BURST = 1.0, 3

M = TypeVar("M", bound=Model)


class _Said(Model):
    status: Text = ""
    code: Text = ""
    message: Text = ""


class Api:
    """Speaks for one account. Methods raise `outbound.errors`."""

    def __init__(self, http: Http, secrets: Secrets):
        self.http = http
        self._url = (secrets.get("api_url") or DEFAULT_URL).rstrip("/")
        self._keys = {"key": secrets.get("key", ""), "secret": secrets.get("secret", "")}
        account = hashlib.sha256(self._keys["key"].encode()).hexdigest()[:16]
        self._limit = Limit(f"binotel:{account}", _RATE, _BURST)

    def ask(self, method: str, answer: type[M], **params: Any) -> M:
        """One request; `method` with its group, as in `stats/call-details`."""
        said = self.http.request(
            "POST", f"{self._url}/api/4.0/{method}.json", json=params | self._keys, limits=(self._limit,)
        )
        if error := _error(said):
            if isinstance(error, RateLimited):
                self.http.limiter.block(self._limit.key, _PAUSE)
            raise error
        return _read(said, answer)


def _read(answer: Answer, model: type[M]) -> M:
    try:
        return model.model_validate(answer.json())
    except ValidationError as error:
        raise VendorFault(f"the answer has another shape: {faults(error)}", code="shape") from error


def _error(answer: Answer) -> OutboundError | None:
    """What an answer that is no success means. When Binotel is down, everything is answered with a text and HTTP 200:
    that is a fault of the vendor's, and never an empty list."""
    if answer.status in (401, 403):
        return CredentialsRefused(f"Binotel: HTTP {answer.status}", code=f"http_{answer.status}")
    if answer.status == 429:
        return RateLimited("Binotel: HTTP 429", code="http_429", retry_after=_PAUSE)
    if answer.status >= 500:
        return Temporary(f"Binotel: HTTP {answer.status}", code=f"http_{answer.status}", fate_unknown=True)
    said = _read(answer, _Said)
    if said.status == "success":
        return None
    if said.status != "error":
        return VendorFault("the answer says neither success nor error", code="shape", fate_unknown=True)
    return _refusal(said.code, f"Binotel: {said.message or said.code}")


def _refusal(code: str, words: str) -> OutboundError:
    if code == _TOO_OFTEN:
        return RateLimited(words, code=code, retry_after=_PAUSE)
    if code in (_DISABLED, _WRONG_KEY):
        return CredentialsRefused(words, code=code)
    if code == _WENT_WRONG:
        return Temporary(words, code=code, fate_unknown=True)
    return Rejected(words, code=code)
