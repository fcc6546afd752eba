"""One PBX's two interfaces: REST (`/crmapi/v1`), and the older forms (`/sys/crm_api.wcgp`).

All brands have the older one, and many the newer one too; public clients use one key for both.
Source: code of public clients of both. Limits are not documented, and no client reports that it was refused for one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from outbound.errors import (
    AddressRefused,
    CredentialsRefused,
    OutboundError,
    RateLimited,
    Rejected,
    Temporary,
    VendorFault,
)
from outbound.http import Answer, Http
from outbound.limits import Limit
from telephony.providers.base import Secrets
from telephony.providers.values import EmptyObject, MaybeInteger, Model, Text, faults

from .address import base_url

_REST, _FORMS = "/crmapi/v1", "/sys/crm_api.wcgp"
_PAGE = 200
_MINUTE = 60.0
# Two requests in a second at the most.
_PACE = (0.9, 2)

T = TypeVar("T")


class _Info(Model):
    total: MaybeInteger = None


class Page(Model, Generic[T]):
    """A part of a list."""

    items: list[T]
    info: Annotated[_Info, EmptyObject] = _Info()


class _Said(Model):
    error: Text = ""
    message: Text = ""


class Api:
    """Speaks for one account. Methods raise `outbound.errors`."""

    def __init__(self, http: Http, secrets: Secrets):
        self.http = http
        self.key = secrets.get("api_key", "")
        self._domain = secrets.get("domain", "")
        account = hashlib.sha256(self._domain.encode()).hexdigest()[:16]
        self._limits = (Limit(f"itoolabs:{account}", *_PACE),)

    @property
    def url(self) -> str:
        try:
            return base_url(self._domain)
        except ValueError as error:
            raise AddressRefused(f"{self._domain!r} {error}", code="address") from error

    @property
    def proof(self) -> dict[str, str]:
        return {"X-API-KEY": self.key}

    # --- REST

    def get(self, path: str, shape: TypeAdapter[T], **params: str) -> T:
        """Ask for data of a known shape."""
        answer = self._asked("GET", f"{_REST}/{path}", params=params, headers=self.proof)
        return read(answer, shape)

    def listed(self, path: str, shape: TypeAdapter[Page[T]]) -> list[T]:
        """All rows of a list that is told page by page."""
        found: list[T] = []
        while True:
            page = self.get(path, shape, start=str(len(found)), limit=str(_PAGE))
            found += page.items
            if not page.items or len(found) >= (page.info.total or 0):
                return found

    def post(self, path: str, body: Mapping[str, str]) -> None:
        self._asked("POST", f"{_REST}/{path}", json=dict(body), headers=self.proof)

    # --- The older forms

    def command(self, cmd: str, **fields: str) -> Answer:
        """The answer is JSON, a table or bare text, by the command."""
        return self._asked("POST", _FORMS, data={"cmd": cmd, **fields, "token": self.key})

    # --- Both

    def _asked(self, method: str, path: str, **content: Any) -> Answer:
        answer = self.http.request(method, f"{self.url}{path}", limits=self._limits, **content)
        if error := _error(answer):
            raise error
        return answer


def read(answer: Answer, shape: TypeAdapter[T]) -> T:
    try:
        return shape.validate_python(answer.json())
    except ValidationError as error:
        raise VendorFault(f"the answer has another shape: {faults(error)}", code="shape") from error


def _error(answer: Answer) -> OutboundError | None:
    """What an answer that is no success means: by its status, the words are not fixed."""
    if 200 <= answer.status < 300:
        return None
    words, code = f"the PBX says: {_words(answer)}", f"http_{answer.status}"
    if answer.status == 429:
        return RateLimited(words, code=code, retry_after=_MINUTE)
    if answer.status == 401:
        return CredentialsRefused(words, code=code)
    if answer.status >= 500:
        return Temporary(words, code=code, fate_unknown=True)
    if answer.status < 400:  # to another page: what is answered for a name that no PBX has
        return Rejected(f"there is no PBX at this address (HTTP {answer.status})", code=code)
    return Rejected(words, code=code)


def _words(answer: Answer) -> str:
    try:
        said = _SAID.validate_python(answer.json())
    except (VendorFault, ValidationError):
        said = _Said()
    return said.message or said.error or f"HTTP {answer.status}"


_SAID = TypeAdapter(_Said)
