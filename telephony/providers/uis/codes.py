"""Why a call ended, as UIS calls it.

Source: the vendor's documentation of the Data API v2.0, `finish_reason` (some seventy of them).
"""

from __future__ import annotations

from telephony.providers.base import Direction, Outcome

_BUSY = ("subscriber_busy", "operator_busy", "employee_busy")
_FAILED = frozenset({"not_enough_money", "locked_numb", "max_in_call_reached", "sip_offline"})


def outcome(reason: str, direction: Direction) -> Outcome:
    """What a call in which nobody talked has come to."""
    if reason.startswith(_BUSY):
        return Outcome.BUSY
    if direction is not Direction.OUT:
        return Outcome.MISSED
    if reason in _FAILED:
        return Outcome.FAILED
    return Outcome.CANCELLED if reason == "operator_disconnects" else Outcome.NO_ANSWER
