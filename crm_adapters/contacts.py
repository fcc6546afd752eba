"""A client's record in a CRM, as people read and change it from the card of a call, and a task about him.

What a CRM allows is declared: `Capability.CONTACTS`, `Capability.TASKS`, `Adapter.contact_fields`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NAME = "name"
"""The field that every record has, and that a new one needs."""
_NAMES = (NAME, "middle_name", "last_name")


@dataclass(frozen=True, slots=True)
class ContactField:
    """Something of a client's record that the card can show: a text. `title` is lazy; `long`: of several lines.

    `fixed`: it is written when a record is made, and only shown afterwards.
    """

    name: str
    title: Any
    long: bool = False
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A record as `ClientMatch` named it, and the phone (E.164) that it was found by."""

    entity: str
    entity_id: str
    phone: str


@dataclass(frozen=True, slots=True)
class NewContact:
    """A client to be made. `values` by the names of fields; `responsible` is a user of the CRM or empty; `key` is ours
    and unique for ever."""

    phone: str
    values: Mapping[str, str] = field(default_factory=dict)
    responsible: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task about a client. `responsible` and `key` as in `NewContact`."""

    record: Record
    text: str
    due_at: datetime
    responsible: str = ""
    key: str = ""

    @property
    def title(self) -> str:
        """The first line, as far as a title goes."""
        return self.text.strip().splitlines()[0][:100]


def full_name(values: Mapping[str, str]) -> str:
    """What a record is called by its fields."""
    return " ".join(filter(None, (values.get(part, "").strip() for part in _NAMES)))
