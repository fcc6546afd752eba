"""Recordings over HTTP: to whoever has a link of ours, in ranges, from a disk or from S3 alike."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models.fields.files import FieldFile
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import http_date
from django.views.decorators.http import require_safe

from . import recordings
from .audio import TYPES
from .models import Recording

CHUNK = 64 * 1024
_RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")


class Unsatisfiable(Exception):
    """The range asked for lies outside the file."""


@require_safe
def by_link(request: HttpRequest, uuid: UUID, proof: str, extension: str) -> HttpResponseBase:
    """`/recordings/<uuid>/<proof>.<extension>`: forged and revoked links find nothing.

    Any kind of audio goes: a recording fetched again may be of another than when the link was given out.
    """
    recording = recordings.by_link(str(uuid), proof)
    if recording is None or extension not in TYPES:
        raise Http404
    return serve(request, recording)


def serve(request: HttpRequest, recording: Recording) -> HttpResponseBase:
    """The audio of a stored recording, whole or the range asked for."""
    try:
        size = recording.size or recording.file.size
        asked = _asked(request, recording, size)
    except Unsatisfiable:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    except (OSError, ValueError) as error:
        raise Http404 from error
    start, end = asked or (0, size - 1)
    try:
        parts = iter(()) if request.method == "HEAD" or not size else _parts(recording.file, start, end)
    except OSError as error:
        raise Http404 from error
    response = StreamingHttpResponse(_for(request, parts), status=206 if asked else 200)
    for name, value in _headers(recording, end - start + 1).items():
        response[name] = value
    if asked:
        response["Content-Range"] = f"bytes {start}-{end}/{size}"
    return response


def _name(recording: Recording) -> str:
    return recording.file.name or ""


def _headers(recording: Recording, length: int) -> dict[str, str]:
    kind = recording.content_type.split(";")[0].strip().lower()
    extension = _name(recording).rsplit(".", 1)[-1]
    headers = {
        # Whatever a vendor called it, a browser shall play it and never show it as a page.
        "Content-Type": kind if kind.startswith("audio/") else "application/octet-stream",
        "Content-Length": str(length),
        "Content-Disposition": f'inline; filename="{recording.call_id}-{recording.pk}.{extension}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=3600",
        "X-Content-Type-Options": "nosniff",
    }
    if recording.sha256:
        headers["ETag"] = f'"{recording.sha256}"'
    if recording.stored_at:
        headers["Last-Modified"] = http_date(recording.stored_at.timestamp())
    return headers


def _asked(request: HttpRequest, recording: Recording, size: int) -> tuple[int, int] | None:
    """First and last byte asked for; None for the whole file. What is no single range of bytes is ignored."""
    match = _RANGE.match(request.headers.get("Range", "").replace(" ", ""))
    if not match or match.groups() == ("", ""):
        return None
    if (unless := request.headers.get("If-Range")) and unless != f'"{recording.sha256}"':
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        start, end = size - length, size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start > end or start >= size:
        raise Unsatisfiable
    return start, end


def download(request: HttpRequest, stored: FieldFile, kind: str, called: str) -> HttpResponseBase:
    """A file of the storage, whole, to be kept under the name `called`."""
    try:
        parts = _parts(stored, 0, stored.size - 1)
    except (OSError, ValueError) as error:
        raise Http404 from error
    headers = {
        "Content-Length": str(stored.size),
        "Content-Disposition": f'attachment; filename="{called}"',
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingHttpResponse(_for(request, parts), content_type=kind, headers=headers)


def _parts(stored_file: FieldFile, start: int, end: int) -> Iterator[bytes]:
    """The bytes from `start` to `end`; the file is opened at once, so that a missing one is known before the answer."""
    file: Any = stored_file.storage.open(stored_file.name or "", "rb")
    stored = getattr(file, "obj", None)
    if stored is not None:  # S3: only these bytes travel
        return iter(stored.get(Range=f"bytes={start}-{end}")["Body"].iter_chunks(CHUNK))
    return _slices(file, start, end - start + 1)


def _slices(file: Any, start: int, left: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while left > 0 and (part := file.read(min(CHUNK, left))):
            left -= len(part)
            yield part


def _for(request: HttpRequest, parts: Iterator[bytes]) -> Iterator[bytes] | AsyncIterator[bytes]:
    """As the server wants it: an asynchronous one would read a plain iterator whole into memory first."""
    return _paced(parts) if isinstance(request, ASGIRequest) else parts


async def _paced(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    read = sync_to_async(lambda: next(parts, b""), thread_sensitive=False)
    while part := await read():
        yield part
