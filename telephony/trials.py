"""Test calls: played by ourselves, on the way that every call takes, so that a person sees what becomes of one.

A test call is a fold over its events like any other; only that we write them, one for each stage of its script. What
the next stage is, and when, stands in the last of them, so whoever comes may play on.
"""

from __future__ import annotations

import io
import math
import struct
import uuid
import wave
from datetime import datetime

from django.utils import timezone

from . import feed, files, inbox
from .events import TRIAL_PATH, script_of, trial_event
from .fold import CallState, Source
from .hot import Constant, after_commit, hot_write, lock_drain
from .models import Call, Connection, InboxEvent
from .providers.base import Audio
from .scripts import Script


def new_key() -> str:
    """What a test call has in place of the PBX's id: no PBX has such a one."""
    return f"test-{uuid.uuid4()}"


def begin(connection: Connection, script: Script) -> Call:
    """Play the first stage; the others follow by themselves."""
    from .actors import play_trial

    with hot_write():
        lock_drain()
        call = tell(connection, script, timezone.now())
        after_commit(play_trial.send, call.pk)
    return call


def tell(connection: Connection, script: Script, at: datetime) -> Call:
    """Tell of a stage, and fold; the call as it is then. Inside a transaction of the caller's, after `lock_drain`."""
    inbox.fold_now(trial_event(connection.pk, script, at))
    return Call.objects.get(connection=connection, key=script.call)


def play(call_id: int) -> float | None:
    """Play the next stage if its time has come; seconds until the one after it, None when the call is over."""
    with hot_write():
        lock_drain()
        told = InboxEvent.objects.filter(call=call_id, path=TRIAL_PATH).order_by("-id").select_related("connection")
        last = told.first()
        following = script_of(last).following if last else None
        if last is None or following is None:
            return None
        now = timezone.now()
        wait = script_of(last).seconds - (now - last.received_at).total_seconds()
        if wait > 0:
            return wait
        tell(last.connection, following, now)
    return float(following.seconds) if following.following else None


def unfinished() -> list[int]:
    """Ids of test calls that are not over."""
    played = Call.objects.filter(source=Constant(Source.TRIAL)).exclude(state=CallState.FINISHED)
    return list(played.order_by("id").values_list("pk", flat=True))


def delete(call: Call) -> None:
    """Take a test call out of the journal, with all that is known of it. In a transaction of the caller's, after
    `lock_drain`."""
    if not call.played:
        raise ValueError("only test calls are deleted")
    files.drop(call.recordings.exclude(file="").values_list("file", flat=True))
    feed.note_gone(call)
    call.delete()


# --- Its recording ----------------------------------------------------------------------------------------------------

RATE = 8000
NOTES = (523.25, 659.25, 783.99)
"""Hz: a chord, one after the other."""


def recording() -> Audio:
    """What a recorded test call sounds like: three notes."""
    content = io.BytesIO()
    with wave.open(content, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        for hertz in NOTES:
            sound.writeframes(_note(hertz))
    content.seek(0)
    return Audio(content, "audio/wav")


def _note(hertz: float) -> bytes:
    """Half a second that dies away."""
    length = RATE // 2
    samples = (
        int(12_000 * math.sin(2 * math.pi * hertz * place / RATE) * (1 - place / length)) for place in range(length)
    )
    return b"".join(struct.pack("<h", sample) for sample in samples)
