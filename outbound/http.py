"""One HTTP exchange with a vendor: guarded, bounded in time and size, counted, and recorded without secrets."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, Any

import requests
from django.utils.translation import gettext_noop as _
from requests.structures import CaseInsensitiveDict

from .errors import AddressRefused, DeadlineExceeded, Temporary, VendorFault
from .guard import new_session
from .limits import Limit, Limiter, MemoryLimiter, take_within
from .masking import mask

USER_AGENT = "Callbridge/1"
MAX_ANSWER = 8 * 1024 * 1024
MAX_RECORDING = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, masked: what the passport and the delivery log show."""

    at: datetime
    method: str
    url: str
    request: str
    status: int | None
    answer: str
    milliseconds: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A vendor's answer: `headers` compare without case, `body` is whole (of `size` bytes, at most `MAX_ANSWER`), but
    only the beginning of an answer that was written into a file."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    size: int

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON; raises `VendorFault` when it is not."""
        try:
            return jsonlib.loads(self.body)
        except ValueError as error:
            kind = "HTML" if self.body.lstrip()[:1] == b"<" else "no valid JSON"
            words = f"the answer (HTTP {self.status}) is {kind}: {self.text[:200]}"
            raise VendorFault(words, code=f"http_{self.status}", fate_unknown=200 <= self.status < 300) from error


@lru_cache(maxsize=2)
def _session(allow_private: bool) -> requests.Session:
    return new_session(allow_private=allow_private)


_substitute: requests.Session | None = None


@contextmanager
def substituted(session: requests.Session) -> Iterator[None]:
    """Everything that this process sends goes through `session` meanwhile: replays answer from a recording."""
    global _substitute
    _substitute = session
    try:
        yield
    finally:
        _substitute = None


def _discard(exchange: Exchange) -> None:
    """The recorder of those who need none."""


@dataclass(slots=True)
class Http:
    """How one account speaks to its vendor.

    `secrets` are values to be masked wherever they appear. `limiter` counts over all processes, `record` is handed
    each exchange. `deadline` is the default budget in seconds of a whole exchange, `patience` how much of it may be
    spent waiting for our own limiter.
    """

    secrets: Iterable[str] = ()
    limiter: Limiter = field(default_factory=MemoryLimiter)
    record: Callable[[Exchange], None] = _discard
    allow_private: bool = False
    deadline: float = 15.0
    patience: float = 2.0

    def request(
        self,
        method: str,
        url: str,
        *,
        limits: tuple[Limit, ...] = (),
        deadline: float | None = None,
        data: str | bytes | Mapping[str, str] | None = None,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        files: Any = None,
        headers: Mapping[str, str] | None = None,
        shown: str | None = None,
        max_size: int = MAX_ANSWER,
        cut: bool = False,
        into: IO[bytes] | None = None,
    ) -> Answer:
        """Send one request and read its whole answer; redirects are answers, not followed.

        `shown` replaces the body in the record (for uploads). The body is written `into` a file, where one is given.
        `cut`: of an answer over `max_size` the beginning is enough.
        Raises `RateLimited` when our own limiter has no room in time, `AddressRefused`, `DeadlineExceeded`,
        `Temporary` (all with `fate_unknown` where the request had left), `VendorFault` for an answer over `max_size`
        or shorter than it says. HTTP statuses raise nothing: what they mean is the vendor's protocol.
        """
        budget = self.deadline if deadline is None else deadline
        end = time.monotonic() + budget
        if limits:
            take_within(self.limiter, limits, min(self.patience, budget))
        body = jsonlib.dumps(json, ensure_ascii=False, separators=(",", ":")).encode() if json is not None else data
        sent = dict(headers or {}) | {"User-Agent": USER_AGENT}
        if json is not None:
            sent = {"Content-Type": "application/json", "Accept": "application/json"} | sent
        prepared = requests.Request(method, url, params=params, data=body, files=files, headers=sent).prepare()
        started, at = time.monotonic(), datetime.now(UTC)
        answer: Answer | None = None
        failure = ""
        try:
            answer = self._exchange(prepared, end, max_size, cut, into)
            return answer
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            raise
        finally:
            milliseconds = round((time.monotonic() - started) * 1000)
            self.record(self._masked(prepared, shown, answer, at, milliseconds, failure))

    def _exchange(
        self, prepared: requests.PreparedRequest, end: float, max_size: int, cut: bool, into: IO[bytes] | None
    ) -> Answer:
        left = end - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(_("no time left to ask"), code="deadline")
        session = _substitute or _session(self.allow_private)
        try:
            timeout = (min(5.0, left), left)
            with session.send(prepared, stream=True, timeout=timeout, allow_redirects=False) as response:
                body, size = self._read(response, end, max_size, cut, into)
                headers: Mapping[str, str] = CaseInsensitiveDict(response.headers)
                return Answer(response.status_code, headers, body, size)
        except AddressRefused:
            raise
        except requests.ConnectTimeout as error:
            raise Temporary(_("no connection in time"), code="connect_timeout") from error
        except requests.Timeout as error:
            raise DeadlineExceeded(_("no answer in time"), code="timeout", fate_unknown=True) from error
        except requests.exceptions.ChunkedEncodingError as error:
            words = f"the answer is cut short: {mask(str(error), self.secrets, 300)}"
            raise VendorFault(words, code="truncated", fate_unknown=True) from error
        except requests.RequestException as error:
            left_us = "NewConnectionError" not in repr(error) and "NameResolution" not in repr(error)
            words = mask(str(error), self.secrets, 300)
            raise Temporary(words, code="connection", fate_unknown=left_us) from error

    @staticmethod
    def _read(
        response: requests.Response, end: float, max_size: int, cut: bool, into: IO[bytes] | None
    ) -> tuple[bytes, int]:
        """The body (into a file: its first part) and its size. A body shorter than its Content-Length is an error."""
        parts: list[bytes] = []
        size = 0
        for part in response.iter_content(65_536):
            size += len(part)
            if size > max_size and cut:
                return b"".join([*parts, part])[:max_size], max_size
            if size > max_size:
                raise VendorFault(f"the answer is larger than {max_size} bytes", code="too_large", fate_unknown=True)
            if time.monotonic() > end:
                raise DeadlineExceeded(_("the answer came too slowly"), code="timeout", fate_unknown=True)
            if into is not None:
                into.write(part)
            if into is None or not parts:
                parts.append(part)
        return b"".join(parts), size

    def _masked(
        self,
        prepared: requests.PreparedRequest,
        shown: str | None,
        answer: Answer | None,
        at: datetime,
        milliseconds: int,
        failure: str,
    ) -> Exchange:
        body = prepared.body or b""
        text = shown if shown is not None else body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
        said = ""
        if answer:
            kind = answer.headers.get("Content-Type", "")
            binary = kind.startswith(("audio/", "application/octet-stream"))
            said = f"({answer.size} bytes, {kind})" if binary else answer.text
        return Exchange(
            at=at,
            method=prepared.method or "",
            url=mask(prepared.url or "", self.secrets, 2_000),
            request=mask(text, self.secrets),
            status=answer.status if answer else None,
            answer=mask(said, self.secrets),
            milliseconds=milliseconds,
            error=mask(failure, self.secrets, 500),
        )
