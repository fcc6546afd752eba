"""Calls whose end never came: the PBX's history ends them; where it cannot, we do and say why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone, translation

from outbound.errors import Rejected, Temporary
from telephony import history, passport, watchdog
from telephony.models import Call, HistoryRun
from telephony.providers import registry
from tests.telephony.conftest import Pbx, finish
from tests.telephony.test_inbox import Line, drain

pytestmark = pytest.mark.django_db


@pytest.fixture
def silent(pbx: Pbx, clock: Any) -> Line:
    """A call of which everything came but its end, some minutes ago."""
    line = Line(pbx.connection)
    line.leg("Appeared", 1)
    line.leg("Connected", 2)
    line.leg("Disconnected", 3)
    drain()
    assert watchdog.close_silent_calls() == 0
    assert not HistoryRun.objects.exists()
    clock.shift(timedelta(minutes=5))
    return line


def close() -> Call:
    watchdog.close_silent_calls()
    drain()
    return Call.objects.get()


def said(call: Call) -> list[str]:
    """What the passport says of events of our own."""
    with translation.override("en"):
        return [event.body for event in passport.compose(call, {}).events if event.ours]


def test_what_the_history_knows_ends_the_call(silent: Line, pbx: Pbx) -> None:
    assert close().outcome == ""
    pbx.remember("E1", ago=timedelta(minutes=5), talk=30)
    run = finish(HistoryRun.objects.get())
    assert (run.kind, run.corrected) == ("watchdog", 1)
    call = close()
    assert (call.outcome, call.talk_seconds) == ("answered", 30)
    assert "history" in said(call)[0]
    assert HistoryRun.objects.count() == 1


def test_what_the_history_does_not_know_is_closed_with_that_reason(silent: Line) -> None:
    assert close().outcome == ""
    assert close().outcome == ""  # it is being asked
    finish(HistoryRun.objects.get())
    call = close()
    assert (call.state, call.outcome) == ("finished", "answered")
    assert "does not know the call" in said(call)[0]
    assert watchdog.close_silent_calls() == 0


def test_when_the_pbx_cannot_be_asked_patience_ends(silent: Line, pbx: Pbx, clock: Any) -> None:
    def fail() -> None:
        raise Temporary("the PBX is asleep")

    pbx.before = fail
    assert close().outcome == ""
    run = HistoryRun.objects.get()
    while finish(run).state == "open":
        assert close().outcome == ""
        clock.move_to(run.not_before)
    assert timedelta(minutes=10) < timezone.now() - run.created_at < timedelta(hours=1)
    assert "could not be asked (the PBX is asleep)" in said(close())[0]


def test_a_history_that_is_refused_is_not_waited_for(silent: Line, pbx: Pbx) -> None:
    def refuse() -> None:
        raise Rejected("not for this tariff")

    pbx.before = refuse
    close()
    finish(HistoryRun.objects.get())
    assert close().outcome == "answered"


def test_a_pbx_without_a_history_has_its_calls_closed_at_once(silent: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = registry.get(silent.connection.provider)
    monkeypatch.setattr(type(provider), "capabilities", frozenset())
    call = close()
    assert call.outcome == "answered"
    assert not HistoryRun.objects.exists()
    assert said(call) == ["The PBX never said how this call ended, so it was closed."]


def test_a_call_that_goes_on_is_not_closed(silent: Line, pbx: Pbx, clock: Any) -> None:
    pbx.remember("E1", ago=timedelta(minutes=5), ended_at=None, why=None)
    close()
    finish(HistoryRun.objects.get())
    assert close().outcome == ""
    assert HistoryRun.objects.count() == 1  # not asked again at once
    clock.shift(watchdog.BETWEEN + timedelta(seconds=1))
    assert close().outcome == ""
    assert HistoryRun.objects.count() == 2
    finish(HistoryRun.objects.get(state="open"))
    clock.shift(watchdog.LONGEST)  # nobody talks for so long
    close()
    finish(HistoryRun.objects.get(state="open"))
    assert close().state == "finished"


def test_what_comes_after_the_look_is_looked_for_anew(silent: Line, clock: Any) -> None:
    close()
    finish(HistoryRun.objects.get())
    clock.shift(timedelta(seconds=1))
    silent.leg("Appeared", 1, extension="102")
    drain()
    clock.shift(timedelta(minutes=6))
    assert close().outcome == ""
    assert len(history.due()) == 1
