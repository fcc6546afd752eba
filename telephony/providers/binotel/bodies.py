"""What Binotel sends: a form whose names nest in brackets, as PHP writes them, or the same as JSON."""

from __future__ import annotations

import re
from typing import Any

from telephony.providers import values
from telephony.providers.base import Request

_MOST_FIELDS = 2_000
"""An attempt to reach an employee has seven of them, and a group may be tried again and again."""
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\]){0,8})")


def fields(request: Request) -> dict[str, Any]:
    """The fields of a notification; a list of a form comes as an object with its places. Raises `ValueError`."""
    if request.body.lstrip()[:1] == b"{":
        return values.load(request.body.decode("utf-8", "replace"))
    return _nested(values.form(request.body, _MOST_FIELDS))


def _nested(form: dict[str, str]) -> dict[str, Any]:
    """`callDetails[employeeData][name]=…` as objects within each other. An object counts more than a text in its place:
    PHP writes an empty one as a text."""
    told: dict[str, Any] = {}
    for name, value in form.items():
        if not (match := _NAME.fullmatch(name)):
            continue
        *path, last = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        place = told
        for step in path:
            if not isinstance(place.get(step), dict):
                place[step] = {}
            place = place[step]
        if not isinstance(place.get(last), dict):
            place[last] = value
    return told
