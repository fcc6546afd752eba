"""The API's resources of partners: what their customers see of them, and the guided path in their own pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from employees import colours, embedding, frames
from employees.models import ApiKey, Partner

from . import keys
from .problems import Problem
from .resources import Resource, Tagged
from .routes import router


def _partner(key: ApiKey) -> Partner:
    if key.partner is None:
        raise Problem("not_allowed", _("Only a partner's key may do this."))
    return key.partner


class PartnerSerializer(serializers.ModelSerializer):
    """`name` and `colour` are what customers see above the guided path. `origins`: whose pages may show it within them,
    as in `https://cabinet.example.com`."""

    colour = serializers.CharField(max_length=7, validators=[colours.readable])
    origins = serializers.ListField(
        child=serializers.CharField(max_length=260, validators=[frames.valid_origin]),
        max_length=frames.MOST,
        source="origin_list",
    )

    class Meta:
        model = Partner
        fields = ["uuid", "name", "colour", "origins", "created_at"]
        read_only_fields = ["uuid", "created_at"]

    def update(self, instance: Partner, validated_data: dict[str, Any]) -> Partner:
        if "origin_list" in validated_data:
            instance.origins = "\n".join(validated_data.pop("origin_list"))
        return super().update(instance, validated_data)


class Partners(Tagged, Resource):
    """The partner whose key it is."""

    area = "companies"
    names_company = False
    problems = ["not_allowed"]
    serializer_class = PartnerSerializer

    def get_object(self) -> Partner:
        return _partner(self.key)


class NewEmbedLinkSerializer(serializers.Serializer):
    expires_in = serializers.IntegerField(
        min_value=30,
        max_value=int(embedding.LINK_LIVES_LONGEST.total_seconds()),
        default=int(embedding.LINK_LIVES.total_seconds()),
        help_text="Seconds within which the link must be opened.",
    )


class EmbedLinkSerializer(serializers.Serializer):
    url = serializers.URLField(help_text="For an iframe, or a window; it works once, and is told this once.")
    expires_at = serializers.DateTimeField()
    origins = serializers.ListField(child=serializers.CharField(), help_text="Whose pages may show it within them.")


class EmbedLinks(Resource):
    """Links to the guided path of a company, for pages of the partner's own."""

    area = "companies"
    names_company = False
    problems = ["not_allowed", "not_found"]
    serializer_class = NewEmbedLinkSerializer

    @extend_schema(responses={201: EmbedLinkSerializer})
    def create(self, request: Request, company: Any) -> Response:
        """A link. The key needs the scopes of all that is done on the path: companies, people, connections and
        integrations, each `:read` and `:write`."""
        self._company = get_object_or_404(keys.companies_of(self.key), uuid=company)
        partner = _partner(self.key)
        if lacking := embedding.missing(self.key):
            raise Problem("scope_missing", ", ".join(lacking))
        lives = timedelta(seconds=self.validated()["expires_in"])
        row, url = embedding.make(self._company, self.key, lives)
        told = {"url": url, "expires_at": row.expires_at, "origins": partner.origin_list}
        return Response(EmbedLinkSerializer(told).data, status.HTTP_201_CREATED)


router.register_one("partner", Partners)
router.register("companies/<uuid:company>/embed-links", EmbedLinks, "embed_links")
