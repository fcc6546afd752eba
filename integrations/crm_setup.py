"""What stands in a CRM because our integrations need it: event handlers, lines, the sign that we are connected."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from outbound.errors import OutboundError
from telephony.models import VirtualNumber

from . import credentials, modes, sync
from .models import CallSync, Credential, Integration

log = structlog.get_logger(__name__)

OTHER_MODE = "other"
"""Stands in the adapter's setting where no active integration has employees talk in the CRM's pages."""


def prepare(credential: Credential) -> None:
    """Set it up. Raises `outbound.errors`."""
    adapter = credential.adapter
    if not adapter.prepares:
        return
    integration = Integration.objects.filter(credential=credential).order_by("-active", "id").first()
    settings = dict(integration.settings) if integration else {}
    # One page of phones serves all integrations of the account, and goes with the last that needs it.
    name, value = adapter.browser_phone_setting or ("", "")
    if name in settings:
        settings[name] = value if modes.in_browser(credential) else OTHER_MODE
    lines = {row.number: row.line_name for row in lines_of(credential.integrations.all())}
    http = credentials.http_for(credential, purpose="set-up")
    credentials.speaking(
        credential, http, lambda secrets: adapter.prepare(http, secrets, credential.handler_url, lines, settings)
    )
    if credential.state != Credential.State.READY:
        credentials.store(credential, {})
        sync.resume(credential)


def retire(credential: Credential) -> None:
    """Take it down, if no active integration is left and every call that was begun is written. Raises
    `outbound.errors`."""
    adapter = credential.adapter
    if not adapter.retires or not _unused().filter(pk=credential.pk).exists():
        return
    http = credentials.http_for(credential, purpose="set-up")
    credentials.speaking(credential, http, lambda secrets: adapter.retire(http, secrets))
    Credential.objects.filter(pk=credential.pk, state=Credential.State.READY).update(state=Credential.State.NEW)


def retire_unused() -> None:
    """Those that had calls under way when their last integration was switched off."""
    for credential in _unused():
        try:
            retire(credential)
        except OutboundError as error:
            log.warning("could not take down what was set up", credential=str(credential.uuid), words=error.words)


def _unused() -> QuerySet[Credential]:
    under_way = CallSync.objects.filter(
        credential=OuterRef("pk"), state=CallSync.State.WANTED, parked=False, wanted__gt=F("noted")
    )
    connected = Credential.objects.filter(state=Credential.State.READY)
    return connected.exclude(integrations__active=True).exclude(Exists(under_way))


def lines_of(integrations: Iterable[Integration]) -> list[VirtualNumber]:
    """The lines whose calls these integrations write, by number."""
    wanted = Q(pk=None)
    for row in integrations:
        wanted |= Q(integrations=row) if row.filter_numbers else Q(connection__integrations=row)
    return list(VirtualNumber.objects.filter(wanted).order_by("number").distinct())
