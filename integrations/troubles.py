"""What needs somebody: shown on the overview, each with the page where it is put right."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from employees.models import Company, Extension
from telephony.models import Call, Connection, InboxEvent, Recording
from telephony.recordings import waiting_for_storage

from .models import CallSync, Credential, Integration


@dataclass(frozen=True)
class Trouble:
    tone: str
    icon: str
    text: str
    link: str


def of(company: Company) -> list[Trouble]:
    """The worst first."""
    found = [*_accounts(company), *_parked(company), *_storage(company), *_failed_events(company)]
    return [*found, *_extensions(company), *_switched_off(company), *_recordings(company)]


def _accounts(company: Company) -> list[Trouble]:
    rows = Credential.objects.filter(company=company).exclude(state=Credential.State.READY)
    found = []
    for row in rows:
        new = row.state == Credential.State.NEW
        text = _("The account “%(name)s”: %(state)s.") % {"name": row, "state": row.get_state_display()}
        link = reverse("portal:credential", args=[row.uuid])
        found.append(Trouble("warning" if new else "danger", "key_off", text, link))
    return found


def _parked(company: Company) -> list[Trouble]:
    count = CallSync.objects.filter(credential__company=company, parked=True).count()
    text = ngettext(
        "%(count)d call could not be written and waits for you.",
        "%(count)d calls could not be written and wait for you.",
        count,
    )
    link = reverse("portal:calls") + "?crm=problem"
    return [Trouble("danger", "block", text % {"count": count}, link)] if count else []


def _storage(company: Company) -> list[Trouble]:
    rows = waiting_for_storage().filter(company=company)
    if not (first := rows.first()):
        return []
    count = rows.count()
    text = ngettext(
        "%(count)d recording waits: the storage does not take it (%(words)s). Make room; it is then stored by itself.",
        "%(count)d recordings wait: the storage does not take them (%(words)s). Make room; they are then stored by "
        "themselves.",
        count,
    )
    values = {"count": count, "words": first.error}
    return [Trouble("danger", "hard_drive", text % values, reverse("portal:call", args=[first.call.uuid]))]


def _failed_events(company: Company) -> list[Trouble]:
    found = []
    for row in Connection.objects.filter(company=company):
        count = InboxEvent.objects.filter(connection=row, state=InboxEvent.State.FAILED).count()
        if count:
            text = ngettext(
                "%(count)d event of “%(name)s” was not understood. Our support sees it.",
                "%(count)d events of “%(name)s” were not understood. Our support sees them.",
                count,
            )
            values = {"count": count, "name": row.name}
            found.append(Trouble("warning", "error", text % values, reverse("portal:connection", args=[row.uuid])))
    return found


def _extensions(company: Company) -> list[Trouble]:
    rows = Extension.objects.filter(company=company, handling=Extension.Handling.UNKNOWN)
    numbers = list(rows.values_list("number", flat=True)[:6])
    if not numbers:
        return []
    listed = ", ".join(numbers[:5]) + ("…" if len(numbers) > 5 else "")
    text = _("Extensions that nobody knows: %(numbers)s. Their calls wait for a decision.") % {"numbers": listed}
    return [Trouble("warning", "dialpad", text, reverse("portal:extensions"))]


def _switched_off(company: Company) -> list[Trouble]:
    found: list[Trouble] = []
    for row in Integration.objects.filter(company=company, active=False).select_related("credential"):
        text = _("The integration “%(name)s” is switched off.") % {"name": row}
        found.append(Trouble("", "toggle_off", text, reverse("portal:integration", args=[row.uuid])))
    for item in Connection.objects.filter(company=company, active=False):
        text = _("The PBX connection “%(name)s” is switched off.") % {"name": item.name}
        found.append(Trouble("", "toggle_off", text, reverse("portal:connection", args=[item.uuid])))
    return found


def _recordings(company: Company) -> list[Trouble]:
    fresh = Call.objects.filter(company=company, started_at__gte=timezone.now() - timedelta(days=7))
    count = Recording.objects.filter(call__in=fresh, state=Recording.State.FAILED).count()
    text = ngettext("%(count)d recording could not be fetched.", "%(count)d recordings could not be fetched.", count)
    link = reverse("portal:calls")
    return [Trouble("", "voice_over_off", text % {"count": count}, link)] if count else []


def first_steps(company: Company) -> list[dict[str, Any]]:
    """What a new company does first; empty when all is done."""
    steps = [
        (_("Connect your PBX"), "connections", Connection.objects.filter(company=company).exists()),
        (_("Connect your CRM's account"), "credentials", Credential.objects.filter(company=company).exists()),
        (_("Say whose the extensions are"), "employees", Extension.objects.filter(company=company).exists()),
        (
            _("Switch an integration on"),
            "integrations",
            Integration.objects.filter(company=company, active=True).exists(),
        ),
    ]
    if all(done for _title, _page, done in steps):
        return []
    return [{"title": title, "link": reverse(f"portal:{page}"), "done": done} for title, page, done in steps]
