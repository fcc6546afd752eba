"""The working hours of a number, beside the name of its line."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.dates import WEEKDAYS, WEEKDAYS_ABBR
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees import phones
from employees.forms import onward
from employees.rights import Right
from employees.sites import my, portal

from . import hours
from .hours import Hours
from .models import Connection, VirtualNumber

USUAL = hours.read("\n".join(f"{day} 09:00-18:00" for day in hours.DAYS[:5]))
"""What the form begins with."""
MOST_DAYS_OFF = 400


class HoursForm(forms.Form):
    """A field for each day of the week, the hours as people write them."""

    known = forms.BooleanField(label=gettext_lazy("This line has working hours"), required=False)
    mon, tue, wed, thu, fri, sat, sun = (
        forms.CharField(
            label=WEEKDAYS[number],
            required=False,
            max_length=200,
            widget=forms.TextInput(attrs={"placeholder": gettext_lazy("day off")}),
        )
        for number in range(7)
    )
    off = forms.CharField(
        label=gettext_lazy("Days off besides"),
        required=False,
        max_length=12 * MOST_DAYS_OFF,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "01.01.2027"}),
        help_text=gettext_lazy("Holidays, as dates: 01.01.2027, 02.01.2027"),
    )
    everywhere = forms.BooleanField(
        label=gettext_lazy("The same for all numbers of this PBX connection"), required=False
    )

    def __init__(self, data: Any, line: VirtualNumber):
        kept = hours.read(line.hours)
        super().__init__(data, initial=_written(kept or USUAL) | {"known": kept is not None})

    def clean(self) -> dict[str, Any]:
        """`hours`: as they are stored."""
        said = super().clean() or self.cleaned_data
        week = tuple(tuple(self._day(name)) for name in hours.DAYS)
        off = self._days_off()
        if said.get("known") and not self.errors and not any(week):
            self.add_error("mon", _("Write the hours of one day at least, or switch working hours off."))
        said["hours"] = str(Hours(week, frozenset(off))) if said.get("known") else ""
        return said

    def _day(self, name: str) -> list[hours.Interval]:
        try:
            return hours.intervals(self.cleaned_data.get(name) or "")
        except ValueError as error:
            words = _("Not understood: %(text)s. Write the hours like 9:00–18:00, or 9:00–13:00, 14:00–18:00.")
            self.add_error(name, words % {"text": error})
            return []

    def _days_off(self) -> list[date]:
        found = []
        for text in (self.cleaned_data.get("off") or "").replace(",", " ").replace(";", " ").split():
            try:
                found.append(_date(text))
            except ValueError:
                self.add_error("off", _("Not a date: %(text)s. Write it like 01.01.2027.") % {"text": text})
        return found


def _date(text: str) -> date:
    return date.fromisoformat(text) if "-" in text else datetime.strptime(text, "%d.%m.%Y").date()


def _written(known: Hours | None) -> dict[str, str]:
    """Hours as the form shows them."""
    if known is None:
        return {}
    days = {name: ", ".join(map(_pretty, day)) for name, day in zip(hours.DAYS, known.week, strict=True)}
    return days | {"off": ", ".join(f"{day:%d.%m.%Y}" for day in sorted(known.off))}


def _pretty(interval: hours.Interval) -> str:
    return str(interval).replace("-", "–")


def in_short(line: VirtualNumber) -> str:
    """`Mon–Fri 09:00–18:00`: days with the same hours together; empty where the line has none."""
    known = hours.read(line.hours)
    if known is None:
        return ""
    told = [", ".join(map(_pretty, day)) for day in known.week]
    parts, first = [], 0
    for number in range(1, len(told) + 1):
        if number < len(told) and told[number] == told[first]:
            continue
        if told[first]:
            days = [str(WEEKDAYS_ABBR[first]), str(WEEKDAYS_ABBR[number - 1])]
            parts.append(f"{'–'.join(dict.fromkeys(days))} {told[first]}")
        first = number
    return "; ".join(parts)


@portal.page("connections/<uuid:uuid>/numbers/<int:number>/hours/", name="number_hours", right=Right.MANAGE)
def number_hours(request: HttpRequest, uuid: UUID, number: int) -> HttpResponse:
    """When somebody takes the calls of this line."""
    connection = my(request, Connection, uuid=uuid)
    line = my(request, VirtualNumber, pk=number, connection=connection)
    form = HoursForm(request.POST or None, line)
    if request.method == "POST" and form.is_valid():
        everywhere = form.cleaned_data["everywhere"]
        for row in connection.virtual_numbers.all() if everywhere else [line]:
            row.hours = form.cleaned_data["hours"]
            row.save(update_fields=["hours"])
        messages.success(request, _("Saved."))
        return onward(request, "portal:connection_numbers", connection.uuid)
    context = {
        "title": _("Working hours: %(name)s") % {"name": line.line_name or phones.pretty(line.number)},
        "row": connection,
        "line": line,
        "form": form,
        "days": [form[name] for name in hours.DAYS],
        "several": connection.virtual_numbers.count() > 1,
    }
    return portal.render(request, "portal/number_hours.html", context)
