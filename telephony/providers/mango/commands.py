"""What we tell Mango to do with calls.

Two wrong requests within two minutes lock a customer's whole PBX, so each command is looked over before it leaves.
Source: official document of the VPBX API v1.9, "Commands".
"""

from __future__ import annotations

import re
from typing import Literal

from outbound.errors import Rejected

from . import codes
from .api import Api
from .limits import Kind

_LONGEST_COMMAND, _LONGEST_LEG = 128, 255
_PHONE = re.compile(r"[0-9]{5,15}")
_EXTENSION = re.compile(r"[0-9*#]{1,15}")


def dial(api: Api, *, command: str, extension: str, phone: str, line: str) -> None:
    """Call the employee first and the client second."""
    payload = {
        "command_id": _command(command),
        "from": {"extension": _extension(extension)},
        "to_number": _phone(phone),
    }
    api.command(Kind.CALLBACK, "commands/callback", payload | ({"line_number": _line(line)} if line else {}))


def hangup(api: Api, *, command: str, leg: str) -> None:
    """End a leg; one that is over or unknown already is as good as ended."""
    try:
        api.command(Kind.HANGUP, "commands/call/hangup", {"command_id": _command(command), "call_id": _leg(leg)})
    except Rejected as error:
        if not codes.means(error, codes.CALL_OVER, codes.NO_CALL):
            raise


def transfer(api: Api, *, command: str, leg: str, by: str, to: str, method: Literal["blind", "hold"]) -> None:
    payload = {
        "command_id": _command(command),
        "call_id": _leg(leg),
        "method": method,
        "to_number": _extension_or_phone(to),
        "initiator": _extension(by),
    }
    api.command(Kind.TRANSFER, "commands/transfer", payload)


def route(api: Api, *, command: str, leg: str, extension: str, deadline: float) -> None:
    """Take a call out of the menu. Too late (4100, 4101) is for good: the customer's own scheme has taken over."""
    payload = {"command_id": _command(command), "call_id": _leg(leg), "to_number": _extension(extension)}
    api.command(Kind.ROUTE, "commands/route", payload, deadline=deadline)


# --- Looking over -----------------------------------------------------------------------------------------------------


def _refuse(what: str) -> Rejected:
    return Rejected(f"not sent to Mango: {what}", code="invalid")


def _id(text: str, what: str, longest: int) -> str:
    if not text or not text.isprintable() or len(text.encode("utf-8", "replace")) > longest:
        raise _refuse(f"the id of the {what} is empty, unprintable or longer than {longest} bytes")
    return text


def _command(command: str) -> str:
    return _id(command, "command", _LONGEST_COMMAND)


def _leg(leg: str) -> str:
    return _id(leg, "leg", _LONGEST_LEG)


def _extension(extension: str) -> str:
    if not _EXTENSION.fullmatch(extension):
        raise _refuse(f"{extension!r} is no extension")
    return extension


def _phone(phone: str) -> str:
    digits = phone.removeprefix("+")
    if not _PHONE.fullmatch(digits):
        raise _refuse(f"{phone!r} is no phone number")
    return digits


def _extension_or_phone(number: str) -> str:
    return _phone(number) if number.startswith("+") else _extension(number)


def _line(line: str) -> str:
    """A number, or the name of a SIP line; its URI is what Mango does not take here."""
    digits = line.removeprefix("+")
    if _PHONE.fullmatch(digits):
        return digits
    if ":" in line or "@" in line or not line.isprintable():
        raise _refuse(f"{line!r} is neither a number nor the name of a SIP line")
    return line
