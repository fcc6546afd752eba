"""Integrations that want the same calls for the same account."""

from __future__ import annotations

from typing import NamedTuple

from .crm_setup import lines_of
from .models import Integration


class Overlap(NamedTuple):
    """Another integration that wants the same calls for the same account. `numbers`: of which lines; empty: of all."""

    other: Integration
    numbers: list[str]
    first: bool


def overlaps(row: Integration) -> list[Overlap]:
    """Nothing is doubled: the first of them writes a call. But people wonder where its settings went."""
    others = Integration.objects.filter(company=row.company, active=True).exclude(pk=row.pk)
    others = others.filter(connections__in=row.connections.all()).select_related("credential").distinct()
    if not row.active:
        return []
    found = []
    mine = {line.number for line in lines_of([row])}
    for other in others.order_by("id"):
        if other.credential.account != row.credential.account:
            continue
        both = mine & {line.number for line in lines_of([other])}
        filtered = row.filter_numbers or other.filter_numbers
        if both or not filtered:
            found.append(Overlap(other, sorted(both) if filtered else [], other.pk < row.pk))
    return found
