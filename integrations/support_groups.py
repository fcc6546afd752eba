"""What people of our support may do: two groups, made once; whoever runs the installation may change them then.

Every member of staff sees the desk. *Support* looks and cures: tries calls and events again, gives links for new keys,
marks wishes as done, visits customers' portals to look. *Support lead* also changes what is set, and things on a visit.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

from employees.models import User

SUPPORT, LEAD = "Support", "Support lead"
CURES = frozenset({"telephony.change_pbxwish"})
SETTINGS = frozenset(
    {
        "employees.add_company",
        "employees.change_company",
        "employees.add_membership",
        "employees.change_membership",
        "employees.delete_membership",
        "employees.change_user",
        "employees.add_partner",
        "employees.change_partner",
        "employees.add_apikey",
        "employees.change_employee",
        "telephony.change_connection",
        "integrations.change_integration",
        "integrations.write_on_visit",
    }
)
MAY: dict[str, frozenset[str]] = {SUPPORT: CURES, LEAD: CURES | SETTINGS}


def make(**_: Any) -> None:
    """After a migration. Staff that was there before the groups looks and cures; who leads, a superuser says."""
    for name, may in MAY.items():
        group, new = Group.objects.get_or_create(name=name)
        if not new:
            continue
        group.permissions.set(_permissions(may))
        if name == SUPPORT:
            group.user_set.set(User.objects.filter(is_staff=True, is_superuser=False))


def _permissions(names: frozenset[str]) -> list[Permission]:
    wanted = Q()
    for name in names:
        app, _dot, codename = name.partition(".")
        wanted |= Q(content_type__app_label=app, codename=codename)
    return list(Permission.objects.filter(wanted))
