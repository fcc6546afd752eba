"""Does the CRM know the client? Asked once for each call, before anything is written of it, where a rule depends on it.

It is a step like an adapter's that the house makes itself. Looking has no fate, so it may be repeated.
"""

from __future__ import annotations

from crm_adapters.base import Done, Job, Priority, Repeat, Result, Secrets, Step
from employees import phones
from outbound.errors import Rejected
from outbound.http import Http

from . import mirror
from .models import Credential

STEP = KNOWN = "known_to_crm"
"""The step, and its note: true or false, None where the CRM refuses to say."""
SECONDS = 15.0


def step(job: Job) -> Step | None:
    """The look-up, while it can tell: later the CRM knows a client that this very call has made there."""
    if job.progress or not phones.is_phone(job.facts.client_phone):
        return None
    return Step(STEP, Priority.POP_UP if job.facts.live else Priority.FINISH, Repeat.KEY)


def look_up(http: Http, credential: Credential, secrets: Secrets, phone: str) -> Result:
    """The client book first, then the CRM. Raises `outbound.errors`, but a refusal."""
    if lately := mirror.lately(credential, phone):
        return Done({KNOWN: bool(lately.entity)}, (lately.name,))
    try:
        match = credential.adapter.find_client(http, secrets, phone, SECONDS)
    except Rejected as error:
        return Done({KNOWN: None}, (error.words,))
    if match:
        mirror.remember(credential, phone, match)
    return Done({KNOWN: bool(match)}, (match.name,) if match else ())
