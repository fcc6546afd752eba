"""Fetching a recording: by its link, from the notification or from the history.

Source: code of public clients. The link needs no key with one brand, and others' clients send it: it is shown to the
operator's own servers alone. The file may come minutes after its link.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from outbound.errors import Rejected, VendorFault
from telephony.providers.base import Audio

from . import history
from .address import is_own
from .api import Api

_PATIENCE = timedelta(minutes=15)
"""The history names a recording within so long after the call, or there is none."""


def fetch(api: Api, recording: str, url: str) -> Audio | None:
    """The recording; None while there is none to be had. Its id is that of the call."""
    link = url or _link(api, recording)
    if not link:
        return None
    if urlsplit(link).scheme not in ("https", "http"):
        raise VendorFault("the link to the recording is none", code="no_link")
    # Whoever has the link has the recording: it is kept out of the record of exchanges.
    secret = link.partition("://")[2].partition("/")[2]
    http = replace(api.http, secrets=[*api.http.secrets, secret])
    return Audio.fetched(http, link, headers=api.proof if is_own(link, api.url) else None)


def _link(api: Api, recording: str) -> str:
    row = history.find(api, recording)
    if row is None or row.record:
        return row.record if row else ""
    if row.ended < datetime.now(UTC) - _PATIENCE:
        raise Rejected("the PBX has made no recording of this call", code="no_recording")
    return ""
