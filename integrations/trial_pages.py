"""The portal's pages of test calls: what would become of one, its course, and cleaning up."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from employees.forms import onward
from employees.models import Employee
from employees.rights import Right
from employees.sites import company_of, mine, my, portal
from telephony import trials
from telephony.fold import Source
from telephony.models import Call

from . import cleaning
from .cleaning import UnderWay
from .course import course_of
from .models import CallSync, Integration
from .rehearsal import rehearse
from .trial_forms import TrialForm

EARLIER = 5


# --- The rehearsal ----------------------------------------------------------------------------------------------------


@portal.page("trial/", name="trial", right=Right.MANAGE)
def trial(request: HttpRequest) -> HttpResponse:
    """What would become of a call; `play` makes it one."""
    form = TrialForm(company_of(request), request.POST or None, _integration(request))
    rehearsal = None
    if request.method == "POST" and form.is_valid():
        connection, script = form.told()
        if "play" in request.POST:
            return onward(request, "portal:trial_call", trials.begin(connection, script).uuid)
        rehearsal = rehearse(connection, script)
    earlier = mine(request, Call).filter(source=Source.TRIAL).order_by("-pk")[:EARLIER]
    context = {
        "title": _("Test call"),
        "form": form,
        "rehearsal": rehearsal,
        "earlier": earlier,
        "none_active": not mine(request, Integration).filter(active=True).exists(),
    }
    return portal.render(request, "portal/trial.html", context)


def _integration(request: HttpRequest) -> Integration | None:
    """The one from whose page this one was opened."""
    named = request.GET.get("integration", "")
    return next((row for row in mine(request, Integration) if str(row.uuid) == named), None)


# --- Its course -------------------------------------------------------------------------------------------------------


@portal.page("trial/<uuid:uuid>/", name="trial_call", right=Right.MANAGE)
def trial_call(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Step by step, while it is played and written; with the header `X-Part` only that."""
    call = _trial(request, uuid)
    course = course_of(call)
    context = {
        "title": _("Test call"),
        "call": call,
        "passport": course.passport,
        "left": course.left,
        "cleanable": course.cleanable,
        "settled": course.settled,
        "landed": course.landed,
        "employees": mine(request, Employee),
    }
    part = "portal/parts/trial_call.html" if request.headers.get("X-Part") else "portal/trial_call.html"
    return portal.render(request, part, context)


def _trial(request: HttpRequest, uuid: UUID) -> Call:
    return my(request, Call, uuid=uuid, source=Source.TRIAL)


@portal.page("trial/<uuid:uuid>/clean/", name="trial_clean", right=Right.MANAGE, posts=True)
def trial_clean(request: HttpRequest, uuid: UUID) -> HttpResponse:
    call = _trial(request, uuid)
    try:
        done = cleaning.clean(call)
    except UnderWay:
        messages.warning(request, cleaning.under_way())
        return onward(request, "portal:trial_call", uuid)
    for error in done.errors:
        messages.error(request, error)
    said = ngettext(
        "%(count)d thing was removed from the CRM.", "%(count)d things were removed from the CRM.", done.removed
    )
    rest = CallSync.objects.filter(call=call).select_related("credential")
    if done.removed:
        messages.success(request, said % {"count": done.removed})
    if any(cleaning.traces(row) for row in rest):
        messages.info(request, _("What is still listed only a person can delete, in the CRM itself."))
    return onward(request, "portal:trial_call", uuid)


@portal.page("trial/<uuid:uuid>/delete/", name="trial_delete", right=Right.MANAGE, posts=True)
def trial_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Out of the journal; what CRMs have of it stays there."""
    try:
        cleaning.delete(_trial(request, uuid))
    except UnderWay:
        messages.warning(request, cleaning.under_way())
        return onward(request, "portal:trial_call", uuid)
    messages.success(request, _("The test call was deleted from the journal."))
    return onward(request, "portal:trial")


portal.in_menu(
    "trial", gettext_lazy("Test call"), "science", group=gettext_lazy("Settings"), order=33, inside=("trial_call",)
)
