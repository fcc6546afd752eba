"""What telephony's codes mean, in words. Placeholders are filled from the details beside the code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

ROUTING: dict[str, Any] = {
    "answered_late": gettext_lazy(
        "The PBX asked who calls, and the answer came too late: it went on by itself, as it is set up."
    ),
    "too_late": gettext_lazy("The manager (extension %(extension)s) was found too late: the greeting was over."),
    "pbx_limit": gettext_lazy(
        "Not forwarded to extension %(extension)s: the PBX takes no more commands at this moment (its limit)."
    ),
    "pbx_refused": gettext_lazy("Not forwarded to extension %(extension)s: the PBX refused: %(words)s"),
}
TRACKING: dict[str, Any] = {
    "not_asked": gettext_lazy("The visitor could not be asked for: %(words)s"),
    "nobody_bound": gettext_lazy("Nobody was shown the number %(number)s at that moment."),
    "recognised": gettext_lazy("The visitor was recognised: %(utm_source)s %(utm_medium)s %(utm_campaign)s %(page)s"),
}
CLOSED: dict[str, Any] = {
    "no_history": gettext_lazy("The PBX never said how this call ended, so it was closed."),
    "line_was_down": gettext_lazy(
        "The call ended while there was no connection to the PBX: what it came to is told by what was heard until then."
    ),
    "not_in_history": gettext_lazy(
        "The PBX never said how this call ended, and its history does not know the call, so it was closed."
    ),
    "not_asked": gettext_lazy(
        "The PBX never said how this call ended, and its history could not be asked (%(words)s), so it was closed."
    ),
}
"""Why we ended a call ourselves."""
MISSING: dict[str, Any] = {
    "going_on": gettext_lazy("it was not over when we asked"),
    "not_understood": gettext_lazy("we do not understand what the PBX says of it, our support sees it"),
    "not_filled": gettext_lazy("it is not filled in yet"),
}
"""Why a call that the PBX has is not here."""
STAGES: dict[str, Any] = {
    "ringing": gettext_lazy("Test call: it begins to ring."),
    "talking": gettext_lazy("Test call: somebody answers."),
    "ended": gettext_lazy("Test call: it is over."),
}
"""What an event of a test call says (`scripts.Script.state`)."""
RECORDINGS: dict[str, Any] = {
    "links_revoked": gettext_lazy(
        "%(by)s revoked the links to the recording that were given out. Where a CRM kept such a link and took no new "
        "one, the recording no longer opens from the CRM."
    )
}
CLOCK: dict[str, Any] = {
    "impossible_time": gettext_lazy(
        "The PBX's clock is wrong: it dated an event %(said)s UTC. The time at which the event came was taken instead."
    ),
    "no_time": gettext_lazy(
        "The PBX sent an event without a time that can be. The time at which the event came was taken instead."
    ),
}
DECISIONS: dict[str, Any] = {**ROUTING, **TRACKING, **RECORDINGS, **CLOCK}
"""Codes of `Decision` that telephony writes itself; the rooms above add those of their opinions."""

KINDS: dict[str, Any] = {
    "routing": gettext_lazy("Forwarding"),
    "tracking": gettext_lazy("Call tracking"),
    "recording": gettext_lazy("Recording"),
    "clock": gettext_lazy("Clock"),
}

COMMANDS: dict[str, Any] = {
    "dial": gettext_lazy("Dialling"),
    "hangup": gettext_lazy("Hang up"),
    "transfer": gettext_lazy("Transfer"),
    "route": gettext_lazy("Forward"),
}
PURPOSES: dict[str, Any] = {
    **COMMANDS,
    "recording": gettext_lazy("Fetching the recording"),
    "call tracking": gettext_lazy("Call tracking"),
    "check": gettext_lazy("Check"),
    "users": gettext_lazy("List of users"),
    "numbers": gettext_lazy("List of numbers"),
    "history": gettext_lazy("History of calls"),
}
"""What an exchange with a PBX was for."""

REFUSALS: dict[str, Any] = {
    "call_is_over": gettext_lazy("The call is over already."),
    "asked_already": gettext_lazy("The PBX has been asked for this a moment ago."),
    "nobody_talks": gettext_lazy("Nobody is talking in this call, so there is nothing to transfer."),
    "not_supported": gettext_lazy("This PBX cannot do that."),
}
"""Codes of commands that were not even sent."""

ERRORS: dict[str, Any] = {
    "temporary": gettext_lazy("cannot be reached"),
    "rate_limited": gettext_lazy("asks us to slow down"),
    "credentials": gettext_lazy("does not accept the keys"),
    "token_expired": gettext_lazy("the token is over"),
    "rejected": gettext_lazy("refused for good"),
    "vendor_fault": gettext_lazy("gave an answer that is none"),
    "address_refused": gettext_lazy("its address leads into a network that is closed to customers' addresses"),
    "deadline": gettext_lazy("did not answer in time"),
}
"""Kinds of `outbound.errors`: what the vendor did."""


def fill(words: Any, details: Mapping[str, Any] | None = None) -> str:
    """Words with their placeholders filled; what is not known stays empty."""
    known: defaultdict[str, str] = defaultdict(str)
    for key, value in (details or {}).items():
        known[key] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return " ".join((str(words) % known).split())


def in_words(table: Mapping[str, Any], code: str, details: Mapping[str, Any] | None = None) -> str:
    """The words of a code; a code without words is shown as it is."""
    return fill(table[code], details) if code in table else code


def ours(words: str) -> str:
    """Words that were kept in English, in the reader's language where they are ours; a vendor's stay as they came."""
    return _(words) if words else ""


def unreachable(pbx: str, kind: str, words: str) -> str:
    """An error of a vendor as one sentence."""
    said, words = ERRORS.get(kind), ours(words)
    return _("%(who)s %(did)s: %(words)s") % {"who": pbx, "did": said, "words": words} if said else words
