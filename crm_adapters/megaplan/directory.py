"""What Megaplan has to choose from: its employees, and the kinds of to-dos."""

from __future__ import annotations

from crm_adapters.base import Choice, CrmUser

from . import wire
from .api import Account

CATEGORIES = "todo_categories"
FIELDS = ["name", "firstName", "lastName", "contactInfo", "isWorking"]


def users(account: Account) -> list[CrmUser]:
    """All employees (a hundred in a request; filters of this list are ignored), with their numbers in the telephony."""
    numbers = extensions(account)
    rows = wire.rows(wire.Person, account.pages("employee", "Employee", {"fields": FIELDS}))
    return [_user(person, numbers) for person in {row.id: row for row in rows if row.id}.values()]


def extensions(account: Account) -> dict[str, str]:
    """Employee's id → his number, as Megaplan's telephony has it."""
    found = configs(account)
    return {wire.parse(wire.Link, row.employee).id: row.number for row in found if row.number}


def configs(account: Account) -> list[wire.Config]:
    return wire.rows(wire.Config, account.pages("callUserConfig", "CallUserConfig"))


def _user(person: wire.Person, numbers: dict[str, str]) -> CrmUser:
    emails = person.contacts("email")
    return CrmUser(
        id=person.id,
        name=person.shown_name or person.id,
        extension=numbers.get(person.id, ""),
        email=emails[0] if emails else "",
        phones=person.contacts("phone"),
        active=person.isWorking,
    )


def categories(account: Account) -> list[Choice]:
    """Kinds of to-dos, those for calls first."""
    found = wire.rows(wire.Category, account.pages("todoCategory", "TodoCategory"))
    found.sort(key=lambda row: row.masterType != "call")
    return [Choice(row.id, row.name) for row in found if row.id]
