"""The id that a call of our making has on the PBX: short enough for its tables, and without dashes, because the names
of recordings are split by them."""

from __future__ import annotations

import base64
import binascii
import re

WANTED = "CALLBRIDGE_TO"
"""The variable of a call of our making that says whom it is for: it is told before anything else of the call."""
_OURS = re.compile(r"cb([a-z2-7]{26})")


def channel_of(command: str) -> str:
    """`command`: 32 hexadecimal digits."""
    return "cb" + base64.b32encode(bytes.fromhex(command)).decode().rstrip("=").lower()


def command_of(channel: str) -> str:
    """The command that made a channel (or its second half, `…;2`); empty for everybody else's."""
    found = _OURS.fullmatch(channel.partition(";")[0])
    if not found:
        return ""
    try:
        return base64.b32decode(found[1].upper() + "======").hex()
    except binascii.Error:
        return ""
