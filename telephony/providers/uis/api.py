"""One account's channel to UIS: JSON-RPC of the Call API and the Data API, the simple API of MegaFon, their errors.

Source: the vendor's documentation of the Call API v4.0 and the Data API v2.0, MegaFon's of its Data API. Which HTTP
status an error has it does not say: the body is read whatever the status is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Answer, Http
from outbound.limits import Limit
from telephony.providers.base import Secrets
from telephony.providers.values import EmptyObject, MaybeInteger, Model, Text, faults

CALL_URL, DATA_URL = "https://callapi.uiscom.ru/v4.0", "https://dataapi.uiscom.ru/v2.0"
COMMON, SIMPLE = "v2", "simple"
"""The kinds of Data API: the one that most brands have, and MegaFon's."""
PAGE = 1000
_MINUTE = 60.0
# What a tariff allows is not published: the answers say how much is left. (rate, burst), with one answer of the
# samples in mind: 100 requests a minute.
_COMMANDS, _READS = (1.0, 10), (1.0, 20)
# With so little left we read nothing more, so that clicks still go through.
_RESERVE = 10
_REFUSED = frozenset(
    {
        "auth_error",
        "access_token_invalid",
        "access_token_expired",
        "access_token_blocked",
        "ip_not_whitelisted",
        "account_inactive",
    }
)

M = TypeVar("M", bound=Model)


class _Limits(Model):
    minute_remaining: MaybeInteger = None
    minute_reset: MaybeInteger = None
    day_remaining: MaybeInteger = None
    day_reset: MaybeInteger = None


class _Metadata(Model):
    limits: Annotated[_Limits, EmptyObject] = _Limits()
    total_items: MaybeInteger = None


class _Result(Model):
    data: Any
    metadata: Annotated[_Metadata, EmptyObject] = _Metadata()


class _Params(Model):
    limit_type: Text = ""


class _Details(Model):
    mnemonic: Text = ""
    params: Annotated[_Params, EmptyObject] = _Params()
    metadata: Annotated[_Metadata, EmptyObject] = _Metadata()


class _Error(Model):
    message: Text = ""
    data: Annotated[_Details, EmptyObject] = _Details()


class _Said(Model):
    result: _Result | None = None
    error: _Error | None = None


class Api:
    """Speaks for one account. Methods raise `outbound.errors`. `click`: a person waits, so that even what is only read
    may use up the reserve."""

    def __init__(self, http: Http, secrets: Secrets, *, click: bool = False):
        self.http = http
        self.simple = secrets.get("data_api") == SIMPLE
        self._call_url = (secrets.get("call_api_url") or CALL_URL).rstrip("/")
        self._data_url = (secrets.get("data_api_url") or DATA_URL).rstrip("/")
        self._token = secrets.get("access_token", "")
        self._data_token = secrets.get("data_token") or self._token
        account = hashlib.sha256(f"{self._call_url} {self._token}".encode()).hexdigest()[:16]
        self._commands = Limit(f"uis:{account}:commands", *_COMMANDS)
        self._background = Limit(f"uis:{account}:reads", *_READS)
        self._reads = self._commands if click else self._background

    # --- Call API

    def command(self, method: str, **params: Any) -> Any:
        """Have something done; the answer's data."""
        asked = {"access_token": self._token, **params}
        return self._rpc(self._call_url, method, asked, self._commands).data

    # --- Data API

    def rows(self, method: str, row: type[M], **params: Any) -> list[M]:
        """All rows that a method lists, page by page."""
        found: list[M] = []
        while True:
            result = self._read(method, {**params, "offset": len(found)} if found else params)
            page = _rows(result.data, row)
            found += page
            if not page or len(found) >= (result.metadata.total_items or 0):
                return found

    def listed(self, path: str, row: type[M]) -> list[M]:
        """What a list of MegaFon's simple API holds."""
        with _harmless():
            answer = self.http.request("GET", f"{self._data_url}/{path}", headers=self._header, limits=(self._reads,))
            if answer.status != 200:
                raise _by_status(answer)
            return _rows(answer.json(), row)

    def _read(self, method: str, params: Mapping[str, Any]) -> _Result:
        with _harmless():
            if self.simple:
                return self._rpc(f"{self._data_url}/v2.0", method, params, self._reads, self._header)
            asked = {"access_token": self._data_token, **params}
            result = self._rpc(self._data_url, method, asked, self._reads)
        self._save_the_reserve(result.metadata.limits)
        return result

    @property
    def _header(self) -> dict[str, str]:
        """How MegaFon wants its token. Before it may stand a word for the scheme: which one is not documented."""
        return {"Authorization": self._data_token}

    def _save_the_reserve(self, limits: _Limits) -> None:
        for left, reset in (
            (limits.minute_remaining, limits.minute_reset),
            (limits.day_remaining, limits.day_reset),
        ):
            if left is not None and left < _RESERVE and reset:
                self.http.limiter.block(self._background.key, reset)

    # --- JSON-RPC

    def _rpc(
        self, url: str, method: str, params: Mapping[str, Any], limit: Limit, headers: Mapping[str, str] | None = None
    ) -> _Result:
        asked = {"jsonrpc": "2.0", "id": "callbridge", "method": method, "params": params}
        answer = self.http.request(
            "POST",
            url,
            data=json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode(),
            headers={"Content-Type": "application/json; charset=UTF-8", **(headers or {})},
            limits=(limit,),
        )
        said = _said(answer)
        if said.error:
            error = _by_mnemonic(said.error)
            if isinstance(error, RateLimited):
                self.http.limiter.block(limit.key, error.retry_after or _MINUTE)
            raise error
        if said.result is None:
            raise VendorFault("the answer has neither a result nor an error", code="shape", fate_unknown=True)
        return said.result


@contextmanager
def _harmless() -> Iterator[None]:
    """Asking changes nothing at the vendor, whether it is answered or not."""
    try:
        yield
    except OutboundError as error:
        error.fate_unknown = False
        raise


def _said(answer: Answer) -> _Said:
    try:
        told = answer.json()
    except VendorFault:
        if answer.status == 200:
            raise
        raise _by_status(answer) from None
    try:
        return _Said.model_validate(told)
    except ValidationError as error:
        words = f"the answer has another shape: {faults(error)}"
        raise VendorFault(words, code="shape", fate_unknown=True) from error


def _rows(data: Any, row: type[M]) -> list[M]:
    try:
        return TypeAdapter(list[row]).validate_python(data)  # type: ignore[valid-type]
    except ValidationError as error:
        raise VendorFault(f"the answer has another shape: {faults(error)}", code="shape") from error


# --- Errors -----------------------------------------------------------------------------------------------------------


def _by_mnemonic(error: _Error) -> OutboundError:
    """The number of an error names only its group."""
    mnemonic = error.data.mnemonic
    words = f"UIS: {error.message or mnemonic or 'an error without words'}"
    if mnemonic == "limit_exceeded":
        limits = error.data.metadata.limits
        reset = limits.day_reset if error.data.params.limit_type == "day" else limits.minute_reset
        return RateLimited(words, code=mnemonic, retry_after=float(reset or _MINUTE))
    if mnemonic in _REFUSED:
        return CredentialsRefused(words, code=mnemonic)
    if mnemonic == "internal_error":
        return Temporary(words, code=mnemonic, fate_unknown=True)
    return Rejected(words, code=mnemonic)


def _by_status(answer: Answer) -> OutboundError:
    """What an answer means that is no JSON-RPC."""
    words, code = f"UIS: HTTP {answer.status}: {answer.text[:200]}", f"http_{answer.status}"
    if answer.status in (401, 403):
        return CredentialsRefused(words, code=code)
    if answer.status == 429:
        return RateLimited(words, code=code, retry_after=_MINUTE)
    if answer.status >= 500:
        return Temporary(words, code=code, fate_unknown=True)
    return Rejected(words, code=code)
