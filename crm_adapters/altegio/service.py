"""The two services that speak this protocol, what the operator of Callbridge has with each, and what names an account.

The partner token belongs to whoever runs Callbridge, one for each service, and goes with every request; the customer's
own is the token of his chain. So token and address come from the environment: an address that a customer could choose
would be told the operator's token.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from outbound.limits import Limit


@dataclass(frozen=True, slots=True)
class Service:
    """One of the two brands. The operator sets `<prefix>_PARTNER_TOKEN` and, for an emulator, `<prefix>_API_URL`."""

    slug: str
    title: str
    url: str
    prefix: str

    @property
    def partner_token(self) -> str:
        return os.environ.get(f"{self.prefix}_PARTNER_TOKEN", "").strip()

    @property
    def base(self) -> str:
        return f"{os.environ.get(f'{self.prefix}_API_URL', '').rstrip('/') or self.url}/api/v1"


SERVICES = {
    service.slug: service
    for service in (
        Service("altegio", "Altegio", "https://api.alteg.io", "ALTEGIO"),
        Service("yclients", "YCLIENTS", "https://api.yclients.com", "YCLIENTS"),
    )
}
RATE, BURST = 3.0, 2
"""Both services allow 5 requests a second and 200 a minute, counted by source address ("Лимиты", YCLIENTS REST API), so
one bucket for all customers. At most 5 leave within any second and 182 within any minute."""


def of(secrets: Mapping[str, str]) -> Service:
    return SERVICES.get(secrets.get("service", ""), SERVICES["altegio"])


def account(secrets: Mapping[str, str]) -> str:
    """A chain is named by its token alone: the protocol tells nothing else of it."""
    token = secrets.get("crm_token", "").lower()
    return f"{of(secrets).slug}:{token}" if token else ""


def limits(secrets: Mapping[str, str]) -> tuple[Limit, ...]:
    return (Limit(f"altegio:{of(secrets).slug}", rate=RATE, burst=BURST),)
