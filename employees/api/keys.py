"""API keys: what they may do, how they are made, found, replaced and taken back.

A key is `cb_` and 43 letters; the first eleven characters are shown ever after, the whole is known once. It is random
enough for a plain digest.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from employees import audit
from employees.models import ApiKey, Change, Company, Partner, User

AREAS = {
    "companies": _("companies and their settings"),
    "people": _("members, employees, extensions"),
    "connections": _("PBX connections, numbers, lines"),
    "integrations": _("CRM credentials, integrations, rules"),
    "calls": _("calls, passports, reports, coverage"),
    "recordings": _("recordings"),
    "clients": _("clients, comments, tasks"),
    "commands": _("dial, hang up, transfer"),
    "problems": _("what is not written, and its cures"),
    "webhooks": _("webhooks to your own server"),
    "keys": _("API keys"),
}
"""What the API is about; a scope is an area with `:read` or `:write`."""
SCOPES = [f"{area}:{action}" for area in AREAS for action in ("read", "write")]
OVERLAP = timedelta(hours=24)
"""How long a secret goes on working after it was replaced."""
SHOWN = 11
USED_SECONDS = 60
"""The time of the last use is written down at most this often."""


def issue(
    owner: Company | Partner,
    name: str,
    scopes: Iterable[str],
    *,
    expires_at: datetime | None = None,
    by: User | None = None,
) -> tuple[ApiKey, str]:
    """A new key with its secret, which is known at this moment only."""
    secret = _secret()
    row = ApiKey(name=name, scopes=_sorted(scopes), expires_at=expires_at, created_by=by)
    row.prefix, row.digest = secret[:SHOWN], _digest(secret)
    if isinstance(owner, Company):
        row.company = owner
    else:
        row.partner = owner
    row.save()
    return row, secret


def find(secret: str) -> ApiKey | None:
    """The key that works with this secret."""
    digest = _digest(secret)
    replaced = Q(previous_digest=digest, previous_until__gt=timezone.now())
    row = ApiKey.objects.select_related("company", "partner").filter(Q(digest=digest) | replaced).first()
    return row if row and row.works else None


def companies_of(row: ApiKey) -> QuerySet[Company]:
    """Those that it may speak about."""
    if row.partner:
        return Company.objects.filter(partner=row.partner)
    return Company.objects.filter(api_keys=row)


def rotate(row: ApiKey) -> str:
    """A new secret; the old one works for a day more."""
    secret = _secret()
    row.previous_digest, row.previous_until = row.digest, timezone.now() + OVERLAP
    row.prefix, row.digest = secret[:SHOWN], _digest(secret)
    row.save(update_fields=["previous_digest", "previous_until", "prefix", "digest"])
    audit.note(row, [audit.secret_line(_("API key"))])
    return secret


def revoke(row: ApiKey) -> None:
    """It works no more, from now on; nor does the one before it."""
    row.revoked_at = timezone.now()
    row.save(update_fields=["revoked_at"])
    audit.note(row, [], Change.Action.DELETED)


def used(row: ApiKey) -> None:
    now = timezone.now()
    if row.last_used_at is None or now - row.last_used_at > timedelta(seconds=USED_SECONDS):
        ApiKey.objects.filter(pk=row.pk).update(last_used_at=now)


def _secret() -> str:
    return f"cb_{secrets.token_urlsafe(32)}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _sorted(scopes: Iterable[str]) -> list[str]:
    return sorted(set(scopes), key=SCOPES.index)
