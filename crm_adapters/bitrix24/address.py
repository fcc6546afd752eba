"""Where a portal is and what names it: domains as customers type them, incoming webhooks, accounts, limits."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from crm_adapters.values import is_host
from outbound.limits import Limit

_WEBHOOK = re.compile(r"(https?://[^?#@\s]+)/rest/(\d+)/([A-Za-z0-9_-]+)(?:/[A-Za-z0-9_.]*)?/?", re.IGNORECASE)


def origin(domain: str) -> str:
    """`https://host[:port]` for what a customer typed, with or without scheme; a page behind it is dropped.

    http:// stays only where it was typed, and with a port it keeps its path: several portals behind one address in
    somebody's own network. Raises `ValueError` when there is no host in it.
    """
    text = domain.strip()
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("no portal's address")
    keeps_path = parts.port and parts.scheme == "http"  # `port` raises ValueError for one that is none
    if not is_host(parts.hostname):
        raise ValueError("no portal's address")
    path = parts.path.rstrip("/") if keeps_path else ""
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def domain_of(address: str) -> str:
    """How a domain is kept: `host[:port]`, with http:// in front where that is meant."""
    return origin(address).removeprefix("https://")


def host_of(url: str) -> str:
    """The host of somebody else's address; "" where there is none to be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True)
class Webhook:
    """An incoming webhook: `url` ends with `/rest/<user>/<code>/`."""

    url: str
    user: str
    code: str


def webhook(address: str) -> Webhook | None:
    """The incoming webhook that `address` is, also with a method behind it as Bitrix24's page shows it."""
    match = _WEBHOOK.fullmatch(address.strip())
    try:
        return Webhook(f"{origin(match[1])}/rest/{match[2]}/{match[3]}/", match[2], match[3]) if match else None
    except ValueError:
        return None


def account(secrets: Mapping[str, str]) -> str:
    """`member_id` never changes, the domain may; before an installation there is only the domain."""
    if member := secrets.get("member_id"):
        return member
    hook = webhook(secrets.get("webhook_url", ""))
    try:
        return origin(secrets.get("domain") or (hook.url if hook else "")).partition("://")[2]
    except ValueError:
        return ""


def limits(secrets: Mapping[str, str]) -> tuple[Limit, ...]:
    """The portal's bucket: 50 requests that leak at 2 a second, for each source address (limits.md, b24restdocs).

    Ours holds 48. Bitrix24's leaks in steps of a second where ours leaks continuously, which makes one request; the
    other is for a retry that a lost connection makes the portal count and us not.
    """
    name = hashlib.sha256(account(secrets).encode()).hexdigest()[:16]
    return (Limit(f"bitrix24:{name}", rate=2, burst=48),)


def moved_to(old: str, location: str) -> str:
    """The origin that `location` leads to, when it is another portal's address and not just a redirect; else "".

    It must keep the scheme and the path of REST. A name may become another name, an address (of a demonstration)
    another address.
    """
    before = old.partition("/rest/")[0]
    try:
        after = urljoin(old, location.strip()).partition("/rest/")
        new = origin(after[0])
        kept = urlsplit(new).scheme == urlsplit(before).scheme and _is_name(new) == _is_name(before)
    except ValueError:
        return ""
    return new if kept and after[1] and new != before and new.lower() == after[0].lower() else ""


def _is_name(url: str) -> bool:
    host = host_of(url)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host != "localhost"
    return False
