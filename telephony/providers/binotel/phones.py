"""Phone numbers as Binotel writes them: Ukrainian ones as they are dialled at home (`0500000001`), all others as its
cabinet shows them, usually with the country's digits and without a plus."""

from __future__ import annotations

import re

from outbound.errors import Rejected
from telephony.providers.base import Party

_AT_HOME = re.compile(r"0[0-9]{9}")
_UKRAINIAN = re.compile(r"\+38(0[0-9]{9})")
_PHONE = re.compile(r"\+[0-9]{7,15}")
_EXTENSION = re.compile(r"[0-9]{1,10}")


def read(number: str) -> str:
    """A Ukrainian number with its country, which nobody else could know; others as they came."""
    return f"+38{number}" if _AT_HOME.fullmatch(number) else number


def party(number: str) -> Party:
    """The client by his number; words, or nothing, stand for a hidden one."""
    return Party(number=read(number) if number.removeprefix("+").isdecimal() else "")


def written(phone: str) -> str:
    """A phone (E.164) as Binotel takes it."""
    if not _PHONE.fullmatch(phone):
        raise Rejected(f"not sent to Binotel: {phone!r} is no phone number", code="invalid")
    match = _UKRAINIAN.fullmatch(phone)
    return match[1] if match else phone.removeprefix("+")


def extension(number: str) -> str:
    """An extension that may be sent."""
    if not _EXTENSION.fullmatch(number):
        raise Rejected(f"not sent to Binotel: {number!r} is no extension", code="invalid")
    return number
