"""What we tell UIS to do with calls.

A transfer takes three commands: the client waits, the colleague is called, both are joined. What goes wrong in between
is taken back, so that no client is left waiting.
Source: the vendor's documentation of the Call API v4.0.
"""

from __future__ import annotations

import re

from django.utils.translation import pgettext

from outbound.errors import OutboundError, Rejected

from .api import Api
from .events import is_extension

_PHONE = re.compile(r"\+?[0-9]{6,15}")


def dial(api: Api, *, employee: str, command: str, phone: str, line: str) -> None:
    """Call the employee first and the client second. `external_id` comes back with the events of the call."""
    api.command(
        "start.employee_call",
        first_call="employee",
        switch_at_once=True,
        early_switching=True,
        virtual_phone_number=_digits(line),
        show_virtual_phone_number=False,
        external_id=command,
        direction="out",
        contact=_digits(phone),
        employee={"id": _id(employee)},
    )


def hangup(api: Api, leg: str) -> None:
    """End the whole call; one that is over already is as good as ended."""
    try:
        api.command("release.call", call_session_id=_session(leg))
    except Rejected as error:
        if error.code != "call_session_not_found":
            raise


def transfer(api: Api, *, leg: str, to: str) -> None:
    """Hand the client over without waiting for the colleague's answer."""
    session = _session(leg)
    target = to if is_extension(to) else _digits(to)
    api.command("hold.call", call_session_id=session)
    _or_else(api, session, "unhold.call", "make.call", to=target)
    _or_else(api, session, "restore.talk", "transfer.talk")


def _or_else(api: Api, session: int, back: str, method: str, **params: str) -> None:
    """Do `method`, or `back` where that is refused."""
    try:
        api.command(method, call_session_id=session, **params)
    except OutboundError:
        try:
            api.command(back, call_session_id=session)
        except OutboundError:
            pass  # what went wrong first is what matters
        raise


# --- Looking over -----------------------------------------------------------------------------------------------------


def _session(leg: str) -> int:
    """Legs are called after their session."""
    return _id(leg.partition(":")[0])


def _id(text: str) -> int:
    """Numbers in quotes are refused by UIS."""
    if not text.isascii() or not text.isdecimal():
        raise Rejected(f"not sent to UIS: {text!r} is no id", code="invalid")
    return int(text)


def _digits(phone: str) -> str:
    if not _PHONE.fullmatch(phone):
        words = pgettext("UIS", "“%(number)s” is no phone number.")
        raise Rejected(words % {"number": phone}, code="invalid")
    return phone.removeprefix("+")
