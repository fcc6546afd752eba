"""How a connection was on each of the last days: told by a row a day, from what is stored anyway."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from telephony import pulse
from telephony.events import HISTORY_PATH
from telephony.models import Connection, ConnectionDay, InboxEvent, Listening
from tests.factories import ConnectionFactory, ExchangeFactory, InboxEventFactory


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with time_machine.travel("2024-05-15 12:00:00+00:00", tick=False) as traveller:
        yield traveller


@pytest.fixture
def connection(db: None) -> Connection:
    row: Connection = ConnectionFactory.create()
    Connection.objects.update(created_at=timezone.now() - timedelta(days=10))
    row.refresh_from_db()
    return row


def ago(**by: float) -> Any:
    return timezone.now() - timedelta(**by)


def test_each_day_says_how_it_was(connection: Connection) -> None:
    for days in (4, 3, 3, 0):
        InboxEventFactory.create(connection=connection, received_at=ago(days=days))
    InboxEventFactory.create(connection=connection, received_at=ago(days=1), path=HISTORY_PATH)  # our own word
    ExchangeFactory.create(account=connection.uuid, at=ago(days=3), status=401)
    pulse.roll_up()
    last = pulse.of([connection])[connection.pk]
    assert [day.code for day in last[:19]] == [""] * 19  # it was not made yet
    assert [day.code for day in last[-6:]] == ["silent", "spoke", "refused", "silent", "silent", "spoke"]
    assert (last[-4].events, last[-4].refused) == (2, 1)


def test_days_are_the_companys(connection: Connection) -> None:
    """In Moscow it is tomorrow three hours before it is in Greenwich."""
    InboxEventFactory.create(connection=connection, received_at=ago(hours=14))
    pulse.roll_up()
    assert [day.code for day in pulse.of([connection])[connection.pk][-2:]] == ["silent", "spoke"]


def test_what_was_counted_stays_when_its_events_are_deleted(connection: Connection, clock: Any) -> None:
    InboxEventFactory.create(connection=connection)
    for _ in range(2):
        pulse.roll_up()
        clock.shift(timedelta(days=1))
    InboxEvent.objects.all().delete()
    pulse.roll_up()
    assert [day.code for day in pulse.of([connection])[connection.pk][-3:]] == ["spoke", "silent", "silent"]


def test_today_is_counted_anew(connection: Connection) -> None:
    for count in (1, 2):
        InboxEventFactory.create(connection=connection)
        pulse.roll_up()
        assert pulse.of([connection])[connection.pk][-1].events == count


def test_minutes_of_a_line_that_is_down(connection: Connection) -> None:
    line = Listening.objects.create(connection=connection, down_since=ago(minutes=1))
    for _ in range(6):
        pulse.note_lines_down()
    pulse.roll_up()
    assert pulse.of([connection])[connection.pk][-1].code == "down"
    line.up_since = timezone.now()
    line.save()
    pulse.note_lines_down()
    assert ConnectionDay.objects.get(connection=connection, day=timezone.now().date()).down_minutes == 6


def test_many_connections_are_no_more_questions(connection: Connection) -> None:
    pulse.roll_up()
    rows = [connection, *ConnectionFactory.create_batch(3)]
    with CaptureQueriesContext(database) as asked:
        pulse.of(Connection.objects.select_related("company").filter(pk__in=[row.pk for row in rows]))
    assert len(asked) == 2  # the connections themselves, and their days
