"""The portal's page for whoever answers the telephone: a card for each of his calls, as they come."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees.rights import Right
from employees.sites import PortalRequest, company_of, mine, my, portal
from telephony import browser_phones, live
from telephony.models import Call, Connection

from . import card

MOST = 10


@portal.page("card/", name="card", right=Right.WORK)
def cards(request: PortalRequest) -> HttpResponse:
    """The cards of now; with `call` also that one, and with the header `X-Part` it alone."""
    everybody = "all" in request.GET
    employees = live.employees_of(request.user, company_of(request), everybody)
    chosen = _chosen(request)
    context = {"title": _("Call card"), "now": round(timezone.now().timestamp() * 1000), "everybody": everybody}
    if chosen and request.headers.get("X-Part"):
        part = {"card": card.compose(chosen, employees), "part": True}
        return portal.render(request, "portal/parts/card.html", context | part)
    found = [card.compose(call, employees) for call in _of_now(request, employees)]
    found = [each for each in found if each.stage != "elsewhere" and each.call != chosen]
    if chosen:
        found.append(card.compose(chosen, employees))
    context |= {"cards": found, "nobody": employees == frozenset()}
    phone = browser_phones.of_person(company_of(request), request.user)
    context |= {"phone": phone, "may_phone": phone or browser_phones.able(mine(request, Connection))}
    context["troubles"] = browser_phones.TROUBLES
    response = portal.render(request, "portal/card.html", context)
    if phone:
        browser_phones.allow(response, [phone.connection])
    return response


def _chosen(request: PortalRequest) -> Call | None:
    named = request.GET.get("call")
    if not named:
        return None
    try:
        return my(request, Call, uuid=UUID(named))
    except ValueError:
        raise Http404 from None


def _of_now(request: PortalRequest, employees: frozenset[int] | None) -> list[Call]:
    told = live.look({company_of(request).pk}, {})
    now = [pk for pk, each in told.items() if not each.over and (employees is None or employees & each.employees)]
    rows = mine(request, Call).filter(pk__in=now).select_related("connection", "company").order_by("-started_at")
    return list(rows[:MOST])[::-1]


portal.in_menu("card", gettext_lazy("Call card"), "contact_phone", group="", order=2, inside=("phone",))
