"""What late events correct in a call that is written: its note with the recording's link, and who has the new deal.

Nothing but an event is a reason: what a person changed in amoCRM since, or in our settings, stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import Done, Job, Result, Said, Work
from outbound.errors import OutboundError, Rejected

from . import api, notes, people
from .api import Account

LOST = "lost"


# --- The note ---------------------------------------------------------------------------------------------------------


def note_differs(job: Job) -> bool:
    """A recording came (or its link has a successor), or a late event told who had talked.

    An unsorted entry has no note before somebody accepts it, and is not changed.
    """
    known = job.progress
    if known.get("unsorted") or known.get("note") == LOST or not known.get("entity"):
        return False
    link = job.facts.recording_url
    return bool(link and link != known.get("link")) or people.told(job.facts) != known.get("told")


def note(account: Account, works: Sequence[Work]) -> list[Result]:
    """Two requests for all calls of one kind of entity: find the notes, change them. One where their ids are known.

    `/api/v4/calls` gives an id, which is not documented to be the note's; so that note is looked for.
    """
    kind = works[0].job.progress["entity"][0]
    ids = {work.job.facts.id: int(work.job.progress.get("note") or 0) for work in works}
    unseen = [work.job for work in works if not ids[work.job.facts.id]]
    if unseen:
        found = notes.of_calls(account, unseen)
        ids |= {job.facts.id: row.id for job, row in zip(unseen, found, strict=True) if row}
    objects = {work.job.facts.id: _note(work.job, ids[work.job.facts.id]) for work in works if ids[work.job.facts.id]}
    errors = api.change(account, f"/api/v4/{kind}/notes", objects) if objects else {}
    return [_noted(work.job, ids[work.job.facts.id], errors.get(work.job.facts.id)) for work in works]


def _note(job: Job, number: int) -> dict[str, Any]:
    return {"id": number, "note_type": notes.note_type(job.facts), "params": notes.params(job)}


def _noted(job: Job, number: int, error: OutboundError | None) -> Result:
    if not number:
        return Done({"note": LOST}, (Said(_("The call's note is not there any more: it was not changed")),))
    if isinstance(error, Rejected):
        return Done({"note": LOST}, (Said(_("The note was not changed: %(words)s"), {"words": error.words}),))
    link = job.facts.recording_url or job.progress.get("link") or ""
    return error or Done({"note": number, "link": link, "told": people.told(job.facts)})


# --- The responsible --------------------------------------------------------------------------------------------------


def user_differs(job: Job) -> bool:
    """Whether somebody else is responsible for the new deal since a late event told who had talked."""
    known = job.progress
    if not (known.get("created") or {}).get("lead") or people.told(job.facts) == known.get("told"):
        return False
    now = people.responsible(job)
    return bool(now and now != known.get("user"))


def user(account: Account, works: Sequence[Work]) -> list[Result]:
    """Deals, then contacts: two requests for all."""
    errors: dict[str, OutboundError] = {}
    for name, path in (("lead", "/api/v4/leads"), ("contact", "/api/v4/contacts")):
        objects = {
            work.job.facts.id: {
                "id": work.job.progress["created"][name],
                "responsible_user_id": people.number(people.responsible(work.job)),
            }
            for work in works
            if work.job.progress["created"].get(name)
        }
        changed = api.change(account, path, objects) if objects else {}
        errors |= {key: error for key, error in changed.items() if error}
    return [_changed(work.job, errors.get(work.job.facts.id)) for work in works]


def _changed(job: Job, error: OutboundError | None) -> Result:
    """A refusal is told: what was changed by hand since, or deleted, is not asked for again."""
    if error and not isinstance(error, Rejected):
        return error
    user = people.responsible(job)
    words = Said(_("A late event told who had talked: user %(user)s is responsible"), {"user": user})
    return Done({"user": user}, (words, *((error.words,) if error else ())))
