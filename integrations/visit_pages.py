"""Support's pages of its visits: saying why, changing things all the same, leaving."""

from __future__ import annotations

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees.models import Membership, User
from employees.sites import support

from . import visits
from .visits import MAY_WRITE


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        help_text=gettext_lazy("The customer reads this on the page of his members: name his request, or its number."),
        min_length=5,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2, "autofocus": True}),
    )


class VisitForm(ReasonForm):
    listens = forms.BooleanField(
        label=gettext_lazy("Listening to recordings is needed"),
        help_text=gettext_lazy("Only where the customer's request is about a recording; the customer sees this too."),
        required=False,
    )


@support.page("visits/<int:member>/", name="visit")
def visit(request: HttpRequest, member: int) -> HttpResponse:
    """Begin to look at a customer's portal as this member."""
    row = get_object_or_404(Membership.objects.select_related("company", "user"), pk=member)
    form = VisitForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        visits.begin(request, row, form.cleaned_data["reason"], listens=form.cleaned_data["listens"])
        return redirect("portal:index")
    title = _("Look at “%(company)s” as %(member)s") % {"company": row.company, "member": row.user.email}
    minutes = int(visits.LONGEST.total_seconds() // 60)
    context = {"title": title, "form": form, "company": row.company, "minutes": minutes}
    return support.render(request, "portal/desk/visit.html", context)


@support.page("visits/write/", name="visit_write")
def visit_write(request: HttpRequest) -> HttpResponse:
    """The second step: changing things on this visit, for a reason of its own."""
    if not (isinstance(request.user, User) and request.user.has_perm(MAY_WRITE)):
        raise PermissionDenied
    row = visits.going_on(request)
    if row is None:
        return redirect("support:index")
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        visits.write(row, form.cleaned_data["reason"])
        return redirect("portal:index")
    title = _("Change things in “%(company)s”") % {"company": row.company}
    return support.render(
        request, "portal/desk/visit.html", {"title": title, "form": form, "company": row.company, "writing": True}
    )


@support.page("visits/leave/", name="visit_leave")
def visit_leave(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    row = visits.end(request)
    return redirect("support:customer", row.company.uuid) if row else redirect("support:index")
