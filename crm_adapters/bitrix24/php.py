"""PHP's form bodies: `data[CRM][0]=1` is `{"data": {"CRM": {"0": "1"}}}`; every leaf is a string."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

MAX_FIELDS = 500
MAX_DEPTH = 8
_PART = re.compile(r"\[([^\[\]]*)\]")


def parse_form(body: bytes) -> dict[str, Any]:
    """The form as nested dicts. Raises `ValueError` for more fields than an event ever has.

    What contradicts itself (`a=1&a[b]=2`) keeps what came first.
    """
    form: dict[str, Any] = {}
    for name, value in parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS):
        head, bracket, tail = name.partition("[")
        _put(form, [head, *_PART.findall(bracket + tail)][:MAX_DEPTH], value)
    return form


def _put(form: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        inner = form.setdefault(part or str(len(form)), {})
        if not isinstance(inner, dict):
            return
        form = inner
    form.setdefault(path[-1] or str(len(form)), value)
