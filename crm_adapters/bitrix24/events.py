"""What Bitrix24 tells us: installation, removal, a click on a number, an ordered call-back.

There is no signature. The proof is `auth[application_token]`, which came with the installation; the installation itself
is proven by asking the authorisation server about the token that it brought (events/safe-event-handlers.md,
b24restdocs). Events come at most once and want their 200 quickly.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import DialRequested, Disconnected, Event, Refused, Request, SecretsChanged
from crm_adapters.values import is_host
from outbound.errors import Rejected
from outbound.http import Http

from . import oauth, php, wire

MAX_BODY = 64 * 1024
INSTALLED, UPDATED, UNINSTALLED = "ONAPPINSTALL", "ONAPPUPDATE", "ONAPPUNINSTALL"
DIAL, CALL_BACK = "ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART"
BOUND = (DIAL, CALL_BACK, UNINSTALLED, UPDATED)
"""What we ask Bitrix24 to tell us. The installation is told without asking."""


def form_of(request: Request) -> tuple[wire.EventForm, wire.EventAuth]:
    """Raises `Refused` for what is no event at all."""
    if len(request.body) > MAX_BODY:
        raise Refused(413, "too_large")
    try:
        form = wire.parse(wire.EventForm, php.parse_form(request.body))
    except ValueError as error:
        raise Refused(400, "bad_form") from error
    return form, wire.parse(wire.EventAuth, form.auth)


def identify(request: Request) -> str:
    """The `member_id` that the event names."""
    _form, auth = form_of(request)
    if not auth.member_id:
        raise Refused(403, "no_member_id")
    return auth.member_id


def authenticate(request: Request, secrets: Mapping[str, str]) -> None:
    """Raises `Refused` unless the sender knows the application_token, or will have to prove himself in `events`.

    The second way is open to an event with a token of its own: at the first event of all, and for an installation or
    update, which bring a new application_token.
    """
    form, auth = form_of(request)
    member = secrets.get("member_id", "")
    if member and not _same(auth.member_id, member):
        raise Refused(403, "unknown_member")
    if _knows_token(auth, secrets):
        return
    first = not secrets.get("application_token")
    if not auth.access_token or not auth.application_token or not (first or _renews(form)):
        raise Refused(403, "wrong_application_token")


def parse(request: Request, http: Http, secrets: Mapping[str, str]) -> list[Event]:
    """What an authenticated event says; unknown ones say nothing.

    Raises `Rejected` when the authorisation server does not know the token of a first event or an installation, and
    other `outbound.errors` when it could not be asked.
    """
    form, auth = form_of(request)
    found: list[Event] = []
    known = _knows_token(auth, secrets)
    if not known and not oauth.proven(http, secrets, auth):
        raise Rejected(_("Bitrix24 does not confirm this event"), code="unproven")
    if _renews(form):
        found.append(SecretsChanged(key=_key(form, auth, str(form.ts)), secrets=_all(auth, secrets), installed=True))
    elif not known:
        # Tokens of an ordinary event belong to whoever clicked: only the proof of identity is kept.
        found.append(SecretsChanged(secrets=_identity(auth)))
    return found + _said(form, auth)


def _said(form: wire.EventForm, auth: wire.EventAuth) -> list[Event]:
    name = form.event.upper()
    if name == UNINSTALLED:
        return [Disconnected(key=_key(form, auth, str(form.ts)))]
    if name in (DIAL, CALL_BACK):
        return _dial(form, auth, with_call=name == DIAL)
    return []


def _dial(form: wire.EventForm, auth: wire.EventAuth, *, with_call: bool) -> list[Event]:
    """The number to call is PHONE_NUMBER as it was typed, with an E.164 form beside it at a click."""
    data = wire.parse(wire.EventData, form.data)
    phone = data.PHONE_NUMBER_INTERNATIONAL or data.PHONE_NUMBER
    call = data.CALL_ID if with_call else ""
    if not phone or (with_call and not call):
        return []
    entity = f"{data.CRM_ENTITY_TYPE}:{data.CRM_ENTITY_ID}" if data.CRM_ENTITY_TYPE and data.CRM_ENTITY_ID > 0 else ""
    return [
        DialRequested(
            key=_key(form, auth, call or f"{phone}:{form.ts}"),
            crm_user=data.USER_ID if with_call and data.USER_ID != "0" else "",
            extension=data.EXTENSION,
            at=datetime.fromtimestamp(form.ts, UTC) if form.ts else None,
            phone=phone,
            line=data.LINE_NUMBER,
            crm_call=call,
            crm_entity=entity,
        )
    ]


def _key(form: wire.EventForm, auth: wire.EventAuth, what: str) -> str:
    return f"{auth.member_id}:{form.event.upper()}:{what}"


def _renews(form: wire.EventForm) -> bool:
    return form.event.upper() in (INSTALLED, UPDATED)


def _knows_token(auth: wire.EventAuth, secrets: Mapping[str, str]) -> bool:
    stored = secrets.get("application_token", "")
    return bool(stored) and _same(auth.application_token, stored)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _identity(auth: wire.EventAuth) -> dict[str, str]:
    fields = {"application_token": auth.application_token, "member_id": auth.member_id}
    return {name: value for name, value in fields.items() if value}


def _all(auth: wire.EventAuth, secrets: Mapping[str, str]) -> dict[str, str]:
    """Everything an installation hands over. (Its `expires_in` counts from now, which the house need not know.)"""
    tokens = {"access_token": auth.access_token, "refresh_token": auth.refresh_token}
    if auth.expires:
        tokens["expires"] = str(auth.expires)
    if (server := oauth.server(secrets, auth.server_endpoint)) != oauth.server(secrets):
        tokens["oauth_url"] = server
    if not secrets.get("domain") and is_host(auth.domain):
        tokens["domain"] = auth.domain.lower()
    return _identity(auth) | {name: value for name, value in tokens.items() if value}


def shown(request: Request) -> str:
    """The event as a person reads it: a line for each field, without tokens."""
    try:
        form, auth = form_of(request)
    except Refused as refused:
        return f"({refused.code})"
    lines = [f"event = {form.event}", f"ts = {form.ts}", f"portal = {auth.domain} ({auth.member_id})"]
    return "\n".join(lines + list(_lines("", form.data)))


def _lines(prefix: str, data: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for name, value in data.items():
        where = f"{prefix}{name}"
        lines += _lines(f"{where}.", value) if isinstance(value, dict) else [f"{where} = {value}"]
    return lines
