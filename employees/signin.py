"""Signing in, and where it leads; signing out."""

from __future__ import annotations

from typing import Any

from allauth.account.views import LoginView
from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect

from .accounts import at_home
from .models import User

SUPPORT, ACCOUNTS = "/support/", "/accounts/"


class SignInView(LoginView):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if isinstance(request.user, User):
            there = self._open_to(request.user)
            return HttpResponseRedirect(there) if there else self.get(request)
        return super().dispatch(request, *args, **kwargs)

    def _open_to(self, user: User) -> str:
        """Where this person goes now; empty when what he asked for, or everything, is closed to him."""
        there = self.get_next_url() or ""
        if there in ("", "/", "/logout/"):
            return at_home(user)
        if there.startswith(ACCOUNTS):
            return there
        return there if (user.is_staff if there.startswith(SUPPORT) else user.memberships.exists()) else ""

    def form_invalid(self, form: Any) -> HttpResponse:
        response = super().form_invalid(form)
        if form.has_error("__all__", "too_many_login_attempts"):
            response.status_code = 429
        return response

    def get_context_data(self, **known: Any) -> dict[str, Any]:
        return super().get_context_data(stranded=self.request.user.is_authenticated, sign_up=settings.SIGN_UP, **known)


sign_in = SignInView.as_view()


def sign_out(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    logout(request)
    return HttpResponseRedirect("/login/")
