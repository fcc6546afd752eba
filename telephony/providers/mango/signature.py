"""The envelope of every Mango request, in both directions: a form with the account's key, a signature and JSON text.

Source: official document of the VPBX API v1.9, "Request format".
"""

from __future__ import annotations

import hashlib
import hmac
import json as jsonlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

FIELDS = ("vpbx_api_key", "sign", "json")
_MOST_FIELDS = 16


@dataclass(frozen=True, slots=True)
class Envelope:
    """What came: `json` is the text exactly as the vendor signed it."""

    key: str
    sign: str
    json: str

    def from_account(self, key: str) -> bool:
        return hmac.compare_digest(_bytes(self.key), _bytes(key))

    def genuine(self, salt: str) -> bool:
        return hmac.compare_digest(_bytes(self.sign.lower()), sign(self.key, self.json, salt).encode())


def sign(key: str, json: str, salt: str) -> str:
    """Lower-case hex SHA-256 of the plain concatenation. It is no HMAC, and it is over the text that is sent."""
    return hashlib.sha256(_bytes(key + json + salt)).hexdigest()


def seal(key: str, salt: str, payload: Any) -> dict[str, str]:
    """The form of a request of ours. The document wants JSON without blanks."""
    json = jsonlib.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return {"vpbx_api_key": key, "sign": sign(key, json, salt), "json": json}


def open_envelope(body: bytes) -> Envelope:
    """Read a form; raises `ValueError` when it is not one with each of the three fields once."""
    # Bytes that are no UTF-8 are kept as surrogates: the hash is over what was sent, whatever that was.
    text = body.decode("utf-8", "surrogateescape")
    pairs = parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=_MOST_FIELDS)
    ours = [(name, value) for name, value in pairs if name in FIELDS]
    fields = dict(ours)
    if len(fields) != len(FIELDS) or len(ours) != len(FIELDS):
        raise ValueError("not a form with vpbx_api_key, sign and json")
    return Envelope(fields["vpbx_api_key"], fields["sign"], fields["json"])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
