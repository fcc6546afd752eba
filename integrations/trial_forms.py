"""The form of a test call: its kind, its line, its people."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees import phones
from employees.models import Company, Extension
from telephony import trials
from telephony.models import Connection, VirtualNumber
from telephony.scripts import Kind, Script, fictional_number

from .models import Integration

KINDS = [
    (Kind.IN_ANSWERED, gettext_lazy("incoming, answered")),
    (Kind.IN_MISSED, gettext_lazy("incoming, missed")),
    (Kind.IN_BUSY, gettext_lazy("incoming, the line is busy")),
    (Kind.OUT_ANSWERED, gettext_lazy("outgoing, answered")),
    (Kind.OUT_NO_ANSWER, gettext_lazy("outgoing, no answer")),
]


class TrialForm(forms.Form):
    """A call to be played."""

    kind = forms.ChoiceField(label=gettext_lazy("Kind of call"), choices=KINDS, initial=Kind.IN_ANSWERED)
    line = forms.ChoiceField(label=gettext_lazy("By which line"), choices=())
    extension = forms.ChoiceField(label=gettext_lazy("With which extension"), choices=(), required=False)
    phone = forms.CharField(
        label=gettext_lazy("The client's number"),
        max_length=32,
        help_text=gettext_lazy(
            "The number suggested is nobody's: it cannot be dialled, and the CRM meets an unknown client. Type a real "
            "client's number to see a call of somebody whom the CRM knows; the call then stands in his card."
        ),
    )
    recorded = forms.BooleanField(
        label=gettext_lazy("With a recording"),
        required=False,
        initial=True,
        help_text=gettext_lazy("Three notes of music. Calls that nobody answers have none."),
    )

    def __init__(self, company: Company, data: Any = None, integration: Integration | None = None):
        super().__init__(data)
        self._company = company
        self.connections = _connections(company, integration)
        lines = [choice for row in self.connections for choice in _lines(row)]
        self.fields["line"].choices = lines  # type: ignore[attr-defined]
        self.fields["extension"].choices = _extensions(company)  # type: ignore[attr-defined]
        self.fields["phone"].initial = fictional_number(company.region)

    def clean_phone(self) -> str:
        return phones.required(self.cleaned_data["phone"], self._company.region)

    def told(self) -> tuple[Connection, Script]:
        """The PBX whose call it is, and what is played."""
        uuid, _bar, line = self.cleaned_data["line"].partition("|")
        connection = next(row for row in self.connections if str(row.uuid) == uuid)
        script = Script(
            call=trials.new_key(),
            kind=self.cleaned_data["kind"],
            client=self.cleaned_data["phone"],
            line=line,
            extension=self.cleaned_data["extension"],
            recorded=self.cleaned_data["recorded"],
        )
        return connection, script


def _connections(company: Company, integration: Integration | None) -> list[Connection]:
    """Those of the integration first."""
    rows = list(Connection.objects.filter(company=company, active=True).prefetch_related("virtual_numbers"))
    first = set(integration.connections.values_list("pk", flat=True)) if integration else set()
    return sorted(rows, key=lambda row: row.pk not in first)


def _lines(connection: Connection) -> list[tuple[str, str]]:
    numbers = list(connection.virtual_numbers.all())
    return [(f"{connection.uuid}|{row.number}", _line(connection, row)) for row in numbers] or [
        (f"{connection.uuid}|", connection.name)
    ]


def _line(connection: Connection, row: VirtualNumber) -> str:
    number = phones.pretty(row.number)
    return f"{row.line_name} · {number} · {connection.name}" if row.line_name else f"{number} · {connection.name}"


def _extensions(company: Company) -> list[tuple[str, str]]:
    """Employees' own first; where none is known the call rings at nobody's."""
    rows = list(Extension.objects.filter(company=company).select_related("employee"))
    rows.sort(key=lambda row: (row.employee is None, row.number))
    return [(row.number, str(row)) for row in rows] or [("", _("none is known yet"))]
