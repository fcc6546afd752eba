"""What must be true for a connection to work. Of the PBX nothing can be asked without making it ring; of its history,
where it has one, everything."""

from __future__ import annotations

from django.utils.translation import pgettext

from outbound.errors import CredentialsRefused, OutboundError
from outbound.http import Http
from telephony.providers.base import Check, Secrets

from .virtual_ats import VirtualAts


def run(http: Http, secrets: Secrets) -> list[Check]:
    history = _history(http, secrets) if VirtualAts.is_known(secrets) else []
    return [*history[:1], *_pbx(secrets), *history[1:]]


def _pbx(secrets: Secrets) -> list[Check]:
    both = bool(secrets.get("pbx_url")) == bool(secrets.get("pbx_token"))
    cure = pgettext("Open API", "Enter both the address and the key of your PBX, or neither.")
    dials = pgettext("Open API", "Without the address of your PBX nothing can be dialled from here.")
    return [
        Check(pgettext("Open API", "The PBX's address and key belong together"), both, "" if both else cure),
        Check(pgettext("Open API", "Calls can be dialled"), True, "" if secrets.get("pbx_url") else dials),
    ]


def _history(http: Http, secrets: Secrets) -> list[Check]:
    """The server, and the key where the server answers."""
    server = pgettext("Open API", "The server of the call history answers")
    key = pgettext("Open API", "The call history accepts the key")
    try:
        VirtualAts(http, secrets).try_out()
    except CredentialsRefused as error:
        cure = pgettext(
            "Open API", "Ask the PBX's support for the header and its value, and enter both as they are told."
        )
        return [Check(server, True), Check(key, False, f"{cure} ({error.words})")]
    except OutboundError as error:
        cure = pgettext("Open API", "Check the address of the call history.")
        return [Check(server, False, f"{cure} ({error.words})")]
    return [Check(server, True), Check(key, True)]
