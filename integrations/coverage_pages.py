"""The portal's page of a connection's coverage («Полнота»)."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from employees.rights import Right
from employees.sites import my, portal
from telephony import coverage as telephony_coverage
from telephony import history
from telephony.history_pages import MOST_DAYS, ImportForm
from telephony.models import Connection

from .coverage import attach_crm, integrations_of

USUAL_DAYS = 14


@portal.page("connections/<uuid:uuid>/coverage/", name="coverage", right=Right.MANAGE)
def coverage(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Day by day: how many of the PBX's calls are here, and how many of those in each CRM; `all` shows every day that
    can be imported. With the header `X-Part` only that, for pages that live."""
    row = my(request, Connection, uuid=uuid)
    everything = "all" in request.GET
    days = telephony_coverage.days(row, MOST_DAYS + 1 if everything else USUAL_DAYS)
    integrations = integrations_of(row)
    attach_crm(row, days, integrations)
    context = {
        "title": _("Completeness: %(name)s") % {"name": row.name},
        "row": row,
        "able": history.able(row),
        "days": days,
        "everything": everything,
        "integrations": integrations,
        "runs": history.shown(row),
        "form": ImportForm(),
    }
    if request.headers.get("X-Part"):
        return portal.render(request, "portal/parts/coverage.html", context)
    return portal.render(request, "portal/coverage.html", context)
