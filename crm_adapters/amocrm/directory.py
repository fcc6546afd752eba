"""What an account has to choose from: users, stages of pipelines, types of tasks; and the client behind a number."""

from __future__ import annotations

from crm_adapters.base import Choice, ClientMatch, CrmUser

from . import clients, wire
from .api import Account

MAX_PAGES = 20
UNSORTED = 1
"""`type` of the status of unsorted entries, where no deal can be created."""
KINDS = {"contacts": "contact", "companies": "company"}


def users(account: Account) -> list[CrmUser]:
    """250 a page. amoCRM knows no extensions: the mapping is by hand, by e-mail or by name."""
    return [
        CrmUser(id=user.id, name=user.name or user.email or user.id, email=user.email, active=user.active)
        for body in account.pages("/api/v4/users", {}, MAX_PAGES)
        for user in wire.embedded(wire.User, body, "users")
        if user.id
    ]


def choices(account: Account, source: str) -> list[Choice]:
    """`stages` as `pipeline:status`, `task_types`."""
    if source == "task_types":
        body = account.get("/api/v4/account", {"with": "task_types"})
        return [Choice(row.id, row.name) for row in wire.embedded(wire.TaskType, body, "task_types") if row.id]
    return [
        Choice(f"{pipeline.id}:{status.id}", f"{pipeline.name} → {status.name}")
        for pipeline in pipelines(account)
        for status in pipeline.statuses
        if status.type != UNSORTED and status.id not in map(str, clients.CLOSED)
    ]


def pipelines(account: Account) -> list[wire.Pipeline]:
    body = account.get("/api/v4/leads/pipelines")
    return [row for row in wire.embedded(wire.Pipeline, body, "pipelines") if row.id and not row.is_archive]


def find_client(account: Account, phone: str, deadline: float) -> ClientMatch | None:
    """One request for a contact, one more where only a company has the number."""
    found = clients.find(account, phone, deadline)
    if found is None:
        return None
    kind, row = KINDS[found.kind], found.row
    return ClientMatch(
        entity=kind,
        entity_id=str(row.id),
        name=row.name,
        manager=found.manager,
        link=link(kind, str(row.id)),
        deals=tuple(str(each) for each in sorted(row.leads, reverse=True)),
        company=row.name if kind == "company" else "",
        others=tuple(f"{kind}:{other.id} {other.name}".strip() for other in found.others),
    )


def link(kind: str, number: str) -> str:
    """The page of a contact or company, relative to the account's address."""
    return f"/{'contacts' if kind == 'contact' else 'companies'}/detail/{number}"
