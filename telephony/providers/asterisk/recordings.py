"""Fetching a recording: from a web folder that shows `monitor/`, or by ARI, which knows the folder `recording/` alone.

Source: Asterisk's `res_ari_recordings`, tried on versions 16 and 22; FreePBX's names of recordings.
"""

from __future__ import annotations

import base64
import os
import re
from urllib.parse import quote

from outbound.errors import CredentialsRefused, Rejected, VendorFault
from outbound.http import Http
from telephony.providers.base import Audio, Secrets

from .forms import ARI, NO_RECORDINGS

EMPTY = 44
"""Bytes of a file with nothing in it: of calls that nobody answered."""
_DATED = re.compile(r"-(\d{4})(\d{2})(\d{2})-\d{6}-[^/]+\.\w+$")


def fetch(http: Http, secrets: Secrets, name: str, path: str) -> Audio | None:
    """None while there is no file, or none that is whole."""
    kind, base = secrets.get("recordings", NO_RECORDINGS), secrets.get("recordings_url", "").rstrip("/")
    if kind == NO_RECORDINGS or not base:
        raise Rejected("the recording stays on the PBX: this connection has no address of recordings", code="no_way")
    url = (
        f"{base}/recordings/stored/{_stored(name, path)}/file" if kind == ARI else f"{base}/{quote(_below(name, path))}"
    )
    try:
        audio = Audio.fetched(http, url, headers=authorization(secrets))
    except VendorFault as error:
        if error.code == "http_404":
            return None
        if error.code in ("http_401", "http_403"):
            raise CredentialsRefused(error.words, code=error.code) from error
        raise
    if _is_whole(audio):
        return audio
    audio.content.close()
    return None


def authorization(secrets: Secrets) -> dict[str, str]:
    user, password = secrets.get("recordings_user", ""), secrets.get("recordings_password", "")
    if not user:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def _below(name: str, path: str) -> str:
    """The path below the folder of all recordings; of a name alone FreePBX's, which has a folder for each day."""
    if "/monitor/" in path:
        return _safe(path.partition("/monitor/")[2])
    if dated := _DATED.search(name):
        return _safe("/".join([*dated.groups(), name]))
    return _safe(name)


def _stored(name: str, path: str) -> str:
    """A name that ARI knows, without its ending; folders in it are escaped."""
    below = _safe(path.partition("/recording/")[2]) if "/recording/" in path else _below(name, path)
    return quote(below.rpartition(".")[0] or below, safe="")


def _safe(path: str) -> str:
    if ".." in path.split("/"):
        raise Rejected("the recording's name leads out of the folder of recordings", code="name")
    return path.lstrip("/")


def _is_whole(audio: Audio) -> bool:
    """A file that is still written is shorter than it says, or says nothing yet."""
    size = audio.content.seek(0, os.SEEK_END)
    audio.content.seek(0)
    head = audio.content.read(8)
    audio.content.seek(0)
    if size <= EMPTY:
        return False
    return not head.startswith(b"RIFF") or EMPTY < int.from_bytes(head[4:8], "little") + 8 <= size
