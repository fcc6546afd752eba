"""A company between an emulated PBX and an emulated CRM, in a product that runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telephony.providers import registry
from tests.emulators.crm import Crm
from tests.emulators.pbx import Pbx
from tests.stack import Stack, company

CONNECTION, ACCOUNT = "pbx", "account"
"""Their keys in the file of `provision`."""

_LEAD = """
from integrations import crm_setup
from integrations.models import Credential
from telephony.models import Connection
for name, known in PBXS.items():
    row = Connection.objects.get(name=name)
    row.credentials = {**row.credentials, **known}
    row.save()
for row in Credential.objects.all():
    row.values = {**row.values, **CRMS.get(row.name, {})}
    row.save()
    crm_setup.prepare(row)
"""


def company_between(name: str, provider: str, pbx: Pbx, adapter: str, crm: Crm) -> dict[str, Any]:
    """As `provision` reads it; its connection and its account have the name too."""
    row = company("", "", f"Shop {name}")
    row["users"][0]["email"] = f"owner@{name.replace('_', '-')}.example"
    row["connections"][0] |= {
        "key": CONNECTION,
        "provider": provider,
        "brand": registry.get(provider).brands[0].slug,
        "name": name,
        "credentials": {**pbx.secrets, **pbx.typed},
    }
    keys = {**crm.secrets, **crm.typed}
    row["crm_credentials"] = [{"key": ACCOUNT, "crm": adapter, "name": name, "credentials": keys}]
    row["integrations"][0] |= {
        "credential": ACCOUNT,
        "settings": crm.settings,
        "employee_mapping": [{"extension": number, "crm_user": user} for number, user in crm.users.items() if user],
    }
    return row


def lead_to_emulators(stack: Stack, pbxs: Mapping[str, Pbx], crms: Mapping[str, Crm]) -> None:
    """The addresses of vendors whose forms take none of this machine; and what a click on "set up" does."""
    typed_pbxs = {name: pbx.secrets for name, pbx in pbxs.items() if pbx.typed}
    typed_crms = {name: dict(crm.secrets) for name, crm in crms.items() if crm.typed}
    stack.shell(f"PBXS, CRMS = {typed_pbxs!r}, {typed_crms!r}\n{_LEAD}")
