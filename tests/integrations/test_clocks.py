"""Our own clock is put back: work in CRMs goes on, and nothing pops up that is long over by the PBX's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from integrations import claims, clocks, crm_events
from integrations.directory import of_connection
from integrations.facts import LIVE, facts_of
from integrations.models import CallSync, Lane
from tests.factories import (
    CallFactory,
    CallSyncFactory,
    ConnectionFactory,
    CrmEventFactory,
    IntegrationFactory,
    LaneFactory,
)

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)
BACK = timedelta(days=400)
SECOND = timedelta(seconds=1)


def test_nothing_waits_for_the_time_before_the_step():
    far = NOW + BACK
    row = CallSyncFactory.create(wanted=2, noted=1, due_at=far, not_before=far, lease_until=far)
    lane = LaneFactory.create(account=row.credential.account, lease_until=far, open_at=far)
    with time_machine.travel(NOW, tick=False):
        assert claims.accounts_with_work() == []
        clocks.mend()
    with time_machine.travel(NOW + SECOND, tick=False):
        assert claims.accounts_with_work() == [row.credential_id]
    lane.refresh_from_db()
    assert (lane.lease_until, lane.open_at) == (NOW, NOW)


def test_what_waits_for_good_reason_goes_on_waiting():
    lease, hour = NOW + claims.LEASE, NOW + timedelta(hours=1)
    CallSyncFactory.create(wanted=2, noted=1, due_at=NOW, not_before=hour, lease_until=lease)
    LaneFactory.create(lease_until=lease, open_at=hour)
    with time_machine.travel(NOW, tick=False):
        clocks.mend()
    assert CallSync.objects.filter(not_before=hour, lease_until=lease).exists()
    assert Lane.objects.filter(open_at=hour, lease_until=lease).exists()


def test_events_of_crms_whose_message_was_lost_are_found():
    with time_machine.travel(NOW + BACK, tick=False):
        event = CrmEventFactory.create()
    with time_machine.travel(NOW, tick=False):
        assert crm_events.waiting() == [event.pk]


@pytest.mark.parametrize(("received", "started", "live"), [(0, 0, True), (0, 1, False), (1, 0, False), (-1, -1, True)])
def test_what_pops_up_is_new_by_both_clocks(received: int, started: int, live: bool):
    """`received`, `started`: how many times `LIVE` ago."""
    connection = ConnectionFactory.create()
    IntegrationFactory.create(company=connection.company, credential__company=connection.company).connections.add(
        connection
    )
    call = CallFactory.create(
        connection=connection, state="ringing", started_at=NOW - started * LIVE, first_received_at=NOW - received * LIVE
    )
    (wanting,) = of_connection(connection.pk)
    with time_machine.travel(NOW, tick=False):
        assert facts_of(call, [], [], wanting).live is live
