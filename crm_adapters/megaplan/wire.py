"""What Megaplan sends us, parsed at the edge.

Its note on telephony says that the API is in test mode, so each field may be absent. Nothing here fails: what cannot be
read is empty. Ids are strings.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator

from crm_adapters.values import M, Mapping, Wire, parse, text


def _text(value: Any) -> str:
    return text(value).strip()


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _truth(value: Any) -> bool:
    return value is not False  # absent or null: not said, so nothing against it


Text = Annotated[str, BeforeValidator(_text)]
Rows = Annotated[list[dict[str, Any]], BeforeValidator(_rows)]
Truth = Annotated[bool, BeforeValidator(_truth)]


def rows(model: type[M], value: Any) -> list[M]:
    return [parse(model, row) for row in _rows(value)]


class Link(Wire):
    """Any entity by its kind and id."""

    contentType: Text = ""  # noqa: N815 - Megaplan's own names, here and below
    id: Text = ""

    @property
    def is_client(self) -> bool:
        return self.contentType in CLIENTS and bool(self.id)

    @property
    def pair(self) -> list[str]:
        """How it is kept in the notes of a call."""
        return [self.contentType, self.id]


CLIENTS = ("ContractorHuman", "ContractorCompany")


def link(kind: str, number: str) -> dict[str, str]:
    return {"contentType": kind, "id": number}


def employee(number: str) -> dict[str, str]:
    return link("Employee", number)


def moment(at: datetime) -> dict[str, str]:
    return {"contentType": "DateTime", "value": at.isoformat(timespec="seconds")}


class Contact(Wire):
    """One line of `contactInfo`."""

    type: Text = ""
    value: Text = ""
    isMain: Annotated[bool, BeforeValidator(lambda value: value is True)] = False  # noqa: N815


class Person(Link):
    """An Employee or a client: the fields that both have."""

    name: Text = ""
    firstName: Text = ""  # noqa: N815
    lastName: Text = ""  # noqa: N815
    contactInfo: Rows = []  # noqa: N815
    responsibles: Rows = []
    company: Mapping = {}
    internalNumber: Text = ""  # noqa: N815
    isWorking: Truth = True  # noqa: N815

    @property
    def shown_name(self) -> str:
        return self.name or " ".join(filter(None, (self.firstName, self.lastName)))

    def contacts(self, kind: str) -> tuple[str, ...]:
        """Values of a kind (`phone`, `email`), the main one first."""
        found = [each for each in rows(Contact, self.contactInfo) if each.type == kind and each.value]
        found.sort(key=lambda each: not each.isMain)
        return tuple(dict.fromkeys(each.value for each in found))

    @property
    def manager(self) -> str:
        """The first employee who is responsible; a group or a client in that place is not one."""
        found = (each.id for each in rows(Link, self.responsibles) if each.contentType == "Employee")
        return next(filter(None, found), "")


class CallInfo(Link):
    type: Text = ""
    state: Text = ""
    providerId: Text = ""  # noqa: N815
    fromUser: Mapping = {}  # noqa: N815
    toUser: Mapping = {}  # noqa: N815

    @property
    def user(self) -> str:
        """The employee of the call, whichever side he is on."""
        sides = (parse(Link, side) for side in (self.toUser, self.fromUser))
        return next((side.id for side in sides if side.contentType == "Employee"), "")

    def other_side(self, *, outgoing: bool) -> Link:
        """Whom Megaplan found behind the client's number; an empty link where it found nobody."""
        return parse(Link, self.toUser if outgoing else self.fromUser)


class Route(Wire):
    """`callRoute`: who owns a number (`users`, clients and employees), and who is to be called."""

    employees: Rows = []
    users: Rows = []


class Config(Wire):
    """`callUserConfig`: an employee's number in the telephony of Megaplan."""

    employee: Mapping = {}
    internalNumber: Text = ""  # noqa: N815

    @property
    def number(self) -> str:
        """`101` of `101` and of `sip:101@pbx.example.com`."""
        return self.internalNumber.removeprefix("sip:").partition("@")[0].strip()


class Category(Link):
    """`todoCategory`."""

    name: Text = ""
    masterType: Text = ""  # noqa: N815


class Deal(Link):
    manager: Mapping = {}


class Tokens(Wire):
    """The answer of `auth/access_token`, flat; an error has the other two."""

    access_token: Text = ""
    refresh_token: Text = ""
    error: Text = ""
    error_description: Text = ""


class Failure(Wire):
    message: Text = ""


class Pagination(Wire):
    hasMoreNext: Annotated[bool, BeforeValidator(lambda value: value is True)] = False  # noqa: N815


class Meta(Wire):
    """`status` counts as HTTP's own: Megaplan sends errors with HTTP 200 too."""

    status: Annotated[int, BeforeValidator(lambda value: int(value) if str(value).isdecimal() else 200)] = 200
    errors: Rows = []
    pagination: Mapping = {}

    @property
    def words(self) -> str:
        return "; ".join(filter(None, (each.message for each in rows(Failure, self.errors))))
