"""Changing what a call created in the CRM, and its activity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .rest import Command

TYPE_IDS = {"LEAD": 1, "DEAL": 2, "CONTACT": 3, "COMPANY": 4}


def update(kind: str, number: int, fields: Mapping[str, Any]) -> Command:
    """Change fields of an entity; they are in camelCase here."""
    return Command("crm.item.update", {"entityTypeId": TYPE_IDS[kind], "id": number, "fields": dict(fields)})


def update_activity(number: int, fields: Mapping[str, Any]) -> Command:
    """Change fields of an activity; they are in capitals here."""
    return Command("crm.activity.update", {"id": number, "fields": dict(fields)})
