"""The wire format of the VPBX API: form of three fields, signature, identifiers, an MP3 without a sound.

Every request in both directions is ``POST application/x-www-form-urlencoded`` with ``vpbx_api_key``, ``sign`` and
``json``; ``sign`` is the lower-case hex SHA-256 of ``key + json + salt`` (a plain concatenation, not HMAC).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any
from urllib.parse import quote

FORM = "application/x-www-form-urlencoded"
FIELDS = ("vpbx_api_key", "sign", "json")

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)
# One silent frame of MPEG-1 layer III, mono, 32 kbit/s, 44.1 kHz: header, then side information of zeros.
_MP3_FRAME = b"\xff\xfb\x10\xc4" + bytes(100)
_FRAME_SECONDS = 1152 / 44100


def sign(key: str, payload: str, salt: str) -> str:
    """SHA-256 of ``key + payload + salt``, lower-case hex."""
    return hashlib.sha256(f"{key}{payload}{salt}".encode()).hexdigest()


def link_sign(key: str, timestamp: str, recording_id: str, salt: str) -> str:
    """The signature of a public recording link: ``sha256(key + timestamp + recording_id + salt)``."""
    return hashlib.sha256(f"{key}{timestamp}{recording_id}{salt}".encode()).hexdigest()


def dumps(value: Any) -> str:
    """Compact JSON, the form that the documentation asks for."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def odd_dumps(value: Any) -> str:
    """JSON as a PHP vendor may write it: escaped slashes, \\u escapes, blanks. The signature fits this very string."""
    return json.dumps(value, ensure_ascii=True, separators=(", ", ": ")).replace("/", "\\/")


def form_body(key: str, salt: str, payload: str) -> bytes:
    """The form-encoded request around one JSON string."""
    return f"vpbx_api_key={quote(key)}&sign={sign(key, payload, salt)}&json={quote(payload, safe='')}".encode()


def has_blanks(payload: str) -> bool:
    """True when the JSON text has white space outside of its strings."""
    return any(char.isspace() for char in _STRINGS.sub("", payload))


def opaque(text: str) -> str:
    """Identifiers of the vendor look like base64 and are opaque."""
    return base64.b64encode(text.encode()).decode()


def mp3(recording_id: str, seconds: float) -> bytes:
    """A small valid MP3, the same for the same recording: an ID3 tag with its id, then silence (at most 20 s)."""
    title = b"\x00" + recording_id.encode()
    frame = b"TIT2" + len(title).to_bytes(4, "big") + b"\x00\x00" + title
    size = len(frame)
    syncsafe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    count = max(1, round(min(max(seconds, 1.0), 20.0) / _FRAME_SECONDS))
    return b"ID3\x03\x00\x00" + syncsafe + frame + _MP3_FRAME * count
