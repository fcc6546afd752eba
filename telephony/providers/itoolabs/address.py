"""The address of a customer's PBX: each has a host of his own, and there is no other."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def base_url(typed: str) -> str:
    """`https://` and the host, whatever was pasted: with or without a scheme, a path, spaces. Raises `ValueError`.

    The key goes encrypted even where an address was copied with `http://`, unless it names a port (a test stand).
    """
    text = "".join(typed.split()).strip("\"'«»<>")
    parts = urlsplit(text if "://" in text else f"https://{text}")
    host, port = (parts.hostname or "").rstrip("."), parts.port
    if parts.scheme not in ("https", "http") or not _HOST.fullmatch(host) or len(host) > 253:
        raise ValueError("is no address of a PBX")
    if port:
        return f"{parts.scheme}://{host}:{port}"
    if "." not in host:
        raise ValueError("is only the beginning of an address")
    return f"https://{host}"


def is_own(link: str, base: str) -> bool:
    """Whether a link leads to the operator's servers: to the host of the PBX, or to one beside it in its zone
    (`records.megapbx.ru` beside `name.megapbx.ru`)."""
    there, here = urlsplit(link), urlsplit(base)
    host, own = there.hostname or "", here.hostname or ""
    zone = own.partition(".")[2]
    return there.scheme == here.scheme and (host == own or ("." in zone and host.endswith(f".{zone}")))
