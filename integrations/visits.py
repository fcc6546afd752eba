"""Support looks at a customer's portal as one of its members: only looks, unless it says once more that it must change
something. Every visit has a reason and an end, and the customer sees it.

Whoever visits stays himself: he is not signed in as the member, and what he does is never told as the member's doing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import structlog
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from employees.models import Company, Membership, User
from employees.sites import portal
from telephony.coverage import zone_of

from .models import Visit, VisitChange

log = structlog.get_logger(__name__)

SESSION_KEY = "visit"
LONGEST = timedelta(minutes=30)
HARMLESS = ("GET", "HEAD", "OPTIONS")
SOUNDING = {"portal:recording"}
"""Pages that give recordings away."""
SHOWN = 20
MAY_WRITE = "integrations.write_on_visit"


# --- A visit ----------------------------------------------------------------------------------------------------------


def begin(request: HttpRequest, membership: Membership, reason: str, *, listens: bool) -> Visit:
    """From now on the portal is the member's; a visit that goes on ends."""
    end(request)
    user = cast("User", request.user)
    visit = Visit.objects.create(
        company=membership.company,
        membership=membership,
        member_email=membership.user.email,
        by=user,
        by_email=user.email,
        address=request.META.get("REMOTE_ADDR", "")[:64],
        reason=reason,
        listens=listens,
        until=timezone.now() + LONGEST,
    )
    request.session[SESSION_KEY] = visit.pk
    log.info("support visits a customer", visit=visit.pk, by=user.pk, company=str(membership.company.uuid))
    return visit


def going_on(request: HttpRequest) -> Visit | None:
    """The visit of this session, as long as it lasts."""
    user = request.user
    if SESSION_KEY not in request.session or not (user.is_active and getattr(user, "is_staff", False)):
        return None
    rows = Visit.objects.filter(pk=request.session[SESSION_KEY], by=user.pk, ended_at=None, until__gt=timezone.now())
    return rows.exclude(membership=None).select_related("membership__company", "membership__user", "company").first()


def write(visit: Visit, reason: str) -> None:
    """The second step: from now on things may be changed."""
    Visit.objects.filter(pk=visit.pk).update(writes_since=timezone.now(), write_reason=reason)
    log.warning("support may change things on its visit", visit=visit.pk)


def end(request: HttpRequest) -> Visit | None:
    visit = going_on(request)
    request.session.pop(SESSION_KEY, None)
    if visit:
        Visit.objects.filter(pk=visit.pk).update(ended_at=timezone.now())
    return visit


def shown(company: Company) -> list[Visit]:
    """The last visits, for the customer and for support."""
    return list(Visit.objects.filter(company=company).prefetch_related("changes").order_by("-began_at")[:SHOWN])


# --- Every request of one ---------------------------------------------------------------------------------------------


class SupportVisits:
    """On a visit the portal is the member's, and nothing is changed that may not be. The desk stays what it is."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if SESSION_KEY not in request.session or request.path.startswith(reverse("support:index")):
            return self.get_response(request)
        visit = going_on(request)
        if visit is None:
            return _over(request)
        return self._visit(request, visit)

    def _visit(self, request: HttpRequest, visit: Visit) -> HttpResponse:
        cast("Any", request).visit, cast("Any", request).membership = visit, visit.membership
        structlog.contextvars.bind_contextvars(company=str(visit.company.uuid), visit=visit.pk)
        changing = request.method not in HARMLESS and request.path not in _always_open()
        with timezone.override(zone_of(visit.company)):
            if changing and not visit.writes_since:
                return _refuse(request, _("You are looking only: nothing was changed."))
            response = self.get_response(request)
            if changing:
                VisitChange.objects.create(visit=visit, path=request.path[:300], status=response.status_code)
            return response

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        visit: Visit | None = getattr(request, "visit", None)
        match = request.resolver_match
        if visit and not visit.listens and match and match.view_name in SOUNDING:
            return _refuse(request, _("Listening to recordings is not part of this visit's reason."))
        return None


def _always_open() -> tuple[str, ...]:
    """What changes nothing of the customer's: signing out, and the language of the pages."""
    return reverse("portal:logout"), reverse("set_language")


def _over(request: HttpRequest) -> HttpResponse:
    """The visit ended, or its time is up: nothing of the request is carried out."""
    request.session.pop(SESSION_KEY)
    messages.warning(request, _("Your visit is over."))
    return redirect("support:index" if getattr(request.user, "is_staff", False) else "portal:index")


def _refuse(request: HttpRequest, words: str) -> HttpResponse:
    context = {"title": _("Not on this visit"), "words": words}
    return portal.render(request, "portal/visit_refused.html", context, status=403)
