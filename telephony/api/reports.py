"""The API's resource of reports: what calls add up to, beside the period before."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from employees.api import problems
from employees.api.problems import Problem
from employees.api.resources import Resource
from employees.api.routes import router
from employees.models import Employee
from telephony import coverage, report_pages, reports
from telephony.report_pages import PERIODS, REPORTS, Report, ReportFilter

POSSIBLE = [MinValueValidator(date(2000, 1, 1)), MaxValueValidator(date(2100, 1, 1))]


class FiguresSerializer(serializers.Serializer):
    """Times in seconds. `called_back` and `came_back`: missed calls after which the next conversation was begun by us,
    or by the client; `patience`: the median of the time until ours."""

    incoming = serializers.IntegerField()
    outgoing = serializers.IntegerField()
    answered = serializers.IntegerField()
    missed = serializers.IntegerField()
    unreached = serializers.IntegerField(help_text="Outgoing calls that nobody answered.")
    called_back = serializers.IntegerField()
    came_back = serializers.IntegerField()
    patience = serializers.IntegerField(allow_null=True)
    talk = serializers.IntegerField()
    waiting = serializers.IntegerField()
    average_talk = serializers.IntegerField(allow_null=True)
    average_wait = serializers.IntegerField(allow_null=True)


class ReportLineSerializer(FiguresSerializer):
    """`key`: the employee's uuid, the client's number, the line, or the hour; null: nobody's. `days`: of a week, Monday
    first."""

    key = serializers.CharField(allow_null=True, allow_blank=True)
    name = serializers.CharField(allow_blank=True)
    days = FiguresSerializer(many=True)


class PeriodSerializer(serializers.Serializer):
    since = serializers.DateField()
    until = serializers.DateField(help_text="The last day.")


class ReportSerializer(serializers.Serializer):
    """`week`: of the report by hour, each hour of each day of the week (Monday first). `cut`: there may be more."""

    report = serializers.ChoiceField(choices=REPORTS)
    period = PeriodSerializer()
    totals = FiguresSerializer()
    period_before = PeriodSerializer()
    totals_before = FiguresSerializer()
    lines = ReportLineSerializer(many=True)
    week = serializers.ListField(child=FiguresSerializer(many=True))
    cut = serializers.BooleanField()


class ReportFilters(serializers.Serializer):
    """Days of the company: the first and the last one, or a period by its name; else seven days up to today."""

    since = serializers.DateField(required=False, validators=POSSIBLE)
    until = serializers.DateField(required=False, validators=POSSIBLE)
    period = serializers.ChoiceField(choices=PERIODS, required=False)
    limit = serializers.IntegerField(min_value=1, max_value=report_pages.WRITTEN, default=report_pages.SHOWN)


class Reports(Resource):
    """How many calls, how long, and who was not reached."""

    area = "calls"
    filters = ReportFilters
    lookup_field, lookup_value_converter = "report", "slug"
    pagination_class = None
    serializer_class = ReportSerializer

    def filters_of_action(self) -> type[serializers.Serializer]:
        return self.filters

    @extend_schema(
        parameters=[OpenApiParameter("report", str, OpenApiParameter.PATH, enum=[name for name, _title in REPORTS])]
    )
    def retrieve(self, request: Request, report: str) -> Response:
        """One report, with the totals of the period and of the one before it. `limit`: of clients."""
        if report not in dict(REPORTS):
            raise Problem("not_found")
        asked = self.parameters()
        with timezone.override(coverage.zone_of(self.company)):
            told = self._compose(report, asked)
        return Response(ReportSerializer(told).data)

    def _compose(self, show: str, asked: dict[str, Any]) -> dict[str, Any]:
        given = {name: str(value) for name, value in asked.items() if name != "limit"}
        chosen = ReportFilter({"show": show, **given})
        if not chosen.is_valid():
            raise problems.of_form(chosen)
        made = report_pages.compose(self.company, show, chosen.cleaned_data["days"], asked["limit"])
        return {
            "report": show,
            "period": made.period,
            "totals": reports.totals(self.company, made.period),
            "period_before": made.period.before,
            "totals_before": reports.totals(self.company, made.period.before),
            "lines": _with_keys(made),
            "week": made.week,
            "cut": made.cut,
        }


def _with_keys(made: Report) -> list[reports.Line]:
    """Employees by their uuid; a client is his number, and his name stands beside it."""
    if made.show.startswith("employee"):
        uuids = dict(Employee.objects.filter(pk__in=[line.key for line in made.lines]).values_list("pk", "uuid"))
        for line in made.lines:
            line.key = uuids.get(line.key)
    if made.show.startswith("client"):
        for line in made.lines:
            line.name = line.about
    return made.lines


router.register("reports", Reports, "reports")
