"""The authorisation server: tokens for a code or a refresh token, and the page that gives the code."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from .portal import Portal
from .wire import ApiError, Params

CODE_SECONDS = 30


def token_answer(portals: Iterable[Portal], params: Params, host: str, server_url: str) -> dict[str, Any]:
    """`/oauth/token/`. A wrong client is answered with HTTP 200 and an `error` key."""
    candidates = list(portals)
    grant = params.get("grant_type")
    if grant not in ("authorization_code", "refresh_token"):
        _refuse(candidates[:1], "invalid_request", "grant_type is not set", "oauth_bad_request")
    client = (params.get("client_id"), params.get("client_secret"))
    mine = [p for p in candidates if (p.config.client_id, p.config.client_secret) == client]
    if not mine:
        _refuse(candidates[:1], "WRONG_CLIENT", "Wrong client", "wrong_client", 200)
    portal, user_id = _by_code(mine, params) if grant == "authorization_code" else _by_refresh(mine, params)
    portal.hits["oauth.token"] += 1
    return issue(portal, user_id, host, server_url)


def _refuse(portals: list[Portal], code: str, text: str, what: str, status: int = 400) -> None:
    for portal in portals:
        portal.violate(what, {"error": code})
    raise ApiError(code, text, status, expected=True)


def _by_code(portals: list[Portal], params: Params) -> tuple[Portal, int]:
    """A code lives 30 s and is used once."""
    code = str(params.get("code") or "")
    for portal in portals:
        if code in portal.codes:
            issued, user_id = portal.codes.pop(code)
            if portal.clock() < issued + CODE_SECONDS:
                portal.installed = True
                return portal, user_id
    _refuse(portals[:1], "invalid_grant", "Invalid grant", "bad_oauth_code")
    raise AssertionError


def _by_refresh(portals: list[Portal], params: Params) -> tuple[Portal, int]:
    """A refresh token is replaced at each refresh and taken for single-use."""
    value = str(params.get("refresh_token") or "")
    for portal in portals:
        if value in portal.used_refresh:
            _refuse([portal], "invalid_grant", "Invalid grant", "refresh_token_reuse")
        if value in portal.refresh_tokens:
            _check_need(portal)
            portal.used_refresh.add(value)
            return portal, portal.refresh_tokens.pop(value)
    _refuse(portals[:1], "invalid_grant", "Invalid grant", "unknown_refresh_token")
    raise AssertionError


def _check_need(portal: Portal) -> None:
    """Refreshing on a schedule or before each request is what the vendor threatens to block."""
    valid = any(token.kind == "app" and token.expires_at > portal.clock() for token in portal.tokens.values())
    if valid and not portal.expired_answered:
        portal.violate("refresh_too_early")
    portal.expired_answered = False


def issue(portal: Portal, user_id: int, host: str, server_url: str) -> dict[str, Any]:
    """`domain` is the authorisation server's host, not the portal's."""
    token = portal.issue(user_id)
    refresh = os.urandom(16).hex()
    portal.refresh_tokens[refresh] = user_id
    return {
        "access_token": token.value,
        "client_endpoint": f"{portal.base_url}/rest/",
        "domain": host,
        "expires": int(token.expires_at),
        "expires_in": portal.config.token_seconds,
        "member_id": portal.config.member_id,
        "refresh_token": refresh,
        "scope": ",".join(portal.config.scopes),
        "server_endpoint": f"{server_url}/rest/",
        "status": "L",
        "user_id": user_id,
    }


def authorise_redirect(portal: Portal, params: Params, host: str) -> str:
    """`/oauth/authorize/`: the browser goes back with a code. The address is in the application's card
    (`redirect_uri` of the configuration); the parameter is taken only where the card has none, for demonstrations."""
    if params.get("client_id") != portal.config.client_id:
        _refuse([portal], "invalid_client", "Application not found", "wrong_client")
    target = portal.config.redirect_uri or str(params.get("redirect_uri") or "")
    if not target:
        raise ApiError("invalid_request", "The application's card has no address", 400, what="oauth_bad_request")
    code = os.urandom(16).hex()
    portal.codes[code] = (portal.clock(), portal.admin_id)
    query = {
        "code": code,
        "state": str(params.get("state") or ""),
        "domain": portal.base_url.partition("://")[2],
        "member_id": portal.config.member_id,
        "scope": ",".join(portal.config.scopes),
        "server_domain": host,
    }
    return f"{target}{'&' if '?' in target else '?'}{urlencode(query)}"
