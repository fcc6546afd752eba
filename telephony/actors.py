"""Dramatiq's doors into telephony, and its repeated work."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import Any

import dramatiq
from django.db import transaction
from django.dispatch import receiver
from django.utils import timezone

from . import commands, exchanges, inbox, recordings, routing, tracking
from .models import Call, Recording
from .schedule import every
from .signals import calls_changed


@dramatiq.actor(queue_name="recordings", time_limit=300_000)
def fetch_recording(recording_id: int) -> None:
    recordings.fetch(recording_id)


@dramatiq.actor(queue_name="default")
def look_up_visitor(call_id: int) -> None:
    tracking.look_up(call_id)


@receiver(calls_changed, sender=Call)
def enqueue_what_follows(calls: list[Call], **_: Any) -> None:
    """Recordings that may be fetched, callers in a greeting, visitors to be recognised while the call lives."""
    for call in calls:
        for recording in call.audio:
            if recording.state == Recording.State.READY and recording.attempts == 0:
                transaction.on_commit(partial(_fetch_by_key, call.pk, recording.key))
        if "waiting_leg" in call.changes and routing.wanted(call):
            transaction.on_commit(partial(routing.begin, call.pk, time.monotonic()))
        if tracking.wanted(call):
            transaction.on_commit(partial(look_up_visitor.send, call.pk))


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


@every(seconds=15)
def close_silent_calls() -> None:
    inbox.close_silent_calls()


@every(seconds=60)
def mend_after_a_clock_step() -> None:
    exchanges.limiter.mend_after_a_clock_step()
    recordings.mend_after_a_clock_step()


@every(seconds=60)
def fail_unanswered_commands() -> None:
    commands.fail_unanswered(timezone.now() - timedelta(minutes=5))
