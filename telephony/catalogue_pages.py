"""The portal's way to a new connection: which PBX is it, and what if we do not know it."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from employees.rights import Right
from employees.sites import PortalRequest, company_of, portal

from . import catalogue
from .models import PbxWish


class WishForm(forms.ModelForm):
    """What support should know to add a PBX."""

    class Meta:
        model = PbxWish
        fields = ["name", "site", "words"]
        widgets = {"words": forms.Textarea(attrs={"rows": 4})}


@portal.page("connections/new/", name="connection_catalogue", right=Right.MANAGE)
def brands(request: HttpRequest) -> HttpResponse:
    """All brands; `q` looks in titles, other spellings and countries. What is not among them can be asked for."""
    return _catalogue(request, WishForm(initial={"name": request.GET.get("q", "").strip()}))


@portal.page("connections/wish/", name="connection_wish", right=Right.MANAGE, posts=True)
def wish(request: PortalRequest) -> HttpResponse:
    form = WishForm(request.POST, instance=PbxWish(company=company_of(request), asked_by=request.user))
    if not form.is_valid():
        return _catalogue(request, form)
    form.save()
    messages.success(request, _("Thank you. Our support has it now and will write to you."))
    return redirect("portal:connection_catalogue")


def _catalogue(request: HttpRequest, form: WishForm) -> HttpResponse:
    asked = request.GET.get("q", "").strip()
    context = {
        "title": _("Which PBX do you have?"),
        "rows": catalogue.search(asked),
        "q": asked,
        "form": form,
        "for_any": catalogue.for_any(),
    }
    return portal.render(request, "portal/connection_catalogue.html", context)
