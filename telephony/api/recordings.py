"""The API's resource of recordings: their state, their audio, links to it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees.api.problems import Problem
from employees.api.resources import Anything, Mine, Resource, Uuid
from employees.api.routes import router
from telephony import recordings, views
from telephony.actors import fetch_recording
from telephony.models import Call, Recording


class RecordingSerializer(serializers.ModelSerializer):
    """`link`: an address of a stored one that opens without a key, until it is revoked or the recording deleted."""

    call = Uuid()
    link = serializers.SerializerMethodField()

    class Meta:
        model = Recording
        fields = [
            "uuid",
            "call",
            "state",
            "extension",
            "content_type",
            "size",
            "sha256",
            "error",
            "stored_at",
            "deleted_at",
            "link",
        ]
        read_only_fields = fields

    def get_link(self, row: Recording) -> str | None:
        return recordings.link(row) if row.state == Recording.State.STORED else None


class RecordingFilters(serializers.Serializer):
    call = Mine(Call)


RANGE = OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="`bytes=0-1023`: answered with 206.")


class Recordings(mixins.ListModelMixin, mixins.RetrieveModelMixin, Resource):
    """The audio of calls. A list is of one call."""

    area = "recordings"
    problems = ["conflict"]
    filters = RecordingFilters
    pagination_class = None
    serializer_class = RecordingSerializer

    def get_queryset(self) -> QuerySet[Recording]:
        asked = self.parameters() if self.action == "list" else {}
        rows = Recording.objects.filter(call__company=self.company, **asked)
        return rows.select_related("call").order_by("pk")

    @extend_schema(
        parameters=[RANGE],
        responses={(200, "audio/*"): OpenApiTypes.BINARY, (206, "audio/*"): OpenApiTypes.BINARY, 416: None},
    )
    @action(detail=True, methods=["get"], content_negotiation_class=Anything)
    def audio(self, request: Request, uuid: Any) -> HttpResponseBase:
        """The audio, whole or a range of it. One that is not stored is not found."""
        row = self.get_object()
        if row.state != Recording.State.STORED:
            raise Problem(
                "not_found", _("There is no audio: the recording's state is “%(state)s”.") % {"state": row.state}
            )
        return views.serve(request._request, row)

    @extend_schema(request=None, responses={202: RecordingSerializer})
    @action(detail=True, methods=["post"], url_path="request")
    def request_again(self, request: Request, uuid: Any) -> Response:
        """Ask the PBX for it again, now. A stored one stays as it is until another is there."""
        row = self.get_object()
        if not recordings.request_again(row):
            words = _("Your company's rule has deleted this recording: it is not asked for again.")
            raise Problem("conflict", words)
        fetch_recording.send(row.pk)
        return Response(self.get_serializer(self.get_object()).data, status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses=RecordingSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, uuid: Any) -> Response:
        """Links to it that were given out no longer open. CRMs that keep one are given the new one."""
        recordings.revoke(self.get_object(), by=f"API · {self.key}")
        return Response(self.get_serializer(self.get_object()).data)


router.register("recordings", Recordings, "recordings")
