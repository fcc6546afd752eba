"""Interactive call processing: a scenario asks us who shall take a call, and waits.

Source: the vendor's page on interactive call processing. How long it waits is not documented. The examples of `phones`
are full numbers; that extensions work is only a public client's experience.
"""

from __future__ import annotations

import json

from pydantic import AliasChoices, Field

from telephony.providers.base import Advice
from telephony.providers.values import Id, Model, Text

PATH = "route"
NO_MANAGER = "no_manager"
"""The code to which the administrator links the branch of the scenario for clients without a manager."""


class Asked(Model):
    """The parameters that a scenario sends, as far as we need them."""

    call: Id = Field(validation_alias=AliasChoices("cdr_id", "call_session_id"))
    numa: Text = ""
    numb: Text = ""

    @property
    def client_number(self) -> str:
        """Empty for a hidden caller, however that is written."""
        return self.numa if self.numa.removeprefix("+").isdecimal() else ""


def answer(advice: Advice) -> bytes:
    """The phone to ring, else the code by which the scenario goes on: an error or an empty answer would only do as much
    as the scenario's own last resort."""
    told = {"phones": [advice.phone.removeprefix("+")]} if advice.phone else {"returned_code": NO_MANAGER}
    return json.dumps(told).encode()
