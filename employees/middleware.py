"""Which company a signed-in person is looking at, and when he was seen last."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable

import structlog
from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from . import audit, phones
from .models import Membership

SESSION_KEY = "company"
SEEN_SECONDS = 300
"""A session's last visit is written down at most this often."""


class CurrentCompany:
    """Sets `request.membership` (None for strangers), `request.memberships`, the company's time zone and how it shows
    numbers. What is changed meanwhile is this person's doing.

    Somebody with several companies has chosen one of them in the session; the first one is the default.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.memberships, request.membership = self._memberships(request)  # type: ignore[attr-defined]
        with audit.acting(audit.actor_of(request)):
            return self._answer(request, request.membership)  # type: ignore[attr-defined]

    def _answer(self, request: HttpRequest, membership: Membership | None) -> HttpResponse:
        if not membership:
            return self.get_response(request)
        structlog.contextvars.bind_contextvars(company=str(membership.company.uuid))
        with timezone.override(zoneinfo.ZoneInfo(membership.company.time_zone)), phones.shown(membership.look):
            return self.get_response(request)

    @staticmethod
    def _memberships(request: HttpRequest) -> tuple[list[Membership], Membership | None]:
        if not request.user.is_authenticated:
            return [], None
        mine = list(
            Membership.objects.filter(user=request.user).select_related("company", "user").order_by("company__name")
        )
        chosen = request.session.get(SESSION_KEY)
        return mine, next((row for row in mine if row.company_id == chosen), mine[0] if mine else None)


class LastSeen:
    """Keeps the list of somebody's sessions up to date, without a write for each request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        session = request.session.session_key
        if session and request.user.is_authenticated and cache.add(f"seen:{session}", 1, SEEN_SECONDS):
            UserSession.objects.create_from_request(request)
        return self.get_response(request)
