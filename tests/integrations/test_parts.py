"""A part of a call that was told as a call of its own: what it left in the CRM is closed, exactly once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import transaction
from django.utils import translation

from crm_adapters import registry
from crm_adapters.base import CallFacts, Job, Participant, Priority, Repeat, Result, Secrets, Step, Trace, Work
from employees import installation
from integrations import passport, sync
from integrations.facts import frozen, over, thawed
from integrations.models import CallSync, Credential, Lane
from outbound.errors import Temporary
from outbound.http import Exchange as Masked
from outbound.http import Http
from telephony import directory, inbox, parts
from telephony.models import Call, Connection, Exchange
from tests.factories import CallFactory, ConnectionFactory, CredentialFactory, IntegrationFactory
from tests.integrations.test_sync import Paper, failing, lost

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


NOW = datetime(2026, 3, 2, 9, 0, 30, tzinfo=UTC)


class Cards(Paper):
    """It opens a card when a call begins, and can close it. Each request is noted as one over HTTP is."""

    step_titles = {"begin": "began", "close": "closed", "end": "ended"}

    def perform(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        http.record(Masked(NOW, "POST", "https://paper.example/", "", 200, "", 1))
        return super().perform(http, secrets, batch)

    def withdraw(self, job: Job, doubtful: str = "") -> Step | None:
        if doubtful == "begin" and "begin" not in job.progress:
            return Step("begin", Priority.POP_UP, Repeat.KEY)
        is_open = "begin" in job.progress and "close" not in job.progress
        return Step("close", Priority.POP_UP, Repeat.KEY) if is_open else None

    def traces(self, progress: Any, secrets: Secrets) -> list[Trace]:
        return [Trace("Call", "call", "7")] if "end" in progress else []


class World:
    def __init__(self, paper: Cards, connection: Connection, credential: Credential):
        self.paper, self.connection, self.credential = paper, connection, credential

    def call(self, **fields: Any) -> Call:
        call = CallFactory.create(connection=self.connection, **{"state": "ringing", "outcome": "", **fields})
        self.tell(call)
        return call

    def tell(self, call: Call) -> None:
        with transaction.atomic():
            installation.refresh()
            directory.refresh()
            inbox.announce([call.pk])

    def join(self, whole: Call, part: Call) -> CallSync | None:
        """What is left to be done of the part."""
        with transaction.atomic():
            parts._absorb(whole, Call.objects.get(pk=part.pk))
        return CallSync.objects.filter(call=whole, part__isnull=False).first()

    def work(self) -> None:
        sync.work_off(self.credential.pk)

    def written(self, call: Call) -> list[str]:
        return self.paper.book.get(str(call.uuid), [])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    paper = Cards()
    monkeypatch.setitem(registry.all_adapters(), "paper", paper)
    credential = CredentialFactory.create(crm="paper", values={"account": "A", "token": "t"})
    connection = ConnectionFactory.create(company=credential.company)
    IntegrationFactory.create(credential=credential, connections=[connection], settings={})
    return World(paper, connection, credential)


def test_its_card_is_closed_once_and_the_call_goes_on(world: World):
    whole, part = world.call(), world.call()
    world.work()
    row = world.join(whole, part)
    for _ in range(3):
        world.work()
        world.tell(whole)
    assert (world.written(part), world.written(whole)) == (["begin", "close"], ["begin"])
    assert row is not None
    row.refresh_from_db()
    assert (row.noted, row.intent, row.lease) == (row.wanted, "", None)
    Call.objects.filter(pk=whole.pk).update(state="finished", outcome="answered")
    world.tell(whole)
    world.work()
    assert (world.written(part), world.written(whole)) == (["begin", "close"], ["begin", "end"])


def test_a_part_that_left_nothing_leaves_no_work(world: World):
    whole, part = world.call(), world.call()
    assert world.join(whole, part) is None
    world.work()
    assert world.written(part) == []


def test_it_waits_for_a_crm_that_is_away(world: World):
    whole, part = world.call(), world.call()
    world.work()
    row = world.join(whole, part)
    world.paper.answers = [failing(Temporary("away")), failing(Temporary("away"))]
    world.work()
    assert world.written(part) == ["begin"]
    again(world)
    world.work()
    again(world)
    world.work()
    assert world.written(part) == ["begin", "close"]
    assert row is not None


def again(world: World) -> None:
    Lane.objects.update(open_at=None)
    CallSync.objects.update(not_before=None)


def test_a_card_whose_opening_was_under_way_is_closed_too(world: World):
    """The part is joined while the request that opens its card is on its way: its notes come afterwards."""
    whole = world.call()
    world.work()
    part = world.call()

    def meanwhile(batch: Sequence[Work]) -> list[Result]:
        world.join(whole, part)
        return world.paper.write(batch)

    world.paper.answers = [meanwhile]
    world.work()
    assert world.written(part) == ["begin", "close"]
    opened = Exchange.objects.order_by("id")[1]
    assert list(opened.calls.all()) == [whole], "the request about the part is in the passport of the whole"


def test_a_card_that_may_have_been_opened_is_asked_for_and_closed(world: World):
    whole = world.call()
    world.work()
    part = world.call()
    world.paper.answers = [lost(world.paper)]
    world.work()
    world.join(whole, part)
    again(world)
    world.work()
    assert world.written(part) == ["begin", "begin", "close"]


def test_what_a_part_of_a_part_left_is_closed_under_the_whole(world: World):
    whole, part, smallest = world.call(), world.call(), world.call()
    world.work()
    world.join(part, smallest)
    world.join(whole, part)
    world.work()
    assert (world.written(part), world.written(smallest)) == (["begin", "close"], ["begin", "close"])
    assert set(CallSync.objects.values_list("call", flat=True)) == {whole.pk}


def test_the_passport_shows_it_and_what_stays(world: World):
    whole = world.call(state="finished", outcome="answered")
    part = world.call(state="finished", outcome="answered")
    world.work()
    world.join(whole, part)
    mine, of_part = passport.compose(whole).accounts
    assert (mine.standing.code, of_part.standing.title) == ("written", "a part of the call is being taken back")
    world.work()
    mine, of_part = passport.compose(whole).accounts
    assert of_part.standing.title == "a part of the call was taken back"
    assert (of_part.next, [step.text for step in of_part.steps][-1]) == ("Nothing more happens.", "closed: written")
    assert [(trace.kind, trace.id) for trace in of_part.left] == [("call", "7")]
    assert mine.left == []


def test_facts_are_kept_as_they_were():
    person = Participant("101", "12", talking=True, rang_at=NOW.replace(second=0), answered_at=NOW.replace(second=10))
    facts = CallFacts("id", 3, "in", "answered", "+79000000001", "", "Sales", NOW, (person,), utm={"utm_source": "a"})
    assert thawed(frozen(facts)) == facts
    ended = over(facts, NOW)
    assert (ended.state, ended.outcome, ended.talk_seconds) == ("finished", "answered", 20)
    assert (ended.participants[0].talking, ended.participants[0].left_at) == (False, NOW)
    assert thawed(frozen(ended)) == ended
