"""The columns of the journal, as each person chooses them for the page and for files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from employees import phones
from employees.models import Membership
from telephony.models import Call, Recording
from telephony.providers.base import Direction

Value = Callable[[Call], Any]


@dataclass(frozen=True)
class Column:
    """A column of the page, and the cells that it is in a file: their heads and values."""

    key: str
    title: Any
    cells: tuple[tuple[Any, Value], ...]


def _client(call: Call, what: str) -> str:
    return phones.in_text(getattr(call.who, what, ""))  # type: ignore[attr-defined]


def _number(call: Call) -> str:
    return phones.of_client(call.client_phone)


def _line(call: Call) -> str:
    return call.line  # type: ignore[attr-defined]


def _pbx(call: Call) -> str:
    return call.pbx  # type: ignore[attr-defined]


def _recorded(call: Call) -> str:
    """What the best of its recordings is."""
    rows = sorted(call.audio, key=lambda row: row.state != Recording.State.STORED)
    return str(rows[0].get_state_display()) if rows else ""


def _in_crms(call: Call) -> str:
    return "; ".join(f"{row.credential}: {standing.title}" for row, standing in call.standings)  # type: ignore[attr-defined]


def _tracked(call: Call) -> str:
    return phones.in_text(", ".join(f"{key} = {value}" for key, value in call.utm.items()))


TIME, CLIENT = "time", "client"
COLUMNS = (
    Column(
        TIME,
        _("Time"),
        ((_("Time"), lambda call: call.started_at), (_("Direction"), lambda call: call.get_direction_display())),
    ),
    Column(
        CLIENT,
        _("Client"),
        (
            (_("Number"), lambda call: "" if call.direction == Direction.INTERNAL else _number(call)),
            (_("Client"), lambda call: _client(call, "name")),
            (_("Organisation"), lambda call: _client(call, "organisation")),
        ),
    ),
    Column(
        "line",
        _("Line"),
        ((_("Line"), _line), (_("Virtual number"), lambda call: phones.pretty(call.virtual_number))),
    ),
    Column(
        "employee",
        _("Employee"),
        (
            (_("Employee"), lambda call: call.employee.name if call.employee else ""),
            (_("Extension"), lambda call: call.extension),
        ),
    ),
    Column(
        "outcome",
        _("Outcome"),
        (
            (_("Outcome"), lambda call: call.get_outcome_display() or call.get_state_display()),
            (_("Conversation"), lambda call: timedelta(seconds=call.talk_seconds)),
        ),
    ),
    Column("waiting", _("Waiting"), ((_("Waiting"), lambda call: timedelta(seconds=call.wait_seconds)),)),
    Column("recording", _("Recording"), ((_("Recording"), _recorded),)),
    Column("crm", _("In the CRM"), ((_("In the CRM"), _in_crms),)),
    Column("pbx", _("PBX connection"), ((_("PBX connection"), _pbx),)),
    Column("tracking", _("Call tracking"), ((_("Call tracking"), _tracked),)),
)
USUAL = ("time", "client", "line", "employee", "outcome", "recording", "crm")


class ColumnsForm(forms.Form):
    """Which columns; the time is always there."""

    columns = forms.MultipleChoiceField(
        label=_("Columns"),
        choices=[(column.key, column.title) for column in COLUMNS if column.key != TIME],
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )

    @property
    def chosen(self) -> list[str]:
        """In the order in which they stand."""
        return chosen(self.cleaned_data["columns"])


def chosen(keys: Iterable[str]) -> list[str]:
    """These and the time, in the order in which they stand."""
    wanted = {TIME, *keys}
    return [column.key for column in COLUMNS if column.key in wanted]


def of(membership: Membership) -> list[str]:
    """What this person wants to see."""
    return chosen(USUAL if membership.journal_columns is None else membership.journal_columns)


def keep(membership: Membership, keys: list[str]) -> None:
    membership.journal_columns = keys
    membership.save(update_fields=["journal_columns"])


def cells(keys: Iterable[str]) -> list[tuple[Any, Value]]:
    """Heads and values of a file with these columns."""
    keys = set(keys)
    return [cell for column in COLUMNS if column.key in keys for cell in column.cells]
