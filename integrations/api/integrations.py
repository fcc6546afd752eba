"""Integrations: what is written into which account, who is who there, and what people should know of it."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees import limits
from employees.api.forms import posted, told
from employees.api.problems import Problem, invalid
from employees.api.resources import Mine, Resource, Tagged, etag
from employees.api.routes import router
from employees.models import Employee
from integrations import accounts, crm_lists, mapping, modes, setup
from integrations.card_fields import CARD_FIELDS, shown_beside_the_name
from integrations.crm_setup import lines_of
from integrations.mapping import Line
from integrations.models import Credential, Integration
from integrations.overlaps import overlaps
from integrations.setup import HouseForm
from telephony.models import Connection

from .common import lines, valid

MOST = 500
"""Rows of one bulk request."""
HOUSE = ("active", "name", "filter_numbers", CARD_FIELDS)


class IntegrationSerializer(serializers.ModelSerializer):
    """`settings`: what the CRM's `settings` schema asks for; those that are not sent stay. They must all be right as
    soon as it is `active`. `numbers`: with `filter_numbers` calls by these alone are written. `warnings`: what went
    wrong in the CRM while it was set up for this change, which is kept all the same."""

    credential = Mine(Credential)
    crm = serializers.CharField(source="credential.crm", read_only=True)
    connections = Mine(Connection, many=True, required=False)
    numbers = serializers.ListField(child=serializers.CharField(max_length=128), required=False)
    settings = serializers.DictField(required=False)
    card_fields = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Which fields of a client the call card shows."
    )
    warnings = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Integration
        fields = [
            "uuid",
            "name",
            "crm",
            "credential",
            "active",
            "connections",
            "filter_numbers",
            "numbers",
            "settings",
            "card_fields",
            "created_at",
            "updated_at",
            "warnings",
        ]
        read_only_fields = ["uuid", "created_at", "updated_at"]

    def to_representation(self, row: Integration) -> dict[str, Any]:
        form = row.credential.adapter.settings_form(initial=setup.settings_of(row, row.credential))
        return {
            "uuid": str(row.uuid),
            "name": row.name,
            "crm": row.credential.crm,
            "credential": str(row.credential.uuid),
            "active": row.active,
            "connections": [str(each.uuid) for each in row.connections.all()],
            "filter_numbers": row.filter_numbers,
            "numbers": sorted({each.number for each in row.numbers.all()}),
            "settings": told(form),
            "card_fields": shown_beside_the_name(row.credential.adapter, row.settings),
            "created_at": row.created_at,
            "updated_at": row.updated_at,
            "warnings": [],
        }


class MappingSerializer(serializers.Serializer):
    """`crm_user`: the id of the employee's user in the CRM; null: none. `suggestion`: who it most likely is, where
    nobody is mapped. `gone`: the CRM does not list him any more."""

    employee = serializers.UUIDField(source="employee.uuid")
    name = serializers.CharField(source="employee.name", read_only=True)
    extensions = serializers.SerializerMethodField()
    crm_user = serializers.CharField(max_length=64, allow_null=True)
    crm_user_name = serializers.CharField(read_only=True)
    use_for_personal_manager = serializers.BooleanField(default=True)
    suggestion = serializers.CharField(read_only=True, allow_null=True)
    suggestion_name = serializers.CharField(read_only=True)
    gone = serializers.BooleanField(read_only=True)

    def get_extensions(self, line: Line) -> list[str]:
        return [row.number for row in line.employee.extensions.all()]

    def to_representation(self, line: Line) -> dict[str, Any]:
        mapped, guessed = ("", line.user) if line.suggested else (line.user, "")
        return {
            "employee": str(line.employee.uuid),
            "name": line.employee.name,
            "extensions": self.get_extensions(line),
            "crm_user": mapped or None,
            "crm_user_name": line.user_name if mapped else "",
            "use_for_personal_manager": line.use,
            "suggestion": guessed or None,
            "suggestion_name": line.user_name if guessed else "",
            "gone": line.gone,
        }


class OverlapSerializer(serializers.Serializer):
    """Another integration that wants the same calls for the same account; the older one writes them. `numbers`: by
    which lines; empty: all."""

    integration = serializers.UUIDField(source="other.uuid")
    numbers = serializers.ListField(child=serializers.CharField())
    writes = serializers.BooleanField(source="first", help_text="It is the other one that writes them.")


class SpeltSerializer(serializers.Serializer):
    number = serializers.CharField()
    line_name = serializers.CharField()
    spelt = serializers.CharField(help_text="As it is to be typed in the CRM.")


class AdviceSerializer(serializers.Serializer):
    overlaps = OverlapSerializer(many=True)
    numbers = SpeltSerializer(many=True)


class Integrations(Tagged, mixins.ListModelMixin, mixins.DestroyModelMixin, Resource):
    """Calls of which PBX connections are written into which CRM account, and how."""

    area = "integrations"
    problems = ["conflict", "limit_reached"]
    serializer_class = IntegrationSerializer

    def get_queryset(self) -> QuerySet[Integration]:
        return self.mine(Integration).select_related("credential").prefetch_related("connections", "numbers")

    def create(self, request: Request) -> Response:
        """It is off until it is `active`. Without `connections`: all that are active."""
        asked = self.validated()
        if full := limits.reached(self.company, "most_integrations", self.mine(Integration)):
            raise Problem("limit_reached", full)
        with transaction.atomic():
            row = setup.new(asked["credential"])
            self._save(row, asked)
        return self._settled(row, row.credential, code=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """With another account of the same CRM the mapping ends, and settings that name something in the CRM are asked
        anew."""
        row = self.get_object()
        talked = modes.talks(row)
        super().partial_update(request, *args, **kwargs)
        return self._settled(row, row.credential, talked)

    def perform_update(self, serializer: Any) -> None:
        self._save(serializer.instance, serializer.validated_data)

    def perform_destroy(self, instance: Integration) -> None:
        if instance.syncs.exists():
            words = _("Calls were written by this integration, so it is kept: switch it off instead.")
            raise Problem("conflict", words)
        talked = modes.talks(instance)
        instance.delete()
        accounts.retire(instance.credential, talked)

    def _save(self, row: Integration, asked: dict[str, Any]) -> None:
        """By the portal's own forms; what is not sent stays."""
        account = asked.get("credential", row.credential)
        if account.crm != row.credential.crm:
            raise invalid("credential", _("This account is in another CRM: make another integration for it."))
        changed = account != row.credential
        house = self._house(row, account, asked)
        checked = "settings" in asked or asked.get("active") or (changed and row.active)
        settings = self._settings(row, account, asked.get("settings", {})) if checked else None
        valid((house, ""), *([(settings, "settings.")] if settings else []))
        chosen = house.cleaned_data["connections"]
        if settings and (words := modes.refusal(account.adapter, settings.cleaned_data, chosen)):
            raise invalid(f"settings.{modes.name_of(account.adapter)}", words)
        setup.store(row, account, house, settings)
        if changed:
            mapping.store(row, dict.fromkeys(mapping.stored(row), ("", False)), ())

    def _house(self, row: Integration, account: Credential, asked: dict[str, Any]) -> HouseForm:
        data = setup.house_of(row, account.adapter) | {name: asked[name] for name in HOUSE if name in asked}
        if "connections" in asked:
            data["connections"] = [each.uuid for each in asked["connections"]]
        if "numbers" in asked:
            data["numbers"] = lines(self.company, asked["numbers"])
        return HouseForm(self.company, account.adapter, data | {"numbers": [each.pk for each in data["numbers"]]})

    @staticmethod
    def _settings(row: Integration, account: Credential, sent: dict[str, Any]) -> Any:
        form = account.adapter.settings_form
        return form(posted(form(initial=setup.settings_of(row, account)), sent, place="settings."))

    def _settled(
        self, row: Integration, before: Credential, talked: bool = False, code: int = status.HTTP_200_OK
    ) -> Response:
        """The CRM is told outside of the transaction: it may take its time."""
        fresh = self.get_queryset().get(pk=row.pk)
        warnings = accounts.settle(fresh, before, talked)
        shown = self.get_serializer(fresh).data
        return Response({**shown, "warnings": warnings}, code, headers={"ETag": etag(shown)})

    # --- Who is who

    @extend_schema(responses=MappingSerializer(many=True), operation_id="integrations_mapping")
    @action(detail=True, methods=["get"], serializer_class=MappingSerializer, pagination_class=None, tagged=False)
    def mapping(self, request: Request, uuid: Any) -> Response:
        """All employees, each with his user in the CRM, or who it may be."""
        return self._mapping(self.get_object())

    @extend_schema(
        request=MappingSerializer(many=True),
        responses=MappingSerializer(many=True),
        operation_id="integrations_mapping_bulk",
    )
    @mapping.mapping.put
    def map(self, request: Request, uuid: Any) -> Response:
        """Map these employees; of others nothing changes. All or none, at most 500."""
        row = self.get_object()
        asked: Any = self.validated(many=True, max_length=MOST)
        people = self._people([each["employee"]["uuid"] for each in asked])
        wanted = {
            person: (each["crm_user"] or "", each["use_for_personal_manager"])
            for person, each in zip(people, asked, strict=True)
        }
        with transaction.atomic():
            mapping.store(row, wanted, crm_lists.of(row.credential).users)
        return self._mapping(row)

    def _people(self, uuids: list[Any]) -> list[int]:
        known = dict(self.mine(Employee).filter(uuid__in=uuids).values_list("uuid", "pk"))
        for place, uuid in enumerate(uuids):
            if uuid not in known:
                raise invalid(f"{place}.employee", _("There is no such employee."), "not_found")
        return [known[uuid] for uuid in uuids]

    def _mapping(self, row: Integration) -> Response:
        found = mapping.lines(self.company, mapping.stored(row), crm_lists.of(row.credential).users)
        return Response(MappingSerializer(found, many=True).data)

    @extend_schema(responses=AdviceSerializer, operation_id="integrations_advice")
    @action(detail=True, methods=["get"])
    def advice(self, request: Request, uuid: Any) -> Response:
        """What its page says besides: integrations that want the same calls, numbers as they are typed in the CRM."""
        row = self.get_object()
        spelt = [
            {"number": line.number, "line_name": line.line_name, "spelt": row.credential.adapter.spelt(line.number)}
            for line in lines_of([row])
        ]
        found = {"overlaps": overlaps(row), "numbers": [each for each in spelt if each["spelt"]]}
        return Response(AdviceSerializer(found).data)


router.register("integrations", Integrations, "integrations")
