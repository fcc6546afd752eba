"""What we ask the PBX to do with calls: dialling is all that it offers.

Source: code of public clients. What is answered differs by brand and names the call only sometimes: it is not read.
"""

from __future__ import annotations

import re

from outbound.errors import OutboundError, Rejected

from . import directory
from .api import Api

_PHONE = re.compile(r"\+[0-9]{5,15}")


def dial(api: Api, *, extension: str, phone: str, line: str) -> None:
    """Call the employee first and the client second. `line` is shown where the PBX lets it be."""
    if not _PHONE.fullmatch(phone):
        raise Rejected(f"not sent to the PBX: {phone!r} is no phone number", code="invalid")
    try:
        staff = directory.staff(api)
    except OutboundError as error:
        error.fate_unknown = False  # nobody was dialled yet
        raise
    call = {"phone": phone.lstrip("+"), "user": staff.login(extension)}  # a plus is refused by some brands
    if line:
        call["clid"] = line.lstrip("+")
    if staff.rest:
        api.post("makecall", call)
    else:
        api.command("makeCall", **call)
