"""Dramatiq's doors into integrations, and their repeated work."""

from __future__ import annotations

import threading

import dramatiq
from django.db.models import QuerySet

from telephony.actors import LAST
from telephony.hot import hot_write, persistently
from telephony.models import Call
from telephony.schedule import every

from . import card_writes, claims, clocks, crm_events, crm_setup, keeping, lookups, modes, radar, replays, sync
from .models import CallSync, Credential

_exports = threading.BoundedSemaphore(2)
"""Files written at a time in this process: they keep the processor busy."""


@dramatiq.actor(queue_name="sync", time_limit=600_000)
def sync_calls(credential_id: int) -> None:
    """Bring the calls that are due in a CRM account into it."""
    again = sync.work_off(credential_id)
    if again is not None and again < 60:
        sync_calls.send_with_options(args=(credential_id,), delay=max(50, int(again * 1000)))


def retry(rows: QuerySet[CallSync]) -> int:
    """Try parked or waiting-for-later rows again, now; returns how many. One message for each account."""
    credentials = list(rows.values_list("credential", flat=True).order_by().distinct())

    def again() -> int:
        with hot_write():
            return sync.retry(rows)

    count = persistently(again)
    for credential_id in credentials:
        sync_calls.send(credential_id)
    return count


@dramatiq.actor(queue_name="default")
def handle_crm_event(event_id: int) -> None:
    """Do what a stored event of a CRM asks for."""
    again = crm_events.handle(event_id)
    if again is not None and again < 60:
        handle_crm_event.send_with_options(args=(event_id,), delay=max(50, int(again * 1000)))


@dramatiq.actor(queue_name="default")
def set_up_again(credential_id: int) -> None:
    """Something that the CRM had of ours is gone there."""
    credential = Credential.objects.select_related("company").get(pk=credential_id)
    if credential.state == Credential.State.READY and modes.in_browser(credential):
        crm_setup.prepare(credential)


@dramatiq.actor(queue_name="default")
def look_up_client(call_id: int, credential_id: int, detailed: bool = False) -> None:
    """Somebody looks at a live call of whose client the book has nothing fresh."""
    call = Call.objects.get(pk=call_id)
    lookups.ask(call, Credential.objects.select_related("company").get(pk=credential_id), detailed=detailed)


@dramatiq.actor(queue_name="default")
def write_from_card(write_id: int) -> None:
    card_writes.carry_out(write_id)


@every(seconds=5)
def sweep_card_writes() -> None:
    for write_id in card_writes.waiting():
        write_from_card.send(write_id)


@dramatiq.actor(queue_name="default", time_limit=600_000)
def delete_old_crm_events() -> None:
    keeping.delete_old()


@dramatiq.actor(queue_name="default", priority=LAST, time_limit=3_600_000)
def write_export(export_id: int) -> None:
    from . import exports  # they read what `plan` decides, and that imports this module

    if not _exports.acquire(blocking=False):
        return  # the sweep brings it again
    try:
        exports.work(export_id)
    finally:
        _exports.release()


@every(seconds=5)
def sweep_exports() -> None:
    from . import exports

    for export_id in exports.due():
        write_export.send(export_id)


@every(seconds=3600)
def delete_what_is_old() -> None:
    delete_old_crm_events.send()


@every(seconds=2)
def sweep_sync() -> None:
    """Find work that a broker lost, or whose time has come."""
    for credential_id in claims.accounts_with_work():
        sync_calls.send(credential_id)


@dramatiq.actor(queue_name="default")
def retire_unused() -> None:
    crm_setup.retire_unused()


@dramatiq.actor(queue_name="default", priority=LAST, time_limit=300_000)
def look_for_doubles(credential_id: int) -> None:
    radar.look(Credential.objects.select_related("company").get(pk=credential_id))


@every(seconds=3600)
def look_who_else_writes() -> None:
    for credential_id in radar.due():
        look_for_doubles.send(credential_id)


@every(seconds=60)
def take_down_what_nobody_needs() -> None:
    retire_unused.send()


@every(seconds=60)
def mend_after_a_clock_step() -> None:
    clocks.mend()


@every(seconds=5)
def sweep_crm_events() -> None:
    for event_id in crm_events.waiting():
        handle_crm_event.send(event_id)


@dramatiq.actor(queue_name="default", priority=LAST, time_limit=600_000)
def replay_events(replay_id: int) -> None:
    """Try a batch of failed events again, and go on with the next one."""
    again = replays.work(replay_id)
    if again is not None:
        replay_events.send_with_options(args=(replay_id,), delay=int(again * 1000) or None)


@every(seconds=5)
def sweep_replays() -> None:
    for replay_id in replays.due():
        replay_events.send(replay_id)


@every(seconds=86_400)
def forget_old_replays() -> None:
    replays.forget_old()
