"""What is written by the REST API: everything of a call that the telephony API was not told, and what it cannot do.

Each step changes one thing at the most, with what it must read before. Notes (`Job.progress`) of this face:

- `door` `rest` for a call that the telephony API is not told of, `voip` for one that it is
- `contact` the client's id; 0: Planfix has none and makes none
- `entry` key of the data tag's entry; `comment` the comment that it stands in
- `responsible` who was made the contact's responsible
- `task` the task that the recording belongs to; 0: there is none. `new_task`: it was made for this call
- `upload` true when Planfix cannot fetch the recording's link; `file` what it has fetched, `filed` from which link
- `attached` the link of the recording that is attached; `note` the comment that it is attached by, `at` where that is
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import Done, Doubtful, Job, NotMade, Priority, Repeat, Result, Said, Step, Trace
from outbound.errors import Rejected, Temporary

from . import clients, entries, failures, legs, people, rest, tasks
from .rest import Account

REST, VOIP = "rest", "voip"
WAITS = timedelta(minutes=10)
"""For so long after a call Planfix may take to make a contact of its own."""
NOT_YET = "contact_not_yet"

_CLIENT = Step("client", Priority.RECORDING, Repeat.KEY)  # reads
# Whether a contact with this number is there can be seen, by the very search that it begins with.
_CREATE = Step("create", Priority.FINISH, Repeat.LOOK)
_RESPONSIBLE = Step("responsible", Priority.RECORDING, Repeat.KEY)  # the same person once more
_TASK = Step("task", Priority.RECORDING, Repeat.KEY)  # reads
# Our call's id stands in the description of a task and of a comment, and both can be read.
_NEW_TASK = Step("new_task", Priority.RECORDING, Repeat.LOOK)
_FILE = Step("file", Priority.RECORDING, Repeat.KEY)  # a file that is attached to nothing is seen nowhere
_NOTE = Step("note", Priority.RECORDING, Repeat.LOOK)
_REPLACE = Step("replace", Priority.RECORDING, Repeat.KEY)  # the list of a comment's files is replaced as a whole


def door(job: Job) -> str:
    """Which face writes this call; "" while that is open. Never both: each of them would write it, so what has begun
    by one goes on by it, whatever the settings say now."""
    notes = job.progress
    if notes.get("door"):
        return str(notes["door"])
    if notes.get("legs"):
        return VOIP
    return REST if job.settings.get("mode") == REST else ""


def plan(job: Job) -> Step | None:
    """The next step that Planfix lacks, once the call is over and told."""
    if door(job) == REST and not job.progress.get("entry"):
        return _plan_entry(job)
    return _plan_rest(job)


def _plan_entry(job: Job) -> Step | None:
    contact = job.progress.get("contact")
    if contact is None:
        return _CREATE if creates(job) else replace(_CLIENT, priority=Priority.FINISH)
    if not contact:
        return None
    # Only an entry with our id in a field of the customer's can be found again.
    return Step("entry", Priority.FINISH, Repeat.LOOK if legs.call_id_field(job) else Repeat.STOP)


def creates(job: Job) -> bool:
    """Whether a contact is made of an unknown number: by the settings; where Planfix's own telephony would have made
    one, always."""
    if job.settings.get("mode") != REST:
        return True
    side = "outgoing" if people.outgoing(job.facts) else "incoming"
    return bool(job.settings.get(f"create_contact_{side}", True))


def _plan_rest(job: Job) -> Step | None:
    """The contact's responsible, the task, the recording."""
    if job.progress.get("contact") is None:
        return _CLIENT if any((_wants_responsible(job), tasks.wanted(job), _wants_recording(job))) else None
    if not job.progress["contact"]:
        return None
    if _wants_responsible(job):
        return _RESPONSIBLE
    if tasks.wanted(job) and not job.progress.get("new_task"):
        return _NEW_TASK
    return _plan_recording(job) if _wants_recording(job) else None


def _wants_responsible(job: Job) -> bool:
    """Who took the call becomes responsible for a contact that Planfix did not know before it."""
    if job.settings.get("responsible") not in ("first", "last") or job.facts.outcome != "answered":
        return False
    user = people.responsible(job)
    return bool(user and job.progress.get("known") is False and job.progress.get("responsible") != user)


def _wants_recording(job: Job) -> bool:
    url, told = job.facts.recording_url, job.progress.get("attached")
    by_planfix = door(job) != REST and bool(tasks.target(job) == "planfix" or job.progress.get("record"))
    return bool(url and job.facts.outcome == "answered" and not by_planfix and told not in (url, "refused"))


def _plan_recording(job: Job) -> Step | None:
    notes = job.progress
    if tasks.target(job) in ("last", "matching") and notes.get("task") is None:
        return _TASK
    if _lacks_task(job):
        return _NEW_TASK
    if notes.get("filed") != job.facts.recording_url:
        return _FILE
    return _REPLACE if _comment(job) else _NOTE


def _lacks_task(job: Job) -> bool:
    """There is no task to attach to, and the settings want one made («При отсутствии — создавать новую задачу»)."""
    makes = tasks.target(job) in ("last", "matching") and job.settings.get("if_no_task") == "new"
    return makes and job.progress.get("task") == 0 and not job.progress.get("new_task")


# --- Where a recording goes -------------------------------------------------------------------------------------------


def place(job: Job) -> str:
    """The path of the object whose comment bears the recording: `task/455` or `contact/61`."""
    notes = job.progress
    for_task = {"last": ("task", "new_task"), "matching": ("task", "new_task"), "new": ("new_task",)}
    found = (notes.get(name) for name in for_task.get(tasks.target(job), ()))
    task = next((number for number in found if number), 0)
    return f"task/{task}" if task else f"contact/{notes['contact']}"


def _comment(job: Job) -> int:
    """The comment that is there to bear it: the recording's own, or the entry's in the same card."""
    notes = job.progress
    if notes.get("note") and notes.get("at") == place(job):
        return int(notes["note"])
    return int(notes.get("comment") or 0) if place(job).startswith("contact/") else 0


# --- perform ----------------------------------------------------------------------------------------------------------


def choose_door(job: Job, *, has_token: bool) -> Result:
    """A call of which nothing was told while it lived: by REST it stands there with its own time, and no window opens.
    Without a token it is told late, and Planfix takes the moment of that for the call's."""
    return Done({"door": REST if has_token else VOIP})


def client(account: Account, job: Job) -> Result:
    """The contact with this number. After a call by telephony Planfix makes one of its own, which may take a moment."""
    rows = clients.search(account, job.facts.client_phone)
    by = {"door": door(job)}
    if rows:
        return Done({"contact": rest.number_of(rows[0]), **by})
    facts = job.facts
    ended = facts.started_at + timedelta(seconds=facts.wait_seconds + facts.talk_seconds)
    if door(job) != REST and datetime.now(UTC) - ended < WAITS:
        return Temporary(_("Planfix has not made the contact yet"), code=NOT_YET, retry_after=5.0)
    return Done({"contact": 0, **by}, (Said(_("Planfix has no contact with this number")),))


def create(account: Account, job: Job) -> Result:
    """Searched right before, so that nobody is there twice."""
    found = find_created(account, job)
    if isinstance(found, Done):
        return found
    settings = job.settings
    user = people.responsible(job) if settings.get("responsible") in ("first", "last") else ""
    user = user or str(settings.get("default_responsible") or "")
    number = clients.create(
        account,
        job.facts.client_phone,
        job.facts.id,
        template=str(settings.get("contact_template") or ""),
        responsible=[user] if user else [],
    )
    if not number:
        return Temporary(_("Planfix gave no id of the new contact"), code="no_id", fate_unknown=True)
    words = Said(_("Contact %(number)s was created"), {"number": number})
    return Done({"door": REST, "contact": number, "known": False, "responsible": user}, (words,))


def entry(account: Account, job: Job) -> Result:
    key, comment = entries.write(account, job, int(job.progress["contact"]))
    return Done({"entry": key or True, "comment": comment})


def responsible(account: Account, job: Job) -> Result:
    user = people.responsible(job)
    clients.assign(account, int(job.progress["contact"]), user)
    return Done({"responsible": user}, (Said(_("Responsible for the contact: %(user)s"), {"user": user}),))


def task(account: Account, job: Job) -> Result:
    return Done({"task": tasks.last(account, job, int(job.progress["contact"]))})


def new_task(account: Account, job: Job) -> Result:
    number = tasks.create(account, job, int(job.progress["contact"]))
    if not number:
        return Temporary(_("Planfix gave no id of the new task"), code="no_id", fate_unknown=True)
    return Done({"new_task": number}, (Said(_("Task %(number)s was created"), {"number": number}),))


def file(account: Account, job: Job) -> Result:
    """Planfix fetches our link. Where it may not («Unsafe url»), the next attempt sends the file itself."""
    url, name = job.facts.recording_url, _name(job)
    if job.progress.get("upload"):
        made = account.upload(name, account.download(url))
        return Done({"file": rest.number_of(made.get("id", 0)), "filed": url})
    try:
        made = account.change("file/from-url/", {"name": name, "url": url})
    except Rejected as error:
        if error.code == failures.BAD_VALUE:
            why = Said(_("Planfix cannot fetch the recording's link: %(words)s"), {"words": error.words})
            return Done({"upload": True}, (why,))
        if error.code in ("7001", "7002", "7003"):
            why = Said(_("The recording was refused: %(words)s"), {"words": error.words})
            return Done({"attached": "refused"}, (why,))
        raise
    return Done({"file": rest.number_of(made.get("id", 0)), "filed": url})


def _name(job: Job) -> str:
    """How Planfix itself names the recordings of calls."""
    facts = job.facts
    day = facts.started_at.astimezone(entries.zone_of(job))
    kind = facts.recording_name.rpartition(".")[2].lower() if "." in facts.recording_name else "mp3"
    return f"Запись звонка {people.digits(facts.client_phone)} {day:%d-%m-%Y}.{kind}"


def note(account: Account, job: Job) -> Result:
    """A comment with the recording, whose author is the employee; nobody is told of it."""
    body = {"description": tasks.description(job.facts), "isHidden": tasks.hidden(job), "files": _files(job)}
    if user := people.user(job):
        body["owner"] = {"id": rest.prefixed(user)}
    where = place(job)
    made = account.change(f"{where}/comments/", {**body, "sourceObjectId": job.facts.id})
    return Done(_noted(job, rest.number_of(made.get("id", 0)), where))


def change(account: Account, job: Job) -> Result:
    """The comment that is there gets the recording, in the place of another one if it had one."""
    where, comment = place(job), _comment(job)
    body: dict[str, Any] = {"files": _files(job)}
    if tasks.hidden(job):
        body["isHidden"] = True
    account.change(f"{where}/comments/{comment}", body, silent=True)
    return Done(_noted(job, comment, where))


def _files(job: Job) -> list[dict[str, int]]:
    return [{"id": int(job.progress["file"])}]


def _noted(job: Job, comment: int, where: str) -> dict[str, Any]:
    return {"attached": job.facts.recording_url, "note": comment, "at": where}


STEPS = {
    "client": client,
    "create": create,
    "entry": entry,
    "responsible": responsible,
    "task": task,
    "new_task": new_task,
    "file": file,
    "note": note,
    "replace": change,
}


# --- look -------------------------------------------------------------------------------------------------------------


def find_created(account: Account, job: Job) -> Result:
    rows = clients.search(account, job.facts.client_phone)
    return Done({"door": REST, "contact": rest.number_of(rows[0])}) if rows else NotMade()


def find_entry(account: Account, job: Job) -> Result:
    found = entries.find(account, job)
    return Done({"entry": found.key or True, "comment": found.comment}) if found else NotMade()


def find_new_task(account: Account, job: Job) -> Result:
    number = tasks.find(account, job, int(job.progress["contact"]))
    return Done({"new_task": number}) if number else NotMade()


def find_note(account: Account, job: Job) -> Result:
    """The newest comments of the place: ours has the call's id in its text."""
    where = place(job)
    body = {
        "offset": 0,
        "pageSize": rest.PAGE,
        "fields": "id,description",
        "typeList": "Comments",
        "resultOrder": "Desc",
    }
    rows = rest.rows_of(account.read(f"{where}/comments/list", body), "comments")
    if any("description" not in row for row in rows):
        raise Doubtful(_("Planfix does not tell what stands in its comments"), code=failures.DOUBT)
    number = next((rest.number_of(row) for row in rows if job.facts.id in str(row["description"])), 0)
    return Done(_noted(job, number, where)) if number else NotMade()


LOOKS = {"create": find_created, "entry": find_entry, "new_task": find_new_task, "note": find_note}


# --- What a test call left --------------------------------------------------------------------------------------------

ENTRY = "entry"


def traces(notes: Mapping[str, Any]) -> list[Trace]:
    """Only the data tag's entry can be deleted (`datatag/entry/{key}`); tasks answer 405 to that, and of contacts and
    comments nothing is documented."""
    found = []
    key = notes.get("entry")
    if key and key is not True:
        found.append(Trace(_("The call in the data tag"), ENTRY, str(key), removable=True))
    elif key or notes.get("status"):
        found.append(Trace(_("The call in the contact's card and in the data tag"), ENTRY, ""))
    if notes.get("new_task"):
        found.append(Trace(_("Task"), "task", str(notes["new_task"])))
    if notes.get("note"):
        found.append(Trace(_("Comment with the recording"), "comment", str(notes["note"])))
    elif notes.get("comment"):
        found.append(Trace(_("Comment"), "comment", str(notes["comment"])))
    if notes.get("known") is False:
        found.append(Trace(_("Contact"), "contact", str(notes.get("contact") or "")))
    return found


def remove(account: Account, trace: Trace) -> None:
    try:
        account.delete(f"datatag/entry/{trace.id}")
    except Rejected as error:
        if error.code != failures.NO_ENTRY:
            raise
