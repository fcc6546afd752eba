"""Whose client somebody is: the CRM's responsible user, as an employee of ours."""

from __future__ import annotations

from collections.abc import Iterable

from clients.models import Client
from employees.models import Company, Extension

from .models import EmployeeMapping


def names(company: Company, clients: Iterable[Client]) -> dict[int, str]:
    """By client: the employee who is mapped to his personal manager in that CRM account, else the one who has the
    manager's extension. Two questions for all of them; who is not known here is left out."""
    clients = list(clients)
    mapped = _mapped(company, {client.manager for client in clients if client.manager})
    extensions = {client.manager_extension for client in clients if client.manager_extension}
    rows = Extension.objects.filter(company=company, number__in=extensions, employee__isnull=False)
    shorts = dict(rows.values_list("number", "employee__name"))
    found = {
        client.pk: mapped.get((client.source, client.manager)) or shorts.get(client.manager_extension)
        for client in clients
    }
    return {pk: name for pk, name in found.items() if name}


def _mapped(company: Company, users: set[str]) -> dict[tuple[str, str], str]:
    """By account (as the client book names it) and user of the CRM."""
    rows = EmployeeMapping.objects.filter(integration__company=company, crm_user__in=users)
    credential = "integration__credential__"
    columns = rows.values_list(f"{credential}crm", f"{credential}uuid", "crm_user", "employee__name")
    return {(f"{crm}:{uuid}", user): name for crm, uuid, user, name in columns}
