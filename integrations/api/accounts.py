"""CRMs, their accounts («учётные данные»), and links with which somebody else gives an account new keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm_adapters import registry
from crm_adapters.base import Adapter, Capability
from employees.api.forms import form_schema, posted, told
from employees.api.problems import Problem
from employees.api.resources import Resource, Tagged
from employees.api.routes import router
from employees.forms import vendor_form
from integrations import accounts, credentials, crm_events, crm_lists, crm_setup, renewals
from integrations.journal import PAUSED
from integrations.models import Credential, CrmEvent, Renewal
from integrations.setup import listed_fields
from telephony.words import ours

from .common import speaking_to, valid

EVENTS = 20

# --- CRMs -------------------------------------------------------------------------------------------------------------


class CrmSerializer(serializers.Serializer):
    """`credentials` and `settings` are JSON Schemas (2020-12) of what an account's `keys` and an integration's
    `settings` take. `x-depends-on` of a field names the switch that it needs, `x-choices-of` one of `lists`.
    `rule_settings`: those that rules may change. `connects`: accounts are connected in the CRM, in a browser."""

    crm = serializers.CharField(source="slug")
    title = serializers.CharField()
    capabilities = serializers.SerializerMethodField()
    connects = serializers.SerializerMethodField()
    prepares = serializers.BooleanField(help_text="Something of ours is set up in it.")
    lists = serializers.SerializerMethodField()
    rule_settings = serializers.ListField(child=serializers.CharField(), source="rule_fields")
    credentials = serializers.SerializerMethodField()
    settings = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField([(one, one) for one in Capability])))
    def get_capabilities(self, adapter: Adapter) -> list[str]:
        return sorted(adapter.capabilities)

    def get_connects(self, adapter: Adapter) -> bool:
        return Capability.OAUTH in adapter.capabilities

    def get_lists(self, adapter: Adapter) -> list[str]:
        return sorted(lists_of(adapter))

    def get_credentials(self, adapter: Adapter) -> dict[str, Any]:
        return form_schema(adapter.credential_form(), adapter.secret_fields)

    def get_settings(self, adapter: Adapter) -> dict[str, Any]:
        return form_schema(adapter.settings_form())


def lists_of(adapter: Adapter) -> set[str]:
    """What the CRM has to choose from, by name."""
    found = set(listed_fields(adapter.settings_form).values())
    return found | {crm_lists.USERS} if Capability.USERS in adapter.capabilities else found


class Crms(Resource):
    """The CRMs that calls can be written into."""

    area = "integrations"
    names_company = False
    pagination_class = None
    lookup_field, lookup_value_converter = "crm", "slug"
    serializer_class = CrmSerializer

    def list(self, request: Request) -> Response:
        return Response(self.get_serializer(registry.all_adapters().values(), many=True).data)

    def retrieve(self, request: Request, crm: str) -> Response:
        if crm not in registry.all_adapters():
            raise Http404
        return Response(self.get_serializer(registry.get(crm)).data)


# --- Accounts ---------------------------------------------------------------------------------------------------------


class CredentialSerializer(serializers.ModelSerializer):
    """`keys`: what the CRM's `credentials` schema asks for. Of those that are sent the others stay; of secrets only
    `secrets_stored` tells that there are any, and an empty one is forgotten. `connect_url`, where there is one, is to
    be opened in a browser within 15 minutes, by whoever has the right in the CRM; told this once."""

    crm = serializers.ChoiceField([(slug, each.title) for slug, each in registry.all_adapters().items()])
    keys = serializers.DictField(default=dict)
    secrets_stored = serializers.ListField(child=serializers.CharField(), read_only=True)
    connect_url = serializers.URLField(read_only=True, allow_null=True)

    class Meta:
        model = Credential
        fields = [
            "uuid",
            "crm",
            "name",
            "address",
            "state",
            "state_words",
            "keys",
            "secrets_stored",
            "stored_at",
            "created_at",
            "connect_url",
        ]
        read_only_fields = ["uuid", "state", "state_words", "stored_at", "created_at"]

    address = serializers.CharField(source="domain", read_only=True)

    def validate_crm(self, crm: str) -> str:
        if self.instance and self.instance.crm != crm:
            raise serializers.ValidationError(_("An account stays in its CRM: make another one."))
        return crm

    def to_representation(self, row: Credential) -> dict[str, Any]:
        values, secret = row.values, row.adapter.secret_fields
        form = vendor_form(row.adapter.credential_form, None, values, secret)
        shown = {
            "uuid": str(row.uuid),
            "crm": row.crm,
            "name": row.name,
            "address": row.domain,
            "state": row.state,
            "state_words": ours(row.state_words),
            "keys": told(form, secret),
            "secrets_stored": sorted(name for name in secret if values.get(name)),
            "stored_at": row.stored_at,
            "created_at": row.created_at,
        }
        return shown | {"connect_url": getattr(row, "connect_url", None)}


class CrmCheckSerializer(serializers.Serializer):
    """`cure`: what to do where it is not `ok`."""

    name = serializers.CharField()
    ok = serializers.BooleanField()
    cure = serializers.CharField()


class CheckedCredentialSerializer(serializers.Serializer):
    checks = CrmCheckSerializer(many=True)
    credential = CredentialSerializer()


class CredentialAddressSerializer(serializers.Serializer):
    url = serializers.URLField()
    expires_at = serializers.DateTimeField(required=False)


class CrmChoiceSerializer(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()


class CrmEventSerializer(serializers.ModelSerializer):
    words = serializers.SerializerMethodField()

    class Meta:
        model = CrmEvent
        fields = ["received_at", "state", "words", "attempts", "not_before"]

    state = serializers.SerializerMethodField()

    def get_state(self, row: CrmEvent) -> str:
        return CrmEvent.State(row.state).name.lower()

    def get_words(self, row: CrmEvent) -> str:
        return crm_events.in_words(row)


class Credentials(Tagged, mixins.ListModelMixin, mixins.DestroyModelMixin, Resource):
    """Accounts in CRMs: a named set of keys each."""

    area = "integrations"
    problems = ["conflict", "vendor_unreachable"]
    serializer_class = CredentialSerializer

    def get_queryset(self) -> QuerySet[Credential]:
        return self.mine(Credential)

    def create(self, request: Request) -> Response:
        asked = self.validated()
        row = Credential(company=self.company, crm=asked["crm"], name=asked.get("name", ""))
        self._enter(row, asked["keys"])
        if accounts.can_connect(row):
            row.connect_url = self._connect_url(row)  # type: ignore[attr-defined]
        return Response(self.get_serializer(row).data, status.HTTP_201_CREATED)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """What waited because the CRM refused the keys flows at once if it takes the new ones; `state` says so."""
        waited = self.get_object().state in PAUSED
        answer = super().partial_update(request, *args, **kwargs)
        row = self.get_object()
        if not waited or row.state in PAUSED:
            return answer
        accounts.revive(row)
        return self.retrieve(request, *args, **kwargs)

    def perform_update(self, serializer: Any) -> None:
        row, asked = serializer.instance, serializer.validated_data
        row.name = asked.get("name", row.name)
        if "keys" in asked:
            self._enter(row, asked["keys"])
        else:
            row.save()

    def perform_destroy(self, instance: Credential) -> None:
        accounts.retire(instance)
        if refused := accounts.delete(instance):
            raise Problem("conflict", refused)

    @extend_schema(request=None, responses=CheckedCredentialSerializer, operation_id="credentials_check")
    @action(detail=True, methods=["post"])
    def check(self, request: Request, uuid: Any) -> Response:
        """Ask the CRM whether it takes the keys. Where it does, calls that waited for them flow."""
        row = self.get_object()
        with speaking_to(row):
            checks = accounts.check(row)
        return Response(CheckedCredentialSerializer({"checks": checks, "credential": row}).data)

    @extend_schema(request=None, responses=CredentialSerializer, operation_id="credentials_prepare")
    @action(detail=True, methods=["post"])
    def prepare(self, request: Request, uuid: Any) -> Response:
        """Set up in the CRM what the integration needs there. May be repeated."""
        row = self.get_object()
        with speaking_to(row):
            crm_setup.prepare(row)
        return Response(self.get_serializer(row).data)

    @extend_schema(request=None, responses=CredentialAddressSerializer, operation_id="credentials_connect")
    @action(detail=True, methods=["post"])
    def connect(self, request: Request, uuid: Any) -> Response:
        """Where to connect the account in the CRM: to be opened in a browser, by whoever has the right there."""
        row = self.get_object()
        if not accounts.can_connect(row):
            raise Problem("conflict", _("Fill in the address and the application's keys first."))
        until = timezone.now() + timedelta(seconds=credentials.STATE_SECONDS)
        return Response(CredentialAddressSerializer({"url": self._connect_url(row), "expires_at": until}).data)

    @extend_schema(request=None, responses=CredentialAddressSerializer, operation_id="credentials_handler_url")
    @action(detail=True, methods=["post"], url_path="handler-url")
    def handler_url(self, request: Request, uuid: Any) -> Response:
        """The address for the CRM's events, where it is entered by hand. It is secret."""
        return Response(CredentialAddressSerializer({"url": self.get_object().handler_url}).data)

    @extend_schema(responses=CrmChoiceSerializer(many=True), operation_id="credentials_lists")
    @action(detail=True, methods=["get"], url_path="lists/<slug:source>", pagination_class=None)
    def lists(self, request: Request, uuid: Any, source: str) -> Response:
        """What the CRM has to choose from: one of its `lists`. Asked at most once a minute."""
        row = self.get_object()
        if source not in lists_of(row.adapter):
            raise Http404
        found = crm_lists.of(row, source)
        if found.silent:
            raise Problem("vendor_unreachable", f"{row.adapter.title}: {found.words}")
        return Response(
            CrmChoiceSerializer([{"id": each.id, "name": each.name} for each in found.listed], many=True).data
        )

    @extend_schema(responses=CrmEventSerializer(many=True), operation_id="credentials_events")
    @action(detail=True, methods=["get"], pagination_class=None)
    def events(self, request: Request, uuid: Any) -> Response:
        """What the CRM asked for lately and did not get, and why: at most 20, the newest first."""
        rows = crm_events.troubles(self.get_object()).defer("body", "headers")[:EVENTS]
        return Response(CrmEventSerializer(rows, many=True).data)

    def _enter(self, row: Credential, sent: dict[str, Any]) -> None:
        adapter, stored = row.adapter, row.values if row.pk else {}
        shown = vendor_form(adapter.credential_form, None, stored, adapter.secret_fields)
        data = posted(shown, sent, adapter.secret_fields, "keys.")
        form = vendor_form(adapter.credential_form, data, stored, adapter.secret_fields)
        valid((form, "keys."))
        accounts.enter(row, form.cleaned_data)

    def _connect_url(self, row: Credential) -> str:
        return renewals.to_the_crm(renewals.make(row, f"API · {self.key}"), anew=True)


# --- Links for new keys -----------------------------------------------------------------------------------------------


class CredentialLinkSerializer(serializers.ModelSerializer):
    url = serializers.URLField(read_only=True, required=False, help_text="To be handed on; told this once.")

    class Meta:
        model = Renewal
        fields = ["uuid", "made_by", "made_at", "expires_at", "used_at", "revoked_at", "url"]
        read_only_fields = ["uuid", "made_by", "made_at", "expires_at", "used_at", "revoked_at"]


class Links(mixins.ListModelMixin, mixins.DestroyModelMixin, Resource):
    """Links with which somebody who has no account here gives a CRM account new keys, once, within three days."""

    area = "integrations"
    tag = "credentials"
    problems = ["conflict"]
    serializer_class = CredentialLinkSerializer

    def get_queryset(self) -> QuerySet[Renewal]:
        return self._credential().renewals.all()

    def _credential(self) -> Credential:
        return get_object_or_404(self.mine(Credential), uuid=self.kwargs["credential"])

    @extend_schema(request=None)
    def create(self, request: Request, credential: Any) -> Response:
        """Make one; it goes to whoever has the keys."""
        row = self._credential()
        if not renewals.possible(row):
            words = _("Nobody could tell whether new keys are the same account's: enter them yourself.")
            raise Problem("conflict", words)
        link = renewals.make(row, f"API · {self.key}")
        link.url = renewals.address(link)  # type: ignore[attr-defined]
        return Response(self.get_serializer(link).data, status.HTTP_201_CREATED)

    def perform_destroy(self, instance: Renewal) -> None:
        """It opens nothing any more."""
        renewals.revoke(instance)


router.register("crms", Crms, "crms")
router.register("credentials", Credentials, "credentials")
router.register("credentials/<uuid:credential>/links", Links, "credential-links")
