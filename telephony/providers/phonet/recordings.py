"""Fetching a recording by its public link.

Whether the link wants a session is not documented: it is tried without one first.
Source: the vendor's HTTPS API v4.1, as public clients quote it.
"""

from __future__ import annotations

import re

from outbound.errors import Rejected, VendorFault
from telephony.providers.base import Audio

from .api import Api

_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_ABSENT = "http_404"
_CLOSED = frozenset({"http_302", "http_401", "http_403"})


def fetch(api: Api, recording: str) -> Audio | None:
    """The recording; None while there is none to be had."""
    if not _ID.fullmatch(recording):
        raise Rejected(f"not sent to Phonet: {recording!r} is no id of a recording", code="invalid")
    link = f"{api.url}/rest/public/calls/{recording}/audio"
    try:
        return _opened(api, link)
    except VendorFault as error:
        if error.code == _ABSENT:
            return None
        raise


def _opened(api: Api, link: str) -> Audio:
    try:
        return Audio.fetched(api.http, link, limits=api.limits)
    except VendorFault as error:
        if error.code not in _CLOSED:
            raise
    return Audio.fetched(api.http, link, limits=api.limits, headers=api.session())
