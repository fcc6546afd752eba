"""Whom UniTalk knows of a company.

Source: public clients, which find the list bare or under one of several names.
"""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, Field, model_validator

from telephony.providers.base import PbxUser
from telephony.providers.values import Model, Text

from .api import Api


class _Person(Model):
    first_name: Text = Field("", alias="firstName")
    last_name: Text = Field("", alias="lastName")
    line: Text = ""


class _People(Model):
    """An account has at least one user: a list of none is no answer."""

    rows: list[_Person] = Field(validation_alias=AliasChoices("items", "data", "list", "result"), min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, told: Any) -> Any:
        return {"items": told} if isinstance(told, list) else told


def users(api: Api) -> list[PbxUser]:
    """Those who have an internal line: nobody else can be called."""
    people = api.ask("users/list", {}, _People).rows
    return [PbxUser(f"{row.first_name} {row.last_name}".strip(), row.line) for row in people if row.line]
