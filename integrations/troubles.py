"""What needs somebody: shown on the overview, each with the page where it is put right."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from employees.models import Company, Extension
from telephony import coverage, history
from telephony.models import Call, Connection, HistoryRun, InboxEvent, Recording
from telephony.recordings import waiting_for_storage

from . import crm_events
from .models import Credential, Integration
from .unwritten import Chosen


@dataclass(frozen=True)
class Trouble:
    tone: str
    icon: str
    text: str
    link: str


def of(company: Company) -> list[Trouble]:
    """The worst first."""
    found = [*_accounts(company), *_parked(company), *_storage(company), *_failed_events(company)]
    found += [*_crm_events(company), *_coverage(company), *_extensions(company)]
    return [*found, *_switched_off(company), *_recordings(company)]


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
    count = Chosen(Credential.objects.filter(company=company), parked=True).rows().count()
    text = ngettext(
        "%(count)d call could not be written and waits for you.",
        "%(count)d calls could not be written and wait for you.",
        count,
    )
    link = reverse("portal:unwritten")
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


def _coverage(company: Company) -> list[Trouble]:
    """Yesterday is not whole, or nobody can say whether it is."""
    found = []
    for row in Connection.objects.filter(company=company, active=True).select_related("company"):
        link = reverse("portal:coverage", args=[row.uuid])
        missing = len(coverage.absent(row, timezone.localdate() - timedelta(days=1)))
        if missing:
            text = ngettext(
                "%(count)d call of yesterday that “%(name)s” has is not here.",
                "%(count)d calls of yesterday that “%(name)s” has are not here.",
                missing,
            )
            found.append(Trouble("danger", "fact_check", text % {"count": missing, "name": row.name}, link))
        for run in history.shown(row):
            if run.error and run.state in (HistoryRun.State.OPEN, HistoryRun.State.FAILED):
                said = _("The history of “%(name)s” could not be asked: %(words)s")
                found.append(Trouble("warning", "history", said % {"name": row.name, "words": run.error}, link))
    return found


def _crm_events(company: Company) -> list[Trouble]:
    found = []
    for row in Credential.objects.filter(company=company):
        if count := crm_events.troubles(row).count():
            text = ngettext(
                "%(count)d event of the account “%(name)s” did not lead to what the CRM asked for.",
                "%(count)d events of the account “%(name)s” did not lead to what the CRM asked for.",
                count,
            )
            link = reverse("portal:credential", args=[row.uuid]) + "#events"
            found.append(Trouble("warning", "ads_click", text % {"count": count, "name": row}, link))
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
