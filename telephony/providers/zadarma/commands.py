"""What we ask Zadarma to do with calls: dialling is all that it offers.

Source: the vendor's OpenAPI description of v1.
"""

from __future__ import annotations

import re

from outbound.errors import Rejected
from telephony.providers.values import Model

from .api import Api
from .events import is_extension

_PHONE = re.compile(r"\+[0-9]{5,15}")


class _Accepted(Model):
    pass


def dial(api: Api, *, extension: str, phone: str) -> None:
    """Call the employee first and the client second. The answer names no call: its events do not say that we asked."""
    if not is_extension(extension):
        raise Rejected(f"not sent to Zadarma: {extension!r} is no extension", code="invalid")
    if not _PHONE.fullmatch(phone):
        raise Rejected(f"not sent to Zadarma: {phone!r} is no phone number", code="invalid")
    # `sip`: whose caller id, recording rules and statistics apply. The plus makes rules by direction apply.
    api.get("request/callback", _Accepted, **{"from": extension, "to": phone, "sip": extension})
