"""Rules: settings that are different for some kinds of calls; what their form takes, and their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db import transaction
from django.db.models import Max

from crm_adapters.base import Capability
from employees.forms import defaults
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
    """The form of a rule, from what is stored or from what was sent. Settings that are not different are not kept, and
    stay as the integration has them."""

    def __init__(self, rule: Rule, post: Mapping[str, Any] | None = None):
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

    def _sent(self, adapter: Any, post: Mapping[str, Any]) -> dict[str, Any]:
        fields = adapter.settings_form.base_fields
        return {name: fields[name].widget.value_from_datadict(post, {}, name) for name in self.own(post)}

    def own(self, post: Mapping[str, Any]) -> list[str]:
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


def new(integration: Integration) -> Rule:
    """One that is looked at after all others."""
    last = integration.rules.aggregate(last=Max("place"))["last"] or 0
    return Rule(integration=integration, place=last + 1)


@transaction.atomic
def put_in_order(rules: Iterable[Rule]) -> None:
    """All rules of an integration, in the order in which they are looked at."""
    for place, row in enumerate(rules, 1):
        row.place = place
        row.save(update_fields=["place"])
