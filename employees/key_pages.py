"""Pages of API keys: a company's in its portal, a partner's at the support desk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .api import keys
from .models import ApiKey, ApiRequest, Company, Partner, User
from .rights import Right
from .sites import PortalRequest, company_of, my, portal, support

SHOWN = 50
"""Requests that are shown of a key."""
NONE, READ, WRITE = "", "read", "write"
ACCESS = [(NONE, gettext_lazy("nothing")), (READ, gettext_lazy("read")), (WRITE, gettext_lazy("read and change"))]
TERMS = [
    ("", gettext_lazy("until it is revoked")),
    ("30", gettext_lazy("30 days")),
    ("90", gettext_lazy("90 days")),
    ("365", gettext_lazy("a year")),
]


class KeyForm(forms.Form):
    """A new key: what it may do, area by area."""

    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=100, help_text=gettext_lazy("What the key is for, as in “accounting”.")
    )
    days = forms.ChoiceField(label=gettext_lazy("Works"), choices=TERMS, required=False)

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for area, words in keys.AREAS.items():
            self.fields[area] = forms.ChoiceField(label=words, choices=ACCESS, required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors and not self.scopes:
            raise forms.ValidationError(_("Choose what the key may do."))
        return data

    @property
    def scopes(self) -> list[str]:
        chosen = {area: self.cleaned_data.get(area) for area in keys.AREAS}
        return [
            f"{area}:{action}"
            for area, access in chosen.items()
            for action in (READ, WRITE)
            if access in (WRITE, action)
        ]

    def issue(self, owner: Company | Partner, by: User) -> tuple[ApiKey, str]:
        days = self.cleaned_data["days"]
        ends = timezone.now() + timedelta(days=int(days)) if days else None
        return keys.issue(owner, self.cleaned_data["name"], self.scopes, expires_at=ends, by=by)


Render = Callable[..., HttpResponse]


def _keys(request: HttpRequest, owner: Company | Partner, render: Render, title: str, place: str) -> HttpResponse:
    """The keys of `owner`, a form for a new one, and its secret where one was made just now. `place`: of this page."""
    form, made = KeyForm(request.POST or None), None
    if request.method == "POST" and form.is_valid():
        made = form.issue(owner, request.user)  # type: ignore[arg-type]
        form = KeyForm()
    rows = owner.api_keys.select_related("created_by")
    context = {"title": title, "rows": rows, "form": form, "made": made, "place": place}
    return render(request, "portal/keys.html", context)


def _key(request: HttpRequest, row: ApiKey, render: Render, back: str) -> HttpResponse:
    """One key with its last requests; its secret is replaced, or it is revoked. `back`: where its list is."""
    secret = ""
    if "revoke" in request.POST:
        keys.revoke(row)
        messages.success(request, _("The key “%(name)s” works no more.") % {"name": row.name})
        return redirect(back)
    if "rotate" in request.POST and row.works:
        secret = keys.rotate(row)
    context = {
        "title": _("API key: %(name)s") % {"name": row.name},
        "row": row,
        "secret": secret,
        "back": back,
        "requests": ApiRequest.objects.filter(key=row).select_related("company").order_by("-id")[:SHOWN],
    }
    return render(request, "portal/key.html", context)


# --- In the portal ----------------------------------------------------------------------------------------------------


@portal.page("keys/", name="keys", right=Right.MANAGE)
def company_keys(request: PortalRequest) -> HttpResponse:
    return _keys(request, company_of(request), portal.render, _("API keys"), reverse("portal:keys"))


@portal.page("keys/<uuid:uuid>/", name="key", right=Right.MANAGE)
def company_key(request: PortalRequest, uuid: UUID) -> HttpResponse:
    return _key(request, my(request, ApiKey, uuid=uuid), portal.render, reverse("portal:keys"))


# --- At the support desk ----------------------------------------------------------------------------------------------


def _partner(request: HttpRequest, uuid: UUID) -> Partner:
    """A partner's key opens all of his companies: who may make one is said by name."""
    if not request.user.has_perm("employees.add_apikey"):
        raise PermissionDenied
    return get_object_or_404(Partner, uuid=uuid)


@support.page("partners/<uuid:uuid>/keys/", name="partner_keys")
def partner_keys(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = _partner(request, uuid)
    title = _("API keys: %(partner)s") % {"partner": row}
    return _keys(request, row, support.render, title, reverse("support:partner_keys", args=[uuid]))


@support.page("partners/<uuid:uuid>/keys/<uuid:key>/", name="partner_key")
def partner_key(request: HttpRequest, uuid: UUID, key: UUID) -> HttpResponse:
    row = get_object_or_404(_partner(request, uuid).api_keys, uuid=key)
    return _key(request, row, support.render, reverse("support:partner_keys", args=[uuid]))
