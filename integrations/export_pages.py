"""The portal's pages of exports: asking for the journal as a file, and where the file is; and the journal's columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees import phones
from employees.forms import back
from employees.rights import Right, may
from employees.sites import PortalRequest, company_of, mine, portal
from telephony import spreadsheets, views
from telephony.words import ours

from . import actors, columns, exports
from .columns import ColumnsForm
from .journal import CrmJournalFilter
from .keeping import EXPORT_DAYS
from .models import Export

TITLE = gettext_lazy("Exports")
SHOWN = 50


class ExportForm(ColumnsForm):
    format = forms.ChoiceField(
        label=gettext_lazy("Format"),
        choices=spreadsheets.FORMATS,
        initial="xlsx",
        help_text=gettext_lazy(
            "XLSX takes 1,048,575 calls, the newest ones; CSV takes all of them, and opens in Excel too."
        ),
    )
    field_order = ["format", "columns"]


def shown(request: HttpRequest) -> QuerySet[Export]:
    """Without those in which a number stands that is hidden from whoever looks."""
    rows = mine(request, Export)
    return rows.filter(numbers_hidden=True) if phones.hidden() else rows


@portal.page("exports/", name="exports", right=Right.READ)
def exports_page(request: PortalRequest) -> HttpResponse:
    """The newest ones; with the header `X-Part` only the rows, for pages that live."""
    rows = list(shown(request).select_related("asked_by").order_by("-id")[:SHOWN])
    words = Words(CrmJournalFilter(company_of(request), {}))
    for row in rows:
        row.asked = words.told(row.filter)  # type: ignore[attr-defined]
        row.said = ours(row.error)  # type: ignore[attr-defined]
        row.deletable = _may_delete(request, row)  # type: ignore[attr-defined]
    context = {"title": TITLE, "rows": rows, "days": EXPORT_DAYS}
    part = "portal/parts/exports.html" if request.headers.get("X-Part") else "portal/exports.html"
    return portal.render(request, part, context)


class Words:
    """Filters in words. What a choice is called is asked for once for all of them."""

    def __init__(self, asked: CrmJournalFilter):
        self._fields = asked.fields
        self._choices = {
            name: {str(value): label for value, label in choices}
            for name, field in asked.fields.items()
            if (choices := getattr(field, "choices", None)) is not None
        }

    def told(self, asked: Mapping[str, Any]) -> list[str]:
        return [
            f"{field.label}: {self._value(name, asked[name])}"
            for name, field in self._fields.items()
            if asked.get(name)
        ]

    def _value(self, name: str, value: str) -> Any:
        if isinstance(self._fields[name], forms.DateField):
            return ".".join(reversed(value.split("-")))
        return self._choices.get(name, {}).get(value, value)


@portal.page("exports/new/", name="export_new", right=Right.READ)
def export_new(request: PortalRequest) -> HttpResponse:
    """The filter is that of the address: what the journal showed."""
    asked = CrmJournalFilter(company_of(request), request.GET)
    form = ExportForm(request.POST or None, initial={"columns": columns.of(request.membership)})
    if request.method == "POST" and form.is_valid():
        columns.keep(request.membership, form.chosen)
        row = exports.ask(asked, request.user, form.cleaned_data["format"], form.chosen)
        actors.write_export.send(row.pk)
        messages.success(request, _("The file is being written. It appears here as soon as it is done."))
        return redirect("portal:exports")
    context = {
        "title": _("Export of the journal"),
        "form": form,
        "asked": Words(asked).told(asked.data),
        "query": request.GET.urlencode(),
    }
    return portal.render(request, "portal/export_new.html", context)


@portal.page("exports/<uuid:uuid>/file", name="export_file", right=Right.READ)
def export_file(request: HttpRequest, uuid: UUID) -> HttpResponseBase:
    row = get_object_or_404(shown(request), uuid=uuid)
    if row.state != Export.State.DONE:
        raise Http404
    return views.download(request, row.file, spreadsheets.TYPES[row.format], row.name)


@portal.page("exports/<uuid:uuid>/delete/", name="export_delete", right=Right.READ, posts=True)
def export_delete(request: PortalRequest, uuid: UUID) -> HttpResponse:
    """One's own, or anybody's for who manages. One that is being written ends."""
    row = get_object_or_404(shown(request), uuid=uuid)
    if not _may_delete(request, row):
        messages.error(request, _("Only who asked for a file may delete it, or an administrator."))
        return redirect("portal:exports")
    exports.delete(row)
    messages.success(request, _("Deleted."))
    return redirect("portal:exports")


def _may_delete(request: PortalRequest, row: Export) -> bool:
    return row.asked_by == request.user or may(request.membership, Right.MANAGE)


@portal.page("calls/columns/", name="columns", right=Right.READ, posts=True)
def choose_columns(request: PortalRequest) -> HttpResponse:
    form = ColumnsForm(request.POST)
    if form.is_valid():
        columns.keep(request.membership, form.chosen)
    return back(request, reverse("portal:calls"))


portal.in_menu("exports", TITLE, "download", group="", order=8, inside=("export_new",))
