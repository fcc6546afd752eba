"""Whom the chain knows under a number. Only a user of the service may ask ("Получить сетевого клиента по номеру
телефона", YCLIENTS REST API), so a login is needed, which calls do without: whatever is refused here keeps no call
back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext_noop as _

from crm_adapters.base import ClientMatch
from outbound.errors import CredentialsRefused, OutboundError, Rejected, TokenExpired

from . import failures
from .calls import digits
from .chain import DEADLINE, Chain

CLIENT = "client"


def may_ask(secrets: Mapping[str, str]) -> bool:
    return bool(secrets.get("login") and secrets.get("password"))


def sign_in(chain: Chain, secrets: Mapping[str, str]) -> dict[str, str]:
    """A user's token (it lives until he changes his password) and the chain's id; `signed_in` says whose they are.

    Raises `Rejected` where the user or the chain is not known: the account goes on without names.
    """
    try:
        body = {"login": secrets["login"], "password": secrets["password"]}
        given = chain.ask("POST", "/auth", body)
        token = given.get("user_token") if isinstance(given, dict) else None
        if not isinstance(token, str) or not token:
            raise Rejected(_("no token was given"), code=failures.LOGIN)
        found = chain.ask("GET", "/groups", user_token=token)
    except OutboundError as error:
        if _is_about_the_user(error):
            raise Rejected(error.words, code=failures.LOGIN) from error
        raise
    return {"user_token": token, "chain_id": _chain_id(found, secrets), "signed_in": _whom(secrets)}


def find_client(chain: Chain, secrets: Mapping[str, str], phone: str, deadline: float) -> ClientMatch | None:
    """One request: a client has a record in each location of the chain, and nobody is responsible for him."""
    return _match(records(chain, secrets, phone, deadline))


def records(chain: Chain, secrets: Mapping[str, str], phone: str, deadline: float = DEADLINE) -> list[dict[str, Any]]:
    """The records of the chain's locations under a phone, each with its `id` and `company_id` (the location)."""
    path = f"/group/{quote(secrets.get('chain_id', ''), safe='')}/clients/?phone={digits(phone)}"
    found = ask(chain, secrets, "GET", path, deadline=deadline)
    listed = found.get("clients") if isinstance(found, dict) else None
    return [row for row in listed if isinstance(row, dict) and row.get("id")] if isinstance(listed, list) else []


def ask(
    chain: Chain,
    secrets: Mapping[str, str],
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    deadline: float = DEADLINE,
) -> Any:
    """The `data` of an answer that only a user gets. Raises `TokenExpired` where he is to sign in first, `Rejected`
    where he may not."""
    token = secrets.get("user_token")
    if not token or secrets.get("signed_in") != _whom(secrets):
        raise TokenExpired(_("not signed in yet"), code=failures.LOGIN)
    try:
        return chain.ask(method, path, body, user_token=token, deadline=deadline)
    except OutboundError as error:
        if error.code == failures.PARTNER_TOKEN:  # 401: of the two tokens the user's is the one that changes
            raise TokenExpired(error.words, code=failures.LOGIN) from error
        if _is_about_the_user(error):
            raise Rejected(error.words, code=failures.LOGIN) from error
        raise


def _is_about_the_user(error: OutboundError) -> bool:
    return isinstance(error, CredentialsRefused) or error.code == failures.PARTNER_TOKEN


def _whom(secrets: Mapping[str, str]) -> str:
    return f"{secrets.get('login', '')} {secrets.get('network', '')}"


def _chain_id(found: Any, secrets: Mapping[str, str]) -> str:
    """The chain that bears the name which the customer wrote, or the only one that this user has."""
    rows = [row for row in found if isinstance(row, dict) and row.get("id")] if isinstance(found, list) else []
    name = secrets.get("network", "").strip().casefold()
    named = [row for row in rows if str(row.get("title", "")).strip().casefold() == name]
    chosen = named or rows
    if len(chosen) != 1:
        raise Rejected(_("this user has no chain of this name"), code=failures.NO_SUCH_CHAIN)
    return str(chosen[0]["id"])


def _match(rows: list[dict[str, Any]]) -> ClientMatch | None:
    if not rows:
        return None
    first, *others = rows
    return ClientMatch(
        entity=CLIENT,
        entity_id=str(first["id"]),
        name=str(first.get("name") or ""),
        others=tuple(f"{CLIENT}:{row['id']}" for row in others),
    )
