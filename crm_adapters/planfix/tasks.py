"""Planfix's tasks of a contact: the one that a call belongs to, a new one after a call.

«Последняя активная задача» is the task that was created last for the contact, as Planfix itself means it (document
"Виртуальные АТС"). Lists come oldest first and cannot be sorted, so all pages count and the greatest id wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils.html import escape
from django.utils.translation import gettext_noop as _

from crm_adapters.base import CallFacts, Doubtful, Job

from . import failures, people, rest
from .rest import Account

STATUS, CREATED, COUNTERPARTY, PARTICIPANT, TEMPLATE = 10, 12, 7, 39, 51
ATTACH = ("planfix", "card", "card_hidden", "last", "last_hidden", "matching", "matching_hidden", "new")
_MOST_PAGES = 10


def types() -> list[tuple[str, Any]]:
    """Kinds of calls after which a task is made."""
    return [(kind, kind) for kind in ("in_answered", "in_missed", "out_answered", "out_failed")]


def type_of(facts: CallFacts) -> str:
    answered = facts.outcome == "answered"
    if people.outgoing(facts):
        return "out_answered" if answered else "out_failed"
    return "in_answered" if answered else "in_missed"


def target(job: Job) -> str:
    """Where the settings want the recording: `planfix`, `card`, `last`, `matching` or `new`."""
    return str(job.settings.get("attach_to") or "planfix").removesuffix("_hidden")


def hidden(job: Job) -> bool:
    """Whether the comment with the recording is a hidden one."""
    return str(job.settings.get("attach_to") or "").endswith("_hidden")


def wanted(job: Job) -> bool:
    """Whether the settings want a task of its own for this call: by its kind, or one for each successful call."""
    kinds = job.settings.get("task_after") or ()
    each = target(job) == "new" and job.facts.outcome == "answered"
    return each or type_of(job.facts) in kinds


# --- Found ------------------------------------------------------------------------------------------------------------


def last(account: Account, job: Job, contact: int) -> int:
    """The contact's last task, by the settings of any kind or one that matches the conditions; 0: there is none."""
    body = {"fields": "id,name", "filters": conditions(job, contact)}
    rows = account.pages("task/list", "tasks", body, _MOST_PAGES)
    return max((rest.number_of(row) for row in rows), default=0)


def conditions(job: Job, contact: int) -> list[dict[str, Any]]:
    """The filters of the list; all must be true. The statuses of one condition are alternatives."""
    settings = job.settings
    role = PARTICIPANT if settings.get("task_role") == "participant" else COUNTERPARTY
    found = [rest.filter_of(role, f"contact:{contact}")]
    if target(job) != "matching":
        return found
    if templates := _numbers(settings.get("task_templates")):
        found.append(rest.filter_of(TEMPLATE, templates if len(templates) > 1 else templates[0]))
    if statuses := _numbers(settings.get("task_statuses")):
        operator = "equal" if settings.get("task_statuses_are") == "equal" else "notequal"
        found.append(rest.filter_of(STATUS, statuses, operator))
    if days := int(settings.get("task_days") or 0):
        found.append(rest.filter_of(CREATED, {"dateType": "last", "dateValue": days}))
    return found


def _numbers(values: Any) -> list[int]:
    return [number for number in map(rest.number_of, values or ()) if number]


# --- New --------------------------------------------------------------------------------------------------------------


def create(account: Account, job: Job, contact: int) -> int:
    """A task after the call. The contact is its counterparty («Контрагент») or does it («Исполнитель»), by the
    settings; who took the call does it in the first case."""
    settings, facts = job.settings, job.facts
    template, user = str(settings.get("new_task_template") or ""), people.user(job)
    body: dict[str, Any] = {"template": {"id": int(template)}} if template else {}
    body |= {"name": title(facts), "description": f"<p>{description(facts)}</p>"}
    if settings.get("contact_role") == "assignee":
        body["assignees"] = {"users": [{"id": f"contact:{contact}"}]}
    else:
        body["counterparty"] = {"id": f"contact:{contact}"}
        if user:
            body["assignees"] = rest.people([user])
    return rest.number_of(account.change("task/", {**body, "sourceObjectId": facts.id}))


def find(account: Account, job: Job, contact: int) -> int:
    """The task that was made for this call; 0: there is none. Our call's id stands in its description: whether Planfix
    tells or compares `sourceObjectId` is not documented. Raises `Rejected` where descriptions are not told."""
    found = {"fields": "id,description", "filters": [rest.filter_of(_role(job), f"contact:{contact}")]}
    rows = list(account.pages("task/list", "tasks", found, _MOST_PAGES))
    if any("description" not in row for row in rows):
        raise Doubtful(_("Planfix does not tell what stands in its tasks"), code=failures.DOUBT)
    return next((rest.number_of(row) for row in reversed(rows) if job.facts.id in str(row["description"])), 0)


def _role(job: Job) -> int:
    return 2 if job.settings.get("contact_role") == "assignee" else COUNTERPARTY


# --- Words ------------------------------------------------------------------------------------------------------------

_HEADINGS = {
    "in_answered": "Входящий звонок",
    "in_missed": "Пропущенный звонок",
    "out_answered": "Исходящий звонок",
    "out_failed": "Исходящий звонок",
}
"""What Planfix's own comments of calls begin with, in Russian: filters and reports of customers look for it."""


def title(facts: CallFacts) -> str:
    return f"{_HEADINGS[type_of(facts)]} {facts.client_phone}"


def description(facts: CallFacts) -> str:
    """The call in HTML, as Planfix wants its texts: who, by which line, how long; the id by which we find it again."""
    return "<br>".join([_HEADINGS[type_of(facts)], *(escape(line) for line in _lines(facts))])


def _lines(facts: CallFacts) -> Iterator[str]:
    talked = [p.extension for p in people.talkers(facts) if p.extension]
    yield f"{facts.client_phone} → {', '.join(talked)}" if talked else facts.client_phone
    if line := facts.line_name or facts.virtual_number:
        yield f"Линия: {line}"
    if facts.talk_seconds:
        yield f"Разговор {facts.talk_seconds // 60}:{facts.talk_seconds % 60:02}"
    yield f"Звонок {facts.id}"


# --- Lists to choose from ---------------------------------------------------------------------------------------------


def templates(account: Account) -> list[tuple[str, str]]:
    """Templates and objects: one filter knows both."""
    found = [(row, str(row.get("name") or "")) for row in _listed(account, "task/templates", "templates")]
    objects = account.pages("object/list", "objects", {"fields": "id,name"})
    found += [(row, str(row.get("name") or "")) for row in objects]
    names = {str(rest.number_of(row)): name or str(rest.number_of(row)) for row, name in found if rest.number_of(row)}
    return list(names.items())


def statuses(account: Account) -> list[tuple[str, str]]:
    """Statuses of all processes; one status may be part of several."""
    found: dict[str, str] = {}
    for process in _listed(account, "process/task", "processes"):
        for row in _listed(account, f"process/task/{rest.number_of(process)}/statuses", "statuses"):
            if number := rest.number_of(row):
                found.setdefault(str(number), str(row.get("name") or number))
    return list(found.items())


def contact_templates(account: Account) -> list[tuple[str, str]]:
    rows = _listed(account, "contact/templates", "templates")
    return [(str(rest.number_of(row)), str(row.get("name") or rest.number_of(row))) for row in rows if row.get("id")]


def _listed(account: Account, path: str, name: str) -> list[dict[str, Any]]:
    """A list that is got at once."""
    return rest.rows_of(account.get(path, "id,name"), name)
