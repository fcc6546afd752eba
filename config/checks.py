"""What must be right before the product starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from employees import installation


@register(Tags.database)
def encryption_key(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """`check --database default`: the key must decrypt what is stored."""
    if not databases:
        return []
    try:
        installation.check_encryption()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="callbridge.E001")]
    except DatabaseError:
        return []  # not migrated yet
    return []


@register(Tags.security, deploy=True)
def memory_broker(**_: Any) -> list[CheckMessage]:
    """A queue in one process serves only that process."""
    if settings.BROKER_URL.startswith("memory:") and not settings.SQLITE:
        hint = "Set BROKER_URL to Redis or RabbitMQ, or run a single `manage.py serve` process."
        return [
            Error(
                "PostgreSQL with a queue in memory: other processes would not share it.",
                hint=hint,
                id="callbridge.E002",
            )
        ]
    return []
