"""From the text of a file to a company, or to the list of what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from employees import installation
from employees.models import Company, Role
from integrations import credentials
from integrations.models import Credential, Integration
from telephony.models import Connection

from .accounts import Credentials, Integrations
from .company import Changes, Connections, People, company_of
from .reading import Section
from .tree import Problem, read

FILE = ("company", "users", "employees", "connections", "crm_credentials", "integrations")


class Refused(Exception):
    """The file cannot be done as it is; nothing was done."""

    def __init__(self, problems: list[Problem]):
        super().__init__(f"{len(problems)} problems")
        self.problems = sorted(problems, key=lambda problem: problem.line)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The company as it stands now, by the keys of the file; `changes` name what was written."""

    company: Company
    connections: Mapping[str, Connection]
    credentials: Mapping[str, Credential]
    integrations: Mapping[str, Integration]
    changes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "company": {"id": str(self.company.uuid), "name": self.company.name},
            "connections": {key: _connection(row) for key, row in self.connections.items()},
            "crm_credentials": {key: _credential(row) for key, row in self.credentials.items()},
            "integrations": {
                key: {"id": str(row.uuid), "active": row.active} for key, row in self.integrations.items()
            },
        }

    def summary(self) -> str:
        """The same for a person."""
        lines = [_("Company: %(name)s") % {"name": self.company.name}]
        for key, connection in self.connections.items():
            lines.append(
                _("PBX connection %(key)s: webhook address %(url)s") % {"key": key, "url": connection.address.url}
            )
        for key, credential in self.credentials.items():
            facts = {"key": key, "state": credential.get_state_display(), "url": credential.handler_url}
            lines.append(_("CRM account %(key)s: %(state)s; handler address %(url)s") % facts)
            if credential.state != Credential.State.READY and (url := authorise_url(credential)):
                lines.append(_("  connect it here: %(url)s") % {"url": url})
        for key, integration in self.integrations.items():
            facts = {"key": key, "state": _("switched on") if integration.active else _("switched off")}
            lines.append(_("Integration %(key)s: %(state)s") % facts)
        lines += (
            [_("Written:"), *(f"  {words}" for words in dict.fromkeys(self.changes))]
            if self.changes
            else [_("Nothing changed.")]
        )
        return "\n".join(lines)


def _connection(row: Connection) -> dict[str, Any]:
    url = row.address.url
    return {"id": str(row.uuid), "webhook_url": url, "webhook_urls": {"events": url}}


def _credential(row: Credential) -> dict[str, Any]:
    return {"id": str(row.uuid), "handler_url": row.handler_url, "authorise_url": authorise_url(row)}


def authorise_url(row: Credential) -> str:
    """Where the company's owner lets us into this account; empty where there is no such way.

    The portal's own signed state: it says on the way back which account it was, and for whom; it lives some minutes.
    """
    owner = row.company.memberships.filter(role=Role.OWNER).order_by("id").first()
    return credentials.authorise_url(row, owner.user_id if owner else None)


def provision(text: str) -> Outcome:
    """Make the database have the company of this file. Raises `Refused` with every problem, and then did nothing."""
    installation.check_encryption()
    problems: list[Problem] = []
    root = read(text, problems)
    if root is None:
        raise Refused(problems)
    with transaction.atomic():
        outcome = _bring(Section(root, problems, FILE))
        if problems:
            raise Refused(problems)
    return outcome


def _bring(file: Section) -> Outcome:
    changes = Changes()
    company = company_of(file, changes)
    People(company, changes).bring(file)
    connections = Connections(company, changes)
    connections.bring(file)
    credentials = Credentials(company, changes)
    credentials.bring(file)
    integrations = Integrations(company, changes, connections.by_key, credentials)
    integrations.bring(file)
    found = {key: row for key, row in connections.by_key.items() if row}
    for row in found.values():
        row.address  # noqa: B018  (made at the first question)
    accounts = {key: row for key, row in credentials.by_key.items() if row}
    return Outcome(company, found, accounts, integrations.by_key, changes.words)
