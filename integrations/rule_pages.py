"""The portal's pages of rules: settings that are different for some kinds of calls."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from employees.rights import Right
from employees.sites import my, portal

from . import rules
from .models import Integration, Rule
from .rules import RuleSetup


@portal.page("integrations/<uuid:uuid>/rules/new/", name="rule_new", right=Right.MANAGE)
def rule_new(request: HttpRequest, uuid: UUID) -> HttpResponse:
    integration = my(request, Integration, uuid=uuid)
    if not integration.credential.adapter.rule_fields:
        raise Http404
    return _page(request, rules.new(integration))


@portal.page("integrations/<uuid:uuid>/rules/<uuid:rule>/", name="rule", right=Right.MANAGE)
def rule(request: HttpRequest, uuid: UUID, rule: UUID) -> HttpResponse:
    return _page(request, _mine(request, uuid, rule))


def _mine(request: HttpRequest, uuid: UUID, rule: UUID) -> Rule:
    found = my(request, Integration, uuid=uuid).rules.filter(uuid=rule).first()
    if found is None:
        raise Http404
    return found


def _page(request: HttpRequest, row: Rule) -> HttpResponse:
    setup = RuleSetup(row, request.POST if request.method == "POST" else None)
    if request.method == "POST" and setup.is_valid():
        setup.save()
        messages.success(request, _("Saved."))
        return redirect("portal:integration", row.integration.uuid)
    context = {"title": _("Rule for kinds of calls"), "row": row, "setup": setup}
    return portal.render(request, "portal/rule.html", context)


@portal.page("integrations/<uuid:uuid>/rules/<uuid:rule>/up/", name="rule_up", right=Right.MANAGE, posts=True)
def rule_up(request: HttpRequest, uuid: UUID, rule: UUID) -> HttpResponse:
    """It is looked at before the one that stood above it."""
    moved = _mine(request, uuid, rule)
    order = list(moved.integration.rules.all())
    at = order.index(moved)
    order.insert(max(0, at - 1), order.pop(at))
    rules.put_in_order(order)
    return redirect("portal:integration", uuid)


@portal.page("integrations/<uuid:uuid>/rules/<uuid:rule>/delete/", name="rule_delete", right=Right.MANAGE, posts=True)
def rule_delete(request: HttpRequest, uuid: UUID, rule: UUID) -> HttpResponse:
    _mine(request, uuid, rule).delete()
    messages.success(request, _("The rule was deleted."))
    return redirect("portal:integration", uuid)
