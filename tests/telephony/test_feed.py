"""The calls in the order in which they changed: whoever writes is noted, nothing is told twice or left out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from telephony import calls, directory, feed, inbox, keeping, live, recordings, trials
from telephony.calls import Told
from telephony.feed import SETTLED, Place
from telephony.hot import hot_write, lock_drain
from telephony.models import Call, CallGone
from telephony.providers.base import Alias, LegState
from tests import factories as make
from tests.telephony.test_fold import at, leg

pytestmark = pytest.mark.django_db
NOW = datetime.fromisoformat("2026-03-02T10:00:00+00:00")


def told(company: Any, place: Place | None = None, limit: int = 100) -> list[Any]:
    """Uuids of what has changed since, seen when all of it is settled."""
    with time_machine.travel(timezone.now() + SETTLED + timedelta(seconds=1)):
        return [row.uuid for row in feed.since(company, place or Place(), limit)]


def newest(company: Any) -> Place:
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        return Place.of(feed.since(company, Place(), 1000)[-1])


def kept(**days: int) -> Callable[[Call], None]:
    def delete_old(call: Call) -> None:
        type(call.company).objects.update(**days)
        with time_machine.travel(timezone.now() + timedelta(days=91)):
            keeping.delete_old()

    return delete_old


WRITERS: dict[str, Callable[[Call], Any]] = {
    "announced": lambda call: in_drain(lambda: inbox.announce([call.pk])),
    "touched": lambda call: live.touch(call.pk),
    "client": lambda call: in_drain(lambda: feed.link_client(call.pk, make.ClientFactory(company=call.company).pk)),
    "recording asked for": lambda call: recordings.request_again(call.recordings.get()),
    "links revoked": lambda call: recordings.revoke(call.recordings.get(), by="somebody"),
    "recording deleted": kept(recordings_kept_days=90),
}


def in_drain(work: Callable[[], Any]) -> None:
    with hot_write():
        lock_drain()
        work()


@pytest.mark.parametrize("writer", WRITERS)
def test_every_change_is_noted(writer: str):
    with time_machine.travel(NOW, tick=True):
        state = "stored" if writer == "recording deleted" else "failed"
        row: Any = make.RecordingFactory(call=make.CallFactory(), state=state, stored_at=timezone.now())
        place = newest(row.call.company)
        assert told(row.call.company, place) == []
        WRITERS[writer](row.call)
        row.call.refresh_from_db()
        later = timedelta(days=91) if writer == "recording deleted" else timedelta(0)
        with time_machine.travel(timezone.now() + later):
            assert told(row.call.company, place) == [row.call.uuid]


def test_a_change_is_told_when_clocks_agree_that_it_is_past():
    call: Any = make.CallFactory()
    assert feed.since(call.company, Place(), 10) == []
    assert told(call.company) == [call.uuid]


def test_pages_follow_each_other_through_one_moment():
    connection_: Any = make.ConnectionFactory()
    rows_ = [make.CallFactory(connection=connection_, changed_at=NOW) for _ in range(5)]
    gone = [CallGone.objects.create(company=connection_.company, uuid=rows_[0].uuid, changed_at=NOW) for _ in range(3)]
    place, seen = Place(), list[tuple[Any, int]]()
    while rows := feed.since(connection_.company, place, 2):
        seen += [(type(row), row.pk) for row in rows]
        place = Place.read(str(Place.of(rows[-1])))
    assert seen == [(type(row), row.pk) for row in [*rows_, *gone]]


@pytest.mark.parametrize("text", ["", "1", "a-b-c", "1-2-3-4", "99999999999999999999999-0-1"])
def test_what_is_no_place_is_none(text: str):
    with pytest.raises(ValueError):
        Place.read(text)


def test_a_removed_test_call_is_gone():
    call: Any = make.CallFactory(source="trial")
    in_drain(lambda: trials.delete(call))
    (row,) = CallGone.objects.all()
    assert (row.uuid, row.into, row.company) == (call.uuid, None, call.company)


def test_other_companies_calls_are_not_told():
    make.CallFactory()
    assert told(make.CompanyFactory()) == []


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL reads a table of so few rows whole")
def test_the_database_looks_into_the_index():
    call: Any = make.CallFactory()
    for rows, index in zip(
        feed.changes(call.company, Place(NOW, False, 7)), ("call_changed", "gone_changed"), strict=True
    ):
        plan = rows[:50].explain()
        assert index in plan
        assert "TEMP B-TREE" not in plan


def test_a_part_of_a_call_is_gone_into_the_whole():
    """The PBX says late that what stood apart belongs together."""
    row: Any = make.ConnectionFactory()
    whole, part = (make.CallFactory(connection=row, key=key) for key in ("E1", "E2"))
    place = newest(row.company)
    told_together = Told()
    told_together.facts[row.pk, "E1"] = [leg("L1", 1, LegState.TALKING, 0), Alias(call="E1", at=at(1), other="E2")]
    directory.refresh()
    in_drain(lambda: calls.take_in(told_together))
    assert set(told(row.company, place)) == {whole.uuid, part.uuid}
    (gone,) = CallGone.objects.all()
    assert (gone.uuid, gone.into) == (part.uuid, whole.uuid)
