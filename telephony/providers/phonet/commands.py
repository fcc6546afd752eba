"""What we ask Phonet to do with calls: dialling and hanging up are all that it offers.

Source: the vendor's HTTPS API v4.1, as public clients quote it.
"""

from __future__ import annotations

import re

from pydantic import ValidationError

from outbound.errors import Rejected, VendorFault
from telephony.providers.values import Id, Model

from .api import Api

_PHONE = re.compile(r"\+[0-9]{5,15}")
_EXTENSION = re.compile(r"[0-9]{1,15}")
_UUID = re.compile(r"[0-9A-Za-z]{1,64}")
_NO_SUCH_CALL = "http_404"


class _Made(Model):
    uuid: Id


def dial(api: Api, *, extension: str, phone: str) -> None:
    """Call the employee first and the client second. Numbers outside Ukraine are left to Phonet to refuse."""
    if not _EXTENSION.fullmatch(extension):
        raise Rejected(f"not sent to Phonet: {extension!r} is no extension", code="invalid")
    if not _PHONE.fullmatch(phone):
        raise Rejected(f"not sent to Phonet: {phone!r} is no phone number", code="invalid")
    answer = api.post("rest/user/makeCall", {"legExt": extension, "otherLegNum": phone})
    try:
        _Made.model_validate(answer.json())
    except ValidationError as error:
        raise VendorFault("the answer names no call", code="shape", fate_unknown=True) from error


def hangup(api: Api, leg: str) -> None:
    """End a call. The answer is empty; a call that is not known any more is as good as ended."""
    if not _UUID.fullmatch(leg):
        raise Rejected(f"not sent to Phonet: {leg!r} is no id of a call", code="invalid")
    try:
        api.get(f"rest/calls/active/{leg}/hangup")
    except Rejected as error:
        if error.code != _NO_SUCH_CALL:
            raise
