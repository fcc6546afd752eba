"""Bitrix24: REST with an application's tokens (or an incoming webhook), telephony with cards, events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _

from crm_adapters.base import (
    Adapter,
    Capability,
    Check,
    ClientMatch,
    CrmUser,
    DialRequested,
    Event,
    Job,
    Listed,
    PhonePage,
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

from . import (
    address,
    calls,
    connect,
    contacts,
    directory,
    entities,
    events,
    failures,
    forms,
    oauth,
    rest,
    statistics,
    widget,
)


class Bitrix24(Adapter):
    """One class for cloud and box portals. `token_fields` are what an installation gives; no form asks for them."""

    slug = "bitrix24"
    title = "Bitrix24"
    capabilities = frozenset(Capability)
    credential_form = forms.CredentialForm
    settings_form = forms.SettingsForm
    rule_fields: ClassVar[tuple[str, ...]] = (
        "create_entity_incoming",
        "default_responsible_incoming",
        "assign_incoming_to",
        "create_entity_outgoing",
        "default_responsible_outgoing",
        "use_call_tracking",
        "utm_tags",
        "post_call_message_to_chat",
    )
    step_titles: ClassVar[Mapping[str, Any]] = {
        "register": _("The call was registered"),
        "cards": _("The card was shown or hidden"),
        "finish": _("The call was finished"),
        "user": _("Who is responsible was corrected"),
        "record": _("The recording was attached"),
        "utm": _("The UTM tags were written"),
        "withdraw": _("The card was closed: this was a part of another call"),
    }
    contact_fields = contacts.FIELDS
    token_fields: ClassVar[tuple[str, ...]] = (
        "access_token",
        "refresh_token",
        "application_token",
        "member_id",
        "expires",
    )
    secret_fields = frozenset({"client_secret", "webhook_url", "access_token", "refresh_token", "application_token"})
    wire_names = {"portal": "domain"}
    twice_help = _(
        "In Bitrix24 open the applications and the telephony settings, and remove or switch off the integration named "
        "here: the PBX's own application, another service's, or the line that is connected to Bitrix24 directly. Keep "
        "one of them. What is written twice already stays: rows of the telephony statistics cannot be deleted."
    )
    browser_phone_setting = ("telephony_mode", forms.WIDGET)
    batch_size = rest.MAX_HEAVY
    """One slow command for each step fits into one request; see `rest.MAX_HEAVY`."""

    def account(self, secrets: Secrets) -> str:
        return address.account(secrets)

    def identify(self, request: Request) -> str:
        return events.identify(request)

    def connected(self, secrets: Secrets) -> bool:
        return bool(secrets.get("access_token") or secrets.get("webhook_url"))

    def limits(self, secrets: Secrets) -> tuple[Limit, ...]:
        return address.limits(secrets)

    def refuses(self, job: Job) -> str:
        return calls.refuses(job.facts)

    def plan(self, job: Job) -> Step | None:
        return calls.plan(job)

    def withdraw(self, job: Job, doubtful: str = "") -> Step | None:
        return calls.withdraw(job, doubtful)

    def perform(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        return calls.perform(rest.Portal.of(http, secrets), batch)

    def look(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        return calls.look(rest.Portal.of(http, secrets), batch)

    def foresee(self, job: Job, step: Step) -> Mapping[str, Any] | None:
        return calls.foresee(job, step)

    def traces(self, progress: Mapping[str, Any], secrets: Secrets) -> list[Trace]:
        return entities.traces(progress, secrets)

    def remove(self, http: Http, secrets: Secrets, trace: Trace) -> None:
        entities.remove(rest.Portal.of(http, secrets), trace)

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
        creates = bool(settings.get("create_entity_outgoing", True))
        portal, mode = rest.Portal.of(http, secrets), settings.get("telephony_mode", "")
        connect.prepare(portal, handler_url, lines, creates=creates)
        if mode:
            widget.place(portal, handler_url, wanted=mode == forms.WIDGET)

    def phone_page(self, request: Request, secrets: Secrets) -> PhonePage:
        return widget.page(request, secrets)

    def phone_user(self, http: Http, secrets: Secrets, says: Mapping[str, str]) -> str:
        return widget.user(http, secrets, says)

    def users(self, http: Http, secrets: Secrets) -> list[CrmUser]:
        return directory.users(rest.Portal.of(http, secrets))

    def calls(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> list[Listed]:
        return statistics.calls(rest.Portal.of(http, secrets), since, until)

    def number_of(self, progress: Mapping[str, Any]) -> str:
        return str(progress.get("call") or "")

    def find_client(self, http: Http, secrets: Secrets, phone: str, deadline: float) -> ClientMatch | None:
        return directory.find_client(rest.Portal.of(http, secrets), phone, deadline)

    def read_contact(self, http: Http, secrets: Secrets, record: Record) -> dict[str, str]:
        return contacts.read(rest.Portal.of(http, secrets), record)

    def save_contact(self, http: Http, secrets: Secrets, record: Record, changes: Mapping[str, str]) -> None:
        contacts.save(rest.Portal.of(http, secrets), record, changes)

    def create_contact(self, http: Http, secrets: Secrets, settings: Settings, contact: NewContact) -> ClientMatch:
        return contacts.create(rest.Portal.of(http, secrets), contact)

    def create_task(self, http: Http, secrets: Secrets, settings: Settings, task: NewTask) -> str:
        return contacts.add_task(rest.Portal.of(http, secrets), task)

    def refuse_call(self, http: Http, secrets: Secrets, event: DialRequested, why: str) -> None:
        if event.crm_call:
            connect.refuse_call(rest.Portal.of(http, secrets), event.crm_call, event.crm_user, why)

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        events.authenticate(request, secrets)

    def events(self, request: Request, http: Http, secrets: Secrets) -> list[Event]:
        return events.parse(request, http, secrets)

    def shown(self, request: Request) -> str:
        return events.shown(request)

    def errors_help(self, error: OutboundError) -> str:
        return failures.help_for(error)
