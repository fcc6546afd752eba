"""Planfix's errors, sorted by what must be done about them, and what a customer can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary

BAD_VALUE = "41"
DAILY_LIMIT = "22"
NO_ENTRY = "6010"
NO_TOKEN = "no_rest_token"  # noqa: S105
NO_CALL_ID_FIELD = "no_call_id_field"
DATA_TAG = "data_tag_fields"
DOUBT = "cannot_tell"

DAILY_PAUSE = 15 * 60.0
"""Seconds after which a spent daily limit is tried again: what is left is counted anew every ten minutes or so."""
_CREDENTIALS = frozenset({"1", "2", "16"})
_RIGHTS = frozenset({"5", "6"})
_ACCOUNT = frozenset({"10", "11", "20", "21"})


def failure(status: int, code: str, words: str, *, changes: bool) -> OutboundError:
    """The error that an answer of the REST API stands for: its table of codes, and by the status where there is none.

    `changes`: the request was to change something, so a 5xx leaves a doubt. It says nothing at 502 and 503, where
    something before Planfix has answered.
    """
    words = words or f"HTTP {status}"
    if code == DAILY_LIMIT:
        return RateLimited(words, code=code, retry_after=DAILY_PAUSE)
    if code in _CREDENTIALS | _RIGHTS | _ACCOUNT:
        return CredentialsRefused(words, code=code)
    if code and code != "0":
        return Rejected(words, code=code)
    if status == 429:
        return RateLimited(words, code="http_429", retry_after=2.0)
    if status >= 500:
        return Temporary(words, code=f"http_{status}", fate_unknown=changes and status not in (502, 503))
    if status in (401, 403):
        return CredentialsRefused(words, code=f"http_{status}")
    return Rejected(words, code=code or f"http_{status}")


def of_one_call(error: OutboundError) -> OutboundError:
    """An error of the REST API where the telephony API has the account's word: it must not stop the windows of other
    calls, so refused keys concern only the call that needed them."""
    if isinstance(error, CredentialsRefused):
        return Rejected(error.words, code=error.code)
    return error


_TOKEN = _(
    "Make a new token in Planfix (Account management, API access, REST API) and enter it in the account's credentials."
)
_SCOPES = _(
    "Give the REST token all rights (scopes) to contacts, tasks, comments, data tags, files and users, and let it "
    "belong to a robot that sees all contacts."
)
_PAY = _("Look at the account in Planfix: it is frozen, blocked, not paid or free. REST is for paid accounts only.")
_SET_UP = _(
    "In Planfix open Account management, Integrations, Virtual PBXs, the telephony API, enter our address and key "
    "there and save: Planfix then tells us the rest by itself."
)
_HELP: Mapping[str, Any] = {
    "not_set_up": _SET_UP,
    "invalid_token": _SET_UP,
    "no_such_account": _("Planfix has nothing at this address: the account may have been renamed. Connect it again."),
    "elsewhere": _("The address leads elsewhere: the account may have been renamed. Connect it again."),
    "invalid_parameters": _("Planfix does not take this call as it is. Tell our support."),
    "page": _("Nothing: a page of Planfix came in place of an answer, the call is looked for."),
    "1": _TOKEN,
    "2": _TOKEN,
    "16": _TOKEN,
    "http_401": _TOKEN,
    "5": _SCOPES,
    "6": _SCOPES,
    "http_403": _SCOPES,
    "10": _PAY,
    "11": _PAY,
    "20": _PAY,
    "21": _PAY,
    "23": _("The account may not have more contacts: delete some in Planfix or take a larger plan."),
    DAILY_LIMIT: _("Nothing: today's requests of this account are used up. The work goes on by itself."),
    "2006": _("Planfix wants a name for a new contact. Tell our support."),
    "7002": _("The recording is too large for the account's plan in Planfix."),
    NO_TOKEN: _(
        "This setting needs Planfix's REST API: enter a REST token in the account's credentials, or choose otherwise "
        "in the integration."
    ),
    NO_CALL_ID_FIELD: _(
        "Add a field of the kind String with this very name to both data tags («Звонок» and «Пропущенный звонок») in "
        "Planfix, below the fields that are there."
    ),
    DATA_TAG: _(
        "The fields of the data tags «Звонок» and «Пропущенный звонок» must stand in Planfix's own order, ours below "
        "them. The account's check says what to mend."
    ),
    DOUBT: _(
        "Look into Planfix whether the call is there. With a field for the call's id in both data tags and a REST "
        "token we look ourselves: see the guide."
    ),
}


def help_for(error: OutboundError) -> str:
    """What a customer can do about `error`; empty when nothing is known."""
    return str(_HELP.get(error.code, ""))
