"""Zadarma's two signatures: of our requests, and of its notifications.

Both are the base64 of the *hexadecimal text* of an HMAC-SHA1, not of its bytes.
Source: the vendor's PHP SDK (`lib/Client.php`, `lib/Webhook/*.php`), confirmed on logged traffic.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlencode

# What each notification is signed over: these values, one after the other. Duration and outcome are not among them.
_CALLER, _DIALLED = ("caller_id", "called_did", "call_start"), ("internal", "destination", "call_start")
_SIGNED: Mapping[str, tuple[str, ...]] = {
    "NOTIFY_START": _CALLER,
    "NOTIFY_INTERNAL": _CALLER,
    "NOTIFY_INTERNAL_END": _CALLER,
    "NOTIFY_END": _CALLER,
    "NOTIFY_IVR": _CALLER,
    "NOTIFY_ANSWER": ("caller_id", "destination", "call_start"),
    "NOTIFY_OUT_START": _DIALLED,
    "NOTIFY_OUT_END": _DIALLED,
    "NOTIFY_RECORD": ("pbx_call_id", "call_id_with_rec"),
}
_OTHERS = ("result",)


def sign(secret: str, text: str) -> str:
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha1).hexdigest()
    return base64.b64encode(digest.encode()).decode()


def authorization(key: str, secret: str, path: str, params: Mapping[str, str]) -> str:
    """The header of a request of ours to `path` with these parameters (of the query or the form)."""
    query = urlencode(sorted(params.items()))
    digest = hashlib.md5(query.encode(), usedforsecurity=False).hexdigest()
    return f"{key}:{sign(secret, path + query + digest)}"


def genuine(fields: Mapping[str, str], signature: str, secret: str) -> bool:
    """Whether a notification with these fields was signed with `secret`. It may be a repeated one: there is no time in
    it, and the beginning and the end of a call are signed alike."""
    signed = "".join(fields.get(name, "") for name in _SIGNED.get(fields.get("event", ""), _OTHERS))
    return hmac.compare_digest(signature.encode(), sign(secret, signed).encode())
