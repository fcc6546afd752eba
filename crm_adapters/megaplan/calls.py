"""A call in Megaplan, step by step.

A call that an employee of Megaplan sees: register -> update (as often as it is answered, held, passed on) -> finish.
One that nobody was shown (told afterwards, left in the queue, of somebody who is not in Megaplan): history, without
cards, many in one request. Then what came to light since (correct), the recording's link (record), a new client
(client, attach) and the communication (todo).

The notes (`Job.progress`) that are kept for a call:

- `call` Megaplan's id; `silent` true when it went the way of `history`; `card` "refused" when none could be opened
- `user` the employee it is shown to, or was in the end; `state` what its card says
- `finished` true; `told` outcome and who had talked, as far as was known then; `ended` when
- `recording` the link that Megaplan has
- `client` kind and id, "later" or "refused"; `made` true when this call created it, or may have; `created` true when it
  certainly has; `attached` true
- `todo` id of the communication, or "refused"
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import TO_COME, Done, Job, NotMade, Priority, Repeat, Result, Said, Step, Trace, Work
from outbound.errors import DeadlineExceeded, OutboundError, Rejected, VendorFault

from . import clients, failures, people, steps, todos, wire
from .api import Account

# The description of the API: `providerId` finds a call (`GET callInfo/provider`), but two calls may have one ("the
# latest is changed"), so creating is never simply repeated.
_REGISTER = Step("register", Priority.POP_UP, Repeat.LOOK)
_HISTORY = Step("history", Priority.FINISH, Repeat.LOOK)
# Changes say the same once more: the id stands in path and body, and no change adds to anything.
_UPDATE = Step("update", Priority.POP_UP, Repeat.KEY)
_FINISH = Step("finish", Priority.FINISH, Repeat.KEY)
_CORRECT = Step("correct", Priority.RECORDING, Repeat.KEY)
_RECORD = Step("record", Priority.RECORDING, Repeat.KEY)  # `recordLinks` is replaced
_CLIENT = Step("client", Priority.FINISH, Repeat.LOOK)  # nothing of ours is kept with a client: its number is looked up
_ATTACH = Step("attach", Priority.FINISH, Repeat.KEY)  # the description: adds or replaces
_TODO = Step("todo", Priority.RECORDING, Repeat.LOOK)  # the communications of a call can be listed


# --- plan -------------------------------------------------------------------------------------------------------------


def plan(job: Job) -> Step | None:
    """The next step that Megaplan lacks."""
    facts, notes = job.facts, job.progress
    if not notes.get("call"):
        return _plan_first(job)
    if notes.get("finished"):
        return _plan_rest(job) if facts.finished else None
    if facts.finished:
        return _FINISH
    if facts.live and steps.differs(job):
        return _UPDATE
    if notes.get("state") in ("talking", "hold"):
        return _plan_client(job)
    return None


def _plan_first(job: Job) -> Step | None:
    """A card wakes the employee, so it is only for somebody who rings or talks now; all else waits for the end."""
    if job.facts.finished:
        return None if people.responsible(job) is None else _HISTORY
    return _REGISTER if job.facts.live and people.holder(job) and not job.progress.get("card") else None


def _plan_client(job: Job) -> Step | None:
    if clients.wanted(job):
        return _CLIENT
    made = job.progress.get("made") and not job.progress.get("attached")
    return _ATTACH if made else None


def _plan_rest(job: Job) -> Step | None:
    if steps.outdated(job):
        return _CORRECT
    url = job.facts.recording_url
    if url and job.progress.get("recording") not in (url, "refused"):
        return _RECORD
    return _plan_client(job) or (_TODO if todos.wanted(job) else None)


def withdraw(job: Job) -> Step | None:
    """A card must get its end, and no way to delete a call is documented: a part of another one ends as what it was."""
    return _FINISH if job.progress.get("call") and not job.progress.get("finished") else None


def foresee(job: Job, step: Step) -> dict[str, Any] | None:
    """Whether the client is known, only Megaplan says."""
    if step.name == "register":
        return {"call": TO_COME, "user": people.holder(job), "state": steps.live_state(job)}
    if step.name == "update":
        return dict(steps.wanted_card(job))
    if step.name == "finish":
        return steps.ended(job)
    if step.name == "history":
        return steps.end_of_history(job, TO_COME)
    if step.name == "record":
        return steps.recorded(job)
    return {"todo": TO_COME} if step.name == "todo" else None


def traces(progress: Mapping[str, Any]) -> list[Trace]:
    """By hand: of none of these is a way to delete documented. `created`: the client was not there before."""
    found = []
    todo, client = progress.get("todo"), progress.get("client")
    if todo and todo != todos.REFUSED:
        found.append(Trace(_("Communication"), "Todo", str(todo)))
    if progress.get("created") and isinstance(client, list):
        found.append(Trace(_("Client"), str(client[0]), str(client[1])))
    if progress.get("call"):
        found.append(Trace(_("The call in the history of calls"), "CallInfo", str(progress["call"])))
    return found


# --- perform ----------------------------------------------------------------------------------------------------------


def perform(account: Account, batch: Sequence[Work]) -> list[Result]:
    """Each step is a request of its own, the pop-ups first (as the house hands them over); calls for the history go in
    one after that."""
    made: clients.Made = {}
    results: dict[int, Result] = {}
    singles = [number for number, work in enumerate(batch) if work.step.name != "history"]
    imports = [number for number, work in enumerate(batch) if work.step.name == "history"]
    chunks = [[number] for number in singles] + ([imports] if imports else [])

    def make(chunk: list[int]) -> list[Result]:
        if batch[chunk[0]].step.name == "history":
            return _import(account, [batch[number].job for number in chunk])
        return [_make(account, batch[chunk[0]], made)]

    _one_by_one(account, chunks, make, results)
    return [results[number] for number in range(len(batch))]


def _one_by_one(
    account: Account, chunks: list[list[int]], make: Callable[[list[int]], list[Result]], results: dict[int, Result]
) -> None:
    """Work off `chunks` of a batch. What would meet the next request too ends it: raised where nothing was made yet,
    so that the house sees it as the account's; else the rest is not sent and says so."""
    stop: OutboundError | None = None
    began = time.monotonic()
    for chunk in chunks:
        if not stop and time.monotonic() - began > account.http.deadline:
            stop = DeadlineExceeded(_("other calls took the time"), code="deadline")
        if stop:
            results.update(dict.fromkeys(chunk, stop))
            continue
        try:
            results.update(zip(chunk, make(chunk), strict=True))
        except OutboundError as error:
            if failures.concerns_all(error):
                if not results:
                    raise
                stop = failures.without_fate(error)
            results.update(dict.fromkeys(chunk, error))


def _make(account: Account, work: Work, made: clients.Made) -> Result:
    job, name = work.job, work.step.name
    if name == "client":
        return clients.create(account, job, made)
    if name in _SIDE:
        return _or_told(account, job, name)
    return steps.finish(account, job) if name == "finish" else todos.create(account, job)


_SIDE: dict[str, tuple[Callable[[Account, Job], Result], str]] = {
    "register": (steps.register, _("Megaplan did not open the card: %(words)s")),
    "update": (steps.update, _("Megaplan did not change the card: %(words)s")),
    "correct": (steps.correct, _("Megaplan did not take the correction: %(words)s")),
    "record": (steps.record, _("The recording was refused: %(words)s")),
    "attach": (clients.attach, _("Megaplan did not bind the client to the call: %(words)s")),
}


def _or_told(account: Account, job: Job, name: str) -> Result:
    """A refusal is told and not asked for again, so that it holds up nothing: the call gets its end in any case."""
    make, text = _SIDE[name]
    try:
        return make(account, job)
    except Rejected as error:
        if failures.concerns_all(error):
            raise
        if name == "register" and error.code == failures.FORBIDDEN:
            raise failures.closed(error) from error
        notes: dict[str, dict[str, Any]] = {
            "register": {"card": "refused"},
            "update": steps.wanted_card(job),
            "correct": {"told": steps.told(job), "ended": ""},
            "record": {"recording": "refused"},
            "attach": {"attached": True},
        }
        return Done(notes[name], (Said(text, {"words": error.words}),))


def _import(account: Account, jobs: list[Job]) -> list[Result]:
    """All in one request. Where Megaplan refuses the lot each is sent alone, so that one bad call holds up no other:
    those that are there already are updated (the description: "created or updated")."""
    try:
        answer = account.post("callInfo/history", [steps.history_item(job) for job in jobs])
    except Rejected as error:
        if len(jobs) == 1 or error.code == failures.FORBIDDEN:
            raise failures.closed(error) from error
        results: dict[int, Result] = {}
        _one_by_one(account, [[n] for n in range(len(jobs))], lambda chunk: _import(account, [jobs[chunk[0]]]), results)
        return [results[number] for number in range(len(jobs))]
    made = {row.providerId: row for row in wire.rows(wire.CallInfo, answer) if row.id}
    return [_imported(job, made.get(job.facts.id)) for job in jobs]


def _imported(job: Job, made: wire.CallInfo | None) -> Result:
    if made is None:
        return VendorFault(_("Megaplan's answer lacks this call"), code="no_id", fate_unknown=True)
    return steps.imported(job, made)


# --- look -------------------------------------------------------------------------------------------------------------


def look(account: Account, batch: Sequence[Work]) -> list[Result]:
    """What became of steps whose answer was lost. Those that repeating cannot harm are not looked for."""
    results: dict[int, Result] = {}
    _one_by_one(account, [[n] for n in range(len(batch))], lambda chunk: [_look(account, batch[chunk[0]])], results)
    return [results[number] for number in range(len(batch))]


def _look(account: Account, work: Work) -> Result:
    job, name = work.job, work.step.name
    if name in ("register", "history"):
        return _look_for_call(account, job)
    if name == "client":
        return clients.look(account, job)
    return todos.look(account, job) if name == "todo" else NotMade()


def _look_for_call(account: Account, job: Job) -> Result:
    """404, or no data, means that it was not created."""
    try:
        data = account.get("callInfo/provider", {"providerId": job.facts.id})
    except Rejected as error:
        if error.code == failures.NOT_FOUND:
            return NotMade()
        raise
    rows = data if isinstance(data, list) else [data]
    ours = [row for row in wire.rows(wire.CallInfo, rows) if row.id and row.providerId in ("", job.facts.id)]
    return steps.found(job, ours[-1]) if ours else NotMade()
