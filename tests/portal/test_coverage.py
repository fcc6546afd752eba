"""«Полнота»: what the PBX has of each day, what of it is here and in each CRM, and the buttons beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from integrations import coverage as crm_coverage
from integrations import troubles, words
from telephony import coverage
from telephony.models import CoverageDay, HistoryRun
from tests import factories as make
from tests.portal.conftest import World

Kind, State = HistoryRun.Kind, HistoryRun.State


@pytest.fixture(autouse=True)
def noon() -> Iterator[None]:
    """The calls of some minutes ago are of today."""
    with time_machine.travel(timezone.now().replace(hour=9, minute=0), tick=True):
        yield


@pytest.fixture(autouse=True)
def not_of_today(mine: World) -> None:
    mine.connection.created_at = timezone.now() - timedelta(days=60)
    mine.connection.save(update_fields=["created_at"])


def test_days_before_the_connection_are_shown_only_where_something_is_known(mine: World) -> None:
    mine.connection.created_at = timezone.now()
    assert len(coverage.days(mine.connection, 14)) == 1
    make.CallFactory(connection=mine.connection, started_at=timezone.now() - timedelta(days=5))
    assert [day.calls for day in coverage.days(mine.connection, 14)][1:] == [1]


@pytest.fixture
def day(mine: World) -> CoverageDay:
    """Yesterday: 37 calls in the PBX, of which one is not here."""
    yesterday = timezone.localdate() - timedelta(days=1)
    at = timezone.now() - timedelta(days=1)
    lost = {"call": "lost", "at": at.isoformat(), "phone": "+79000000077", "extension": "101", "why": "not_understood"}
    until = coverage.first_moment(mine.company, yesterday + timedelta(days=1))
    return CoverageDay.objects.create(connection=mine.connection, day=yesterday, until=until, told=37, missing=[lost])


def page(client: Client, world: World, **asked: str) -> str:
    response = client.get(reverse("portal:coverage", args=[world.connection.uuid]), asked)
    assert response.status_code == 200
    return response.content.decode()


def test_it_says_how_many_are_here_and_names_the_others(
    mine: World, day: CoverageDay, signed_in: Callable[..., Client]
) -> None:
    text = page(signed_in(mine.company, language="en"), mine)
    assert "36 of 37" in text
    assert "+7 900 000-00-77" in text
    assert "we do not understand what the PBX says of it" in text
    assert "not compared" in text
    make.CallFactory(connection=mine.connection, key="lost")
    text = page(signed_in(mine.company, language="en"), mine)
    assert "37 of 37" in text
    assert "+7 900 000-00-77" not in text


def test_each_integration_says_what_became_of_the_days_calls(mine: World) -> None:
    rows: list[dict[str, Any]] = [
        {"noted": 0},
        {"parked": True, "noted": 0},
        {"state": "waiting", "reason": "unknown_extension"},
        {"state": "skipped", "reason": "internal_call"},
        {"state": "skipped", "reason": "imported"},
    ]
    for changes in rows:
        make.CallSyncFactory(call__connection=mine.connection, integration=mine.integration, **changes)
    make.CallFactory(connection=mine.connection)  # no integration concerned itself with it
    days = coverage.days(mine.connection, 2)
    crm_coverage.attach_crm(mine.connection, days, crm_coverage.integrations_of(mine.connection))
    (found,) = days[0].crm
    assert (found.written, found.on_the_way, found.parked, found.waiting, found.aside) == (1, 1, 1, 1, 1)
    assert sorted(count for _why, count in found.unwanted) == [1, 1]
    assert days[0].calls == 7
    assert [each.seen for each in days[1].crm] == [0]


def test_every_reason_has_a_short_name() -> None:
    """Those that wait for a decision, or are written, are counted on their own."""
    assert words.UNWANTED.keys() == words.REASONS.keys() - {"unknown_extension", "confirmed"}


def test_an_incomplete_yesterday_is_a_trouble(mine: World, day: CoverageDay) -> None:
    mine.history.delete()
    links = [trouble.link for trouble in troubles.of(mine.company)]
    where = reverse("portal:coverage", args=[mine.connection.uuid])
    assert where in links
    make.CallFactory(connection=mine.connection, key="lost")
    assert where not in [trouble.link for trouble in troubles.of(mine.company)]


def test_a_history_that_cannot_be_asked_is_a_trouble(mine: World) -> None:
    mine.history.delete()
    assert not any("asleep" in trouble.text for trouble in troubles.of(mine.company))
    make.HistoryRunFactory(connection=mine.connection, kind=Kind.SCHEDULED, state=State.FAILED, error="asleep")
    assert any("asleep" in trouble.text for trouble in troubles.of(mine.company))
    make.HistoryRunFactory(connection=mine.connection, kind=Kind.SCHEDULED, state=State.DONE)
    assert not any("asleep" in trouble.text for trouble in troubles.of(mine.company))


def test_check_now_asks_once(mine: World, owner: Client) -> None:
    for _ in range(2):
        owner.post(reverse("portal:coverage_check", args=[mine.connection.uuid]))
    run = HistoryRun.objects.get(kind=Kind.SCHEDULED)
    assert run.asked_by is not None
    assert run.state == State.OPEN


def test_an_import_is_asked_for_seen_and_cancelled(mine: World, owner: Client) -> None:
    mine.history.delete()
    where = reverse("portal:history_import", args=[mine.connection.uuid])
    owner.post(where, {"days": "91"})
    assert not HistoryRun.objects.exists()
    owner.post(where, {"days": "30"})
    owner.post(where, {"days": "7", "into_crm": "on"})  # one at a time
    run = HistoryRun.objects.get()
    assert (run.kind, run.into_crm) == (Kind.IMPORT, False)
    assert timedelta(days=30) <= run.until - run.since < timedelta(days=31)
    cancel = reverse("portal:history_cancel", args=[run.uuid])
    assert cancel in page(owner, mine)
    owner.post(cancel)
    run.refresh_from_db()
    assert run.state == State.CANCELLED
    assert cancel not in page(owner, mine)
    owner.post(where, {"days": "7", "into_crm": "on"})
    assert HistoryRun.objects.get(state=State.OPEN).into_crm


def test_a_pbx_without_a_history_says_so(mine: World, owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(mine.connection.protocol), "capabilities", frozenset())
    text = page(owner, mine)
    assert reverse("portal:coverage_check", args=[mine.connection.uuid]) not in text
    assert owner.post(reverse("portal:history_import", args=[mine.connection.uuid]), {"days": "7"}).status_code == 404


def test_the_part_that_lives_stands_alone(mine: World, day: CoverageDay, owner: Client) -> None:
    where = reverse("portal:coverage", args=[mine.connection.uuid])
    part = owner.get(where, headers={"X-Part": "1"}).content.decode()
    assert "<html" not in part
    assert "mine words" in part
    assert len(part) < len(page(owner, mine, all="1"))


def test_what_the_page_costs_does_not_grow(mine: World, owner: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            page(owner, mine, all="1")
        return len(captured)

    queries()  # the first visit also notes the session
    few = queries()
    for back in range(1, 20):
        at = timezone.now() - timedelta(days=back)
        make.CallSyncFactory(call__connection=mine.connection, call__started_at=at, integration=mine.integration)
        until = at + timedelta(days=1)
        CoverageDay.objects.create(connection=mine.connection, day=timezone.localdate(at), until=until, told=1)
    assert queries() == few
