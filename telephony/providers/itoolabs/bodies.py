"""What the PBX sends: a form. The vendor's portal shows JSON, and its table of commands allows fields in the query."""

from __future__ import annotations

from telephony.providers import values
from telephony.providers.base import Request


def fields(request: Request) -> dict[str, str]:
    """The fields of a notification; raises `ValueError`."""
    told = values.form(request.body or request.query)
    if "cmd" in told or not request.body:
        return told
    data = values.load(request.body.decode("utf-8", "replace"))
    return {
        values.clean(name): values.clean(str(value))
        for name, value in data.items()
        if isinstance(value, (str, int, float))
    }
