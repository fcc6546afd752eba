"""Which user of a CRM each employee is («сопоставление сотрудников»): what is stored, and what is suggested."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from crm_adapters.base import CrmUser
from employees.models import Company, Employee

from . import crm_lists
from .models import EmployeeMapping, Integration


@dataclass
class Line:
    """An employee, and his user in the CRM. `listed`: whom the CRM tells; empty where it does not say."""

    employee: Employee
    extensions: str
    listed: frozenset[str] = frozenset()
    user: str = ""
    user_name: str = ""
    use: bool = True
    suggested: bool = False

    @property
    def gone(self) -> bool:
        """The CRM tells its users, and he is not among them."""
        return bool(self.listed and self.user and self.user not in self.listed)

    @property
    def user_field(self) -> str:
        return f"user_{self.employee.uuid}"

    @property
    def use_field(self) -> str:
        return f"use_{self.employee.uuid}"


def stored(integration: Integration) -> dict[int, EmployeeMapping]:
    """By the employee's id."""
    return {row.employee_id: row for row in integration.mapping.all()}


def lines(company: Company, stored: Mapping[int, EmployeeMapping], users: Collection[CrmUser]) -> list[Line]:
    """All employees by name: whom they are mapped to, else who is suggested."""
    listed = frozenset(user.id for user in users)
    names = {user.id: user.name for user in users}
    people = Employee.objects.filter(company=company).select_related("company").order_by("name")
    found = []
    for person in people.prefetch_related("extensions", "phones"):
        line = Line(person, ", ".join(row.number for row in person.extensions.all()), listed)
        if row := stored.get(person.pk):
            line.user, line.user_name, line.use = row.crm_user, row.crm_user_name, row.use_for_personal_manager
        else:
            line.user = crm_lists.suggestion(person, users)
            line.user_name, line.suggested = names.get(line.user, ""), bool(line.user)
        found.append(line)
    return found


def store(integration: Integration, wanted: Mapping[int, tuple[str, bool]], users: Collection[CrmUser]) -> None:
    """Keep the user, and whether he is used to find the personal manager, of these employees; of others nothing
    changes. An employee whose user is empty is mapped no more."""
    names = {user.id: user.name for user in users}
    for row in integration.mapping.filter(employee__in=[pk for pk, (user, _use) in wanted.items() if not user]):
        row.delete()
    for pk, (user, use) in wanted.items():
        if not user:
            continue
        known = {"crm_user": user, "use_for_personal_manager": use}
        if user in names:
            known["crm_user_name"] = names[user][:200]
        EmployeeMapping.objects.update_or_create(integration=integration, employee_id=pk, defaults=known)
