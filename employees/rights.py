"""What each role may do in its company's portal."""

from __future__ import annotations

import enum

from .models import Membership, Role


class Right(enum.StrEnum):
    READ = "read"  # journal, passports, recordings
    WORK = "work"  # call, hang up, ask for a recording
    MANAGE = "manage"  # everything that is set
    OWN = "own"  # owners and their roles


RIGHTS: dict[str, frozenset[Right]] = {
    Role.OWNER: frozenset(Right),
    Role.ADMINISTRATOR: frozenset({Right.READ, Right.WORK, Right.MANAGE}),
    Role.OPERATOR: frozenset({Right.READ, Right.WORK}),
    Role.READ_ONLY: frozenset({Right.READ}),
}


def may(membership: Membership | None, right: Right) -> bool:
    return membership is not None and right in RIGHTS.get(membership.role, frozenset())


def last_owner(membership: Membership) -> bool:
    """Whether nobody else owns the company."""
    others = Membership.objects.filter(company=membership.company, role=Role.OWNER).exclude(pk=membership.pk)
    return not others.exists()
