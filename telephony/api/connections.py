"""The API's resources of PBX connections: brands, connections, virtual numbers, imports of the past."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees import limits
from employees.api import problems
from employees.api.forms import form_schema, posted, told
from employees.api.problems import Problem, invalid
from employees.api.resources import Mine, Resource, Tagged, Uuid
from employees.api.routes import router
from outbound.errors import OutboundError
from telephony import account_forms, catalogue, history
from telephony.account_forms import NameForm, keys_form
from telephony.history_pages import MOST_DAYS
from telephony.models import Connection, HistoryRun, VirtualNumber, WebhookAddress
from telephony.providers.base import Capability

CAPABILITIES = [(one, one) for one in Capability]

# --- Brands -----------------------------------------------------------------------------------------------------------


class BrandSerializer(serializers.Serializer):
    slug = serializers.SlugField()
    title = serializers.CharField()
    countries = serializers.ListField(child=serializers.CharField(), help_text="ISO 3166-1 alpha-2.")
    capabilities = serializers.ListField(child=serializers.ChoiceField(choices=CAPABILITIES))
    listens = serializers.BooleanField(help_text="We connect to the PBX; it need not know our address.")


class BrandFormSerializer(BrandSerializer):
    form = serializers.DictField(help_text="JSON Schema (2020-12) of `keys` of a connection with this PBX.")


class BrandFilters(serializers.Serializer):
    q = serializers.CharField(required=False, help_text="A name in any spelling, or a country.")
    country = serializers.RegexField(r"^[A-Za-z]{2}$", required=False, help_text="ISO 3166-1 alpha-2.")


class Brands(Resource):
    """PBXs that can be connected, as they are named on the box."""

    area = "connections"
    names_company = False
    filters = BrandFilters
    lookup_field, lookup_value_converter = "slug", "slug"
    pagination_class = None
    serializer_class = BrandSerializer

    @extend_schema(responses=BrandSerializer(many=True))
    def list(self, request: Request) -> Response:
        asked = self.parameters()
        country = asked.get("country", "").upper()
        found = [row.brand for row in catalogue.search(asked.get("q", ""))]
        return Response([self._told(row.slug) for row in found if not country or country in row.countries])

    @extend_schema(responses=BrandFormSerializer)
    def retrieve(self, request: Request, slug: str) -> Response:
        return Response(self._told(slug, form=True))

    def _told(self, slug: str, form: bool = False) -> dict[str, Any]:
        found = account_forms.find_brand(slug)
        if found is None:
            raise Problem("not_found")
        provider, brand = found
        known: dict[str, Any] = {
            "slug": brand.slug,
            "title": brand.title,
            "countries": list(brand.countries),
            "capabilities": sorted(provider.capabilities),
            "listens": provider.listens,
        }
        if form:
            new = Connection(provider=provider.slug, brand=brand.slug)
            known["form"] = form_schema(keys_form(new, None), provider.secret_fields)
        return known


# --- Connections ------------------------------------------------------------------------------------------------------


class ConnectionSerializer(serializers.ModelSerializer):
    """`keys`: the fields of the brand's form (`/brands/{slug}`). What is not sent stays; secrets are taken and never
    told, an empty one is forgotten; `secrets_set` names those that there are. `webhook_url` is told to keys that may
    write here: whoever knows it can send events."""

    brand = serializers.SlugField()
    name = serializers.CharField(max_length=200, required=False, help_text="The brand's title unless told.")
    keys = serializers.DictField(required=False)
    secrets_set = serializers.ListField(child=serializers.CharField(), read_only=True)
    capabilities = serializers.ListField(child=serializers.ChoiceField(choices=CAPABILITIES), read_only=True)
    webhook_url = serializers.URLField(read_only=True, allow_null=True)

    class Meta:
        model = Connection
        fields = [
            "uuid",
            "brand",
            "name",
            "active",
            "keys",
            "secrets_set",
            "capabilities",
            "webhook_url",
            "checked_at",
            "created_at",
        ]
        read_only_fields = ["uuid", "checked_at", "created_at"]

    def validate_brand(self, slug: str) -> str:
        if self.instance and slug != self.instance.brand:
            raise serializers.ValidationError(_("A connection keeps its PBX: make another connection."), "unchangeable")
        return slug

    def to_representation(self, row: Connection) -> dict[str, Any]:
        protocol, stored = row.protocol, row.credentials
        moment = serializers.DateTimeField()
        return {
            "uuid": str(row.uuid),
            "brand": row.brand,
            "name": row.name,
            "active": row.active,
            "keys": told(keys_form(row, None), protocol.secret_fields),
            "secrets_set": sorted(name for name in protocol.secret_fields if stored.get(name)),
            "capabilities": sorted(protocol.able(stored)),
            "webhook_url": self._address(row),
            "checked_at": row.checked_at and moment.to_representation(row.checked_at),
            "created_at": moment.to_representation(row.created_at),
        }

    def _address(self, row: Connection) -> str | None:
        if "connections:write" not in self.context["view"].key.scopes:
            return None
        current: list[WebhookAddress] = getattr(row, "current", [])
        return (current[0] if current else row.address).url


class CheckLineSerializer(serializers.Serializer):
    """One precondition: fulfilled, or what to do about it."""

    name = serializers.CharField()
    ok = serializers.BooleanField()
    cure = serializers.CharField(allow_blank=True)


class ConnectionCheckSerializer(serializers.Serializer):
    ok = serializers.BooleanField(help_text="Whether all lines are.")
    lines = CheckLineSerializer(many=True)


class RotatedAddressSerializer(serializers.Serializer):
    webhook_url = serializers.URLField()
    previous_until = serializers.DateTimeField(help_text="So long the address before it works.")


class PbxUserSerializer(serializers.Serializer):
    """`employee`: whose the extension is; `suggestion`: whose it probably is. `listed`: the PBX still has it."""

    extension = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    email = serializers.CharField(allow_blank=True)
    phone = serializers.CharField(allow_blank=True)
    listed = serializers.BooleanField()
    known = serializers.BooleanField(help_text="Whether it is among `/extensions`.")
    employee = serializers.UUIDField(allow_null=True)
    suggestion = serializers.UUIDField(allow_null=True)


class LoadedNumbersSerializer(serializers.Serializer):
    new = serializers.IntegerField()
    not_listed = serializers.ListField(child=serializers.CharField(), help_text="Ours that the PBX has not; kept.")


class Connections(Tagged, mixins.ListModelMixin, Resource):
    """The company's accounts at PBXs."""

    area = "connections"
    problems = ["limit_reached", "not_supported", "vendor_unreachable"]
    serializer_class = ConnectionSerializer

    def get_queryset(self) -> QuerySet[Connection]:
        current = Prefetch("addresses", WebhookAddress.objects.filter(retires_at=None), to_attr="current")
        return self.mine(Connection).prefetch_related(current)

    def create(self, request: Request) -> Response:
        asked = self.validated()
        found = account_forms.find_brand(asked["brand"])
        if found is None:
            raise invalid("brand", _("There is no such PBX: see /brands."), "not_found")
        if full := limits.reached(self.company, "most_connections", self.mine(Connection)):
            raise Problem("limit_reached", full)
        row = self._save(account_forms.begin(self.company, *found), asked)
        return Response(self.get_serializer(row).data, status.HTTP_201_CREATED)

    def perform_update(self, serializer: Any) -> None:
        serializer.instance = self._save(serializer.instance, serializer.validated_data)

    def _save(self, row: Connection, asked: dict[str, Any]) -> Connection:
        """By the portal's own forms. Where no keys are sent those that are stored are not asked about."""
        active = asked.get("active", row.active)
        names = NameForm({"name": asked.get("name", row.name), "active": "on" if active else ""}, instance=row)
        if row.pk and "keys" not in asked:
            if not names.is_valid():
                raise problems.of_form(names)
            return names.save()
        data = posted(keys_form(row, None), asked.get("keys", {}), row.protocol.secret_fields, "keys.")
        keys = keys_form(row, data)
        if not all([names.is_valid(), keys.is_valid()]):
            wrong = [*problems.of_form(names).errors, *problems.of_form(keys, "keys.").errors]
            raise Problem("invalid", errors=wrong)
        return account_forms.save(row, names, keys)

    @extend_schema(request=None, responses=ConnectionCheckSerializer)
    @action(detail=True, methods=["post"])
    def check(self, request: Request, uuid: Any) -> Response:
        """Try the keys at the PBX, and say what is wrong and what to do about it. Nothing is changed there."""
        row = self.get_object()
        try:
            lines = account_forms.check(row)
        except OutboundError as error:
            raise _unanswered(row, error) from error
        shown = [{"name": str(line.name), "ok": line.ok, "cure": str(line.cure)} for line in lines]
        return Response({"ok": all(line.ok for line in lines), "lines": shown})

    @extend_schema(request=None, responses=RotatedAddressSerializer)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, uuid: Any) -> Response:
        """A new address for the PBX's events; the old one works for 24 hours more."""
        row = self.get_object()
        address = account_forms.rotate(row)
        before = row.addresses.exclude(retires_at=None).order_by("-retires_at").first()
        until = before.retires_at if before else address.created_at
        return Response(RotatedAddressSerializer({"webhook_url": address.url, "previous_until": until}).data)

    @extend_schema(responses=PbxUserSerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, problems=["not_supported", "vendor_unreachable"])
    def users(self, request: Request, uuid: Any) -> Response:
        """Whom the PBX lists, asked for now (within ten seconds), and whose their extensions are. `/extensions/bulk`
        takes what you decide."""
        row = self.get_object()
        try:
            found = account_forms.users(row)
        except (OutboundError, NotImplementedError) as error:
            raise _unanswered(row, error) from error
        return Response([_user(line) for line in account_forms.matches(self.company, found)])

    @extend_schema(request=None, responses=LoadedNumbersSerializer)
    @action(detail=True, methods=["post"], url_path="numbers/load")
    def load_numbers(self, request: Request, uuid: Any) -> Response:
        """Take over the virtual numbers that the PBX lists. None is removed."""
        row = self.get_object()
        try:
            new, gone = account_forms.load_numbers(row)
        except (OutboundError, NotImplementedError) as error:
            raise _unanswered(row, error) from error
        return Response({"new": new, "not_listed": [number.number for number in gone]})


def _unanswered(row: Connection, error: Exception) -> Problem:
    code = "vendor_unreachable" if isinstance(error, OutboundError) else "not_supported"
    return Problem(code, account_forms.unanswered(row, error), wait=getattr(error, "retry_after", None))


def _user(line: account_forms.Match) -> dict[str, Any]:
    kind, _colon, chosen = line.chosen.partition(":")
    return {
        "extension": line.extension,
        "name": line.name,
        "email": line.email,
        "phone": line.phone,
        "listed": not line.disappeared,
        "known": line.row is not None,
        "employee": str(line.row.employee.uuid) if line.row and line.row.employee else None,
        "suggestion": chosen if line.suggested and kind == "employee" else None,
    }


# --- Numbers ----------------------------------------------------------------------------------------------------------


class NumberSerializer(serializers.ModelSerializer):
    connection = Uuid()

    class Meta:
        model = VirtualNumber
        fields = ["id", "connection", "number", "line_name"]
        read_only_fields = ["id", "number"]


class NumberFilters(serializers.Serializer):
    connection = Mine(Connection, required=False)


class Numbers(Tagged, mixins.ListModelMixin, Resource):
    """Virtual numbers, with the names of their lines. `/connections/{uuid}/numbers/load` brings new ones."""

    area = "connections"
    filters = NumberFilters
    lookup_field, lookup_value_converter = "pk", "int"
    serializer_class = NumberSerializer

    def get_queryset(self) -> QuerySet[VirtualNumber]:
        asked = self.parameters() if self.action == "list" else {}
        return self.mine(VirtualNumber).filter(**asked).select_related("connection")


# --- The past ---------------------------------------------------------------------------------------------------------


class ImportSerializer(serializers.ModelSerializer):
    """`days`: so many days back, and today. Without `into_crm` the calls come into the journal alone; with it they are
    written into CRMs after all others, and each may create a lead or a deal as the integration is set."""

    connection = Mine(Connection)
    days = serializers.IntegerField(min_value=1, max_value=MOST_DAYS, write_only=True)
    into_crm = serializers.BooleanField(default=False)
    percent = serializers.IntegerField(read_only=True, help_text="How much of the period is compared.")

    class Meta:
        model = HistoryRun
        fields = [
            "uuid",
            "connection",
            "days",
            "into_crm",
            "state",
            "percent",
            "since",
            "until",
            "found",
            "filled",
            "corrected",
            "error",
            "created_at",
        ]
        read_only_fields = ["uuid", "state", "since", "until", "found", "filled", "corrected", "error", "created_at"]


class ImportFilters(serializers.Serializer):
    connection = Mine(Connection, required=False)


class Imports(mixins.ListModelMixin, mixins.RetrieveModelMixin, Resource):
    """Past calls, brought from a PBX's own history. What is here already stays as it is."""

    area = "connections"
    problems = ["conflict", "not_supported"]
    filters = ImportFilters
    serializer_class = ImportSerializer

    def get_queryset(self) -> QuerySet[HistoryRun]:
        asked = self.parameters() if self.action == "list" else {}
        rows = self.mine(HistoryRun).filter(kind=HistoryRun.Kind.IMPORT, **asked)
        return rows.select_related("connection")

    def create(self, request: Request) -> Response:
        asked = self.validated()
        row = asked["connection"]
        if not history.able(row):
            raise Problem("not_supported", NO_HISTORY)
        if history.importing(row):
            raise Problem("conflict", _("An import is under way already. Wait for its end, or cancel it."))
        run = history.bring_in(row, asked["days"], into_crm=asked["into_crm"], asked_by=None)
        return Response(self.get_serializer(run).data, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=ImportSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uuid: Any) -> Response:
        """The calls that came so far stay in the journal."""
        history.cancel(self.get_object())
        return Response(self.get_serializer(self.get_object()).data)


NO_HISTORY = gettext_lazy("This PBX does not keep a history that could be asked for.")

router.register("brands", Brands, "brands")
router.register("connections", Connections, "connections")
router.register("numbers", Numbers, "numbers")
router.register("imports", Imports, "imports")
