"""Fetching a recording by its link. Whoever has the link has the recording: nothing else is asked.

Source: `https://media.…/{session}/{hash}` and `https://app.…/system/media/talk/{session}/{hash}/` in the vendor's
documentation and in public clients.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from django.utils.translation import pgettext

from outbound.errors import Rejected
from telephony.providers.base import Audio, Secrets

from .api import Api

MEDIA_URL = "https://media.uiscom.ru"
_HOSTS = frozenset({"media.uiscom.ru", "app.uiscom.ru", "media.comagic.ru", "app.comagic.ru", "vcc.cp.megafon.ru"})
_LONGEST_KEY = 200


def key(link: str) -> str:
    """A recording's id: session and hash, which every form of its link ends with. Raises `ValueError`."""
    parts = [part for part in urlsplit(link).path.split("/") if part]
    found = "/".join(parts[-2:])
    if len(parts) < 2 or len(found) > _LONGEST_KEY:
        raise ValueError("file_link is no link to a recording")
    return found


def fetch(api: Api, secrets: Secrets, recording: str, url: str) -> Audio:
    """`url` is empty for what the history told. A link leads to the vendor's own servers or nowhere."""
    media = (secrets.get("media_url") or "").rstrip("/")
    if not url and not media:
        words = pgettext("UIS", "The address of recordings is not set in the connection.")
        raise Rejected(words, code="no_media_url")
    link = url or f"{media}/{recording}"
    parts = urlsplit(link)
    if parts.scheme not in ("https", "http") or parts.hostname not in _HOSTS | {urlsplit(media).hostname}:
        words = pgettext("UIS", "The recording lies at %(host)s, which is no address of recordings of this connection.")
        raise Rejected(words % {"host": parts.hostname or "—"}, code="strange_host")
    return Audio.fetched(replace(api.http, secrets=[*api.http.secrets, parts.path.lstrip("/")]), link)
