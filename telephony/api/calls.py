"""The API's resource of calls: the journal, and what changed in it, for those who keep a copy."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, prefetch_related_objects
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees.api.problems import Problem
from employees.api.resources import Mine, Pages, Resource, Uuid
from employees.api.routes import router
from employees.models import Employee
from telephony import feed, journal
from telephony.models import DIRECTIONS, OUTCOMES, STATES, Call, CallGone, Connection, Participant, Recording


class ParticipantSerializer(serializers.ModelSerializer):
    """An employee's share in a call, in the order of the call. `why` he left, where the PBX says so."""

    employee = Uuid(allow_null=True)

    class Meta:
        model = Participant
        fields = ["extension", "employee", "state", "rang_at", "answered_at", "left_at", "why"]


class CallRecordingSerializer(serializers.ModelSerializer):
    class Meta:
        model = Recording
        fields = ["uuid", "state", "extension", "content_type", "size", "stored_at"]


class CallSerializer(serializers.ModelSerializer):
    """`pbx_id`: the PBX's own id of the call. `employee`: who talked, else whose phone rang. `version` grows with each
    change; `changed_at` is its last. `outcome` is empty while the call goes on."""

    pbx_id = serializers.CharField(source="key")
    connection = Uuid()
    employee = Uuid(allow_null=True)
    client = Uuid(allow_null=True)
    client_name = serializers.CharField(source="client.name", default="", help_text="Of `client`.")
    line = serializers.CharField(source="virtual_number", help_text="The virtual number.")
    participants = ParticipantSerializer(many=True)
    recordings = CallRecordingSerializer(many=True)

    class Meta:
        model = Call
        fields = [
            "uuid",
            "pbx_id",
            "version",
            "changed_at",
            "source",
            "connection",
            "direction",
            "state",
            "outcome",
            "client_phone",
            "client",
            "client_name",
            "line",
            "extension",
            "first_extension",
            "employee",
            "started_at",
            "answered_at",
            "ended_at",
            "talk_seconds",
            "wait_seconds",
            "tracking_number",
            "utm",
            "participants",
            "recordings",
        ]


RELATED = ["connection", "employee", "client"]
LISTED = ["participants__employee", "recordings"]


class CallFilters(serializers.Serializer):
    """`since` (inclusive) and `until` (not) are moments at which calls began."""

    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    direction = serializers.ChoiceField(choices=DIRECTIONS, required=False)
    outcome = serializers.ChoiceField(choices=OUTCOMES, required=False)
    state = serializers.ChoiceField(choices=STATES, required=False)
    employee = Mine(Employee, required=False)
    connection = Mine(Connection, required=False)
    line = serializers.CharField(required=False, help_text="A virtual number.")
    recording = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="Whether there is a stored recording."
    )
    q = serializers.CharField(required=False, help_text="A number in any spelling, an extension, a client's name.")


class CallPages(Pages):
    """The newest first, by the index of the journal."""

    ordering: Any = ("-started_at", "-id")


class ChangesFilters(serializers.Serializer):
    after = serializers.CharField(required=False, help_text="`next` of the answer before; none: from the beginning.")
    limit = serializers.IntegerField(min_value=1, max_value=Pages.max_page_size, default=Pages.page_size)


class CallChangeSerializer(serializers.Serializer):
    """A call as it is now; or `call` is null: it is not in the journal any more, and what it was is in `into`, where
    that is another call."""

    uuid = serializers.UUIDField()
    changed_at = serializers.DateTimeField()
    gone = serializers.SerializerMethodField()
    into = serializers.UUIDField(allow_null=True, default=None)
    call = serializers.SerializerMethodField()

    def get_gone(self, row: Call | CallGone) -> bool:
        return isinstance(row, CallGone)

    @extend_schema_field(CallSerializer(allow_null=True))
    def get_call(self, row: Call | CallGone) -> Any:
        return CallSerializer(row, context=self.context).data if isinstance(row, Call) else None


class CallChangesSerializer(serializers.Serializer):
    results = CallChangeSerializer(many=True)
    next = serializers.CharField(help_text="Ask with it as `after`, now or later: it is answered always.")
    more = serializers.BooleanField(help_text="Whether there is more at once.")


class Calls(mixins.ListModelMixin, mixins.RetrieveModelMixin, Resource):
    """The journal: calls of all connections, the newest first."""

    area = "calls"
    filters = CallFilters
    pagination_class = CallPages
    serializer_class = CallSerializer

    def get_queryset(self) -> QuerySet[Call]:
        rows = self.mine(Call).select_related(*RELATED).prefetch_related(*LISTED)
        return self._narrowed(rows) if self.action == "list" else rows

    def _narrowed(self, rows: QuerySet[Call]) -> QuerySet[Call]:
        asked = self.parameters()
        if (recorded := asked.pop("recording")) is not None:
            stored = Exists(Recording.objects.filter(call=OuterRef("pk"), state=Recording.State.STORED))
            rows = rows.filter(stored if recorded else ~stored)
        if text := asked.pop("q", ""):
            rows = rows.filter(journal.search(self.company, text))
        columns = {"since": "started_at__gte", "until": "started_at__lt", "line": "virtual_number"}
        return rows.filter(**{columns.get(name, name): value for name, value in asked.items()})

    @extend_schema(responses=CallChangesSerializer)
    @action(detail=False, methods=["get"], filters=ChangesFilters, pagination_class=None)
    def changes(self, request: Request) -> Response:
        """What has changed, the oldest change first, each call once and as it is now: for keeping a copy.

        Ask with `next` of the answer before as `after`, again and again; nothing is left out. A change comes here some
        five seconds after it was made; `/events` is quicker. That an employee was removed is no change of his calls.
        """
        asked = self.parameters()
        place = _place(asked.get("after", ""))
        rows = feed.since(self.company, place, asked["limit"] + 1)
        shown = rows[: asked["limit"]]
        prefetch_related_objects([row for row in shown if isinstance(row, Call)], *RELATED, *LISTED)
        told = {
            "results": shown,
            "next": str(feed.Place.of(shown[-1]) if shown else place),
            "more": len(rows) > len(shown),
        }
        return Response(CallChangesSerializer(told, context=self.get_serializer_context()).data)


def _place(after: str) -> feed.Place:
    try:
        return feed.Place.read(after) if after else feed.Place()
    except ValueError:
        raise Problem("cursor_invalid") from None


router.register("calls", Calls, "calls")
