"""StreamTelecom as a provider: the published telephony API, and beside it the vendor's own events.

Source: the set-up page that Planfix has for it (its gateway, its key); the own events as `events` says.
"""

from __future__ import annotations

from django.utils.translation import pgettext

from outbound.http import Http
from telephony.providers.base import Audio, Brand, Check, Parsed, Reply, Request, Secrets
from telephony.providers.telephony_api import TelephonyApi
from telephony.providers.values import clean, form, load

from . import events, recordings
from .forms import StreamTelecomForm


class StreamTelecom(TelephonyApi):
    """What has a `cmd` is the published API, what has only an `event` is the vendor's own."""

    slug = "streamtelecom"
    title = "StreamTelecom"
    brands = (
        Brand(
            "streamtelecom",
            "StreamTelecom",
            countries=("UA",),
            aliases=("Stream Telecom", "СтримТелеком", "Стрим Телеком", "Стрім Телеком", "streamtele.com"),
        ),
    )
    form = StreamTelecomForm
    # Our key is shown in the form: StreamTelecom's manager must be told it.
    secret_fields = frozenset({"planfix_token", "pbx_token", "token"})
    wire_names = {"planfix_token": "our_key"}
    key_names = ("planfix_token", "token")

    # --- What StreamTelecom sends

    def fields(self, request: Request) -> dict[str, str]:
        """Its own events are JSON, and their key stands in the address. Raises `ValueError`."""
        if request.body.lstrip()[:1] != b"{":
            return super().fields(request)
        told = load(request.body.decode("utf-8", "replace"))
        plain = {name: value for name, value in told.items() if isinstance(value, (str, int))}
        return form(request.query) | {clean(name): clean(str(value)).strip() for name, value in plain.items()}

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        return Reply(200, b"") if events.are_own(self._told(request)) else super().reply(request, secrets)

    def parse(self, request: Request, secrets: Secrets) -> list[Parsed]:
        told = self._told(request)
        return events.read(told) if events.are_own(told) else super().parse(request, secrets)

    # --- What we ask of it

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        """Nothing can be asked of the gateway without making a phone ring."""
        ours, key = bool(secrets.get("our_key")), bool(secrets.get("pbx_token"))
        unproven = pgettext("StreamTelecom", "Without our key nothing that StreamTelecom sends is believed.")
        dials = pgettext("StreamTelecom", "Without the API key nothing can be dialled from here.")
        return [
            Check(
                pgettext("StreamTelecom", "StreamTelecom has a key to prove itself with"),
                ours,
                "" if ours else unproven,
            ),
            Check(pgettext("StreamTelecom", "Calls can be dialled"), True, "" if key else dials),
        ]

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        return recordings.fetch(http, secrets, url)
