"""Test calls: what would become of one, playing it for real, its course, cleaning up."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees.api.problems import Problem, invalid
from employees.api.resources import Resource
from employees.api.routes import router
from integrations import cleaning
from integrations.cleaning import UnderWay
from integrations.course import Course, course_of
from integrations.rehearsal import rehearse
from integrations.trial_forms import KINDS, TrialForm
from telephony import trials
from telephony.fold import Source
from telephony.models import Call, Connection
from telephony.scripts import Kind, Script
from telephony.words import ours

from .calls import BystanderSerializer, StandingSerializer
from .common import valid

# --- What can be played -----------------------------------------------------------------------------------------------


class TestCallKindSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(KINDS)
    title = serializers.CharField()


class TestCallLineSerializer(serializers.Serializer):
    """`line` is empty where the connection has no numbers."""

    connection = serializers.UUIDField()
    line = serializers.CharField()
    title = serializers.CharField()


class TestCallExtensionSerializer(serializers.Serializer):
    extension = serializers.CharField()
    title = serializers.CharField()


class TestCallChoicesSerializer(serializers.Serializer):
    """`phone`: a number that is nobody's."""

    kinds = TestCallKindSerializer(many=True)
    lines = TestCallLineSerializer(many=True)
    extensions = TestCallExtensionSerializer(many=True)
    phone = serializers.CharField()


class TestCallScriptSerializer(serializers.Serializer):
    """A call to be played. What is not sent is chosen: the first line, the first extension, a number of nobody's."""

    kind = serializers.ChoiceField(KINDS, default=Kind.IN_ANSWERED)
    connection = serializers.UUIDField(required=False)
    line = serializers.CharField(required=False)
    extension = serializers.CharField(required=False)
    phone = serializers.CharField(max_length=32, required=False)
    recorded = serializers.BooleanField(default=True)


# --- What would become of it ------------------------------------------------------------------------------------------


class RehearsedRequestSerializer(serializers.Serializer):
    """A request as it would be sent, without secrets."""

    method = serializers.CharField()
    url = serializers.CharField()
    body = serializers.CharField(source="request")


class RehearsedStepSerializer(serializers.Serializer):
    """A step: how it is made exactly once, and its first request, or why that cannot be put together."""

    title = serializers.CharField()
    once = serializers.CharField()
    request = RehearsedRequestSerializer(allow_null=True)
    words = serializers.CharField()


class RehearsedPlanSerializer(serializers.Serializer):
    """What the call would become in one account: whose it is (`person`), whom the CRM knows (`client`), each step.
    `open`: what follows depends on what the CRM answers."""

    credential = serializers.UUIDField(source="credential.uuid")
    standing = StandingSerializer()
    person = serializers.CharField()
    client = serializers.CharField()
    steps = RehearsedStepSerializer(many=True)
    open = serializers.BooleanField()


class RehearsalSerializer(serializers.Serializer):
    wanted = serializers.BooleanField(help_text="Something would be written.")
    plans = RehearsedPlanSerializer(many=True)
    bystanders = BystanderSerializer(many=True, source="passport.bystanders")


# --- How it goes ------------------------------------------------------------------------------------------------------


class TestCallSerializer(serializers.ModelSerializer):
    phone = serializers.CharField(source="client_phone")

    class Meta:
        model = Call
        fields = ["uuid", "state", "direction", "outcome", "phone", "started_at"]


class TestCallTraceSerializer(serializers.Serializer):
    """What the call has left in a CRM. What is not `removable` only a person can delete, there."""

    title = serializers.SerializerMethodField()
    id = serializers.CharField()
    link = serializers.CharField()
    removable = serializers.BooleanField()

    def get_title(self, trace: Any) -> str:
        return ours(trace.title)


class TestCallLandingSerializer(serializers.Serializer):
    credential = serializers.UUIDField()
    standing = StandingSerializer()
    next = serializers.CharField()
    left = TestCallTraceSerializer(many=True)


class TestCallCourseSerializer(serializers.Serializer):
    """`landed`: it stands in a CRM; `settled`: nothing more happens by itself; `cleanable`: something can be removed,
    or more is still to be written."""

    call = TestCallSerializer()
    landed = serializers.BooleanField()
    settled = serializers.BooleanField()
    cleanable = serializers.BooleanField()
    accounts = serializers.SerializerMethodField()
    bystanders = BystanderSerializer(many=True, source="passport.bystanders")

    @extend_schema_field(TestCallLandingSerializer(many=True))
    def get_accounts(self, course: Course) -> Any:
        rows = [
            {"credential": each.sync.credential.uuid, "standing": each.standing, "next": each.next, "left": traces}
            for each, traces in course.traces
        ]
        return TestCallLandingSerializer(rows, many=True).data


class TestCallCleanedSerializer(serializers.Serializer):
    """How many things were removed, what a CRM said where one was not, and how it stands now."""

    removed = serializers.IntegerField()
    failures = serializers.ListField(child=serializers.CharField())
    course = TestCallCourseSerializer()


class TestCalls(mixins.ListModelMixin, mixins.DestroyModelMixin, Resource):
    """Calls that are played without a phone, to see what becomes of them."""

    area = "integrations"
    problems = ["conflict"]
    serializer_class = TestCallSerializer

    def get_queryset(self) -> QuerySet[Call]:
        return self.mine(Call).filter(source=Source.TRIAL).select_related("connection", "employee")

    @extend_schema(request=TestCallScriptSerializer, responses={201: TestCallSerializer})
    def create(self, request: Request) -> Response:
        """Play one for real: it is written into the CRMs as every call is."""
        connection, script = self._script()
        return Response(TestCallSerializer(trials.begin(connection, script)).data, status.HTTP_201_CREATED)

    @extend_schema(responses=TestCallCourseSerializer)
    def retrieve(self, request: Request, uuid: Any) -> Response:
        """How it goes, step by step."""
        return Response(TestCallCourseSerializer(course_of(self.get_object())).data)

    @extend_schema(responses=TestCallChoicesSerializer, operation_id="test_calls_choices")
    @action(detail=False, methods=["get"], pagination_class=None)
    def choices(self, request: Request) -> Response:
        """What can be played: kinds, lines, extensions."""
        form = TrialForm(self.company)
        found = {
            "kinds": [{"kind": kind, "title": title} for kind, title in KINDS],
            "lines": [_line(value) | {"title": title} for value, title in _offered(form, "line")],
            "extensions": [
                {"extension": value, "title": title} for value, title in _offered(form, "extension") if value
            ],
            "phone": form.fields["phone"].initial,
        }
        return Response(TestCallChoicesSerializer(found).data)

    @extend_schema(request=TestCallScriptSerializer, responses=RehearsalSerializer, operation_id="test_calls_rehearse")
    @action(detail=False, methods=["post"], serializer_class=TestCallScriptSerializer)
    def rehearse(self, request: Request) -> Response:
        """What would become of it, in each CRM: nothing is written. The CRMs are asked whose number it is."""
        return Response(RehearsalSerializer(rehearse(*self._script())).data)

    @extend_schema(request=None, responses=TestCallCleanedSerializer, operation_id="test_calls_clean")
    @action(detail=True, methods=["post"])
    def clean(self, request: Request, uuid: Any) -> Response:
        """Write nothing more of it, and remove from CRMs what can be removed."""
        call = self.get_object()
        try:
            done = cleaning.clean(call)
        except UnderWay as error:
            raise Problem("conflict", cleaning.under_way()) from error
        told = {"removed": done.removed, "failures": done.errors, "course": course_of(call)}
        return Response(TestCallCleanedSerializer(told).data)

    def perform_destroy(self, instance: Call) -> None:
        """Out of the journal; what CRMs have of it stays there."""
        try:
            cleaning.delete(instance)
        except UnderWay as error:
            raise Problem("conflict", cleaning.under_way()) from error

    def _script(self) -> tuple[Connection, Script]:
        serializer = TestCallScriptSerializer(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        offered = TrialForm(self.company)
        form = TrialForm(
            self.company,
            {
                "kind": asked["kind"],
                "line": self._place(offered, asked),
                "extension": asked.get("extension", _offered(offered, "extension")[0][0]),
                "phone": asked.get("phone") or offered.fields["phone"].initial,
                "recorded": asked["recorded"],
            },
        )
        valid((form, ""))
        return form.told()

    @staticmethod
    def _place(form: TrialForm, asked: dict[str, Any]) -> str:
        """The first line that is what was asked for."""
        for value, _title in _offered(form, "line"):
            if all(str(asked.get(name, known)) == known for name, known in _line(value).items()):
                return value
        raise invalid("line", _("No active PBX connection has this line."), "not_found")


def _offered(form: TrialForm, name: str) -> list[tuple[str, str]]:
    return list(form.fields[name].choices)  # type: ignore[attr-defined]


def _line(value: str) -> dict[str, str]:
    uuid, _bar, number = value.partition("|")
    return {"connection": uuid, "line": number}


router.register("test-calls", TestCalls, "test-calls")
