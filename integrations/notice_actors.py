"""Dramatiq's doors into notices, apart from the others because what they rest on knows those."""

from __future__ import annotations

import dramatiq

from telephony.actors import LAST
from telephony.schedule import every

from . import notices


@dramatiq.actor(queue_name="default", priority=LAST)
def look_for_notices() -> None:
    notices.look()
    for company_id in notices.to_tell():
        tell_of_notices.send(company_id)


@dramatiq.actor(queue_name="default", priority=LAST)
def tell_of_notices(company_id: int) -> None:
    notices.tell(company_id)


@every(seconds=60)
def watch_for_troubles() -> None:
    look_for_notices.send()


@every(seconds=86_400)
def forget_old_notices() -> None:
    notices.forget_old()
