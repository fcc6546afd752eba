"""The portal's pages of calls: overview, journal, passport, decisions about extensions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from clients import book
from employees.forms import back
from employees.models import Employee, Extension
from employees.rights import Right, may
from employees.sites import PortalRequest, company_of, mine, my, portal
from telephony import journal as telephony_journal
from telephony.fold import Source
from telephony.models import OUTCOMES, Call, VirtualNumber
from telephony.providers.base import Capability

from . import actors, columns, decisions, passport, path, troubles
from .columns import ColumnsForm
from .decisions import Choice
from .journal import CrmJournalFilter, attach_standings
from .models import CallSync

CALLS = gettext_lazy("Calls")


# --- Overview ---------------------------------------------------------------------------------------------------------


@portal.page("", name="index", right=Right.READ)
def index(request: PortalRequest) -> HttpResponse:
    """How it stands; with the header `X-Part` only that, for pages that live."""
    company = company_of(request)
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    today = mine(request, Call).filter(started_at__gte=midnight).exclude(source=Source.TRIAL)
    counts = dict(today.values_list("outcome").annotate(Count("pk")).order_by())
    manages = may(request.membership, Right.MANAGE)
    context = {
        "title": _("Overview"),
        "tiles": [(value, label, counts.get(value, 0)) for value, label in OUTCOMES if counts.get(value)],
        "total": sum(counts.values()),
        "live": counts.get("", 0),
        "problems": troubles.of(company) if manages else [],
        "path": path.of(company) if manages and not path.landed(company) else None,
    }
    part = "portal/parts/overview.html" if request.headers.get("X-Part") else "portal/index.html"
    return portal.render(request, part, context)


# --- Journal ----------------------------------------------------------------------------------------------------------


@portal.page("calls/", name="calls", right=Right.READ)
def calls(request: PortalRequest) -> HttpResponse:
    """The journal; with the header `X-Part` only its rows, for pages that live."""
    asked = CrmJournalFilter(company_of(request), request.GET)
    page = telephony_journal.page(asked.calls(), request.GET.get("before", ""), request.GET.get("after", ""))
    attach_standings(page.live + page.calls)
    query = request.GET.copy()
    for name in ("before", "after"):
        query.pop(name, None)
    context = {
        "title": _("Journal of calls"),
        "form": asked,
        "page": page,
        "query": query.urlencode(),
        "narrowed": asked.narrowed,
        "columns": (chosen := columns.of(request.membership)),
        "choice": ColumnsForm(initial={"columns": chosen}),
        "lines": dict(mine(request, VirtualNumber).exclude(line_name="").values_list("number", "line_name")),
    }
    if request.headers.get("X-Part"):
        return portal.render(request, "portal/parts/calls.html", context)
    return portal.render(request, "portal/calls.html", context)


# --- Passport ---------------------------------------------------------------------------------------------------------


@portal.page("calls/<uuid:uuid>/", name="call", right=Right.READ)
def call(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Call, uuid=uuid)
    part = "portal/parts/passport.html" if request.headers.get("X-Part") else "portal/call.html"
    return portal.render(request, part, passport_context(row))


def passport_context(row: Call) -> dict[str, Any]:
    """What the passport's page shows, to customers and to support."""
    client = row.client or telephony_journal.named(row)
    capabilities = row.connection.protocol.able(row.connection.credentials)
    return {
        "title": _("Call of %(time)s") % {"time": timezone.localtime(row.started_at).strftime("%d.%m.%Y %H:%M:%S")},
        "call": row,
        "client": client,
        "passport": passport.compose(row),
        "comments": book.comments(row.company, row.client_phone, row.uuid)[:20],
        "can_hang_up": not row.finished and bool(row.live_leg) and Capability.HANGUP in capabilities,
        "has_integrations": row.company.integrations.exists(),
        "handling": Extension.Handling,
        "employees": Employee.objects.filter(company=row.company_id),
    }


@portal.page("calls/<uuid:uuid>/retry/", name="call_retry", right=Right.MANAGE, posts=True)
def call_retry(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Call, uuid=uuid)
    chosen = request.POST.get("sync", "")
    rows = CallSync.objects.filter(call=row)
    actors.retry(rows.filter(pk=int(chosen)) if chosen.isdecimal() else rows)
    messages.success(request, _("It is tried again now."))
    return redirect("portal:call", row.uuid)


# --- Decisions about extensions ---------------------------------------------------------------------------------------


@portal.page("extensions/", name="extensions", right=Right.MANAGE)
def extensions(request: HttpRequest) -> HttpResponse:
    company = company_of(request)
    open_ = decisions.undecided(company)
    decided = mine(request, Extension).exclude(pk__in=[row.pk for row in open_]).select_related("employee")
    context = {
        "title": _("Extensions"),
        "open": open_,
        "decided": decided.order_by("number"),
        "employees": mine(request, Employee),
        "handling": Extension.Handling,
    }
    return portal.render(request, "portal/extensions.html", context)


@portal.page("extensions/<int:pk>/", name="extension", right=Right.MANAGE, posts=True)
def extension(request: HttpRequest, pk: int) -> HttpResponse:
    """One click: whose extension it is, or what else happens with its calls; `write` also writes those that waited."""
    return _decide(request, my(request, Extension, pk=pk))


@portal.page("calls/<uuid:uuid>/extension/", name="call_extension", right=Right.MANAGE, posts=True)
def call_extension(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The same from a call's passport, which knows the extension by its number."""
    my(request, Call, uuid=uuid)
    return _decide(request, my(request, Extension, number=request.POST.get("number", "")))


def _decide(request: HttpRequest, row: Extension) -> HttpResponse:
    there = reverse("portal:extensions")
    choice = _choice(request)
    if choice is None and request.POST.get("choice") != "keep":
        messages.error(request, _("Choose the employee first."))
        return back(request, there)
    write = "write" in request.POST
    count = decisions.decide(row, choice, write=write)
    said = _("Extension %(number)s: decided.") % {"number": row.number}
    if count and write:
        said += " " + ngettext(
            "%(count)d call that waited is being written.", "%(count)d calls that waited are being written.", count
        ) % {"count": count}
    messages.success(request, said)
    return back(request, there)


def _choice(request: HttpRequest) -> Choice | None:
    chosen = request.POST.get("choice", "")
    handling = Extension.Handling
    if chosen == handling.EMPLOYEE:
        named = _uuid(request.POST.get("employee", ""))
        row = mine(request, Employee).filter(uuid=named).first() if named else None
        return Choice(handling.EMPLOYEE, row) if row else None
    return Choice(handling(chosen)) if chosen in (handling.DEFAULT, handling.IGNORED, handling.UNKNOWN) else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


portal.in_menu("index", gettext_lazy("Overview"), "space_dashboard", group="", order=1)
portal.in_menu("calls", gettext_lazy("Journal of calls"), "call_log", group="", order=3, inside=("call", "dial"))
portal.in_menu("extensions", gettext_lazy("Extensions"), "dialpad", group=gettext_lazy("People"), order=51)

# They register their pages.
from . import (  # noqa: E402, F401
    account_pages,
    card_pages,
    coverage_pages,
    export_pages,
    integration_pages,
    missed_pages,
    notice_pages,
    renewal_pages,
    replay_pages,
    rule_pages,
    self_test_pages,
    start_pages,
    support_pages,
    trial_pages,
    unwritten_pages,
    visit_pages,
    webhook_pages,
)
