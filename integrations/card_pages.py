"""The portal's page for whoever answers the telephone: a card for each of his calls, as they come."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clients.models import Client
from employees import audit
from employees.forms import back
from employees.models import Employee
from employees.rights import Right
from employees.sites import PortalRequest, company_of, mine, my, portal
from telephony import browser_phones, live
from telephony.models import Call, Connection

from . import card, card_writes
from .models import CardWrite, Integration

MOST = 10


@portal.page("card/", name="card", right=Right.WORK)
def cards(request: PortalRequest) -> HttpResponse:
    """The cards of now; with `call` also that one, and with the header `X-Part` it alone."""
    everybody = "all" in request.GET
    employees = live.employees_of(request.user, company_of(request), everybody)
    chosen = _chosen(request)
    context = {"title": _("Call card"), "now": round(timezone.now().timestamp() * 1000), "everybody": everybody}
    if chosen and request.headers.get("X-Part"):
        part = {"card": card.compose(chosen, employees, request.user), "part": True}
        return portal.render(request, "portal/parts/card.html", context | part)
    found = [card.compose(call, employees, request.user) for call in _of_now(request, employees)]
    found = [each for each in found if each.stage != "elsewhere" and each.call != chosen]
    if chosen:
        found.append(card.compose(chosen, employees, request.user))
    context |= {"cards": found, "nobody": employees == frozenset()}
    phone = browser_phones.of_person(company_of(request), request.user)
    context |= {"phone": phone, "may_phone": phone or browser_phones.able(mine(request, Connection))}
    context["troubles"] = browser_phones.TROUBLES
    response = portal.render(request, "portal/card.html", context)
    if phone:
        browser_phones.allow(response, [phone.connection])
    return response


@portal.page("calls/<uuid:uuid>/crm/<uuid:integration>/<slug:kind>/", name="card_write", right=Right.WORK, posts=True)
def card_write(request: PortalRequest, uuid: UUID, integration: UUID, kind: str) -> HttpResponse:
    """Have something written into a CRM: what the card offers, once for each form."""
    call, row = my(request, Call, uuid=uuid), my(request, Integration, uuid=integration)
    there = reverse("portal:call", args=[call.uuid])
    employees = live.employees_of(request.user, company_of(request), everybody=True)
    known = next(
        (each for each in card.compose(call, employees, request.user).known if each.integration == row.uuid), None
    )
    offer = next((each for each in known.offers if each.kind == kind), None) if known else None
    token = _uuid(request.POST.get("token", ""))
    if known is None or offer is None or token is None:
        messages.error(request, _("This is under way or not possible any more: look at the card as it is now."))
        return back(request, there)
    form = offer.build(request.POST)
    if not form.is_valid():
        for errors in form.errors.values():
            messages.error(request, " ".join(map(str, errors)))
        return back(request, there)
    if _intend(request, call, row, offer.kind, form, token, known.client) is None:
        messages.warning(request, _("This was sent already."))
    return back(request, there)


def _intend(
    request: PortalRequest,
    call: Call,
    integration: Integration,
    kind: str,
    form: forms.Form,
    token: UUID,
    client: Client | None,
) -> CardWrite | None:
    """Note what the form says, and tell of it in the changes; a form that changes nothing is done with."""
    said = {name: card_writes.plain(value) for name, value in form.cleaned_data.items() if isinstance(value, str)}
    before: dict[str, str] = {}
    if kind == CardWrite.Kind.SAVE:
        before = {name: card_writes.plain(form.data.get(f"initial-{name}", "")) for name in form.changed_data}
        said = {name: said[name] for name in form.changed_data}
    if not said:
        return None
    named = form.cleaned_data.get("employee")
    doer = mine(request, Employee).filter(user=request.user) if kind != CardWrite.Kind.TASK else [named]
    wished = {
        "values": said,
        "before": before,
        "entity": client.entity if client else "",
        "due_at": form.cleaned_data.get("due_at"),
        "responsible": next((user for user in (_crm_user(integration, each) for each in doer) if user), ""),
    }
    row = card_writes.intend(call, integration, kind, token, request.user, **wished)
    if row:
        lines = [audit.line(form.fields[name].label, before.get(name) or None, said[name] or None) for name in said]
        audit.note(row, lines)
    return row


def _crm_user(integration: Integration, employee: Employee | None) -> str:
    mapped = integration.mapping.filter(employee=employee).first() if employee else None
    return mapped.crm_user if mapped else ""


def _chosen(request: PortalRequest) -> Call | None:
    named = request.GET.get("call")
    if not named:
        return None
    key = _uuid(named)
    if key is None:
        raise Http404
    return my(request, Call, uuid=key)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _of_now(request: PortalRequest, employees: frozenset[int] | None) -> list[Call]:
    told = live.look({company_of(request).pk}, {})
    now = [pk for pk, each in told.items() if not each.over and (employees is None or employees & each.employees)]
    rows = mine(request, Call).filter(pk__in=now).select_related("connection", "company").order_by("-started_at")
    return list(rows[:MOST])[::-1]


portal.in_menu("card", gettext_lazy("Call card"), "contact_phone", group="", order=2, inside=("phone",))
