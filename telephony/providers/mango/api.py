"""One account's channel to Mango: signs, counts, sends, and turns what is no success into a typed error.

Source: official document of the VPBX API v1.9; the place of `result` in an answer is as public clients read it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from outbound.errors import CredentialsRefused, DeadlineExceeded, OutboundError, RateLimited, Temporary, VendorFault
from outbound.http import MAX_ANSWER, Answer, Http
from outbound.limits import take_within
from telephony.providers.base import Secrets
from telephony.providers.values import Integer, Model, faults, load

from . import codes, signature
from .limits import LOCK_SECONDS, Kind, Limits

DEFAULT_URL = "https://app.mango-office.ru"
_PAUSE_SECONDS = 2.0

M = TypeVar("M", bound=Model)


class _Said(Model):
    result: Integer


class Api:
    """Speaks for one account. Methods raise `outbound.errors`."""

    def __init__(self, http: Http, secrets: Secrets):
        self.http = http
        self.url = (secrets.get("api_url") or DEFAULT_URL).rstrip("/")
        self._key, self._salt = secrets.get("api_key", ""), secrets.get("api_salt", "")
        self._limits = Limits(secrets)

    def command(self, kind: Kind, path: str, payload: Mapping[str, Any], *, deadline: float | None = None) -> None:
        """Give a command; with a `deadline` (seconds) it goes at once or not at all, and never waits for a limit.

        Success is what `result` says: an answer without one leaves open whether the command took effect.
        """
        answer = self.post(kind, path, payload, deadline=deadline)
        if _result(answer) is None:
            answer.json()
            raise VendorFault("the answer has no result", code="no_result", fate_unknown=True)

    def ask(
        self, kind: Kind, path: str, payload: Mapping[str, Any], answer: type[M], *, normal: Container[int] = ()
    ) -> M:
        """Ask for data of a known shape; `normal` are codes that are answers here and no mistakes."""
        return self.read(self.post(kind, path, payload, normal=normal), answer)

    def read(self, answer: Answer, model: type[M]) -> M:
        """An answer's JSON; raises `VendorFault` where it is none or has another shape."""
        answer.json()
        try:
            return model.model_validate(load(answer.text))
        except ValidationError as error:
            raise VendorFault(f"the answer has another shape: {faults(error)}", code="shape") from error
        except ValueError as error:
            raise VendorFault(f"the answer is {error}", code="shape") from error

    def post(
        self,
        kind: Kind,
        path: str,
        payload: Mapping[str, Any],
        *,
        deadline: float | None = None,
        normal: Container[int] = (),
        max_size: int = MAX_ANSWER,
    ) -> Answer:
        """The answer to a signed request, whatever it carries, unless it is an error."""
        limits = self._limits.of(kind)
        if deadline is not None:
            if deadline <= 0:
                raise DeadlineExceeded("no time left to ask", code="deadline")
            take_within(self.http.limiter, limits, 0)
            limits = ()
        answer = self.http.request(
            "POST",
            f"{self.url}/vpbx/{path}",
            data=signature.seal(self._key, self._salt, payload),
            limits=limits,
            deadline=deadline,
            max_size=max_size,
        )
        self._judge(kind, answer, normal)
        return answer

    def _judge(self, kind: Kind, answer: Answer, normal: Container[int]) -> None:
        code = _result(answer)
        if code in normal:
            return
        if code is not None and not codes.succeeded(code):
            if codes.counts_as_wrong(code):
                self._limits.wrong(self.http.limiter, kind, code)
            raise codes.error(code)
        if code is None and answer.status == 401:
            self._limits.locked(self.http.limiter)
        if code is None and answer.status >= 400:
            raise _status_error(answer)


def _result(answer: Answer) -> int | None:
    """The vendor's own code, if the answer has one: it may stand beside any HTTP status."""
    if answer.body.lstrip()[:1] != b"{":
        return None
    try:
        return _Said.model_validate(load(answer.text)).result
    except ValueError:
        return None


def _status_error(answer: Answer) -> OutboundError:
    status, code = answer.status, f"http_{answer.status}"
    trace = f" (X-Uuid {answer.headers['X-Uuid']})" if "X-Uuid" in answer.headers else ""
    words = f"Mango: HTTP {status}: {answer.text[:200]}{trace}"
    if status == 401:
        return RateLimited(f"Mango has locked the account for two minutes{trace}", code=code, retry_after=LOCK_SECONDS)
    if status == 403:
        return CredentialsRefused(words, code=code)
    if status in (429, 503):
        return RateLimited(words, code=code, retry_after=_retry_after(answer))
    if status >= 500:
        return Temporary(words, code=code, fate_unknown=True)
    return VendorFault(words, code=code)


def _retry_after(answer: Answer) -> float:
    told = answer.headers.get("Retry-After", "")
    return float(told) if told.isascii() and told.isdecimal() else _PAUSE_SECONDS
