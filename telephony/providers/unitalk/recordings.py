"""Fetching a recording by its link.

Whether a link needs the key, and how long it lives, is not documented: it is tried without the key first, and the key
goes to UniTalk's own hosts alone.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from outbound.errors import VendorFault
from telephony.providers.base import Audio

from .api import Api

_HOSTS = ".unitalk.cloud"


def fetch(api: Api, link: str) -> Audio:
    try:
        audio = Audio.fetched(api.http, link, limits=api.limits)
        if not _is_theirs(link) or not _is_page(audio):
            return audio
        audio.content.close()
    except VendorFault:
        if not _is_theirs(link):
            raise
    return Audio.fetched(api.http, link, limits=api.limits, headers=api.headers)


def _is_theirs(link: str) -> bool:
    parts = urlsplit(link)
    return parts.scheme == "https" and (parts.hostname or "").endswith(_HOSTS)


def _is_page(audio: Audio) -> bool:
    """UniTalk's errors may come with HTTP 200."""
    return audio.content_type.startswith(("application/json", "text/"))
