"""The portal's page of missed calls: whom we still owe a call, and who called back, when."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees.forms import back
from employees.rights import Right
from employees.sites import PortalRequest, company_of, mine, portal
from telephony import missed as telephony_missed
from telephony.missed import MissedFilter
from telephony.models import Call, MissedNote, VirtualNumber

from . import managers

TITLE = gettext_lazy("Missed calls")


@portal.page("missed/", name="missed", right=Right.READ)
def missed(request: HttpRequest) -> HttpResponse:
    """The worklist; with the header `X-Part` only its rows, for pages that live."""
    company = company_of(request)
    asked = MissedFilter(company, request.GET)
    page = telephony_missed.page(asked, request.GET.get("before", ""))
    query = request.GET.copy()
    query.pop("before", None)
    tabs = query.copy()
    tabs.pop("show", None)
    clients = [row.call.who for row in page.rows if row.call.who]  # type: ignore[attr-defined]
    context = {
        "title": TITLE,
        "form": asked,
        "page": page,
        "query": query.urlencode(),
        "tabs": telephony_missed.STANDINGS,
        "others": tabs.urlencode(),
        "managers": managers.names(company, clients),
        "lines": dict(mine(request, VirtualNumber).exclude(line_name="").values_list("number", "line_name")),
    }
    part = "portal/parts/missed.html" if request.headers.get("X-Part") else "portal/missed.html"
    return portal.render(request, part, context)


def _missed_call(request: HttpRequest, uuid: UUID) -> Call:
    return get_object_or_404(telephony_missed.missed(company_of(request)), uuid=uuid)


class NoteForm(forms.ModelForm):
    class Meta:
        model = MissedNote
        fields = ["words"]


@portal.page("missed/<uuid:uuid>/close/", name="missed_close", right=Right.WORK, posts=True)
def missed_close(request: PortalRequest, uuid: UUID) -> HttpResponse:
    """Nobody needs to call back: this call and those of its number before it leave the list."""
    call = _missed_call(request, uuid)
    note = NoteForm(request.POST)
    if note.is_valid():
        telephony_missed.close(call, request.user, note.cleaned_data["words"])
        messages.success(request, _("Closed. If this client's call is missed again, he stands in the list again."))
    else:
        messages.error(request, _("The note has at most 500 characters. Nothing was closed."))
    return back(request, reverse("portal:missed"))


@portal.page("missed/<uuid:uuid>/reopen/", name="missed_reopen", right=Right.WORK, posts=True)
def missed_reopen(request: HttpRequest, uuid: UUID) -> HttpResponse:
    telephony_missed.reopen(_missed_call(request, uuid))
    messages.success(request, _("It stands among the open ones again."))
    return back(request, reverse("portal:missed"))


portal.in_menu("missed", TITLE, "phone_missed", group="", order=4)
