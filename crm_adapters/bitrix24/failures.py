"""Bitrix24's errors, sorted by what must be done about them, and what a customer can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, TokenExpired

CALL_NOT_FOUND = "call_not_found"
NOT_IN_STATISTICS = "not_in_statistics"
RECORD_UNREACHABLE = "record_unreachable"
USER_NOT_ACTIVE = "user_not_active"
PHONE_FORMAT = "phone_format"
DOMAIN_MOVED = "domain_moved"
NOT_INSTALLED = "not_installed"
OPERATION_TIME_LIMIT = "OPERATION_TIME_LIMIT"

OPERATION_PAUSE = 60.0
"""Seconds a method rests after OPERATION_TIME_LIMIT where the answer does not say until when."""
OVERLOAD_PAUSE = 30 * 60.0
"""OVERLOAD_LIMIT is a block by the vendor's hand: asking again soon is what it was set up against."""

# The telephony module answers nearly everything with the code ERROR_CORE (or none): the words tell them apart. Order
# matters: "Call is not found in the statistic" begins like "Call is not found".
_BY_WORDS: tuple[tuple[str, type[OutboundError], str, bool], ...] = (
    ("not found in the statistic", Temporary, NOT_IN_STATISTICS, False),
    ("call is not found", Temporary, CALL_NOT_FOUND, True),
    ("is not found or is not active", Rejected, USER_NOT_ACTIVE, False),
    ("unsupported phone number format", Rejected, PHONE_FORMAT, False),
    ("server returns http error code", Rejected, RECORD_UNREACHABLE, False),
    ("database error", Temporary, "db_error", True),
    ("db error", Temporary, "db_error", True),
)
_CREDENTIALS = frozenset(
    {
        "access_denied",
        "allowed_only_intranet_user",
        "application_not_found",
        "authorization_error",
        "error_oauth",
        "insufficient_scope",
        "invalid_client",
        "invalid_credentials",
        "invalid_grant",
        "invalid_scope",
        "invalid_token",
        "method_confirm_denied",
        "method_confirm_waiting",
        "no_auth_found",
        "not_installed",
        "payment_required",
        "portal_deleted",
        "user_access_error",
        "wrong_auth_type",
        "wrong_client",
    }
)
_TEMPORARY = frozenset({"internal_server_error", "error_unexpected_answer"})


def failure(status: int, code: str, words: str) -> OutboundError:
    """The error that Bitrix24's answer stands for (REST "System errors", b24restdocs; codes without case).

    `code` of what comes back is the vendor's, or one of this module's where the vendor gives none that tells.
    """
    known, shown = code.strip().lower(), words or code or f"HTTP {status}"
    if known == "server_not_available":
        return Rejected(shown, code=RECORD_UNREACHABLE)
    if known == "query_limit_exceeded":
        return RateLimited(shown, code=code, retry_after=1.0)
    if known == "operation_time_limit":
        return RateLimited(shown, code=OPERATION_TIME_LIMIT, retry_after=OPERATION_PAUSE)
    if known == "overload_limit":
        return RateLimited(shown, code=code, retry_after=OVERLOAD_PAUSE)
    if known == "expired_token":
        return TokenExpired(shown, code=code)
    if known in _CREDENTIALS:
        return CredentialsRefused(shown, code=code)
    if known in _TEMPORARY:
        return Temporary(shown, code=code, fate_unknown=True)
    return _by_words(words, code) or _by_status(status, code, shown)


def _by_words(words: str, code: str) -> OutboundError | None:
    lower = f"{words} {code}".lower()
    for part, kind, name, fate_unknown in _BY_WORDS:
        if part in lower:
            return kind(words or code, code=name, fate_unknown=fate_unknown)
    return None


def _by_status(status: int, code: str, words: str) -> OutboundError:
    code = code or f"http_{status}"
    if status >= 500:
        return Temporary(words, code=code, fate_unknown=True)
    if status == 429:
        return RateLimited(words, code=code, retry_after=OPERATION_PAUSE)
    if status in (401, 403):
        return CredentialsRefused(words, code=code)
    return Rejected(words, code=code)


def refuses(error: OutboundError) -> bool:
    """Whether asking again changes nothing: the command is wrong, or the right to it is missing."""
    return isinstance(error, Rejected | CredentialsRefused) and not isinstance(error, TokenExpired)


def concerns_one_command(error: OutboundError) -> bool:
    """Whether `error` says something of one command only, and nothing of the account or the way to it."""
    own = (CALL_NOT_FOUND, NOT_IN_STATISTICS, RECORD_UNREACHABLE, OPERATION_TIME_LIMIT)
    return error.code in own or type(error) is Rejected


def without_fate(error: OutboundError) -> OutboundError:
    """The same error for a request that was not even sent."""
    return type(error)(error.words, code=error.code, retry_after=error.retry_after)


_REINSTALL = _("Install the application in Bitrix24 again: it will hand over new keys by itself.")
_HELP: Mapping[str, Any] = {
    "query_limit_exceeded": _("Nothing: Bitrix24 limits requests for each portal, and the work goes on by itself."),
    "operation_time_limit": _("Nothing: Bitrix24 rests one method for up to ten minutes, the others keep working."),
    "overload_limit": _("Bitrix24 has blocked requests by hand. Write to Bitrix24's support."),
    "no_auth_found": _REINSTALL,
    "invalid_token": _REINSTALL,
    "invalid_grant": _REINSTALL,
    "not_installed": _REINSTALL,
    "application_not_found": _REINSTALL,
    "authorization_error": _REINSTALL,
    "error_oauth": _REINSTALL,
    "invalid_client": _(
        "Compare the application's code (client_id) and key (client_secret) with its card in Bitrix24."
    ),
    "wrong_client": _("Compare the application's code (client_id) and key (client_secret) with its card in Bitrix24."),
    "insufficient_scope": _(
        "Give the application the permissions telephony, crm, user, im, placement and task in its card, and install it "
        "again."
    ),
    "wrong_auth_type": _("An application is required: an incoming webhook may not use these methods."),
    "access_denied": _(
        "Check that the portal's plan includes REST and that the user who installed the application "
        "still has his rights."
    ),
    "user_access_error": _(
        "The user who installed the application has lost access to it: an administrator must install it again."
    ),
    "payment_required": _("Pay for Bitrix24 or for the application's subscription."),
    "portal_deleted": _("This portal no longer exists. Enter the domain of the new one."),
    "method_confirm_waiting": _("An administrator of the portal must allow the method; Bitrix24 has asked him."),
    "method_confirm_denied": _("An administrator of the portal has forbidden the method."),
    "invalid_request": _("Bitrix24 answers over https only: enter the domain with https://."),
    PHONE_FORMAT: _("Bitrix24 takes no call without a telephone number. The call is kept here."),
    USER_NOT_ACTIVE: _("Choose another default responsible: this employee is dismissed in Bitrix24."),
    CALL_NOT_FOUND: _("Nothing: Callbridge looks whether the call was written, and writes it again if not."),
    NOT_IN_STATISTICS: _("Nothing: the recording is attached when Bitrix24 has written the call."),
    RECORD_UNREACHABLE: _("Nothing: Bitrix24 cannot fetch the recording from here, so Callbridge uploads it."),
    DOMAIN_MOVED: _("Nothing: the portal has a new address, and Callbridge follows it."),
}


def help_for(error: OutboundError) -> str:
    """What a customer can do about `error`; empty when nothing is known."""
    return str(_HELP.get(error.code.lower(), ""))
