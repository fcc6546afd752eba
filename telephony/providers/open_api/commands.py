"""What we ask of a PBX that speaks the open telephony API: dialling.

Source: the telephony API that Planfix publishes for PBXs. 200 is done; anything else is shown with the PBX's own words.
"""

from __future__ import annotations

import hashlib

from outbound.errors import CredentialsRefused, RateLimited, Rejected, Temporary
from outbound.http import Http
from outbound.limits import Limit
from telephony.providers.base import Secrets

_RATE = (2.0, 5)  # the page names no limit: what no PBX should mind
_SECONDS = 10.0


def dial(http: Http, secrets: Secrets, *, extension: str, phone: str) -> None:
    """Ring the employee, then the client. The answer names no call."""
    url, key = secrets.get("pbx_url", ""), secrets.get("pbx_token", "")
    if not url:
        raise Rejected("not sent: the connection has no address of the PBX", code="no_address")
    limit = Limit(f"open_api:{hashlib.sha256(f'{url} {key}'.encode()).hexdigest()[:16]}", *_RATE)
    wanted = {"cmd": "makeCall", "from": extension, "to": phone.lstrip("+"), "token": key}
    answer = http.request("POST", url, data=wanted, limits=(limit,), deadline=_SECONDS)
    words = f"HTTP {answer.status}: {answer.text[:200]}"
    if answer.status == 401:
        raise CredentialsRefused(words, code="http_401")
    if answer.status == 429:
        raise RateLimited(words, code="http_429", retry_after=5.0)
    if answer.status >= 500:
        raise Temporary(words, code=f"http_{answer.status}", fate_unknown=True)
    if answer.status != 200:
        raise Rejected(words, code=f"http_{answer.status}")
