"""The portal's buttons about a PBX's history: compare now, import the past, cancel. They lead back to the coverage."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees.rights import Right
from employees.sites import PortalRequest, my, portal

from . import history
from .models import Connection, HistoryRun

MOST_DAYS = 90


class ImportForm(forms.Form):
    days = forms.IntegerField(label=gettext_lazy("Days back"), min_value=1, max_value=MOST_DAYS, initial=30)
    into_crm = forms.BooleanField(
        label=gettext_lazy("Also write these calls into the CRM"),
        required=False,
        help_text=gettext_lazy(
            "Without a tick they only come into the journal. With it they are written after all other calls, "
            "and each may create a lead or a deal as your integration is set."
        ),
    )


def _asked(request: HttpRequest, uuid: UUID) -> Connection:
    """The connection, where its PBX keeps a history."""
    row = my(request, Connection, uuid=uuid)
    if not history.able(row):
        raise Http404
    return row


@portal.page("connections/<uuid:uuid>/coverage/check/", name="coverage_check", right=Right.MANAGE, posts=True)
def coverage_check(request: PortalRequest, uuid: UUID) -> HttpResponse:
    row = _asked(request, uuid)
    history.check(row, request.user)
    messages.success(request, _("The PBX is being asked for its history. That takes a minute or two."))
    return redirect("portal:coverage", row.uuid)


@portal.page("connections/<uuid:uuid>/import/", name="history_import", right=Right.MANAGE, posts=True)
def history_import(request: PortalRequest, uuid: UUID) -> HttpResponse:
    row = _asked(request, uuid)
    form = ImportForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose from 1 to %(count)d days.") % {"count": MOST_DAYS})
    elif history.importing(row):
        messages.warning(request, _("An import is under way already. Wait for its end, or cancel it."))
    else:
        into_crm = form.cleaned_data["into_crm"]
        history.bring_in(row, form.cleaned_data["days"], into_crm=into_crm, asked_by=request.user)
        messages.success(request, _("The import has begun. You may leave this page."))
    return redirect("portal:coverage", row.uuid)


@portal.page("history/<uuid:uuid>/cancel/", name="history_cancel", right=Right.MANAGE, posts=True)
def history_cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    run = my(request, HistoryRun, uuid=uuid)
    history.cancel(run)
    messages.success(request, _("Cancelled. The calls that came so far stay in the journal."))
    return redirect("portal:coverage", run.connection.uuid)
