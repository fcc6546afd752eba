"""One account's channel to Phonet: opens a session, counts, sends, and turns what is no success into a typed error.

A session lives as long as this object does, which is one use: a look into the history with all its pages, one command.
How long the vendor keeps a session is not documented; one that it refuses is opened anew, once.
Source: the vendor's HTTPS API v4.1, as public clients quote it. Its errors are HTTP statuses without words.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Answer, Http
from outbound.limits import Limit
from telephony.providers.base import Secrets
from telephony.providers.values import Model, faults

_MINUTE = 60.0
# The vendor's limits are not documented.
_RATE = (5.0, 10)
_SESSION = re.compile(r"JSESSIONID=([^;,\s]+)")
_REFUSED = frozenset({301, 302, 303, 307, 401, 403})
"""A session that is over is answered with 403; 401 and the way to a page for signing in are taken for the same."""
_LISTS = ("items", "calls", "data")

M = TypeVar("M", bound=Model)


def domain(address: str) -> str:
    """The account's domain: that alone, or in an address as it is copied from the browser."""
    return address.strip().rpartition("://")[2].partition("/")[0].lower()


class Api:
    """Speaks for one account. Methods raise `outbound.errors`."""

    def __init__(self, http: Http, secrets: Secrets):
        self.http = http
        address = secrets.get("account_domain", "")
        self._domain, self._key = domain(address), secrets.get("api_key", "")
        self.url = f"{address.rpartition('://')[0].strip() or 'https'}://{self._domain}"
        account = hashlib.sha256(self._domain.encode()).hexdigest()[:16]
        self.limits = (Limit(f"phonet:{account}", *_RATE),)
        self._session = ""

    def get(self, path: str, **params: str) -> Answer:
        return self._asked("GET", path, params=params)

    def post(self, path: str, payload: Mapping[str, str]) -> Answer:
        return self._asked("POST", path, payload=payload)

    def session(self) -> dict[str, str]:
        """The header of a request within the session, which is opened if need be."""
        if not self._session:
            self._authorise()
        return {"Cookie": f"JSESSIONID={self._session}"}

    def _asked(
        self, method: str, path: str, params: Mapping[str, str] | None = None, payload: Mapping[str, str] | None = None
    ) -> Answer:
        answer = self._sent(method, path, params, payload, self.session())
        if answer.status in _REFUSED:
            self._authorise()
            answer = self._sent(method, path, params, payload, self.session())
        if error := _error(answer):
            raise error
        return answer

    def _authorise(self) -> None:
        answer = self._sent("POST", "rest/security/authorize", None, {"domain": self._domain, "apiKey": self._key}, {})
        if error := _error(answer):
            raise error
        given = _SESSION.search(answer.headers.get("Set-Cookie", ""))
        if given is None:
            raise VendorFault("the answer to the key opens no session", code="no_session")
        self._session = given[1]

    def _sent(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        payload: Mapping[str, str] | None,
        headers: Mapping[str, str],
    ) -> Answer:
        return self.http.request(
            method,
            f"{self.url}/{path}",
            params=params,
            json=payload,
            headers={"Content-Type": "application/json", **headers},
            limits=self.limits,
        )


def items(answer: Answer, model: type[M]) -> list[M]:
    """A list of things of a known shape. It stands alone; public clients take one inside an object as well."""
    told = answer.json()
    if isinstance(told, dict):
        told = next((told[name] for name in _LISTS if name in told), None)
    if not isinstance(told, list):
        raise VendorFault("the answer is no list", code="shape")
    try:
        return [model.model_validate(row) for row in told]
    except ValidationError as error:
        raise VendorFault(f"the answer has another shape: {faults(error)}", code="shape") from error


def _error(answer: Answer) -> OutboundError | None:
    status = answer.status
    words, code = f"Phonet: HTTP {status}", f"http_{status}"
    if status in _REFUSED:
        return CredentialsRefused(words, code=code)
    if status == 429:
        return RateLimited(words, code=code, retry_after=_MINUTE)
    if status == 408 or status >= 500:
        return Temporary(words, code=code, fate_unknown=True)
    return Rejected(words, code=code) if status >= 400 else None
