"""Connecting a chain: what must be true beforehand, and the integration switched on there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.utils.translation import gettext as _

from crm_adapters.base import Check
from outbound.errors import OutboundError, Rejected
from outbound.http import Http

from . import failures, people, service
from .chain import Chain

_TOKEN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def check(http: Http, secrets: Mapping[str, str]) -> list[Check]:
    """Requests that change nothing: the list of countries, for which the partner token alone is enough, and the sign-in
    of the user, if there is one.

    Whether the chain knows its token cannot be asked: only switching the integration on tells. Raises what says nothing
    of the account (no connection, no time).
    """
    title = service.of(secrets).title
    looks_right = bool(_TOKEN.fullmatch(secrets.get("crm_token", "")))
    cure = _("It looks like 11111111-2222-4333-8444-555555555555. Copy it from Telephony → Integration → “Token”.")
    checks = [
        _accepted(_("%(service)s accepts Callbridge") % {"service": title}, http, secrets),
        Check(_("The User token is a chain's token"), looks_right, "" if looks_right else cure),
    ]
    if checks[0].ok and people.may_ask(secrets):
        checks.append(_signs_in(_("Names of clients may be asked for"), http, secrets))
    return checks


def _signs_in(name: str, http: Http, secrets: Mapping[str, str]) -> Check:
    try:
        people.sign_in(Chain.of(http, secrets), secrets)
    except Rejected as error:
        return Check(name, ok=False, cure=failures.help_for(error) or error.words)
    return Check(name, ok=True)


def _accepted(name: str, http: Http, secrets: Mapping[str, str]) -> Check:
    try:
        Chain.of(http, secrets).ask("GET", "/countries")
    except OutboundError as error:
        if error.code not in (failures.NO_PARTNER_TOKEN, failures.PARTNER_TOKEN, failures.ACCESS_DENIED):
            raise
        cure = failures.help_for(type(error)(error.words, code=failures.PARTNER_TOKEN))
        return Check(name, ok=False, cure=cure)
    return Check(name, ok=True)


def prepare(chain: Chain) -> None:
    """Switch the integration on: Routing, Routes and Calls appear in the chain, which calls itself connected."""
    chain.tell("setup", "enable")


def retire(chain: Chain) -> None:
    """Switch it off: the sections close, and what is told afterwards is not looked at."""
    chain.tell("setup", "disable")
