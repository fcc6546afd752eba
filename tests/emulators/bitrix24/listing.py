"""Filtering, ordering and paging of the lists: 50 a page, `next` while there is more, `start=-1` without total."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from .wire import Page, as_list

PAGE = 50
Row = dict[str, Any]
_PREFIXES = (">=", "<=", "!=", "!", ">", "<", "%", "@", "=")


def list_page(rows: list[Row], condition: Mapping[str, Any], ordering: Mapping[str, Any], start: int) -> Page:
    found = [row for row in rows if matches(row, condition)] if condition else list(rows)
    for name, direction in reversed(list(ordering.items())):
        found.sort(key=_key(name), reverse=str(direction).upper() == "DESC")
    if start < 0:
        return Page(found[:PAGE])
    following = start + PAGE
    return Page(found[start:following], len(found), following if following < len(found) else None)


def matches(row: Row, condition: Mapping[str, Any]) -> bool:
    return all(_one(row, key, wanted) for key, wanted in condition.items())


def _one(row: Row, key: str, wanted: Any) -> bool:
    prefix = next((p for p in _PREFIXES if key.startswith(p)), "=")
    value = row.get(key[len(prefix) :] if key.startswith(prefix) else key)
    if isinstance(wanted, list | dict) and prefix in ("=", "@"):
        return any(_equal(value, each) for each in as_list(wanted))
    return _COMPARE[prefix](value, wanted)


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool):
        return value == (str(wanted).lower() in ("1", "y", "true"))
    if isinstance(value, list):
        return any(_equal(item.get("VALUE") if isinstance(item, dict) else item, wanted) for item in value)
    return str("" if value is None else value) == str("" if wanted is None else wanted)


def _key(name: str) -> Callable[[Row], tuple[int, float, str]]:
    return lambda row: _sortable(row.get(name))


def _sortable(value: Any) -> tuple[int, float, str]:
    """Numbers before moments before text, each compared as what it is."""
    text = "" if value is None else str(value)
    try:
        return (0, float(text), "")
    except ValueError:
        pass
    try:
        return (1, datetime.fromisoformat(text).timestamp(), "")
    except ValueError:
        return (2, 0.0, text)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": _equal,
    "@": _equal,
    "!": lambda value, wanted: not _equal(value, wanted),
    "!=": lambda value, wanted: not _equal(value, wanted),
    "%": lambda value, wanted: str(wanted).lower() in str(value).lower(),
    ">": lambda value, wanted: _sortable(value) > _sortable(wanted),
    "<": lambda value, wanted: _sortable(value) < _sortable(wanted),
    ">=": lambda value, wanted: _sortable(value) >= _sortable(wanted),
    "<=": lambda value, wanted: _sortable(value) <= _sortable(wanted),
}
