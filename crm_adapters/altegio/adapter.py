"""Altegio and YCLIENTS: two services, one protocol. Pop-ups of incoming calls, and history with recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crm_adapters.base import Adapter, CallFacts, Capability, Check, Job, Result, Secrets, Settings, Step, Work
from outbound.errors import OutboundError
from outbound.http import Http
from outbound.limits import Limit

from . import calls, connect, failures, forms, service
from .chain import Chain


class Altegio(Adapter):
    """One account is one chain. There is no way back: the services ask nothing of telephony."""

    slug = "altegio"
    title = "Altegio"
    capabilities = frozenset({Capability.POP_UP})
    credential_form = forms.CredentialForm
    settings_form = forms.SettingsForm
    secret_fields = frozenset({"crm_token"})

    def account(self, secrets: Secrets) -> str:
        return service.account(secrets)

    def limits(self, secrets: Secrets) -> tuple[Limit, ...]:
        return service.limits(secrets)

    def refuses(self, facts: CallFacts) -> str:
        return calls.refuses(facts)

    def plan(self, job: Job) -> Step | None:
        return calls.plan(job)

    def perform(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        return calls.perform(Chain.of(http, secrets), batch)

    def look(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        return calls.look(batch)

    def check(self, http: Http, secrets: Secrets) -> list[Check]:
        return connect.check(http, secrets)

    def prepare(
        self, http: Http, secrets: Secrets, handler_url: str, lines: Mapping[str, str], settings: Settings
    ) -> None:
        connect.prepare(Chain.of(http, secrets))

    def retire(self, http: Http, secrets: Secrets) -> None:
        connect.retire(Chain.of(http, secrets))

    def errors_help(self, error: OutboundError) -> str:
        return failures.help_for(error)
