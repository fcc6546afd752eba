"""Dramatiq's doors into telephony, and its repeated work."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import dramatiq
from django.conf import settings
from django.dispatch import receiver
from django.utils import timezone

from employees.api import keeping as api_keeping

from . import (
    commands,
    exchanges,
    files,
    history,
    keeping,
    planner,
    pulse,
    recordings,
    routing,
    tracking,
    trials,
    watchdog,
)
from .hot import after_commit
from .models import Call, Recording
from .schedule import every
from .signals import calls_changed

LATER, LAST = 10, 20
"""Dramatiq's priorities: a worker with a choice takes calls' steps in CRMs (0) first."""
_downloads = threading.BoundedSemaphore(max(1, settings.WORKER_THREADS // 4))
"""Most worker threads stay free for what is happening now."""


@dramatiq.actor(queue_name="recordings", priority=LATER, time_limit=600_000)
def fetch_recording(recording_id: int) -> None:
    if not _downloads.acquire(blocking=False):
        return  # the sweep brings it again
    try:
        recordings.fetch(recording_id)
    finally:
        _downloads.release()


@dramatiq.actor(queue_name="default", priority=LAST, time_limit=600_000)
def delete_old() -> None:
    keeping.delete_old()


@dramatiq.actor(queue_name="default")
def look_up_visitor(call_id: int) -> None:
    tracking.look_up(call_id)


@dramatiq.actor(queue_name="history", priority=LAST, time_limit=600_000)
def look_into_history(run_id: int) -> None:
    """Waits for the PBX's report: a queue of its own, so that nothing else waits with it."""
    history.work(run_id)
    sweep_history()


@dramatiq.actor(queue_name="default")
def play_trial(call_id: int) -> None:
    """The next stage of a test call, when its time has come."""
    wait = trials.play(call_id)
    if wait is not None:
        play_trial.send_with_options(args=(call_id,), delay=max(50, int(wait * 1000)))


@receiver(calls_changed, sender=Call)
def enqueue_what_follows(calls: list[Call], **_: Any) -> None:
    """Recordings that may be fetched, callers in a greeting, visitors to be recognised while the call lives."""
    for call in calls:
        for recording in call.audio:
            if recording.state == Recording.State.READY and recording.attempts == 0:
                after_commit(_fetch_by_key, call.pk, recording.key)
        if "waiting_leg" in call.changes and routing.wanted(call):
            after_commit(routing.begin, call.pk, time.monotonic())
        if tracking.wanted(call):
            after_commit(look_up_visitor.send, call.pk)


def _fetch_by_key(call_id: int, key: str) -> None:
    row = Recording.objects.filter(call_id=call_id, key=key).values_list("id", flat=True).first()
    if row:
        fetch_recording.send(row)


@every(seconds=5)
def sweep_recordings() -> None:
    for recording_id in recordings.due():
        fetch_recording.send(recording_id)


@every(seconds=60)
def expect_quiet_recordings() -> None:
    recordings.expect_again()


@every(seconds=60)
def remove_loose_files() -> None:
    files.remove_loose()


@every(seconds=3600)
def delete_what_is_old() -> None:
    delete_old.send()


@every(seconds=60)
def forget_api_requests() -> None:
    api_keeping.delete_old()


@every(seconds=15)
def close_silent_calls() -> None:
    watchdog.close_silent_calls()


@every(seconds=60)
def mend_after_a_clock_step() -> None:
    exchanges.limiter.mend_after_a_clock_step()
    recordings.mend_after_a_clock_step()
    history.mend_after_a_clock_step()


@every(seconds=5)
def sweep_history() -> None:
    for run_id in history.due():
        look_into_history.send(run_id)


@every(seconds=5)
def sweep_trials() -> None:
    """Find test calls whose next stage a broker lost."""
    for call_id in trials.unfinished():
        play_trial.send(call_id)


@every(seconds=60)
def plan_comparisons() -> None:
    history.plan_comparisons()


@every(seconds=86_400)
def forget_old_runs() -> None:
    history.forget_old_runs()


@every(seconds=60)
def fail_unanswered_commands() -> None:
    commands.fail_unanswered(timezone.now() - timedelta(minutes=5))


@every(seconds=600)
def settle_planned_calls() -> None:
    planner.settle()


@dramatiq.actor(queue_name="default", priority=LAST, time_limit=600_000)
def roll_up_pulse() -> None:
    pulse.roll_up()
    pulse.forget_old()


@every(seconds=3600)
def count_days() -> None:
    roll_up_pulse.send()


@every(seconds=60)
def note_lines_down() -> None:
    pulse.note_lines_down()
