"""Fetching a recording: a request for a link, and the link.

Source: the vendor's OpenAPI description of v1. What is answered while a file is not ready it does not say: a refusal
is taken for that, and asked again later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from urllib.parse import urlsplit

from outbound.errors import CredentialsRefused, Rejected, VendorFault
from telephony.providers.base import Audio
from telephony.providers.values import EmptyList, Model, Text

from .api import Api


class _Links(Model):
    link: Text = ""
    links: Annotated[list[Text], EmptyList] = []


def fetch(api: Api, recording: str) -> Audio | None:
    """The recording; None while there is none to be had."""
    try:
        answer = api.get("pbx/record/request", _Links, call_id=recording)
    except CredentialsRefused:
        raise
    except Rejected:
        return None
    link = answer.link or next(iter(answer.links), "")
    if urlsplit(link).scheme not in ("https", "http"):
        raise VendorFault("the answer has no link to the recording", code="no_link")
    # Whoever has the link has the recording: it is kept out of the record of exchanges.
    secret = link.partition("://")[2].partition("/")[2]
    return Audio.fetched(replace(api.http, secrets=[*api.http.secrets, secret]), link)
