"""Refusals of the services, sorted by what must be done about them, and what a customer can do.

What the statuses of `/voip/integration` mean is documented for 401, 403 and 404 ("handle_voip_integration_event",
developer.alteg.io); 429 by the limits; the rest is HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary
from outbound.http import Answer

NO_PARTNER_TOKEN = "no_partner_token"  # noqa: S105 - a code
PARTNER_TOKEN = "partner_token"  # noqa: S105 - a code
ACCESS_DENIED = "access_denied"
UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - a code
TOO_MANY = "too_many_requests"
LOST = "answer_lost"
LOGIN = "login"
NO_SUCH_CHAIN = "no_such_chain"
NO_LOCATION = "no_location"
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


def failure(answer: Answer, words: str) -> OutboundError:
    """The error that an answer stands for. `words` are the service's own, where it gave some.

    401 concerns the operator's token: no customer is to blame and none must connect anew, so time mends it. 404 has no
    documented meaning of its own: an unknown token is the only one left.
    """
    status = answer.status
    words = words or f"HTTP {status}"
    if status == 401:
        return Temporary(words, code=PARTNER_TOKEN)
    if status in (403, 404):
        return CredentialsRefused(words, code=ACCESS_DENIED if status == 403 else UNKNOWN_TOKEN)
    if status == 429:
        return RateLimited(words, code=TOO_MANY, retry_after=_pause(answer))
    if 400 <= status < 500:
        return Rejected(words, code=f"http_{status}")
    # 503 says that the request was not handled; after any other it may have been.
    return Temporary(words, code=f"http_{status}", fate_unknown=status >= 500 and status != 503)


def _pause(answer: Answer) -> float:
    """The answer is not documented: `Retry-After` is believed where it is there."""
    told = answer.headers.get("Retry-After", "")
    return min(max(float(told), SHORTEST_PAUSE), LONGEST_PAUSE) if told.isdecimal() else SHORTEST_PAUSE


_TOKEN = _(
    "Compare the User token with Telephony → Integration → “Token” of this very chain, and the chosen service with the "
    "one in which you work. Each chain has a token of its own."
)
_OPERATOR = _(
    "Nothing on your side: Callbridge's own access to this service must be renewed. Tell our support; your calls are "
    "kept and written afterwards."
)
_HELP: Mapping[str, Any] = {
    NO_PARTNER_TOKEN: _OPERATOR,
    PARTNER_TOKEN: _OPERATOR,
    ACCESS_DENIED: _TOKEN,
    UNKNOWN_TOKEN: _TOKEN,
    TOO_MANY: _("Nothing: the service limits requests, and the work goes on by itself."),
    LOGIN: _(
        "Compare login and password with those of the service; the user needs access to the chain's clients. "
        "Calls are written all the same."
    ),
    NO_SUCH_CHAIN: _("Write the name of the chain as it is there, and see that this user may manage it."),
    NO_LOCATION: _("Choose in the settings of the integration the location in which new clients are made."),
    LOST: _("Look into Calls of the chain whether the call is there, then say so here or have it written again."),
}


def help_for(error: OutboundError) -> str:
    """What a customer can do about `error`; empty when nothing is known."""
    return str(_HELP.get(error.code, ""))
