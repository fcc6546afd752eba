"""The portal's pages of integrations: the list, the choice of an account, the settings with the mapping."""

from __future__ import annotations

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

from . import accounts, modes, setup
from .crm_setup import lines_of
from .models import Credential, Integration
from .overlaps import overlaps
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
            return onward(request, "portal:integration", setup.new(account).uuid)
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
    form = Setup(row, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        before, talked = row.credential, modes.talks(row)
        row = form.save()
        messages.success(request, _("Saved."))
        for wrong in accounts.settle(row, before, talked):
            messages.warning(request, wrong)
        if not row.active:
            messages.info(request, _("The integration is switched off: nothing is written until you switch it on."))
            return onward(request, "portal:integration", row.uuid)
        return back(request, reverse("portal:integration", args=[row.uuid]))
    saved = Integration.objects.select_related("credential").get(pk=row.pk)
    rules = list(saved.rules.prefetch_related("numbers"))
    for rule in rules:
        known = form.settings.fields
        rule.different = [known[name].label for name in rule.settings if name in known]  # type: ignore[attr-defined]
    spelt = [(line, form.adapter.spelt(line.number)) for line in lines_of([saved])]
    context = {
        "title": str(saved),
        "row": saved,
        "setup": form,
        "rules": rules,
        "overlaps": overlaps(saved),
        "spelt": [each for each in spelt if each[1]],
    }
    return portal.render(request, "portal/integration.html", context)


@portal.page("integrations/<uuid:uuid>/delete/", name="integration_delete", right=Right.MANAGE, posts=True)
def integration_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Only an integration that has written nothing: the passports of its calls need it."""
    row = my(request, Integration, uuid=uuid)
    talked = modes.talks(row)
    if row.syncs.exists():
        row.active = False
        row.save(update_fields=["active", "updated_at"])
        _retire(request, row, talked)
        messages.warning(request, _("Calls were written by this integration, so it was switched off and kept."))
        return redirect("portal:integration", row.uuid)
    row.delete()
    _retire(request, row, talked)
    messages.success(request, _("The integration was deleted."))
    return redirect("portal:integrations")


def _retire(request: HttpRequest, row: Integration, talked: bool) -> None:
    if wrong := accounts.retire(row.credential, talked):
        messages.warning(request, wrong)


portal.in_menu(
    "integrations",
    gettext_lazy("Integrations"),
    "hub",
    group=SETTINGS,
    order=32,
    inside=("integration", "integration_new"),
)
