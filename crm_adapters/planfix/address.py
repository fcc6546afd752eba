"""Where an account is and what names it: the address of its telephony API, the address of its REST API, limits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import urlsplit

from crm_adapters.values import is_host
from outbound.limits import Limit


def origin(address: str) -> str:
    """`https://host[:port]` for what a customer typed, with or without scheme; a page behind it is dropped.

    http:// stays only where it was typed. Raises `ValueError` when there is no host in it.
    """
    text = address.strip()
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.scheme not in ("http", "https") or parts.username is not None or not is_host(parts.hostname or ""):
        raise ValueError("no account's address")
    _ = parts.port  # raises ValueError for one that is none
    return f"{parts.scheme}://{parts.netloc.lower()}"


def of(secrets: Mapping[str, str]) -> str:
    """The account's origin; "" as long as nobody has told it.

    Planfix's own word counts before the customer's: a renamed account calls `setup` again, and its old address is dead.
    """
    for known in (secrets.get("planfix_url", ""), secrets.get("domain", "")):
        try:
            return origin(known)
        except ValueError:
            continue
    return ""


def account(secrets: Mapping[str, str]) -> str:
    """The account's host: all that names it."""
    return of(secrets).partition("://")[2]


def has_voip(secrets: Mapping[str, str]) -> bool:
    """Whether Planfix has told where its telephony API is."""
    return bool(secrets.get("planfix_url") and secrets.get("planfix_token"))


def rest_limit(secrets: Mapping[str, str]) -> Limit:
    """One request a second for the account, whichever token it comes with (REST API, limits).

    A little slower: two requests that leave a second apart may arrive nearer to each other.
    """
    name = hashlib.sha256(account(secrets).encode()).hexdigest()[:16]
    return Limit(f"planfix:{name}", rate=0.9, burst=1)


def limits(secrets: Mapping[str, str]) -> tuple[Limit, ...]:
    """What a step costs at the least: nothing by the telephony API, which names no limit. REST requests pay each for
    themselves (`rest.Account`)."""
    return () if has_voip(secrets) else (rest_limit(secrets),)
