"""A task to call back, after a missed call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import Done, Job, NotMade, Result, Said, Work
from outbound.errors import OutboundError, Rejected

from . import api, people, unknown, wire
from .api import Account

CALL = 1
"""The type of tasks that every account has: a contact with the client."""
KINDS = ("leads", "contacts", "companies")
"""What a task may belong to."""
MINUTES = 60


def missing(job: Job) -> bool:
    """An entry among the unsorted ones is a task in itself, and cannot have one before it is accepted."""
    missed = not people.outgoing(job.facts) and job.facts.outcome != "answered"
    if not missed or not job.settings.get("task_after_missed") or "task" in job.progress:
        return False
    return (job.progress.get("entity") or [""])[0] in KINDS and not job.progress.get("waiting")


def task(account: Account, works: Sequence[Work]) -> list[Result]:
    objects = {work.job.facts.id: _task(work.job) for work in works}
    made = api.bulk(account, "POST", "/api/v4/tasks", objects, "tasks")
    return [_made(made[work.job.facts.id]) for work in works]


def _task(job: Job) -> dict[str, Any]:
    kind, entity = job.progress["entity"]
    user = people.responsible(job)
    chosen = str(job.settings.get("task_type") or "")
    return {
        "text": text(job),
        "complete_till": deadline(job),
        "task_type_id": int(chosen) if chosen.isdecimal() else CALL,
        "entity_type": kind,
        "entity_id": entity,
        **({"responsible_user_id": people.number(user)} if user else {}),
        "request_id": job.facts.id,
    }


def text(job: Job) -> str:
    return unknown.filled(str(job.settings.get("task_text") or "{phone}"), job.facts)


def deadline(job: Job) -> int:
    """Counted from the call's end, which is the same whenever it is asked for: that tells the task from others."""
    minutes = int(job.settings.get("task_minutes") or MINUTES)
    end = job.facts.started_at + timedelta(seconds=job.facts.wait_seconds + job.facts.talk_seconds)
    return int((end + timedelta(minutes=minutes)).timestamp())


def _made(made: wire.Row | OutboundError) -> Result:
    if isinstance(made, Rejected):
        return Done({"task": "refused"}, (Said(_("The task was refused: %(words)s"), {"words": made.words}),))
    return made if isinstance(made, OutboundError) else Done({"task": made.id}, (f"task:{made.id}",))


def look(account: Account, works: Sequence[Work]) -> list[Result]:
    """Tasks of the calls' entities, which are of one kind."""
    kind = works[0].job.progress["entity"][0]
    entities = dict.fromkeys(work.job.progress["entity"][1] for work in works)
    query = {f"filter[entity_id][{place}]": str(each) for place, each in enumerate(entities)}
    body = account.get("/api/v4/tasks", {"limit": str(api.PAGE), "filter[entity_type]": kind, **query})
    rows = wire.embedded(wire.Task, body, "tasks")
    return [_seen(work.job, rows) for work in works]


def _seen(job: Job, rows: Sequence[wire.Task]) -> Result:
    wanted = (job.progress["entity"][1], deadline(job), text(job))
    found = next((row.id for row in rows if (row.entity_id, row.complete_till, row.text) == wanted), 0)
    return Done({"task": found}) if found else NotMade()
