"""What became of calls: the passport of one, and whether every call of a day is where it should be."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees.api.resources import Mine, Resource
from employees.api.routes import router
from integrations import actors, coverage, passport
from integrations.models import CallSync, Credential
from integrations.passport import Passport
from telephony import coverage as telephony_coverage
from telephony.history_pages import MOST_DAYS
from telephony.models import Call, Connection, Recording

from .common import one

# --- The passport -----------------------------------------------------------------------------------------------------


class PassportFactSerializer(serializers.Serializer):
    name = serializers.CharField()
    value = serializers.CharField()


class PassportMomentSerializer(serializers.Serializer):
    """Something that happened. `tone`: `success`, `warning`, `danger`, `info` or empty."""

    at = serializers.DateTimeField()
    text = serializers.CharField()
    tone = serializers.CharField()
    milliseconds = serializers.IntegerField(allow_null=True)


class PassportEventSerializer(serializers.Serializer):
    """An event as the PBX sent it, without secrets. `ours`: written by ourselves."""

    at = serializers.DateTimeField()
    path = serializers.CharField()
    remote = serializers.CharField()
    ours = serializers.BooleanField()
    failed = serializers.BooleanField()
    error = serializers.CharField()
    body = serializers.CharField()


class PassportExchangeSerializer(serializers.Serializer):
    """A request of ours to a PBX or a CRM and its answer, without secrets. `account`: the UUID of the connection or the
    credential."""

    at = serializers.DateTimeField()
    vendor = serializers.CharField()
    account = serializers.UUIDField()
    about = serializers.CharField()
    method = serializers.CharField()
    url = serializers.CharField()
    request = serializers.CharField()
    status = serializers.IntegerField(allow_null=True)
    answer = serializers.CharField()
    milliseconds = serializers.IntegerField()
    error = serializers.CharField()


class PassportRecordingSerializer(serializers.Serializer):
    """`missing`: the storage lacks the file."""

    uuid = serializers.UUIDField()
    state = serializers.ChoiceField(Recording.State.choices)
    missing = serializers.BooleanField()


class StandingSerializer(serializers.Serializer):
    """`code`: `written`, `writing`, `nothing`, `failing`, `parked`, `paused`, `waiting` or `skipped`."""

    code = serializers.CharField()
    title = serializers.CharField()
    words = serializers.CharField()


class CallInCrmSerializer(serializers.Serializer):
    """A call in one CRM account. `next`: what happens next. `extensions`: those that it waits for a decision about."""

    credential = serializers.UUIDField(source="sync.credential.uuid")
    integration = serializers.UUIDField(source="sync.integration.uuid")
    crm = serializers.CharField(source="sync.credential.crm")
    standing = StandingSerializer()
    next = serializers.CharField()
    retriable = serializers.BooleanField()
    extensions = serializers.ListField(child=serializers.CharField())
    steps = PassportMomentSerializer(many=True)
    exchanges = PassportExchangeSerializer(many=True)


class BystanderSerializer(serializers.Serializer):
    """An integration that did nothing about the call, and why."""

    integration = serializers.UUIDField(source="integration.uuid")
    why = serializers.CharField()


class PassportSerializer(serializers.Serializer):
    """`exchanges`: those with the PBX; `others`: with CRMs, that belong to no account above. `deleted`: what the
    company's rule has deleted."""

    call = serializers.UUIDField(source="call.uuid")
    facts = serializers.SerializerMethodField()
    timeline = PassportMomentSerializer(many=True, source="telephony.timeline")
    events = PassportEventSerializer(many=True, source="telephony.events")
    decisions = PassportMomentSerializer(many=True, source="telephony.decisions")
    commands = PassportMomentSerializer(many=True, source="telephony.commands")
    recordings = PassportRecordingSerializer(many=True, source="telephony.recordings")
    exchanges = PassportExchangeSerializer(many=True, source="telephony.exchanges")
    deleted = serializers.ListField(child=serializers.CharField(), source="telephony.deleted")
    accounts = CallInCrmSerializer(many=True)
    bystanders = BystanderSerializer(many=True)
    others = PassportExchangeSerializer(many=True)

    @extend_schema_field(PassportFactSerializer(many=True))
    def get_facts(self, found: Passport) -> list[dict[str, str]]:
        return [{"name": str(name), "value": value} for name, value in found.telephony.facts]


class CallRetrySerializer(serializers.Serializer):
    credential = Mine(Credential, required=False, allow_null=True, help_text="In this account alone.")


class CallCountSerializer(serializers.Serializer):
    count = serializers.IntegerField(help_text="How many calls, in how many accounts each.")


class Passports(Resource):
    """What became of a call."""

    area = "calls"
    tag = "calls"
    serializer_class = PassportSerializer

    def get_queryset(self) -> QuerySet[Call]:
        return self.mine(Call).select_related("connection", "employee", "dialled_by").prefetch_related("recordings")

    @extend_schema(responses=PassportSerializer, operation_id="calls_passport")
    @action(detail=True, methods=["get"])
    def passport(self, request: Request, uuid: Any) -> Response:
        """What happened in it, what is in which CRM and what is not, and why, with every request."""
        return Response(self.get_serializer(passport.compose(self.get_object())).data)

    @extend_schema(request=CallRetrySerializer, responses=CallCountSerializer, operation_id="calls_retry")
    @action(detail=True, methods=["post"], serializer_class=CallRetrySerializer, area="problems")
    def retry(self, request: Request, uuid: Any) -> Response:
        """Write it into its CRMs now, though it was parked or is to be tried later."""
        asked, rows = self.validated(), CallSync.objects.filter(call=self.get_object())
        if chosen := asked.get("credential"):
            rows = rows.filter(credential=chosen)
        return Response({"count": actors.retry(rows)})


# --- Coverage ---------------------------------------------------------------------------------------------------------


class CoverageAbsentSerializer(serializers.Serializer):
    """A call that the PBX has and we have not, and why."""

    at = serializers.DateTimeField()
    phone = serializers.CharField()
    extension = serializers.CharField()
    why = serializers.CharField()


class CoverageUnwantedSerializer(serializers.Serializer):
    why = serializers.CharField()
    count = serializers.IntegerField()


class CoverageInCrmSerializer(serializers.Serializer):
    """A day's calls in one integration. `unwanted`: not written on purpose; `aside`: it did not concern itself."""

    integration = serializers.UUIDField(source="integration.uuid")
    written = serializers.IntegerField()
    on_the_way = serializers.IntegerField()
    parked = serializers.IntegerField()
    waiting = serializers.IntegerField()
    unwanted = serializers.SerializerMethodField()
    aside = serializers.IntegerField()

    @extend_schema_field(CoverageUnwantedSerializer(many=True))
    def get_unwanted(self, day: coverage.InCrm) -> list[dict[str, Any]]:
        return [{"why": why, "count": count} for why, count in day.unwanted]


class CoverageDaySerializer(serializers.Serializer):
    """A day of the company's. `calls`: in our journal; `told`: in the PBX's history, null where it was not compared,
    else up to `until`; `missing`: of those."""

    day = serializers.DateField()
    calls = serializers.IntegerField()
    told = serializers.IntegerField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True)
    whole = serializers.BooleanField(help_text="The whole day was compared.")
    missing = CoverageAbsentSerializer(many=True)
    crm = CoverageInCrmSerializer(many=True)


class CoverageFilters(serializers.Serializer):
    connection = serializers.UUIDField()
    days = serializers.IntegerField(min_value=1, max_value=MOST_DAYS, default=14)


class CoverageSerializer(serializers.Serializer):
    connection = serializers.UUIDField()
    days = CoverageDaySerializer(many=True)


class Coverage(Resource):
    """Is every call of a PBX here, and in its CRMs?"""

    area = "calls"
    filters = CoverageFilters
    pagination_class = None
    serializer_class = CoverageSerializer

    @extend_schema(responses=one(CoverageSerializer), operation_id="coverage")
    def list(self, request: Request) -> Response:
        """Day by day, the newest first."""
        asked = self.parameters()
        row = get_object_or_404(self.mine(Connection).select_related("company"), uuid=asked["connection"])
        days = telephony_coverage.days(row, asked["days"])
        coverage.attach_crm(row, days, coverage.integrations_of(row))
        return Response(CoverageSerializer({"connection": row.uuid, "days": days}).data)


router.register("calls", Passports, "passports")
router.register("coverage", Coverage, "coverage")
