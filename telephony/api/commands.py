"""The API's resource of commands: what PBXs are asked to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from employees import phones
from employees.api.problems import Problem, invalid
from employees.api.resources import Mine, Resource, Uuid
from employees.api.routes import router
from employees.models import Employee, Extension
from outbound.errors import OutboundError
from telephony import commands, words
from telephony.models import Call, Command, Connection, VirtualNumber


class CommandSerializer(serializers.ModelSerializer):
    """`state` says what came of it: `accepted` by the PBX, `refused` with its words in `error`, or `doubt`: no answer
    came, so perhaps it was carried out. `call`: whom it was about, or what came of a dial."""

    connection = Uuid()
    call = serializers.SerializerMethodField()
    kind = serializers.ChoiceField(choices=[(one, one) for one in ("dial", "hangup", "transfer", "route")])
    error = serializers.SerializerMethodField()

    class Meta:
        model = Command
        fields = ["uuid", "kind", "state", "error", "connection", "call", "created_at", "sent_at"]
        read_only_fields = fields

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_call(self, row: Command) -> str | None:
        dialled = [row.call] if row.call else list(row.dialled_calls.all())
        return str(dialled[0].uuid) if dialled else None

    def get_error(self, row: Command) -> str:
        return words.ours(row.error)


class DialSerializer(serializers.Serializer):
    """The employee is called, then the number. `extension`, or the `employee` whose first one is taken."""

    phone = serializers.CharField(max_length=64)
    extension = serializers.CharField(max_length=32, required=False)
    employee = Mine(Employee, required=False)
    connection = Mine(Connection, required=False, help_text="Else the first that can dial.")
    line = serializers.CharField(max_length=128, required=False, help_text="The virtual number that is shown.")


class HangupSerializer(serializers.Serializer):
    call = Mine(Call)


class TransferSerializer(serializers.Serializer):
    """`hold`: the client waits while his call is announced; `blind`: he is handed over at once."""

    call = Mine(Call)
    to = serializers.CharField(max_length=32, help_text="An extension of the company.")
    method = serializers.ChoiceField(choices=[("blind", "blind"), ("hold", "hold")], default="blind")


class Commands(mixins.ListModelMixin, mixins.RetrieveModelMixin, Resource):
    """What PBXs were asked to do, by people and programs."""

    area = "commands"
    problems = ["not_supported", "conflict"]
    serializer_class = CommandSerializer

    def get_queryset(self) -> QuerySet[Command]:
        return self.mine(Command).select_related("connection", "call").prefetch_related("dialled_calls")

    @extend_schema(responses={201: CommandSerializer})
    @action(detail=False, methods=["post"], serializer_class=DialSerializer)
    def dial(self, request: Request) -> Response:
        """Call an employee, then a number."""
        asked = self.validated()
        phone = phones.normalise(asked["phone"], self.company.region)
        if not phones.is_phone(phone):
            raise invalid("phone", _("This is not a phone number."))
        extension, row = self._extension(asked), self._connection(asked)
        line = self._line(asked, row)
        return self._done(lambda: commands.dial(row, extension=extension, phone=phone, line=line))

    @extend_schema(responses={201: CommandSerializer})
    @action(detail=False, methods=["post"], serializer_class=HangupSerializer)
    def hangup(self, request: Request) -> Response:
        """End a call that goes on."""
        call = self.validated()["call"]
        return self._done(lambda: commands.hangup(call))

    @extend_schema(responses={201: CommandSerializer})
    @action(detail=False, methods=["post"], serializer_class=TransferSerializer)
    def transfer(self, request: Request) -> Response:
        """Hand the client of a call over to an extension."""
        asked = self.validated()
        if not self.mine(Extension).filter(number=asked["to"]).exists():
            raise invalid("to", _("There is no such extension."), "not_found")
        return self._done(lambda: commands.transfer(asked["call"], asked["to"], method=asked["method"]))

    def _extension(self, asked: dict[str, Any]) -> str:
        """The extension to be called first."""
        rows = self.mine(Extension).order_by("number")
        if named := asked.get("extension"):
            found = rows.filter(number=named).first()
        elif "employee" in asked:
            found = rows.filter(employee=asked["employee"]).first()
        else:
            raise invalid("extension", _("Say whose telephone is to ring: an extension, or an employee."), "required")
        if found is None:
            raise invalid("extension" if named else "employee", _("There is no such extension."), "not_found")
        return found.number

    def _connection(self, asked: dict[str, Any]) -> Connection:
        able = commands.able_to_dial(self.company)
        named = asked.get("connection")
        row = next((row for row in able if named in (None, row)), None)
        if row is None:
            raise Problem("not_supported", _("There is no active connection with a PBX that can dial."))
        return row

    def _line(self, asked: dict[str, Any], row: Connection) -> str:
        if not (named := asked.get("line", "")):
            return ""
        number = phones.normalise(named, self.company.region)
        if not VirtualNumber.objects.filter(connection=row, number=number).exists():
            raise invalid("line", _("This connection has no such virtual number."), "not_found")
        return number

    def _done(self, ask: Callable[[], Command]) -> Response:
        """What came of it. What was not even sent is a problem."""
        try:
            command = ask()
        except OutboundError as error:
            if not isinstance(error.about, Command):
                code = "not_supported" if error.code == "not_supported" else "conflict"
                raise Problem(code, words.REFUSALS.get(error.code, words.ours(error.words))) from error
            command = error.about
        row = self.get_queryset().get(pk=command.pk)
        return Response(CommandSerializer(row).data, status.HTTP_201_CREATED)


router.register("commands", Commands, "commands")
