"""The worklist of missed calls: who stands in it, how he leaves it, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from employees.models import Role
from telephony import missed
from telephony.missed import BACK, CLOSED, OPEN, MissedFilter, Row
from telephony.models import Call, MissedNote
from tests import factories as make
from tests.portal.conftest import World

PHONE = "+79261112233"


def ago(**how: float) -> datetime:
    return timezone.now() - timedelta(**how)


def a_call(world: World, at: datetime, direction: str = "in", outcome: str = "missed", **more: Any) -> Call:
    row: Call = make.CallFactory(
        **{"connection": world.connection, "client_phone": PHONE, "employee": world.employee, **more},
        started_at=at,
        direction=direction,
        outcome=outcome,
    )
    return row


def rows(world: World, show: str = OPEN, **asked: str) -> list[Row]:
    return missed.page(MissedFilter(world.company, {"show": show, **asked})).rows


# --- Who stands in it


def test_a_missed_call_waits_until_somebody_talks_with_its_number(mine: World) -> None:
    call = a_call(mine, ago(hours=2))
    assert [row.call for row in rows(mine)] == [call]
    assert rows(mine, BACK) == []
    answer = a_call(mine, ago(hours=1), "out", "answered")
    assert rows(mine) == []
    (row,) = rows(mine, BACK)
    assert (row.call, row.answer, row.after) == (call, answer, 3600)
    again = a_call(mine, ago(minutes=10))
    assert [row.call for row in rows(mine)] == [again]
    assert [row.call for row in rows(mine, BACK)] == [call]


def test_the_client_may_reach_us_himself(mine: World, signed_in: Callable[..., Client]) -> None:
    a_call(mine, ago(hours=2))
    a_call(mine, ago(hours=1), "in", "answered")
    assert rows(mine) == []
    text = signed_in(mine.company, language="en").get("/missed/?show=back").content.decode()
    assert "the client called again" in text


def test_a_conversation_that_goes_on_counts(mine: World) -> None:
    a_call(mine, ago(hours=2))
    a_call(mine, ago(minutes=1), "out", "", state="answered", answered_at=ago(seconds=50))
    assert rows(mine) == []


@pytest.mark.parametrize("outcome", ["missed", "busy", "cancelled", "rejected", "failed"])
def test_whatever_the_reason_nobody_took_it(mine: World, outcome: str) -> None:
    a_call(mine, ago(hours=1), outcome=outcome)
    assert len(rows(mine)) == 1


def test_a_test_call_is_owed_no_answer_and_is_none(mine: World) -> None:
    a_call(mine, ago(hours=3), source="trial")
    call = a_call(mine, ago(hours=2))
    a_call(mine, ago(hours=1), "out", "answered", source="trial")
    assert [row.call for row in rows(mine)] == [call]


def test_who_is_in_no_list(mine: World, theirs: World) -> None:
    make.EmployeePhoneFactory(employee=mine.employee, phone="+79160000001")
    a_call(mine, ago(hours=1), client_phone="+79160000001")
    a_call(mine, ago(hours=1), client_phone="")
    a_call(mine, ago(hours=1), "out", "no_answer")
    a_call(mine, ago(days=8))
    a_call(theirs, ago(hours=1))
    a_call(mine, ago(minutes=1), state="ringing", outcome="", client_phone="+79260000077")
    assert rows(mine) == []
    assert len(rows(mine, period="month")) == 1


def test_another_companys_conversation_is_none_of_ours(mine: World, theirs: World) -> None:
    a_call(mine, ago(hours=2))
    a_call(theirs, ago(hours=1), "out", "answered")
    assert len(rows(mine)) == 1


def test_how_often_and_what_was_tried(mine: World) -> None:
    a_call(mine, ago(hours=9))
    a_call(mine, ago(hours=8), "out", "answered")
    first = a_call(mine, ago(hours=3))
    a_call(mine, ago(hours=2.5), "out", "no_answer", employee=None, extension="107")
    last = a_call(mine, ago(hours=2))
    a_call(mine, ago(hours=1), "out", "busy")
    (row,) = rows(mine)
    assert (row.call, row.times, row.since) == (last, 2, first.started_at)
    assert [each.who for each in row.attempts] == [mine.employee.name]
    (back,) = rows(mine, BACK)
    assert back.times == 1


def test_calls_of_one_moment_are_one_row(mine: World) -> None:
    at = ago(hours=1)
    twins = [a_call(mine, at), a_call(mine, at)]
    (row,) = rows(mine)
    assert (row.call, row.times) == (twins[1], 2)


def test_filters(mine: World) -> None:
    make.VirtualNumberFactory(connection=mine.connection, number="+74990000001")
    a_call(mine, ago(hours=1), virtual_number="+74990000001")
    a_call(mine, ago(hours=2), client_phone="+79265556677")
    assert [row.call.client_phone for row in rows(mine, line="+74990000001")] == [PHONE]
    assert [row.call.client_phone for row in rows(mine, q="8 926 555-66-77")] == ["+79265556677"]
    assert len(rows(mine, period="nonsense", line="nonsense")) == 2
    assert len(rows(mine, show="nonsense")) == 2


def test_pages_follow_each_other(mine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed, "PAGE", 2)
    for n in range(5):
        a_call(mine, ago(hours=n + 1), client_phone=f"+7926555000{n}")
    asked = MissedFilter(mine.company, {})
    page, seen = missed.page(asked), []
    while True:
        seen += [row.call.client_phone[-1] for row in page.rows]
        if not page.older:
            break
        page = missed.page(asked, page.older)
    assert seen == ["0", "1", "2", "3", "4"]
    assert not page.first


# --- Whose client


def test_the_responsible_is_the_mapped_manager(mine: World, owner: Client) -> None:
    make.EmployeeMappingFactory(integration=mine.integration, employee=mine.employee, crm_user="17")
    client = make.ClientFactory(company=mine.company, source=mine.credential.source, manager="17", name="Mapped")
    a_call(mine, ago(hours=1), client=client, employee=None)
    assert mine.employee.name in owner.get("/missed/").content.decode()


def test_the_manager_of_another_account_is_not_meant(mine: World, owner: Client) -> None:
    make.EmployeeMappingFactory(integration=mine.integration, employee=mine.employee, crm_user="17")
    client = make.ClientFactory(company=mine.company, source="elsewhere:1", manager="17", name="Not mapped")
    a_call(mine, ago(hours=1), client=client, employee=None)
    assert mine.employee.name not in owner.get("/missed/").content.decode()


def test_the_responsible_is_known_by_his_extension(mine: World, owner: Client) -> None:
    client = make.ClientFactory(company=mine.company, manager_extension="101")
    a_call(mine, ago(hours=1), client=client, employee=None)
    assert mine.employee.name in owner.get("/missed/").content.decode()


# --- Closed by hand


def test_a_call_is_closed_with_a_note_and_opened_again(mine: World, signed_in: Callable[..., Client]) -> None:
    call = a_call(mine, ago(hours=1))
    client = signed_in(mine.company, Role.OPERATOR, "en")
    client.post(reverse("portal:missed_close", args=[call.uuid]), {"words": "A wrong number"})
    assert rows(mine) == []
    text = client.get("/missed/?show=closed").content.decode()
    assert "A wrong number" in text
    assert str(MissedNote.objects.get().by) in text
    client.post(reverse("portal:missed_close", args=[call.uuid]), {"words": "Twice"})
    assert MissedNote.objects.get().words == "Twice"
    client.post(reverse("portal:missed_reopen", args=[call.uuid]))
    assert len(rows(mine)) == 1
    assert rows(mine, CLOSED) == []


def test_a_call_missed_after_that_opens_the_number(mine: World, owner: Client) -> None:
    owner.post(reverse("portal:missed_close", args=[a_call(mine, ago(hours=2)).uuid]))
    again = a_call(mine, ago(hours=1))
    assert [row.call for row in rows(mine)] == [again]
    assert rows(mine, CLOSED) == []


def test_a_note_that_is_too_long_closes_nothing(mine: World, signed_in: Callable[..., Client]) -> None:
    call = a_call(mine, ago(hours=1))
    client = signed_in(mine.company, language="en")
    said = client.post(reverse("portal:missed_close", args=[call.uuid]), {"words": "x" * 501}, follow=True)
    assert "at most 500 characters" in said.content.decode()
    assert len(rows(mine)) == 1


def test_only_a_missed_call_is_closed(mine: World, owner: Client) -> None:
    assert owner.post(reverse("portal:missed_close", args=[mine.call.uuid])).status_code == 404


def test_who_only_reads_has_no_buttons(mine: World, signed_in: Callable[..., Client]) -> None:
    call = a_call(mine, ago(hours=1))
    text = signed_in(mine.company, Role.READ_ONLY).get("/missed/").content.decode()
    assert reverse("portal:call", args=[call.uuid]) in text
    assert reverse("portal:missed_close", args=[call.uuid]) not in text
    assert 'action="/dial/"' not in text


def test_the_page_lives_by_its_part(mine: World, owner: Client) -> None:
    a_call(mine, ago(hours=1))
    assert 'data-live="/missed/?q=22"' in owner.get("/missed/?q=22").content.decode()
    part = owner.get("/missed/", headers={"X-Part": "1"}).content.decode()
    assert "<html" not in part
    assert "cb-table" in part


# --- What it costs


def many(world: World, count: int) -> None:
    """Incoming and outgoing calls of `count // 10` clients over ten days."""
    now = timezone.now()
    Call.objects.bulk_create(
        Call(
            company=world.company,
            connection=world.connection,
            key=f"many-{n}",
            direction="in" if n % 3 else "out",
            state="finished",
            outcome="answered" if n % 4 else "missed",
            client_phone=f"+7926{n * 7919 % (count // 10):07}",
            started_at=now - timedelta(days=10) * n / count,
            answered_at=now if n % 4 else None,
        )
        for n in range(count)
    )


@pytest.mark.parametrize("show", [OPEN, BACK, CLOSED])
def test_what_a_page_costs_does_not_grow(mine: World, owner: Client, show: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert owner.get(f"/missed/?show={show}").status_code == 200
        return len(captured)

    def one(n: int) -> None:
        call = a_call(
            mine,
            ago(hours=3),
            client_phone=f"+7926555{n:04}",
            client=make.ClientFactory(company=mine.company, manager_extension="101", manager=str(n)),
        )
        if show == BACK:
            a_call(mine, ago(hours=1), "out", "answered", client_phone=call.client_phone)
        if show == CLOSED:
            missed.close(call, mine.member.user, "")

    one(0)
    queries()
    few = queries()
    for n in range(1, 30):
        one(n)
    assert queries() == few


def test_twenty_thousand_calls_are_asked_by_their_indexes(mine: World, owner: Client) -> None:
    many(mine, 20_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as captured:
        text = owner.get("/missed/").content.decode()
    assert text.count("<tr>") == missed.PAGE + 1
    assert len(captured) <= 13
    assert not [query for query in captured if "COUNT(*)" in query["sql"]]
    asked = MissedFilter(mine.company, {}).calls().order_by("-started_at", "-id")[: missed.PAGE + 1]
    plan = asked.explain()
    assert "call_missed" in plan
    assert "call_by_client" in plan
