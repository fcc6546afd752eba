"""What needs somebody: shown on the overview, each with the page where it is put right. Asked for one company or for
all of them at once, in the same few queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from employees.models import Company, Extension
from telephony import coverage, history, silence
from telephony.hot import Constant
from telephony.models import Call, Connection, InboxEvent, Recording
from telephony.recordings import waiting_for_storage

from . import crm_events, radar, unwritten
from .models import Credential, Integration, WebhookEndpoint
from .unwritten import Chosen

Companies = QuerySet[Company]


@dataclass(frozen=True)
class Trouble:
    """`cause` stays the same as long as the trouble lasts."""

    company_id: int
    cause: str
    tone: str
    icon: str
    text: str
    link: str

    @property
    def grave(self) -> bool:
        return self.tone == "danger"


def of(company: Company) -> list[Trouble]:
    """The worst first, and at last what the company has chosen itself."""
    this = Company.objects.filter(pk=company.pk)
    return [*by_company(this)[company.pk], *_switched_off(this), *_recordings(this)]


def by_company(companies: Companies) -> defaultdict[int, list[Trouble]]:
    """What needs somebody in each of these companies, the worst first."""
    found: defaultdict[int, list[Trouble]] = defaultdict(list)
    for source in (*GRAVE, *_LESS):
        for trouble in source(companies):
            found[trouble.company_id].append(trouble)
    return found


def to_be_told(companies: Companies) -> Iterator[Trouble]:
    """What managers are told of by e-mail, and what they were told of and is not over: calls that were not written by
    cause, since another cause is another trouble."""
    for source in (_accounts, _lines, _silent, _storage, _coverage, _causes, _webhooks_off):
        yield from source(companies)


def _accounts(companies: Companies) -> Iterator[Trouble]:
    for row in Credential.objects.filter(company__in=companies).exclude(state=Credential.State.READY):
        new = row.state == Credential.State.NEW
        text = _("The account “%(name)s”: %(state)s.") % {"name": row, "state": row.get_state_display()}
        link = reverse("portal:credential", args=[row.uuid])
        yield Trouble(row.company_id, f"account:{row.uuid}", "warning" if new else "danger", "key_off", text, link)


def _lines(companies: Companies) -> Iterator[Trouble]:
    for row in silence.lines_down(companies):
        text = _("There is no connection to the PBX “%(name)s” since %(time)s. %(words)s") % {
            "name": row.connection.name,
            "time": _moment(row.connection.company, row.down_since),
            "words": row.error,
        }
        link = reverse("portal:connection", args=[row.connection.uuid])
        cause = f"line:{row.connection.uuid}"
        yield Trouble(row.connection.company_id, cause, "danger", "phone_disabled", text.strip(), link)


def _moment(company: Company, at: datetime | None) -> str:
    return date_format(at.astimezone(coverage.zone_of(company)), "d.m.Y H:i") if at else ""


def _silent(companies: Companies) -> Iterator[Trouble]:
    for row, last in silence.silent(companies):
        text = _("The PBX “%(name)s” has told us nothing since %(time)s. Are calls coming in? Check the connection.")
        values = {"name": row.name, "time": _moment(row.company, last)}
        link = reverse("portal:connection", args=[row.uuid])
        yield Trouble(row.company_id, f"silent:{row.uuid}", "danger", "phone_paused", text % values, link)


def _parked(companies: Companies) -> Iterator[Trouble]:
    rows = Chosen(Credential.objects.filter(company__in=companies), parked=True).rows()
    for company_id, count in rows.values_list("credential__company").annotate(Count("pk")).order_by():
        text = ngettext(
            "%(count)d call could not be written and waits for you.",
            "%(count)d calls could not be written and wait for you.",
            count,
        )
        yield Trouble(company_id, "parked", "danger", "block", text % {"count": count}, reverse("portal:unwritten"))


def _causes(companies: Companies) -> Iterator[Trouble]:
    for group in unwritten.groups(Chosen(Credential.objects.filter(company__in=companies))):
        text = ngettext(
            "%(count)d call could not be written into “%(name)s”: %(title)s. %(words)s",
            "%(count)d calls could not be written into “%(name)s”: %(title)s. %(words)s",
            group.count,
        )
        values = {"count": group.count, "name": group.credential, "title": group.title, "words": group.words}
        cause = f"unwritten:{group.credential.uuid}:{group.cause}"
        tone = "danger" if group.parked else "warning"
        link = reverse("portal:unwritten")
        yield Trouble(group.credential.company_id, cause, tone, "block", (text % values).strip(), link)


def _storage(companies: Companies) -> Iterator[Trouble]:
    waiting = waiting_for_storage().filter(company__in=companies).order_by()
    counts = list(waiting.values("company").annotate(count=Count("pk"), first=Min("pk")))
    firsts = Recording.objects.select_related("call").in_bulk([row["first"] for row in counts])
    for row in counts:
        if not (first := firsts.get(row["first"])):
            continue
        text = ngettext(
            "%(count)d recording waits: the storage does not take it (%(words)s). Make room; it is then stored by "
            "itself.",
            "%(count)d recordings wait: the storage does not take them (%(words)s). Make room; they are then stored by "
            "themselves.",
            row["count"],
        )
        values = {"count": row["count"], "words": first.error}
        link = reverse("portal:call", args=[first.call.uuid])
        yield Trouble(row["company"], "storage", "danger", "hard_drive", text % values, link)


def _failed_events(companies: Companies) -> Iterator[Trouble]:
    failed = InboxEvent.objects.filter(connection__company__in=companies, state=Constant(InboxEvent.State.FAILED))
    counts = dict(failed.values_list("connection").annotate(Count("pk")).order_by())
    for row in Connection.objects.filter(pk__in=counts):
        count = counts[row.pk]
        text = ngettext(
            "%(count)d event of “%(name)s” was not understood. Our support sees it.",
            "%(count)d events of “%(name)s” were not understood. Our support sees them.",
            count,
        )
        link = reverse("portal:connection", args=[row.uuid])
        words = text % {"count": count, "name": row.name}
        yield Trouble(row.company_id, f"events:{row.uuid}", "warning", "error", words, link)


def _coverage(companies: Companies) -> Iterator[Trouble]:
    """Days that are not whole."""
    for row, day, missing in coverage.holes(companies):
        text = ngettext(
            "%(count)d call of %(day)s that “%(name)s” has is not here.",
            "%(count)d calls of %(day)s that “%(name)s” has are not here.",
            missing,
        )
        values = {"count": missing, "day": date_format(day, "d.m.Y"), "name": row.name}
        link = reverse("portal:coverage", args=[row.uuid])
        yield Trouble(row.company_id, f"coverage:{row.uuid}:{day}", "danger", "fact_check", text % values, link)


def _history(companies: Companies) -> Iterator[Trouble]:
    """Nobody can say whether a day is whole: once for each connection."""
    for run in {run.connection_id: run for run in history.unanswered(companies)}.values():
        said = _("The history of “%(name)s” could not be asked: %(words)s")
        text = said % {"name": run.connection.name, "words": run.error}
        link = reverse("portal:coverage", args=[run.connection.uuid])
        yield Trouble(run.company_id, f"history:{run.connection.uuid}", "warning", "history", text, link)


def _crm_events(companies: Companies) -> Iterator[Trouble]:
    rows = crm_events.all_troubles().filter(credential__company__in=companies).order_by()
    counts = dict(rows.values_list("credential").annotate(Count("pk")))
    for row in Credential.objects.filter(pk__in=counts):
        count = counts[row.pk]
        text = ngettext(
            "%(count)d event of the account “%(name)s” did not lead to what the CRM asked for.",
            "%(count)d events of the account “%(name)s” did not lead to what the CRM asked for.",
            count,
        )
        link = reverse("portal:credential", args=[row.uuid]) + "#events"
        words = text % {"count": count, "name": row}
        yield Trouble(row.company_id, f"crm-events:{row.uuid}", "warning", "ads_click", words, link)


def _extensions(companies: Companies) -> Iterator[Trouble]:
    unknown: defaultdict[int, list[str]] = defaultdict(list)
    rows = Extension.objects.filter(company__in=companies, handling=Extension.Handling.UNKNOWN)
    for company_id, number in rows.values_list("company", "number"):
        unknown[company_id].append(number)
    for company_id, numbers in unknown.items():
        listed = ", ".join(numbers[:5]) + ("…" if len(numbers) > 5 else "")
        text = _("Extensions that nobody knows: %(numbers)s. Their calls wait for a decision.") % {"numbers": listed}
        yield Trouble(company_id, "extensions", "warning", "dialpad", text, reverse("portal:extensions"))


def _webhooks_off(companies: Companies) -> Iterator[Trouble]:
    """Those that we have switched off ourselves."""
    rows = WebhookEndpoint.objects.filter(company__in=companies, deleted_at=None, active=False).exclude(off_reason="")
    for row in rows.select_related("company"):
        text = _(
            "The webhook “%(name)s” is switched off since %(time)s: %(reason)s. Mend the programme, then switch it on."
        )
        values = {"name": row, "time": _moment(row.company, row.off_at), "reason": row.get_off_reason_display()}
        link = reverse("portal:webhook", args=[row.uuid])
        yield Trouble(row.company_id, f"webhook:{row.uuid}", "danger", "webhook", text % values, link)


def _webhooks_failing(companies: Companies) -> Iterator[Trouble]:
    """Those that have taken nothing for longer than a restart takes."""
    since = timezone.now() - timedelta(hours=1)
    rows = WebhookEndpoint.objects.filter(company__in=companies, active=True, failing_since__lt=since)
    for row in rows.select_related("company"):
        text = _("The webhook “%(name)s” takes nothing since %(time)s.")
        values = {"name": row, "time": _moment(row.company, row.failing_since)}
        link = reverse("portal:webhook_log", args=[row.uuid])
        yield Trouble(row.company_id, f"webhook-fails:{row.uuid}", "warning", "webhook", text % values, link)


def _twice(companies: Companies) -> Iterator[Trouble]:
    for found in radar.lately(Credential.objects.filter(company__in=companies)):
        text = ngettext(
            "%(count)d call of the last days stands in “%(name)s” twice: somebody else writes it too (%(writers)s).",
            "%(count)d calls of the last days stand in “%(name)s” twice: somebody else writes them too (%(writers)s).",
            found.count,
        )
        account = found.integration.credential
        writers = ", ".join(writer or _("unknown who") for writer, _count in found.writers.most_common(3))
        values = {"count": found.count, "name": account, "writers": writers}
        link = reverse("portal:unwritten") + "#twice"
        cause = f"twice:{found.integration.uuid}"
        yield Trouble(account.company_id, cause, "warning", "content_copy", text % values, link)


GRAVE = (_accounts, _lines, _silent, _parked, _storage, _coverage, _webhooks_off)
_LESS = (_failed_events, _history, _crm_events, _twice, _extensions, _webhooks_failing)


# --- What the company has chosen, or needs nobody ---------------------------------------------------------------------


def _switched_off(companies: Companies) -> Iterator[Trouble]:
    for row in Integration.objects.filter(company__in=companies, active=False).select_related("credential"):
        text = _("The integration “%(name)s” is switched off.") % {"name": row}
        link = reverse("portal:integration", args=[row.uuid])
        yield Trouble(row.company_id, f"off:{row.uuid}", "", "toggle_off", text, link)
    for item in Connection.objects.filter(company__in=companies, active=False):
        text = _("The PBX connection “%(name)s” is switched off.") % {"name": item.name}
        link = reverse("portal:connection", args=[item.uuid])
        yield Trouble(item.company_id, f"off:{item.uuid}", "", "toggle_off", text, link)


def _recordings(companies: Companies) -> Iterator[Trouble]:
    fresh = Call.objects.filter(company__in=companies, started_at__gte=timezone.now() - timedelta(days=7))
    failed = Recording.objects.filter(call__in=fresh, state=Recording.State.FAILED)
    for company_id, count in failed.values_list("call__company").annotate(Count("pk")).order_by():
        text = ngettext(
            "%(count)d recording could not be fetched.", "%(count)d recordings could not be fetched.", count
        )
        words = text % {"count": count}
        yield Trouble(company_id, "recordings", "", "voice_over_off", words, reverse("portal:calls"))
