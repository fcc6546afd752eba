"""One chain and how it is spoken to: the one address for everything that telephony tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext_noop as _

from outbound.errors import RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Answer, Http
from outbound.limits import Limit
from outbound.masking import mask

from . import failures, service
from .service import Service

ACCEPT = "application/vnd.api.v2+json"
"""Required with every request; both services take this spelling."""
DEADLINE = 10.0


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain, its token and the operator's, for the length of one job. Make it with `Chain.of`."""

    http: Http
    service: Service
    token: str
    partner_token: str
    limits: tuple[Limit, ...]

    @classmethod
    def of(cls, http: Http, secrets: Mapping[str, str]) -> Chain:
        """Raises `Temporary` where the operator has no partner token of this service."""
        known = service.of(secrets)
        partner_token = known.partner_token
        if not partner_token:
            raise Temporary(_("Callbridge has no partner token of this service"), code=failures.NO_PARTNER_TOKEN)
        masking = replace(http, secrets=[*http.secrets, partner_token])
        return cls(masking, known, secrets.get("crm_token", ""), partner_token, service.limits(secrets))

    def tell(self, command: str, kind: str, fields: Mapping[str, Any] | None = None) -> None:
        """`POST /voip/integration`. The service puts it into a queue (202): nothing comes back but that it was taken.

        Raises `outbound.errors`.
        """
        body = {"command": command, "type": kind, "crm_token": self.token, **(fields or {})}
        self.ask("POST", "/voip/integration", body)

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        user_token: str = "",
        deadline: float = DEADLINE,
    ) -> Any:
        """The `data` of an answer; `user_token` where a user must have asked. Raises `outbound.errors`."""
        user = f", User {user_token}" if user_token else ""
        answer = self.http.request(
            method,
            f"{self.service.base}{path}",
            limits=self.limits,
            deadline=min(deadline, DEADLINE),
            data=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() if body is not None else None,
            headers={
                "Accept": ACCEPT,
                "Content-Type": "application/json",
                "Authorization": f"Bearer {self.partner_token}{user}",
            },
        )
        return self._read(answer)

    def _read(self, answer: Answer) -> Any:
        said = _object(answer)
        words = mask(_words(said), self.http.secrets)
        if not 200 <= answer.status < 300:
            error = failures.failure(answer, words)
            if isinstance(error, RateLimited):
                # The limit is one for all customers: the others would be refused too.
                self.http.limiter.block(self.limits[0].key, error.retry_after or failures.SHORTEST_PAUSE)
            raise error
        if said is None:
            words = f"the answer (HTTP {answer.status}) is no JSON object: {answer.text[:200]}"
            raise VendorFault(mask(words, self.http.secrets), code=f"http_{answer.status}", fate_unknown=True)
        if said.get("success") is False:
            raise Rejected(words or _("refused without a word"), code="refused")
        return said.get("data")


def _object(answer: Answer) -> dict[str, Any] | None:
    """The body, where it is an object of JSON: refusals may have none."""
    try:
        said = json.loads(answer.body)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _words(said: Mapping[str, Any] | None) -> str:
    """`meta.message`; `meta` is an object, an empty list, or not there."""
    meta = (said or {}).get("meta")
    message = meta.get("message") if isinstance(meta, dict) else ""
    return message[:500] if isinstance(message, str) else ""
