"""What is not in the CRMs although it should be, and its cures; what needs somebody now."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees.api.people import ShortNumber
from employees.api.resources import Mine, Pages, Resource
from employees.api.routes import router
from employees.models import Employee, Extension
from integrations import actors, decisions, passport, troubles, unwritten
from integrations.decisions import Choice
from integrations.models import CallSync, Credential, Notice
from integrations.troubles import Trouble
from integrations.unwritten import Chosen

from .calls import CallCountSerializer
from .common import one

EMPLOYEE = Extension.Handling.EMPLOYEE

# --- What is not written ----------------------------------------------------------------------------------------------


class ChosenCallsSerializer(serializers.Serializer):
    """Which calls are meant: those of a `credential`, of a `kind` and `cause` of errors, that are `parked` or not, that
    failed `since` a moment. What is not named narrows nothing."""

    credential = serializers.UUIDField(required=False)
    kind = serializers.CharField(required=False)
    cause = serializers.CharField(required=False, allow_blank=True)
    parked = serializers.BooleanField(required=False, allow_null=True, default=None)
    since = serializers.DateTimeField(required=False)


class CureSerializer(ChosenCallsSerializer):
    call = serializers.UUIDField(required=False, help_text="This call alone.")


class OverviewFilters(serializers.Serializer):
    credential = serializers.UUIDField(required=False)
    since = serializers.DateTimeField(required=False)


class CauseSerializer(serializers.Serializer):
    """Calls that one account has not got for one cause. `kind` and `cause` name it; `words` are the CRM's own, `help`
    is what to do. Those that are `parked` wait for you, others are tried again at `next_try`. `doubtful`: the CRM
    cannot tell whether it has them."""

    credential = serializers.UUIDField(source="credential.uuid")
    crm = serializers.CharField(source="credential.crm")
    parked = serializers.BooleanField()
    kind = serializers.CharField()
    title = serializers.CharField()
    cause = serializers.CharField()
    count = serializers.IntegerField()
    first = serializers.DateTimeField(allow_null=True)
    last = serializers.DateTimeField(allow_null=True)
    next_try = serializers.DateTimeField(allow_null=True)
    words = serializers.CharField()
    help = serializers.CharField()
    doubtful = serializers.BooleanField()
    example = serializers.UUIDField(help_text="The newest of these calls.")


class HeldUpSerializer(serializers.Serializer):
    """Calls that wait for an account: it refuses our keys, or was removed."""

    credential = serializers.UUIDField()
    crm = serializers.CharField()
    state = serializers.CharField()
    count = serializers.IntegerField()


class UnwrittenSerializer(serializers.Serializer):
    """`undecided`: calls that wait for a decision about an extension."""

    causes = CauseSerializer(many=True)
    held_up = HeldUpSerializer(many=True)
    undecided = serializers.IntegerField()


class UnwrittenCallSerializer(serializers.ModelSerializer):
    call = serializers.UUIDField(source="call.uuid")
    credential = serializers.UUIDField(source="credential.uuid")
    words = serializers.SerializerMethodField()
    kind = serializers.CharField(source="error_kind")

    class Meta:
        model = CallSync
        fields = ["call", "credential", "parked", "kind", "cause", "words", "failed_at", "not_before", "attempts"]

    def get_words(self, row: CallSync) -> str:
        return passport.error_words(row)


class UndecidedSerializer(serializers.Serializer):
    """An extension that nobody knows, or that calls still wait for. `waits`: how many."""

    number = serializers.CharField()
    name = serializers.CharField()
    handling = serializers.ChoiceField(Extension.Handling.choices)
    waits = serializers.IntegerField()


class DecisionSerializer(serializers.Serializer):
    """What happens with the calls of an extension; nothing: as it was decided before. `write`: those that waited are
    written, else they are left unwritten."""

    number = ShortNumber()
    handling = serializers.ChoiceField(Extension.Handling.choices, required=False)
    employee = Mine(Employee, required=False)
    write = serializers.BooleanField()

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked.get("employee"):
            return asked | {"handling": EMPLOYEE}
        if asked.get("handling") == EMPLOYEE:
            raise serializers.ValidationError({"employee": _("Say which employee it belongs to.")})
        return asked


class Unwritten(Resource):
    """Calls that are not in a CRM although they should be, and what can be done."""

    area = "problems"
    pagination_class = None
    serializer_class = ChosenCallsSerializer
    filters = OverviewFilters

    @extend_schema(responses=one(UnwrittenSerializer), operation_id="unwritten")
    def list(self, request: Request) -> Response:
        """By cause: what needs somebody first, then what is tried again by itself; the largest first."""
        asked = self.parameters()
        waiting = [
            {"credential": row.uuid, "crm": row.crm, "state": row.state, "count": count}
            for row, count in unwritten.held_up(self._accounts(asked))
        ]
        found = {
            "causes": unwritten.causes(self._chosen(asked)),
            "held_up": waiting,
            "undecided": decisions.waiting(self.company).count(),
        }
        return Response(UnwrittenSerializer(found).data)

    @extend_schema(responses=UnwrittenCallSerializer(many=True), operation_id="unwritten_calls")
    @action(
        detail=False,
        methods=["get"],
        paged=True,
        pagination_class=Pages,
        filters=ChosenCallsSerializer,
        serializer_class=UnwrittenCallSerializer,
    )
    def calls(self, request: Request) -> Response:
        """The calls of one cause, or all of them; the newest first."""
        rows = self._chosen(self.parameters()).rows().select_related("call", "credential")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(request=CureSerializer, responses=CallCountSerializer, operation_id="unwritten_retry")
    @action(detail=False, methods=["post"], serializer_class=CureSerializer)
    def retry(self, request: Request) -> Response:
        """Write them now: one, a cause, everything since a moment. Doubtful ones only where `kind` is `doubt`: the CRM
        may have them twice then."""
        asked = self.validated()
        return Response({"count": actors.retry(self._one(self._chosen(asked).to_retry(), asked))})

    @extend_schema(request=CureSerializer, responses=CallCountSerializer, operation_id="unwritten_confirm")
    @action(detail=False, methods=["post"], serializer_class=CureSerializer)
    def confirm(self, request: Request) -> Response:
        """Somebody has looked: the CRM has these doubtful calls."""
        asked = self.validated()
        return Response({"count": unwritten.confirm(self._one(self._chosen(asked).rows(), asked))})

    @extend_schema(responses=UndecidedSerializer(many=True), operation_id="unwritten_extensions")
    @action(detail=False, methods=["get"])
    def extensions(self, request: Request) -> Response:
        """Extensions whose calls wait for a decision."""
        return Response(UndecidedSerializer(decisions.undecided(self.company), many=True).data)

    @extend_schema(request=DecisionSerializer, responses=CallCountSerializer, operation_id="unwritten_decide")
    @action(detail=False, methods=["post"], serializer_class=DecisionSerializer)
    def decide(self, request: Request) -> Response:
        """Whose an extension is, and what becomes of the calls that waited for that."""
        asked = self.validated()
        row = get_object_or_404(self.mine(Extension).select_related("company"), number=asked["number"])
        handling = asked.get("handling")
        choice = Choice(Extension.Handling(handling), asked.get("employee")) if handling else None
        return Response({"count": decisions.decide(row, choice, write=asked["write"])})

    def _accounts(self, asked: dict[str, Any]) -> QuerySet[Credential]:
        rows = self.mine(Credential)
        return rows.filter(uuid=asked["credential"]) if asked.get("credential") else rows

    def _chosen(self, asked: dict[str, Any]) -> Chosen:
        named = {name: asked.get(name) for name in ("parked", "kind", "cause", "since")}
        return Chosen(self._accounts(asked), **named)

    @staticmethod
    def _one(rows: QuerySet[CallSync], asked: dict[str, Any]) -> QuerySet[CallSync]:
        return rows.filter(call__uuid=asked["call"]) if asked.get("call") else rows


# --- What needs somebody ----------------------------------------------------------------------------------------------


class TroubleSerializer(serializers.Serializer):
    """`cause` stays the same as long as the trouble lasts. `link`: the portal's page where it is put right."""

    cause = serializers.CharField()
    grave = serializers.BooleanField()
    text = serializers.CharField()
    link = serializers.SerializerMethodField()

    def get_link(self, trouble: Trouble) -> str:
        return settings.PUBLIC_URL + trouble.link


class Troubles(Resource):
    """What needs somebody now."""

    area = "problems"
    pagination_class = None
    serializer_class = TroubleSerializer

    def list(self, request: Request) -> Response:
        """The worst first, and at last what the company has chosen itself."""
        return Response(self.get_serializer(troubles.of(self.company), many=True).data)


class NoticeSerializer(serializers.ModelSerializer):
    """A trouble that managers are told of by e-mail. `mended`: it works again."""

    link = serializers.SerializerMethodField()

    class Meta:
        model = Notice
        fields = ["cause", "text", "link", "opened_at", "told_at", "closed_at", "mended", "end_told_at"]

    def get_link(self, row: Notice) -> str:
        return settings.PUBLIC_URL + row.link


class NoticeFilters(serializers.Serializer):
    open = serializers.BooleanField(required=False, allow_null=True, default=None)


class Notices(mixins.ListModelMixin, Resource):
    """Troubles that managers were told of; the newest first."""

    area = "problems"
    filters = NoticeFilters
    serializer_class = NoticeSerializer

    def get_queryset(self) -> QuerySet[Notice]:
        wanted = self.parameters()["open"]
        rows = self.mine(Notice)
        return rows if wanted is None else rows.filter(closed_at__isnull=wanted)


router.register("unwritten", Unwritten, "unwritten")
router.register("troubles", Troubles, "troubles")
router.register("notices", Notices, "notices")
