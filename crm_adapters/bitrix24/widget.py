"""The WebRTC widget: a page of ours that Bitrix24 loads unseen into each of its own, with the employee's phone.

Source: api-reference/widgets/universal/background-worker.md and ui-interaction/page-background-worker, b24restdocs.
The handler must answer within 5 s: after ten slow answers in a day Bitrix24 forgets it and says so at
`errorHandlerUrl`. What it posts there and here goes through the employee's browser.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext_noop as _

from crm_adapters.base import PhonePage, Refused, Request
from outbound.errors import CredentialsRefused, Rejected, TokenExpired
from outbound.http import Http

from . import address, oauth, php, wire
from .rest import Portal

PLACEMENT = "PAGE_BACKGROUND_WORKER"
LIBRARY = "https://api.bitrix24.com/api/v1/"
SCRIPT = "bitrix24/worker.js"
TITLES = {"ru": "Телефон Callbridge", "en": "Callbridge phone"}


# --- On the portal ----------------------------------------------------------------------------------------------------


def place(portal: Portal, handler_url: str, *, wanted: bool) -> None:
    """Have the page loaded, or not any more. An application has one such page: the one before gives way.

    Raises `Rejected` where there is no application to place it.
    """
    if wanted and not portal.token:
        words = _("The WebRTC widget needs an application: an incoming webhook puts no page into Bitrix24.")
        raise Rejected(words, code="webhook")
    if portal.token:
        _take_away(portal)
    if wanted:
        portal.call("placement.bind", _placed(f"{handler_url}phone/"))


def _take_away(portal: Portal) -> None:
    """Whoever may not place pages has placed none."""
    try:
        portal.call("placement.unbind", {"PLACEMENT": PLACEMENT})
    except TokenExpired:
        raise
    except (CredentialsRefused, Rejected):
        return


def _placed(url: str) -> dict[str, Any]:
    titles = {language: {"TITLE": title} for language, title in TITLES.items()}
    return {
        "PLACEMENT": PLACEMENT,
        "HANDLER": url,
        "OPTIONS": {"errorHandlerUrl": f"{url}lost/"},
        "LANG_ALL": titles,
    }


# --- The page ---------------------------------------------------------------------------------------------------------


def page(request: Request, secrets: Mapping[str, str]) -> PhonePage:
    """What Bitrix24 posts names portal and application; who the employee is, his token proves afterwards."""
    form = {**php.parse_form(request.query.encode()), **php.parse_form(request.body)}
    said = wire.parse(wire.PlacementForm, form)
    if said.PLACEMENT != PLACEMENT or not said.AUTH_ID:
        raise Refused(400, "bad_form")
    if not secrets.get("member_id") or not _same(said.member_id, secrets["member_id"]):
        raise Refused(403, "unknown_member")
    # Older portals do not send it.
    if said.APPLICATION_TOKEN and not _same(said.APPLICATION_TOKEN, secrets.get("application_token", "")):
        raise Refused(403, "wrong_application_token")
    parent = urlsplit(address.origin(secrets.get("domain", "")))
    return PhonePage(f"{parent.scheme}://{parent.netloc}", LIBRARY, SCRIPT, {"auth": said.AUTH_ID}, said.LANG)


def user(http: Http, secrets: Mapping[str, str], says: Mapping[str, str]) -> str:
    """The user whose token the page has, where it is one of our application."""
    token = says.get("auth", "")
    http = replace(http, secrets=(*http.secrets, token))
    auth = wire.EventAuth(access_token=token, member_id=secrets.get("member_id", ""))
    info = oauth.whose(http, secrets, auth) if token else None
    if info is None:
        raise Refused(403, "wrong_token")
    if info.user_id:
        return info.user_id
    try:
        profile = Portal.of(http, {**secrets, "access_token": token}).call("profile", {})
    except (CredentialsRefused, TokenExpired) as error:
        raise Refused(403, "wrong_token") from error
    return wire.parse(wire.Profile, profile).ID


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
