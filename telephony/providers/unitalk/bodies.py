"""What UniTalk sends: its own JSON, or a form that the customer has composed of its variables.

Source: the vendor's "Event handling" as public clients quote it. A composed form has whatever names the customer gave;
ours is the one of the guide, where `event` is a word that the customer writes himself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telephony.providers import values

_VARIABLES = {
    "id": "call_id",
    "from": "call_from",
    "to": "call_to_0",
    "outerNumber": "call_outernumber",
    "direction": "call_direction",
    "date": "call_date",
    "state": "call_state",
    "secondsTalk": "call_secondstalk",
    "secondsFullTime": "call_secondsfulltime",
    "link": "call_link",
}


def event(body: bytes) -> tuple[str, Mapping[str, Any]]:
    """The name of an event and the call it tells; raises `ValueError`."""
    if not body.lstrip().startswith(b"{"):
        return _composed(values.form(body))
    told = values.load(body.decode("utf-8", "replace"))
    call = told.get("call")
    return str(told.get("event")), call if isinstance(call, dict) else {}


def _composed(fields: Mapping[str, str]) -> tuple[str, Mapping[str, Any]]:
    """Without the name of the event only its end can be known: no other has a state."""
    call = {name: fields.get(variable, "") for name, variable in _VARIABLES.items()}
    return fields.get("event") or ("CALL_END" if call["state"] else "CALL_NEW"), call
