"""Pages of a person, not of a company: signing up, the first company, an invitation, his sessions."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.adapter import get_adapter
from allauth.account.views import SignupView
from allauth.core.internal import ratelimit
from allauth.usersessions.internal import flows
from allauth.usersessions.models import UserSession
from allauth.usersessions.views import ListUserSessionsView
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import get_language, get_language_from_request
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from . import devices, invitations
from .company_forms import CompanyForm, region_of
from .middleware import SESSION_KEY
from .models import Company, Membership, Role, User

MOST_COMPANIES = "5/d/user"
"""Companies that one person may make."""


# --- The first company ------------------------------------------------------------------------------------------------


@login_required
@never_cache
def company(request: HttpRequest) -> HttpResponse:
    """Whoever signed up makes his company here; somebody invited does not need to."""
    if not settings.SIGN_UP:
        raise Http404
    form = CompanyForm(request.POST or None, initial=_guessed(request))
    if request.method == "POST" and form.is_valid():
        if not _may_make(request):
            form.add_error(None, _("You have made several companies today. Try again tomorrow."))
        else:
            row = _make(request, form)
            request.session[SESSION_KEY] = row.pk
            messages.success(request, _("“%(name)s” is set up.") % {"name": row})
            return redirect("portal:index")
    first = not request.memberships  # type: ignore[attr-defined]
    return render(request, "account/company.html", {"form": form, "first": first})


@transaction.atomic
def _make(request: HttpRequest, form: CompanyForm) -> Company:
    row = form.save()
    Membership.objects.create(company=row, user=_person(request), role=Role.OWNER)
    return row


def _may_make(request: HttpRequest) -> bool:
    config = {"make_company": MOST_COMPANIES}
    return bool(ratelimit.consume(request, app="employees", action="make_company", config=config))


def _guessed(request: HttpRequest) -> dict[str, Any]:
    """What the browser says of its language and country; its time zone is filled in by the page."""
    said = request.headers.get("Accept-Language", "")
    guessed = {"language": (get_language() or get_language_from_request(request))[:2]}
    return {**guessed, "region": region} if (region := region_of(said)) else guessed


def _person(request: HttpRequest) -> User:
    return cast("User", request.user)


# --- Invitations ------------------------------------------------------------------------------------------------------


@never_cache
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """What a link of an invitation shows: join, sign in first, or sign up."""
    found = _found(request, token)
    if isinstance(found, HttpResponse):
        return found
    row = found.invitation
    if isinstance(request.user, User):
        fits = request.user.email.lower() == row.email.lower()
        if request.method == "POST" and fits:
            return _join(request, found)
        return render(request, "account/invitation.html", {"invitation": row, "fits": fits})
    known = User.objects.filter(email=row.email).exists()
    if found.mailed and not known:
        return redirect("account_invited", token)
    # Whoever has but the copied link is not told whether there is such a person.
    return render(
        request, "account/invitation.html", {"invitation": row, "token": token, "may_be_new": not found.mailed}
    )


def _found(request: HttpRequest, token: str) -> invitations.Found | HttpResponse:
    """The invitation, or the page that says why it is none."""
    found = invitations.find(token)
    if found and found.valid:
        return found
    used = bool(found and found.invitation.accepted_at)
    expired = bool(found and found.invitation.expired)
    return render(request, "account/invitation_over.html", {"used": used, "expired": expired}, status=410)


def _join(request: HttpRequest, found: invitations.Found) -> HttpResponse:
    row = invitations.accept(found.invitation, _person(request))
    if row:
        request.session[SESSION_KEY] = row.company_id
        messages.success(request, _("Welcome to “%(company)s”.") % {"company": row.company})
    return redirect("portal:index")


class InvitedSignUp(SignupView):
    """Signing up by an invitation: for its e-mail, also where strangers may not. The link that was mailed there has
    proven the address; by the other one a code is sent to it."""

    template_name = "account/signup.html"

    def dispatch(self, request: HttpRequest, *args: Any, token: str, **kwargs: Any) -> Any:
        self.token = token
        found = _found(request, token)
        if isinstance(found, HttpResponse):
            return found
        self.found = found
        if request.user.is_authenticated:
            return redirect("account_invitation", token)
        return super().dispatch(request, *args, **kwargs)

    def is_open(self) -> bool:
        return True

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "invited": self.found.invitation.email}

    def form_valid(self, form: Any) -> HttpResponse:
        if self.found.mailed:
            get_adapter(self.request).stash_verified_email(self.request, self.found.invitation.email)
        return super().form_valid(form)

    def get_success_url(self) -> str:
        return invitations.path_of(self.token)

    def get_context_data(self, **known: Any) -> dict[str, Any]:
        return super().get_context_data(invitation=self.found.invitation, **known)


# --- Sessions ---------------------------------------------------------------------------------------------------------


class Sessions(ListUserSessionsView):
    """One's own sessions: end one of them, or all others."""

    def get_context_data(self, **known: Any) -> dict[str, Any]:
        found = super().get_context_data(**known)
        for row in found["sessions"]:
            row.device = devices.named(row.user_agent)
        found["sessions"].sort(key=lambda row: (not row.is_current(), -row.last_seen_at.timestamp()))
        return found

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "session" not in request.POST:
            return super().post(request, *args, **kwargs)
        row = get_object_or_404(UserSession, pk=request.POST["session"], user=_person(request))
        flows.sessions.end_sessions(request, [row])
        messages.success(request, _("The session was ended."))
        return redirect("usersessions_list")
