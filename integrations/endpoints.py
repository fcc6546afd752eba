"""Endpoints of webhooks: made, changed, given new secrets, switched on and off. Whoever asks (a page, the API) has
proven that he may."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from datetime import timedelta
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from employees.models import Company
from outbound.guard import is_public
from telephony.hot import Constant, hot_write
from telephony.models import Connection

from . import signatures
from .models import WebhookDelivery, WebhookEndpoint
from .payloads import KINDS

log = structlog.get_logger(__name__)

State = WebhookDelivery.State
MOST = 20
"""Endpoints of one company: each of them is one message more for every event."""
OVERLAP = timedelta(hours=24)
"""For so long after a rotation messages are signed with the secrets before as well."""


def of(company: Company) -> QuerySet[WebhookEndpoint]:
    """Those that are not deleted."""
    return WebhookEndpoint.objects.filter(company=company, deleted_at=None)


def checked_url(text: str) -> str:
    """An address that we may send to; raises `ValidationError` where it cannot be one. What its name leads to is looked
    at each time that we connect."""
    url = text.strip()
    schemes = ["http", "https"] if settings.ALLOW_PRIVATE_HOSTS else ["https"]
    try:
        URLValidator(schemes)(url)
        parts = urlsplit(url)
        host = parts.hostname or ""
    except (ValidationError, ValueError):
        raise ValidationError(_("Enter a whole address that begins with https://, as your programme has it.")) from None
    if parts.username or parts.password:
        raise ValidationError(_("Leave out name and password: our signature proves who is sending."))
    if parts.fragment:
        raise ValidationError(_("Leave out the part behind #: it is never sent."))
    if not settings.ALLOW_PRIVATE_HOSTS and _is_private(host):
        raise ValidationError(_("This address cannot be reached from the internet. Enter a public one."))
    return url


def _is_private(host: str) -> bool:
    try:
        return not is_public(str(ipaddress.ip_address(host)))
    except ValueError:
        return host == "localhost" or "." not in host


def checked_kinds(kinds: Collection[str]) -> str:
    """As they are stored; raises `ValidationError` for none, and for what is no type of event."""
    if unknown := set(kinds) - KINDS.keys():
        raise ValidationError(_("There is no event “%(kind)s”.") % {"kind": sorted(unknown)[0]})
    if not kinds:
        raise ValidationError(_("Choose at least one event."))
    return " ".join(kind for kind in KINDS if kind in kinds)


def create(
    company: Company, url: str, kinds: Collection[str], *, name: str = "", connections: Collection[Connection] = ()
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret, which is not shown again. Raises `ValidationError`."""
    if of(company).count() >= MOST:
        raise ValidationError(_("A company has %(count)d webhooks at most. Delete one first.") % {"count": MOST})
    secret = signatures.new_secret()
    row = WebhookEndpoint(company=company)
    row.keys = [(secret, None)]
    change(row, url, kinds, name=name, connections=connections)
    return row, secret


def change(
    row: WebhookEndpoint, url: str, kinds: Collection[str], *, name: str = "", connections: Collection[Connection] = ()
) -> None:
    """Raises `ValidationError`, and then nothing is changed. `connections`: of the endpoint's company."""
    row.url, row.kinds, row.name = checked_url(url), checked_kinds(kinds), name
    row.host = (urlsplit(row.url).hostname or "")[:255]
    with hot_write():
        row.save(update_fields=["url", "host", "kinds", "name"] if row.pk else None)
        row.connections.set(connections)


def rotate(row: WebhookEndpoint) -> str:
    """A new secret, which is not shown again. Those before sign for a day more."""
    secret, ends = signatures.new_secret(), timezone.now() + OVERLAP
    with hot_write():
        keys = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=row.pk).keys
        row.keys = [(secret, None), *((text, min(until or ends, ends)) for text, until in keys)]
        row.save(update_fields=["secrets"])
    return secret


def switch_on(row: WebhookEndpoint) -> None:
    """It begins anew: what was, is forgotten. What happened meanwhile was not kept for it."""
    row.active, row.off_at, row.off_reason = True, None, ""
    row.failing_since, row.failures, row.open_at = None, 0, None
    with hot_write():
        row.save(update_fields=["active", "off_at", "off_reason", "failing_since", "failures", "open_at"])


def switch_off(row: WebhookEndpoint, reason: str = "") -> None:
    """By a person, or by ourselves for a `reason`. What waits is given up and can be sent once more afterwards."""
    row.active, row.off_at, row.off_reason, row.lease, row.lease_until = False, timezone.now(), reason, None, None
    with hot_write():
        row.save(update_fields=["active", "off_at", "off_reason", "lease", "lease_until"])
        waiting = row.deliveries.filter(state=Constant(State.WAITING))
        waiting.update(state=State.FAILED, due_at=None, error=gettext_noop("the webhook was switched off"))
    if reason:
        log.warning("a webhook is switched off", endpoint=str(row.uuid), reason=reason)


def delete(row: WebhookEndpoint) -> None:
    """At once for everybody; its log goes in the background, when no process remembers it any more."""
    row.deleted_at, row.url = timezone.now(), ""
    with hot_write():
        switch_off(row)
        row.save(update_fields=["deleted_at", "url"])
