"""What stands in a CRM because our integrations need it: event handlers, lines, the sign that we are connected."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q

from telephony.models import VirtualNumber

from . import credentials, sync
from .models import Credential, Integration


def prepare(credential: Credential) -> None:
    """Set it up. Raises `outbound.errors`."""
    adapter = credential.adapter
    if not adapter.prepares:
        return
    integration = Integration.objects.filter(credential=credential).order_by("-active", "id").first()
    settings = integration.settings if integration else {}
    lines = {row.number: row.line_name for row in lines_of(credential.integrations.all())}
    http = credentials.http_for(credential, purpose="set-up")
    credentials.speaking(
        credential, http, lambda secrets: adapter.prepare(http, secrets, credential.handler_url, lines, settings)
    )
    if credential.state == Credential.State.NEW:
        credentials.store(credential, {})
        sync.resume(credential)


def retire(credential: Credential) -> None:
    """Take it down, if no active integration is left. Raises `outbound.errors`."""
    if credential.state != Credential.State.READY or credential.integrations.filter(active=True).exists():
        return
    http = credentials.http_for(credential, purpose="set-up")
    credentials.speaking(credential, http, lambda secrets: credential.adapter.retire(http, secrets))


def lines_of(integrations: Iterable[Integration]) -> list[VirtualNumber]:
    """The lines whose calls these integrations write, by number."""
    wanted = Q(pk=None)
    for row in integrations:
        wanted |= Q(integrations=row) if row.filter_numbers else Q(connection__integrations=row)
    return list(VirtualNumber.objects.filter(wanted).order_by("number").distinct())
