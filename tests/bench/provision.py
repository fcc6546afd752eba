"""Run inside the product (`manage.py shell`): companies with a PBX and a portal each, printed as JSON."""

from __future__ import annotations

import json
from typing import Any

from .portals import host_of

WITHOUT_FORWARDING = 4
SALT = "bench0vpbx0api0salt0000000000000"


def run(companies: int, mango_url: str, crm_port: int) -> None:
    """The first companies forward nobody, so that their calls cost no look-up; the others to the personal manager."""
    from django.db import transaction

    with transaction.atomic():
        made = [
            _company(number, mango_url, f"http://{host_of(number)}:{crm_port}") for number in range(1, companies + 1)
        ]
    print("ACCOUNTS " + json.dumps(made))


def _company(number: int, mango_url: str, portal_url: str) -> dict[str, str]:
    from employees.models import Company, Employee, Extension
    from integrations.models import Credential, EmployeeMapping, Integration
    from telephony.models import Connection, VirtualNumber

    company = Company.objects.create(name=f"Company {number}")
    portal, key = f"portal{number}", f"bench0vpbx0api0key{number:014d}"
    connection = Connection(company=company, provider="mango", brand="mango", name="Mango", clock_shift=0)
    connection.credentials = {"api_url": mango_url, "api_key": key, "api_salt": SALT, "greeting_seconds": "2.5"}
    connection.save()
    VirtualNumber.objects.create(connection=connection, number="+74950000001", line_name="Ads")
    credential = Credential(company=company, crm="bitrix24", name="Portal", state=Credential.State.READY)
    credential.values = _portal(portal, portal_url)
    credential.save()
    integration = Integration.objects.create(
        company=company, credential=credential, active=True, settings=_settings(number > WITHOUT_FORWARDING)
    )
    integration.connections.add(connection)
    for name, extension, user in (("Anna", "101", "12"), ("Boris", "102", "13"), ("Vera", "103", "14")):
        employee = Employee.objects.create(company=company, name=name)
        Extension.objects.create(company=company, number=extension, handling="employee", employee=employee)
        EmployeeMapping.objects.create(integration=integration, employee=employee, crm_user=user)
    return {"token": connection.address.token, "key": key, "salt": SALT, "portal": portal}


def _portal(name: str, url: str) -> dict[str, str]:
    return {
        "domain": url,
        "client_id": "local.0000000000000000.00000001",
        "client_secret": "demo-client-secret",
        "oauth_url": url,
        "access_token": f"{name}-access",
        "refresh_token": f"{name}-refresh",
        "application_token": f"{name}-application-token",
        "member_id": f"{name}-member",
    }


def _settings(forward: bool) -> dict[str, Any]:
    return {
        "telephony_mode": "ip",
        "forward_to_personal_manager": forward,
        "create_entity_incoming": False,
        "default_responsible_incoming": "1",
        "assign_incoming_to": "first",
        "create_entity_outgoing": False,
        "default_responsible_outgoing": "1",
        "use_call_tracking": False,
        "utm_tags": ["utm_source", "utm_medium"],
        "post_call_message_to_chat": False,
    }
