"""Dramatiq's doors into webhooks."""

from __future__ import annotations

import threading

import dramatiq
from django.conf import settings

from telephony.actors import LATER
from telephony.schedule import every

from . import deliveries

_lanes = threading.BoundedSemaphore(max(1, settings.WORKER_THREADS // 4))
_probes = threading.BoundedSemaphore(max(1, settings.WORKER_THREADS // 16))
"""Most worker threads stay free for what is happening now, and endpoints that fail wait for each other alone."""


@dramatiq.actor(queue_name="webhooks", priority=LATER, time_limit=600_000)
def deliver(endpoint_id: int) -> None:
    """Send what is due to an endpoint."""
    room = _probes if deliveries.fails(endpoint_id) else _lanes
    if not room.acquire(blocking=False):
        return  # the sweep brings it again
    try:
        deliveries.work_off(endpoint_id)
    finally:
        room.release()


@every(seconds=2)
def sweep_webhooks() -> None:
    """Find messages that a broker lost, or whose time has come."""
    for endpoint_id in deliveries.with_work():
        deliver.send(endpoint_id)
