"""Dramatiq's doors into integrations, and their repeated work."""

from __future__ import annotations

import dramatiq

from telephony.schedule import every

from . import claims, crm_events, sync


@dramatiq.actor(queue_name="sync", time_limit=600_000)
def sync_call(sync_id: int) -> None:
    """Bring a call into its CRM, together with what else is due in the same account."""
    again = sync.work_off(sync_id)
    if again is not None and again < 60:
        sync_call.send_with_options(args=(sync_id,), delay=max(50, int(again * 1000)))


@dramatiq.actor(queue_name="default")
def handle_crm_event(event_id: int) -> None:
    crm_events.handle(event_id)


@every(seconds=2)
def sweep_sync() -> None:
    """Find work that a broker lost, or whose time has come."""
    for sync_id in claims.accounts_with_work():
        sync_call.send(sync_id)


@every(seconds=5)
def sweep_crm_events() -> None:
    for event_id in crm_events.waiting():
        handle_crm_event.send(event_id)
