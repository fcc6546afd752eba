"""The API's resource of the client book."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from employees import phones
from employees.api.problems import Problem, invalid
from employees.api.resources import Resource, Tagged
from employees.api.routes import router

from . import book
from .models import Client


class ClientSerializer(serializers.ModelSerializer):
    """`source`: the CRM account that it is mirrored from, `entity` the record there; both empty: entered here.
    `manager`: the CRM's user who is responsible. `seen_at`: how fresh this is."""

    name = serializers.CharField(max_length=300)
    organisation = serializers.CharField(max_length=300, allow_blank=True, required=False)
    phones = serializers.SerializerMethodField()

    class Meta:
        model = Client
        fields = [
            "uuid",
            "name",
            "organisation",
            "phones",
            "source",
            "entity",
            "manager",
            "manager_extension",
            "link",
            "seen_at",
        ]
        read_only_fields = ["uuid", "source", "entity", "manager", "manager_extension", "link", "seen_at"]

    def get_phones(self, row: Client) -> list[str]:
        return sorted(each.phone for each in row.phones.all())


class NewClientSerializer(serializers.Serializer):
    phone = serializers.CharField(max_length=64)
    name = serializers.CharField(max_length=300)
    organisation = serializers.CharField(max_length=300, allow_blank=True, default="")


class ClientFilters(serializers.Serializer):
    q = serializers.CharField(required=False, help_text="A number in any spelling, or a part of a name.")
    phone = serializers.CharField(required=False, help_text="A number in any spelling.")


class Clients(Tagged, mixins.ListModelMixin, Resource):
    """Whom numbers belong to, as CRMs said or as somebody entered."""

    area = "clients"
    problems = ["conflict"]
    filters = ClientFilters
    serializer_class = ClientSerializer

    def get_queryset(self) -> QuerySet[Client]:
        if self.action != "list":
            return book.search(self.company)
        asked = self.parameters()
        rows = book.search(self.company, asked.get("q", "").strip())
        if "phone" in asked:
            rows = rows.filter(phones__phone=phones.normalise(asked["phone"], self.company.region)).distinct()
        return rows

    @extend_schema(request=NewClientSerializer, responses={201: ClientSerializer})
    def create(self, request: Request) -> Response:
        """Enter whom a number belongs to; what was entered for it before is corrected. What CRMs say stands beside."""
        form = NewClientSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        try:
            phone = phones.required(asked["phone"], self.company.region)
        except ValidationError as error:
            raise invalid("phone", error.messages[0]) from error
        row = book.enter(self.company, phone, asked["name"], asked["organisation"])
        return Response(self.get_serializer(row).data, status.HTTP_201_CREATED)

    def perform_update(self, serializer: Any) -> None:
        if serializer.instance.source:
            raise Problem("conflict", _("This client is mirrored from a CRM: change it there."))
        serializer.save()


router.register("clients", Clients, "clients")
