"""Tokens of an integration: given for a code, renewed with a refresh token that is good for one use.

The secret key goes to the account's own domain only (amocrm.ru/developers, "oauth"; amocrm-api-php, AmoCRMOAuth).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext_noop as _

from outbound.errors import CredentialsRefused, OutboundError, Rejected, TokenExpired
from outbound.http import Answer, Http

from . import address, failures, wire
from .api import Account

_DEMONSTRATION = "/oauth"


def authorise_url(secrets: Mapping[str, str], state: str) -> str:
    """Where an administrator of the account allows the integration; "" without its ID."""
    if not secrets.get("client_id") or not secrets.get("client_secret"):
        return ""
    try:
        base = address.origin(secrets.get("domain", ""))
    except ValueError:
        return ""
    vendor = next((each for each in address.VENDORS if base.endswith(each)), "")
    query = urlencode({"client_id": secrets["client_id"], "state": state, "mode": "popup"})
    return f"https://www.{vendor}/oauth?{query}" if vendor else f"{base}{_DEMONSTRATION}?{query}"


def authorised(http: Http, secrets: Mapping[str, str], query: Mapping[str, str]) -> dict[str, str]:
    """Tokens for the `code` that the customer came back with (it lives 20 minutes), and the account that he chose.

    `referer` names the account's domain; it is believed only where it is one of the vendor's. Raises `Rejected` when
    he came back without a code, or from another account than this credential's.
    """
    if not query.get("code"):
        raise Rejected(query.get("error") or _("amoCRM sent no code"), code=query.get("error", "no_code"))
    domain = query.get("referer") or secrets.get("domain", "")
    if not address.follows(secrets.get("domain", ""), domain):
        raise Rejected(_("the way back names an address that is none of amoCRM's"), code="referer")
    chosen = {**secrets, "domain": address.domain_of(domain), "redirect_uri": address.own_redirect_uri()}
    tokens = _tokens(http, chosen, grant_type="authorization_code", code=query["code"])
    found = wire.parse(wire.Account, Account.of(http, {**chosen, **tokens}).get("/api/v4/account"))
    stored = secrets.get("account_id", "")
    if not found.id:
        raise Rejected(_("amoCRM does not say which account this is"), code="no_account")
    if stored and stored != found.id:
        raise Rejected(_("this is another account than the one connected here"), code="another_account")
    kept = {"domain": chosen["domain"], "redirect_uri": chosen["redirect_uri"], "account_id": found.id}
    return kept | tokens


def refresh(http: Http, secrets: Mapping[str, str]) -> dict[str, str]:
    """A new pair for the old one, which is worth nothing from then on, and the domain of an account that has moved.

    Raises `CredentialsRefused` when the customer must connect it again.
    """
    if not secrets.get("refresh_token"):
        raise CredentialsRefused(_("there is no refresh token"), code=failures.NOT_CONNECTED)
    try:
        return _tokens(http, secrets, grant_type="refresh_token", refresh_token=secrets["refresh_token"])
    except CredentialsRefused as refusal:
        domain = _moved_to(http, secrets)
        if not domain:
            raise refusal from None
    moved = {**secrets, "domain": domain}
    return {"domain": domain} | _tokens(http, moved, grant_type="refresh_token", refresh_token=secrets["refresh_token"])


def _moved_to(http: Http, secrets: Mapping[str, str]) -> str:
    """The domain of an account that has another one now; "" where it is the same, or not known.

    The shared server that the access token names tells it to whoever has the refresh token.
    """
    stored = secrets.get("domain", "")
    server = str(address.claims(secrets.get("access_token", "")).get("api_domain") or "")
    if not server or not address.follows(stored, server):
        return ""
    try:
        answer = http.request(
            "GET",
            f"{address.origin(server)}/oauth2/account/current/subdomain",
            headers={"X-Refresh-Token": secrets["refresh_token"]},
            limits=address.limits(secrets),
        )
        found = wire.parse(wire.Account, answer.json()) if answer.status == 200 else wire.Account()
    except OutboundError:
        return ""
    if not found.domain or not address.follows(stored, found.domain):
        return ""
    domain = address.domain_of(found.domain)
    return domain if domain != address.domain_of(stored) else ""


def _tokens(http: Http, secrets: Mapping[str, str], *, grant_type: str, **proof: str) -> dict[str, str]:
    try:
        base = address.origin(secrets.get("domain", ""))
    except ValueError as error:
        raise CredentialsRefused(_("the account's domain is missing"), code=failures.NOT_CONNECTED) from error
    body = {
        "client_id": secrets.get("client_id", ""),
        "client_secret": secrets.get("client_secret", ""),
        "grant_type": grant_type,
        **proof,
        "redirect_uri": address.redirect_uri(secrets),
    }
    answer = http.request("POST", f"{base}/oauth2/access_token", json=body, limits=address.limits(secrets))
    if answer.status != 200:
        raise _refused(http, answer, secrets)
    tokens = wire.parse(wire.Tokens, answer.json())
    if not tokens.access_token or not tokens.refresh_token:
        raise CredentialsRefused(_("amoCRM gave no tokens"), code=failures.NOT_CONNECTED)
    return {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}


def _refused(http: Http, answer: Answer, secrets: Mapping[str, str]) -> OutboundError:
    """HTTP 401 (400 in older examples) has two meanings here, which `hint` tells apart."""
    error = failures.of(answer, renews=False)
    if error.code in (failures.BANNED, failures.TOO_MANY):
        for limit in address.limits(secrets):
            http.limiter.block(limit.key, error.retry_after or failures.PAUSE)
        return error
    if not isinstance(error, Rejected | CredentialsRefused) or isinstance(error, TokenExpired):
        return error
    if error.code == failures.MOVED:
        return error
    hint = _hint(answer)
    return CredentialsRefused(error.words, code=failures.REVOKED if hint else failures.CLIENT)


def _hint(answer: Answer) -> str:
    said: Any = answer.json() if failures.is_json(answer) else {}
    return wire.parse(wire.Problem, said).hint
