"""The journal of calls: filters, search and pages. Pages follow each other by time, so nothing is ever counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from clients import book
from clients.models import Client, ClientPhone
from employees import phones
from employees.models import Company, Employee

from .fold import CallState
from .models import DIRECTIONS, OUTCOMES, Call, Connection, Participant, Recording, VirtualNumber

PAGE = 50
WHOLE = 10
"""Fewer digits are looked for as a part of a number."""
MOST_DIGITS = 4
"""So many may be looked for in names by whom numbers are hidden from."""
LIVE = timedelta(days=1)
"""Calls that are not over are looked for among those that began within this time."""
PERIODS = [
    ("", _("all time")),
    ("today", _("today")),
    ("yesterday", _("yesterday")),
    ("week", _("7 days")),
    ("month", _("30 days")),
]
RECORDED = [("", _("any")), ("yes", _("with a recording")), ("no", _("without"))]


class DayInput(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class JournalFilter(forms.Form):
    """What the journal can be narrowed to; each choice is one of the company's own."""

    q = forms.CharField(label=_("Number or name"), required=False, widget=forms.TextInput(attrs={"type": "search"}))
    period = forms.ChoiceField(label=_("Period"), choices=PERIODS, required=False)
    since = forms.DateField(label=_("From"), required=False, widget=DayInput)
    until = forms.DateField(label=_("To"), required=False, widget=DayInput)
    direction = forms.ChoiceField(label=_("Direction"), choices=[("", _("any")), *DIRECTIONS], required=False)
    outcome = forms.ChoiceField(label=_("Outcome"), choices=[("", _("any")), *OUTCOMES], required=False)
    employee = forms.ModelChoiceField(
        label=_("Employee"),
        queryset=Employee.objects.none(),
        required=False,
        empty_label=_("any"),
        to_field_name="uuid",
    )
    connection = forms.ModelChoiceField(
        label=_("PBX connection"),
        queryset=Connection.objects.none(),
        required=False,
        empty_label=_("any"),
        to_field_name="uuid",
    )
    line = forms.ChoiceField(label=_("Line"), choices=(), required=False)
    recording = forms.ChoiceField(label=_("Recording"), choices=RECORDED, required=False)

    def __init__(self, company: Company, data: Any):
        super().__init__(data)
        self.company = company
        self.fields["employee"].queryset = Employee.objects.filter(company=company)  # type: ignore[attr-defined]
        self.fields["connection"].queryset = Connection.objects.filter(company=company)  # type: ignore[attr-defined]
        self.fields["line"].choices = lines(company)  # type: ignore[attr-defined]

    def calls(self) -> QuerySet[Call]:
        """The calls asked for; a filter that makes no sense narrows nothing."""
        self.is_valid()
        chosen = {name: value for name, value in self.cleaned_data.items() if value}
        calls = Call.objects.filter(company=self.company)
        same = {name: name for name in ("direction", "outcome", "employee", "connection")} | {"line": "virtual_number"}
        calls = calls.filter(**{column: chosen[name] for name, column in same.items() if name in chosen})
        calls = calls.filter(within(*days(chosen)))
        if "recording" in chosen:
            stored = Recording.objects.filter(call=OuterRef("pk"), state=Recording.State.STORED)
            calls = calls.filter(Exists(stored) if chosen["recording"] == "yes" else ~Exists(stored))
        return calls.filter(search(self.company, chosen["q"])) if "q" in chosen else calls

    @property
    def narrowed(self) -> bool:
        return any(self.data.get(name) for name in self.fields)


def lines(company: Company) -> list[tuple[str, Any]]:
    """The company's lines, for a field to choose one."""
    rows = VirtualNumber.objects.filter(company=company).values_list("number", "line_name").distinct()
    choices = {number: name or phones.pretty(number) for number, name in rows}
    return [("", _("any")), *sorted(choices.items())]


def days(chosen: dict[str, Any]) -> tuple[date | None, date | None]:
    """The first and the last day asked for: the two dates, else the period. Days are the company's (the zone that is
    active)."""
    since, until = chosen.get("since"), chosen.get("until")
    ago = {"today": (0, 0), "yesterday": (1, 1), "week": (6, 0), "month": (29, 0)}.get(chosen.get("period", ""))
    if since or until or not ago:
        return since, until
    today = timezone.localdate()
    return today - timedelta(days=ago[0]), today - timedelta(days=ago[1])


def within(since: date | None, until: date | None) -> Q:
    """Calls that began on these days or between them."""
    found = Q()
    if since:
        found &= Q(started_at__gte=midnight(since))
    if until:
        found &= Q(started_at__lt=midnight(until + timedelta(days=1)))
    return found


def midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def search(company: Company, text: str) -> Q:
    """Calls with a number in any spelling, with an extension, or with a client of this name."""
    text = text.strip()
    number = phones.normalise(text, company.region)
    digits = "".join(letter for letter in text if letter.isdigit())
    if phones.is_phone(number) and len(digits) >= WHOLE:
        return Q(client_phone=number) | Q(virtual_number=number)
    if digits and not any(letter.isalpha() for letter in text):
        took_part = Participant.objects.filter(call=OuterRef("pk"), extension=digits)
        had_it = Q(extension=digits) | Q(Exists(took_part))
        # From whom numbers are hidden, he must not try them out digit by digit.
        return had_it if phones.hidden() else had_it | Q(client_phone__contains=digits)
    # SQLite compares capitals of Latin letters alone, so the usual spellings are tried.
    if phones.hidden() and len(digits) > MOST_DIGITS:
        return Q(pk=None)  # nor in names, which often hold them
    spellings = {text, text.lower(), text.capitalize(), text.title(), text.upper()}
    named = Q()
    for spelling in spellings:
        named |= Q(name__icontains=spelling) | Q(organisation__icontains=spelling)
    clients = Client.objects.filter(named, company=company)
    numbers = ClientPhone.objects.filter(company=company, client__in=clients).values("phone")
    return Q(client__in=clients.values("pk")) | Q(client_phone__in=numbers)


# --- Pages ------------------------------------------------------------------------------------------------------------


@dataclass
class Page:
    """One page: the live calls (on the first one only), then those that are over, newest first."""

    live: list[Call] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    first: bool = True
    older: str = ""
    newer: str = ""


def page(calls: QuerySet[Call], before: str = "", after: str = "") -> Page:
    """The page before or after a mark (see `mark`), else the first one."""
    calls = calls.select_related("connection", "employee", "client").prefetch_related(
        "participants__employee", "recordings"
    )
    over = calls.filter(state=CallState.FINISHED)
    found = Page(first=not before and not after)
    if after and (place := place_of(after)):
        rows = list(over.filter(beside(place, newer=True)).order_by("started_at", "id")[: PAGE + 1])
        more, rows = len(rows) > PAGE, rows[:PAGE][::-1]
        if not more:
            return page(calls)
        found.newer, found.older = mark(rows[0]), mark(rows[-1])
    else:
        place = place_of(before)
        older = over.filter(beside(place, newer=False)) if place else over
        rows = list(older.order_by("-started_at", "-id")[: PAGE + 1])
        found.older = mark(rows[PAGE - 1]) if len(rows) > PAGE else ""
        rows = rows[:PAGE]
        found.newer = mark(rows[0]) if place and rows else ""
    found.calls = rows
    if found.first:
        fresh = calls.exclude(state=CallState.FINISHED).filter(started_at__gte=timezone.now() - LIVE)
        found.live = list(fresh.order_by("-started_at", "-id")[:PAGE])
    attach_clients(found.live + found.calls)
    for call in found.live + found.calls:
        call.people = list(call.participants.all())
        call.audio = [row for row in call.recordings.all() if row.state != Recording.State.ABSENT]
    return found


def mark(call: Call) -> str:
    """A call's place in the journal, as it stands in an address."""
    return f"{round(call.started_at.timestamp() * 1_000_000)}-{call.pk}"


def place_of(text: str) -> tuple[datetime, int] | None:
    """What `mark` wrote; None where it says nothing."""
    try:
        micros, pk = (int(part) for part in text.split("-"))
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros), pk
    except (ValueError, OverflowError):
        return None


def beside(place: tuple[datetime, int], *, newer: bool) -> Q:
    at, pk = place
    if newer:  # the first condition is what an index can look for
        return Q(started_at__gte=at) & (Q(started_at__gt=at) | Q(pk__gt=pk))
    return Q(started_at__lte=at) & (Q(started_at__lt=at) | Q(pk__lt=pk))


def in_batches(calls: QuerySet[Call], size: int) -> Iterator[list[Call]]:
    """All of them, the newest first: memory does not grow with their number."""
    calls = calls.order_by("-started_at", "-id")
    batch = list(calls[:size])
    while batch:
        yield batch
        last = batch[-1]
        batch = list(calls.filter(beside((last.started_at, last.pk), newer=False))[:size])


def attach_clients(calls: Iterable[Call]) -> None:
    """`who`: the client, from the book where the call itself has no client. One question for all."""
    calls = list(calls)
    nameless = {call.client_phone for call in calls if not call.client_id and call.client_phone}
    names = book.known(calls[0].company_id, nameless) if nameless else {}
    for call in calls:
        call.who = call.client or names.get(call.client_phone)  # type: ignore[attr-defined]


def named(call: Call) -> Client | None:
    """The client of a call as the book knows him."""
    rows = ClientPhone.objects.filter(company=call.company_id, phone=call.client_phone).select_related("client")
    found = rows.exclude(client__name="").order_by("-client__seen_at").first() if call.client_phone else None
    return found.client if found else None
