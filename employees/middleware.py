"""Which company a signed-in person is looking at."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from . import phones
from .models import Membership

SESSION_KEY = "company"


class CurrentCompany:
    """Sets `request.membership` (None for strangers), the company's time zone and how it shows numbers.

    Somebody with several companies has chosen one of them in the session; the first one is the default.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        membership = self._membership(request)
        request.membership = membership  # type: ignore[attr-defined]
        if not membership:
            return self.get_response(request)
        structlog.contextvars.bind_contextvars(company=str(membership.company.uuid))
        with timezone.override(zoneinfo.ZoneInfo(membership.company.time_zone)), phones.shown(membership.look):
            return self.get_response(request)

    @staticmethod
    def _membership(request: HttpRequest) -> Membership | None:
        if not request.user.is_authenticated:
            return None
        mine = list(
            Membership.objects.filter(user=request.user).select_related("company", "user").order_by("company__name")
        )
        chosen = request.session.get(SESSION_KEY)
        return next((row for row in mine if row.company_id == chosen), mine[0] if mine else None)
