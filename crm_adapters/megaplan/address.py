"""Where an account is and what names it: addresses as customers type or paste them, limits."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from outbound.limits import Limit

CLOUD = "megaplan.ru"
_LABELS = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def origin(typed: str) -> str:
    """`https://host[:port]` for YOURDOMAIN, YOURDOMAIN.megaplan.ru, a box's host, or any page of them that was pasted.

    http:// stays only with a port: a box in somebody's own network. Raises `ValueError` when there is no host in it.
    """
    text = "".join(typed.split()).lower()
    parts = urlsplit(text if "://" in text else f"https://{text}")
    host, port = (parts.hostname or "").rstrip("."), parts.port
    if parts.scheme not in ("http", "https") or parts.username is not None or not _is_host(host):
        raise ValueError("no address of Megaplan")
    if "." not in host and host != "localhost":
        host = f"{host}.{CLOUD}"
    if host in (CLOUD, f"www.{CLOUD}"):
        raise ValueError("the vendor's own site is no account")
    scheme = "http" if parts.scheme == "http" and port else "https"
    return f"{scheme}://{host}:{port}" if port else f"{scheme}://{host}"


def _is_host(host: str) -> bool:
    """Where it leads is judged at the socket."""
    if _LABELS.fullmatch(host) and not host.rpartition(".")[2].isdigit():
        return True
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def domain_of(typed: str) -> str:
    """How a domain is kept: `host[:port]`, with http:// in front where that is meant."""
    return origin(typed).removeprefix("https://")


def account(secrets: Mapping[str, str]) -> str:
    """The host: YOURDOMAIN is each customer's own."""
    try:
        return origin(secrets.get("domain", "")).partition("://")[2]
    except ValueError:
        return ""


def limits(secrets: Mapping[str, str]) -> tuple[Limit, ...]:
    """Megaplan publishes no figures; its clients report 429 alone. Two a second is what a careful client begins with,
    and a few at once let a call's first steps go without waiting."""
    name = hashlib.sha256(account(secrets).encode()).hexdigest()[:16]
    return (Limit(f"megaplan:{name}", rate=2, burst=6),)
