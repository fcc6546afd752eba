"""Megaplan: API v3 with its telephony (CallInfo), a login and a password, clients, communications, deals' requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _

from crm_adapters.base import (
    Adapter,
    Capability,
    Check,
    Choice,
    ClientMatch,
    CrmUser,
    Event,
    Job,
    Request,
    Result,
    Secrets,
    Settings,
    Step,
    Trace,
    Work,
)
from crm_adapters.contacts import NewContact, NewTask, Record
from outbound.errors import CredentialsRefused, OutboundError, TokenExpired
from outbound.http import Http
from outbound.limits import Limit

from . import address, calls, clients, connect, contacts, directory, events, failures, forms, tokens
from .api import Account


class Megaplan(Adapter):
    """One class for the cloud and for boxes."""

    slug = "megaplan"
    title = "Megaplan"
    capabilities = frozenset(
        {
            Capability.POP_UP,
            Capability.RECORDING_LATER,
            Capability.CLICK_TO_CALL,
            Capability.CLIENT_LOOKUP,
            Capability.USERS,
            Capability.CONTACTS,
            Capability.TASKS,
        }
    )
    credential_form = forms.CredentialForm
    settings_form = forms.SettingsForm
    rule_fields: ClassVar[tuple[str, ...]] = (
        "default_responsible",
        "create_client_incoming",
        "create_client_outgoing",
        "create_communication",
        "communication_types",
        "communication_category",
        "keep_absent",
        "absent_user",
    )
    step_titles: ClassVar[Mapping[str, Any]] = {
        "register": _("The card was opened"),
        "update": _("The card was changed"),
        "finish": _("The call was finished"),
        "history": _("The call was written to the history"),
        "correct": _("The call was corrected"),
        "record": _("The recording's link was written"),
        "client": _("The client was looked up or created"),
        "attach": _("The client was bound to the call"),
        "todo": _("The communication was looked up or created"),
    }
    contact_fields = contacts.FIELDS
    token_fields: ClassVar[tuple[str, ...]] = ("access_token", "refresh_token")
    secret_fields = frozenset({"password", "access_token", "refresh_token"})
    wire_names = {"host": "domain", "integration_uuid": "application_uuid"}
    batch_size = 10
    """Only calls for the history go in one request; the others come one after the other, as long as there is time."""

    def account(self, secrets: Secrets) -> str:
        return address.account(secrets)

    def limits(self, secrets: Secrets) -> tuple[Limit, ...]:
        return address.limits(secrets)

    def plan(self, job: Job) -> Step | None:
        return calls.plan(job)

    def withdraw(self, job: Job, doubtful: str = "") -> Step | None:
        return calls.withdraw(job)

    def perform(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        return calls.perform(Account.of(http, secrets), batch)

    def look(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        return calls.look(Account.of(http, secrets), batch)

    def foresee(self, job: Job, step: Step) -> Mapping[str, Any] | None:
        return calls.foresee(job, step)

    def traces(self, progress: Mapping[str, Any], secrets: Secrets) -> list[Trace]:
        return calls.traces(progress)

    def refresh(self, http: Http, secrets: Secrets) -> Mapping[str, str]:
        return tokens.refresh(http, secrets)

    def check(self, http: Http, secrets: Secrets) -> list[Check]:
        try:
            return connect.check(Account.of(http, secrets))
        except TokenExpired:
            raise
        except CredentialsRefused as error:
            return connect.refused(error)

    def users(self, http: Http, secrets: Secrets) -> list[CrmUser]:
        return directory.users(Account.of(http, secrets))

    def choices(self, http: Http, secrets: Secrets, source: str) -> list[Choice]:
        if source != directory.CATEGORIES:
            raise NotImplementedError(source)
        return directory.categories(Account.of(http, secrets))

    def find_client(self, http: Http, secrets: Secrets, phone: str, deadline: float) -> ClientMatch | None:
        return clients.find(Account.of(http, secrets), phone, deadline)

    def read_contact(self, http: Http, secrets: Secrets, record: Record) -> dict[str, str]:
        return contacts.read(Account.of(http, secrets), record)

    def save_contact(self, http: Http, secrets: Secrets, record: Record, changes: Mapping[str, str]) -> None:
        contacts.save(Account.of(http, secrets), record, changes)

    def create_contact(self, http: Http, secrets: Secrets, settings: Settings, contact: NewContact) -> ClientMatch:
        return contacts.create(Account.of(http, secrets), settings, contact)

    def create_task(self, http: Http, secrets: Secrets, settings: Settings, task: NewTask) -> str:
        return contacts.add_task(Account.of(http, secrets), settings, task)

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        events.authenticate(request, secrets)

    def events(self, request: Request, http: Http, secrets: Secrets) -> list[Event]:
        return events.parse(request, http, secrets)

    def errors_help(self, error: OutboundError) -> str:
        return failures.help_for(error)
