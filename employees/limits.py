"""How much a company may have: what support has set on it. Where nothing is set there is no limit."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from .models import Company

REACHED = {
    "most_connections": _("Your company has as many PBX connections as it may (%(most)d)."),
    "most_integrations": _("Your company has as many integrations as it may (%(most)d)."),
    "most_members": _("Your company has, or has invited, as many members as it may (%(most)d)."),
}
WHAT_TO_DO = _("Delete what is not needed, or write to our support.")


def reached(company: Company, limit: str, *rows: QuerySet[Any]) -> str:
    """Why there may be no more of these rows; empty while there may."""
    most: int | None = getattr(company, limit)
    if most is None or sum(each.count() for each in rows) < most:
        return ""
    return f"{REACHED[limit] % {'most': most}} {WHAT_TO_DO}"
