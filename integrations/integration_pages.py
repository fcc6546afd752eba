"""The portal's pages of integrations: the list, the choice of an account, the settings with the mapping."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm_adapters import registry
from employees import limits
from employees.forms import back, onward
from employees.rights import Right
from employees.sites import company_of, mine, my, portal
from telephony.models import Connection

from . import modes
from .account_pages import prepare, retire
from .crm_setup import lines_of
from .models import Credential, Integration
from .setup import Setup

SETTINGS = gettext_lazy("Settings")


@portal.page("integrations/", name="integrations", right=Right.MANAGE)
def integrations(request: HttpRequest) -> HttpResponse:
    rows = mine(request, Integration).select_related("credential").prefetch_related("connections", "numbers", "mapping")
    context = {"title": _("Integrations"), "rows": rows, "crms": list(registry.all_adapters().values())}
    return portal.render(request, "portal/integrations.html", context)


@portal.page("integrations/new/<slug:crm>/", name="integration_new", right=Right.MANAGE)
def integration_new(request: HttpRequest, crm: str) -> HttpResponse:
    """Choose the account; the settings come next."""
    if crm not in registry.all_adapters():
        raise Http404
    if full := limits.reached(company_of(request), "most_integrations", mine(request, Integration)):
        messages.error(request, full)
        return redirect("portal:integrations")
    accounts = mine(request, Credential).filter(crm=crm)
    if request.method == "POST":
        account = next((row for row in accounts if str(row.uuid) == request.POST.get("account")), None)
        if account:
            row = Integration.objects.create(company=company_of(request), credential=account)
            row.connections.set(mine(request, Connection).filter(active=True))
            return onward(request, "portal:integration", row.uuid)
        messages.error(request, _("Choose the account first."))
    adapter = registry.get(crm)
    context = {
        "title": _("New integration: %(crm)s") % {"crm": adapter.title},
        "accounts": accounts,
        "adapter": adapter,
    }
    return portal.render(request, "portal/integration_new.html", context)


@portal.page("integrations/<uuid:uuid>/", name="integration", right=Right.MANAGE)
def integration(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Integration, uuid=uuid)
    setup = Setup(row, request.POST if request.method == "POST" else None)
    if request.method == "POST" and setup.is_valid():
        before, talked = row.credential, row.active and modes.wanted(row.credential.adapter, row.settings)
        row = setup.save()
        messages.success(request, _("Saved."))
        if before != row.credential:
            retire(request, before)
        if row.active:
            prepare(request, row.credential)
        else:
            retire(request, row.credential)
            if talked:
                prepare(request, before)  # nobody talks in its pages any more
            messages.info(request, _("The integration is switched off: nothing is written until you switch it on."))
            return onward(request, "portal:integration", row.uuid)
        return back(request, reverse("portal:integration", args=[row.uuid]))
    saved = Integration.objects.select_related("credential").get(pk=row.pk)
    rules = list(saved.rules.prefetch_related("numbers"))
    for rule in rules:
        known = setup.settings.fields
        rule.different = [known[name].label for name in rule.settings if name in known]  # type: ignore[attr-defined]
    spelt = [(line, setup.adapter.spelt(line.number)) for line in lines_of([saved])]
    context = {
        "title": str(saved),
        "row": saved,
        "setup": setup,
        "rules": rules,
        "overlaps": overlaps(saved),
        "spelt": [each for each in spelt if each[1]],
    }
    return portal.render(request, "portal/integration.html", context)


class Overlap(NamedTuple):
    """Another integration that wants the same calls for the same account. `numbers`: of which lines; empty: of all."""

    other: Integration
    numbers: list[str]
    first: bool


def overlaps(row: Integration) -> list[Overlap]:
    """Nothing is doubled: the first of them writes a call. But people wonder where its settings went."""
    others = Integration.objects.filter(company=row.company, active=True).exclude(pk=row.pk)
    others = others.filter(connections__in=row.connections.all()).select_related("credential").distinct()
    if not row.active:
        return []
    found = []
    mine = {line.number for line in lines_of([row])}
    for other in others.order_by("id"):
        if other.credential.account != row.credential.account:
            continue
        both = mine & {line.number for line in lines_of([other])}
        filtered = row.filter_numbers or other.filter_numbers
        if both or not filtered:
            found.append(Overlap(other, sorted(both) if filtered else [], other.pk < row.pk))
    return found


@portal.page("integrations/<uuid:uuid>/delete/", name="integration_delete", right=Right.MANAGE, posts=True)
def integration_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Only an integration that has written nothing: the passports of its calls need it."""
    row = my(request, Integration, uuid=uuid)
    talked = row.active and modes.wanted(row.credential.adapter, row.settings)
    if row.syncs.exists():
        row.active = False
        row.save(update_fields=["active", "updated_at"])
        retire(request, row.credential)
        if talked:
            prepare(request, row.credential)
        messages.warning(request, _("Calls were written by this integration, so it was switched off and kept."))
        return redirect("portal:integration", row.uuid)
    row.delete()
    retire(request, row.credential)
    if talked:
        prepare(request, row.credential)
    messages.success(request, _("The integration was deleted."))
    return redirect("portal:integrations")


portal.in_menu(
    "integrations",
    gettext_lazy("Integrations"),
    "hub",
    group=SETTINGS,
    order=32,
    inside=("integration", "integration_new"),
)
