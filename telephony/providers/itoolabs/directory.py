"""Whom the PBX knows: its users with their two names, and its numbers.

Notifications and requests name a user by his login. Notifications also tell his short number: that is his extension
here, as people know each other by it. A user without one has his login for an extension.
Source: answers of both interfaces in public clients.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import TypeAdapter

from outbound.errors import CredentialsRefused, Rejected
from telephony.providers.base import PbxNumber, PbxUser
from telephony.providers.values import Model, Text

from .api import Api, Page, read

_SWITCH, _DEPARTMENT = "pbx", "g_"


class _User(Model):
    """A user as REST tells of him."""

    login: Text = ""
    name: Text = ""
    ext: Text = ""
    email: Text = ""
    mobile: Text = ""


class _Account(Model):
    """A user as the older interface tells of him."""

    name: Text = ""
    realName: Text = ""  # noqa: N815 (the vendor's name)
    ext: Text = ""
    email: Text = ""


class _Number(Model):
    telnum: Text = ""
    name: Text = ""


_USERS = TypeAdapter(Page[_User])
_ACCOUNTS = TypeAdapter(list[_Account])
_NUMBERS = TypeAdapter(Page[_Number])


def login(user: str) -> str:
    """The login of a person, without the domain that some answers add; empty for the switch and for departments."""
    name = user.partition("@")[0]
    return "" if name == _SWITCH or name.startswith(_DEPARTMENT) else name


@dataclass(frozen=True, slots=True)
class Staff:
    """The users of a PBX, and whether it has REST."""

    rest: bool
    users: list[PbxUser]

    def login(self, extension: str) -> str:
        """Raises `Rejected` for an extension that nobody has."""
        found = next((user.vendor_id for user in self.users if user.extension == extension), "")
        if not found:
            raise Rejected(f"the PBX has no user with the number {extension!r}", code="no_user")
        return found

    def extension(self, login: str) -> str:
        """Who left the company is still known by his login."""
        return next((user.extension for user in self.users if user.vendor_id == login), login)


def staff(api: Api) -> Staff:
    """All users. A PBX that has no REST, or does not let this key in there, is asked in the older way."""
    try:
        return Staff(True, _users(api.listed("users", _USERS)))
    except (CredentialsRefused, Rejected) as refused:
        try:
            accounts = read(api.command("accounts"), _ACCOUNTS)
        except Rejected:
            raise refused from None
    rows = [_User(login=row.name, name=row.realName, ext=row.ext, email=row.email) for row in accounts]
    return Staff(False, _users(rows))


def _users(rows: Iterable[_User]) -> list[PbxUser]:
    return [
        PbxUser(
            name=row.name or name,
            extension=row.ext or name,
            email=row.email,
            mobile=row.mobile,
            vendor_id=name,
        )
        for row in rows
        if (name := login(row.login))
    ]


def numbers(api: Api) -> list[PbxNumber]:
    """The older interface does not tell them."""
    return [PbxNumber(row.telnum, row.name) for row in api.listed("telnums", _NUMBERS) if row.telnum]
