"""Missed calls by the number of the client: whom we still owe a call, who was called back, what was closed by hand.

The missed calls of a number up to the next conversation with it are one row, shown by the last of them. So what comes
next after that call says where the row stands: nothing yet, or a conversation, whoever began it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django import forms
from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from employees.models import Company, EmployeePhone, User

from . import hours, journal
from .coverage import zone_of
from .fold import CallState, Source
from .hot import Constant
from .hours import Hours
from .models import Call, MissedNote, VirtualNumber
from .providers.base import Direction

PAGE = 50
SHOWN = ("connection", "client", "employee", "missed_note__by")
"""What is shown of a call, to be read with it."""
OPEN, BACK, CLOSED = "open", "back", "closed"
STANDINGS = [(OPEN, _("Not called back")), (BACK, _("Called back")), (CLOSED, _("Closed by hand"))]
# Constants, so that both databases see the partial index.
UNANSWERED = Q(direction=Constant(Direction.IN), state=Constant(CallState.FINISHED), answered_at=None)
TALKED = Q(answered_at__isnull=False)


def missed(company: Company) -> QuerySet[Call]:
    """Incoming calls that nobody took. A hidden number cannot be called back, and employees' own phones are private."""
    private = EmployeePhone.objects.filter(company=company).values("phone")
    calls = Call.objects.filter(UNANSWERED, company=company).exclude(source=Source.TRIAL)
    return calls.exclude(client_phone="").exclude(client_phone__in=private)


def following(company: Company) -> QuerySet[Call]:
    """As a subquery: later calls with the number of a call, the next one first."""
    later = Call.objects.filter(
        company=company, client_phone=OuterRef("client_phone"), started_at__gte=OuterRef("started_at")
    )
    later = later.exclude(source=Source.TRIAL)
    return later.filter(Q(started_at__gt=OuterRef("started_at")) | Q(pk__gt=OuterRef("pk"))).order_by(
        "started_at", "pk"
    )


def conversations(company: Company) -> QuerySet[Call]:
    """As a subquery: conversations with the number of a call after it, the next one first."""
    return following(company).filter(TALKED)


class MissedFilter(forms.Form):
    """Which missed calls are asked for; what makes no sense is as if it were not asked."""

    q = forms.CharField(label=_("Number or name"), required=False, widget=forms.TextInput(attrs={"type": "search"}))
    period = forms.ChoiceField(label=_("Period"), choices=journal.PERIODS[1:], required=False)
    line = forms.ChoiceField(label=_("Line"), choices=(), required=False)
    show = forms.ChoiceField(choices=STANDINGS, required=False, widget=forms.HiddenInput)

    def __init__(self, company: Company, data: Any):
        super().__init__({"period": "week", "show": OPEN} | {name: value for name, value in data.items() if value})
        self.company = company
        self.fields["line"].choices = journal.lines(company)  # type: ignore[attr-defined]
        self.is_valid()

    @property
    def standing(self) -> str:
        return self.cleaned_data.get("show") or OPEN

    @property
    def narrowed(self) -> bool:
        return any(self.cleaned_data.get(name) for name in ("q", "line"))

    def calls(self) -> QuerySet[Call]:
        """The last missed call of each row."""
        chosen = {"period": "week"} | {name: value for name, value in self.cleaned_data.items() if value}
        calls = missed(self.company).filter(journal.within(*journal.days(chosen)))
        if "line" in chosen:
            calls = calls.filter(virtual_number=chosen["line"])
        if "q" in chosen:
            calls = calls.filter(journal.search(self.company, chosen["q"]))
        return of_standing(calls, self.company, self.standing)


def of_standing(calls: QuerySet[Call], company: Company, standing: str) -> QuerySet[Call]:
    """Those of these missed calls after which nothing came, or with `answer_id`: a conversation."""
    after = following(company).filter(TALKED | UNANSWERED)
    if standing == BACK:
        talked = calls.annotate(talked_at=Subquery(after.values("answered_at")[:1])).filter(talked_at__isnull=False)
        return talked.annotate(answer_id=Subquery(after.values("pk")[:1]))
    return calls.filter(~Exists(after), missed_note__isnull=standing == OPEN)


# --- Rows -------------------------------------------------------------------------------------------------------------


class Attempt(NamedTuple):
    """An outgoing call that was not answered, and whose it was."""

    at: datetime
    who: str


@dataclass
class Row:
    """A client's number. `call` is his last missed call, `answer` the conversation after it, if there was one."""

    call: Call
    times: int = 1
    since: datetime | None = None
    """When the first of these calls was missed."""
    answer: Call | None = None
    attempts: list[Attempt] = field(default_factory=list)
    """Calls to him since then that he did not take, the newest first."""

    off_hours: bool = False
    """Whether the last of them came outside the line's working hours."""

    @property
    def after(self) -> int:
        """Seconds until somebody talked with him."""
        return round((self.answer.started_at - self.call.started_at).total_seconds()) if self.answer else 0


@dataclass
class Page:
    rows: list[Row]
    first: bool
    older: str = ""


def page(asked: MissedFilter, before: str = "") -> Page:
    """The newest rows, or those before a mark. The number of questions does not depend on the rows."""
    calls = asked.calls().select_related(*SHOWN)
    place = journal.place_of(before)
    if place:
        calls = calls.filter(journal.beside(place, newer=False))
    found = list(calls.order_by("-started_at", "-id")[: PAGE + 1])
    shown = found[:PAGE]
    rows = rows_of(asked.company, shown)
    return Page(rows, first=not place, older=journal.mark(shown[-1]) if len(found) > PAGE else "")


def rows_of(company: Company, calls: list[Call]) -> list[Row]:
    """The rows of these last missed calls (`MissedFilter.calls`, with what is `SHOWN`)."""
    journal.attach_clients(calls)
    rows = [Row(call) for call in calls]
    if rows:
        _attach_answers(rows)
        _attach_times(company, rows)
        _attach_attempts(company, rows)
        _attach_hours(company, rows)
    return rows


def _attach_answers(rows: list[Row]) -> None:
    wanted = {row.call.pk: getattr(row.call, "answer_id", None) for row in rows}
    found = Call.objects.select_related("employee").in_bulk([pk for pk in wanted.values() if pk])
    for row in rows:
        row.answer = found.get(wanted[row.call.pk])


def _attach_times(company: Company, rows: list[Row]) -> None:
    """How often a number was missed until the same conversation came (or none did)."""
    calls = missed(company).filter(client_phone__in={row.call.client_phone for row in rows})
    calls = calls.annotate(next=Subquery(conversations(company).values("pk")[:1]))
    groups = calls.values_list("client_phone", "next").annotate(Count("pk"), Min("started_at")).order_by()
    counted = {(phone, answer): (times, first) for phone, answer, times, first in groups}
    for row in rows:
        place = row.call.client_phone, row.answer.pk if row.answer else None
        row.times, row.since = counted.get(place, (1, row.call.started_at))


def attempts(company: Company, phones: Collection[str], since: datetime) -> dict[str, list[Attempt]]:
    """Calls to each of these numbers that were not answered, the newest first; one question for all."""
    calls = Call.objects.filter(
        company=company,
        direction=Direction.OUT,
        state=CallState.FINISHED,
        answered_at=None,
        client_phone__in=phones,
        started_at__gt=since,
    )
    tried: defaultdict[str, list[Attempt]] = defaultdict(list)
    asked = calls.values_list("client_phone", "started_at", "employee__name", "extension")
    for phone, at, name, extension in asked.order_by("-started_at", "-id"):
        tried[phone].append(Attempt(at, name or extension))
    return tried


def _attach_attempts(company: Company, rows: list[Row]) -> None:
    since = min(row.call.started_at for row in rows)
    tried = attempts(company, {row.call.client_phone for row in rows}, since)
    for row in rows:
        end = row.answer.started_at if row.answer else timezone.now()
        row.attempts = [each for each in tried.get(row.call.client_phone, ()) if row.call.started_at < each.at < end]


def _attach_hours(company: Company, rows: list[Row]) -> None:
    known = lines_with_hours(company)
    zone = zone_of(company)
    for row in rows:
        line = known.get(row.call.virtual_number)
        row.off_hours = line is not None and not line.are_now(row.call.started_at, zone)


def lines_with_hours(company: Company) -> dict[str, Hours]:
    """The working hours of the company's numbers, where they are known. (A number of two connections has one row's.)"""
    rows = VirtualNumber.objects.filter(company=company).exclude(hours="").values_list("number", "hours")
    return {number: found for number, text in rows if (found := hours.read(text))}


# --- By hand ----------------------------------------------------------------------------------------------------------


def close(call: Call, by: User | None, words: str) -> None:
    """`by`: nobody, where a program does it."""
    MissedNote.objects.update_or_create(call=call, defaults={"by": by, "words": words, "at": timezone.now()})


def reopen(call: Call) -> None:
    MissedNote.objects.filter(call=call).delete()
