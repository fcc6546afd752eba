"""What would become of a call like this: everything that is ours is done and taken back, and each CRM's steps are put
together up to their first request, which is not sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from crm_adapters.base import TO_COME, CallFacts, Capability, ClientMatch, Job, Step, Work
from outbound.errors import OutboundError
from outbound.http import Exchange, Http
from telephony import calls, trials
from telephony.hot import hot_write, lock_drain
from telephony.models import Call, Connection
from telephony.scripts import Script
from telephony.words import in_words, ours

from . import credentials, directory, knowing, passport, words
from .directory import Wanting
from .facts import facts_of
from .models import CallSync, Credential, EmployeeMapping
from .passport import Passport, Standing

MOST = 20
"""Steps of one call that are put together."""
ASK_SECONDS = 5.0
"""How long a CRM may take to say whose number it is."""
TOGETHER = 1.0
"""Seconds: a step that settles for longer waits for what comes next of the call."""


@dataclass(frozen=True)
class Foreseen:
    """A step, how it is made exactly once, and its first request; or why that cannot be put together."""

    title: str
    once: str
    request: Exchange | None = None
    words: str = ""


@dataclass
class Plan:
    """What a call would become in one account. `open`: what follows depends on what the CRM answers."""

    credential: Credential
    standing: Standing
    person: str = ""
    client: str = ""
    steps: list[Foreseen] = field(default_factory=list)
    open: bool = False


@dataclass
class Rehearsal:
    passport: Passport
    plans: list[Plan]

    @property
    def call(self) -> Call:
        return self.passport.call

    @property
    def wanted(self) -> bool:
        return any(plan.steps for plan in self.plans)


def rehearse(connection: Connection, script: Script) -> Rehearsal:
    """Nothing stays of it but the question of whose number it is, which CRMs are asked."""
    stages: dict[int, list[_Stage]] = {}
    with hot_write():
        lock_drain()
        at = timezone.now()
        following: Script | None = script
        while following:
            call = trials.tell(connection, following, at)
            _note(call, stages)
            at += timedelta(seconds=following.seconds)
            following = following.following
        found = passport.compose(call)
        people = _people(call)
        transaction.set_rollback(True)
    plans = []
    for account in found.accounts:
        seen = stages.get(account.sync.credential_id, [])
        plan = Plan(account.sync.credential, account.standing, people.get(account.sync.integration_id, ""))
        if seen:
            plan.client, known = _client(plan.credential, script.client)
            jobs = [stage.wanting.job(stage.call, stage.facts, {knowing.KNOWN: known}) for stage in seen]
            plan.steps, plan.open = _walk(plan.credential, _with_recording(jobs))
        plans.append(plan)
    return Rehearsal(found, plans)


class _Stage(NamedTuple):
    """A call as one account sees it at one moment."""

    wanting: Wanting
    call: Call
    facts: CallFacts


def _note(call: Call, stages: dict[int, list[_Stage]]) -> None:
    """The call as each account that wants it sees it now."""
    calls.load_people([call])
    for row in call.syncs.filter(state=CallSync.State.WANTED):
        wanting = directory.by_id(row.integration_id)
        facts = facts_of(call, call.people, call.audio, wanting)
        stages.setdefault(row.credential_id, []).append(_Stage(wanting, call, facts))


def _people(call: Call) -> dict[int, str]:
    """Whose call it is in each integration: the CRM's user of our employee."""
    rows = EmployeeMapping.objects.filter(employee=call.employee_id, integration__company=call.company_id)
    return {row.integration_id: row.crm_user_name or row.crm_user for row in rows} if call.employee_id else {}


def _with_recording(jobs: list[Job]) -> list[Job]:
    """The last thing that happens: the recording is here."""
    last = jobs[-1].facts
    if not last.recording_expected:
        return jobs
    link = f"{settings.PUBLIC_URL}/recordings/{TO_COME}/{TO_COME}.wav"
    facts = replace(last, recording_url=link, recording_name=f"{TO_COME}.wav", recording_expected=False)
    return [*jobs, replace(jobs[-1], facts=facts)]


# --- Whose number it is -----------------------------------------------------------------------------------------------


def _client(credential: Credential, phone: str) -> tuple[str, bool | None]:
    """What the CRM knows under this number, in words, and whether it knows somebody; nothing where it does not say."""
    adapter = credential.adapter
    if Capability.CLIENT_LOOKUP not in adapter.capabilities:
        return "", None
    http = credentials.http_for(credential, purpose="client look-up", deadline=ASK_SECONDS)
    try:
        found: ClientMatch | None = credentials.speaking(
            credential, http, lambda secrets: adapter.find_client(http, secrets, phone, ASK_SECONDS)
        )
    except OutboundError as error:
        return _("not known: %(words)s") % {"words": in_words(words.ERRORS, error.kind)}, None
    return (found.name or found.entity_id) if found else _("nobody with this number"), bool(found)


# --- Steps ------------------------------------------------------------------------------------------------------------


class _NotSent(Exception):
    """It was put together, and that is all."""


@dataclass(slots=True)
class _Silent(Http):
    """Notes the first request and sends none."""

    def _exchange(self, *_: Any) -> Any:
        raise _NotSent


def _walk(credential: Credential, jobs: list[Job]) -> tuple[list[Foreseen], bool]:
    """The steps in order, and whether what follows is not known before the CRM has answered."""
    adapter = credential.adapter
    notes: dict[str, Any] = dict(jobs[0].progress)
    found: list[Foreseen] = []
    for place, job in enumerate(jobs):
        while len(found) < MOST:
            now = replace(job, progress=notes)
            step = adapter.plan(now)
            if step is None or (step.settle > TOGETHER and place < len(jobs) - 1):
                break
            found.append(_foreseen(credential, now, step))
            left = adapter.foresee(now, step)
            if left is None:
                return found, True
            notes = {**notes, **step.keeps, **left}
    return found, False


def _foreseen(credential: Credential, job: Job, step: Step) -> Foreseen:
    title = in_words(words.steps(credential.crm), step.name)
    once = in_words(words.REPEATS, step.repeat.value)
    sent: list[Exchange] = []
    http = _Silent(secrets=credential.secret_values, record=sent.append)
    try:
        credential.adapter.perform(http, credential.values, [Work(job, step)])
    except _NotSent:
        return Foreseen(title, once, sent[0])
    except OutboundError as error:
        return Foreseen(title, once, words=ours(error.words))
    return Foreseen(title, once)
