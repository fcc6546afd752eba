"""Connecting an account: what must be true, and what is set up there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from crm_adapters.base import Check
from outbound.errors import CredentialsRefused, OutboundError, Rejected, TokenExpired
from outbound.http import Http

from . import directory, events, failures
from .api import Account

HOOKS = ("add_contact", "update_contact", "delete_contact", "responsible_contact")


def check(http: Http, secrets: Mapping[str, str]) -> list[Check]:
    """Four requests that change nothing. Raises what says nothing of the credential (no connection, no time)."""
    try:
        account = Account.of(http, secrets)
        account.get("/api/v4/account")
    except TokenExpired:
        raise  # the house refreshes and comes again
    except CredentialsRefused as error:
        return [Check(_("amoCRM accepts the keys"), ok=False, cure=failures.help_for(error) or error.words)]
    return [Check(_("amoCRM accepts the keys"), ok=True), *_checks(account)]


def _checks(account: Account) -> Iterator[Check]:
    yield _tried(_("Employees can be read"), lambda: account.get("/api/v4/users", {"limit": "1"}))
    yield _tried(_("Pipelines can be read"), lambda: directory.pipelines(account))
    yield _tried(_("Notes of calls can be read"), lambda: account.get("/api/v4/contacts/notes", {"limit": "1"}))


def _tried(name: str, ask: Callable[[], Any]) -> Check:
    try:
        ask()
    except TokenExpired:
        raise
    except (Rejected, CredentialsRefused) as error:
        return Check(name, ok=False, cure=failures.help_for(error) or error.words)
    return Check(name, ok=True)


def prepare(account: Account, secrets: Mapping[str, str], handler_url: str) -> None:
    """Subscribe to changed contacts, for the client book: one request.

    Subscribing again changes nothing. An account whose plan has no webhooks does without: clients are then asked for at
    each call.
    """
    destination = events.hook_url(handler_url, secrets)
    try:
        account.send("POST", "/api/v4/webhooks", {"destination": destination, "settings": list(HOOKS)})
    except OutboundError as error:
        if not isinstance(error, Rejected) and error.code != failures.PAYMENT:
            raise


def retire(account: Account) -> None:
    """Take our webhooks down: those whose address ends as ours do."""
    body = account.get("/api/v4/webhooks")
    for hook in body.get("_embedded", {}).get("webhooks", ()):
        destination = str(hook.get("destination", ""))
        if events.is_hook_url(destination):
            account.send("DELETE", "/api/v4/webhooks", {"destination": destination})
