"""The open telephony API as a provider: who is connected by it."""

from __future__ import annotations

from django.utils.translation import pgettext

from outbound.http import Http
from telephony.providers.base import Brand, Check, Secrets
from telephony.providers.telephony_api import TelephonyApi

from .forms import OpenApiForm


class OpenApi(TelephonyApi):
    """The telephony API that Planfix publishes for PBXs, from the other side: whoever can be connected to Planfix by it
    can be connected to us."""

    slug = "open_api"
    title = "Open telephony API"
    brands = (
        Brand("open_api", "Open telephony API", aliases=("Любая АТС", "API", "Open API", "Другая АТС")),
        Brand("iptel", "IpTel", countries=("UA",), aliases=("АйПиТел", "IP Tel")),
        Brand("macarena", "Macarena", aliases=("Макарена", "mac-sol")),
        Brand("azerizone", "Azerizone", countries=("AZ",), aliases=("Азеризон", "VirtualATS", "vats.az")),
    )
    form = OpenApiForm
    # Our key is shown in the form: who sets up the PBX must enter it there.
    secret_fields = frozenset({"planfix_token", "pbx_token", "token"})
    wire_names = {"planfix_token": "our_key", "token": "pbx_token"}
    key_names = ("planfix_token", "token")

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        """Nothing can be asked of such a PBX without making it ring."""
        both = bool(secrets.get("pbx_url")) == bool(secrets.get("pbx_token"))
        cure = pgettext("Open API", "Enter both the address and the key of your PBX, or neither.")
        dials = pgettext("Open API", "Without the address of your PBX nothing can be dialled from here.")
        return [
            Check(pgettext("Open API", "The PBX's address and key belong together"), both, "" if both else cure),
            Check(pgettext("Open API", "Calls can be dialled"), True, "" if secrets.get("pbx_url") else dials),
        ]
