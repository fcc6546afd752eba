"""The portal's page of reports, and their files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from employees.models import Company
from employees.rights import Right
from employees.sites import company_of, portal

from . import journal, reports, spreadsheets
from .reports import Figures, Line, Period

TITLE = gettext_lazy("Reports")
MOST_DAYS = 366
SHOWN, WRITTEN = 100, 10_000
"""So many clients are on the page, and in a file."""
REPORTS = [
    ("employee", gettext_lazy("By employee")),
    ("client", gettext_lazy("By client")),
    ("line", gettext_lazy("By line")),
    ("hour", gettext_lazy("By hour")),
    ("employee_week", gettext_lazy("Week by employee")),
    ("client_week", gettext_lazy("Week by client")),
]
PERIODS = journal.PERIODS[1:]
WEEKS = ("employee_week", "client_week")


class ReportFilter(forms.Form):
    """Which report of which days: the two dates, else a period by its name, else seven days up to today."""

    show = forms.ChoiceField(choices=REPORTS, required=False, widget=forms.HiddenInput)
    since = forms.DateField(label=gettext_lazy("From"), widget=journal.DayInput)
    until = forms.DateField(label=gettext_lazy("To"), widget=journal.DayInput)

    def __init__(self, data: Any):
        given = {name: data[name] for name in ("show", "since", "until") if data.get(name)}
        if not given.keys() & {"since", "until"}:
            period = data.get("period")
            since, until = journal.days({"period": period if period in dict(PERIODS) else "week"})
            given |= {"since": str(since), "until": str(until)}
        super().__init__({"show": "employee"} | given)

    def clean(self) -> dict[str, Any]:
        chosen = self.cleaned_data
        if {"since", "until"} <= chosen.keys():
            period = Period(chosen["since"], chosen["until"])
            if period.days < 1:
                self.add_error("until", _("The last day is before the first one."))
            elif period.days > MOST_DAYS:
                self.add_error("until", _too_long(period.days))
            chosen["days"] = period
        return chosen

    @property
    def shown(self) -> str:
        return self.cleaned_data.get("show") or "employee"


def _too_long(days: int) -> str:
    words = ngettext(
        "The period has %(days)d day. Choose %(most)d days at most.",
        "The period has %(days)d days. Choose %(most)d days at most.",
        days,
    )
    return words % {"days": days, "most": MOST_DAYS}


@dataclass(frozen=True)
class Figure:
    """A column of a report. `unit`: how its values are written."""

    name: Any
    of: str
    unit: str = ""


FIGURES = [
    Figure(gettext_lazy("Incoming"), "incoming"),
    Figure(gettext_lazy("Outgoing"), "outgoing"),
    Figure(gettext_lazy("Answered"), "answered"),
    Figure(gettext_lazy("Missed"), "missed"),
    Figure(gettext_lazy("Missed outside working hours"), "off_hours"),
    Figure(gettext_lazy("Called back"), "called_back"),
    Figure(gettext_lazy("Called back, %"), "called_back_percent", "percent"),
    Figure(gettext_lazy("Clients who called again"), "came_back"),
    Figure(gettext_lazy("Median time to call back"), "patience", "time"),
    Figure(gettext_lazy("Conversations in all"), "talk", "time"),
    Figure(gettext_lazy("Average conversation"), "average_talk", "time"),
    Figure(gettext_lazy("Average waiting"), "average_wait", "time"),
]
OF_WEEKS = [figure for figure in FIGURES if figure.of in ("incoming", "outgoing", "answered", "missed", "talk")]


@dataclass
class Report:
    """What a page and a file show."""

    show: str
    period: Period
    lines: list[Line]
    week: list[list[Figures]] = field(default_factory=list)
    """Of the report by hour: each hour of each day of the week."""
    cut: bool = False
    """Whether there may be more clients than these."""

    @property
    def title(self) -> str:
        return str(dict(REPORTS)[self.show])

    @property
    def figures(self) -> list[Figure]:
        return OF_WEEKS if self.show in WEEKS else FIGURES

    @property
    def days(self) -> list[date]:
        """The columns of a week."""
        return [self.period.since + timedelta(days=n) for n in range(self.period.days)] if self.show in WEEKS else []


def compose(company: Company, show: str, period: Period, limit: int) -> Report:
    if show in WEEKS:
        period = period.week
    report = Report(show, period, [])
    if show == "client":
        report.lines = reports.by_client(company, period, limit)
    elif show == "line":
        report.lines = reports.by_line(company, period)
    elif show == "hour":
        report.lines, report.week = reports.by_hour(company, period)
    elif show == "employee_week":
        report.lines = reports.week_by_employee(company, period)
    elif show == "client_week":
        report.lines = reports.week_by_client(company, period, limit)
    else:
        report.lines = reports.by_employee(company, period)
    report.cut = show.startswith("client") and len(report.lines) >= limit
    return report


# --- The page ---------------------------------------------------------------------------------------------------------


@portal.page("reports/", name="reports", right=Right.READ)
def reports_page(request: HttpRequest) -> HttpResponse:
    return _page(request, ReportFilter(request.GET))


def _page(request: HttpRequest, asked: ReportFilter) -> HttpResponse:
    context = {"title": TITLE, "form": asked, "reports": REPORTS, "periods": PERIODS}
    if asked.is_valid():
        context |= _shown(company_of(request), asked)
    return portal.render(request, "portal/reports.html", context)


def _shown(company: Company, asked: ReportFilter) -> dict[str, Any]:
    report = compose(company, asked.shown, asked.cleaned_data["days"], SHOWN)
    period = report.period
    now, before = reports.totals(company, period), reports.totals(company, period.before)
    return {
        "report": report,
        "period": period,
        "tiles": _tiles(now, before),
        "any": now.total,
        "most": SHOWN,
        "rows": [(line, cells(line, report.figures)) for line in report.lines],
        "bars": [] if report.week else _bars(report.lines),
        "heats": _heats(report),
        "earlier": period.before,
        "later": Period(period.until + timedelta(days=1), period.until + timedelta(days=period.days)),
    }


@dataclass(frozen=True)
class Cell:
    value: int | None
    unit: str


def cells(line: Figures, figures: list[Figure]) -> list[Cell]:
    return [Cell(getattr(line, figure.of), figure.unit) for figure in figures]


@dataclass(frozen=True)
class Tile:
    """A figure beside that of the period before."""

    name: Any
    now: Cell
    before: Cell

    @property
    def change(self) -> str:
        """By how many per cent; of a share, by how many points of it."""
        now, before = self.now.value, self.before.value
        if now is None or before is None or (self.now.unit != "percent" and not before):
            return ""
        points = now - before if self.now.unit == "percent" else round(100 * (now - before) / before)
        return f"{points:+d}\N{NO-BREAK SPACE}%"


def _tiles(now: Figures, before: Figures) -> list[Tile]:
    shown = [figure for figure in FIGURES if figure.of not in ("called_back", "came_back")]
    values = zip(shown, cells(now, shown), cells(before, shown), strict=True)
    return [Tile(figure.name, value, earlier) for figure, value, earlier in values]


def _bars(lines: list[Line]) -> list[tuple[str, list[tuple[str, int]]]]:
    """The dozen with most calls, each in parts by tone."""
    return [
        (line.name, [("success", line.answered), ("danger", line.missed), ("warning", line.unreached)])
        for line in lines[:12]
    ]


def _heats(report: Report) -> list[tuple[str, str, list[tuple[str, list[int]]]]]:
    """Title, tone, and the hours of each day of the week."""
    if not report.week:
        return []
    days = list(zip(weekdays(), report.week, strict=True))
    return [
        (_("Incoming calls"), "accent", [(day, [hour.incoming for hour in hours]) for day, hours in days]),
        (_("Missed calls"), "danger", [(day, [hour.missed for hour in hours]) for day, hours in days]),
    ]


def weekdays() -> list[str]:
    return [str(WEEKDAYS_ABBR[day]) for day in range(reports.DAYS_OF_WEEK)]


# --- Files ------------------------------------------------------------------------------------------------------------


@portal.page("reports/file/", name="report_file", right=Right.READ)
def report_file(request: HttpRequest) -> HttpResponse:
    asked = ReportFilter(request.GET)
    if not asked.is_valid():
        return _page(request, asked)
    report = compose(company_of(request), asked.shown, asked.cleaned_data["days"], WRITTEN)
    kind = "csv" if request.GET.get("format") == "csv" else "xlsx"
    stream = io.BytesIO()
    out = spreadsheets.writer(kind, stream)
    for row in _table(report):
        out.write(row)
    out.close()
    name = f"{report.show}-{report.period.since}-{report.period.until}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(stream.getvalue(), content_type=spreadsheets.TYPES[kind], headers=headers)


def _table(report: Report) -> Iterator[list[Any]]:
    figures, named = report.figures, report.show.startswith("client")
    heads = [report.title, *([_("Client")] if named else []), *[str(figure.name) for figure in figures]]
    yield heads + [str(day) for day in report.days] + _week_heads(report)
    for place, line in enumerate(report.lines):
        row: list[Any] = [line.name, *([line.about] if named else []), *map(_written, cells(line, figures))]
        row += [day.total for day in line.days]
        yield row + [getattr(day[place], what) for what in ("incoming", "missed") for day in report.week]


def _week_heads(report: Report) -> list[str]:
    days = weekdays() if report.week else []
    return [f"{day}, {what}" for what in (_("Incoming"), _("Missed")) for day in days]


def _written(cell: Cell) -> Any:
    return timedelta(seconds=cell.value) if cell.unit == "time" and cell.value is not None else cell.value


portal.in_menu("reports", TITLE, "bar_chart", group="", order=7)
