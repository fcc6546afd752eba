"""How values travel: PHP-nested forms, JSON bodies, multipart, dates, phones, and the errors of the REST protocol."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, quote_plus

Params = dict[str, Any]

_BRACKET = re.compile(r"\[([^\]]*)\]")
_REFERENCE = re.compile(r"\$result((?:\[[^\]]*\])+)")
_TRUE = frozenset({"1", "y", "yes", "true"})


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


class ApiError(Exception):
    """An answer `{"error", "error_description"}` with an HTTP status.

    `what` names the violation that the refusal is; `expected` refusals are ones that a good client meets
    in normal work ("Line already exists" at a re-installation), or that a configured fault made.
    """

    def __init__(
        self, code: str, text: str, status: int = 400, *, what: str | None = None, expected: bool = False
    ) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status
        self.what = what or (code.lower() or "refused")
        self.expected = expected

    def body(self) -> dict[str, str]:
        return {"error": self.code, "error_description": self.text}


def core(text: str, what: str, *, expected: bool = False) -> ApiError:
    """The telephony module's usual refusal: 400 ERROR_CORE, told apart by its text only."""
    return ApiError("ERROR_CORE", text, 400, what=what, expected=expected)


@dataclass(slots=True)
class Page:
    """A list answer: `total` and `next` stand beside `result`."""

    result: Any
    total: int | None = None
    next: int | None = None


@dataclass(slots=True)
class Upload:
    """A file part of a multipart body."""

    filename: str
    content: bytes


def parse_php(text: str) -> Params:
    """`a[b][0]=1` as PHP reads it; all leaves are strings, and 0..n-1 keyed arrays become lists."""
    root: Params = {}
    nested = False
    for key, value in parse_qsl(text, keep_blank_values=True):
        if "[" not in key:
            root[key] = value
            continue
        nested = True
        _insert(root, key, value)
    return {key: _lists(value) for key, value in root.items()} if nested else root


def _insert(root: Params, key: str, value: Any) -> None:
    head, _, _ = key.partition("[")
    path = [head, *_BRACKET.findall(key)]
    node = root
    for part in path[:-1]:
        child = node.setdefault(part or str(len(node)), {})
        if not isinstance(child, dict):
            return
        node = child
    node[path[-1] or str(len(node))] = value


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    items = {key: _lists(child) for key, child in value.items()}
    return list(items.values()) if items and list(items) == [str(i) for i in range(len(items))] else items


def build_php(data: Mapping[str, Any]) -> str:
    """The form body of an event: nested keys in brackets, every leaf a string."""
    return "&".join(f"{quote_plus(key)}={quote_plus(str(value))}" for key, value in _flatten(data, ""))


def _flatten(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        name = f"{prefix}[{key}]" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from _flatten(value, name)
        else:
            yield name, value


def parse_body(content_type: str, body: bytes) -> Params:
    """A request body: JSON (preferred), form with PHP nesting, or multipart."""
    if not body:
        return {}
    if content_type.startswith("multipart/form-data"):
        return parse_multipart(content_type, body)
    if content_type.startswith("application/json") or body[:1] in (b"{", b"["):
        try:
            data = json.loads(body)
        except ValueError as error:
            raise ApiError("INVALID_REQUEST", "Invalid JSON", 400, what="bad_json") from error
        return data if isinstance(data, dict) else {}
    return parse_php(body.decode("utf-8", "replace"))


def parse_multipart(content_type: str, body: bytes) -> Params:
    match = re.search(r'boundary="?([^";]+)"?', content_type)
    if not match:
        raise ApiError("INVALID_REQUEST", "No multipart boundary", 400, what="bad_multipart")
    params: Params = {}
    for part in body.split(b"--" + match.group(1).encode())[1:]:
        head, separator, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if not separator or not name:
            continue
        content = content.removesuffix(b"\r\n")
        filename = re.search(rb'filename="([^"]*)"', head)
        value = Upload(filename.group(1).decode("utf-8", "replace"), content) if filename else content.decode()
        _insert(params, name.group(1).decode(), value)
    return {key: _lists(value) for key, value in params.items()}


def resolve(value: Any, results: Mapping[str, Any]) -> Any:
    """`$result[key][FIELD]` of a batch command; what is not there becomes an empty string."""
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _lookup(match.group(1), results), value) if "$result[" in value else value
    if isinstance(value, dict):
        return {key: resolve(child, results) for key, child in value.items()}
    if isinstance(value, list):
        return [resolve(child, results) for child in value]
    return value


def _lookup(path: str, results: Mapping[str, Any]) -> str:
    node: Any = results
    for part in _BRACKET.findall(path):
        if isinstance(node, Mapping):
            node = node.get(part)
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            return ""
    return "" if node is None or isinstance(node, dict | list) else str(node)


def php_array(items: dict[str, Any]) -> Any:
    """A PHP array as JSON: an empty one is `[]`, one keyed 0..n-1 is a list, any other is an object."""
    if not items:
        return []
    return list(items.values()) if list(items) == [str(i) for i in range(len(items))] else items


def truth(value: Any) -> bool:
    return str(value).strip().lower() in _TRUE


def to_int(value: Any) -> int:
    """PHP's intval: what is no number is 0."""
    try:
        return int(str(value).strip() or 0)
    except ValueError:
        return 0


def to_float(value: Any) -> float:
    try:
        return float(str(value).strip() or 0)
    except ValueError:
        return 0.0


def as_list(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else [value]


def strip_phone(value: Any) -> str:
    """Letters and separators are stripped; a leading plus stays."""
    text = str(value or "").strip()
    digits = re.sub(r"\D", "", text)
    return ("+" + digits if text.startswith("+") else digits) if digits else ""


@functools.lru_cache(maxsize=65536)
def phone_key(value: str) -> str:
    """What two spellings of one number share; a Russian 8 is +7. (The vendor's own matching is not published.)"""
    digits = re.sub(r"\D", "", value)
    return "7" + digits[1:] if len(digits) == 11 and digits[0] == "8" else digits


@functools.lru_cache(maxsize=64)
def zone(hours: int) -> timezone:
    return timezone(timedelta(hours=hours))


@functools.lru_cache(maxsize=4096)
def iso(second: int, hours: int) -> str:
    """ISO-8601 with the portal's offset."""
    return datetime.fromtimestamp(second, zone(hours)).isoformat()
