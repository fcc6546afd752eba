"""What we ask UniTalk to do with calls: dialling is all that it offers.

Source: public clients; the vendor's reference as far as it can be read names no method to hang up or transfer.
"""

from __future__ import annotations

import re

from outbound.errors import Rejected

from .api import Api
from .calls import is_line

_PHONE = re.compile(r"\+[0-9]{5,15}")


def dial(api: Api, *, command: str, extension: str, phone: str) -> None:
    """Call the employee first and the client second. The answer names no call; `meta` may come back in its events."""
    if not is_line(extension):
        raise Rejected(f"not sent to UniTalk: {extension!r} is no internal line", code="invalid")
    if not _PHONE.fullmatch(phone):
        raise Rejected(f"not sent to UniTalk: {phone!r} is no phone number", code="invalid")
    api.order("phones/directCall", {"sip": extension, "number": phone.removeprefix("+"), "meta": command})
