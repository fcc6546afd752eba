"""A PBX that remembers calls, at a moment that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from telephony import history
from telephony.models import Connection, HistoryRun
from telephony.providers.base import Direction, HistoryLeg, Outcome, Party
from tests.factories import ConnectionFactory, ExtensionFactory

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
"""15:00 in the company's zone."""


class Pbx:
    """A PBX that remembers calls: what the house asks it of its history."""

    def __init__(self, connection: Connection):
        self.connection = connection
        self.legs: list[HistoryLeg] = []
        self.asked: list[tuple[datetime, datetime]] = []
        self.before: Callable[[], Any] = lambda: None

    def history(self, http: Any, secrets: Any, since: datetime, until: datetime) -> Iterable[HistoryLeg]:
        self.asked.append((since, until))
        self.before()
        return [leg for leg in self.legs if since <= leg.started_at <= until]

    def remember(self, call: str, ago: timedelta = timedelta(hours=1), talk: float | None = 20, **more: Any) -> None:
        """An incoming call of 79000000001 to 101, that rang for five seconds; nobody talked if `talk` is None."""
        began = timezone.now() - ago
        answered = None if talk is None else began + timedelta(seconds=5)
        ended = began + timedelta(seconds=5 + (talk or 0))
        usual: dict[str, Any] = {
            "direction": Direction.IN,
            "caller": Party(number="79000000001"),
            "callee": Party("101", "sip:101"),
            "virtual_number": "74950000001",
            "started_at": began,
            "answered_at": answered,
            "ended_at": ended,
            "why": Outcome.MISSED if talk is None else Outcome.ANSWERED,
        }
        self.legs.append(HistoryLeg(call=call, **usual | more))


def finish(run: HistoryRun) -> HistoryRun:
    """Work at it until there is nothing left to do now."""
    while run.pk in history.due():
        history.work(run.pk)
    run.refresh_from_db()
    return run


@pytest.fixture
def clock() -> Any:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def pbx(db: None, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Pbx:
    found = Pbx(ConnectionFactory.create())
    Connection.objects.update(created_at=NOW - timedelta(days=20))
    found.connection.refresh_from_db()
    ExtensionFactory.create(company=found.connection.company, number="101")
    kind = type(found.connection.protocol)
    monkeypatch.setattr(kind, "history", lambda _self, *asked: found.history(*asked))
    return found
