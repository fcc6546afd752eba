"""Where an account is and what names it: domains as customers type them, what a token says of itself, limits.

amoCRM and Kommo are one protocol; which it is follows from the account's domain. Requests go to the account's own
domain, never to the common one (amocrm.ru/developers, "oauth").
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from outbound.limits import Limit

VENDORS = ("amocrm.ru", "amocrm.com", "kommo.com")
_LABELS = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+")
_PER_SECOND, _BURST = 5, 2


def is_vendors(host: str) -> bool:
    """Whether `host` is an account's (or a server's) name below one of the vendor's domains."""
    name = host.lower()
    return any(name.endswith(f".{each}") and _LABELS.fullmatch(name.removesuffix(each)) for each in VENDORS)


def origin(domain: str) -> str:
    """`https://example.amocrm.ru` for what a customer typed, with or without scheme; a page behind it is dropped.

    Another host is taken only as http:// with a port (a demonstration in somebody's own network), where the path stays;
    where that leads is judged at the socket. Raises `ValueError` for anything else.
    """
    text = domain.strip()
    parts = urlsplit(text if "://" in text else f"https://{text}")
    host = parts.hostname or ""
    if parts.username is not None or parts.scheme not in ("http", "https"):
        raise ValueError("no account's address")
    if is_vendors(host):
        return f"https://{host.lower()}"
    if parts.scheme != "http" or not parts.port or not _is_own(host):
        raise ValueError("no account's address")
    return f"http://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _is_own(host: str) -> bool:
    if host == "localhost" or _LABELS.fullmatch(f"{host}."):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def domain_of(address: str) -> str:
    """How a domain is kept: `example.amocrm.ru`, with http:// in front where that is meant."""
    return origin(address).removeprefix("https://")


def follows(old: str, new: str) -> bool:
    """Whether an account at `old` may be followed to `new` (domains): only to a vendor's name, or from one address of a
    demonstration to another."""
    try:
        before, after = origin(old), origin(new)
    except ValueError:
        return False
    return urlsplit(before).scheme == urlsplit(after).scheme


def claims(token: str) -> dict[str, Any]:
    """What a token of the vendor says of itself, unproven: `account_id`, `api_domain`, `exp` …; {} where it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def token_of(secrets: Mapping[str, str]) -> str:
    """The access token: the application's, else the long-lived one that the customer typed."""
    return secrets.get("access_token") or secrets.get("long_lived_token") or ""


def account(secrets: Mapping[str, str]) -> str:
    """The account's id, which never changes, where it or a token that names it is known; else the domain."""
    known = secrets.get("account_id") or str(claims(token_of(secrets)).get("account_id") or "")
    if known:
        return known
    try:
        return origin(secrets.get("domain", "")).partition("://")[2]
    except ValueError:
        return ""


def limits(secrets: Mapping[str, str]) -> tuple[Limit, ...]:
    """7 requests a second, counted by the address they come from and not by account: who breaks it often is banned with
    all accounts (developers.kommo.com, "limitations"). So all accounts of one vendor's domain share one bucket; the
    domains stand for different servers. 5 a second and 2 at once make at most 7 in any second."""
    host = urlsplit(_origin_or_nothing(secrets)).netloc
    group = next((each for each in VENDORS if is_vendors(host) and host.endswith(each)), "")
    name = group or hashlib.sha256(host.encode()).hexdigest()[:16]
    return (Limit(f"amocrm:{name}", rate=_PER_SECOND, burst=_BURST),)


def _origin_or_nothing(secrets: Mapping[str, str]) -> str:
    try:
        return origin(secrets.get("domain", ""))
    except ValueError:
        return ""


def redirect_uri(secrets: Mapping[str, str]) -> str:
    """The way back after consent: as it was when the account was connected, for the vendor compares it for ever."""
    return secrets.get("redirect_uri") or own_redirect_uri()


def own_redirect_uri() -> str:
    """The way back of this installation, as the page of an account shows it."""
    return f"{getattr(settings, 'PUBLIC_URL', '')}/oauth/amocrm/"
