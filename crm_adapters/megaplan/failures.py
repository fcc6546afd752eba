"""Megaplan's errors, sorted by what must be done about them, and what a customer can do.

The description of the API lists 200, 403 and 422; the others are seen by clients that others wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, TokenExpired

FORBIDDEN = "forbidden"
NOT_FOUND = "not_found"
VALIDATION = "validation"
OTHER_CALL = "other_call"
REDIRECT = "redirect"
TELEPHONY_CLOSED = "telephony_closed"
NO_TOKENS = "no_tokens"

PAUSE = 60.0
"""Seconds to rest after 429 where the answer does not say."""
SETTLING = 5.0
"""Seconds for which Megaplan may not show yet what was written: who lost an answer looks after that."""


def failure(status: int, words: str, retry_after: float | None = None) -> OutboundError:
    """The error that an answer stands for. A request with an answer below 500 has changed nothing."""
    words = words or f"HTTP {status}"
    if status == 401:
        return TokenExpired(words, code="http_401")
    if status == 403:
        return Rejected(words, code=FORBIDDEN)
    if status in (404, 405):
        return Rejected(words, code=NOT_FOUND)
    if status == 422:
        return Rejected(words, code=VALIDATION)
    if status == 429:
        return RateLimited(words, code="http_429", retry_after=retry_after or PAUSE)
    if status >= 500:
        return Temporary(words, code=f"http_{status}", retry_after=retry_after, fate_unknown=True)
    return Rejected(words, code=f"http_{status}")


def of_tokens(status: int, code: str, words: str, retry_after: float | None = None) -> OutboundError:
    """What `auth/access_token` refuses is a matter of the credential, unless it is only out of breath."""
    if status == 429 or status >= 500:
        return failure(status, words, retry_after)
    return CredentialsRefused(words or code or f"HTTP {status}", code=code or f"http_{status}")


def concerns_all(error: OutboundError) -> bool:
    """Whether the next request would meet it too. A refusal, or HTTP 500, may be about the one that was sent."""
    return type(error) is not Rejected and error.code != "http_500"


def without_fate(error: OutboundError) -> OutboundError:
    """The same error for a request that was not even sent."""
    return type(error)(error.words, code=error.code, retry_after=error.retry_after)


def closed(error: OutboundError) -> OutboundError:
    """A refusal to write any call at all: the account waits until its user may use the telephony."""
    if isinstance(error, Rejected) and error.code == FORBIDDEN:
        return CredentialsRefused(error.words, code=TELEPHONY_CLOSED)
    return error


def moved() -> OutboundError:
    words = gettext_noop("the address leads elsewhere; enter the one that the browser shows in Megaplan")
    return CredentialsRefused(words, code=REDIRECT)


_LOGIN = _("Megaplan does not take the login and the password. Log in with them in the browser, then enter them here.")
_HELP: Mapping[str, Any] = {
    "invalid_grant": _LOGIN,
    "invalid_client": _LOGIN,
    "http_400": _LOGIN,
    "http_401": _LOGIN,
    "http_429": _("Nothing: Megaplan asks us to slow down, and the work goes on by itself."),
    NO_TOKENS: _("Check the domain: what answers there is not Megaplan's API."),
    TELEPHONY_CLOSED: _(
        "The user of these credentials may not use the telephony. Choose one of «Directors» or «Administrators», or "
        "give him the right to the telephony in Megaplan."
    ),
    FORBIDDEN: _("The user of these credentials lacks a right in Megaplan: choose one who sees all clients."),
    NOT_FOUND: _("What was to be changed is no longer in Megaplan: somebody deleted it. Leave the call as it is."),
    VALIDATION: _(
        "Megaplan does not take one of the values. Compare the employees and the kind of to-do in the settings with "
        "Megaplan: what was deleted there must be chosen anew."
    ),
    OTHER_CALL: _("Compare the calls in Megaplan: there may be one too many. Write to support."),
    REDIRECT: _("Open Megaplan in the browser and enter the domain that its address line shows."),
}


def help_for(error: OutboundError) -> str:
    """What a customer can do about `error`; empty when nothing is known."""
    return str(_HELP.get(error.code, ""))
