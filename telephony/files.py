"""Files in the storage, so that none is ever lost sight of, whenever a process dies.

A file is written down as loose before it is stored, and again in the transaction that takes it from its recording. A
recording adopts it in the transaction that names it. So a recording never names a file that is not stored yet or is
removed, and what no recording names is found here and removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import IO

import structlog
from django.core.files import File
from django.core.files.storage import default_storage
from django.utils import timezone

from .hot import hot_write
from .models import LooseFile

log = structlog.get_logger(__name__)

HOLD = timedelta(hours=1)
"""How long a worker may take to store a file and to name it."""


class StorageRefused(Exception):
    """The disk is full, S3 refuses or cannot be reached: nothing can be stored now. In its own words."""


def save(name: str, content: IO[bytes]) -> None:
    """Store a file under `name`, which nobody has used before; it is loose until it is adopted."""
    with hot_write():
        LooseFile.objects.create(name=name, held_until=timezone.now() + HOLD)
    try:
        default_storage.save(name, File(content))
    except Exception as error:  # each storage has errors of its own
        log.exception("a recording cannot be stored", file=name)
        raise StorageRefused(f"{type(error).__name__}: {error}") from error


def adopt(name: str) -> bool:
    """Inside the transaction that names the file. False: it took too long, the file is being removed."""
    return bool(LooseFile.objects.filter(name=name, held_until__isnull=False).delete()[0])


def drop(names: Iterable[str]) -> None:
    """Inside the transaction after which nobody names these files any more."""
    LooseFile.objects.bulk_create([LooseFile(name=name) for name in names])


def missing(name: str) -> bool:
    """Whether the storage surely lacks a file."""
    try:
        return not default_storage.exists(name)
    except Exception:
        log.exception("the storage cannot be asked")
        return False


def remove_loose(limit: int = 500) -> int:
    """Remove files that nobody names; returns how many. One that cannot be removed now comes again."""
    with hot_write():
        LooseFile.objects.filter(held_until__lt=timezone.now()).update(held_until=None)
    removed = 0
    for row in LooseFile.objects.filter(held_until=None)[:limit]:
        try:
            default_storage.delete(row.name)
        except Exception:
            log.exception("a file cannot be removed", file=row.name)
            continue
        row.delete()
        removed += 1
    return removed
