"""The API's resources of companies, their people, keys, and what was changed."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees import audit, invitations, limits
from employees.employee_forms import EmployeeForm, give_extensions
from employees.member_pages import TOO_MANY
from employees.models import KEPT_DAYS, ApiKey, Change, Company, Employee, Extension, Invitation, Membership, Role, User
from employees.rights import last_owner

from . import keys, problems
from .problems import Problem, invalid
from .resources import Mine, Resource, Tagged
from .routes import router

MOST = 500
"""Rows of one bulk request."""


# --- Companies --------------------------------------------------------------------------------------------------------


class CompanySerializer(serializers.ModelSerializer):
    """`…_kept_days`: what is older is deleted; null: kept for ever."""

    recordings_kept_days = serializers.ChoiceField(choices=KEPT_DAYS, allow_null=True, required=False)

    class Meta:
        model = Company
        fields = [
            "uuid",
            "name",
            "region",
            "time_zone",
            "language",
            "number_style",
            "hidden_from_operators",
            "hidden_from_read_only",
            "recordings_kept_days",
            "events_kept_days",
            "exchanges_kept_days",
            "created_at",
        ]
        read_only_fields = ["uuid", "created_at"]


class Companies(
    Tagged,
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    Resource,
):
    """A partner's key sees all of his companies and makes new ones; a company's key sees its own."""

    area = "companies"
    names_company = False
    problems = ["not_allowed"]
    serializer_class = CompanySerializer

    def get_queryset(self) -> QuerySet[Company]:
        return keys.companies_of(self.key)

    def perform_create(self, serializer: Any) -> None:
        if not self.key.partner:
            raise Problem("not_allowed", _("Companies are made with a partner's key."))
        serializer.save(partner=self.key.partner)


# --- Members ----------------------------------------------------------------------------------------------------------


class MemberSerializer(serializers.ModelSerializer):
    email = serializers.EmailField(source="user.email", read_only=True)
    role = serializers.ChoiceField(choices=Role.choices)

    class Meta:
        model = Membership
        fields = ["id", "email", "role"]


class Members(Tagged, mixins.ListModelMixin, mixins.DestroyModelMixin, Resource):
    """Who may sign in to the company's portal. New ones are invited."""

    area = "people"
    problems = ["not_allowed", "conflict"]
    lookup_field, lookup_value_converter = "pk", "int"
    serializer_class = MemberSerializer

    def get_queryset(self) -> QuerySet[Membership]:
        return self.mine(Membership).select_related("user")

    def perform_update(self, serializer: Any) -> None:
        self._may_touch(serializer.instance, serializer.validated_data.get("role", serializer.instance.role))
        serializer.save()

    def perform_destroy(self, instance: Membership) -> None:
        self._may_touch(instance, "")
        instance.delete()

    def _may_touch(self, row: Membership, role: str) -> None:
        allowed = invitations.roles_of_key(self.key)
        if row.role not in allowed or (role and role not in allowed):
            raise Problem("not_allowed", _("Only an owner may do this."))
        if row.role == Role.OWNER and role != Role.OWNER and last_owner(row):
            raise Problem("conflict", _("A company needs an owner: make somebody else one first."))


class InvitationSerializer(serializers.ModelSerializer):
    class Meta:
        model = Invitation
        fields = ["uuid", "email", "role", "created_at", "expires_at"]
        read_only_fields = ["uuid", "created_at", "expires_at"]


class NewInvitationSerializer(InvitationSerializer):
    link = serializers.CharField(read_only=True, help_text="To be handed on; told this once.")

    class Meta(InvitationSerializer.Meta):
        fields = [*InvitationSerializer.Meta.fields, "link"]


class Invitations(mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, Resource):
    """Who was asked by e-mail to become a member and has not answered."""

    area = "people"
    problems = ["not_allowed", "conflict", "limit_reached"]
    serializer_class = InvitationSerializer

    def get_queryset(self) -> QuerySet[Invitation]:
        return self.mine(Invitation).filter(accepted_at=None)

    @extend_schema(responses={201: NewInvitationSerializer})
    def create(self, request: Request) -> Response:
        """Invite somebody, or invite him again: the links before it end."""
        asked = self.validated()
        email, role = asked["email"].lower(), asked["role"]
        self._may_invite(email, role)
        sent = invitations.invite(request._request, self.company, email, role, by=self.key)
        sent.invitation.link = sent.link  # type: ignore[attr-defined]
        return Response(NewInvitationSerializer(sent.invitation).data, status.HTTP_201_CREATED)

    def _may_invite(self, email: str, role: str) -> None:
        allowed = invitations.roles_of_key(self.key)
        waiting = self.get_queryset().filter(email=email).first()
        if role not in allowed or (waiting and waiting.role not in allowed):
            raise Problem("not_allowed", _("Only an owner may do this."))
        if self.mine(Membership).filter(user__email=email).exists():
            raise Problem("conflict", _("%(email)s is a member already.") % {"email": email})
        others = self.get_queryset().exclude(email=email)
        if full := limits.reached(self.company, "most_members", self.mine(Membership), others):
            raise Problem("limit_reached", full)
        if not invitations.may_send(self.request._request, self.company):
            raise Problem("limit_reached", TOO_MANY)


# --- Employees --------------------------------------------------------------------------------------------------------


class ShortNumber(serializers.RegexField):
    def __init__(self, **options: Any) -> None:
        super().__init__(r"^[^\s,;/]{1,32}$", max_length=32, **options)


class EmployeeSerializer(serializers.ModelSerializer):
    """`extensions` and `phones` are whole lists: what is left out is taken away. `member`: the e-mail of the member who
    signs in as this employee. Calls with `phones` are private."""

    extensions = serializers.ListField(child=ShortNumber(), max_length=50, required=False)
    phones = serializers.ListField(child=serializers.CharField(max_length=32), max_length=20, required=False)
    member = serializers.EmailField(source="user.email", allow_null=True, required=False)

    class Meta:
        model = Employee
        fields = ["uuid", "name", "email", "extensions", "phones", "member"]
        read_only_fields = ["uuid"]

    def to_representation(self, row: Employee) -> dict[str, Any]:
        return {
            "uuid": str(row.uuid),
            "name": row.name,
            "email": row.email,
            "extensions": [each.number for each in row.extensions.all()],
            "phones": [each.phone for each in row.phones.all()],
            "member": row.user.email if row.user else None,
        }


class BulkEmployeeSerializer(EmployeeSerializer):
    """`uuid`, else `email`, says who is meant; whom neither finds is new."""

    uuid = serializers.UUIDField(required=False)

    class Meta(EmployeeSerializer.Meta):
        read_only_fields: list[str] = []


class Employees(
    Tagged,
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.DestroyModelMixin,
    Resource,
):
    """Who talks with clients."""

    area = "people"
    serializer_class = EmployeeSerializer

    def get_queryset(self) -> QuerySet[Employee]:
        numbers = Prefetch("extensions", Extension.objects.order_by("number"))
        return self.mine(Employee).select_related("user").prefetch_related(numbers, "phones")

    def perform_create(self, serializer: Any) -> None:
        serializer.instance = self._fresh(self._save(Employee(company=self.company), serializer.validated_data))

    def perform_update(self, serializer: Any) -> None:
        serializer.instance = self._fresh(self._save(serializer.instance, serializer.validated_data))

    @transaction.atomic
    def perform_destroy(self, instance: Employee) -> None:
        give_extensions(instance, [])
        instance.delete()

    @extend_schema(
        request=BulkEmployeeSerializer(many=True),
        responses=EmployeeSerializer(many=True),
        operation_id="employees_bulk",
    )
    @action(detail=False, methods=["put"], serializer_class=BulkEmployeeSerializer, pagination_class=None, tagged=False)
    def bulk(self, request: Request) -> Response:
        """Make these employees, or change them: all of them or, where one is not right, none. At most 500."""
        asked: Any = self.validated(many=True, max_length=MOST)
        with transaction.atomic():
            saved = [self._upsert(place, row) for place, row in enumerate(asked)]
        rows = {row.pk: row for row in self.get_queryset().filter(pk__in=saved)}
        return Response(EmployeeSerializer([rows[pk] for pk in saved], many=True).data)

    def _upsert(self, place: int, asked: dict[str, Any]) -> int:
        row = self.mine(Employee).filter(uuid=asked["uuid"]).first() if "uuid" in asked else None
        if "uuid" in asked and row is None:
            raise invalid(f"{place}.uuid", _("There is no such employee."), "not_found")
        if row is None and asked.get("email"):
            row = self.mine(Employee).filter(email__iexact=asked["email"]).first()
        return self._save(row or Employee(company=self.company), asked, f"{place}.").pk

    def _save(self, row: Employee, asked: dict[str, Any], prefix: str = "") -> Employee:
        """By the portal's own form; what is not sent stays."""
        form = EmployeeForm(self.company, instance=row)
        data = {name: form.initial.get(name, "") for name in form.fields} | {
            name: asked[name] for name in ("name", "email") if name in asked
        }
        if "extensions" in asked:
            data["extensions"] = ", ".join(asked["extensions"])
        if "phones" in asked:
            data["phone_list"] = ", ".join(asked["phones"])
        if "user" in asked:
            data["user"] = self._member(asked["user"]["email"], prefix)
        form = EmployeeForm(self.company, data, instance=row)
        if not form.is_valid():
            raise problems.of_form(form, prefix, {"phone_list": "phones", "user": "member"})
        return form.save()

    def _member(self, email: str | None, prefix: str) -> int | None:
        if email is None:
            return None
        row = User.objects.filter(memberships__company=self.company, email=email.lower()).first()
        if row is None:
            raise invalid(f"{prefix}member", _("There is no member with this e-mail."), "not_found")
        return row.pk

    def _fresh(self, row: Employee) -> Employee:
        return self.get_queryset().get(pk=row.pk)


class ExtensionSerializer(serializers.ModelSerializer):
    """`handling`: what happens with its calls; with an `employee` it is his."""

    number = ShortNumber()
    employee = Mine(Employee, allow_null=True, required=False)
    handling = serializers.ChoiceField(choices=Extension.Handling.choices, required=False)

    class Meta:
        model = Extension
        fields = ["number", "name", "handling", "employee", "first_seen_at"]
        read_only_fields = ["first_seen_at"]
        validators: list[Any] = []

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        """An employee makes it his; anything else takes it from whoever had it."""
        belongs = Extension.Handling.EMPLOYEE
        if asked.get("employee"):
            return asked | {"handling": belongs}
        if asked.get("handling") == belongs:
            raise serializers.ValidationError({"employee": _("Say which employee it belongs to.")})
        if "handling" in asked or "employee" in asked:
            return {"handling": Extension.Handling.UNKNOWN} | asked | {"employee": None}
        return asked


class Extensions(Tagged, mixins.ListModelMixin, Resource):
    """Short numbers of the PBXs, and whose they are. One that nobody knew comes with its first call."""

    area = "people"
    lookup_field, lookup_value_converter = "number", "str"
    serializer_class = ExtensionSerializer

    def get_queryset(self) -> QuerySet[Extension]:
        return self.mine(Extension).select_related("employee")

    @extend_schema(
        request=ExtensionSerializer(many=True), responses=ExtensionSerializer(many=True), operation_id="extensions_bulk"
    )
    @action(detail=False, methods=["put"], pagination_class=None)
    def bulk(self, request: Request) -> Response:
        """Make these extensions, or change them, by their numbers: all or none. At most 500."""
        asked: Any = self.validated(many=True, max_length=MOST)
        with transaction.atomic():
            for row in asked:
                number = row.pop("number")
                Extension.objects.update_or_create(company=self.company, number=number, defaults=row)
                row["number"] = number
        rows = {row.number: row for row in self.get_queryset().filter(number__in=[row["number"] for row in asked])}
        return Response(self.get_serializer([rows[row["number"]] for row in asked], many=True).data)


# --- Keys, and what was changed ---------------------------------------------------------------------------------------


class KeySerializer(serializers.ModelSerializer):
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=[(one, one) for one in keys.SCOPES]))

    class Meta:
        model = ApiKey
        fields = [
            "uuid",
            "name",
            "prefix",
            "scopes",
            "expires_at",
            "revoked_at",
            "last_used_at",
            "created_at",
            "previous_until",
        ]
        read_only_fields = ["uuid", "prefix", "revoked_at", "last_used_at", "created_at", "previous_until"]

    def validate_expires_at(self, value: Any) -> Any:
        if value and value <= timezone.now():
            raise serializers.ValidationError(_("This time has passed."))
        return value


class NewKeySerializer(KeySerializer):
    secret = serializers.CharField(read_only=True, help_text="The whole key; told this once.")

    class Meta(KeySerializer.Meta):
        fields = [*KeySerializer.Meta.fields, "secret"]


class Keys(mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, Resource):
    """Keys of whoever has this one: its company, or its partner. None is made that may do more than itself."""

    area = "keys"
    names_company = False
    problems = ["not_allowed"]
    serializer_class = KeySerializer

    def get_queryset(self) -> QuerySet[ApiKey]:
        return ApiKey.objects.filter(company=self.key.company, partner=self.key.partner)

    @extend_schema(responses={201: NewKeySerializer})
    def create(self, request: Request) -> Response:
        """A new key; its secret is told in this answer alone."""
        asked = self.validated()
        self._may_give(asked["scopes"])
        row, secret = keys.issue(self.key.owner, asked["name"], asked["scopes"], expires_at=asked.get("expires_at"))
        return self._told(row, secret, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=NewKeySerializer)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, uuid: Any) -> Response:
        """A new secret; the old one works for 24 hours more."""
        row = self.get_object()
        if not row.works:
            raise Problem("not_allowed", _("This key does not work any more: make a new one."))
        self._may_give(row.scopes)
        return self._told(row, keys.rotate(row))

    def perform_destroy(self, instance: ApiKey) -> None:
        keys.revoke(instance)

    def _may_give(self, scopes: list[str]) -> None:
        if more := sorted(set(scopes) - set(self.key.scopes)):
            raise Problem("not_allowed", _("Your own key has not: %(scopes)s") % {"scopes": ", ".join(more)})

    def _told(self, row: ApiKey, secret: str, code: int = status.HTTP_200_OK) -> Response:
        row.secret = secret  # type: ignore[attr-defined]
        return Response(NewKeySerializer(row).data, code)


class ChangeSerializer(serializers.ModelSerializer):
    lines = serializers.SerializerMethodField()

    class Meta:
        model = Change
        fields = ["id", "at", "actor_name", "address", "kind", "action", "subject", "lines"]

    @extend_schema_field(
        {
            "type": "array",
            "items": {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]},
        }
    )
    def get_lines(self, row: Change) -> Any:
        return row.lines


class ChangeFilters(serializers.Serializer):
    kind = serializers.ChoiceField(choices=[(kind, kind) for kind in audit.KINDS], required=False)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)


class Changes(mixins.ListModelMixin, Resource):
    """Who changed what, people and keys alike; the newest first."""

    area = "companies"
    filters = ChangeFilters
    serializer_class = ChangeSerializer

    def get_queryset(self) -> QuerySet[Change]:
        columns = {"kind": "kind", "since": "at__gte", "until": "at__lt"}
        chosen = {columns[name]: value for name, value in self.parameters().items()}
        return self.mine(Change).filter(**chosen)


router.register("companies", Companies, "companies")
router.register("members", Members, "members")
router.register("invitations", Invitations, "invitations")
router.register("employees", Employees, "employees")
router.register("extensions", Extensions, "extensions")
router.register("keys", Keys, "keys")
router.register("changes", Changes, "changes")
