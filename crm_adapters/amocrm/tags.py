"""Call tracking: the advertising's tags onto the deal that a call created, in its tracking_data fields.

Their codes are those that every account has from the beginning; an account may have deleted the fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import Done, Job, Result, Said, Work
from outbound.errors import OutboundError, Rejected

from . import api
from .api import Account

TAGS = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")


def fields(job: Job) -> list[dict[str, Any]]:
    """`custom_fields_values` of a new deal; [] where there are no tags to write, or amoCRM has refused them."""
    settings, utm = job.settings, job.facts.utm
    if not settings.get("use_call_tracking") or job.progress.get("utm") == "refused":
        return []
    chosen = settings.get("utm_tags") or ()
    return [
        {"field_code": tag.upper(), "values": [{"value": utm[tag]}]} for tag in TAGS if tag in chosen and utm.get(tag)
    ]


def missing(job: Job) -> bool:
    """Tags that came to light after the deal was made. An older deal keeps those of its own first visit."""
    return bool((job.progress.get("created") or {}).get("lead") and "utm" not in job.progress and fields(job))


def write(account: Account, works: Sequence[Work]) -> list[Result]:
    objects = {
        work.job.facts.id: {"id": work.job.progress["created"]["lead"], "custom_fields_values": fields(work.job)}
        for work in works
    }
    errors = api.change(account, "/api/v4/leads", objects)
    return [_written(errors[work.job.facts.id]) for work in works]


def _written(error: OutboundError | None) -> Result:
    if isinstance(error, Rejected):
        return Done({"utm": "refused"}, (Said(_("UTM tags: %(words)s"), {"words": error.words}),))
    return error or Done({"utm": "written"})
