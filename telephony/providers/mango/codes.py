"""Mango's result and disconnect codes: one table serves commands, events and history.

Source: official document of the VPBX API v1.9, "Result codes". A code that is not in the table means what its parent
class means (2219 is a kind of 2210, 1090 a kind of 1000), says the document.
"""

from __future__ import annotations

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary
from telephony.providers.base import Direction, Outcome

SIGNATURE_WRONG, KEY_WRONG = 3102, 3105
NO_OBJECT, NO_CALL, NO_RECORDING = 3300, 3310, 3320
NOT_SUPPORTED, NOT_NOW, CALL_OVER, TOO_OFTEN = 4001, 4100, 4101, 4290

WORDS = {
    1000: "done",
    1001: "done, with remarks",
    1100: "call ended",
    1110: "the caller hung up",
    1111: "no answer in time",
    1120: "the callee hung up",
    1121: "busy",
    1122: "call rejected",
    1123: "do not disturb",
    1124: "do not disturb in the contact centre",
    1125: "the campaign was stopped",
    1130: "the callee is restricted",
    1131: "the callee is unavailable",
    1132: "the number is not served",
    1133: "the number does not exist",
    1134: "too many redirects",
    1135: "redirect forbidden",
    1140: "the region is forbidden",
    1150: "the caller is restricted",
    1151: "on the black list",
    1152: "not on the white list",
    1160: "the call to the group failed",
    1161: "hold forbidden",
    1162: "the queue is full",
    1163: "the time in the queue is over",
    1164: "all operators are unavailable",
    1170: "ended by the scheme",
    1171: "the scheme is wrong",
    1180: "ended by a user's command",
    1181: "ended by an external system",
    1182: "picked up by somebody else",
    1183: "a new operator was assigned",
    1190: "the employee is inactive",
    1191: "the employee is switched off",
    1192: "switched off by the schedule",
    1193: "on a call, rejects automatically",
    1200: "contact centre session",
    1300: "normal",
    1310: "answering machine",
    2000: "billing",
    2100: "no account",
    2200: "a limit of the account",
    2210: "a limit of the account",
    2220: "too many calls at once",
    2240: "no money on the account",
    2300: "the direction is blocked",
    2400: "billing error",
    3000: "bad request",
    3100: "bad parameters",
    3101: "not a POST",
    3102: "the signature does not fit",
    3103: "a required parameter is missing",
    3104: "a parameter has a wrong format",
    3105: "unknown key",
    3200: "wrong number",
    3300: "no such object",
    3310: "no such call",
    3320: "no such recording",
    3330: "no such number",
    3340: "no such file",
    3400: "bad JSON",
    4000: "impossible",
    4001: "not supported",
    4002: "the recording is too short",
    4100: "the PBX cannot do it now",
    4101: "the call is over or unknown",
    4102: "already being recorded",
    4104: "too many redirects",
    4200: "cannot connect now",
    4290: "too many requests",
    4300: "SMS",
    4400: "conference",
    4500: "security",
    5000: "server error",
    5001: "overload",
    5002: "restart",
    5003: "technical error",
    5004: "database error",
    5008: "service unavailable",
    5011: "timeout",
    5100: "campaign",
    5200: "group or employee",
    6000: "fax",
}

_BUSY = frozenset({1121, 1122, 1123, 1124, 1193})
_CANCELLED = frozenset({1110, 1180, 1181})
_FORBIDDEN = frozenset({1140, 1150, 1151, 1152})
# The server gave up in the middle: the command may have taken effect.
_MIDWAY = frozenset({5000, 5003, 5004, 5011})


def known(code: int) -> int:
    """The code itself if the table has it, else the nearest parent class that it has, else the thousand."""
    parents = (code // step * step for step in (1, 10, 100, 1000))
    return next((parent for parent in parents if parent in WORDS), code // 1000 * 1000)


def words(code: int) -> str:
    return f"{code} {WORDS.get(known(code), 'unknown code')}"


def succeeded(code: int) -> bool:
    return known(code) in (1000, 1001)


def outcome(code: int | None, direction: Direction) -> Outcome:
    """What a call that nobody talked in has come to; `code` is the reason of its end."""
    meaning = known(code or 0)
    if meaning in _BUSY:
        return Outcome.BUSY
    if meaning // 1000 in (2, 3, 5):
        return Outcome.FAILED
    if direction is Direction.IN:
        return Outcome.MISSED
    if meaning in _CANCELLED:
        return Outcome.CANCELLED
    if meaning in _FORBIDDEN or meaning // 1000 in (4, 6):
        return Outcome.FAILED
    return Outcome.NO_ANSWER


def summed_up(code: int | None, direction: Direction, *, talked: bool) -> Outcome | None:
    """What the end of a whole call says of it; None where nobody talked and no reason is given."""
    if talked:
        return Outcome.ANSWERED
    return None if code is None else outcome(code, direction)


def will_be_stored(completion_code: int | None) -> bool:
    """Whether a recording that was completed so will come: 22xx and 4002 say no, and so does any failure."""
    return completion_code is None or completion_code // 1000 == 1


def counts_as_wrong(code: int) -> bool:
    """Whether the request was a wrong one: two of these within two minutes lock the whole account."""
    return code // 1000 == 3


def is_malformed(code: int) -> bool:
    """Whether the request itself was badly made, which is a bug of ours and not of its data."""
    return code // 100 in (30, 31, 34) and known(code) not in (SIGNATURE_WRONG, KEY_WRONG)


def error(code: int) -> OutboundError:
    """The typed error of a code that is no success."""
    meaning, text, number = known(code), f"Mango: {words(code)}", str(code)
    if meaning in (SIGNATURE_WRONG, KEY_WRONG):
        return CredentialsRefused(text, code=number)
    if meaning == TOO_OFTEN:
        return RateLimited(text, code=number, retry_after=2.0)
    if code // 1000 == 5:
        return Temporary(text, code=number, fate_unknown=meaning in _MIDWAY)
    return Rejected(text, code=number)


def means(error: OutboundError, *meanings: int) -> bool:
    """Whether an error carries one of these codes, or a child of one."""
    return error.code.isdecimal() and known(int(error.code)) in meanings
