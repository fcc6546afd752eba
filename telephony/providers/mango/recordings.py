"""Fetching a recording: a signed request is answered with a link that works once, and the link with the sound.

Source: official document of the VPBX API v1.9, "Recordings".
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from outbound.errors import Rejected, VendorFault
from telephony.providers.base import Audio

from . import codes
from .api import Api
from .limits import Kind

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def fetch(api: Api, recording: str) -> Audio | None:
    """The recording; None while the store does not have it, which Mango wants to be asked once a minute at most.

    Whether "no such recording" counts as a wrong request is not documented, so it stops this kind of request like one.
    """
    if not recording:
        raise Rejected("not sent to Mango: no id of a recording", code="invalid")
    try:
        link = _link(api, recording)
    except Rejected as error:
        if codes.means(error, codes.NO_RECORDING):
            return None
        raise
    return _download(api, link)


def _link(api: Api, recording: str) -> str:
    payload = {"recording_id": recording, "action": "download"}
    answer = api.post(Kind.RECORDINGS, "queries/recording/post", payload)
    location = answer.headers.get("Location", "")
    if answer.status not in _REDIRECTS or not location:
        raise VendorFault(f"no link to the recording: HTTP {answer.status} {answer.text[:200]}", code="no_link")
    link = urlsplit(urljoin(f"{api.url}/", location))
    ours = link.hostname == urlsplit(api.url).hostname
    if not (link.scheme == "https" or (link.scheme == "http" and ours)):
        raise VendorFault(f"the link to the recording leads to {link.scheme}://{link.hostname}", code="bad_link")
    return link.geturl()


def _download(api: Api, link: str) -> Audio:
    """Whatever goes wrong here, the link is used up: a new one is asked for next time."""
    # Whoever has the link has the recording: it is kept out of the record of exchanges.
    secret = link.removeprefix(f"{urlsplit(link).scheme}://").partition("/")[2]
    return Audio.fetched(replace(api.http, secrets=[*api.http.secrets, secret]), link)
