"""Planfix's REST API: JSON both ways, a token, one request a second for the whole account.

Source: swagger at help.planfix.com/restapidocs, "REST API" and its pages on filters, errors and files
(planfix.com/ru/help), and public clients for what the answers really look like.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_noop as _

from outbound.errors import Rejected, VendorFault
from outbound.http import MAX_RECORDING, Answer, Http
from outbound.limits import Limit

from . import address, failures

PAGE = 100
"""A list gives no more at once."""
_DONE = (200, 201, 202)
"""202: the object is being changed elsewhere, and Planfix has put the change into a queue of its own."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account's REST API."""

    http: Http
    base: str
    token: str
    limits: tuple[Limit, ...]

    @classmethod
    def of(cls, http: Http, secrets: Mapping[str, str]) -> Account:
        """Raises `Rejected` where no REST token was filled in."""
        token, origin = secrets.get("rest_token", ""), address.of(secrets)
        if not token or not origin:
            raise Rejected(_("this needs a REST token, and none was filled in"), code=failures.NO_TOKEN)
        return cls(http, f"{origin}/rest/", token, (address.rest_limit(secrets),))

    def get(self, path: str, fields: str = "") -> dict[str, Any]:
        return self._ask("GET", path, params={"fields": fields} if fields else None)

    def read(self, path: str, body: Mapping[str, Any], deadline: float | None = None) -> dict[str, Any]:
        """A list or a search: a POST that changes nothing."""
        return self._ask("POST", path, json=dict(body), deadline=deadline)

    def change(self, path: str, body: Mapping[str, Any], *, silent: bool = False) -> dict[str, Any]:
        """Create or update. `silent`: no log and no notifications."""
        return self._ask("POST", path, changes=True, json=dict(body), params={"silent": "true"} if silent else None)

    def delete(self, path: str) -> None:
        self._ask("DELETE", path, changes=True)

    def pages(self, path: str, name: str, body: Mapping[str, Any], most: int = 10) -> Iterator[dict[str, Any]]:
        """The rows called `name` of all pages of a list, `most` pages of them."""
        for number in range(most):
            rows = rows_of(self.read(path, {"offset": number * PAGE, "pageSize": PAGE, **body}), name)
            yield from rows
            if len(rows) < PAGE:
                return

    def download(self, url: str) -> bytes:
        """A recording from a link of ours."""
        answer = self.http.request("GET", url, max_size=MAX_RECORDING)
        if answer.status != 200:
            raise VendorFault(f"the recording's link answers HTTP {answer.status}", code="recording_link")
        return answer.body

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """A file of its own, attached to nothing yet."""
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        files = {"file": (name, content, kind)}
        shown = f"({len(content)} bytes)"
        return self._ask("POST", "file/", changes=True, files=files, shown=shown, deadline=2.0 * self.http.deadline)

    def _ask(self, method: str, path: str, *, changes: bool = False, **sent: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        answer = self.http.request(method, self.base + path, headers=headers, limits=self.limits, **sent)
        return _read(answer, changes=changes)


def _read(answer: Answer, *, changes: bool) -> dict[str, Any]:
    """The body of a good answer. `result: fail` counts at HTTP 200 as well; a 202 may have no body."""
    if answer.status == 202 and not answer.body.strip():
        return {}
    try:
        body = answer.json()
    except VendorFault as error:
        if answer.status not in _DONE:
            raise failures.failure(answer.status, "", "", changes=changes) from error
        error.fate_unknown = changes
        raise
    if not isinstance(body, dict):
        raise VendorFault(_("the answer is no JSON object"), code=f"http_{answer.status}", fate_unknown=changes)
    failed = str(body.get("result") or body.get("Result") or "").lower() in ("fail", "failure", "error")
    if failed or answer.status not in _DONE:
        words = body.get("error") or body.get("Error") or body.get("message") or ""
        code = body.get("code", body.get("Code", ""))
        raise failures.failure(answer.status, str(code), str(words), changes=changes)
    return body


def rows_of(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects of a list; what is none is left out."""
    rows = body.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def number_of(value: Any) -> int:
    """An id as a number, also where it comes as `contact:61`; 0 for what is none."""
    text = str(value.get("id", "") if isinstance(value, dict) else value).rpartition(":")[2]
    return int(text) if text.isascii() and text.isdigit() else 0


def filter_of(kind: int, value: Any, operator: str = "equal", field: int | None = None) -> dict[str, Any]:
    """One condition of a list; all of a list must be true."""
    extra = {"field": field} if field is not None else {}
    return {"type": kind, **extra, "operator": operator, "value": value}


def prefixed(user: str) -> str:
    """A user as Planfix wants him wherever people are listed: a bare number there makes the token's own user of him."""
    return user if ":" in user else f"user:{user}"


def people(users: Sequence[str]) -> dict[str, Any]:
    """A list of people."""
    return {"users": [{"id": prefixed(user)} for user in users]}
