"""What the Data API knows of a company: its employees, its numbers, its time zone.

Source: the vendor's documentation of the Data API v2.0.
"""

from __future__ import annotations

from typing import Annotated

from telephony.providers.base import PbxNumber, PbxUser
from telephony.providers.values import EmptyList, EmptyObject, Id, Model, Text

from .api import PAGE, Api


class _Phone(Model):
    phone_number: Text = ""
    status: Text = ""


class _Extension(Model):
    extension_phone_number: Text = ""


class _Employee(Model):
    id: Id
    full_name: Text = ""
    email: Text = ""
    phone_numbers: Annotated[list[_Phone], EmptyList] = []
    extension: Annotated[_Extension, EmptyObject] = _Extension()

    @property
    def mobile(self) -> str:
        """The first number in use that can be dialled: one behind a switchboard (`74950000090...2345`) is none."""
        return next(
            (row.phone_number for row in self.phone_numbers if row.status == "active" and row.phone_number.isdecimal()),
            "",
        )


class _Number(Model):
    virtual_phone_number: Text = ""
    name: Text = ""
    comment: Text = ""


class _Account(Model):
    timezone: Text = ""


def users(api: Api) -> list[PbxUser]:
    return [
        PbxUser(
            name=row.full_name,
            extension=row.extension.extension_phone_number,
            email=row.email,
            mobile=row.mobile,
            vendor_id=row.id,
        )
        for row in api.rows("get.employees", _Employee, limit=PAGE, offset=0)
    ]


def numbers(api: Api) -> list[PbxNumber]:
    rows = api.rows("get.virtual_numbers", _Number)
    return [PbxNumber(row.virtual_phone_number, row.name or row.comment) for row in rows if row.virtual_phone_number]


def timezone(api: Api) -> str:
    """The place after which the account's time zone is called; empty where the answer names none."""
    return next((row.timezone for row in api.rows("get.account", _Account)), "")
