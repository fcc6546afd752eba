"""Recordings over HTTP: links that live and can be revoked, ranges, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.test import Client
from django.urls import reverse

from telephony import recordings, views
from tests.portal.conftest import AUDIO, World

SIZE = len(AUDIO)


def path_of(link: str) -> str:
    return "/" + link.split("/", 3)[3]


def read(response: Any) -> bytes:
    return b"".join(response)


def test_a_link_gives_the_audio_to_anybody(mine: World) -> None:
    response = Client().get(path_of(recordings.link(mine.recording)))
    assert response.status_code == 200
    assert read(response) == AUDIO
    assert response["Content-Type"] == "audio/mpeg"
    assert response["Content-Length"] == str(SIZE)
    assert response["Accept-Ranges"] == "bytes"
    assert response["Cache-Control"].startswith("private")


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, SIZE - 1),
        ("bytes=-10", SIZE - 10, SIZE - 1),
        (f"bytes=-{SIZE * 2}", 0, SIZE - 1),
        (f"bytes={SIZE - 1}-{SIZE * 9}", SIZE - 1, SIZE - 1),
    ],
)
def test_ranges(mine: World, asked: str, start: int, end: int) -> None:
    response = Client().get(path_of(recordings.link(mine.recording)), headers={"Range": asked})
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {start}-{end}/{SIZE}"
    assert response["Content-Length"] == str(end - start + 1)
    assert read(response) == AUDIO[start : end + 1]


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0"])
def test_a_range_outside_is_refused(mine: World, asked: str) -> None:
    response = Client().get(path_of(recordings.link(mine.recording)), headers={"Range": asked})
    assert response.status_code == 416
    assert response["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "bytes=0-1,3-4", "items=0-1", "bytes=a-b"])
def test_what_is_no_single_range_is_ignored(mine: World, asked: str) -> None:
    response = Client().get(path_of(recordings.link(mine.recording)), headers={"Range": asked})
    assert response.status_code == 200
    assert read(response) == AUDIO


def test_forged_revoked_and_foreign_links_find_nothing(mine: World, theirs: World) -> None:
    link = path_of(recordings.link(mine.recording))
    proof = link.rsplit("/", 1)[1]
    client = Client()
    assert client.get(link.replace(str(mine.recording.uuid), str(theirs.recording.uuid))).status_code == 404
    assert client.get(f"/recordings/{mine.recording.uuid}/x{proof}").status_code == 404
    assert client.get(link.removesuffix(".mp3") + ".html").status_code == 404
    assert client.get("/recordings/../../etc/passwd").status_code == 404
    recordings.revoke(mine.recording, by="owner@example.com")
    assert client.get(link).status_code == 404


def test_a_file_that_is_gone_is_not_found(mine: World) -> None:
    link = path_of(recordings.link(mine.recording))
    mine.recording.file.storage.delete(mine.recording.file.name)
    assert Client().get(link).status_code == 404


def test_a_head_request_has_no_body(mine: World) -> None:
    response = Client().head(path_of(recordings.link(mine.recording)))
    assert response.status_code == 200
    assert response["Content-Length"] == str(SIZE)
    assert read(response) == b""


def test_what_a_vendor_calls_a_page_is_never_shown_as_one(mine: World) -> None:
    mine.recording.content_type = "text/html"
    mine.recording.save()
    response = Client().get(path_of(recordings.link(mine.recording)))
    assert response["Content-Type"] == "application/octet-stream"
    assert response["X-Content-Type-Options"] == "nosniff"


def test_the_player_hears_ranges_too(mine: World, owner: Client) -> None:
    where = reverse("portal:recording", args=[mine.call.uuid, mine.recording.uuid])
    response = owner.get(where, headers={"Range": "bytes=1-3"})
    assert response.status_code == 206
    assert read(response) == AUDIO[1:4]


def test_from_s3_only_the_range_travels(mine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Object:
        def get(self, Range: str) -> dict[str, Any]:
            asked.append(Range)
            return {"Body": SimpleNamespace(iter_chunks=lambda size: [b"abc"])}

    monkeypatch.setattr(FileSystemStorage, "open", lambda self, name, mode: SimpleNamespace(obj=Object()))
    response = Client().get(path_of(recordings.link(mine.recording)), headers={"Range": "bytes=5-7"})
    assert read(response) == b"abc"
    assert asked == ["bytes=5-7"]


async def _collect(parts: Any) -> bytes:
    return b"".join([part async for part in parts])


def test_an_asynchronous_server_reads_part_by_part() -> None:
    import asyncio

    assert asyncio.run(_collect(views._paced(iter([b"ab", b"cd"])))) == b"abcd"
