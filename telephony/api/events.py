"""The API's stream of events: which call has changed, as it happens."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from django.http.response import HttpResponseBase
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
)
from rest_framework import serializers
from rest_framework.request import Request

from employees.api import keys
from employees.api.resources import Anything, Resource
from employees.api.routes import router
from employees.models import ApiKey, Company
from telephony import live

SCOPE = "calls:read"


@dataclass(frozen=True, slots=True)
class Program:
    """A listener by a key, for all calls of a company."""

    company: Company
    key: ApiKey

    @property
    def who(self) -> Hashable:
        return "key", self.key.pk

    def again(self) -> Program | None:
        """As it is now; None where the key works no more, or not here."""
        key = ApiKey.objects.select_related("company", "partner").get(pk=self.key.pk)
        may = key.works and SCOPE in key.scopes and keys.companies_of(key).filter(pk=self.company.pk).exists()
        return replace(self, key=key) if may else None

    def concerns(self, told: live.Told) -> bool:
        return told.company_id == self.company.pk


class EventFilters(serializers.Serializer):
    since = serializers.CharField(required=False, help_text="As `Last-Event-ID`, where no header can be sent.")


@extend_schema_serializer(many=False)
class EventSerializer(serializers.Serializer):
    """`data` is JSON; of a `call`: its uuid, its version, and whether it is over."""

    event = serializers.ChoiceField(choices=[(one, one) for one in ("call", "full", "over")])
    id = serializers.CharField(required=False)
    data = serializers.CharField()


EXAMPLE = {
    "event": "call",
    "id": "1716796800000",
    "data": '{"call": "0a4e6c1e-8b86-4f33-9a5b-6f1b6c2d7e10", "version": 4, "over": false}',
}


class Events(Resource):
    """What happens, told by server-sent events."""

    area = "calls"
    filters = EventFilters
    pagination_class = None
    content_negotiation_class = Anything
    queryset = None

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "Last-Event-ID", str, OpenApiParameter.HEADER, description="The last `id` that you read: go on there."
            )
        ],
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                EventSerializer, examples=[OpenApiExample("a call has changed", value=EXAMPLE)]
            )
        },
    )
    def list(self, request: Request) -> HttpResponseBase:
        """A stream of `call` events: the call, its version, and whether it is over. Read `/calls/{uuid}` for the rest.

        At first it tells the calls that go on. A comment comes every 15 seconds while nothing happens. Who was away
        for some minutes names the last `id`; who was away longer asks `/calls/changes`. A key has four streams at the
        most: a further one is told `full`. `over`: the key may not listen any more.
        """
        self.parameters()
        return live.respond(request._request, Program(self.company, self.key))


router.register("events", Events, "events")
