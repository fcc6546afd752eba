"""Recordings: fetched as soon as the PBX has them, stored once, handed out by links of ours that can be revoked."""

from __future__ import annotations

import hashlib
import os
import secrets
from datetime import datetime, timedelta
from typing import IO, Any

import structlog
from django.conf import settings
from django.core import signing
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from outbound.errors import OutboundError, Rejected, Temporary

from . import audio, feed, files, trials
from .clocks import pull_back
from .exchanges import http_for
from .files import StorageRefused
from .fold import CallState
from .hot import hot_write, lock_drain
from .inbox import announce
from .leases import LEASE, renewed
from .models import Decision, Recording
from .providers.base import Audio

log = structlog.get_logger(__name__)

State = Recording.State
MAX_ATTEMPTS = 60
STORAGE_PAUSE = timedelta(minutes=1)
ANNOUNCED_PATIENCE = timedelta(minutes=15)
_under_way: set[int] = set()
_signer = signing.Signer(salt="callbridge.recording")


def fetch(recording_id: int) -> bool:
    """Fetch one recording that is due; true when it is stored now. Safe to call at any time and from many workers."""
    recording = _claim(recording_id)
    if recording is None:
        return False
    _under_way.add(recording.pk)
    try:
        with renewed(Recording.objects.filter(pk=recording.pk), LEASE):
            _fetch(recording)
        return True
    except OutboundError as error:
        _later(recording, error.words, error.retry_after, final=isinstance(error, Rejected))
    except (StorageRefused, OSError) as error:
        _wait_for_storage(recording, str(error))
    except Exception as error:
        log.exception("a recording cannot be fetched", recording=recording.pk)
        _later(recording, f"{type(error).__name__}: {error}", None, final=False)
    finally:
        _under_way.discard(recording.pk)
    return False


def hand_back() -> None:
    """The process must end: whoever comes next need not wait for what it was fetching."""
    with hot_write():
        Recording.objects.filter(pk__in=list(_under_way)).update(lease_until=None)


def _fetch(recording: Recording) -> None:
    found = trials.recording() if recording.call.played else _from_pbx(recording)
    with found.content:
        _store(recording, found.content, audio.recognise(found))


def _from_pbx(recording: Recording) -> Audio:
    connection = recording.call.connection
    http = http_for(connection, purpose="recording", call_id=recording.call_id, deadline=120)
    found = connection.protocol.recording(http, connection.credentials, recording.key, recording.vendor_url)
    if found is None:
        raise Temporary("the PBX does not have it yet")
    return found


def due(now: datetime | None = None) -> list[int]:
    """Ids of recordings to be fetched now; while the storage refuses, one at a time to try it."""
    now = now or timezone.now()
    rows = Recording.objects.filter(due_at__lte=now).filter(Q(lease_until=None) | Q(lease_until__lt=now))
    most = 1 if waiting_for_storage().exists() else 500
    return list(rows.order_by("due_at").values_list("id", flat=True)[:most])


def expect_again(now: datetime | None = None) -> int:
    """Recordings that were announced and whose "ready" never came are asked for all the same: the message may have
    been sent while nobody listened. Returns how many."""
    now = now or timezone.now()
    quiet = Recording.objects.filter(
        state=State.ANNOUNCED,
        call__state=CallState.FINISHED,
        call__ended_at__lt=now - ANNOUNCED_PATIENCE,
        call__ended_at__gt=now - timedelta(days=7),
    )
    ids = list(quiet.values_list("pk", flat=True)[:100])
    with hot_write():
        lock_drain()
        feed.touch(quiet.filter(pk__in=ids).values_list("call", flat=True))
        return Recording.objects.filter(pk__in=ids, state=State.ANNOUNCED).update(state=State.READY, due_at=now)


def request_again(recording: Recording) -> bool:
    """Somebody pressed «Запросить запись»: try at once, whatever happened before. A stored one stays as it is until
    another is there. False: the company's rule has deleted it."""
    rows = Recording.objects.filter(pk=recording.pk)
    with hot_write():
        lock_drain()
        if rows.exclude(state__in=[State.STORED, State.READY, State.DELETED]).update(state=State.READY):
            feed.touch([recording.call_id])
        return bool(rows.exclude(state=State.DELETED).update(due_at=timezone.now(), attempts=0, error=""))


def forget_leases() -> None:
    """At the start of an installation of one process: nobody is fetching anything."""
    Recording.objects.exclude(lease_until=None).update(lease_until=None)


def mend_after_a_clock_step() -> None:
    """Our clock was put back: no recording waits for the time that it showed before."""
    to_fetch = Recording.objects.exclude(due_at=None)
    with hot_write():
        pull_back(to_fetch, "lease_until", LEASE)
        pull_back(to_fetch, "due_at", timedelta(days=1))


def _claim(recording_id: int) -> Recording | None:
    now = timezone.now()
    with hot_write():
        claimed = (
            Recording.objects.filter(pk=recording_id, due_at__lte=now)
            .filter(Q(lease_until=None) | Q(lease_until__lt=now))
            .update(lease_until=now + LEASE)
        )
    if not claimed:
        return None
    return Recording.objects.select_related("call__connection__company").get(pk=recording_id)


def _later(recording: Recording, words: str, retry_after: float | None, *, final: bool) -> None:
    """A minute apart as vendors ask, growing to an hour; given up after some days or on a final refusal."""
    attempts = recording.attempts + 1
    pause = max(retry_after or 0, min(3600, 60 * 1.3 ** max(0, attempts - 5)))
    over = final or attempts >= MAX_ATTEMPTS
    with hot_write():
        lock_drain()
        _still_wanted(recording).update(
            attempts=attempts,
            error=words,
            lease_until=None,
            waits_for_storage=False,
            state=State.FAILED if over and recording.state != State.STORED else recording.state,
            due_at=None if over else timezone.now() + timedelta(seconds=pause),
        )
        if over:
            announce([recording.call_id])


def _still_wanted(recording: Recording) -> QuerySet[Recording]:
    """The row, unless it was stored, asked for anew or deleted meanwhile."""
    return Recording.objects.filter(pk=recording.pk, state=recording.state, due_at=recording.due_at)


# --- The storage ------------------------------------------------------------------------------------------------------


def waiting_for_storage() -> QuerySet[Recording]:
    """Recordings that could not be stored: `error` says what the storage said."""
    return Recording.objects.filter(waits_for_storage=True)


def _wait_for_storage(recording: Recording, words: str) -> None:
    """No room is nobody's last word on a recording: it waits, and that is no attempt."""
    with hot_write():
        _still_wanted(recording).update(
            waits_for_storage=True, error=words, lease_until=None, due_at=timezone.now() + STORAGE_PAUSE
        )


def _store(recording: Recording, content: IO[bytes], kind: str) -> None:
    """The same bytes are stored once; others replace what was there, and links given out lead to them."""
    size = content.seek(0, os.SEEK_END)
    content.seek(0)
    sha256 = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    content.seek(0)
    if recording.file and recording.sha256 == sha256 and not files.missing(str(recording.file)):
        _name_file(recording, {})
        return
    name = f"{timezone.now():%Y/%m/%d}/{recording.uuid}-{secrets.token_hex(4)}.{kind}"
    files.save(name, content)
    values = {"file": name, "content_type": audio.TYPES[kind], "size": size, "sha256": sha256}
    _name_file(recording, {**values, "company": recording.call.company_id, "stored_at": timezone.now()})


def _name_file(recording: Recording, values: dict[str, Any]) -> None:
    """The recording is stored, and has a new file where `values` name one."""
    with hot_write():
        lock_drain()
        row = Recording.objects.get(pk=recording.pk)
        if row.state == State.DELETED:
            return
        if values and not files.adopt(values["file"]):
            raise Temporary("storing the recording took too long")
        if values and row.file:
            files.drop([str(row.file)])
        Recording.objects.filter(pk=row.pk).update(
            **values, state=State.STORED, due_at=None, lease_until=None, attempts=0, error="", waits_for_storage=False
        )
        if values:
            waiting_for_storage().update(waits_for_storage=False)
            announce([row.call_id], "audio")


# --- Links ------------------------------------------------------------------------------------------------------------


def link(recording: Recording) -> str:
    """An address that anybody who has it can fetch the audio from, until it is revoked or the recording deleted."""
    proof = _signer.signature(f"{recording.uuid}:{recording.revision}")
    extension = str(recording.file.name).rsplit(".", 1)[-1]
    return f"{settings.PUBLIC_URL}/recordings/{recording.uuid}/{proof}.{extension}"


def by_link(uuid: str, proof: str) -> Recording | None:
    """The recording behind a link; None when it is forged or revoked."""
    recording = Recording.objects.filter(uuid=uuid, state=State.STORED).first()
    if recording is None:
        return None
    try:
        _signer.unsign(f"{recording.uuid}:{recording.revision}:{proof}")
    except signing.BadSignature:
        return None
    return recording


def revoke(recording: Recording, by: str) -> None:
    """Links given out so far stop working; CRMs that keep a link are asked to take the new one."""
    with hot_write():
        lock_drain()
        Recording.objects.filter(pk=recording.pk).update(revision=F("revision") + 1)
        Decision.objects.create(call_id=recording.call_id, kind="recording", code="links_revoked", details={"by": by})
        announce([recording.call_id], "audio")
