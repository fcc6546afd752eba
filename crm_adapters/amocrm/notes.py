"""The record of a call: by `/api/v4/calls`, which finds the client, or as a note on an entity that we choose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import CallFacts, Done, Job, NotMade, Result, Said, Work
from outbound.errors import OutboundError, Rejected, Temporary

from . import api, clients, failures, people, unknown, wire
from .api import Account

SOURCE = "Callbridge"
ANSWERED, NOT_REACHED, BUSY = 4, 6, 7
"""`call_status`."""
PLURALS = {"contact": "contacts", "company": "companies", "lead": "leads", "customer": "customers"}
MAX_PAGES = 8
MARGIN = timedelta(minutes=1)
"""By so much amoCRM's clock may differ from ours."""


# --- What a record says -----------------------------------------------------------------------------------------------


def said(job: Job) -> dict[str, Any]:
    """What this record says that may have to be corrected later."""
    return {"link": job.facts.recording_url, "told": people.told(job.facts), "user": people.responsible(job)}


def written(work: Work, **progress: Any) -> dict[str, Any]:
    """The call stands in amoCRM, as the request said that was kept with the intent."""
    return {"written": True, **(work.step.keeps.get("said") or work.job.progress.get("said") or {}), **progress}


def params(job: Job) -> dict[str, Any]:
    """`params` of a call note. A link that was given is never taken away."""
    facts = job.facts
    found: dict[str, Any] = {
        "uniq": facts.id,
        "duration": facts.talk_seconds if facts.outcome == "answered" else 0,
        "source": SOURCE,
        "link": facts.recording_url or job.progress.get("link") or "",
        "phone": facts.client_phone,
        "call_status": status(facts),
    }
    if shown := people.shown(job):
        found["call_responsible"] = shown
    if line := f"{facts.line_name} {facts.virtual_number}".strip():
        found["call_result"] = line
    return found


def status(facts: CallFacts) -> int:
    """4 talked, 7 busy, 6 not reached: amoCRM has no finer ones that our outcomes would fit."""
    if facts.outcome == "answered":
        return ANSWERED
    return BUSY if facts.outcome == "busy" and people.outgoing(facts) else NOT_REACHED


def authorship(job: Job) -> dict[str, Any]:
    """Whose record it is. Without `created_by` the statistics name a robot."""
    user = people.responsible(job)
    users = {"created_by": people.number(user), "responsible_user_id": people.number(user)} if user else {}
    return {**users, "created_at": int(job.facts.started_at.timestamp()), "request_id": job.facts.id}


def note_type(facts: CallFacts) -> str:
    return "call_out" if people.outgoing(facts) else "call_in"


# --- find -------------------------------------------------------------------------------------------------------------


def chooses(job: Job) -> bool:
    """Whether the settings choose where a known client's calls stand. Otherwise amoCRM does: in the one active deal or
    the one customer, else in the contact or company."""
    return job.settings.get("write_to", "auto") in ("lead", "contact")


def find(account: Account, works: Sequence[Work]) -> list[Result]:
    return [_find(account, work.job) for work in works]


def _find(account: Account, job: Job) -> Result:
    found = clients.find(account, job.facts.client_phone)
    if found is None:
        return Done({"client": {}, "unknown": True}, unknown.words(job))
    notes: dict[str, Any] = {"client": {"id": found.row.id, "manager": found.manager}}
    if chooses(job):
        lead = clients.newest_active(account, found.row.leads) if job.settings.get("write_to") == "lead" else 0
        notes["entity"] = ["leads", lead] if lead else [found.kind, found.row.id]
    return Done(notes)


# --- call -------------------------------------------------------------------------------------------------------------


def call(account: Account, works: Sequence[Work]) -> list[Result]:
    """`POST /api/v4/calls`: an answer, also HTTP 400, may have calls beside errors."""
    objects = {work.job.facts.id: _call(work.job) for work in works}
    try:
        _status, body = account.either("POST", "/api/v4/calls", list(objects.values()))
    except Rejected as refusal:
        made = api.refused(refusal, list(objects))
    else:
        made = _made(body, list(objects))
    return [_called(work, made[work.job.facts.id]) for work in works]


def _call(job: Job) -> dict[str, Any]:
    fields = params(job)
    if not fields["link"]:
        del fields["link"]
    direction = "outbound" if people.outgoing(job.facts) else "inbound"
    return {"direction": direction, **fields, **authorship(job)}


def _made(body: Mapping[str, Any], ids: Sequence[str]) -> dict[str, Any]:
    """The row of each call, or why there is none. An error may or may not name its call; as many errors as calls are
    missing are theirs."""
    made = api.by_request(body.get("_embedded", {}).get("calls"), ids)
    missing = [each for each in ids if isinstance(made[each], OutboundError)]
    errors = wire.rows(wire.Fault, body.get("errors"))
    named = {error.request_id: error for error in errors if error.request_id in missing}
    if not named and len(errors) == len(missing) and len({error.title for error in errors}) == 1:
        named = dict(zip(missing, errors, strict=True))
    for each, error in named.items():
        words = error.detail or error.title
        unknown = "not found" in error.title.lower()
        made[each] = Rejected(words, code=failures.UNKNOWN_CLIENT if unknown else error.code)
    return made


def _called(work: Work, made: wire.Row | OutboundError) -> Result:
    if isinstance(made, OutboundError):
        if made.code == failures.UNKNOWN_CLIENT:
            return Done({"unknown": True}, unknown.words(work.job))
        return made
    entity = [PLURALS.get(made.entity_type, made.entity_type), made.entity_id]
    return Done(written(work, entity=entity), (f"{made.entity_type}:{made.entity_id}",))


# --- note -------------------------------------------------------------------------------------------------------------


def note(account: Account, works: Sequence[Work]) -> list[Result]:
    """Call notes on entities of one kind."""
    kind = works[0].job.progress["entity"][0]
    objects = {work.job.facts.id: _note(work.job) for work in works}
    made = api.bulk(account, "POST", f"/api/v4/{kind}/notes", objects, "notes")
    return [_noted(work, made[work.job.facts.id]) for work in works]


def _note(job: Job) -> dict[str, Any]:
    entity = job.progress["entity"][1]
    return {"entity_id": entity, "note_type": note_type(job.facts), **authorship(job), "params": params(job)}


def _noted(work: Work, made: wire.Row | OutboundError) -> Result:
    if isinstance(made, wire.Row):
        return Done(written(work, note=made.id))
    known = work.job.progress
    if isinstance(made, Rejected) and known.get("waiting"):
        words = Said(_("The earlier entry takes no notes: %(words)s"), {"words": made.words})
        return Done({"entity": None, "waiting": []}, (words,))
    return made


# --- look -------------------------------------------------------------------------------------------------------------


def look_at_entity(account: Account, works: Sequence[Work]) -> list[Result]:
    """Among the call notes of the entities that were chosen."""
    return [
        Done(written(work, note=found.id)) if found else NotMade()
        for work, found in zip(works, of_calls(account, [work.job for work in works]), strict=True)
    ]


def of_calls(account: Account, jobs: Sequence[Job]) -> list[wire.Note | None]:
    """The notes of calls that stand in entities of one kind."""
    kind = jobs[0].progress["entity"][0]
    entities = dict.fromkeys(job.progress["entity"][1] for job in jobs)
    only = {f"filter[entity_id][{place}]": str(each) for place, each in enumerate(entities)}
    found, _whole = _by_uniq(account, kind, jobs, only)
    return [found.get(job.facts.id) for job in jobs]


def look_everywhere(account: Account, works: Sequence[Work]) -> list[Result]:
    """amoCRM chose the entities, so the call notes of all kinds of entities since the first of the calls are read: four
    requests for the whole batch, fewer once all are found."""
    results: dict[str, Result] = {}
    whole = True
    for kind in PLURALS.values():
        left = [work for work in works if work.job.facts.id not in results]
        if not left:
            break
        try:
            found, complete = _by_uniq(account, kind, [work.job for work in left], {})
        except Rejected:
            continue  # an account without customers has no notes of them
        whole = whole and complete
        for work in left:
            if note := found.get(work.job.facts.id):
                entity = [kind, note.entity_id]
                results[work.job.facts.id] = Done(written(work, entity=entity, note=note.id))
    missing = NotMade() if whole else Temporary(_("there are too many notes to look through"), code="too_many_notes")
    return [results.get(work.job.facts.id, missing) for work in works]


def _by_uniq(
    account: Account, kind: str, jobs: Sequence[Job], only: Mapping[str, str]
) -> tuple[dict[str, wire.Note], bool]:
    """Call notes by our key, and whether the list was read to its end (or everything was found)."""
    wanted = {job.facts.id for job in jobs}
    since = min(job.facts.started_at for job in jobs) - MARGIN
    query = {
        "filter[note_type][0]": "call_in",
        "filter[note_type][1]": "call_out",
        "filter[updated_at][from]": str(int(since.timestamp())),
        "order[updated_at]": "desc",
        **only,
    }
    found: dict[str, wire.Note] = {}
    pages = 0
    for body in account.pages(f"/api/v4/{kind}/notes", query, MAX_PAGES):
        pages += 1
        found |= _ours(wire.embedded(wire.Note, body, "notes"), wanted)
        if found.keys() == wanted:
            return found, True
    return found, pages < MAX_PAGES


def _ours(rows: Iterable[wire.Note], wanted: set[str]) -> dict[str, wire.Note]:
    return {row.call.uniq: row for row in rows if row.id and row.call.uniq in wanted}
