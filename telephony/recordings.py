"""Recordings: fetched as soon as the PBX has them, stored once, handed out by links of ours that can be revoked."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.core import signing
from django.core.files.base import ContentFile
from django.db.models import Q
from django.utils import timezone

from outbound.errors import OutboundError, Rejected

from .clocks import pull_back
from .exchanges import http_for
from .fold import CallState
from .hot import Constant, hot_write, lock_drain
from .inbox import announce
from .models import Recording

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=5)
MAX_ATTEMPTS = 60
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
        return _fetch(recording)
    finally:
        _under_way.discard(recording.pk)


def hand_back() -> None:
    """The process must end: whoever comes next need not wait for what it was fetching."""
    with hot_write():
        Recording.objects.filter(pk__in=list(_under_way), state=Recording.State.READY).update(lease_until=None)


def _fetch(recording: Recording) -> bool:
    connection = recording.call.connection
    http = http_for(connection, purpose="recording", call_id=recording.call_id, deadline=120)
    try:
        audio = connection.protocol.recording(http, connection.credentials, recording.key, recording.vendor_url)
    except OutboundError as error:
        _later(recording, error.words, error.retry_after, final=isinstance(error, Rejected))
        return False
    if audio is None:
        _later(recording, "the PBX does not have it yet", None, final=False)
        return False
    _store(recording, audio.content, audio.content_type, audio.extension)
    return True


def due(now: datetime | None = None) -> list[int]:
    """Ids of recordings to be fetched now."""
    now = now or timezone.now()
    rows = Recording.objects.filter(state=Recording.State.READY, due_at__lte=now)
    return list(rows.filter(Q(lease_until=None) | Q(lease_until__lt=now)).values_list("id", flat=True)[:500])


def expect_again(now: datetime | None = None) -> int:
    """Recordings that were announced and whose "ready" never came are asked for all the same: the message may have
    been sent while nobody listened. Returns how many."""
    now = now or timezone.now()
    quiet = Recording.objects.filter(
        state=Recording.State.ANNOUNCED,
        call__state=CallState.FINISHED,
        call__ended_at__lt=now - ANNOUNCED_PATIENCE,
        call__ended_at__gt=now - timedelta(days=7),
    )
    ids = list(quiet.values_list("pk", flat=True)[:100])
    with hot_write():
        return Recording.objects.filter(pk__in=ids, state=Recording.State.ANNOUNCED).update(
            state=Recording.State.READY, due_at=now
        )


def request_again(recording: Recording) -> None:
    """Somebody pressed «Запросить запись»: try at once, whatever happened before."""
    with hot_write():
        Recording.objects.filter(pk=recording.pk).exclude(state=Recording.State.STORED).update(
            state=Recording.State.READY, due_at=timezone.now(), lease_until=None, attempts=0, error=""
        )


def forget_leases() -> None:
    """At the start of an installation of one process: nobody is fetching anything."""
    Recording.objects.exclude(lease_until=None).update(lease_until=None)


def mend_after_a_clock_step() -> None:
    """Our clock was put back: no recording waits for the time that it showed before."""
    ready = Recording.objects.filter(state=Constant(Recording.State.READY))
    with hot_write():
        pull_back(ready, "lease_until", LEASE)
        pull_back(ready, "due_at", timedelta(days=1))


def _claim(recording_id: int) -> Recording | None:
    now = timezone.now()
    with hot_write():
        claimed = (
            Recording.objects.filter(pk=recording_id, state=Recording.State.READY, due_at__lte=now)
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
        Recording.objects.filter(pk=recording.pk).update(
            attempts=attempts,
            error=words,
            lease_until=None,
            state=Recording.State.FAILED if over else Recording.State.READY,
            due_at=None if over else timezone.now() + timedelta(seconds=pause),
        )
        if over:
            announce([recording.call_id])


def _store(recording: Recording, content: bytes, content_type: str, extension: str) -> None:
    name = f"{recording.uuid}.{extension}"
    recording.file.save(name, ContentFile(content), save=False)
    with hot_write():
        lock_drain()
        Recording.objects.filter(pk=recording.pk).update(
            file=recording.file.name,
            content_type=content_type,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            state=Recording.State.STORED,
            stored_at=timezone.now(),
            due_at=None,
            lease_until=None,
            error="",
        )
        announce([recording.call_id])


# --- Links ------------------------------------------------------------------------------------------------------------


def link(recording: Recording) -> str:
    """An address that anybody who has it can fetch the audio from, until it is revoked."""
    proof = _signer.signature(f"{recording.uuid}:{recording.revision}")
    extension = str(recording.file.name).rsplit(".", 1)[-1]
    return f"{settings.PUBLIC_URL}/recordings/{recording.uuid}/{proof}.{extension}"


def by_link(uuid: str, proof: str) -> Recording | None:
    """The recording behind a link; None when it is forged or revoked."""
    recording = Recording.objects.filter(uuid=uuid, state=Recording.State.STORED).first()
    if recording is None:
        return None
    try:
        _signer.unsign(f"{recording.uuid}:{recording.revision}:{proof}")
    except signing.BadSignature:
        return None
    return recording


def revoke(recording: Recording) -> None:
    """Links given out so far stop working."""
    Recording.objects.filter(pk=recording.pk).update(revision=recording.revision + 1)
