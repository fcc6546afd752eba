"""The portal's pages of rules: settings that are different for some kinds of calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db import transaction
from django.db.models import Max
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from crm_adapters.base import Capability
from employees.forms import defaults
from employees.rights import Right
from employees.sites import my, portal
from telephony.models import VirtualNumber

from .models import Integration, Rule
from .setup import fill_listed_fields

OWN = "own_"


class ConditionsForm(forms.ModelForm):
    class Meta:
        model = Rule
        fields = ["direction", "outcome", "client", "hours", "numbers"]
        widgets = {
            "numbers": forms.CheckboxSelectMultiple,
            "direction": forms.RadioSelect,
            "outcome": forms.RadioSelect,
            "client": forms.RadioSelect,
            "hours": forms.RadioSelect,
        }

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        numbers = VirtualNumber.objects.filter(connection__integrations=self.instance.integration)
        self.fields["numbers"].queryset = numbers.distinct()  # type: ignore[attr-defined]
        if Capability.CLIENT_LOOKUP not in self.instance.integration.credential.adapter.capabilities:
            del self.fields["client"]


@dataclass
class Part:
    """A setting of the rule: the switch that says it is different, and the setting itself."""

    switch: forms.BoundField
    setting: forms.BoundField


class RuleSetup:
    """The page of a rule, from what is stored or from what was sent. Settings that are not different are not kept, and
    stay as the integration has them."""

    def __init__(self, rule: Rule, post: QueryDict | None = None):
        self.rule = rule
        adapter = rule.integration.credential.adapter
        self.names = adapter.rule_fields
        self.conditions = ConditionsForm(post, instance=rule)
        fields = {OWN + name: forms.BooleanField(required=False) for name in self.names}
        switches = type("SwitchesForm", (forms.Form,), fields)
        self.switches = switches(post, initial={OWN + name: name in rule.settings for name in self.names})
        usual = {**defaults(adapter.settings_form), **rule.integration.settings, **rule.settings}
        self.settings = adapter.settings_form(usual if post is None else {**usual, **self._sent(adapter, post)})
        self.settings.use_required_attribute = False  # what is not different is not asked for
        for name in self.names:
            self.switches.fields[OWN + name].label = self.settings.fields[name].label
        fill_listed_fields(self.settings, rule.integration.credential)

    def _sent(self, adapter: Any, post: QueryDict) -> dict[str, Any]:
        fields = adapter.settings_form.base_fields
        return {name: fields[name].widget.value_from_datadict(post, {}, name) for name in self.own(post)}

    def own(self, post: QueryDict) -> list[str]:
        return [name for name in self.names if OWN + name in post]

    @property
    def parts(self) -> list[Part]:
        return [Part(self.switches[OWN + name], self.settings[name]) for name in self.names]

    def is_valid(self) -> bool:
        return all([self.conditions.is_valid(), self.switches.is_valid(), self.settings.is_valid()])

    @transaction.atomic
    def save(self) -> None:
        chosen = [name for name in self.names if self.switches.cleaned_data[OWN + name]]
        rule: Rule = self.conditions.save(commit=False)
        rule.settings = {name: self.settings.cleaned_data[name] for name in chosen}
        rule.save()
        self.conditions.save_m2m()


@portal.page("integrations/<uuid:uuid>/rules/new/", name="rule_new", right=Right.MANAGE)
def rule_new(request: HttpRequest, uuid: UUID) -> HttpResponse:
    integration = my(request, Integration, uuid=uuid)
    if not integration.credential.adapter.rule_fields:
        raise Http404
    last = integration.rules.aggregate(last=Max("place"))["last"] or 0
    return _page(request, Rule(integration=integration, place=last + 1))


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
    with transaction.atomic():
        for place, row in enumerate(order, 1):
            row.place = place
            row.save(update_fields=["place"])
    return redirect("portal:integration", uuid)


@portal.page("integrations/<uuid:uuid>/rules/<uuid:rule>/delete/", name="rule_delete", right=Right.MANAGE, posts=True)
def rule_delete(request: HttpRequest, uuid: UUID, rule: UUID) -> HttpResponse:
    _mine(request, uuid, rule).delete()
    messages.success(request, _("The rule was deleted."))
    return redirect("portal:integration", uuid)
