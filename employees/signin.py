"""Signing in, with a limit on failures, and signing out."""

from __future__ import annotations

import hashlib
from typing import Any

from django import forms
from django.contrib.auth import authenticate, login, logout
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from .models import User

FAILURES = 5
"""Failures for one address and e-mail after which nobody may try for `PAUSE` seconds."""
FAILURES_OF_ADDRESS = 50
PAUSE = 15 * 60


class SignInForm(forms.Form):
    email = forms.EmailField(
        label=gettext_lazy("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._request = request
        self.user: User | None = None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.errors:
            return data
        counters = _counters(self._request, data["email"])
        if any(int(cache.get(key, 0)) >= most for key, most in counters):
            raise forms.ValidationError(
                _("Too many failed attempts. Try again in %(minutes)d minutes.") % {"minutes": PAUSE // 60},
                code="too_many",
            )
        user = authenticate(self._request, username=data["email"].lower(), password=data["password"])
        if user is None:
            _count(counters)
            raise forms.ValidationError(_("This e-mail and password do not fit together."), code="wrong")
        cache.delete(counters[0][0])
        self.user = user
        return data


def _counters(request: HttpRequest, email: str) -> list[tuple[str, int]]:
    address = request.META.get("REMOTE_ADDR", "")

    def key(*parts: str) -> str:
        return "signin:" + hashlib.sha256("|".join(parts).encode()).hexdigest()

    return [(key(address, email.lower()), FAILURES), (key(address), FAILURES_OF_ADDRESS)]


def _count(counters: list[tuple[str, int]]) -> None:
    for key, _most in counters:
        if not cache.add(key, 1, PAUSE):
            try:
                cache.incr(key)
            except ValueError:  # it ran out in between
                cache.set(key, 1, PAUSE)


@never_cache
def sign_in(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated and request.method == "GET" and (there := _where(request, request.user)):
        return HttpResponseRedirect(there)
    form = SignInForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid() and form.user:
        login(request, form.user)
        return HttpResponseRedirect(_where(request, form.user) or "/login/")
    status = 429 if form.has_error("__all__", "too_many") else 200
    context = {"form": form, "next": _next(request), "stranded": request.user.is_authenticated}
    return render(request, "portal/login.html", context, status=status)


SUPPORT = "/support/"


def _where(request: HttpRequest, user: Any) -> str:
    """Where this person goes now; empty when what he asked for, or everything, is closed to him."""
    portal, support = user.memberships.exists(), user.is_staff
    if there := _next(request):
        return there if (support if there.startswith(SUPPORT) else portal) else ""
    return "/" if portal else SUPPORT if support else ""


def _next(request: HttpRequest) -> str:
    """A page of ours that he wanted to see before."""
    there = request.POST.get("next") or request.GET.get("next") or ""
    fine = url_has_allowed_host_and_scheme(there, {request.get_host()}, require_https=request.is_secure())
    return there if fine and there not in ("/", "/logout/") else ""


def sign_out(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    logout(request)
    return HttpResponseRedirect("/login/")
