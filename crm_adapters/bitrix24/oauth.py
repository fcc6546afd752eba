"""Tokens: from the authorisation server (settings/oauth/*, b24restdocs).

`client_secret` goes to the authorisation server only, never to a portal.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from django.utils.translation import gettext_noop as _

from outbound.errors import CredentialsRefused, OutboundError, Rejected, TokenExpired
from outbound.http import Http

from . import address, failures, rest, wire

SERVER = "https://oauth.bitrix.info"
HOSTS = ("oauth.bitrix.info", "oauth.bitrix24.tech")
"""The vendor's own authorisation servers. Another is used only where the customer typed it in this credential."""
PROBE_DEADLINE = 5.0


def server(secrets: Mapping[str, str], hint: str = "") -> str:
    """The authorisation server: what the customer typed, else `hint` where that is the vendor's own, else the usual."""
    if typed := secrets.get("oauth_url", "").strip():
        return typed.rstrip("/")
    host = address.host_of(hint)
    return f"https://{host}" if host in HOSTS else SERVER


def refresh(http: Http, secrets: Mapping[str, str]) -> dict[str, str]:
    """What changes in the credential: the address of a portal that moved, or new tokens, or nothing.

    The portal is asked first, with the token that there is, because both come here: a moved portal (302) and an expired
    token. A token that turns out to be good stays: Bitrix24 threatens to block those who refresh without need.
    Raises `CredentialsRefused` when the customer must install again.
    """
    said = _probe(http, secrets)
    if isinstance(said, rest.PortalMoved):
        return _moved(secrets, said.new)
    if said is None:
        return {}
    if not secrets.get("refresh_token"):
        raise CredentialsRefused(_("there is no refresh token"), code=failures.NOT_INSTALLED)
    return _tokens(http, secrets, grant_type="refresh_token", refresh_token=secrets["refresh_token"])


def _probe(http: Http, secrets: Mapping[str, str]) -> OutboundError | None:
    try:
        rest.Portal.of(http, secrets).call("app.info", {}, PROBE_DEADLINE)
    except OutboundError as error:
        return error
    return None


def _moved(secrets: Mapping[str, str], new: str) -> dict[str, str]:
    changed = {"domain": address.domain_of(new)}
    if hook := address.webhook(secrets.get("webhook_url", "")):
        changed["webhook_url"] = f"{new}/rest/{hook.user}/{hook.code}/"
    return changed


def authorise_url(secrets: Mapping[str, str], state: str) -> str:
    """Where the customer allows the application; the way back is in the application's card. "" without client_id."""
    if not secrets.get("client_id") or not secrets.get("domain"):
        return ""
    query = urlencode({"client_id": secrets["client_id"], "state": state})
    return f"{address.origin(secrets['domain'])}/oauth/authorize/?{query}"


def authorised(http: Http, secrets: Mapping[str, str], query: Mapping[str, str]) -> dict[str, str]:
    """Tokens for the `code` that the customer came back with. It lives 30 s: exchange it at once.

    Raises `Rejected` when he came back without one, or from another portal than this credential's.
    """
    if not query.get("code"):
        words = query.get("error_description") or query.get("error") or _("Bitrix24 sent no code")
        raise Rejected(words, code=query.get("error", "no_code"))
    stored, came = secrets.get("member_id", ""), query.get("member_id", "")
    if stored and came and stored != came:
        raise Rejected(_("this is another portal than the one connected here"), code="another_portal")
    return _tokens(http, secrets, grant_type="authorization_code", code=query["code"])


def _tokens(http: Http, secrets: Mapping[str, str], *, grant_type: str, **proof: str) -> dict[str, str]:
    """`GET /oauth/token/`; an error comes with HTTP 200 too (WRONG_CLIENT). A refresh token is replaced at each use."""
    ours = {name: secrets.get(name, "") for name in ("client_id", "client_secret")}
    params = {"grant_type": grant_type, **ours, **proof}
    answer = http.request("GET", f"{server(secrets)}/oauth/token/", params=params)
    body = answer.json()
    if not isinstance(body, dict) or "error" in body or answer.status >= 400:
        raise _refused(answer.status, wire.parse(wire.Failure, body))
    tokens = wire.parse(wire.Tokens, body)
    if not tokens.access_token or not tokens.refresh_token:
        raise CredentialsRefused(_("the authorisation server gave no tokens"), code="no_tokens")
    return kept(tokens, secrets)


def _refused(status: int, said: wire.Failure) -> OutboundError:
    """What the authorisation server refuses is a matter of the credential, unless it is only out of breath."""
    error = failures.failure(status, said.error, said.error_description)
    if isinstance(error, Rejected | TokenExpired):
        return CredentialsRefused(error.words, code=error.code)
    return error


def kept(tokens: wire.Tokens, secrets: Mapping[str, str]) -> dict[str, str]:
    """The fields of the credential that these tokens are."""
    fields = {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}
    if tokens.expires:
        fields["expires"] = str(tokens.expires)
    if tokens.member_id and not secrets.get("member_id"):
        fields["member_id"] = tokens.member_id
    return fields


def proven(http: Http, secrets: Mapping[str, str], auth: wire.EventAuth) -> bool:
    """Whether the token that an event brought is one of our application on the portal that it names.

    Raises `outbound.errors` when there is no answer.
    """
    return whose(http, secrets, auth) is not None


def whose(http: Http, secrets: Mapping[str, str], auth: wire.EventAuth) -> wire.AppInfo | None:
    """What the authorisation server knows of a token of our application on the portal that is named beside it; None
    where it is none. Raises `outbound.errors` when there is no answer.

    Asked of the authorisation server: what an event says of itself proves nothing. `app.info` of that server names
    `client_id`, `install.member_id` and `user_id` (seen in clients' code only), and a local application's `client_id`
    is one portal's alone.
    """
    if not auth.access_token:
        return None
    url = f"{server(secrets, auth.server_endpoint)}/rest/app.info"
    body = http.request("POST", url, json={"auth": auth.access_token}).json()
    if not isinstance(body, dict) or "error" in body:
        said = wire.parse(wire.Failure, body)
        error = failures.failure(400, said.error, said.error_description)
        if isinstance(error, CredentialsRefused | Rejected):
            return None
        raise error
    info = wire.parse(wire.AppInfo, body.get("result"))
    ours = secrets.get("client_id", "")
    fits = bool(ours) and ours in (info.client_id, info.CODE) and info.member_id in ("", auth.member_id)
    return info if fits else None
