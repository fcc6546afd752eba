"""Fetching a recording: a signed request is answered with a link that works once, and the link with the sound.

Source: official document of the VPBX API v1.9, "Recordings".
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from outbound.errors import Rejected, VendorFault
from outbound.http import MAX_RECORDING, Answer
from telephony.providers.base import Audio

from . import codes
from .api import Api
from .limits import Kind

_DOWNLOAD_SECONDS = 300.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SOUNDS = {
    "mp3": ("audio/mpeg", frozenset({"audio/mpeg", "audio/mp3", "audio/mpeg3", "audio/x-mpeg", "audio/x-mp3"})),
    "wav": ("audio/wav", frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"})),
}
_UNTYPED = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/force-download"})


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
    return _audio(_download(api, link))


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


def _download(api: Api, link: str) -> Answer:
    # Whoever has the link has the recording: it is kept out of the record of exchanges.
    secret = link.removeprefix(f"{urlsplit(link).scheme}://").partition("/")[2]
    http = replace(api.http, secrets=[*api.http.secrets, secret])
    answer = http.request("GET", link, deadline=_DOWNLOAD_SECONDS, max_size=MAX_RECORDING)
    if answer.status != 200:
        # The link is used up now; a new one is asked for next time.
        raise VendorFault(f"the recording is answered with HTTP {answer.status}", code=f"http_{answer.status}")
    return answer


def _audio(answer: Answer) -> Audio:
    content = answer.body
    promised = answer.headers.get("Content-Length", "")
    whole = not promised.isdecimal() or "Content-Encoding" in answer.headers or int(promised) == len(content)
    if not content or not whole:
        raise VendorFault(f"the recording is cut short: {len(content)} bytes of {promised or '?'}", code="truncated")
    told = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    extension = _kind(told, content)
    if not extension:
        raise VendorFault(f"the answer is no recording but {told or 'something without a type'}", code="no_audio")
    return Audio(content, _SOUNDS[extension][0], extension)


def _kind(told: str, content: bytes) -> str:
    """`mp3` or `wav` by the first bytes, else by the type told; empty for an error page or another kind of file."""
    if _is_page(content) or not (told in _UNTYPED or told.startswith("audio/")):
        return ""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "wav"
    if content[:3] == b"ID3" or (content[0] == 0xFF and content[1:2] and content[1] & 0xE0 == 0xE0):
        return "mp3"
    return next((extension for extension, (_, types) in _SOUNDS.items() if told in types), "")


def _is_page(content: bytes) -> bool:
    return content[:256].lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"{"))
