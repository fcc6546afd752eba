"""How companies are: for partners, of all of theirs, and for a company, of itself."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees.api import keys
from employees.api.resources import Resource
from employees.api.routes import router
from employees.models import Company
from integrations import customers, troubles
from integrations.customers import Customer

from .unwritten import TroubleSerializer

MOST = 200
"""Companies of one answer."""


class ConnectionPulseSerializer(serializers.Serializer):
    uuid = serializers.UUIDField()
    name = serializers.CharField()
    active = serializers.BooleanField()
    last_event = serializers.DateTimeField(allow_null=True)


class HealthSerializer(serializers.Serializer):
    """`grave`: how many of its `troubles` keep calls from being written. `calls`: of the last 24 hours; `parked`: calls
    that wait for somebody; `refused`: accounts whose keys a CRM refuses."""

    company = serializers.UUIDField(source="company.uuid")
    name = serializers.CharField(source="company.name")
    grave = serializers.IntegerField()
    troubles = TroubleSerializer(many=True)
    connections = ConnectionPulseSerializer(many=True)
    calls = serializers.IntegerField()
    parked = serializers.IntegerField()
    refused = serializers.IntegerField()


class HealthFilters(serializers.Serializer):
    name = serializers.CharField(required=False, help_text="A part of it.")


class Health(Resource):
    """What needs somebody, and the pulse."""

    area = "problems"
    tag = "companies"
    names_company = False
    pagination_class = None
    serializer_class = HealthSerializer

    def get_queryset(self) -> QuerySet[Company]:
        return keys.companies_of(self.key)

    @extend_schema(responses=HealthSerializer(many=True), operation_id="companies_by_health")
    @action(detail=False, methods=["get"], url_path="health", filters=HealthFilters)
    def worst_first(self, request: Request) -> Response:
        """The companies of a partner, the worst first: at most 200."""
        found = customers.worst_first(self.get_queryset(), self.parameters().get("name", ""))[:MOST]
        customers.attach_pulse(found)
        return Response(self.get_serializer(found, many=True).data)

    @extend_schema(operation_id="companies_health")
    @action(detail=True, methods=["get"])
    def health(self, request: Request, uuid: Any) -> Response:
        """How one company is."""
        company = self.get_object()
        found = Customer(company, troubles.of(company))
        customers.attach_pulse([found])
        return Response(self.get_serializer(found).data)


router.register("companies", Health, "health")
