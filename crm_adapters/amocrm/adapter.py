"""amoCRM and Kommo: API v4 with an integration's tokens or a long-lived one, notifications, the widget's clicks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
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
    Listed,
    Reply,
    Request,
    Result,
    Secrets,
    Settings,
    Step,
    Trace,
    Work,
)
from crm_adapters.contacts import NewContact, NewTask, Record
from outbound.errors import OutboundError
from outbound.http import Http
from outbound.limits import Limit

from . import address, calls, connect, contacts, directory, events, failures, forms, listing, oauth, traces
from .api import Account


class AmoCrm(Adapter):
    """One class for both names: which it is follows from the account's domain."""

    slug = "amocrm"
    title = "amoCRM / Kommo"
    capabilities = frozenset(Capability)
    credential_form = forms.CredentialForm
    settings_form = forms.SettingsForm
    rule_fields: ClassVar[tuple[str, ...]] = (
        "write_to",
        "notify_incoming",
        "unknown_incoming",
        "unknown_incoming_when",
        "stage_incoming",
        "default_responsible_incoming",
        "assign_incoming_to",
        "assign_missed_to",
        "task_after_missed",
        "task_type",
        "task_minutes",
        "task_text",
        "unknown_outgoing",
        "unknown_outgoing_when",
        "stage_outgoing",
        "default_responsible_outgoing",
        "lead_name",
        "use_call_tracking",
        "utm_tags",
    )
    step_titles: ClassVar[Mapping[str, Any]] = {
        "notify": _("Employees were notified"),
        "find": _("The client was looked for"),
        "call": _("The call was written to the client"),
        "note": _("The call was written to the chosen record"),
        "seek": _("An unsorted entry of the same caller was looked for"),
        "unsorted": _("An unsorted entry was made"),
        "lead": _("A contact and a deal were made"),
        "task": _("A task was set"),
        "user": _("Who is responsible was corrected"),
        "update": _("The call's note was completed"),
        "utm": _("The UTM tags were written"),
    }
    twice_help = _(
        "In the account open the list of integrations (amoMarket), find the telephony integration named here, switch "
        "it off, or take this account out of the PBX's own settings. Keep one of them. A note of a call that is there "
        "twice can be deleted by hand."
    )
    methods = events.METHODS
    kept_headers = events.HEADERS
    contact_fields = contacts.FIELDS
    token_fields: ClassVar[tuple[str, ...]] = ("access_token", "refresh_token", "account_id", "redirect_uri")
    secret_fields = frozenset({"client_secret", "long_lived_token", "access_token", "refresh_token"})
    batch_size = 50
    """Objects in one request: more may end in a time-out of amoCRM's (HTTP 504)."""

    def account(self, secrets: Secrets) -> str:
        return address.account(secrets)

    def connected(self, secrets: Secrets) -> bool:
        return bool(address.token_of(secrets))

    def limits(self, secrets: Secrets) -> tuple[Limit, ...]:
        return address.limits(secrets)

    def refuses(self, job: Job) -> str:
        return calls.refuses(job.facts)

    def plan(self, job: Job) -> Step | None:
        return calls.plan(job)

    def perform(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        return calls.perform(Account.of(http, secrets), batch)

    def look(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        return calls.look(Account.of(http, secrets), batch)

    def foresee(self, job: Job, step: Step) -> Mapping[str, Any] | None:
        return calls.foresee(job, step)

    def traces(self, progress: Mapping[str, Any], secrets: Secrets) -> list[Trace]:
        return traces.of(progress, secrets)

    def remove(self, http: Http, secrets: Secrets, trace: Trace) -> None:
        traces.remove(Account.of(http, secrets), trace)

    def refresh(self, http: Http, secrets: Secrets) -> Mapping[str, str]:
        return oauth.refresh(http, secrets)

    def authorise_url(self, secrets: Secrets, state: str) -> str:
        return oauth.authorise_url(secrets, state)

    def authorised(self, http: Http, secrets: Secrets, query: Mapping[str, str]) -> Mapping[str, str]:
        return oauth.authorised(http, secrets, query)

    def check(self, http: Http, secrets: Secrets) -> list[Check]:
        return connect.check(http, secrets)

    def prepare(
        self, http: Http, secrets: Secrets, handler_url: str, lines: Mapping[str, str], settings: Settings
    ) -> None:
        connect.prepare(Account.of(http, secrets), secrets, handler_url)

    def retire(self, http: Http, secrets: Secrets) -> None:
        connect.retire(Account.of(http, secrets))

    def users(self, http: Http, secrets: Secrets) -> list[CrmUser]:
        return directory.users(Account.of(http, secrets))

    def choices(self, http: Http, secrets: Secrets, source: str) -> list[Choice]:
        return directory.choices(Account.of(http, secrets), source)

    def calls(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> list[Listed]:
        return listing.calls(Account.of(http, secrets), since, until)

    def find_client(self, http: Http, secrets: Secrets, phone: str, deadline: float) -> ClientMatch | None:
        return directory.find_client(Account.of(http, secrets), phone, deadline)

    def read_contact(self, http: Http, secrets: Secrets, record: Record) -> dict[str, str]:
        return contacts.read(Account.of(http, secrets), record)

    def save_contact(self, http: Http, secrets: Secrets, record: Record, changes: Mapping[str, str]) -> None:
        contacts.save(Account.of(http, secrets), record, changes)

    def create_contact(self, http: Http, secrets: Secrets, settings: Settings, contact: NewContact) -> ClientMatch:
        return contacts.create(Account.of(http, secrets), contact)

    def create_task(self, http: Http, secrets: Secrets, settings: Settings, task: NewTask) -> str:
        return contacts.add_task(Account.of(http, secrets), task)

    def handshake(self, request: Request) -> Reply | None:
        return events.handshake(request)

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        events.authenticate(request, secrets)

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        return events.reply(request, secrets)

    def events(self, request: Request, http: Http, secrets: Secrets) -> list[Event]:
        return events.parse(request)

    def shown(self, request: Request) -> str:
        return events.shown(request)

    def errors_help(self, error: OutboundError) -> str:
        return failures.help_for(error)
