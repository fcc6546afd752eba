"""Repeated work without a leader: whoever moves a task's due time on, in any process, runs it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog
from django.utils import timezone

from .models import Schedule

log = structlog.get_logger(__name__)

Task = Callable[[], object]
_tasks: dict[str, tuple[Task, int]] = {}


def every(seconds: int) -> Callable[[Task], Task]:
    """Register a task to be run about every so many seconds, once over all processes."""

    def register(task: Task) -> Task:
        _tasks[f"{task.__module__}.{task.__name__}"] = (task, seconds)
        return task

    return register


def run_due() -> int:
    """Run what is due; returns how many tasks ran here."""
    now = timezone.now()
    waiting = set(Schedule.objects.filter(due_at__gt=now).values_list("name", flat=True))
    ran = 0
    for name, (task, seconds) in _tasks.items():
        if name in waiting or not _mine(name, seconds):
            continue
        try:
            task()
        except Exception:
            log.exception("scheduled task failed", task=name)
        ran += 1
    return ran


def _mine(name: str, seconds: int) -> bool:
    now = timezone.now()
    Schedule.objects.get_or_create(name=name, defaults={"due_at": now})
    due = Schedule.objects.filter(name=name, due_at__lte=now)
    return bool(due.update(due_at=now + timedelta(seconds=seconds)))
