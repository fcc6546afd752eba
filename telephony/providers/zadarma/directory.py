"""What Zadarma knows of a company: its extensions, its numbers, its clock, and where it sends notifications.

Source: the vendor's OpenAPI description of v1.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from outbound.errors import PASSING, OutboundError
from telephony.providers.base import NO_TIME, PbxNumber, PbxUser
from telephony.providers.values import EmptyList, EmptyObject, Integer, Model, Text, local

from .api import Api


class _Extensions(Model):
    numbers: Annotated[list[Text], EmptyList] = []


class _Extension(Model):
    name: Text = ""


class _Number(Model):
    number: Text = ""
    number_name: Text = ""
    description: Text = ""


class _Numbers(Model):
    info: Annotated[list[_Number], EmptyList] = []


class _Clock(Model):
    unixtime: Integer
    datetime: Text


class Callinfo(Model):
    """Where notifications of calls go, and which of them are switched on."""

    url: Text = ""
    notifications: Annotated[dict[str, Text], EmptyObject] = {}

    @property
    def missing(self) -> list[str]:
        return sorted(name.upper() for name, on in self.notifications.items() if on.lower() not in ("true", "1"))


def users(api: Api) -> list[PbxUser]:
    """All extensions. A name costs a request each: when the vendor's limit comes near, the rest go without."""
    named = True
    found = []
    for extension in extensions(api):
        name = ""
        if named:
            try:
                name = api.get(f"pbx/internal/{extension}/info", _Extension).name
            except PASSING:
                named = False
            except OutboundError:
                name = ""
        found.append(PbxUser(name=name, extension=extension))
    return found


def extensions(api: Api) -> list[str]:
    return [number for number in api.get("pbx/internal", _Extensions).numbers if number.isdecimal()]


def numbers(api: Api) -> list[PbxNumber]:
    """Bought numbers. Numbers of other carriers that are connected by SIP are not among them."""
    rows = api.get("direct_numbers", _Numbers).info
    return [PbxNumber(row.number, row.number_name or row.description) for row in rows if row.number]


def utc_offset(api: Api) -> timedelta | None:
    """How far the account's time is ahead of UTC now; None when the answer does not tell."""
    clock = api.get("info/timezone", _Clock)
    shown = local(clock.datetime, UTC)
    if shown == NO_TIME:
        return None
    return shown - datetime.fromtimestamp(clock.unixtime, UTC)


def callinfo(api: Api) -> Callinfo:
    return api.get("pbx/callinfo", Callinfo)
