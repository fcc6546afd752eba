"""The support desk's own pages: customers by health, and the search over all companies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from employees.models import Company
from integrations import customers, troubles
from integrations.models import Credential
from telephony import silence
from telephony.events import CLOSE_PATH
from telephony.models import CallAlias, CoverageDay, HistoryRun, InboxEvent, Listening, Recording
from tests import factories as make
from tests.portal.conftest import World, build
from tests.portal.test_unwritten import doubtful


@pytest.fixture
def desk(db: None) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(make.UserFactory(is_staff=True))
    return client


def page(client: Client, where: str) -> str:
    response = client.get(where)
    assert response.status_code == 200
    return response.content.decode()


def in_trouble(name: str) -> World:
    """A company with one trouble of each kind."""
    world = build(name)
    now = timezone.now()
    doubtful(world)
    make.CredentialFactory(company=world.company, name=f"{name} refused", state=Credential.State.REFUSED)
    make.InboxEventFactory(connection=world.connection, state=InboxEvent.State.FAILED, error="bug")
    make.CrmEventFactory(credential=world.credential, state=2, error="bug")
    make.HistoryRunFactory(
        connection=world.connection,
        kind=HistoryRun.Kind.SCHEDULED,
        state=HistoryRun.State.FAILED,
        error=f"{name} is asleep",
    )
    missing = [{"call": "lost", "at": now.isoformat(), "phone": "", "extension": "", "why": "not_sent"}]
    day = (now - timedelta(days=2)).date()
    CoverageDay.objects.create(connection=world.connection, day=day, until=now, told=1, missing=missing)
    make.RecordingFactory(call=world.call, state=Recording.State.READY, waits_for_storage=True, error="full")
    line = make.ConnectionFactory(company=world.company, name=f"{name} line")
    Listening.objects.create(connection=line, down_since=now - timedelta(hours=1), error="no route")
    return world


# --- By health --------------------------------------------------------------------------------------------------------


def test_the_worst_comes_first(desk: Client, mine: World) -> None:
    quiet = make.CompanyFactory(name="Quiet Ltd")
    worst = in_trouble("worst")
    found = customers.worst_first(Company.objects.all())
    assert [row.company for row in found] == [worst.company, mine.company, quiet]
    assert found[0].grave == 5
    assert not found[2].troubles
    text = page(desk, "/support/")
    assert text.index("worst company") < text.index("mine company") < text.index("Quiet Ltd")


def test_each_kind_of_trouble_is_seen(db: None) -> None:
    world = in_trouble("worst")
    kinds = {each.cause.partition(":")[0] for each in troubles.by_company(Company.objects.all())[world.company.pk]}
    assert kinds == {
        *("account", "line", "parked", "storage", "coverage", "events", "history", "crm-events", "extensions")
    }


def test_many_customers_cost_no_more_questions_than_one(desk: Client, db: None) -> None:
    in_trouble("first")
    page(desk, "/support/")
    with CaptureQueriesContext(database) as one:
        page(desk, "/support/")
    for number in range(4):
        in_trouble(f"more {number}")
    with CaptureQueriesContext(database) as five:
        page(desk, "/support/")
    assert len(five) == len(one)


def test_a_customer_is_found_by_name_whatever_the_capitals(desk: Client, mine: World) -> None:
    make.CompanyFactory(name="Ромашка")
    text = page(desk, "/support/?q=ромаш")
    assert "Ромашка" in text
    assert "mine company" not in text
    assert "No company has this" in page(desk, "/support/?q=tulip")


def test_the_pulse(desk: Client, mine: World) -> None:
    make.CallFactory(connection=mine.connection, started_at=timezone.now() - timedelta(days=2))
    doubtful(mine)
    make.InboxEventFactory(connection=mine.connection, received_at=timezone.now() - timedelta(hours=3))
    make.InboxEventFactory(connection=mine.connection, path=CLOSE_PATH)  # our own word is no sign of life
    (row,) = customers.worst_first(Company.objects.all())
    customers.attach_pulse([row])
    assert (row.calls, row.parked, row.refused) == (2, 1, 0)
    assert timezone.now() - row.connections[0].last_event > timedelta(hours=2)


def test_a_customers_page(desk: Client, mine: World, theirs: World) -> None:
    text = page(desk, reverse("support:customer", args=[mine.company.uuid]))
    for shown in ("mine connection", "mine credential", "mine-m@example.com"):
        assert shown in text
    assert "theirs" not in text
    for secret in (*mine.credential.secret_values, *mine.connection.credentials.values()):
        assert secret not in text


# --- Silence ----------------------------------------------------------------------------------------------------------


def spoke_until(world: World, last: datetime, days: int) -> None:
    """Calls on so many days, and the last event then."""
    for back in range(days):
        make.CallFactory(connection=world.connection, started_at=last - timedelta(days=back))
    make.InboxEventFactory(connection=world.connection, received_at=last)


def silent_ones() -> list[str]:
    return [row.name for row, _last in silence.silent(Company.objects.all())]


@pytest.mark.parametrize(
    ("last", "now", "days", "told"),
    [
        ("2024-05-14 12:00", "2024-05-15 13:00", 4, True),
        ("2024-05-14 12:00", "2024-05-15 11:00", 4, False),
        ("2024-05-17 18:00", "2024-05-20 09:00", 5, False),  # over a weekend
        ("2024-05-17 18:00", "2024-05-20 19:00", 5, True),
        ("2024-05-14 12:00", "2024-05-15 13:00", 2, False),  # it has never had much to say
    ],
)
def test_a_lively_pbx_that_falls_silent_is_noticed(
    mine: World, monkeypatch: pytest.MonkeyPatch, last: str, now: str, days: int, told: bool
) -> None:
    moscow = ZoneInfo("Europe/Moscow")
    last_at, now_at = (datetime.fromisoformat(text).replace(tzinfo=moscow) for text in (last, now))
    mine.call.delete()
    spoke_until(mine, last_at, days)
    monkeypatch.setattr(timezone, "now", lambda: now_at)
    assert silent_ones() == (["mine connection"] if told else [])
    mine.connection.active = False
    mine.connection.save()
    assert silent_ones() == []


# --- Search -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["+79161234567", "8 (916) 123-45-67", "79161234567"])
def test_a_number_is_found_in_any_spelling(desk: Client, mine: World, theirs: World, typed: str) -> None:
    here = make.CallFactory(connection=mine.connection, client_phone="+79161234567")
    there = make.CallFactory(connection=theirs.connection, client_phone="+79161234567")
    text = page(desk, f"/support/find/?q={typed.replace('+', '%2B')}")
    for call in (here, there):
        assert reverse("support:call", args=[call.uuid]) in text
    assert str(mine.call.uuid) not in text


def aliased(world: World) -> str:
    CallAlias.objects.create(call=world.call, connection=world.connection, key="leg-of-the-vendor")
    return "leg-of-the-vendor"


@pytest.mark.parametrize(
    "named", [lambda w: w.call.key, lambda w: str(w.call.uuid), aliased], ids=["key", "uuid", "leg"]
)
def test_a_call_is_found_by_its_ids(desk: Client, mine: World, named: Callable[[World], str]) -> None:
    assert reverse("support:call", args=[mine.call.uuid]) in page(desk, f"/support/find/?q={named(mine)}")


@pytest.mark.parametrize(
    "named",
    [
        lambda w: w.company.name.upper(),
        lambda w: w.member.user.email,
        lambda w: w.credential.domain,
        lambda w: str(w.connection.uuid),
        lambda w: w.number.number.replace("+", "%2B"),
    ],
    ids=["company", "e-mail", "address", "id", "number"],
)
def test_a_company_is_found_by_what_it_has(desk: Client, mine: World, named: Callable[[World], str]) -> None:
    assert reverse("support:customer", args=[mine.company.uuid]) in page(desk, f"/support/find/?q={named(mine)}")


def test_what_is_not_there_is_said(desk: Client, mine: World) -> None:
    assert "Nothing was found" in page(desk, "/support/find/?q=00000000")


@pytest.mark.parametrize("where", ["/support/", "/support/find/?q=mine"])
def test_the_desk_is_closed_to_customers(owner: Client, mine: World, where: str) -> None:
    response = owner.get(where)
    assert response.status_code == 302
    assert "/login/" in response["Location"]
