"""The PBX protocols that this installation has: one for each folder beside this file."""

from __future__ import annotations

from functools import cache

from outbound import vendors
from telephony import providers

from .base import Brand, Provider


@cache
def all_providers() -> dict[str, Provider]:
    return vendors.find(providers, "provider", Provider)  # type: ignore[type-abstract]


def get(slug: str) -> Provider:
    """Raises `KeyError` for a protocol that is not installed."""
    return all_providers()[slug]


def brands() -> list[tuple[Provider, Brand]]:
    """The catalogue, by title."""
    rows = [(provider, brand) for provider in all_providers().values() for brand in provider.brands]
    return sorted(rows, key=lambda row: row[1].title.casefold())


def by_shared_path(path: str) -> tuple[Provider, str] | None:
    """The provider that owns a path without a token, and what follows it."""
    for provider in all_providers().values():
        for shared in provider.shared_paths:
            if path == shared or path.startswith(shared + "/"):
                return provider, path[len(shared) + 1 :]
    return None
