"""The pages of what is not written: the customer's, and the support desk's over all companies."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from employees.forms import back
from employees.models import Company
from employees.rights import Right
from employees.sites import company_of, mine, portal, support

from . import actors, decisions, passport, radar, unwritten
from .models import Credential
from .unwritten import DOUBT, Chosen

TITLE = gettext_lazy("Not written")
PAGE = 50


class MomentInput(forms.DateTimeInput):
    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class SinceForm(forms.Form):
    since = forms.DateTimeField(label=gettext_lazy("Failed since"), required=False, widget=MomentInput)

    @property
    def moment(self) -> datetime | None:
        return self.cleaned_data.get("since") if self.is_valid() else None


# --- What both desks show ---------------------------------------------------------------------------------------------


def _chosen(accounts: QuerySet[Credential], asked: QueryDict) -> Chosen:
    """What an address or a button names. What is no UUID names nothing."""
    if "credential" in asked:
        accounts = _named(accounts, "uuid", asked.get("credential", ""))
    return Chosen(
        accounts,
        parked=asked.get("parked") == "1" if "parked" in asked else None,
        kind=asked.get("kind"),
        cause=asked.get("cause"),
        since=SinceForm(asked).moment,
    )


def _named(accounts: QuerySet[Credential], column: str, text: str) -> QuerySet[Credential]:
    """Those whose `column` is the UUID in `text`."""
    try:
        return accounts.filter(**{column: UUID(text)})
    except ValueError:
        return accounts.none()


def _overview(accounts: QuerySet[Credential], request: HttpRequest) -> dict[str, Any]:
    """The page of causes. What waits for an account that is paused stands with the account."""
    asked = SinceForm(request.GET)
    groups = unwritten.causes(Chosen(accounts, since=asked.moment))
    query = request.GET.copy()
    query.pop("page", None)
    return {
        "title": TITLE,
        "form": asked,
        "since": request.GET.get("since", "") if asked.moment else "",
        "page": Paginator(groups, PAGE).get_page(request.GET.get("page")),
        "query": query.urlencode(),
        "again": sum(row.count for row in groups if not row.doubtful),
        "held_up": unwritten.held_up(accounts),
        "twice": radar.lately(accounts),
    }


def _calls(accounts: QuerySet[Credential], request: HttpRequest, uuid: UUID) -> dict[str, Any]:
    """The calls of one cause, the newest first."""
    credential = get_object_or_404(accounts, uuid=uuid)
    chosen = _chosen(accounts.filter(pk=credential.pk), request.GET)
    rows = chosen.rows().select_related("call", "credential").order_by("-pk")
    before = request.GET.get("before", "")
    if before.isdecimal():
        rows = rows.filter(pk__lt=int(before))
    listed = list(rows[: PAGE + 1])
    for row in listed:
        row.told = passport.error_words(row)  # type: ignore[attr-defined]
        row.doubtful = row.error_kind == DOUBT  # type: ignore[attr-defined]
    query = request.GET.copy()
    query["before"] = str(listed[PAGE - 1].pk) if len(listed) > PAGE else ""
    return {
        "title": _("Not written: %(account)s") % {"account": credential},
        "rows": listed[:PAGE],
        "older": query.urlencode() if query["before"] else "",
        "since": request.GET.get("since", ""),
    }


def _act(accounts: QuerySet[Credential], request: HttpRequest) -> None:
    """Try again, or take for written, what the pressed button stands for."""
    chosen = _chosen(accounts, request.POST)
    rows = chosen.rows() if "confirm" in request.POST else chosen.to_retry()
    if (one := request.POST.get("sync", "")).isdecimal():
        rows = rows.filter(pk=int(one))
    if "confirm" in request.POST:
        count = unwritten.confirm(rows)
        said = ngettext("%(count)d call counts as written.", "%(count)d calls count as written.", count)
    else:
        count = actors.retry(rows)
        said = ngettext("%(count)d call is tried again.", "%(count)d calls are tried again.", count)
    messages.success(request, said % {"count": count})


# --- The customer's ---------------------------------------------------------------------------------------------------


@portal.page("unwritten/", name="unwritten", right=Right.READ)
def overview(request: HttpRequest) -> HttpResponse:
    """By cause: what needs somebody, what is tried again and when, what waits for an account or for a decision."""
    undecided = decisions.waiting(company_of(request)).count()
    context = {**_overview(mine(request, Credential), request), "site": "portal", "undecided": undecided}
    return portal.render(request, "portal/unwritten.html", context)


@portal.page("unwritten/act/", name="unwritten_act", right=Right.MANAGE, posts=True)
def act(request: HttpRequest) -> HttpResponse:
    _act(mine(request, Credential), request)
    return back(request, reverse("portal:unwritten"))


@portal.page("unwritten/<uuid:uuid>/", name="unwritten_calls", right=Right.READ)
def calls(request: HttpRequest, uuid: UUID) -> HttpResponse:
    context = {**_calls(mine(request, Credential), request, uuid), "site": "portal"}
    return portal.render(request, "portal/unwritten_calls.html", context)


portal.in_menu("unwritten", TITLE, "sync_problem", group="", order=9, inside=("unwritten_calls",))


# --- Support's --------------------------------------------------------------------------------------------------------


def _supported(request: HttpRequest) -> QuerySet[Credential]:
    """The accounts of the chosen company, else of all."""
    company = request.GET.get("company") or request.POST.get("company")
    return _named(Credential.objects.all(), "company__uuid", company) if company else Credential.objects.all()


@support.page("unwritten/", name="unwritten", title=TITLE, icon="sync_problem", order=3)
def support_overview(request: HttpRequest) -> HttpResponse:
    context = {**_overview(_supported(request), request), "companies": Company.objects.order_by("name")}
    context["company"] = request.GET.get("company", "")
    return support.render(request, "portal/unwritten.html", {**context, "site": "support"})


@support.page("unwritten/act/", name="unwritten_act")
def support_act(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        _act(_supported(request), request)
    return back(request, reverse("support:unwritten"))


@support.page("unwritten/<uuid:uuid>/", name="unwritten_calls")
def support_calls(request: HttpRequest, uuid: UUID) -> HttpResponse:
    context = {**_calls(_supported(request), request, uuid), "site": "support"}
    return support.render(request, "portal/unwritten_calls.html", context)
