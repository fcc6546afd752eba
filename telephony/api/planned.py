"""The API's resource of planned calls: whom we are to call, and what about."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees import phones
from employees.api.problems import Problem, invalid
from employees.api.resources import Mine, Resource, Tagged
from employees.api.routes import router
from employees.models import Employee
from telephony import planner
from telephony.models import PlannedCall
from telephony.planner import MOST_LINES, MOST_WORDS, Row, Wish

# --- Planned calls ----------------------------------------------------------------------------------------------------

OPEN, DONE = "open", "done"


class AttemptSerializer(serializers.Serializer):
    at = serializers.DateTimeField()
    who = serializers.CharField(allow_blank=True, help_text="The employee's name, else the extension.")


class PlannedCallSerializer(serializers.ModelSerializer):
    """`due_at`: not before then; null: at once. Without an `employee` it is for whoever comes first. It is done by a
    conversation with its number since then (`call`), or by hand (`done_at`). `attempts`: calls that were not taken."""

    employee = Mine(Employee, allow_null=True, required=False)
    call = serializers.UUIDField(allow_null=True, read_only=True)
    attempts = AttemptSerializer(many=True, read_only=True)

    class Meta:
        model = PlannedCall
        fields = ["uuid", "phone", "words", "due_at", "employee", "origin", "made_at", "done_at", "note"]
        fields += ["call", "attempts"]
        read_only_fields = ["uuid", "phone", "origin", "made_at", "done_at", "note"]

    def to_representation(self, plan: PlannedCall) -> dict[str, Any]:
        row: Row = getattr(plan, "row", None) or planner.rows([plan])[0]
        told: dict[str, Any] = {"uuid": str(plan.uuid), "phone": plan.phone, "words": plan.words, "origin": plan.origin}
        told |= {name: _moment(getattr(plan, name)) for name in ("due_at", "made_at", "done_at")}
        return told | {
            "employee": str(plan.employee.uuid) if plan.employee else None,
            "note": plan.note,
            "call": str(row.talk.uuid) if row.talk else None,
            "attempts": AttemptSerializer(row.attempts, many=True).data,
        }


def _moment(value: datetime | None) -> str | None:
    return serializers.DateTimeField().to_representation(value) if value else None


class WishSerializer(serializers.Serializer):
    phone = serializers.CharField(max_length=64)
    words = serializers.CharField(max_length=MOST_WORDS, allow_blank=True, default="", help_text="What about.")


class PlanSerializer(serializers.Serializer):
    calls = WishSerializer(many=True, max_length=MOST_LINES, allow_empty=False)  # type: ignore[call-arg]
    due_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    employee = Mine(Employee, required=False, allow_null=True, default=None)


class PlannedNumbersSerializer(serializers.Serializer):
    new = serializers.IntegerField()
    merged = serializers.IntegerField(help_text="Numbers that were planned already: they have the words of both.")


class PlannedFilters(serializers.Serializer):
    show = serializers.ChoiceField(choices=[(OPEN, OPEN), (DONE, DONE)], default=OPEN)


class DoneNoteSerializer(serializers.Serializer):
    note = serializers.CharField(
        max_length=PlannedCall._meta.get_field("note").max_length, allow_blank=True, default=""
    )


class Planned(Tagged, mixins.ListModelMixin, Resource):
    """Calls that are to be made."""

    area = "calls"
    problems = ["conflict"]
    filters = PlannedFilters
    serializer_class = PlannedCallSerializer

    def get_queryset(self) -> QuerySet[PlannedCall]:
        if self.action != "list":
            return planner.with_people(self.mine(PlannedCall))
        plans = planner.still_open if self.parameters()["show"] == OPEN else planner.done
        return planner.with_people(plans(self.company))

    def paginate_queryset(self, queryset: Any) -> Any:
        """With what is known of their numbers, asked for all at once."""
        page: Any = super().paginate_queryset(queryset)
        for row in planner.rows(page):
            row.plan.row = row  # type: ignore[attr-defined]
        return page

    @extend_schema(request=PlanSerializer, responses={201: PlannedNumbersSerializer})
    def create(self, request: Request) -> Response:
        """Plan calls. A number that is planned already stands there once, with the words of both and the earlier
        time."""
        form = PlanSerializer(data=request.data, context=self.get_serializer_context())
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        wishes = [Wish(self._phone(place, row["phone"]), row["words"]) for place, row in enumerate(asked["calls"])]
        origin = PlannedCall.Origin.LIST if len(wishes) > 1 else PlannedCall.Origin.HAND
        done = planner.plan(
            self.company, wishes, by=None, origin=origin, due_at=asked["due_at"], employee=asked["employee"]
        )
        return Response(done._asdict(), status.HTTP_201_CREATED)

    def _phone(self, place: int, number: str) -> str:
        try:
            return phones.required(number, self.company.region)
        except ValidationError as error:
            raise invalid(f"calls.{place}.phone", error.messages[0]) from error

    @extend_schema(request=DoneNoteSerializer, responses=PlannedCallSerializer)
    @action(detail=True, methods=["post"])
    def done(self, request: Request, uuid: Any) -> Response:
        """It is done, or needs not be done."""
        row = self.get_object()
        form = DoneNoteSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        if row.done_at:
            raise Problem("conflict", _("It was closed already."))
        planner.close(row, None, form.validated_data["note"])
        return Response(self.get_serializer(row).data)

    @extend_schema(request=None, responses=PlannedCallSerializer)
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, uuid: Any) -> Response:
        """It stands among the open ones again. What a conversation did stays done."""
        row = self.get_object()
        if row.call_id:
            raise Problem("conflict", _("A conversation has done it: plan another call."))
        planner.reopen(row)
        return Response(self.get_serializer(row).data)


router.register("planned", Planned, "planned")
