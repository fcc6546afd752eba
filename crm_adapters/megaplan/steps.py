"""What a call is in Megaplan: a CallInfo, what is sent for it at each step, and what the answers say.

`type` is `in`, `out`, `miss` (an incoming call that nobody took) or `fail` (an outgoing one); `state` is what the card
shows. `providerId` is our key. Side A (`fromPhone`, `fromUser`) is who calls.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import CallFacts, Done, Job, Result
from outbound.errors import Rejected, VendorFault

from . import failures, people, wire
from .api import Account

LIVE_STATES = {"ringing": "calling", "answered": "talking", "transferred": "talking", "held": "hold"}
LATER = "later"
"""The note of a client that is looked up again once the call is over."""
DRIFT = timedelta(seconds=5)
"""A call that turns out to have ended so little sooner or later is not worth a request."""


def type_of(facts: CallFacts) -> str:
    if not facts.finished or facts.outcome == "answered":
        return facts.direction
    return "fail" if people.outgoing(facts) else "miss"


def live_state(job: Job) -> str:
    """A transfer rings again, but the client goes on talking."""
    now = LIVE_STATES.get(job.facts.state, "calling")
    return "talking" if now == "calling" and job.progress.get("state") in ("talking", "hold") else now


def digits(number: str) -> str:
    """Megaplan's own samples: digits with the country's code, no plus."""
    return "".join(filter(str.isdecimal, number))


def ended_at(facts: CallFacts) -> datetime:
    lasted = timedelta(seconds=facts.wait_seconds + facts.talk_seconds)
    return max([facts.started_at + lasted, *(p.left_at for p in facts.participants if p.left_at)])


def side_of_ours(facts: CallFacts) -> str:
    return "fromUser" if people.outgoing(facts) else "toUser"


def _of_user(job: Job, user: str) -> dict[str, Any]:
    return {side_of_ours(job.facts): wire.employee(user)} if user else {}


def _beginning(job: Job) -> dict[str, Any]:
    """What does not change any more. What is not known (a hidden number) is left out: each field is optional."""
    facts = job.facts
    ours = digits(facts.virtual_number) or next((p.extension for p in facts.participants if p.extension), "")
    phones = (ours, digits(facts.client_phone)) if people.outgoing(facts) else (digits(facts.client_phone), ours)
    named = {name: phone for name, phone in zip(("fromPhone", "toPhone"), phones, strict=True) if phone}
    return {
        "contentType": "CallInfo",
        "type": type_of(facts),
        **named,
        "providerId": facts.id,
        "timeFrom": wire.moment(facts.started_at),
    }


def _links(job: Job) -> dict[str, Any]:
    return {"recordLinks": [job.facts.recording_url]} if job.facts.recording_url else {}


# --- register: the card opens -----------------------------------------------------------------------------------------


def register(account: Account, job: Job) -> Done:
    user, state = people.holder(job), live_state(job)
    body = {**_beginning(job), **_of_user(job, user), "state": state}
    made = wire.parse(wire.CallInfo, account.post("callInfo", body))
    if not made.id:
        raise VendorFault(_("Megaplan gave the call no id"), code="no_id", fate_unknown=True)
    return Done({"call": made.id, "user": user, "state": state, **client_in(job, made)})


def found(job: Job, made: wire.CallInfo) -> Done:
    """The notes of a call that is there though its answer was lost."""
    notes: dict[str, Any] = {"call": made.id, "user": made.user, "state": made.state, **client_in(job, made)}
    if made.state == "finished":
        notes |= {"finished": True, "told": [], "silent": True}  # what is finished at once came by `history`
    return Done(notes)


def client_in(job: Job, made: wire.CallInfo) -> dict[str, Any]:
    """Whom Megaplan shows as the client of this call, if it does: then nobody has to be looked up."""
    other = made.other_side(outgoing=people.outgoing(job.facts))
    return {"client": other.pair} if other.id and job.progress.get("client") in (None, LATER) else {}


# --- update: it is answered, held, passed on --------------------------------------------------------------------------


def differs(job: Job) -> bool:
    """Whether the card shows another stage, or sits on another screen, than it should."""
    return any(job.progress.get(name) != value for name, value in wanted_card(job).items())


def wanted_card(job: Job) -> dict[str, str]:
    return {"user": people.holder(job) or people.current(job), "state": live_state(job)}


def update(account: Account, job: Job) -> Done:
    """`id` stands in the body too: Megaplan made a new to-do of an update without it, and may do so here."""
    number, card = job.progress["call"], wanted_card(job)
    body = {"contentType": "CallInfo", "id": number, "state": card["state"], **_of_user(job, card["user"])}
    made = _same(account.post(f"callInfo/{number}", body), number)
    return Done({**card, **client_in(job, made)})


def _same(data: Any, number: str) -> wire.CallInfo:
    made = wire.parse(wire.CallInfo, data)
    if made.id and made.id != number:
        raise Rejected(_("Megaplan answered with another call than the one that was changed"), code=failures.OTHER_CALL)
    return made


# --- finish: the card closes ------------------------------------------------------------------------------------------


def finish(account: Account, job: Job) -> Done:
    """It is closed for whoever has the card; whose call it was is corrected after that, without cards."""
    number = job.progress["call"]
    body = {"contentType": "CallInfo", "id": number, **_end(job), **_links(job)}
    made = _same(account.post(f"callInfo/{number}", body), number)
    return Done({**ended(job), **client_in(job, made)})


def ended(job: Job) -> dict[str, Any]:
    """The notes of a card that is closed."""
    moved = people.responsible(job) not in (None, people.current(job))
    notes = {"finished": True, "told": [] if moved else told(job), "ended": _end_text(job)}
    return {**notes, **recorded(job)}


def _end(job: Job) -> dict[str, Any]:
    return {"type": type_of(job.facts), "state": "finished", "timeTo": wire.moment(ended_at(job.facts))}


def _end_text(job: Job) -> str:
    return ended_at(job.facts).isoformat(timespec="seconds")


def told(job: Job) -> list[Any]:
    """What the PBX had told of the end: only another tale is a reason to correct what a person may have changed."""
    return [job.facts.outcome, *(p.extension for p in people.talkers(job.facts))]


def recorded(job: Job) -> dict[str, Any]:
    return {"recording": job.facts.recording_url} if job.facts.recording_url else {}


# --- history: a call that nobody was shown ----------------------------------------------------------------------------


def history_item(job: Job) -> dict[str, Any]:
    user = people.responsible(job) or ""
    return {**_beginning(job), **_of_user(job, user), **_end(job), **_links(job)}


def imported(job: Job, made: wire.CallInfo) -> Done:
    return Done({**end_of_history(job, made.id), **client_in(job, made)})


def end_of_history(job: Job, number: str) -> dict[str, Any]:
    """The notes of a call that Megaplan was told of when it was over."""
    notes = {"call": number, "user": people.responsible(job) or "", "state": "finished", "finished": True}
    return {**notes, "silent": True, "told": told(job), "ended": _end_text(job), **recorded(job)}


# --- correct, record: by our own key, so that no card opens -----------------------------------------------------------


def outdated(job: Job) -> bool:
    """Whether Megaplan tells the end otherwise than the PBX does since."""
    notes, user = job.progress, people.responsible(job)
    if notes.get("told") == told(job):
        ended = notes.get("ended")
        return bool(ended) and abs(datetime.fromisoformat(str(ended)) - ended_at(job.facts)) > DRIFT
    return user is not None


def correct(account: Account, job: Job) -> Done:
    user = people.responsible(job) or people.current(job)
    body = {"contentType": "CallInfo", "providerId": job.facts.id, **_of_user(job, user), **_end(job)}
    account.post("callInfo/provider", body)
    return Done({"user": user, "told": told(job), "ended": _end_text(job)})


def record(account: Account, job: Job) -> Result:
    body = {"contentType": "CallInfo", "providerId": job.facts.id, "state": "finished", **_links(job)}
    account.post("callInfo/provider", body)
    return Done(recorded(job))
