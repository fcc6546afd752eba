"""The guided path in a partner's own pages: its links, and the sessions that they open.

Nobody is signed in there. A session is of one company, reaches the pages of the path alone (`integrations.embedded`),
and may at no moment do what the key that made its link may not.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from . import audit
from .models import ApiKey, Change, Company, Embedding

AREAS = ("companies", "people", "connections", "integrations")
SCOPES = [f"{area}:{action}" for area in AREAS for action in ("read", "write")]
"""What the pages of the path do, as scopes of the API."""
SESSION_KEY = "embedding"
LINK_LIVES, LINK_LIVES_LONGEST = timedelta(minutes=5), timedelta(minutes=15)
IDLE, LONGEST = timedelta(hours=1), timedelta(hours=8)
SEEN = timedelta(minutes=1)
"""The time of the last use is written down at most this often."""


def missing(key: ApiKey) -> list[str]:
    """Scopes that a key lacks for this."""
    return [scope for scope in SCOPES if scope not in key.scopes]


def make(company: Company, key: ApiKey, lives: timedelta = LINK_LIVES) -> tuple[Embedding, str]:
    """A link, with its address, which is known at this moment only."""
    token = secrets.token_urlsafe(32)
    expires_at = timezone.now() + lives
    row = Embedding.objects.create(company=company, key=key, digest=_digest(token), expires_at=expires_at)
    return row, settings.PUBLIC_URL + reverse("embedding", args=[token])


def by_token(token: str) -> Embedding | None:
    """Of any link that there ever was; whether it works says `usable`."""
    return _rows().filter(digest=_digest(token)).first()


def by_uuid(uuid: str) -> Embedding | None:
    return _rows().filter(uuid=uuid).first()


def usable(row: Embedding) -> bool:
    """Whether the link may be opened now."""
    return row.opened_at is None and row.expires_at > timezone.now() and _allowed(row)


def enter(request: HttpRequest, row: Embedding) -> bool:
    """The link becomes the session of this browser. False where it was used meanwhile."""
    now = timezone.now()
    if not Embedding.objects.filter(pk=row.pk, opened_at=None, expires_at__gt=now).update(opened_at=now, seen_at=now):
        return False
    request.session.cycle_key()
    request.session[SESSION_KEY] = row.pk
    request.session.set_expiry(int(LONGEST.total_seconds()))
    with audit.acting(actor_of(request, row)):
        audit.note(row, [], Change.Action.SIGNED_IN)
    return True


def goes_on(request: HttpRequest, row: Embedding) -> bool:
    """Whether this browser has the session, and it lasts."""
    now = timezone.now()
    if request.session.get(SESSION_KEY) != row.pk or row.opened_at is None or row.seen_at is None:
        return False
    if row.seen_at < now - IDLE or row.opened_at < now - LONGEST or not _allowed(row):
        return False
    Embedding.objects.filter(pk=row.pk, seen_at__lt=now - SEEN).update(seen_at=now)
    return True


def actor_of(request: HttpRequest, row: Embedding) -> audit.Actor:
    return audit.Actor(None, f"partner · {row.partner}"[:254], audit.address_of(request))


def _rows() -> QuerySet[Embedding]:
    return Embedding.objects.select_related("company", "key__partner")


def _allowed(row: Embedding) -> bool:
    return row.key.works and row.company.partner_id == row.key.partner_id and not missing(row.key)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
