"""Who may tell of calls. Binotel signs nothing: the secret address and the number of the company prove the sender.

The addresses that its requests come from are published, but the list grows: a new one is noted and let in.
Source: the vendor's page for the addresses, public clients for the last three.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import structlog

from telephony.providers.base import Refused, Request, Secrets

from . import events

log = structlog.get_logger(__name__)

ADDRESSES = """\
194.88.218.114 194.88.218.116 194.88.218.117 194.88.218.118 194.88.218.119 194.88.218.120
194.88.219.67 194.88.219.70 194.88.219.71 194.88.219.72 194.88.219.78 194.88.219.79
194.88.219.80 194.88.219.81 194.88.219.82 194.88.219.83 194.88.219.84 194.88.219.85
194.88.219.86 194.88.219.87 194.88.219.88 194.88.219.89 194.88.219.92
185.100.66.145 185.100.66.146 185.100.66.147
45.91.130.82 45.91.130.36 45.91.129.203"""


def prove(request: Request, fields: Mapping[str, Any], secrets: Secrets) -> None:
    """Raises `Refused`. Only the end of a call, told live, may come without the number of the company."""
    ours, told = secrets.get("company_id", ""), events.company(fields)
    unnamed = not told and events.kind(fields) == events.HANGUP
    if not ours or not (unnamed or hmac.compare_digest(told.encode("utf-8", "replace"), ours.encode())):
        raise Refused(403, "another_company")
    known = secrets.get("addresses", "")
    if known and not _is_among(request.remote, known):
        log.warning("Binotel speaks from an address that is not in the list", remote=request.remote, company=ours)


@lru_cache(maxsize=1024)
def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Addresses and networks between blanks, commas or line ends; raises `ValueError`."""
    return tuple(ip_network(word) for word in text.replace(",", " ").split())


def _is_among(remote: str, text: str) -> bool:
    try:
        address = ip_address(remote)
    except ValueError:
        return False
    return any(address in network for network in networks(text))
