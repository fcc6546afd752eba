"""What a PBX sends: a form, in the body or in the query; what the body says counts."""

from __future__ import annotations

from telephony.providers import values
from telephony.providers.base import Request

EVENT_NEEDS = ("type", "event", "phone", "callid")
RECORD_NEEDS = ("callid", "record_link")


def fields(request: Request) -> dict[str, str]:
    """The parameters that were sent; an empty one counts as not sent. Raises `ValueError`."""
    kind = request.headers.get("content-type", "")
    told = values.form(request.query) | values.any_form(request.body, kind)
    return {name: value.strip() for name, value in told.items() if value.strip()}


def key(request: Request, told: dict[str, str]) -> str:
    """The key that proves the sender, in any of the three places where clients put it."""
    bearer = request.headers.get("authorization", "")
    scheme, _blank, token = bearer.partition(" ")
    return told.get("planfix_token") or told.get("token") or (token.strip() if scheme.lower() == "bearer" else "")


def is_complete(told: dict[str, str]) -> bool:
    """Whether a command is known and has what it needs."""
    command = told.get("cmd", "")
    if command == "event":
        return all(name in told for name in EVENT_NEEDS)
    if command == "record":
        return all(name in told for name in RECORD_NEEDS)
    return command == "ping" or (command == "contact" and "phone" in told)
