"""The CRMs that this installation can speak to: one for each folder beside this file."""

from __future__ import annotations

from functools import cache

import crm_adapters
from outbound import vendors

from .base import Adapter


@cache
def all_adapters() -> dict[str, Adapter]:
    return vendors.find(crm_adapters, "adapter", Adapter)  # type: ignore[type-abstract]


def get(slug: str) -> Adapter:
    """Raises `KeyError` for a CRM that is not installed."""
    return all_adapters()[slug]
