"""What is not written: found by its cause, tried again as a whole or one by one, and decided where nobody can tell."""

from __future__ import annotations

import html
import zoneinfo
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from employees.models import Role
from integrations import actors, plan, unwritten
from integrations.models import CallSync, Credential, Lane
from integrations.unwritten import Chosen, Group
from outbound.errors import OutboundError, Rejected, Temporary
from tests import factories as make
from tests.portal.conftest import World

OVERVIEW, ACT = "/unwritten/", "/unwritten/act/"


def failed(world: World, error: OutboundError, *, parked: bool = True, ago: int = 0, **fields: Any) -> CallSync:
    """A call of this company that the CRM has not got, as the worker leaves it."""
    call = make.CallFactory.create(connection=world.connection)
    return make.CallSyncFactory.create(
        call=call,
        integration=fields.pop("integration", world.integration),
        noted=0,
        parked=parked,
        error_kind=fields.pop("error_kind", error.kind),
        error=f"{error.code} {error.words}".strip(),
        cause=error.cause[:200],
        failed_at=timezone.now() - timedelta(minutes=ago),
        **fields,
    )


def doubtful(world: World) -> CallSync:
    return failed(world, Temporary("no answer in time", code="timeout"), error_kind=unwritten.DOUBT)


def causes(world: World) -> list[Group]:
    return unwritten.groups(Chosen(Credential.objects.filter(company=world.company)))


def page(client: Client, where: str = OVERVIEW) -> str:
    response = client.get(where)
    assert response.status_code == 200
    return response.content.decode()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The accounts that the workers were told of."""
    found: list[int] = []
    monkeypatch.setattr(actors.sync_calls, "send", found.append)
    return found


# --- By cause ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (Rejected("user 17 is gone", code="E1"), Rejected("user 4711 is gone", code="E1"), True),
        (Rejected("no call a1b2-c3", code="E"), Rejected("no call  d4e5-f6", code="E"), True),
        (Rejected("see https://one.example/x"), Rejected("see https://two.example/"), True),
        (Rejected("user 17 is gone", code="E1"), Rejected("user 17 is gone", code="E2"), False),
        (Rejected("user 17 is gone"), Rejected("lead 17 is gone"), False),
    ],
)
def test_ids_inside_the_words_part_no_cause(one: OutboundError, other: OutboundError, alike: bool) -> None:
    assert (one.cause == other.cause) is alike


def test_calls_are_shown_by_their_cause(mine: World) -> None:
    for number in (17, 18, 19):
        failed(mine, Rejected(f"user {number} is gone", code="E1"), ago=number)
    failed(mine, Rejected("bad phone", code="E2"))
    failed(mine, Temporary("503"), parked=False, not_before=timezone.now() + timedelta(minutes=9))
    largest, other, waiting = causes(mine)
    assert (largest.count, largest.words, largest.parked) == (3, "E1 user 19 is gone", True)
    assert largest.first == min(row.failed_at for row in CallSync.objects.filter(cause=largest.cause) if row.failed_at)
    assert (other.count, other.words) == (1, "E2 bad phone")
    assert (waiting.count, waiting.parked, waiting.kind) == (1, False, "temporary")
    assert waiting.next_try
    assert waiting.next_try > timezone.now()


def test_what_can_be_done_is_said(mine: World, owner: Client) -> None:
    failed(mine, Rejected("User is not found or is not active", code="user_not_active"))
    text = page(owner)
    assert "User is not found or is not active" in text
    assert "Выберите другого ответственного" in text


def test_an_account_that_rests_is_asked_when_it_opens(mine: World) -> None:
    failed(mine, Temporary("503"), parked=False, not_before=timezone.now())
    opens = timezone.now() + timedelta(minutes=1)
    Lane.objects.create(account=mine.credential.account, open_at=opens)
    (group,) = causes(mine)
    assert group.next_try == opens


def test_an_account_that_refuses_our_keys_holds_its_calls(mine: World, owner: Client) -> None:
    failed(mine, Temporary("over"), parked=False)
    Credential.objects.filter(pk=mine.credential.pk).update(state=Credential.State.REFUSED)
    text = page(owner)
    assert "1 звонок ждёт и будет записан, как только аккаунт снова подключат" in text
    assert "повторяется само" not in text


def test_what_is_written_or_left_out_is_not_here(mine: World, owner: Client) -> None:
    make.CallSyncFactory(call=make.CallFactory(connection=mine.connection), integration=mine.integration)
    skipped = failed(mine, Rejected("no"))
    CallSync.objects.filter(pk=skipped.pk).update(state=CallSync.State.SKIPPED)
    assert causes(mine) == []
    assert "Ошибок нет" in page(owner)


def test_a_page_costs_the_same_however_much_has_failed(mine: World, owner: Client) -> None:
    def cost(where: str) -> int:
        with CaptureQueriesContext(
            database,
        ) as queries:
            page(owner, where)
        return len(queries)

    listed = f"/unwritten/{mine.credential.uuid}/"
    row = failed(mine, Rejected("user is gone", code="E0"))
    page(owner)
    before = cost(OVERVIEW), cost(listed)
    for number in range(5):
        failed(mine, Rejected("no such thing", code=f"E-{number}"))
        failed(mine, Rejected("user is gone", code="E0"))
    assert (cost(OVERVIEW), cost(listed)) == before
    assert row.cause == "E0 user is gone"


def test_the_calls_of_a_cause_are_paged(mine: World, owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations.unwritten_pages.PAGE", 2)
    rows = [failed(mine, Rejected("user is gone", code="E1")) for _ in range(3)]
    failed(mine, Rejected("another", code="E2"))
    response = owner.get(
        f"/unwritten/{mine.credential.uuid}/", {"kind": "rejected", "cause": rows[0].cause, "parked": "1"}
    )
    assert [row.pk for row in response.context["rows"]] == [rows[2].pk, rows[1].pk]
    response = owner.get(f"/unwritten/{mine.credential.uuid}/?{response.context['older']}")
    assert [row.pk for row in response.context["rows"]] == [rows[0].pk]
    assert not response.context["older"]


# --- Trying again -----------------------------------------------------------------------------------------------------


def parked() -> set[int]:
    return set(CallSync.objects.filter(parked=True).values_list("pk", flat=True))


def test_one_call_is_tried_again(mine: World, owner: Client, told: list[int]) -> None:
    row, other = failed(mine, Rejected("no", code="E1")), failed(mine, Rejected("no", code="E1"))
    owner.post(ACT, {"credential": mine.credential.uuid, "kind": "rejected", "sync": row.pk})
    assert parked() == {other.pk}
    assert told == [mine.credential.pk]


def test_all_of_a_cause_are_tried_again_with_one_message(mine: World, owner: Client, told: list[int]) -> None:
    rows = [failed(mine, Rejected(f"user {number} is gone", code="E1")) for number in range(3)]
    other = failed(mine, Rejected("no", code="E2"))
    values = {"kind": "rejected", "cause": rows[0].cause, "parked": "1", "credential": mine.credential.uuid}
    response = owner.post(ACT, {**values, "next": OVERVIEW}, follow=True)
    assert "3 звонка отправляются снова" in response.content.decode()
    assert parked() == {other.pk}
    assert told == [mine.credential.pk]


def test_what_failed_since_a_moment_is_tried_again(mine: World, owner: Client, told: list[int]) -> None:
    old = failed(mine, Rejected("no", code="E1"), ago=90)
    failed(mine, Rejected("no", code="E1"), ago=5)
    failed(mine, Rejected("no", code="E2"), ago=5)
    doubt = doubtful(mine)
    zone = zoneinfo.ZoneInfo(mine.company.time_zone)
    since = (timezone.now() - timedelta(hours=1)).astimezone(zone).strftime("%Y-%m-%dT%H:%M")
    assert owner.get(OVERVIEW, {"since": since}).context["again"] == 2
    owner.post(ACT, {"since": since})
    assert parked() == {old.pk, doubt.pk}


def test_what_waits_for_its_time_may_be_tried_now(mine: World, owner: Client, told: list[int]) -> None:
    row = failed(mine, Temporary("503"), parked=False, not_before=timezone.now() + timedelta(hours=1), attempts=9)
    owner.post(ACT, {"credential": mine.credential.uuid, "kind": "temporary", "cause": row.cause, "parked": "0"})
    row.refresh_from_db()
    assert (row.not_before, row.attempts) == (None, 0)
    assert told == [mine.credential.pk]


def test_nobody_tries_the_calls_of_others_again(mine: World, theirs: World, owner: Client, told: list[int]) -> None:
    row = failed(theirs, Rejected("no", code="E1"))
    for values in ({}, {"sync": row.pk}, {"credential": theirs.credential.uuid}, {"credential": "nonsense"}):
        owner.post(ACT, values)
    assert parked() == {row.pk}
    assert told == []


def test_who_may_not_manage_reads_only(mine: World, signed_in: Callable[..., Client], told: list[int]) -> None:
    row = failed(mine, Rejected("no such user", code="E1"))
    operator = signed_in(mine.company, Role.OPERATOR)
    for where in (OVERVIEW, f"/unwritten/{mine.credential.uuid}/"):
        text = page(operator, where)
        assert "no such user" in text
        assert ACT not in text
    assert operator.post(ACT, {"sync": row.pk}).status_code == 403
    assert parked() == {row.pk}


def test_the_overview_leads_here(mine: World, owner: Client) -> None:
    assert OVERVIEW not in page(owner, "/").split('id="content"')[-1]
    failed(mine, Rejected("no", code="E1"))
    assert f'href="{OVERVIEW}"' in page(owner, "/").split('id="content"')[-1]


# --- Doubtful writes --------------------------------------------------------------------------------------------------


def test_a_doubtful_write_is_there(mine: World, owner: Client, told: list[int]) -> None:
    row = doubtful(mine)
    text = page(owner)
    assert "нужно ваше решение" in text
    owner.post(ACT, {"credential": mine.credential.uuid, "kind": "doubt", "cause": row.cause, "confirm": "1"})
    row.refresh_from_db()
    assert (row.parked, row.reason, row.noted) == (False, plan.CONFIRMED, row.wanted)
    assert told == []
    assert causes(mine) == []
    text = page(owner, reverse("portal:call", args=[row.call.uuid]))
    assert "Человек посмотрел в CRM и подтвердил" in text
    # A change of the call later writes nothing more: nobody knows what the CRM calls it.
    plan.plan_calls([_with_people(row)])
    row.refresh_from_db()
    assert row.wanted == row.noted


def _with_people(row: CallSync) -> Any:
    call = row.call
    call.version, call.people, call.audio, call.changes = 7, [], [], set()
    return call


def test_a_doubtful_write_is_written_again(mine: World, owner: Client, told: list[int]) -> None:
    row, other = doubtful(mine), failed(mine, Rejected("no", code="E1"))
    owner.post(ACT, {"credential": mine.credential.uuid, "kind": "doubt", "sync": row.pk})
    assert parked() == {other.pk}
    assert told == [mine.credential.pk]


def test_only_doubtful_writes_are_confirmed(mine: World, owner: Client) -> None:
    row = failed(mine, Rejected("no", code="E1"))
    owner.post(ACT, {"sync": row.pk, "confirm": "1"})
    assert parked() == {row.pk}


# --- Support ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(db: None) -> Client:
    client = Client()
    client.force_login(make.UserFactory(is_staff=True))
    return client


def test_support_sees_all_companies_or_one(mine: World, theirs: World, desk: Client, told: list[int]) -> None:
    row, other = failed(mine, Rejected("no", code="E1")), failed(theirs, Rejected("no", code="E1"))
    where = "/support/unwritten/"
    assert "mine company" in page(desk, where).split('id="content"')[-1]
    listed = desk.get(where, {"company": mine.company.uuid}).context["page"].object_list
    assert [group.credential for group in listed] == [mine.credential]
    assert str(row.call.uuid) in page(desk, f"/support/unwritten/{mine.credential.uuid}/")
    desk.post(f"{where}act/", {"company": theirs.company.uuid})
    assert parked() == {row.pk}
    desk.post(f"{where}act/", {"credential": mine.credential.uuid})
    assert parked() == set()
    assert told == [other.credential.pk, mine.credential.pk]


def test_the_list_of_rows_leads_to_the_causes(desk: Client) -> None:
    where = reverse("support:integrations_callsync_by_cause")
    assert where in page(desk, reverse("support:integrations_callsync_changelist"))
    assert desk.get(where)["Location"] == "/support/unwritten/"


def test_the_support_page_is_for_staff(mine: World, owner: Client) -> None:
    failed(mine, Rejected("no", code="E1"))
    assert owner.post("/support/unwritten/act/").status_code == 302
    assert len(parked()) == 1
    assert owner.get("/support/unwritten/").status_code == 302


# --- Written twice ----------------------------------------------------------------------------------------------------


def test_what_somebody_else_writes_too_is_shown_with_what_to_do(
    mine: World, theirs: World, signed_in: Callable[..., Client]
) -> None:
    for world, writer in ((mine, "Their <PBX>"), (theirs, "Rivals")):
        call = make.CallFactory.create(connection=world.connection)
        make.DoubleFactory.create(call=call, integration=world.integration, writer=writer)
    shown = page(signed_in(mine.company, Role.OWNER, "en"))
    assert "Their &lt;PBX&gt;" in shown
    assert "Rivals" not in shown
    assert "calls stand there twice" in shown
    with translation.override("en"):
        assert str(mine.integration.credential.adapter.twice_help) in html.unescape(shown)
