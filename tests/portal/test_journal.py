"""The journal: what its filters find, how its pages follow each other, what it costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrations.journal import CrmJournalFilter
from telephony import journal
from tests import factories as make
from tests.portal.conftest import World


def found(world: World, **asked: str) -> set[int]:
    return {call.pk for call in CrmJournalFilter(world.company, asked).calls()}


@pytest.mark.parametrize(
    "spelling", ["+79261112233", "8 (926) 111-22-33", "7926 111 22 33", "9261112233", "111-22-33", "1112233"]
)
def test_any_spelling_of_a_number_is_found(mine: World, spelling: str) -> None:
    call = make.CallFactory(connection=mine.connection, client_phone="+79261112233")
    assert found(mine, q=spelling) == {call.pk}


def test_a_client_is_found_by_name(mine: World) -> None:
    client = make.ClientFactory(company=mine.company, name="Мария Кузнецова")
    make.ClientPhoneFactory(client=client, phone="+79990001122")
    call = make.CallFactory(connection=mine.connection, client_phone="+79990001122")
    assert found(mine, q="кузнецова") == {call.pk}
    assert found(mine, q="Мария") == {call.pk}
    assert found(mine, q="никто") == set()


def test_filters(mine: World) -> None:
    old = make.CallFactory(connection=mine.connection, started_at=timezone.now() - timedelta(days=40), outcome="missed")
    out = make.CallFactory(
        connection=mine.connection, direction="out", outcome="no_answer", virtual_number="+74990000001"
    )
    make.VirtualNumberFactory(connection=mine.connection, number="+74990000001")
    everything = {mine.call.pk, old.pk, out.pk}
    assert found(mine) == everything
    assert found(mine, period="month") == {mine.call.pk, out.pk}
    days = [str(timezone.localdate() - timedelta(days=days)) for days in (41, 39)]
    assert found(mine, since=days[0], until=days[1]) == {old.pk}
    assert found(mine, direction="out") == {out.pk}
    assert found(mine, outcome="missed") == {old.pk}
    assert found(mine, employee=str(mine.employee.uuid)) == {mine.call.pk}
    assert found(mine, connection=str(mine.connection.uuid)) == everything
    assert found(mine, line="+74990000001") == {out.pk}
    assert found(mine, recording="yes") == {mine.call.pk}
    assert found(mine, recording="no") == {old.pk, out.pk}
    assert found(mine, direction="nonsense", period="nonsense") == everything


def test_problems_are_found(mine: World) -> None:
    parked = make.CallSyncFactory(call__connection=mine.connection, integration=mine.integration, parked=True)
    failing = make.CallSyncFactory(call__connection=mine.connection, integration=mine.integration, noted=0, error="503")
    waits = make.CallSyncFactory(
        call__connection=mine.connection, integration=mine.integration, state="waiting", wanted=0, noted=0
    )
    assert found(mine, crm="problem") == {parked.call_id, failing.call_id}
    assert found(mine, crm="waiting") == {waits.call_id}
    assert found(mine, crm="written") == {mine.call.pk}


def test_pages_follow_each_other_without_a_gap(mine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PAGE", 4)
    at = timezone.now() - timedelta(hours=1)
    for n in range(10):
        make.CallFactory(connection=mine.connection, started_at=at - timedelta(seconds=n // 3))
    calls = CrmJournalFilter(mine.company, {}).calls()
    seen: list[int] = []
    page = journal.page(calls)
    assert page.first
    assert not page.newer
    while True:
        seen += [call.pk for call in page.calls]
        if not page.older:
            break
        page = journal.page(calls, before=page.older)
    assert len(seen) == len(set(seen)) == 11
    back = journal.page(calls, after=page.newer)
    assert [call.pk for call in back.calls] == seen[4:8]
    assert journal.page(calls, after=back.newer).first
    assert journal.page(calls, before="nonsense").calls


def test_live_calls_stand_on_top(mine: World, owner: Client) -> None:
    live = make.CallFactory(
        connection=mine.connection, state="ringing", started_at=timezone.now() - timedelta(minutes=1)
    )
    page = journal.page(CrmJournalFilter(mine.company, {}).calls())
    assert [call.pk for call in page.live] == [live.pk]
    assert [call.pk for call in page.calls] == [mine.call.pk]
    part = owner.get("/calls/", headers={"X-Part": "1"}).content.decode()
    assert "cb-now" in part
    assert "<html" not in part


def test_what_a_page_costs_does_not_grow(mine: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(mine.company)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/calls/").status_code == 200
        assert not [query for query in captured if "COUNT(" in query["sql"].upper()]
        return len(captured)

    ringing = make.CallFactory(connection=mine.connection, state="ringing")
    make.ParticipantFactory(call=ringing, employee=mine.employee)
    queries()
    few = queries()
    for n in range(20):
        employee = make.EmployeeFactory(company=mine.company)
        call = make.CallFactory(
            connection=mine.connection, employee=employee, state="answered" if n % 5 == 0 else "finished"
        )
        make.ParticipantFactory(call=call, employee=employee)
        make.RecordingFactory(call=call, content=b"audio")
        integration = make.IntegrationFactory(credential__company=mine.company)
        make.CallSyncFactory(call=call, integration=integration)
    assert queries() == few
