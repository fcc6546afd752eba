"""A process that must end hands back what it has under way: nobody waits for its leases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from telephony import history, recordings
from telephony.models import Recording
from tests.factories import HistoryRunFactory, RecordingFactory

pytestmark = pytest.mark.django_db


def test_a_recording_that_is_being_fetched_can_be_fetched_by_the_next(monkeypatch: pytest.MonkeyPatch):
    row = RecordingFactory.create(state=Recording.State.READY, due_at=timezone.now() - timedelta(seconds=1))
    other = RecordingFactory.create(
        state=Recording.State.READY, due_at=row.due_at, lease_until=timezone.now() + recordings.LEASE
    )
    due: list[list[int]] = []

    def ends_meanwhile(self: Any, http: Any, secrets: Any, recording: str, url: str) -> None:
        due.append(recordings.due())
        recordings.hand_back()
        due.append(recordings.due())

    monkeypatch.setattr(type(row.call.connection.protocol), "recording", ends_meanwhile)
    recordings.fetch(row.pk)
    assert due == [[], [row.pk]]
    other.refresh_from_db()
    assert other.lease_until is not None
    recordings.hand_back()
    other.refresh_from_db()
    assert other.lease_until is not None


def test_a_look_into_a_history_can_be_taken_up_by_the_next(monkeypatch: pytest.MonkeyPatch):
    run = HistoryRunFactory.create()
    due: list[list[int]] = []

    def ends_meanwhile(*_: Any) -> list[Any]:
        due.append(history.due())
        history.hand_back()
        due.append(history.due())
        return []

    monkeypatch.setattr(history, "_ask", ends_meanwhile)
    history.work(run.pk)
    assert due == [[], [run.pk]]
