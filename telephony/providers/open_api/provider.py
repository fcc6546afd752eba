"""The open telephony API as a provider: who is connected by it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from outbound.http import Http
from telephony.providers.base import Audio, Brand, Capability, Check, HistoryLeg, Secrets
from telephony.providers.telephony_api import TelephonyApi

from . import checks
from .forms import HISTORY, OpenApiForm
from .self_test import OpenApiTest
from .virtual_ats import VirtualAts


class OpenApi(TelephonyApi):
    """The telephony API that Planfix publishes for PBXs, from the other side: whoever can be connected to Planfix by it
    can be connected to us."""

    slug = "open_api"
    title = "Open telephony API"
    brands = (
        Brand(
            "open_api",
            "Open telephony API",
            aliases=("Любая АТС", "API", "Open API", "Другая АТС"),
            without=HISTORY,
        ),
        Brand("iptel", "IpTel", countries=("UA",), aliases=("АйПиТел", "IP Tel"), without=HISTORY),
        Brand("macarena", "Macarena", aliases=("Макарена", "mac-sol"), without=HISTORY),
        Brand(
            "azerizone",
            "Azerizone",
            countries=("AZ",),
            aliases=("Азеризон", "VirtualATS", "vats.az"),
            defaults={"history_url": "https://web.vats.az/vats/api"},
        ),
    )
    capabilities = TelephonyApi.capabilities | {Capability.HISTORY}
    form = OpenApiForm
    # Our key is shown in the form: who sets up the PBX must enter it there.
    secret_fields = frozenset({"planfix_token", "pbx_token", "token", "history_key"})
    wire_names = {"planfix_token": "our_key", "token": "pbx_token"}
    key_names = ("planfix_token", "token")
    self_test = OpenApiTest()

    def able(self, secrets: Secrets) -> frozenset[Capability]:
        able = super().able(secrets)
        return able if VirtualAts.is_known(secrets) else able - {Capability.HISTORY}

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        return checks.run(http, secrets)

    def history(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> Iterator[HistoryLeg]:
        return VirtualAts(http, secrets).legs(since, until)

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        """What lies on the server of the history is fetched with the history's key."""
        virtual_ats = VirtualAts(http, secrets)
        if VirtualAts.is_known(secrets) and virtual_ats.has(url):
            return virtual_ats.audio(url)
        return super().recording(http, secrets, recording, url)
