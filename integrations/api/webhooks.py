"""Webhooks: addresses of programmes that are told what happens, and what became of each message."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees.api.resources import Mine, Resource, Tagged
from employees.api.routes import router
from integrations import endpoints, payloads, telling
from integrations.models import WebhookDelivery, WebhookEndpoint
from telephony.models import Connection
from telephony.words import ours

KINDS = [(kind, kind) for kind in payloads.KINDS]


class WebhookSerializer(serializers.ModelSerializer):
    """`connections`: only of these; empty: of all. `off_reason` says why we have switched it off ourselves."""

    url = serializers.CharField(max_length=2000)
    kinds = serializers.ListField(child=serializers.ChoiceField(KINDS), allow_empty=False)
    connections = Mine(Connection, many=True, required=False)
    active = serializers.BooleanField(required=False)

    class Meta:
        model = WebhookEndpoint
        fields = [
            "uuid",
            "name",
            "url",
            "kinds",
            "connections",
            "active",
            "off_at",
            "off_reason",
            "failing_since",
            "delivered_at",
            "created_at",
        ]
        read_only_fields = ["uuid", "off_at", "off_reason", "failing_since", "delivered_at", "created_at"]

    def to_representation(self, row: WebhookEndpoint) -> dict[str, Any]:
        return {**super().to_representation(row), "kinds": row.kinds.split()}


class NewWebhookSerializer(WebhookSerializer):
    secret = serializers.CharField(read_only=True, help_text="Its messages are signed with this; told this once.")

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]


class DeliverySerializer(serializers.ModelSerializer):
    """One event for one webhook. `id` is the `webhook-id` that its messages carry; links to recordings are masked in
    `body`."""

    id = serializers.CharField(source="message_id", read_only=True)
    body = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()

    class Meta:
        model = WebhookDelivery
        fields = [
            "id",
            "kind",
            "body",
            "created_at",
            "state",
            "due_at",
            "attempts",
            "tried_at",
            "status",
            "answer",
            "error",
        ]

    def get_body(self, row: WebhookDelivery) -> dict[str, Any]:
        return json.loads(payloads.shown(row.body))

    def get_error(self, row: WebhookDelivery) -> str:
        return str(ours(row.error))


class DeliveryFilters(serializers.Serializer):
    state = serializers.ChoiceField(WebhookDelivery.State.choices, required=False)


class ResendSerializer(serializers.Serializer):
    """Everything since a moment, or what was given up of it; or the one event named by `id`."""

    since = serializers.DateTimeField(required=False)
    failed_only = serializers.BooleanField(default=True)
    id = serializers.RegexField(r"^evt_[0-9a-f]{32}$", required=False)

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if ("since" in asked) == ("id" in asked):
            raise serializers.ValidationError("since | id")
        return asked


class ResentSerializer(serializers.Serializer):
    count = serializers.IntegerField()


class Webhooks(Tagged, mixins.ListModelMixin, Resource):
    """Standard Webhooks. docs/webhooks.md shows each message, and how it is proven to be ours."""

    area = "webhooks"
    serializer_class = WebhookSerializer

    def get_queryset(self) -> QuerySet[WebhookEndpoint]:
        return endpoints.of(self.company).prefetch_related("connections")

    @extend_schema(responses={201: NewWebhookSerializer})
    def create(self, request: Request) -> Response:
        """A new webhook; its secret is told in this answer alone."""
        asked = self.validated()
        active = asked.pop("active", True)
        row, secret = endpoints.create(self.company, asked.pop("url"), asked.pop("kinds"), **asked)
        if not active:
            endpoints.switch_off(row)
        return self._told(row, secret, status.HTTP_201_CREATED)

    def perform_update(self, serializer: Any) -> None:
        row, asked = serializer.instance, serializer.validated_data
        endpoints.change(
            row,
            asked.get("url", row.url),
            asked.get("kinds", row.kinds.split()),
            name=asked.get("name", row.name),
            connections=asked.get("connections", list(row.connections.all())),
        )
        if asked.get("active", row.active) != row.active:
            (endpoints.switch_on if asked["active"] else endpoints.switch_off)(row)
        serializer.instance = self.get_queryset().get(pk=row.pk)

    def destroy(self, request: Request, uuid: Any) -> Response:
        endpoints.delete(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=NewWebhookSerializer)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, uuid: Any) -> Response:
        """A new secret; for 24 hours messages are signed with the one before as well."""
        row = self.get_object()
        return self._told(row, endpoints.rotate(row))

    @extend_schema(request=None, responses={202: DeliverySerializer})
    @action(detail=True, methods=["post"], serializer_class=DeliverySerializer)
    def test(self, request: Request, uuid: Any) -> Response:
        """Send it an event to try it with."""
        return Response(DeliverySerializer(telling.send_test(self.get_object())).data, status.HTTP_202_ACCEPTED)

    @action(detail=True, filters=DeliveryFilters, serializer_class=DeliverySerializer, paged=True)
    def deliveries(self, request: Request, uuid: Any) -> Response:
        """What became of its messages; the newest first."""
        rows = self.get_object().deliveries.filter(**self.parameters())
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(DeliverySerializer(page, many=True).data)

    @extend_schema(responses={202: ResentSerializer})
    @action(detail=True, methods=["post"], serializer_class=ResendSerializer)
    def resend(self, request: Request, uuid: Any) -> Response:
        """Send messages once more, with the same ids."""
        row, asked = self.get_object(), self.validated()
        if "since" in asked:
            count = telling.resend_since(row, asked["since"], failed_only=asked["failed_only"])
        else:
            telling.resend(get_object_or_404(row.deliveries, event=asked["id"].removeprefix("evt_")))
            count = 1
        return Response({"count": count}, status.HTTP_202_ACCEPTED)

    def _told(self, row: WebhookEndpoint, secret: str, code: int = status.HTTP_200_OK) -> Response:
        row.secret = secret  # type: ignore[attr-defined]
        return Response(NewWebhookSerializer(row, context=self.get_serializer_context()).data, code)


router.register("webhooks", Webhooks, "webhooks")
