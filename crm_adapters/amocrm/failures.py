"""amoCRM's errors, sorted by what must be done about them, and what a customer can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from outbound.errors import (
    CredentialsRefused,
    OutboundError,
    RateLimited,
    Rejected,
    Temporary,
    TokenExpired,
    VendorFault,
)
from outbound.http import Answer

from . import wire

BANNED = "banned"
TOO_MANY = "too_many"
NOT_CONNECTED = "not_connected"
TOKEN = "token_refused"  # noqa: S105 - a code
REVOKED = "revoked"
CLIENT = "wrong_client"
MOVED = "account_moved"
PAYMENT = "payment"
IP_LIST = "ip_not_allowed"
FORBIDDEN = "forbidden"
NO_RIGHT = "244"
NOT_FOUND = "not_found"
UNKNOWN_CLIENT = "unknown_client"
BATCH = "batch_refused"

BAN = 3600.0
"""Seconds for which nothing is sent after a ban: how long one lasts is not published."""
PAUSE = 1.0
"""Seconds of rest after a 429 that does not say how long."""


class Refusal(Rejected):
    """Objects of a request were refused: `faults` by our request ids."""

    def __init__(self, words: str, *, faults: Mapping[str, str], **rest: Any):
        super().__init__(words, **rest)
        self.faults = dict(faults)


def is_json(answer: Answer) -> bool:
    return answer.body.lstrip()[:1] in (b"{", b"[")


def of(answer: Answer, *, renews: bool) -> OutboundError:
    """The error that an answer stands for. `renews`: whether there is a refresh token to come back with."""
    status = answer.status
    said = wire.parse(wire.Problem, answer.json() if is_json(answer) else {})
    words = _words(said) or f"HTTP {status}"
    if status == 429:
        return RateLimited(words, code=TOO_MANY, retry_after=max(_seconds(answer), PAUSE))
    if status == 403 and not is_json(answer):
        # A page of the web server instead of an answer is the ban of our address (amocrm-api-php, issue 434).
        return RateLimited(gettext_noop("amoCRM has blocked this server's address"), code=BANNED, retry_after=BAN)
    if status == 401:
        return (TokenExpired if renews else CredentialsRefused)(words, code=TOKEN)
    if 300 <= status < 400 or (status == 404 and not is_json(answer)):
        moved = gettext_noop("there is no account at this address any more")
        return (TokenExpired if renews else CredentialsRefused)(moved, code=MOVED)
    if status == 402:
        return CredentialsRefused(words, code=PAYMENT)
    if status == 403:
        listed = "113" in words or " ip" in words.lower()
        return CredentialsRefused(words, code=IP_LIST) if listed else Rejected(words, code=FORBIDDEN)
    if status >= 500:
        return Temporary(words, code=f"http_{status}", fate_unknown=True)
    if status < 300:
        return VendorFault(gettext_noop("the answer cannot be read"), code=f"http_{status}", fate_unknown=True)
    return _rejected(status, said, words)


def _rejected(status: int, said: wire.Problem, words: str) -> Rejected:
    invalid = wire.rows(wire.Invalid, said.validation)
    if invalid:
        codes = [fault.code for each in invalid for fault in wire.rows(wire.Fault, each.errors) if fault.code]
        faults = {each.request_id: _fault_words(each.errors) or words for each in invalid}
        return Refusal(words, faults=faults, code=(codes or [f"http_{status}"])[0])
    if NO_RIGHT in said.detail:
        return Rejected(words, code=NO_RIGHT)
    return Rejected(words, code=NOT_FOUND if status == 404 else f"http_{status}")


def _words(said: wire.Problem) -> str:
    """amoCRM's own words, the most exact ones."""
    invalid = [_fault_words(each.errors) for each in wire.rows(wire.Invalid, said.validation)]
    faults = [*filter(None, invalid)] or [_fault_words(said.errors)]
    return "; ".join(dict.fromkeys(filter(None, (said.hint, *faults)))) or said.detail or said.title


def _fault_words(errors: Any) -> str:
    each = wire.rows(wire.Fault, errors)
    return "; ".join(f"{one.path} {one.detail or one.title or one.code}".strip() for one in each)


def _seconds(answer: Answer) -> float:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0


def without_fate(error: OutboundError) -> OutboundError:
    """The same for a request that was not even sent."""
    kind = Rejected if isinstance(error, Refusal) else type(error)
    return kind(error.words, code=error.code, retry_after=error.retry_after)


_CONNECT = _("Press “Connect” at the account, or enter a new long-lived token: amoCRM will give new keys.")
_HELP: Mapping[str, Any] = {
    BANNED: _(
        "amoCRM has blocked this server for too many requests. Nothing is sent for an hour, then the work goes on by "
        "itself. If it happens again, write to us."
    ),
    TOO_MANY: _("Nothing: amoCRM limits requests, and the work goes on by itself."),
    NOT_CONNECTED: _CONNECT,
    TOKEN: _CONNECT,
    REVOKED: _CONNECT,
    CLIENT: _(
        "Compare the integration's ID and secret key with the tab “Keys and scopes” in amoCRM, and the redirect "
        "address with the one on this page."
    ),
    MOVED: _("The account has another address now, or is gone: enter its domain and connect it again."),
    PAYMENT: _("Pay for amoCRM: the calls wait and will be written."),
    IP_LIST: _("The account lets in listed addresses only: add this server's address to the list in amoCRM."),
    FORBIDDEN: _("Connect the account as an administrator: this user has no right to do it."),
    NO_RIGHT: _("Connect the account as an administrator and check that amoCRM is paid for."),
    NOT_FOUND: _("What the call belonged to was deleted in amoCRM. The call is kept here."),
    "NotSupportedChoice": _(
        "amoCRM does not know something that the settings name: check the pipeline, the task type and the employees."
    ),
}


def help_for(error: OutboundError) -> str:
    """What a customer can do about `error`; empty when nothing is known."""
    return str(_HELP.get(error.code, ""))
