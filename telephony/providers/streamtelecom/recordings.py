"""Fetching a recording by its link.

Whether a link of the vendor's own events wants the API key is not documented: it is tried without, and with the key
where the vendor's own server refuses that. The key goes to no other server.
"""

from __future__ import annotations

from outbound.errors import Rejected, VendorFault
from outbound.http import Http
from telephony.providers.base import Audio, Secrets
from telephony.providers.telephony_api import hiding, same_server

_REFUSED = frozenset({"http_401", "http_403"})


def fetch(http: Http, secrets: Secrets, link: str) -> Audio:
    """Raises `outbound.errors`."""
    if not link:
        raise Rejected("StreamTelecom gave no link to the recording", code="no_link")
    http = hiding(http, link)
    try:
        return Audio.fetched(http, link)
    except VendorFault as error:
        key = secrets.get("pbx_token", "")
        if error.code not in _REFUSED or not key or not same_server(link, secrets.get("pbx_url", "")):
            raise
    return Audio.fetched(http, link, headers={"Authorization": f"Bearer {key}"})
