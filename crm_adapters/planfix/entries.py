"""Planfix's data tags «Звонок» and «Пропущенный звонок»: what they must look like, an entry, and an entry found again.

Planfix makes them when telephony is switched on first, and fills them by position and type: the order is law (document
"Виртуальные АТС", structure of the data tags). In accounts of another language they are known by their fields.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext_noop as _

from crm_adapters.base import CallFacts, Doubtful, Job
from outbound.errors import Rejected

from . import failures, legs, people, rest
from .rest import Account

STRING, NUMBER, DATE, DATE_TIME, PERIOD, LIST, CONTACT, ANYBODY = 0, 1, 3, 5, 6, 8, 10, 13
CALL, MISSED = "call", "missed"
NAMES = {CALL: "Звонок", MISSED: "Пропущенный звонок"}
FIELDS = {
    CALL: (DATE, PERIOD, LIST, NUMBER, ANYBODY, ANYBODY, STRING, STRING, STRING),
    MISSED: (DATE_TIME, LIST, CONTACT, STRING, STRING, STRING),
}
"""Types of the fields that are Planfix's own, in their order; a customer's own fields stand below."""
TITLES = {
    CALL: (
        *("Дата", "Время", "Тип", "Продолжительность (сек.)", "Сотрудник", "Контакт"),
        *("Внешняя линия", "Номер контакта", "Название внешней линии"),
    ),
    MISSED: ("Дата и время", "Тип", "Контакт", "Внешняя линия", "Номер контакта", "Название внешней линии"),
}
"""What they are called in Russian, where they cannot be renamed: three of one kind may have changed their places."""
KNOWN_FOR = 600.0
"""Seconds for which a definition is believed: it is a customer's doing by hand, and costs two requests."""
_BY_STRING = 3108
_MOST_UNNAMED = 6
_MOST_PAGES = 2


@dataclass(frozen=True, slots=True)
class Field:
    id: int
    name: str
    type: int
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tag:
    """A data tag's definition."""

    id: int
    name: str
    fields: tuple[Field, ...]

    def fits(self, kind: str) -> bool:
        """Whether its first fields are those of `kind`, in their order."""
        return tuple(field.type for field in self.fields[: len(FIELDS[kind])]) == FIELDS[kind]

    def named(self, name: str) -> Field | None:
        """The customer's own String field of this name."""
        return next((field for field in self.fields if field.name == name and field.type == STRING), None)


def kind_of(facts: CallFacts) -> str:
    """A failed outgoing call is a missed one of the type «Исходящий»."""
    return CALL if facts.outcome == "answered" else MISSED


# --- Definitions ------------------------------------------------------------------------------------------------------

_known: dict[tuple[str, str], tuple[float, Tag]] = {}
_lock = threading.Lock()


def tag_of(account: Account, kind: str) -> Tag:
    """The definition of a data tag. Raises `Rejected` where there is none that can be filled in."""
    with _lock:
        until, tag = _known.get((account.base, kind), (0.0, None))
    if tag is None or until < time.monotonic():
        tag = definitions(account, (kind,)).get(kind)
        if tag is None or not tag.fits(kind):
            raise Rejected(_("Planfix's data tag for calls is not there, or has other fields"), code=failures.DATA_TAG)
        with _lock:
            _known[account.base, kind] = (time.monotonic() + KNOWN_FOR, tag)
    return tag


def forget(account: Account) -> None:
    """Somebody looks at the definitions by hand: they may have been mended."""
    with _lock:
        for kind in NAMES:
            _known.pop((account.base, kind), None)


def definitions(account: Account, kinds: Sequence[str] = (CALL, MISSED)) -> dict[str, Tag]:
    """The data tags that are there, whether they can be filled in or not: by name, else by their fields."""
    rows = list(account.pages("datatag/list", "dataTags", {"fields": "id,name,group"}))
    named = {kind: row for kind in kinds for row in rows if row.get("name") == NAMES[kind]}
    found = {kind: _definition(account, row) for kind, row in named.items()}
    if len(found) < len(kinds):
        for row in rows[:_MOST_UNNAMED]:
            tag = _definition(account, row)
            for kind in set(kinds) - found.keys():
                if tag.fits(kind):
                    found[kind] = tag
    return found


def _definition(account: Account, row: Mapping[str, Any]) -> Tag:
    told = account.get(f"datatag/{rest.number_of(row)}", "id,name,group,fields").get("dataTag")
    fields = rest.rows_of(told, "fields") if isinstance(told, dict) else []
    return Tag(rest.number_of(row), str(row.get("name") or ""), tuple(_field(each) for each in fields))


def _field(row: Mapping[str, Any]) -> Field:
    kind = row.get("type")
    labels = row.get("enumValues")
    return Field(
        id=rest.number_of(row),
        name=str(row.get("name") or ""),
        type=kind if isinstance(kind, int) else -1,
        labels=tuple(str(each) for each in labels) if isinstance(labels, list) else (),
    )


# --- An entry ---------------------------------------------------------------------------------------------------------


def write(account: Account, job: Job, contact: int) -> tuple[int, int]:
    """A new entry, in a new comment of the contact: the entry's key, the comment's id. (Missed calls stand in the
    contact's card always, and so does what was never told to the telephony.)"""
    tag = tag_of(account, kind_of(job.facts))
    values = [
        {"field": {"id": field.id}, "value": value}
        for field, value in zip(tag.fields, _values(job, tag, contact), strict=False)
        if value is not None
    ]
    values += _own(job, tag)
    made = account.change(
        f"contact/{contact}/datatags/", {"dataTag": {"id": tag.id}, "items": [{"customFieldData": values}]}
    )
    keys = made.get("keys")
    return rest.number_of(keys[0]) if isinstance(keys, list) and keys else 0, rest.number_of(made.get("commentId", 0))


def _values(job: Job, tag: Tag, contact: int) -> list[Any]:
    """The values of Planfix's own fields, in their order. Those of the types 5, 10 and 13 are inferred from others."""
    facts = job.facts
    direction = 1 if people.outgoing(facts) else 0
    client, line = f"contact:{contact}", people.digits(facts.virtual_number) or None
    phone, name = people.digits(facts.client_phone), facts.line_name or None
    zone = zone_of(job)
    if kind_of(facts) == MISSED:
        return [
            {"datetime": f"{facts.started_at.astimezone(zone):%d-%m-%Y %H:%M}"},
            _label(tag.fields[1], direction),
            {"id": client},
            line,
            phone,
            name,
        ]
    began = talk_began(facts).astimezone(zone)
    user = people.user(job)
    return [
        {"date": f"{began:%d-%m-%Y}"},
        {
            "from": {"time": f"{began:%H:%M}"},
            "to": {"time": f"{began + timedelta(seconds=facts.talk_seconds):%H:%M}"},
        },
        _label(tag.fields[2], direction),
        facts.talk_seconds,
        {"id": rest.prefixed(user)} if user else None,
        {"id": client},
        line,
        phone,
        name,
    ]


def talk_began(facts: CallFacts) -> datetime:
    """When the conversation began."""
    first = next(iter(people.talkers(facts)), None)
    return (first and first.answered_at) or facts.started_at + timedelta(seconds=facts.wait_seconds)


def zone_of(job: Job) -> tzinfo:
    """The zone in which times are written: that of the token's user in Planfix (inferred), as the settings have it."""
    name = str(job.settings.get("time_zone") or "")
    return ZoneInfo(name) if name else UTC


def _label(field: Field, direction: int) -> str:
    """A value of the list «Тип», by its place: incoming, outgoing."""
    known = field.labels or ("Входящий", "Исходящий")
    return known[min(direction, len(known) - 1)]


def _own(job: Job, tag: Tag) -> list[dict[str, Any]]:
    """The customer's own fields: the call's id, and UTM tags by their names."""
    named = dict(job.facts.utm) if job.settings.get("use_call_tracking", True) else {}
    if name := legs.call_id_field(job):
        named[name] = job.facts.id
    fields = ((tag.named(name), value) for name, value in named.items())
    return [{"field": {"id": field.id}, "value": value} for field, value in fields if field and value]


# --- Found again ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    key: int
    comment: int
    contact: int
    task: int


def find(account: Account, job: Job) -> Entry | None:
    """The entry that has our call's id in the field that the customer has added for it: the only sure link between both
    doors. Raises `Rejected` where there is no such field, so that nobody can tell."""
    tag = tag_of(account, kind_of(job.facts))
    field = tag.named(legs.call_id_field(job))
    if field is None:
        words = _("the answer was lost, and Planfix's data tag has no field for the call's id")
        raise Doubtful(words, code=failures.NO_CALL_ID_FIELD)
    body = {
        "offset": 0,
        "pageSize": rest.PAGE,
        "fields": f"key,commentId,task,contact,{field.id}",
        "filters": [rest.filter_of(_BY_STRING, job.facts.id, field=field.id)],
    }
    rows = rest.rows_of(account.read(f"datatag/{tag.id}/entry/list", body), "dataTagEntries")
    row = next((row for row in rows if _value(row, field.id) == job.facts.id), None)
    if row is None and rows:
        raise Doubtful(_("Planfix does not look for entries by this field"), code=failures.DOUBT)
    if row is None:
        return None
    return Entry(*(rest.number_of(row.get(name) or 0) for name in ("key", "commentId", "contact", "task")))


def _value(row: Mapping[str, Any], field: int) -> Any:
    """What an entry has in a field."""
    for each in rest.rows_of(row, "customFieldData"):
        if rest.number_of(each.get("field") or 0) == field:
            return each.get("value")
    return None


def wrong_fields(tag: Tag | None, kind: str) -> Sequence[int]:
    """Positions (from 1) of fields that are missing or others than they should be."""
    there = [(field.type, field.name) for field in tag.fields] if tag else []
    russian = tag is not None and tag.name == NAMES[kind]
    wanted = zip(FIELDS[kind], TITLES[kind], strict=True)
    return [
        n
        for n, (type_, title) in enumerate(wanted, 1)
        if n > len(there) or there[n - 1] != (type_, title if russian else there[n - 1][1])
    ]
