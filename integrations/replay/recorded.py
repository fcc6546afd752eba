"""A vendor that answers from a recording: requests of ours are matched by method, path and meaning of the body."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from outbound.errors import AddressRefused
from telephony.models import Command

PROOFS = {"sign", "signature"}
"""Fields that follow from the others: not compared."""
_OWN_ADDRESS = re.compile(r"https?://(?:hub\.example[\w.]*|127\.0\.0\.1(?::\d+)?|localhost(?::\d+)?)(?:/[^\s\"'&]*)?")
_EPOCH = re.compile(r"\d{10}|\d{12,13}")
"""Seconds or milliseconds."""
NOT_RECORDED = "not in the recording"
AUDIO = b"\xff\xfb\x90\x00" + b"\x00" * 413


@dataclass(slots=True)
class Recorded:
    """One request that the sample expects of us, and its answer. `index` is its place in the sample."""

    index: int
    method: str
    path: str
    meaning: Any
    status: int
    headers: dict[str, str]
    body: str
    used: bool = False


def recorded_of(exchanges: list[dict[str, Any]]) -> list[Recorded]:
    found = []
    for index, exchange in enumerate(exchanges):
        if exchange.get("direction") != "hub->vendor":
            continue
        answer = exchange.get("response") or {}
        found.append(
            Recorded(
                index=index,
                method=exchange.get("method", "POST"),
                path=_path(exchange.get("path", "")),
                meaning=meaning(exchange.get("body") or "", exchange.get("path", "")),
                status=int(answer.get("status") or 200),
                headers=dict(answer.get("headers") or {}),
                body=answer.get("body") or "",
            )
        )
    return found


def _path(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def meaning(body: str, url: str = "") -> Any:
    """A body as plain data: JSON decoded, forms as dicts with JSON inside decoded, our own addresses made equal."""
    query = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    data = _decoded(body)
    if isinstance(data, dict) and "jsonrpc" in data:
        data.pop("id", None)  # the caller's own name of a request
    if query:
        data = {**query, **data} if isinstance(data, dict) else query
    return _plain(data)


def _decoded(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        pass
    if "=" in body and not body.lstrip().startswith(("-", "<")):
        return {key: _decoded(value) if value[:1] in "{[" else value for key, value in parse_qsl(body, True)}
    return body


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items() if key not in PROOFS}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    return _OWN_ADDRESS.sub("<hub>", str(data))


class RecordedVendor(BaseAdapter):
    """A `requests` transport that answers from the recording and refuses what was not recorded.

    `position` is how far the sample was played: an answer recorded later is preferred to one that was passed by.
    """

    def __init__(self, recorded: list[Recorded]):
        super().__init__()
        self.recorded = recorded
        self.position = -1
        self.refused: list[str] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        body = request.body.decode("utf-8", "replace") if isinstance(request.body, bytes) else str(request.body or "")
        asked = meaning(body, request.url or "")
        found = self._match(request, asked)
        if found is None:
            self.refused.append(f"{request.method} {_path(request.url or '')}")
            raise AddressRefused(NOT_RECORDED)  # for good: time mends nothing here
        found.used = True
        return _response(request, found)

    def close(self) -> None:
        return None

    def _match(self, request: requests.PreparedRequest, asked: Any) -> Recorded | None:
        open_ones = [row for row in self.recorded if not row.used and row.method == request.method]
        open_ones = [row for row in open_ones if _path(request.url or "").endswith(row.path)]
        ahead = [row for row in open_ones if row.index > self.position]
        for row in ahead + [row for row in open_ones if row.index <= self.position]:
            names = dict(_differences(row.meaning, asked))
            if all(self._is_command(ours) or _are_times(told, ours) for told, ours in names.items()):
                self._rename(names)
                return row
        return None

    @staticmethod
    def _is_command(value: str) -> bool:
        return Command.objects.filter(wire_id=value).exists()

    @staticmethod
    def _rename(names: dict[str, str]) -> None:
        """The sample knows our command by another id: from now on we do so too."""
        for recorded, ours in names.items():
            Command.objects.filter(wire_id=ours).update(wire_id=recorded)


def _are_times(recorded: str, asked: str) -> bool:
    """Which period of a history is asked for is nobody's business but the asker's."""
    return all(_EPOCH.fullmatch(text) for text in (recorded, asked))


def _differences(recorded: Any, asked: Any) -> list[tuple[str, str]]:
    """Pairs of texts in which two bodies differ; a difference of structure is one of `("", "")` that nothing mends."""
    if isinstance(recorded, dict) and isinstance(asked, dict):
        if recorded.keys() != asked.keys():
            return [("", "")]
        return [pair for key in recorded for pair in _differences(recorded[key], asked[key])]
    if isinstance(recorded, list) and isinstance(asked, list) and len(recorded) == len(asked):
        return [pair for one, other in zip(recorded, asked, strict=True) for pair in _differences(one, other)]
    return [] if recorded == asked else [(str(recorded), str(asked))]


def _response(request: requests.PreparedRequest, found: Recorded) -> requests.Response:
    headers = {key: value for key, value in found.headers.items() if key.lower() != "content-length"}
    content = AUDIO * 4 if found.body.startswith("<binary") else found.body.encode()
    raw = HTTPResponse(body=BytesIO(content), headers=headers, status=found.status, preload_content=False)
    response = requests.Response()
    response.status_code, response.raw, response.request = found.status, raw, request
    response.headers.update(headers)
    response.url = request.url or ""
    return response
