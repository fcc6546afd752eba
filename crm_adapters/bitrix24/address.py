"""Where a portal is and what names it: domains as customers type them, incoming webhooks, accounts, limits."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from outbound.limits import Limit

_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+", re.IGNORECASE)
_WEBHOOK = re.compile(r"(https?)://([^/?#@\s]+)/rest/(\d+)/([A-Za-z0-9_-]+)(?:/[A-Za-z0-9_.]*)?/?", re.IGNORECASE)


def origin(domain: str) -> str:
    """`https://host[:port]` for what a customer typed: with or without scheme, with a path or not.

    http:// stays only where it was typed. Raises `ValueError` when there is no host in it.
    """
    text = domain.strip().lower()
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("no portal's address")
    _ = parts.port  # raises ValueError for a port that is none
    if not is_host(parts.hostname):
        raise ValueError("no portal's address")
    return f"{parts.scheme}://{parts.netloc}"


def domain_of(address: str) -> str:
    """How a domain is kept: `host[:port]`, with http:// in front where that is meant."""
    return origin(address).removeprefix("https://")


def is_host(host: str) -> bool:
    """Whether `host` is a full host name or an address. Where it leads is judged at the socket."""
    if host == "localhost" or (_HOST.fullmatch(host) and not host.rpartition(".")[2].isdigit()):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Webhook:
    """An incoming webhook: `url` ends with `/rest/<user>/<code>/`."""

    url: str
    user: str
    code: str


def webhook(address: str) -> Webhook | None:
    """The incoming webhook that `address` is, also with a method behind it as Bitrix24's page shows it."""
    match = _WEBHOOK.fullmatch(address.strip())
    if not match:
        return None
    scheme, host, user, code = match.groups()
    return Webhook(f"{scheme.lower()}://{host.lower()}/rest/{user}/{code}/", user, code)


def account(secrets: Mapping[str, str]) -> str:
    """`member_id` never changes, the domain may; before an installation there is only the domain."""
    if member := secrets.get("member_id"):
        return member
    hook = webhook(secrets.get("webhook_url", ""))
    try:
        return urlsplit(origin(secrets.get("domain") or (hook.url if hook else ""))).netloc
    except ValueError:
        return ""


def limits(secrets: Mapping[str, str]) -> tuple[Limit, ...]:
    """The portal's bucket: 50 requests that leak at 2 a second, for each source address (limits.md, b24restdocs).

    Ours holds 48. Bitrix24's leaks in steps of a second where ours leaks continuously, which makes one request; the
    other is for a retry that a lost connection makes the portal count and us not.
    """
    return (Limit(limit_key(secrets), rate=2, burst=48),)


def limit_key(secrets: Mapping[str, str]) -> str:
    return "bitrix24:" + hashlib.sha256(account(secrets).encode()).hexdigest()[:16]


def moved_to(old: str, location: str) -> str:
    """The origin that `location` leads to, when it is another portal's address and not just a redirect; else "".

    It must keep the scheme and the path of REST. A name may become another name, an address (of a demonstration)
    another address.
    """
    before, after = urlsplit(old), urlsplit(urljoin(old, location.strip()))
    try:
        new = origin(f"{after.scheme}://{after.netloc}")
    except ValueError:
        return ""
    same = after.scheme == before.scheme and after.netloc.lower() != before.netloc.lower()
    return new if same and after.path.startswith("/rest/") and _is_name(before) == _is_name(after) else ""


def _is_name(parts: Any) -> bool:
    try:
        ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return parts.hostname != "localhost"
    return False
