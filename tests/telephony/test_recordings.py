"""Recordings: surely audio, whole, stored once; nothing is lost sight of, whatever fails in between."""

from __future__ import annotations

import errno
import io
import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage, default_storage
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from integrations import troubles
from outbound.errors import VendorFault
from telephony import audio, files, recordings
from telephony.models import Call, LooseFile, Recording
from telephony.providers.base import Audio
from telephony.providers.mango.provider import Mango
from telephony.signals import calls_changed
from tests.emulators.mango import Account, MangoEmulator, wire
from tests.emulators.mango.account import Recording as Sound
from tests.factories import CallFactory, ConnectionFactory, RecordingFactory

pytestmark = pytest.mark.django_db

State = Recording.State
FILES = "/files/"


@pytest.fixture(scope="module")
def emulator() -> Iterator[MangoEmulator]:
    with MangoEmulator(accounts=[Account()]) as running:
        yield running


@pytest.fixture
def mango(emulator: MangoEmulator) -> MangoEmulator:
    emulator.reset()
    return emulator


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


@pytest.fixture
def row(mango: MangoEmulator) -> Recording:
    """A recording that the PBX has."""
    account = mango.account()
    account.recordings["R"] = Sound("R", "E", "L", "101", seconds=5, added=True)
    connection = ConnectionFactory.create()
    connection.credentials = {"api_url": mango.url, "api_key": account.key, "api_salt": account.salt}
    connection.save()
    call = CallFactory.create(connection=connection)
    return RecordingFactory.create(call=call, key="R", state=State.READY, due_at=timezone.now(), file="")


def fetch(row: Recording) -> bool:
    """Once more, whenever it is due."""
    Recording.objects.filter(pk=row.pk).exclude(due_at=None).update(due_at=timezone.now())
    fetched = recordings.fetch(row.pk)
    row.refresh_from_db()
    return fetched


def stored(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def forget_holds() -> None:
    LooseFile.objects.exclude(held_until=None).update(held_until=timezone.now() - timedelta(seconds=1))


def served(row: Recording) -> bytes:
    response = Client().get("/" + recordings.link(row).split("/", 3)[3])
    return b"".join(response) if response.status_code == 200 else b""


@pytest.fixture
def told() -> Iterator[list[Call]]:
    """Calls that somebody was told of."""
    heard: list[Call] = []

    def listen(calls: list[Call], **_: Any) -> None:
        heard.extend(calls)

    calls_changed.connect(listen)
    yield heard
    calls_changed.disconnect(listen)


# --- Surely audio


def test_what_the_pbx_has_is_stored(row: Recording, folder: Path, told: list[Call]):
    assert fetch(row)
    assert (row.state, row.content_type, row.error, row.due_at) == (State.STORED, "audio/mpeg", "", None)
    assert row.company == row.call.company
    assert stored(folder) == [row.file.name]
    assert served(row) == wire.mp3("R", 5)
    assert not LooseFile.objects.exists()
    assert told == [row.call]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("html", "no audio but text/html: <html><body><h1>Service is temporarily unavailable"),
        ("empty", "the recording is empty"),
        ("truncated", "cut short"),
        ("wrong_type", "no audio but audio/mpeg: PK"),
    ],
)
def test_what_is_no_recording_is_told_and_tried_again(
    row: Recording, mango: MangoEmulator, folder: Path, fault: str, words: str
):
    mango.fault(fault, path=FILES, count=1)
    assert not fetch(row)
    assert (row.state, row.attempts, row.lease_until) == (State.READY, 1, None)
    assert words in row.error
    assert row.due_at
    assert stored(folder) == []
    assert fetch(row)
    assert (row.state, row.error) == (State.STORED, "")
    assert mango.violations == []


WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
M4A = b"\x00\x00\x00\x20ftypM4A "


@pytest.mark.parametrize(
    ("content", "told", "kind"),
    [
        (b"ID3\x04" + b"\x00" * 100, "audio/mpeg", "mp3"),
        (b"\xff\xfb\x90\x00", "audio/mp3; charset=binary", "mp3"),
        (b"\xff\xf3\x40\xc0", "", "mp3"),
        (WAV, "audio/x-wav", "wav"),
        (WAV, "application/octet-stream", "wav"),
        (b"OggS\x00\x02", "application/ogg", "ogg"),
        (M4A, "video/mp4", "m4a"),
        (b"fLaC\x00", "audio/flac", "flac"),
        (b"\xff\xf1\x50\x80", "audio/aac", "aac"),
        (b"#!AMR\n", "audio/amr", "amr"),
        (WAV, "text/html", ""),
        (WAV, "application/json", ""),
        (b"<!DOCTYPE html>", "audio/mpeg", ""),
        (b'{"result":5000}', "audio/mpeg", ""),
        (b"RIFF\x24\x00\x00\x00AVI LIST", "audio/wav", ""),
        (b"\xff\xfb\xf0\x00", "audio/mpeg", ""),
        (b"\xff", "audio/mpeg", ""),
        (b"", "audio/mpeg", ""),
    ],
)
def test_kinds_of_audio(content: bytes, told: str, kind: str):
    found = Audio(io.BytesIO(content), told)
    if kind:
        assert audio.recognise(found) == kind
        assert found.content.read() == content
        assert kind in audio.TYPES
    else:
        with pytest.raises(VendorFault):
            audio.recognise(found)


@given(st.binary(max_size=40), st.text(max_size=20))
def test_anything_else_is_the_vendors_fault(content: bytes, told: str):
    try:
        assert audio.recognise(Audio(io.BytesIO(content), told)) in audio.TYPES
    except VendorFault:
        pass


def test_our_own_mistake_is_told_and_tried_again(row: Recording, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Mango, "recording", lambda *_: [][1])
    assert not fetch(row)
    assert (row.state, row.attempts) == (State.READY, 1)
    assert "IndexError" in row.error


# --- Asked for again


def test_the_same_bytes_are_stored_once(row: Recording, folder: Path, told: list[Call]):
    fetch(row)
    before = (row.file.name, row.stored_at, stored(folder))
    told.clear()
    assert recordings.request_again(row)
    assert fetch(row)
    assert (row.file.name, row.stored_at, stored(folder)) == before
    assert (row.state, row.due_at, told) == (State.STORED, None, [])


def test_other_bytes_replace_what_was_there(row: Recording, mango: MangoEmulator, folder: Path, told: list[Call]):
    fetch(row)
    link, before = recordings.link(row), row.file.name
    mango.account().recordings["R"].seconds = 15
    recordings.request_again(row)
    assert fetch(row)
    assert row.file.name != before
    assert recordings.link(row) == link
    assert served(row) == wire.mp3("R", 15)
    assert len(told) == 2  # so that a CRM that has the old one is given the new one
    files.remove_loose()
    assert stored(folder) == [row.file.name]


def test_a_stored_one_stays_while_another_is_asked_for_in_vain(row: Recording, mango: MangoEmulator):
    fetch(row)
    recordings.request_again(row)
    mango.fault("html", path=FILES)
    assert not fetch(row)
    assert row.state == State.STORED
    assert row.error
    assert served(row) == wire.mp3("R", 5)
    Recording.objects.filter(pk=row.pk).update(attempts=recordings.MAX_ATTEMPTS)
    assert not fetch(row)
    assert (row.state, row.due_at) == (State.STORED, None)


@pytest.mark.parametrize("state", [State.FAILED, State.ABSENT, State.ANNOUNCED])
def test_what_was_given_up_is_fetched_when_asked_for(row: Recording, state: str):
    Recording.objects.filter(pk=row.pk).update(state=state, due_at=None, attempts=9, error="no such recording")
    assert recordings.request_again(row)
    assert fetch(row)
    assert (row.state, row.error) == (State.STORED, "")


def test_a_lost_file_is_noticed_and_stored_anew(row: Recording, folder: Path):
    fetch(row)
    (folder / str(row.file)).unlink()
    assert files.missing(str(row.file))
    recordings.request_again(row)
    assert fetch(row)
    assert served(row) == wire.mp3("R", 5)


# --- The storage refuses


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


class FullDisk(io.BytesIO):
    write = full  # type: ignore[assignment]


@pytest.mark.parametrize(
    "place", [(FileSystemStorage, "_save", full), (tempfile, "TemporaryFile", FullDisk)], ids=["storage", "temporary"]
)
def test_a_full_disk_makes_recordings_wait_and_is_told(
    row: Recording, monkeypatch: pytest.MonkeyPatch, folder: Path, place: Any
):
    Recording.objects.filter(pk=row.pk).update(attempts=recordings.MAX_ATTEMPTS - 1)
    other = RecordingFactory.create(call=row.call, key="R2", state=State.READY, due_at=timezone.now(), file="")
    with monkeypatch.context() as patch:
        patch.setattr(*place)
        for _ in range(3):
            assert not fetch(row)
    assert (row.state, row.attempts, row.waits_for_storage) == (State.READY, recordings.MAX_ATTEMPTS - 1, True)
    assert "No space left" in row.error
    (trouble,) = [each for each in troubles.of(row.call.company) if each.icon == "hard_drive"]
    assert "No space left" in trouble.text
    assert troubles.of(ConnectionFactory.create().company) == []
    ready = Client().get("/health/ready").json()
    assert ready["ready"]
    assert "No space left" in ready["checks"]["storage"]
    later = timezone.now() + timedelta(minutes=10)
    assert recordings.due(later) == [other.pk]  # one at a time tries it
    assert fetch(row)
    assert Client().get("/health/ready").json()["checks"]["storage"] == "ok"
    forget_holds()
    files.remove_loose()
    assert stored(folder) == [row.file.name]


def test_s3_that_refuses_makes_them_wait_too(row: Recording, monkeypatch: pytest.MonkeyPatch):
    class ClientError(Exception):
        """As botocore's."""

    def refuse(*_: Any) -> None:
        raise ClientError("An error occurred (XMinioStorageFull) when calling the PutObject operation")

    monkeypatch.setattr(FileSystemStorage, "_save", refuse)
    assert not fetch(row)
    assert (row.state, row.attempts, row.waits_for_storage) == (State.READY, 0, True)
    assert "XMinioStorageFull" in row.error


# --- A process dies


class Killed(BaseException):
    """`kill -9`, as far as this process can play it."""


def die(*_: Any, **__: Any) -> None:
    raise Killed


def _half_a_file(self: FileSystemStorage, name: str, content: Any) -> None:
    path = Path(self.path(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"ID3")
    raise Killed


@pytest.mark.parametrize(
    "moment",
    [
        (files, "save", die),
        (FileSystemStorage, "_save", _half_a_file),
        (recordings, "_name_file", die),
        (recordings, "announce", die),
    ],
    ids=["before the file", "amid the file", "between file and row", "amid the row's transaction"],
)
@pytest.mark.parametrize("again", [False, True], ids=["the first", "a replacement"])
@pytest.mark.django_db(transaction=True)
def test_whoever_dies_leaves_nothing_wrong(
    row: Recording, mango: MangoEmulator, folder: Path, monkeypatch: pytest.MonkeyPatch, moment: Any, again: bool
):
    before = ""
    if again:
        fetch(row)
        before = str(row.file)
        mango.account().recordings["R"].seconds = 15
        recordings.request_again(row)
    with monkeypatch.context() as patch:
        patch.setattr(*moment)
        with pytest.raises(Killed):
            fetch(row)
    row.refresh_from_db()
    assert row.file.name == before
    assert row.pk not in recordings.due()
    assert row.pk in recordings.due(timezone.now() + recordings.LEASE)
    Recording.objects.update(lease_until=None)
    files.remove_loose()
    if again:
        assert served(row) == wire.mp3("R", 5)
    assert fetch(row)
    forget_holds()
    files.remove_loose()
    assert stored(folder) == [row.file.name]
    assert not LooseFile.objects.exists()


def test_a_file_that_is_being_stored_is_not_removed(row: Recording, folder: Path):
    files.save("2026/01/01/a.mp3", io.BytesIO(b"ID3"))
    files.remove_loose()
    assert stored(folder) == ["2026/01/01/a.mp3"]
    assert files.adopt("2026/01/01/a.mp3")
    assert not LooseFile.objects.exists()


def test_a_file_that_is_being_removed_is_named_by_nobody(row: Recording, monkeypatch: pytest.MonkeyPatch):
    """Whoever took an hour to store it begins anew."""

    def slow(name: str, content: Any) -> None:
        save(name, content)
        forget_holds()
        files.remove_loose()

    save = files.save
    with monkeypatch.context() as patch:
        patch.setattr(files, "save", slow)
        assert not fetch(row)
    assert (row.state, row.file.name) == (State.READY, "")
    assert fetch(row)


def test_a_file_that_cannot_be_removed_comes_again(folder: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("a.mp3", "b.mp3"):
        default_storage.save(name, io.BytesIO(b"ID3"))
    files.drop(["a.mp3", "b.mp3"])
    delete = FileSystemStorage.delete

    def stubborn(self: FileSystemStorage, name: str) -> None:
        if name == "a.mp3":
            raise OSError("read-only")
        delete(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "delete", stubborn)
        assert files.remove_loose() == 1
    assert stored(folder) == ["a.mp3"]
    assert files.remove_loose() == 1
    assert stored(folder) == []


@pytest.mark.django_db(transaction=True)
def test_a_long_download_keeps_its_lease(row: Recording, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recordings, "LEASE", timedelta(seconds=0.15))
    renewed = threading.Event()

    def slowly(*_: Any) -> None:
        first = Recording.objects.get(pk=row.pk).lease_until
        while Recording.objects.get(pk=row.pk).lease_until == first:
            renewed.wait(0.01)
        renewed.set()

    monkeypatch.setattr(Mango, "recording", slowly)
    assert not recordings.fetch(row.pk)
    assert renewed.is_set()
