"""Tokens for the login and the password, and new ones for old ones (`POST /api/v3/auth/access_token`)."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext_noop as _

from outbound.errors import CredentialsRefused
from outbound.http import Http

from . import address, api, failures, wire


def refresh(http: Http, secrets: Mapping[str, str]) -> dict[str, str]:
    """What changes in the credential. The refresh token is good once: each answer brings another.

    One that is not taken (used already, its answer lost; or too old) is given up for the password, once. Raises
    `CredentialsRefused` when that is not taken either.
    """
    if old := secrets.get("refresh_token"):
        try:
            return _ask(http, secrets, refresh_token=old, grant_type="refresh_token")
        except CredentialsRefused:
            pass
    named = {name: secrets.get(name, "") for name in ("username", "password")}
    return _ask(http, secrets, **named, grant_type="password")


def _ask(http: Http, secrets: Mapping[str, str], **form: str) -> dict[str, str]:
    """The answer is flat, without the envelope of the API."""
    url = f"{api.base(secrets)}auth/access_token"
    accept = {"Accept": "application/json"}
    answer = http.request("POST", url, data=form, headers=accept, limits=address.limits(secrets))
    body = api.body_of(answer)
    said = wire.parse(wire.Tokens, body)
    if answer.status >= 400 or said.error:
        words = said.error_description or wire.parse(wire.Meta, body.get("meta")).words
        raise failures.of_tokens(answer.status, said.error, words, api.retry_after(answer))
    if not said.access_token:
        raise CredentialsRefused(_("Megaplan gave no token"), code=failures.NO_TOKENS)
    return {"access_token": said.access_token, "refresh_token": said.refresh_token}
