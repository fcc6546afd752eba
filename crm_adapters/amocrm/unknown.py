"""Callers whom amoCRM does not know: an entry among the unsorted ones, or a contact with a deal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import CallFacts, Done, Job, NotMade, Result, Said, Work
from outbound.errors import OutboundError, Rejected

from . import api, clients, notes, people, tags, wire
from .api import Account

UNSORTED, LEAD, NOTHING = "unsorted", "lead", "nothing"
SERVICE = "callbridge"
_LIST = {"filter[category][0]": "sip", "order[created_at]": "desc"}


def way(job: Job) -> str:
    """What the settings want for this call: `unsorted`, `lead` or `nothing`."""
    side = "outgoing" if people.outgoing(job.facts) else "incoming"
    when = job.settings.get(f"unknown_{side}_when") or ()
    result = "answered" if job.facts.outcome == "answered" else "missed"
    return str(job.settings.get(f"unknown_{side}") or NOTHING) if result in when else NOTHING


def words(job: Job) -> tuple[Said, ...]:
    """For the passport: nobody is known, and perhaps nothing is made of it."""
    known = Said(_("amoCRM knows no client with this number"))
    return (known, Said(_("by the settings nothing is created for it"))) if way(job) == NOTHING else (known,)


def lead_name(job: Job) -> str:
    return filled(str(job.settings.get("lead_name") or "{phone}"), job.facts)


def filled(template: str, facts: CallFacts) -> str:
    """A text of the settings with the call's number and line in it."""
    line = facts.line_name or facts.virtual_number
    return template.replace("{phone}", facts.client_phone).replace("{line}", line).strip() or facts.client_phone


def _stage(job: Job) -> tuple[int, int]:
    """Pipeline and status; 0 for amoCRM's own choice."""
    side = "outgoing" if people.outgoing(job.facts) else "incoming"
    pipeline, _colon, status = str(job.settings.get(f"stage_{side}") or "").partition(":")
    return (int(pipeline) if pipeline.isdecimal() else 0, int(status) if status.isdecimal() else 0)


def _contact(facts: CallFacts) -> dict[str, Any]:
    phone = {"field_code": "PHONE", "values": [{"value": facts.client_phone, "enum_code": "WORK"}]}
    return {"name": facts.client_phone, "custom_fields_values": [phone]}


def _without_tags(work: Work, error: OutboundError) -> Result:
    """An account may have deleted the fields of advertising: the call is worth more than its tags."""
    if isinstance(error, Rejected) and tags.fields(work.job):
        return Done({"utm": "refused"}, (Said(_("UTM tags: %(words)s"), {"words": error.words}),))
    return error


# --- unsorted ---------------------------------------------------------------------------------------------------------


def seek(account: Account, works: Sequence[Work]) -> list[Result]:
    """Whether an earlier call of the same caller waits there still: its contact cannot be found until somebody accepts
    it, so each further call would make one entry more."""
    waiting = _listed(account)
    return [_sought(work.job, waiting) for work in works]


def _sought(job: Job, waiting: Sequence[wire.Unsorted]) -> Result:
    phone = clients.digits(job.facts.client_phone)
    for entry in waiting:
        lead = entry.first("leads")
        if lead and entry.sip.service_code == SERVICE and clients.digits(entry.sip.phone) == phone:
            words = Said(_("An earlier call of this caller waits among the unsorted entries"))
            return Done({"waiting": [lead, entry.first("contacts")], "entity": ["leads", lead]}, (words,))
    return Done({"waiting": []})


def _listed(account: Account) -> list[wire.Unsorted]:
    body = account.get("/api/v4/leads/unsorted", {"limit": str(api.PAGE), **_LIST})
    return wire.embedded(wire.Unsorted, body, "unsorted")


def unsorted(account: Account, works: Sequence[Work]) -> list[Result]:
    """`POST /api/v4/leads/unsorted/sip`. Of several calls of one caller the first makes the entry, where the settings
    want one only; the others look for it."""
    first = _firsts(works)
    sent = [work for work in works if first[_phone(work)] is work or not work.job.settings.get("unsorted_once", True)]
    objects = {work.job.facts.id: _unsorted(work.job) for work in sent}
    made = api.bulk(account, "POST", "/api/v4/leads/unsorted/sip", objects, "unsorted")
    return [
        _is_unsorted(work, made[work.job.facts.id]) if work.job.facts.id in made else Done({"waiting": None})
        for work in works
    ]


def _phone(work: Work) -> str:
    return clients.digits(work.job.facts.client_phone)


def _firsts(works: Sequence[Work]) -> dict[str, Work]:
    return {_phone(work): work for work in reversed(works)}


def _unsorted(job: Job) -> dict[str, Any]:
    facts = job.facts
    at = int(facts.started_at.timestamp())
    fields = notes.params(job)
    metadata = {
        "is_call_event_needed": True,
        "uniq": facts.id,
        "duration": fields["duration"],
        "service_code": SERVICE,
        "link": fields["link"],
        "phone": facts.client_phone,
        "called_at": at,
        # amoCRM shows one of them in the list and the other once it is accepted (amocrm-api-php, issue 441).
        "from": facts.client_phone,
    }
    if "call_responsible" in fields:
        metadata["call_responsible"] = fields["call_responsible"]
    lead: dict[str, Any] = {"name": lead_name(job)}
    if utm := tags.fields(job):
        lead["custom_fields_values"] = utm
    pipeline, _status = _stage(job)
    digits = "".join(filter(str.isdecimal, facts.virtual_number))
    return {
        "request_id": facts.id,
        "source_name": facts.line_name or notes.SOURCE,
        "source_uid": f"{SERVICE}-{digits}" if digits else SERVICE,
        **({"pipeline_id": pipeline} if pipeline else {}),
        "created_at": at,
        "metadata": metadata,
        "_embedded": {"leads": [lead], "contacts": [_contact(facts)]},
    }


def _is_unsorted(work: Work, made: wire.Row | OutboundError) -> Result:
    if isinstance(made, OutboundError):
        return _without_tags(work, made)
    words = Said(_("Among the unsorted entries"))
    return Done(notes.written(work, unsorted=made.uid or True, **_tagged(work)), (words,))


def _tagged(work: Work) -> dict[str, str]:
    return {"utm": "written"} if tags.fields(work.job) else {}


def look_for_unsorted(account: Account, works: Sequence[Work]) -> list[Result]:
    waiting = _listed(account)
    return [_seen_unsorted(work, waiting) for work in works]


def _seen_unsorted(work: Work, waiting: Sequence[wire.Unsorted]) -> Result:
    facts = work.job.facts
    for entry in waiting:
        sip = entry.sip
        same = sip.called_at == int(facts.started_at.timestamp()) and clients.digits(sip.phone) == _phone(work)
        if sip.uniq == facts.id or (same and not sip.uniq and sip.service_code == SERVICE):
            return Done(notes.written(work, unsorted=entry.uid or True, **_tagged(work)))
    return NotMade()


# --- lead -------------------------------------------------------------------------------------------------------------


def lead(account: Account, works: Sequence[Work]) -> list[Result]:
    """`POST /api/v4/leads/complex`: contact and deal at once. Calls of one caller share them."""
    first = _firsts(works)
    objects = {work.job.facts.id: _lead(work.job) for work in first.values()}
    made = api.bulk(account, "POST", "/api/v4/leads/complex", objects, "leads")
    results = {phone: _created(work, made[work.job.facts.id]) for phone, work in first.items()}
    return [_share(work, results[_phone(work)], first[_phone(work)]) for work in works]


def _lead(job: Job) -> dict[str, Any]:
    user = people.responsible(job)
    owner = {"responsible_user_id": people.number(user)} if user else {}
    pipeline, status = _stage(job)
    where = {"pipeline_id": pipeline, "status_id": status}
    utm = tags.fields(job)
    return {
        "name": lead_name(job),
        **owner,
        **{name: each for name, each in where.items() if each},
        **({"custom_fields_values": utm} if utm else {}),
        "_embedded": {"contacts": [{**_contact(job.facts), **owner}]},
        "request_id": job.facts.id,
    }


def _created(work: Work, made: wire.Row | OutboundError) -> Result:
    if isinstance(made, OutboundError):
        return _without_tags(work, made)
    created = {"lead": made.id, "contact": made.contact_id}
    progress = {"created": created, "entity": _entity(work.job, created), **_of_said(work), **_tagged(work)}
    return Done(progress, (f"lead:{made.id}", f"contact:{made.contact_id}"))


def _of_said(work: Work) -> dict[str, Any]:
    """Who is responsible for the deal, to be corrected when a late event tells otherwise."""
    said = work.step.keeps.get("said") or work.job.progress.get("said") or {}
    return {"user": said.get("user", "")}


def _entity(job: Job, created: Mapping[str, int]) -> list[Any]:
    to_contact = job.settings.get("write_to") == "contact" and created["contact"]
    return ["contacts", created["contact"]] if to_contact else ["leads", created["lead"]]


def _share(work: Work, result: Result, first: Work) -> Result:
    """What the first call of a caller made is the others' as well; they created nothing."""
    if work is first or not isinstance(result, Done):
        return result
    entity = result.progress.get("entity")
    return Done({"entity": entity}) if entity else Done({})


def look_for_lead(account: Account, works: Sequence[Work]) -> list[Result]:
    return [_seen_lead(account, work) for work in works]


def _seen_lead(account: Account, work: Work) -> Result:
    """A client who is there now was made by the lost request, or by somebody meanwhile: then the call is his."""
    found = clients.find(account, work.job.facts.client_phone)
    if found is None:
        return NotMade()
    since = int((work.job.facts.started_at - notes.MARGIN).timestamp())
    new = next((each.id for each in clients.leads(account, found.row.leads) if each.created_at >= since), 0)
    if found.kind == "contacts" and new:
        created = {"lead": new, "contact": found.row.id}
        return Done({"created": created, "entity": _entity(work.job, created), **_of_said(work), **_tagged(work)})
    return Done({"entity": [found.kind, found.row.id]}, (Said(_("amoCRM knows the client by now")),))
