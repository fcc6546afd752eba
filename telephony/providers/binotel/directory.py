"""What Binotel knows of a company: its employees, and its numbers as far as calls tell them.

The list of employees holds the passwords of their phones: nothing but what is named here is read.
Source: public clients. None of them knows a list of numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from telephony.providers.base import PbxNumber, PbxUser
from telephony.providers.values import EmptyObject, Model, Text

from . import history
from .api import Api
from .details import rows

_LOOKED_BACK = timedelta(days=3) - timedelta(seconds=1)
"""Three answers of the history."""


class _Endpoint(Model):
    extension: Text = Field(default="", alias="internalNumber")


class _Employee(Model):
    employee_id: Text = Field("", alias="employeeID")
    name: Text = ""
    email: Text = ""
    mobile: Text = Field("", alias="mobileNumber")
    endpoint: Annotated[_Endpoint, EmptyObject] = Field(_Endpoint(), alias="endpointData")


class _Employees(Model):
    employees: Annotated[list[_Employee], BeforeValidator(rows)] = Field([], alias="listOfEmployees")


def users(api: Api) -> list[PbxUser]:
    return [
        PbxUser(row.name, row.endpoint.extension, row.email, row.mobile, row.employee_id)
        for row in api.ask("settings/list-of-employees", _Employees).employees
    ]


def numbers(api: Api) -> list[PbxNumber]:
    """The numbers by which somebody called or was called lately."""
    now = datetime.now(UTC)
    lines = {call.virtual_number: call.line.name for call in history.calls(api, now - _LOOKED_BACK, now)}
    return [PbxNumber(number, name) for number, name in lines.items() if number]
