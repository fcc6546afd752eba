"""Speaking API v3 with one account: queries that are one JSON object, the envelope, pages, typed errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext_noop as _

from outbound.errors import CredentialsRefused, OutboundError, TokenExpired, VendorFault
from outbound.http import Answer, Http
from outbound.limits import Limit

from . import address, failures, wire

PAGE = 100
MAX_PAGES = 50


@dataclass(frozen=True, slots=True)
class Account:
    """One account and our token for it, for the length of one job. Make it with `Account.of`."""

    http: Http
    base: str
    token: str
    limits: tuple[Limit, ...]

    @classmethod
    def of(cls, http: Http, secrets: Mapping[str, str]) -> Account:
        """Raises `TokenExpired` where there is no token yet: the house asks for one (`tokens.refresh`) and comes
        again."""
        if not secrets.get("access_token"):
            raise TokenExpired(_("there is no token yet"), code="no_token")
        return cls(http, base(secrets), secrets["access_token"], address.limits(secrets))

    def get(self, path: str, query: Mapping[str, Any] | None = None, deadline: float | None = None) -> Any:
        """`data` of an answer. Raises `outbound.errors`; nothing can have changed."""
        return self._get(path, query or {}, deadline).get("data")

    def pages(self, path: str, kind: str, query: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """All rows of a list. Raises the error of a page: a list with holes would unmap employees."""
        found: list[dict[str, Any]] = []
        asked: dict[str, Any] = {"limit": PAGE, **(query or {})}
        for _number in range(MAX_PAGES):
            body = self._get(path, asked, None)
            fresh = [row for row in wire.rows(wire.Link, body.get("data")) if row.id]
            found += [row for row in body.get("data") or () if isinstance(row, dict)]
            meta = wire.parse(wire.Meta, body.get("meta"))
            more = wire.parse(wire.Pagination, meta.pagination).hasMoreNext
            after = wire.link(fresh[-1].contentType or kind, fresh[-1].id) if fresh else {}
            if not more or not after or after == asked.get("pageAfter"):
                break
            asked = {**asked, "pageAfter": after}
        return found

    def post(self, path: str, body: Any) -> Any:
        """`data` of the answer. Raises `outbound.errors`; where the fate is open it asks for some seconds before
        somebody looks."""
        try:
            answer = self.http.request(
                "POST", f"{self.base}{path}", json=body, headers=self._headers, limits=self.limits
            )
            return self._read(answer).get("data")
        except OutboundError as error:
            if error.fate_unknown:
                error.retry_after = max(error.retry_after or 0.0, failures.SETTLING)
            raise

    @property
    def _headers(self) -> dict[str, str]:
        kind = "application/json"
        return {"Authorization": f"Bearer {self.token}", "Content-Type": kind, "Accept": kind}

    def _get(self, path: str, query: Mapping[str, Any], deadline: float | None) -> dict[str, Any]:
        url = f"{self.base}{path}"
        if query:
            url += "?" + quote(json.dumps(query, ensure_ascii=False, separators=(",", ":")), safe="")
        try:
            answer = self.http.request("GET", url, headers=self._headers, limits=self.limits, deadline=deadline)
            return self._read(answer)
        except OutboundError as error:
            error.fate_unknown = False
            raise

    def _read(self, answer: Answer) -> dict[str, Any]:
        """The body of a good answer. `meta.status` counts as the HTTP status does."""
        body = body_of(answer)
        meta = wire.parse(wire.Meta, body.get("meta"))
        status = answer.status if answer.status >= 400 else meta.status
        if status >= 400:
            raise failures.failure(status, meta.words, retry_after(answer))
        if "data" not in body:
            raise VendorFault(_("the answer is not one of Megaplan's API"), code="no_data", fate_unknown=True)
        return body


def base(secrets: Mapping[str, str]) -> str:
    try:
        return f"{address.origin(secrets.get('domain', ''))}/api/v3/"
    except ValueError as error:
        raise CredentialsRefused(_("the domain is missing"), code="no_domain") from error


def body_of(answer: Answer) -> dict[str, Any]:
    """A JSON object; raises what a redirect, or a page instead of an answer, stands for."""
    if 300 <= answer.status < 400:
        raise failures.moved()
    try:
        body = answer.json()
    except VendorFault:
        if answer.status < 400:
            raise
        raise failures.failure(answer.status, "", retry_after(answer)) from None
    if not isinstance(body, dict):
        raise VendorFault(_("the answer is not one of Megaplan's API"), code="no_object", fate_unknown=True)
    return body


def retry_after(answer: Answer) -> float | None:
    """Seconds; the header may hold a date too, which no one has seen here."""
    said = answer.headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else None
