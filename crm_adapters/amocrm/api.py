"""Speaking API v4 with one account: requests, lists, objects in bulk, typed errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_noop as _

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Answer, Http
from outbound.limits import Limit

from . import address, failures, wire

PAGE = 250
"""Rows of a page at the most."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account and our keys to it, for the length of one job. Make it with `Account.of`."""

    http: Http
    base: str
    token: str
    limits: tuple[Limit, ...]
    renews: bool

    @classmethod
    def of(cls, http: Http, secrets: Mapping[str, str]) -> Account:
        """Raises `CredentialsRefused` when there is no token or no domain yet."""
        token = address.token_of(secrets)
        if not token:
            raise CredentialsRefused(_("the account is not connected yet"), code=failures.NOT_CONNECTED)
        try:
            base = address.origin(secrets.get("domain", ""))
        except ValueError as error:
            raise CredentialsRefused(_("the account's domain is missing"), code=failures.NOT_CONNECTED) from error
        renews = bool(secrets.get("access_token") and secrets.get("refresh_token"))
        return cls(http, base, token, address.limits(secrets), renews)

    # --- Requests

    def get(self, path: str, params: Mapping[str, str] | None = None, deadline: float | None = None) -> Any:
        """The body; {} for HTTP 204, which is how amoCRM says that there is nothing."""
        return self._read(self._send("GET", path, params=params, deadline=deadline))

    def send(self, method: str, path: str, body: Any) -> Any:
        return self._read(self._send(method, path, body=body))

    def notify(self, path: str, body: Any) -> None:
        """A request whose answer says nothing beyond its status."""
        answer = self._send("POST", path, body=body)
        if not 200 <= answer.status < 300:
            raise self._failure(answer)

    def either(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and body, also of HTTP 400 where it has a list of what was made beside its errors."""
        answer = self._send(method, path, body=body)
        if answer.status == 400 and failures.is_json(answer) and "errors" in (said := answer.json()):
            return 400, said
        return answer.status, self._read(answer)

    def pages(self, path: str, params: Mapping[str, str], most: int) -> Iterator[Any]:
        """Pages of a list, `most` of them at the most. The link to the next may lead to an empty one."""
        for page in range(1, most + 1):
            body = self.get(path, {"limit": str(PAGE), **params, "page": str(page)})
            if not body:
                return
            yield body
            if not body.get("_links", {}).get("next"):
                return

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Answer:
        return self.http.request(
            method,
            f"{self.base}{path}",
            json=body,
            params=params,
            limits=self.limits,
            deadline=deadline,
            headers={"Authorization": f"Bearer {self.token}"},
        )

    def _read(self, answer: Answer) -> dict[str, Any]:
        if answer.status == 204:
            return {}
        if not 200 <= answer.status < 300:
            raise self._failure(answer)
        body = answer.json()
        if isinstance(body, list):
            return {"list": body}
        if not isinstance(body, dict):
            raise VendorFault(_("the answer cannot be read"), code=f"http_{answer.status}", fate_unknown=True)
        return body

    def _failure(self, answer: Answer) -> OutboundError:
        """All accounts rest when amoCRM says that this address asks too much: it counts by address."""
        error = failures.of(answer, renews=self.renews)
        if isinstance(error, RateLimited):
            for limit in self.limits:
                self.http.limiter.block(limit.key, error.retry_after or failures.PAUSE)
        return error


# --- Objects in bulk --------------------------------------------------------------------------------------------------


def bulk(account: Account, method: str, path: str, objects: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Send `objects`, by the request ids that they carry, in one request: the `Row` or the error of each.

    Raises what concerns the whole request.
    """
    try:
        body = account.send(method, path, list(objects.values()))
    except Rejected as refusal:
        return refused(refusal, list(objects))
    made = body["list"] if "list" in body else body.get("_embedded", {}).get(name)
    return by_request(made, list(objects))


def change(account: Account, path: str, objects: Mapping[str, Any]) -> dict[str, OutboundError | None]:
    """Change objects, by keys of ours, in one request: the error of each, or None. Repeating it is harmless."""
    try:
        account.send("PATCH", path, list(objects.values()))
    except Rejected as refusal:
        return refused(refusal, list(objects))
    return dict.fromkeys(objects)


def by_request(made: Any, ids: Sequence[str]) -> dict[str, Any]:
    """Rows of an answer by request id. What it does not mention may have been made."""
    lost = VendorFault(_("the answer says nothing of this object"), code="no_answer", fate_unknown=True)
    found: dict[str, Any] = dict.fromkeys(ids, lost)
    for raw in made if isinstance(made, list) else ():
        if isinstance(raw, dict):
            named = raw.get("request_id")
            for each in named if isinstance(named, list) else [named]:
                if str(each) in found:
                    found[str(each)] = wire.parse(wire.Row, raw)
    return found


def refused(refusal: Rejected, ids: Sequence[str]) -> dict[str, Any]:
    """amoCRM names the objects that it refuses, or none. Whether it made the others is not documented: find out."""
    if len(ids) == 1:
        return {ids[0]: Rejected(refusal.words, code=refusal.code)}
    named = refusal.faults if isinstance(refusal, failures.Refusal) else {}
    faults = {_named(each, ids): words for each, words in named.items()}
    others = Temporary(_("amoCRM refused another object of the same request"), code=failures.BATCH, fate_unknown=True)
    return {each: Rejected(faults[each], code=refusal.code) if each in faults else others for each in ids}


def _named(request_id: str, ids: Sequence[str]) -> str:
    """Our id, also where amoCRM counts the objects instead."""
    if request_id not in ids and request_id.isdecimal() and int(request_id) < len(ids):
        return ids[int(request_id)]
    return request_id
