"""Call tracking: the advertising's tags onto what a call created in the CRM."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import Done, Job, Result, Said
from outbound.errors import OutboundError

from . import entities, failures
from .rest import Answers, Command, Group

ORDER = ("DEAL", "LEAD", "CONTACT")
"""What carries the tags of a new client, the best first: in the simple mode of the CRM that is the deal."""
FIELDS = {
    "utm_source": "utmSource",
    "utm_medium": "utmMedium",
    "utm_campaign": "utmCampaign",
    "utm_content": "utmContent",
    "utm_term": "utmTerm",
}


def command(job: Job) -> Command | None:
    """The tags onto what this call created. An entity that was there before keeps the tags of its own first visit."""
    facts, settings = job.facts, job.settings
    if not settings.get("use_call_tracking") or not facts.utm or not job.progress.get("created"):
        return None
    chosen = settings.get("utm_tags") or ()
    fields = {FIELDS[tag]: facts.utm[tag] for tag in FIELDS if tag in chosen and facts.utm.get(tag)}
    created = dict(reversed(job.progress["created"]))
    kind = next((kind for kind in ORDER if kind in created), None)
    if not fields or not kind:
        return None
    return entities.update(kind, created[kind], fields)


def outcome(answer: Any) -> tuple[dict[str, Any], tuple[Said, ...]]:
    """Notes and words. What time may mend is tried again as a step of its own; a refusal is told."""
    if not isinstance(answer, OutboundError):
        return {"utm": "written"}, ()
    if failures.refuses(answer):
        return {"utm": "refused"}, (Said(_("UTM tags: %(words)s"), {"words": answer.words}),)
    return {"utm": "later"}, ()


def write(job: Job) -> Group:
    """The step of its own, for tags that could not go with `finish`."""
    wanted = command(job)
    return {"utm": wanted} if wanted else {}


def written(_job: Job, answers: Answers) -> Result:
    """What became of that step."""
    answer = answers.get("utm")
    notes, words = outcome(answer)
    if notes["utm"] == "later" and isinstance(answer, OutboundError):
        return answer
    return Done(notes, words)
