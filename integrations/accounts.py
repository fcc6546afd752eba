"""What people and programs do with a CRM account: enter its keys and try them, set it up in the CRM, delete it.

What a CRM says is told in words; what it says while something is set up or taken down keeps nobody from working.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db.models import RestrictedError
from django.utils.translation import gettext as _

from crm_adapters.base import Capability
from outbound.errors import OutboundError
from outbound.vendors import Check
from telephony.words import unreachable

from . import credentials, crm_lists, crm_setup, sync
from .journal import PAUSED
from .models import Credential, Integration

ASK_SECONDS = 10.0


def explained(row: Credential, error: OutboundError) -> str:
    """An error of the CRM as a sentence, with what a customer can do about it."""
    words = unreachable(row.adapter.title, error.kind, error.words)
    cure = row.adapter.errors_help(error)
    return f"{words}. {cure}" if cure else words


def oauth_url(crm: str) -> str:
    """Where the CRM sends people back to."""
    return f"{settings.PUBLIC_URL}/oauth/{crm}/"


def can_connect(row: Credential | None) -> bool:
    """Whether somebody may be sent to the CRM to connect the account."""
    if row is None or Capability.OAUTH not in row.adapter.capabilities:
        return False
    return bool(row.adapter.authorise_url(row.values, "state"))


# --- Keys -------------------------------------------------------------------------------------------------------------


def enter(row: Credential, entered: Mapping[str, Any]) -> None:
    """What was entered replaces what the form has; what the CRM gave (tokens) stays while the account is the same."""
    before = row.values if row.pk else {}
    new = {name: "" if value is None else str(value) for name, value in entered.items()}
    changed = any(before.get(name, "") != value for name, value in new.items())
    row.values = {**before, **new}
    if changed and row.state in PAUSED:
        row.state, row.state_words = Credential.State.NEW, ""
    row.save()
    if changed:
        crm_lists.forget(row)


def check(row: Credential) -> list[Check]:
    """Ask the CRM whether it takes the keys; where it does, what waited for them flows. Raises `outbound.errors`."""
    http = credentials.http_for(row, purpose="check", deadline=ASK_SECONDS)
    checks = credentials.speaking(row, http, lambda secrets: row.adapter.check(http, secrets))
    row.refresh_from_db()
    # Where an account is set up without being connected by hand, only setting it up proves it.
    proven = not row.adapter.prepares or Capability.OAUTH in row.adapter.capabilities
    if proven and checks and all(each.ok for each in checks) and row.state != Credential.State.READY:
        credentials.store(row, {})
        sync.resume(row)
    return checks


def revive(row: Credential) -> None:
    """New keys of an account whose calls wait: they flow at once if the CRM takes them. Else its state says why."""
    with suppress(OutboundError):
        if all(each.ok for each in check(row)) and row.state != Credential.State.READY:
            crm_setup.prepare(row)


def delete(row: Credential) -> str:
    """Empty, or why it was not deleted: an integration uses the account."""
    try:
        row.delete()
    except RestrictedError:
        where = ", ".join(f"“{item}”" for item in row.integrations.all()) or _("the calls that were written into it")
        words = _("“%(name)s” is in use and was not deleted. It is used by: %(where)s.")
        return words % {"name": row, "where": where}
    return ""


# --- Setting up -------------------------------------------------------------------------------------------------------


def prepare(row: Credential) -> str:
    """Set up in the CRM what we need there. Empty, or what went wrong."""
    try:
        crm_setup.prepare(row)
    except OutboundError as error:
        said = _("The CRM was not set up completely: %(words)s Use “Set up in the CRM” on the account's page again.")
        return said % {"words": explained(row, error)}
    return ""


def retire(row: Credential, talked: bool = False) -> str:
    """Nothing of ours is left in a CRM that no integration speaks to. `talked`: an integration by which employees
    talked in its pages (`modes`) does not speak to it any more. Empty, or what went wrong."""
    try:
        crm_setup.retire(row)
        if talked and row.integrations.filter(active=True).exists():
            crm_setup.prepare(row)  # the others may need no page for phones
    except OutboundError as error:
        said = _("The CRM could not be told that the integration is off: %(words)s")
        return said % {"words": explained(row, error)}
    return ""


def settle(integration: Integration, before: Credential, talked: bool = False) -> list[str]:
    """What a change of an integration means in its CRM, and in its CRM `before`. `talked`: as in `retire`, before the
    change. Returns what went wrong."""
    said = [retire(before, talked)] if before != integration.credential else []
    said.append(prepare(integration.credential) if integration.active else retire(integration.credential, talked))
    return [words for words in said if words]
