"""Fetching a recording: a request for a link that lives for a quarter of an hour, and the link.

Source: public clients; they know other names of the link, from older versions.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field

from outbound.errors import Rejected, VendorFault
from telephony.providers.base import Audio
from telephony.providers.values import Model, Text

from .api import WRONG_DATA, Api


class _Link(Model):
    url: Text = Field("", validation_alias=AliasChoices("url", "callRecordLink", "record"))


def fetch(api: Api, recording: str) -> Audio | None:
    """The recording of the call with this id; None while there is none to be had."""
    try:
        link = api.ask("stats/call-record", _Link, generalCallID=recording).url
    except Rejected as error:
        if error.code == WRONG_DATA:
            return None
        raise
    if urlsplit(link).scheme not in ("https", "http"):
        raise VendorFault("the answer has no link to the recording", code="no_link")
    # Whoever has the link has the recording: it is kept out of the record of exchanges.
    secret = link.partition("://")[2].partition("/")[2]
    return Audio.fetched(replace(api.http, secrets=[*api.http.secrets, secret]), link)
