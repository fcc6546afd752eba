"""Calls that are to be made: planned one by one, from a list or after a missed call, and worked off.

What is planned is done by a conversation with its number since then, whoever began it, or closed by hand. That is asked
when somebody looks, so a call that is corrected or joined with another later counts as what it turned out to be. After
a day it is written down, so that a look costs what is open and not what was ever planned.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from clients import book
from clients.models import Client
from employees import phones
from employees.models import Company, Employee, User

from .fold import CallState, Source
from .hot import hot_write
from .missed import TALKED, Attempt, attempts
from .models import Call, PlannedCall
from .providers.base import Direction

PAGE = 50
MOST_LINES = 500
MOST_WORDS = 500
MOST_LINE = 600
SHOWN = timedelta(days=30)
"""What was done so long ago is not shown any more."""
SURE = timedelta(days=1)
"""After so long a conversation is written down: what its PBX's history corrects is corrected by then."""
BATCH = 500
HELD, RENEWED = timedelta(minutes=5), timedelta(minutes=4)
"""A number is kept so long for whoever calls it, and anew while he looks at it, when less than the second is left."""
AT_ONCE = 20
"""Of the next ones, how many are looked at for one that nobody else has taken meanwhile."""
MORNING = time(9)
_SHORTENED = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)
"""7,92611E+10: what a CSV has of a number that was too wide for its column."""


# --- A list -----------------------------------------------------------------------------------------------------------


class Wish(NamedTuple):
    """A number to be called, and what about."""

    phone: str
    words: str = ""


class Wrong(NamedTuple):
    """A line that was not understood."""

    line: int
    text: str
    why: str


@dataclass
class Listed:
    """What was understood of a list: each number once."""

    wishes: list[Wish] = field(default_factory=list)
    wrong: list[Wrong] = field(default_factory=list)
    repeated: int = 0
    """Lines with a number that an earlier line has; their words are joined with its."""


def understand(text: str, region: str) -> Listed:
    """A number in each line, then `;`, `,` or a tab, and words. Raises `ValidationError` where there are too many."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > MOST_LINES:
        raise ValidationError(
            _("The list has %(count)d lines, and at most %(most)d are taken at once. Divide it.")
            % {"count": len(lines), "most": MOST_LINES}
        )
    listed = Listed()
    found: dict[str, str] = {}
    for number, line in lines:
        try:
            wish = _wish(line, region)
        except ValidationError as error:
            listed.wrong.append(Wrong(number, line, " ".join(error.messages)))
            continue
        listed.repeated += wish.phone in found
        found[wish.phone] = joined(found.get(wish.phone, ""), wish.words)
    listed.wishes = [Wish(phone, words) for phone, words in found.items()]
    return listed


def _wish(line: str, region: str) -> Wish:
    if len(line) > MOST_LINE:
        raise ValidationError(_("The line is longer than %(most)d characters.") % {"most": MOST_LINE})
    separator = next((letter for letter in line if letter in ";,\t"), ";")
    number, *rest = next(csv.reader([line], delimiter=separator))
    words = f"{separator.strip()} ".join(part.strip() for part in rest if part.strip())
    if len(words) > MOST_WORDS:
        raise ValidationError(_("The words have at most %(most)d characters.") % {"most": MOST_WORDS})
    if number.startswith("="):
        raise ValidationError(_("A formula without its value. Save the file in Excel, and choose it again."))
    if _SHORTENED.fullmatch(number.strip()):
        raise ValidationError(_("Excel has shortened this number. Make the column's format text, and enter it again."))
    return Wish(phones.required(number.strip(), region), words)


def joined(old: str, new: str) -> str:
    """Both words, where the new ones say something new and fit."""
    both = "; ".join(filter(None, (old, new)))
    return old if new in old or len(both) > MOST_WORDS else both


# --- Planning ---------------------------------------------------------------------------------------------------------


class Planned(NamedTuple):
    new: int
    merged: int
    """Numbers that stood among the open ones already."""


def plan(
    company: Company,
    wishes: Iterable[Wish],
    *,
    by: User | None,
    origin: str = PlannedCall.Origin.HAND,
    due_at: datetime | None = None,
    employee: Employee | None = None,
) -> Planned:
    """Each number once: one that is open already gets the new words, and the earlier time."""
    wanted = {wish.phone: wish.words for wish in wishes}
    with hot_write():
        # Who plans at the same time waits here, so that no number comes in twice; calls that come do not.
        Company.objects.select_for_update(no_key=True).get(pk=company.pk)
        known = {row.phone: row for row in still_open(company).filter(phone__in=wanted)}
        for phone, row in known.items():
            row.words = joined(row.words, wanted[phone])
            row.due_at = min(row.due_at, due_at) if row.due_at and due_at else None
        PlannedCall.objects.bulk_update(known.values(), ["words", "due_at"])
        made = PlannedCall.objects.bulk_create(
            PlannedCall(
                company=company,
                phone=phone,
                words=words,
                due_at=due_at,
                employee=employee,
                origin=origin,
                made_by=by,
            )
            for phone, words in wanted.items()
            if phone not in known
        )
    return Planned(len(made), len(known))


def close(row: PlannedCall, by: User | None, note: str) -> None:
    row.done_at, row.done_by, row.note, row.taken_by = timezone.now(), by, note, None
    row.save(update_fields=["done_at", "done_by", "note", "taken_by"])


def reopen(row: PlannedCall) -> None:
    row.done_at, row.done_by, row.note = None, None, ""
    row.save(update_fields=["done_at", "done_by", "note"])


def put_off(row: PlannedCall, due_at: datetime) -> None:
    row.due_at, row.taken_by = due_at, None
    row.save(update_fields=["due_at", "taken_by"])


def later(when: str) -> datetime | None:
    """In an hour, tomorrow or in a week, in the morning; None where it is something else."""
    days = {"tomorrow": 1, "week": 7}.get(when)
    if days:
        return timezone.make_aware(datetime.combine(timezone.localdate() + timedelta(days=days), MORNING))
    return timezone.now() + timedelta(hours=1) if when == "hour" else None


# --- What is open, and what is done -----------------------------------------------------------------------------------


def _conversations() -> QuerySet[Call]:
    """As a subquery: conversations that are over with the number of a planned call since then, the first one first."""
    calls = Call.objects.filter(
        TALKED,
        company=OuterRef("company"),
        client_phone=OuterRef("phone"),
        started_at__gte=OuterRef("made_at"),
        state=CallState.FINISHED,
        direction__in=(Direction.IN, Direction.OUT),
    )
    return calls.exclude(source=Source.TRIAL).order_by("started_at", "pk")


def still_open(company: Company) -> QuerySet[PlannedCall]:
    return PlannedCall.objects.filter(~Exists(_conversations()), company=company, done_at=None)


def queue(company: Company, own: QuerySet[Employee]) -> QuerySet[PlannedCall]:
    """What is open as it is worked off: mine and anybody's first, then whose time has come, then what has no time."""
    others = Case(When(_for(own), then=0), default=1)
    turn = Case(When(due_at__lte=timezone.now(), then=0), When(due_at=None, then=1), default=2)
    return still_open(company).annotate(others=others, turn=turn).order_by("others", "turn", "due_at", "pk")


def waiting(company: Company, own: QuerySet[Employee]) -> QuerySet[PlannedCall]:
    """Of these what is mine or anybody's."""
    return queue(company, own).filter(_for(own))


def ready(company: Company, own: QuerySet[Employee]) -> QuerySet[PlannedCall]:
    """Of these what may be called now."""
    return waiting(company, own).filter(Q(due_at=None) | Q(due_at__lte=timezone.now()))


def free(company: Company, own: QuerySet[Employee], user: User) -> QuerySet[PlannedCall]:
    """Of these what nobody else is calling, and with whose number no call goes on."""
    going_on = Call.objects.filter(company=OuterRef("company"), client_phone=OuterRef("phone"))
    return ready(company, own).filter(_free_for(user), ~Exists(going_on.exclude(state=CallState.FINISHED)))


def _for(own: QuerySet[Employee]) -> Q:
    return Q(employee=None) | Q(employee__in=own)


def done(company: Company) -> QuerySet[PlannedCall]:
    """What was done of late, the last one first."""
    since = timezone.now() - SHOWN
    talked = Q(done_at=None) & Exists(_conversations().filter(started_at__gte=since))
    rows = PlannedCall.objects.filter(Q(done_at__gte=since) | talked, company=company)
    over = Coalesce("done_at", Subquery(_conversations().values("started_at")[:1]))
    return rows.order_by(over.desc(), "-pk")


def settle() -> None:
    """Write down which conversations did what was planned, a batch at a time."""
    before = timezone.now() - SURE
    first = _conversations().values
    rows = PlannedCall.objects.filter(done_at=None).annotate(
        talk_id=Subquery(first("pk")[:1]), talked_at=Subquery(first("started_at")[:1])
    )
    for row in rows.filter(talked_at__lt=before)[:BATCH]:
        with hot_write():
            PlannedCall.objects.filter(pk=row.pk, done_at=None).update(call=row.talk_id, done_at=row.talked_at)


# --- Whose turn it is -------------------------------------------------------------------------------------------------


def take_next(company: Company, own: QuerySet[Employee], user: User, skipped: int) -> PlannedCall | None:
    """The next one after `skipped` of those that are free; it is this person's now."""
    rows = free(company, own, user)[skipped : skipped + AT_ONCE]
    return next((row for row in rows if take(row, user)), None)


def take(row: PlannedCall, user: User) -> bool:
    """Nobody else is to call the number for a while; False where somebody else has taken it. A person has one at a
    time. What is taken already is only taken anew when the time is nearly up."""
    now = timezone.now()
    if row.done_at or (row.caller == user and row.taken_until and row.taken_until > now + RENEWED):
        return True
    # One statement, so that of two who ask at the same moment one is refused.
    open_ = PlannedCall.objects.filter(_free_for(user), pk=row.pk, done_at=None)
    if not open_.update(taken_by=user, taken_until=now + HELD):
        row.refresh_from_db()
        return False
    row.taken_by, row.taken_until = user, now + HELD
    _held(row.company_id, user).exclude(pk=row.pk).update(taken_by=None)
    return True


def give_back(row: PlannedCall, user: User) -> None:
    _held(row.company_id, user).filter(pk=row.pk).update(taken_by=None)


def _held(company_id: int, user: User) -> QuerySet[PlannedCall]:
    return PlannedCall.objects.filter(company=company_id, done_at=None, taken_by=user)


def _free_for(user: User) -> Q:
    return Q(taken_by=None) | Q(taken_by=user) | Q(taken_until__lte=timezone.now())


# --- Rows -------------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """A planned call with what is known of its number. `talk` is the conversation that did it."""

    plan: PlannedCall
    client: Client | None = None
    last: Call | None = None
    talk: Call | None = None
    attempts: list[Attempt] = field(default_factory=list)
    """Calls since then that the client did not take, the newest first."""

    @property
    def overdue(self) -> bool:
        return bool(self.plan.due_at and self.plan.due_at <= timezone.now())

    @property
    def live(self) -> bool:
        """Whether a call with the number goes on."""
        return bool(self.last and not self.last.finished)


@dataclass
class Page:
    rows: list[Row]
    number: int
    more: bool


def page(plans: QuerySet[PlannedCall], number: int) -> Page:
    found = list(with_people(plans)[(number - 1) * PAGE : number * PAGE + 1])
    return Page(rows(found[:PAGE]), number, more=len(found) > PAGE)


def with_people(plans: QuerySet[PlannedCall]) -> QuerySet[PlannedCall]:
    return plans.select_related("company", "employee", "made_by", "done_by", "taken_by")


def rows(plans: Collection[PlannedCall]) -> list[Row]:
    """With what is known of their numbers; the number of questions does not depend on the rows."""
    made = [Row(plan) for plan in plans]
    if made:
        _attach_clients(made)
        _attach_calls(made)
        _attach_attempts(made)
    return made


def _attach_clients(rows: list[Row]) -> None:
    names = book.known(rows[0].plan.company_id, {row.plan.phone for row in rows})
    for row in rows:
        row.client = names.get(row.plan.phone)


def _attach_calls(rows: list[Row]) -> None:
    """The last call with each number, and the conversation that did it."""
    of_number = Call.objects.filter(company=OuterRef("company"), client_phone=OuterRef("phone"))
    last = of_number.exclude(source=Source.TRIAL).order_by("-started_at", "-pk")
    talk = _conversations()
    plans = PlannedCall.objects.filter(pk__in=[row.plan.pk for row in rows])
    found = {
        pk: (last_id, talk_id)
        for pk, last_id, talk_id in plans.values_list(
            "pk", Subquery(last.values("pk")[:1]), Subquery(talk.values("pk")[:1])
        )
    }
    written = {row.plan.call_id for row in rows}
    calls = Call.objects.select_related("employee").in_bulk({pk for ids in found.values() for pk in ids} | written)
    for row in rows:
        last_id, talk_id = found[row.plan.pk]
        row.last = calls.get(last_id)
        row.talk = calls.get(row.plan.call_id if row.plan.done_at else talk_id)


def _attach_attempts(rows: list[Row]) -> None:
    since = min(row.plan.made_at for row in rows)
    tried = attempts(rows[0].plan.company, {row.plan.phone for row in rows}, since)
    for row in rows:
        end = row.plan.done_at or (row.talk.started_at if row.talk else timezone.now())
        row.attempts = [each for each in tried.get(row.plan.phone, ()) if row.plan.made_at < each.at < end]
