"""Repeated work without a leader: whoever moves a task's due time on, in any process, runs it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog
from django.db.models import Q
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
    due_at = dict(Schedule.objects.filter(due_at__gt=now).values_list("name", "due_at"))
    ran = 0
    for name, (task, seconds) in _tasks.items():
        # Later than that it was put by a clock that has been put back since.
        waits = name in due_at and due_at[name] <= now + timedelta(seconds=seconds)
        if waits or not _mine(name, seconds):
            continue
        try:
            task()
        except Exception:
            log.exception("scheduled task failed", task=name)
        ran += 1
    return ran


def _mine(name: str, seconds: int) -> bool:
    now = timezone.now()
    following = now + timedelta(seconds=seconds)
    Schedule.objects.get_or_create(name=name, defaults={"due_at": now})
    due = Schedule.objects.filter(Q(due_at__lte=now) | Q(due_at__gt=following), name=name)
    return bool(due.update(due_at=following))
