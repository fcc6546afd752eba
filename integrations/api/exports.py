"""The journal as a file: asked for, watched, fetched, deleted."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees.api.problems import Problem, invalid
from employees.api.resources import Resource
from employees.api.routes import router
from integrations import actors, columns, exports
from integrations.journal import CrmJournalFilter
from integrations.models import Export
from telephony import spreadsheets, views
from telephony.coverage import zone_of
from telephony.words import ours

from .common import valid


class ExportSerializer(serializers.ModelSerializer):
    """`filter`: as the journal has it: `q`, `period`, `since`, `until` (the company's days), `direction`, `outcome`,
    `employee`, `connection`, `line`, `recording`, `crm`. `rows` of `total` are written. Its words are in the language
    of `Accept-Language`."""

    format = serializers.ChoiceField(spreadsheets.FORMATS)
    columns = serializers.ListField(
        child=serializers.ChoiceField([(each.key, each.title) for each in columns.COLUMNS]), default=list(columns.USUAL)
    )
    filter = serializers.DictField(child=serializers.CharField(), default=dict)
    error = serializers.SerializerMethodField()

    class Meta:
        model = Export
        fields = [
            "uuid",
            "format",
            "columns",
            "filter",
            "state",
            "rows",
            "total",
            "size",
            "error",
            "created_at",
            "finished_at",
        ]
        read_only_fields = ["uuid", "state", "rows", "total", "size", "created_at", "finished_at"]

    def get_error(self, row: Export) -> str:
        return ours(row.error)


class Exports(mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, Resource):
    """The journal as files. They are written in the background, and deleted after a while."""

    area = "calls"
    problems = ["conflict"]
    serializer_class = ExportSerializer

    def get_queryset(self) -> QuerySet[Export]:
        return self.mine(Export)

    def create(self, request: Request) -> Response:
        """Ask for a file."""
        asked = self.validated()
        with timezone.override(zone_of(self.company)):
            journal = self._journal(asked["filter"])
            row = exports.ask(journal, None, asked["format"], columns.chosen(asked["columns"]))
        actors.write_export.send(row.pk)
        return Response(self.get_serializer(row).data, status.HTTP_201_CREATED)

    def _journal(self, sent: dict[str, str]) -> CrmJournalFilter:
        journal = CrmJournalFilter(self.company, sent)
        if unknown := sorted(sent.keys() - journal.fields.keys()):
            raise invalid(f"filter.{unknown[0]}", _("The journal has no such filter."), "unknown")
        valid((journal, "filter."))
        return journal

    @extend_schema(
        responses={(200, kind): OpenApiTypes.BINARY for kind in spreadsheets.TYPES.values()},
        operation_id="exports_file",
    )
    @action(detail=True, methods=["get"])
    def file(self, request: Request, uuid: Any) -> HttpResponseBase:
        """The file, once its state is `done`."""
        row = self.get_object()
        if row.state != Export.State.DONE:
            raise Problem("conflict", _("The file is not written yet: see its `state`."))
        return views.download(request._request, row.file, spreadsheets.TYPES[row.format], row.name)

    def perform_destroy(self, instance: Export) -> None:
        """With its file. One that is being written ends."""
        exports.delete(instance)


router.register("exports", Exports, "exports")
