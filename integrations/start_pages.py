"""The portal's guided path from an empty company to the first call in the CRM."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees.rights import Right
from employees.sites import company_of, portal

from . import path


@portal.page("start/", name="start", right=Right.MANAGE)
def start(request: HttpRequest) -> HttpResponse:
    context = {"title": _("Guided path"), "path": path.of(company_of(request))}
    return portal.render(request, "portal/start.html", context)


def _is_under_way(request: HttpRequest) -> bool:
    return not path.landed(company_of(request))


portal.in_menu("start", gettext_lazy("Guided path"), "route", group="", order=0, shown=_is_under_way)
