"""What a notification carries. The customer writes its template himself, so it comes in many shapes.

Source: `{{variable}}` is replaced by a JSON literal. That customers put quotes around it, leave a variable that does
not exist, nest values in groups, or send everything in the query is seen in public receivers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from telephony.providers.base import Request
from telephony.providers.values import clean, form, load

# Those of the templates that the cabinet begins with.
_GROUPS = ("contact_info", "employee_info", "call_info", "call_record_file_info")
# `"name":""text""`, where the template has quotes around a variable that brings its own.
_QUOTED_TWICE = re.compile(r'(:\s*)""((?:[^"\\]|\\.)+)""')
_NOT_REPLACED = re.compile(r"\{\{\s*\w+\s*\}\}")


def fields(request: Request) -> dict[str, Any]:
    """The values of a notification by the names of their variables, None where a variable was empty.

    A variable that was not replaced is left out. Raises `ValueError`.
    """
    text = clean(request.body.decode("utf-8", "replace")).strip()
    told = _object(text) if text.startswith("{") else _said(form(text or request.query))
    inner = (_said(told[group]) for group in _GROUPS if isinstance(told.get(group), Mapping))
    nested = {name: value for group in inner for name, value in group.items()}
    return nested | {name: value for name, value in told.items() if value is not None or name not in nested}


def _object(text: str) -> dict[str, Any]:
    try:
        return _said(load(text))
    except ValueError:
        mended = _QUOTED_TWICE.sub(r'\1"\2"', text)
        return _said(load(re.sub(rf"(:\s*){_NOT_REPLACED.pattern}", r'\1"{{_}}"', mended)))


def _said(told: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in told.items() if not _is_placeholder(value)}
    return {name: None if value in ("", "null") else value for name, value in kept.items()}


def _is_placeholder(value: Any) -> bool:
    return isinstance(value, str) and bool(_NOT_REPLACED.fullmatch(value.strip()))
