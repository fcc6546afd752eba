"""The state of the installation as a whole: is the encryption key the right one, and has configuration changed?"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connection, models
from django.db.models import F
from django.db.models.signals import m2m_changed, post_delete, post_save

from .models import Installation

WRONG_KEY = (
    "FIELD_ENCRYPTION_KEY is not the key that this database was written with: nothing encrypted can be read. "
    "Set the old key again (to change keys put the new one in front of the old one, separated by a comma)."
)


def check_encryption() -> None:
    """Decrypt the canary; raises `ImproperlyConfigured` when the key is wrong (the field itself would stay silent)."""
    row, _ = Installation.objects.get_or_create(pk=1)
    if row.canary != Installation.CANARY:
        raise ImproperlyConfigured(WRONG_KEY)


seen = -1
"""The newest version of the configuration that this process knows of. What is remembered of configuration is kept
beside the version it was read at, and dropped when the two differ."""


def refresh() -> int:
    """Ask the database for the version of the configuration; it grows with every change in any process."""
    global seen
    with connection.cursor() as cursor:  # on the hot path: put together by hand
        cursor.execute("SELECT version FROM employees_installation WHERE id = 1")
        row = cursor.fetchone()
    seen = row[0] if row else 0
    return seen


def changed(**_: Any) -> None:
    """Configuration changed: every process drops what it remembers of it."""
    if not Installation.objects.filter(pk=1).update(version=F("version") + 1):
        Installation.objects.get_or_create(pk=1)


def watch(*configuration: type[models.Model], through: tuple[Any, ...] = ()) -> None:
    """Count every change of these models as a change of configuration."""
    for model in configuration:
        post_save.connect(changed, sender=model)
        post_delete.connect(changed, sender=model)
    for model in through:
        m2m_changed.connect(changed, sender=model)
