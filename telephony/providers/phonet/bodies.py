"""What Phonet sends: JSON as documented, or a form as PHP reads it (a public client does)."""

from __future__ import annotations

import re
from typing import Any

from telephony.providers.base import Request
from telephony.providers.values import form, load

_NAMES = re.compile(r"[^\[\]]+")


def fields(request: Request) -> dict[str, Any]:
    """The fields of a request; raises `ValueError`."""
    if request.body.lstrip()[:1] == b"{":
        return load(request.body.decode("utf-8", "replace"))
    return _nested(form(request.body))


def _nested(flat: dict[str, str]) -> dict[str, Any]:
    """`leg[ext]=001` is the field `ext` of `leg`."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = _NAMES.findall(name) or [name]
        place = tree
        for step in path:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise ValueError("a field is both a text and an object")
        place[last] = value
    return tree
