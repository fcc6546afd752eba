"""Missed calls: whom we still owe a call, who called back, what was closed by hand."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees.api.problems import invalid
from employees.api.resources import Nothing, Pages, Resource
from employees.api.routes import router
from integrations import managers
from telephony import journal
from telephony import missed as telephony_missed
from telephony.coverage import zone_of
from telephony.missed import OPEN, SHOWN, STANDINGS, MissedFilter, Row
from telephony.models import Call, MissedNote


class MissedPages(Pages):
    ordering = ("-started_at", "-id")  # type: ignore[assignment]


class MissedFilters(serializers.Serializer):
    """`period`: when the last of a client's calls was missed; days are the company's."""

    show = serializers.ChoiceField(STANDINGS, default=OPEN)
    period = serializers.ChoiceField(journal.PERIODS[1:], default="week")
    line = serializers.CharField(required=False)
    q = serializers.CharField(required=False, help_text="A number or a name.")


class MissedAttemptSerializer(serializers.Serializer):
    at = serializers.DateTimeField()
    who = serializers.CharField()


class MissedNoteSerializer(serializers.ModelSerializer):
    by = serializers.CharField(source="by.email", default=None, allow_null=True)

    class Meta:
        model = MissedNote
        fields = ["words", "at", "by"]
        read_only_fields = ["at", "by"]


class MissedSerializer(serializers.Serializer):
    """A client's number. `call`: the last of his `times` missed calls; `attempts`: calls to him since then that he did
    not take; `answer`: the conversation after it, `answered_after` so many seconds; `note`: who closed it by hand."""

    call = serializers.UUIDField(source="call.uuid")
    client_phone = serializers.CharField(source="call.client_phone")
    client = serializers.SerializerMethodField()
    manager = serializers.SerializerMethodField()
    line = serializers.CharField(source="call.virtual_number")
    connection = serializers.UUIDField(source="call.connection.uuid")
    missed_at = serializers.DateTimeField(source="call.started_at")
    waited = serializers.IntegerField(source="call.wait_seconds")
    since = serializers.DateTimeField(help_text="When the first of them was missed.")
    times = serializers.IntegerField()
    attempts = MissedAttemptSerializer(many=True)
    answer = serializers.UUIDField(source="answer.uuid", default=None, allow_null=True)
    answered_after = serializers.SerializerMethodField()
    note = MissedNoteSerializer(source="call.missed_note", default=None, allow_null=True)

    def get_client(self, row: Row) -> str:
        who = row.call.who  # type: ignore[attr-defined]
        return who.name if who else ""

    def get_manager(self, row: Row) -> str:
        """The client's personal manager."""
        who = row.call.who  # type: ignore[attr-defined]
        return self.context.get("managers", {}).get(who.pk, "") if who else ""

    def get_answered_after(self, row: Row) -> int | None:
        return row.after if row.answer else None


class Missed(Resource):
    """Missed calls by client, the newest first: a worklist."""

    area = "calls"
    filters = MissedFilters
    pagination_class = MissedPages
    serializer_class = MissedSerializer

    def get_queryset(self) -> QuerySet[Call]:
        return telephony_missed.missed(self.company)

    def list(self, request: Request) -> Response:
        with timezone.override(zone_of(self.company)):
            calls = self._asked().calls().select_related(*SHOWN)
            page: Any = self.paginate_queryset(calls)
        rows = telephony_missed.rows_of(self.company, page)
        clients = [row.call.who for row in rows if row.call.who]  # type: ignore[attr-defined]
        context = {**self.get_serializer_context(), "managers": managers.names(self.company, clients)}
        return self.get_paginated_response(MissedSerializer(rows, many=True, context=context).data)

    def _asked(self) -> MissedFilter:
        asked = MissedFilter(self.company, self.parameters())
        for name in asked.errors:
            raise invalid(name, asked.errors[name][0])
        return asked

    @extend_schema(request=MissedNoteSerializer, responses={204: None}, operation_id="missed_close")
    @action(detail=True, methods=["post"], serializer_class=MissedNoteSerializer)
    def close(self, request: Request, uuid: Any) -> Response:
        """Nobody needs to call back: this call and those of its number before it leave the list."""
        words = self.validated().get("words", "")
        telephony_missed.close(self.get_object(), None, words)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={204: None}, operation_id="missed_reopen")
    @action(detail=True, methods=["post"], serializer_class=Nothing)
    def reopen(self, request: Request, uuid: Any) -> Response:
        """It stands among the open ones again."""
        telephony_missed.reopen(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


router.register("missed", Missed, "missed")
