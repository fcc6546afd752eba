"""Planfix: its telephony API, to which we are a PBX, and its REST API for what the first cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.utils.translation import pgettext_lazy

from crm_adapters.base import (
    Adapter,
    Capability,
    Check,
    Choice,
    ClientMatch,
    CrmUser,
    Event,
    Job,
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

from . import address, calls, clients, connect, contacts, events, failures, forms, tasks, written
from .rest import Account

_LISTS = {
    "task_templates": tasks.templates,
    "task_statuses": tasks.statuses,
    "contact_templates": tasks.contact_templates,
}


class Planfix(Adapter):
    """One account of Planfix."""

    slug = "planfix"
    title = "Planfix"
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
    # Not the way by which calls are passed, nor what stands in the data tags: they are the account's.
    rule_fields: ClassVar[tuple[str, ...]] = (
        "no_operator_extension",
        "use_call_tracking",
        "responsible",
        "create_contact_incoming",
        "create_contact_outgoing",
        "contact_template",
        "default_responsible",
        "attach_to",
        "task_role",
        "task_templates",
        "task_statuses_are",
        "task_statuses",
        "task_days",
        "if_no_task",
        "task_after",
        "new_task_template",
        "contact_role",
    )
    step_titles: ClassVar[Mapping[str, Any]] = {
        "ask": pgettext_lazy("Planfix", "Planfix was asked whether it knows the client"),
        "ring": pgettext_lazy("Planfix", "The call window was opened"),
        "accept": pgettext_lazy("Planfix", "Planfix was told who answered"),
        "leave": pgettext_lazy("Planfix", "The call window was closed"),
        "finish": pgettext_lazy("Planfix", "The call was finished"),
        "record": pgettext_lazy("Planfix", "The recording was passed on"),
        "door": pgettext_lazy("Planfix", "It was decided how the late call is written"),
        "client": pgettext_lazy("Planfix", "The contact was looked for"),
        "create": pgettext_lazy("Planfix", "The contact was found or created"),
        "entry": pgettext_lazy("Planfix", "The data tag was filled in"),
        "responsible": pgettext_lazy("Planfix", "The contact's responsible was set"),
        "task": pgettext_lazy("Planfix", "The task was looked for"),
        "new_task": pgettext_lazy("Planfix", "A task was created"),
        "file": pgettext_lazy("Planfix", "Planfix fetched the recording"),
        "note": pgettext_lazy("Planfix", "The recording was attached"),
        "replace": pgettext_lazy("Planfix", "The recording was attached to the call's comment"),
    }
    reasons: ClassVar[Mapping[str, tuple[Any, Any]]] = {
        calls.NOBODY_RUNG: (
            pgettext_lazy(
                "Planfix",
                "Nobody was rung, and Planfix takes no call without a short number. Name one in the integration for "
                "such calls.",
            ),
            pgettext_lazy("Planfix", "nobody was rung"),
        ),
    }
    contact_fields = contacts.FIELDS
    # Our key (`token`) is shown in the form: the customer must enter it in Planfix.
    secret_fields = frozenset({"planfix_token", "rest_token"})
    wire_names = {"bearer": "rest_token"}

    def account(self, secrets: Secrets) -> str:
        return address.account(secrets)

    def shown_as(self, secrets: Secrets) -> str:
        return address.account(secrets)

    def connected(self, secrets: Secrets) -> bool:
        """Planfix has told its address and key, or there is a token for REST."""
        return address.has_voip(secrets) or bool(address.of(secrets) and secrets.get("rest_token"))

    def limits(self, secrets: Secrets) -> tuple[Limit, ...]:
        return address.limits(secrets)

    # --- Calls

    def refuses(self, job: Job) -> str:
        return calls.refuses(job)

    def plan(self, job: Job) -> Step | None:
        return calls.plan(job)

    def withdraw(self, job: Job, doubtful: str = "") -> Step | None:
        return calls.withdraw(job)

    def perform(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        self._spend(http, secrets)
        return [calls.perform(http, secrets, work) for work in batch]

    def look(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        self._spend(http, secrets)
        return [calls.look(http, secrets, work) for work in batch]

    def foresee(self, job: Job, step: Step) -> Mapping[str, Any] | None:
        return calls.foresee(job, step)

    def traces(self, progress: Mapping[str, Any], secrets: Secrets) -> list[Trace]:
        return written.traces(progress)

    def remove(self, http: Http, secrets: Secrets, trace: Trace) -> None:
        written.remove(Account.of(http, secrets), trace)

    def _spend(self, http: Http, secrets: Secrets) -> None:
        """The house has paid for one request by `limits`. Where these are none, each REST request pays for itself."""
        if not self.limits(secrets):
            http.limiter.take(())

    # --- The account

    def check(self, http: Http, secrets: Secrets) -> list[Check]:
        return connect.check(http, secrets)

    def prepare(
        self, http: Http, secrets: Secrets, handler_url: str, lines: Mapping[str, str], settings: Settings
    ) -> None:
        connect.prepare(secrets, settings)

    def users(self, http: Http, secrets: Secrets) -> list[CrmUser]:
        """Nobody where only the telephony API is there: it knows short numbers, and no list of them."""
        return clients.users(Account.of(http, secrets)) if secrets.get("rest_token") else []

    def choices(self, http: Http, secrets: Secrets, source: str) -> list[Choice]:
        return [Choice(*each) for each in _LISTS[source](Account.of(http, secrets))]

    def find_client(self, http: Http, secrets: Secrets, phone: str, deadline: float) -> ClientMatch | None:
        return clients.find(http, secrets, phone, deadline)

    def able(self, secrets: Secrets) -> frozenset[Capability]:
        """Contacts and tasks are REST's: its telephony API only tells names."""
        by_rest = frozenset({Capability.CONTACTS, Capability.TASKS})
        return self.capabilities if secrets.get("rest_token") else self.capabilities - by_rest

    def read_contact(self, http: Http, secrets: Secrets, record: Record) -> dict[str, str]:
        return contacts.read(Account.of(http, secrets), record)

    def save_contact(self, http: Http, secrets: Secrets, record: Record, changes: Mapping[str, str]) -> None:
        contacts.save(Account.of(http, secrets), record, changes)

    def create_contact(self, http: Http, secrets: Secrets, settings: Settings, contact: NewContact) -> ClientMatch:
        return contacts.create(Account.of(http, secrets), settings, contact)

    def create_task(self, http: Http, secrets: Secrets, settings: Settings, task: NewTask) -> str:
        return contacts.add_task(Account.of(http, secrets), settings, task)

    # --- What Planfix asks of us

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        events.authenticate(request, secrets)

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        """200 with nothing: the command is taken."""
        return Reply(body=b"", content_type="text/plain")

    def events(self, request: Request, http: Http, secrets: Secrets) -> list[Event]:
        return events.parse(request)

    def shown(self, request: Request) -> str:
        return events.shown(request)

    def errors_help(self, error: OutboundError) -> str:
        return failures.help_for(error)
