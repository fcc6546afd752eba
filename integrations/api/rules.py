"""Rules of an integration: settings that are different for some kinds of calls."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees.api.forms import posted
from employees.api.problems import invalid
from employees.api.resources import Resource, Tagged
from employees.api.routes import router
from integrations import rules, setup
from integrations.models import Integration, Rule
from integrations.rules import OWN, RuleSetup

from .common import lines, valid

CONDITIONS = ("direction", "outcome", "client", "hours")


class RuleSerializer(serializers.ModelSerializer):
    """For which calls, and which `settings` they have: a whole list, what is left out is as the integration has it.
    Empty conditions fit all. Of the rules that fit a call the first holds."""

    numbers = serializers.ListField(child=serializers.CharField(max_length=128), required=False)
    settings = serializers.DictField(required=False)

    class Meta:
        model = Rule
        fields = ["uuid", "place", "direction", "outcome", "client", "hours", "numbers", "settings"]
        read_only_fields = ["uuid", "place"]

    def to_representation(self, row: Rule) -> dict[str, Any]:
        return {
            "uuid": str(row.uuid),
            "place": row.place,
            "direction": row.direction,
            "outcome": row.outcome,
            "client": row.client,
            "hours": row.hours,
            "numbers": sorted({each.number for each in row.numbers.all()}) if row.pk else [],
            "settings": row.settings,
        }


class RuleOrderSerializer(serializers.Serializer):
    rules = serializers.ListField(child=serializers.UUIDField(), help_text="All of them, the first one first.")


class Rules(Tagged, mixins.ListModelMixin, mixins.DestroyModelMixin, Resource):
    """Settings that are different for some kinds of calls, in the order in which they are looked at."""

    area = "integrations"
    tag = "integrations"
    pagination_class = None
    serializer_class = RuleSerializer

    def get_queryset(self) -> QuerySet[Rule]:
        return self._integration().rules.select_related("integration__credential").prefetch_related("numbers")

    def _integration(self) -> Integration:
        rows = self.mine(Integration).select_related("credential")
        return get_object_or_404(rows, uuid=self.kwargs["integration"])

    def create(self, request: Request, integration: Any) -> Response:
        """It is looked at after all others."""
        asked, row = self.validated(), rules.new(self._integration())
        if not row.integration.credential.adapter.rule_fields:
            raise Http404
        self._save(row, asked)
        return Response(self.get_serializer(self._fresh(row)).data, status.HTTP_201_CREATED)

    def perform_update(self, serializer: Any) -> None:
        self._save(serializer.instance, serializer.validated_data)
        serializer.instance = self._fresh(serializer.instance)

    @extend_schema(request=RuleOrderSerializer, responses=RuleSerializer(many=True), operation_id="rules_order")
    @action(detail=False, methods=["put"], serializer_class=RuleOrderSerializer, tagged=False)
    def order(self, request: Request, integration: Any) -> Response:
        """In which order they are looked at."""
        wanted = self.validated()["rules"]
        rows = {row.uuid: row for row in self.get_queryset()}
        if len(wanted) != len(rows) or set(wanted) != rows.keys():
            raise invalid("rules", _("Name all rules of the integration, each of them once."))
        rules.put_in_order(rows[uuid] for uuid in wanted)
        return Response(RuleSerializer(self.get_queryset(), many=True).data)

    def _save(self, row: Rule, asked: dict[str, Any]) -> None:
        """By the portal's own form; what is not sent stays."""
        adapter = row.integration.credential.adapter
        wanted = asked.get("settings", row.settings)
        for name in wanted:
            if name not in adapter.rule_fields:
                raise invalid(f"settings.{name}", _("Rules cannot change this setting."), "unknown")
        shown = adapter.settings_form(initial=setup.settings_of(row.integration, row.integration.credential))
        data = posted(shown, wanted, place="settings.")
        for name in wanted:
            data[OWN + name] = "on"
        for name in CONDITIONS:
            data[name] = asked.get(name, getattr(row, name))
        data.setlist("numbers", self._numbers(row, asked))
        form = RuleSetup(row, data)
        if data["client"] and "client" not in form.conditions.fields:
            raise invalid("client", _("This CRM does not say whom it knows."))
        if not form.is_valid():
            valid((form.conditions, ""), (form.settings, "settings."))
        form.save()

    def _numbers(self, row: Rule, asked: dict[str, Any]) -> list[str]:
        if "numbers" in asked:
            found = lines(self.company, asked["numbers"], connection__integrations=row.integration)
        else:
            found = list(row.numbers.all()) if row.pk else []
        return [str(each.pk) for each in found]

    def _fresh(self, row: Rule) -> Rule:
        return self.get_queryset().get(pk=row.pk)


router.register("integrations/<uuid:integration>/rules", Rules, "rules")
