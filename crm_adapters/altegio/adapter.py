"""Altegio and YCLIENTS: two services, one protocol. Pop-ups of incoming calls, and history with recordings."""

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
from crm_adapters.contacts import NewContact, Record
from outbound.errors import OutboundError
from outbound.http import Http
from outbound.limits import Limit

from . import calls, connect, contacts, failures, forms, hooks, people, service
from .chain import Chain


class Altegio(Adapter):
    """One account is one chain. `token_fields` come with a user's sign-in, which only names of clients need.

    The services ask nothing of telephony: no call by a click, and no responsible of a client to forward to.
    """

    slug = "altegio"
    title = "Altegio"
    capabilities = frozenset({Capability.POP_UP, Capability.CLIENT_LOOKUP, Capability.CONTACTS})
    credential_form = forms.CredentialForm
    settings_form = forms.SettingsForm
    step_titles: ClassVar[Mapping[str, Any]] = {
        "event": _("The pop-up was passed on"),
        "history": _("The call was saved"),
        "record": _("The call was saved once more, with its recording"),
    }
    reasons: ClassVar[Mapping[str, tuple[Any, Any]]] = {
        calls.NO_NUMBER: (
            _("It is not known by which of your numbers the call came, and Altegio takes no call without it."),
            _("without a virtual number"),
        ),
    }
    contact_fields = contacts.FIELDS
    token_fields: ClassVar[tuple[str, ...]] = ("user_token", "chain_id", "signed_in")
    secret_fields = frozenset({"crm_token", "password", "user_token"})

    def account(self, secrets: Secrets) -> str:
        return service.account(secrets)

    def limits(self, secrets: Secrets) -> tuple[Limit, ...]:
        return service.limits(secrets)

    def refuses(self, job: Job) -> str:
        return calls.refuses(job.facts)

    def plan(self, job: Job) -> Step | None:
        return calls.plan(job)

    def perform(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        return calls.perform(Chain.of(http, secrets), batch)

    def look(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        return calls.look(batch)

    def foresee(self, job: Job, step: Step) -> Mapping[str, Any] | None:
        return calls.foresee(job, step)

    def traces(self, progress: Mapping[str, Any], secrets: Secrets) -> list[Trace]:
        return calls.traces(progress)

    def check(self, http: Http, secrets: Secrets) -> list[Check]:
        return connect.check(http, secrets)

    def prepare(
        self, http: Http, secrets: Secrets, handler_url: str, lines: Mapping[str, str], settings: Settings
    ) -> None:
        connect.prepare(Chain.of(http, secrets))

    def retire(self, http: Http, secrets: Secrets) -> None:
        connect.retire(Chain.of(http, secrets))

    def refresh(self, http: Http, secrets: Secrets) -> Mapping[str, str]:
        return people.sign_in(Chain.of(http, secrets), secrets)

    def find_client(self, http: Http, secrets: Secrets, phone: str, deadline: float) -> ClientMatch | None:
        if not people.may_ask(secrets):
            return None
        return people.find_client(Chain.of(http, secrets), secrets, phone, deadline)

    def choices(self, http: Http, secrets: Secrets, source: str) -> list[Choice]:
        """None where no user may ask."""
        return contacts.locations(Chain.of(http, secrets), secrets) if people.may_ask(secrets) else []

    def able(self, secrets: Secrets) -> frozenset[Capability]:
        """Clients are shown to users only; the chain's token is for calls."""
        return self.capabilities if people.may_ask(secrets) else self.capabilities - {Capability.CONTACTS}

    def read_contact(self, http: Http, secrets: Secrets, record: Record) -> dict[str, str]:
        return contacts.read(Chain.of(http, secrets), secrets, record)

    def save_contact(self, http: Http, secrets: Secrets, record: Record, changes: Mapping[str, str]) -> None:
        contacts.save(Chain.of(http, secrets), secrets, record, changes)

    def create_contact(self, http: Http, secrets: Secrets, settings: Settings, contact: NewContact) -> ClientMatch:
        return contacts.create(Chain.of(http, secrets), secrets, settings, contact)

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        hooks.authenticate(request)

    def events(self, request: Request, http: Http, secrets: Secrets) -> list[Event]:
        return hooks.parse(request)

    def spelt(self, number: str) -> str:
        return calls.digits(number)

    def shown_as(self, secrets: Secrets) -> str:
        return secrets.get("network", "")

    def connected(self, secrets: Secrets) -> bool:
        return bool(secrets.get("crm_token"))

    def errors_help(self, error: OutboundError) -> str:
        return failures.help_for(error)
