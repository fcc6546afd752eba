"""What forms need on every floor: secrets that are kept and never shown, and going back where one came from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _

FORGET = "forget_"


class DueInput(forms.DateTimeInput):
    """A moment, chosen in the browser's own way."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


def vendor_form(
    form_class: type[forms.Form],
    post: QueryDict | None,
    stored: Mapping[str, Any],
    secret_fields: Collection[str],
    labels: Mapping[str, Any] | None = None,
) -> forms.Form:
    """A vendor's form with what is stored. A secret is never shown: left empty, the stored one is kept."""
    secret = [name for name in form_class.base_fields if name in secret_fields]
    shown = {name: value for name, value in stored.items() if name not in secret and name in form_class.base_fields}
    data = None
    if post is not None:
        data = post.copy()
        for name in secret:
            if not data.get(name) and stored.get(name) and not data.get(FORGET + name):
                data[name] = str(stored[name])
    form = form_class(data, initial=shown)
    for name in secret:
        hide(form.fields[name], stored=bool(stored.get(name)))
    for name, label in (labels or {}).items():
        if name in form.fields:
            form.fields[name].label = label
    return form


def defaults(form: type[forms.Form]) -> dict[str, Any]:
    """What a form offers when it is opened first."""
    fields = {name: field for name, field in form.base_fields.items() if field.initial is not None}
    return {name: field.initial() if callable(field.initial) else field.initial for name, field in fields.items()}


def hide(field: forms.Field, *, stored: bool) -> None:
    """A field whose value is never shown; `stored`: it may stay as it is."""
    attrs = {"autocomplete": "new-password"}
    if stored:
        attrs["placeholder"] = str(_("stored; leave empty to keep it"))
        field.may_be_forgotten = not field.required  # type: ignore[attr-defined]
        field.widget.is_required = False
    field.widget = forms.PasswordInput(render_value=False, attrs=attrs)
    field.widget.is_required = field.required and not stored


def back(request: HttpRequest, otherwise: str) -> HttpResponse:
    """To the page that sent this form (its `next`), or from which this page was opened; else elsewhere."""
    return HttpResponseRedirect(_ours(request, request.POST.get("next", "")) or way_back(request) or otherwise)


def way_back(request: HttpRequest) -> str:
    """The page from which this one was opened on the way to something: `next` in its address."""
    return _ours(request, request.GET.get("next", ""))


def _ours(request: HttpRequest, there: str) -> str:
    """An address of this site, or nothing."""
    fine = url_has_allowed_host_and_scheme(there, {request.get_host()}, require_https=request.is_secure())
    return there if there and fine else ""


def carried(request: HttpRequest) -> str:
    """What an address needs at its end so that the page there knows the way back as well."""
    there = way_back(request)
    return f"?{urlencode({'next': there})}" if there else ""


def onward(request: HttpRequest, page: str, *arguments: Any) -> HttpResponse:
    """To another page, which keeps the way back of this one."""
    return HttpResponseRedirect(reverse(page, args=arguments) + carried(request))
