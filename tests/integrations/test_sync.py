"""The outbox and its workers, with a CRM made of paper: each step exactly once, whatever happens on the way."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django import forms
from django.core.cache import cache
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from crm_adapters import registry
from crm_adapters.base import (
    Adapter,
    Check,
    ClientMatch,
    Done,
    Job,
    NotMade,
    Priority,
    Repeat,
    Result,
    Secrets,
    Step,
    Work,
)
from employees import installation
from employees.models import Extension
from integrations import claims, credentials, sync
from integrations import directory as integrations_directory
from integrations.facts import facts_of
from integrations.models import CallSync, Credential, Integration, Lane
from outbound.errors import CredentialsRefused, RateLimited, Rejected, Temporary, TokenExpired
from outbound.http import Http
from outbound.limits import Limit
from telephony import directory, inbox, live
from telephony.models import Call, Connection
from tests.factories import (
    CallFactory,
    ConnectionFactory,
    CredentialFactory,
    EmployeeFactory,
    EmployeePhoneFactory,
    ExtensionFactory,
    IntegrationFactory,
    ParticipantFactory,
    RuleFactory,
    VirtualNumberFactory,
)

Answer = Callable[[Sequence[Work]], list[Result]]


class Paper(Adapter):
    """A CRM on paper: `book` is what stands there, `answers` are the next ones if they shall not be the usual."""

    slug = "paper"
    title = "Paper"
    capabilities = frozenset()
    credential_form = settings_form = forms.Form
    batch_size = 3

    def __init__(self) -> None:
        self.repeat = Repeat.KEY
        self.limit: tuple[Limit, ...] = ()
        self.book: dict[str, list[str]] = {}
        self.asked: list[tuple[str, list[str]]] = []
        self.answers: list[Answer] = []
        self.tokens: list[str] = []

    def account(self, secrets: Secrets) -> str:
        return secrets.get("account", "")

    def limits(self, secrets: Secrets) -> tuple[Limit, ...]:
        return self.limit

    def refuses(self, job: Job) -> str:
        return "" if job.facts.client_phone else "hidden_number"

    def plan(self, job: Job) -> Step | None:
        if "begin" not in job.progress:
            return Step("begin", Priority.POP_UP if job.facts.live else Priority.FINISH, self.repeat)
        if job.facts.finished and "end" not in job.progress:
            return Step("end", Priority.FINISH, self.repeat)
        return None

    def perform(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        self.asked.append((batch[0].step.name, [work.job.facts.id for work in batch]))
        self.tokens.append(secrets.get("token", ""))
        return (self.answers.pop(0) if self.answers else self.write)(batch)

    def write(self, batch: Sequence[Work]) -> list[Result]:
        for work in batch:
            self.book.setdefault(work.job.facts.id, []).append(work.step.name)
        return [Done({work.step.name: True}, ("written",)) for work in batch]

    def look(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        self.asked.append(("look", [work.job.facts.id for work in batch]))
        stands = [work.step.name in self.book.get(work.job.facts.id, ()) for work in batch]
        return [Done({w.step.name: True}) if there else NotMade() for w, there in zip(batch, stands, strict=True)]

    def refresh(self, http: Http, secrets: Secrets) -> dict[str, str]:
        self.asked.append(("refresh", [secrets["token"]]))
        return {"token": f"{secrets['token']}+"}

    def check(self, http: Http, secrets: Secrets) -> list[Check]:
        return []

    @property
    def steps(self) -> list[str]:
        return [step for step, _ in self.asked]


def failing(error: Exception) -> Answer:
    def answer(batch: Sequence[Work]) -> list[Result]:
        raise error

    return answer


def lost(paper: Paper) -> Answer:
    """The request is executed, its answer never comes."""

    def answer(batch: Sequence[Work]) -> list[Result]:
        paper.write(batch)
        raise Temporary("no answer", fate_unknown=True)

    return answer


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Paper:
    adapter = Paper()
    monkeypatch.setitem(registry.all_adapters(), "paper", adapter)
    return adapter


@pytest.fixture
def credential(db: None, paper: Paper) -> Credential:
    return CredentialFactory.create(crm="paper", values={"account": "A", "token": "t"})


@pytest.fixture
def connection(credential: Credential) -> Connection:
    return ConnectionFactory.create(company=credential.company)


@pytest.fixture
def integration(credential: Credential, connection: Connection) -> Integration:
    return IntegrationFactory.create(credential=credential, connections=[connection], settings={})


@pytest.fixture
def make(integration: Integration, connection: Connection) -> Callable[..., CallSync]:
    """Make a call that the account wants; its row of the outbox."""

    def make(**fields: Any) -> CallSync:
        call = CallFactory.create(connection=connection, **fields)
        return tell(call)

    return make


def tell(call: Call) -> CallSync:
    announce(call)
    return CallSync.objects.get(call=call)


def announce(call: Call) -> None:
    with transaction.atomic():
        installation.refresh()
        directory.refresh()
        inbox.announce([call.pk])


def made(paper: Paper, row: CallSync) -> list[str]:
    return paper.book.get(str(row.call.uuid), [])


def settled(row: CallSync) -> bool:
    row.refresh_from_db()
    return row.wanted == row.noted and not row.intent and not row.lease


# --- Step by step -----------------------------------------------------------------------------------------------------


def test_a_call_is_written_step_by_step(paper: Paper, make: Callable[..., CallSync]):
    row = make()
    assert sync.work_off(row.credential_id) is None
    assert made(paper, row) == ["begin", "end"]
    assert settled(row)
    assert row.progress == {"begin": True, "end": True}
    assert [(step["step"], step["words"]) for step in row.history] == [("begin", ["written"]), ("end", ["written"])]
    assert Lane.objects.get().lease is None


def test_lists_that_are_open_are_told_that_it_is_written(
    make: Callable[..., CallSync], django_capture_on_commit_callbacks: Any
):
    row = make()
    name = live.mark_of(row.call.company_id)
    cache.delete(name)
    with django_capture_on_commit_callbacks(execute=True):
        sync.work_off(row.credential_id)
    assert cache.get(name)


def test_what_is_written_already_costs_nothing(paper: Paper, make: Callable[..., CallSync]):
    row = make()
    sync.work_off(row.credential_id)
    asked = len(paper.asked)
    announce(row.call)
    assert sync.work_off(row.credential_id) is None
    assert len(paper.asked) == asked


def test_calls_that_wait_together_share_requests(paper: Paper, make: Callable[..., CallSync]):
    rows = [make() for _ in range(5)]
    sync.work_off(rows[0].credential_id)
    assert len(paper.asked) == 4  # ten steps, three at a time
    assert all(made(paper, row) == ["begin", "end"] and settled(row) for row in rows)


def test_pop_ups_go_before_history(paper: Paper, make: Callable[..., CallSync]):
    paper.batch_size = 1  # type: ignore[misc]
    rows = [make(state="ringing") for _ in range(3)]
    for row, priority in zip(rows, (Priority.RECORDING, Priority.POP_UP, Priority.FINISH), strict=True):
        CallSync.objects.filter(pk=row.pk).update(priority=priority)
    sync.work_off(rows[0].credential_id)
    assert [ids for _, ids in paper.asked] == [[str(rows[place].call.uuid)] for place in (1, 2, 0)]


def test_a_call_that_changes_during_a_request_is_not_taken_for_written(paper: Paper, make: Callable[..., CallSync]):
    row = make(state="ringing")

    def meanwhile(batch: Sequence[Work]) -> list[Result]:
        Call.objects.filter(pk=row.call_id).update(state="finished", outcome="answered")
        announce(Call.objects.get(pk=row.call_id))
        return paper.write(batch)

    paper.answers = [meanwhile]
    sync.work_off(row.credential_id)
    assert made(paper, row) == ["begin", "end"]
    assert settled(row)


# --- Rules that depend on whom the CRM knows --------------------------------------------------------------------------


@pytest.fixture
def knowing(paper: Paper, integration: Integration, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the CRM answers to look-ups, in turn; a rule writes calls of clients that it does not know as "new"."""
    answers: list[Any] = []

    def find_client(http: Http, secrets: Secrets, phone: str, deadline: float) -> ClientMatch | None:
        paper.asked.append(("client", [phone]))
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return ClientMatch("contact", "7", "Anna") if answer else None

    monkeypatch.setattr(paper, "find_client", find_client, raising=False)
    RuleFactory.create(integration=integration, client="unknown", settings={"as": "new"})
    installation.changed()
    return answers


def written_as(paper: Paper) -> Answer:
    def answer(batch: Sequence[Work]) -> list[Result]:
        for work in batch:
            paper.book.setdefault(work.job.facts.id, []).append(str(work.job.settings.get("as", "usual")))
        return paper.write(batch)

    return answer


@pytest.mark.parametrize(
    ("known", "written"), [(True, "usual"), (False, "new"), (Rejected("no right to look"), "usual")]
)
def test_a_rule_asks_the_crm_once_before_anything_is_written(
    paper: Paper, make: Callable[..., CallSync], knowing: list[Any], known: Any, written: str
):
    row = make()
    knowing.append(known)
    paper.answers = [written_as(paper)]
    assert sync.work_off(row.credential_id) is None
    assert paper.steps == ["client", "begin", "end"]
    assert made(paper, row) == [written, "begin", "end"]
    assert settled(row)
    assert row.history[0]["step"] == "known_to_crm"


def test_what_the_crm_said_a_moment_ago_is_not_asked_again(
    paper: Paper, make: Callable[..., CallSync], knowing: list[Any]
):
    first, second = (make(client_phone="+79000000001") for _ in range(2))
    knowing.append(True)
    sync.work_off(first.credential_id)
    assert paper.steps.count("client") == 1
    assert settled(first)
    assert settled(second)
    assert second.progress["known_to_crm"] is True


def test_a_token_that_is_over_at_the_look_up_writes_nothing_twice(
    paper: Paper, make: Callable[..., CallSync], knowing: list[Any]
):
    begun = make(state="ringing")
    knowing.append(True)
    sync.work_off(begun.credential_id)
    Call.objects.filter(pk=begun.call_id).update(state="finished", outcome="answered")
    announce(Call.objects.get(pk=begun.call_id))
    new = make()
    knowing += [TokenExpired("over"), True]  # in one batch with the end of the other
    sync.work_off(begun.credential_id)
    assert made(paper, begun) == made(paper, new) == ["begin", "end"]
    assert settled(new)


def test_a_crm_that_is_away_is_asked_again(paper: Paper, make: Callable[..., CallSync], knowing: list[Any]):
    row = make()
    knowing += [Temporary("away"), False]
    sync.work_off(row.credential_id)
    row.refresh_from_db()
    assert (row.error_kind, row.progress) == ("temporary", {})
    Lane.objects.update(open_at=None)
    CallSync.objects.update(not_before=None)
    paper.answers = [written_as(paper)]
    sync.work_off(row.credential_id)
    assert made(paper, row) == ["new", "begin", "end"]


def test_a_look_up_that_comes_late_is_no_card_that_was_left_out(
    paper: Paper, make: Callable[..., CallSync], knowing: list[Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(paper, "plan", lambda job: None)  # a CRM that shows no cards
    row = make(state="ringing")
    CallSync.objects.filter(pk=row.pk).update(due_at=timezone.now() - timedelta(minutes=2))
    knowing.append(True)
    sync.work_off(row.credential_id)
    row.refresh_from_db()
    assert [entry["step"] for entry in row.history] == ["known_to_crm"]


def test_a_worker_that_dies_at_the_look_up_leaves_no_doubt(
    paper: Paper, make: Callable[..., CallSync], knowing: list[Any]
):
    row = make()
    CallSync.objects.filter(pk=row.pk).update(intent="known_to_crm")
    knowing.append(True)
    sync.work_off(row.credential_id)
    assert paper.steps == ["client", "begin", "end"]
    assert settled(row)


# --- Calls that the PBX's history told --------------------------------------------------------------------------------


def test_a_call_that_nobody_saw_live_comes_last_in_all_its_steps(paper: Paper, make: Callable[..., CallSync]):
    paper.batch_size = 1  # type: ignore[misc]
    old = make(source="history")
    live = make()
    assert (old.priority, live.priority) == (Priority.BACKFILL, Priority.FINISH)
    sync.work_off(old.credential_id)
    steps = [(step, ids == [str(old.call.uuid)]) for step, ids in paper.asked]
    assert steps == [("begin", False), ("end", False), ("begin", True), ("end", True)]


def test_nothing_pops_up_for_it(make: Callable[..., CallSync], integration: Integration):
    call = make(source="history").call
    facts = facts_of(call, [], [], integrations_directory.by_id(integration.pk))
    assert (facts.live, facts.backfilled) == (False, True)


def test_what_was_imported_stays_in_the_journal_until_it_is_wanted(paper: Paper, make: Callable[..., CallSync]):
    row = make(source="import")
    assert (row.state, row.reason) == ("skipped", "imported")
    Call.objects.filter(pk=row.call_id).update(source="history")
    row = tell(row.call)
    assert (row.state, row.reason, row.priority) == ("wanted", "", Priority.BACKFILL)
    sync.work_off(row.credential_id)
    assert made(paper, row) == ["begin", "end"]


# --- Leases -----------------------------------------------------------------------------------------------------------


def test_who_has_lost_his_lease_notes_nothing(paper: Paper, make: Callable[..., CallSync]):
    row = make(state="ringing")
    other = uuid.uuid4()

    def robbed(batch: Sequence[Work]) -> list[Result]:
        CallSync.objects.update(lease=other)
        return paper.write(batch)

    paper.answers = [robbed]
    sync.work_off(row.credential_id, rounds=1)
    row.refresh_from_db()
    assert (row.lease, row.progress, row.noted) == (other, {}, 0)
    assert row.intent == "begin"


def test_one_batch_at_a_time_in_an_account(paper: Paper, make: Callable[..., CallSync]):
    row, other = make(state="ringing"), make(state="ringing")
    CallSync.objects.filter(pk=other.pk).update(not_before=timezone.now() + timedelta(hours=1))
    inside: list[Any] = []

    def meanwhile(batch: Sequence[Work]) -> list[Result]:
        CallSync.objects.filter(pk=other.pk).update(not_before=None)
        inside.append((sync.work_off(other.credential_id), len(paper.asked)))
        return paper.write(batch)

    paper.answers = [meanwhile]
    sync.work_off(row.credential_id)
    assert inside == [(None, 1)]
    assert made(paper, other) == ["begin"]


class Killed(BaseException):
    """The process died here."""


@pytest.mark.parametrize("executed", [True, False], ids=["executed", "not-executed"])
def test_a_dead_workers_step_is_looked_for_first(
    paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller, executed: bool
):
    paper.repeat = Repeat.LOOK
    row = make(state="ringing")

    def killed(batch: Sequence[Work]) -> list[Result]:
        if executed:
            paper.write(batch)
        raise Killed

    paper.answers = [killed]
    with pytest.raises(Killed):
        sync.work_off(row.credential_id)
    sync.work_off(row.credential_id)
    assert paper.steps == ["begin"]  # as long as the lease runs it is his
    clock.shift(claims.LEASE + timedelta(seconds=1))
    assert claims.accounts_with_work() == [row.credential_id]
    sync.work_off(row.credential_id)
    assert paper.steps == ["begin", "look", *([] if executed else ["begin"])]
    assert made(paper, row) == ["begin"]
    assert settled(row)


# --- Fate unknown -----------------------------------------------------------------------------------------------------


def again(row: CallSync, clock: time_machine.Traveller) -> None:
    clock.shift(sync.LONGEST_PAUSE)
    sync.work_off(row.credential_id)


def test_a_step_with_a_key_is_simply_repeated(
    paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller
):
    row = make(state="ringing")
    paper.answers = [lost(paper)]
    sync.work_off(row.credential_id)
    row.refresh_from_db()
    assert (row.intent, row.attempts) == ("begin", 1)
    again(row, clock)
    assert paper.steps == ["begin", "begin"]
    assert settled(row)


def test_a_step_without_a_key_is_looked_for(paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller):
    paper.repeat = Repeat.LOOK
    row = make()
    paper.answers = [lost(paper)]
    sync.work_off(row.credential_id)
    again(row, clock)
    assert paper.steps == ["begin", "look", "end"]
    assert made(paper, row) == ["begin", "end"]


def test_a_call_that_moved_on_from_a_doubtful_step_waits_for_a_person_where_the_crm_cannot_tell(
    paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Paper, "look", Adapter.look)
    paper.repeat = Repeat.STOP
    row = make(state="ringing")
    paper.answers = [lost(paper)]
    sync.work_off(row.credential_id)
    Call.objects.filter(pk=row.call_id).update(state="finished", outcome="answered")
    paper.plan = lambda job: Step("end", Priority.FINISH, Repeat.KEY)  # type: ignore[method-assign]
    tell(row.call)
    again(row, clock)
    row.refresh_from_db()
    assert (row.parked, row.error_kind) == (True, "doubt")
    assert paper.steps == ["begin"]


def test_a_call_that_moved_on_first_learns_what_became_of_its_last_step(
    paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller
):
    paper.repeat = Repeat.LOOK
    row = make(state="ringing")
    paper.answers = [lost(paper)]
    sync.work_off(row.credential_id)
    CallSync.objects.update(progress={"begin": True})  # the plan says "end" by now
    Call.objects.update(state="finished", outcome="answered")
    announce(Call.objects.get())
    again(row, clock)
    assert paper.steps == ["begin", "look", "end"]


def test_a_step_that_can_be_neither_repeated_nor_found_is_left_to_a_person(
    paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller
):
    paper.repeat = Repeat.STOP
    row = make(state="ringing")
    paper.answers = [lost(paper)]
    sync.work_off(row.credential_id)
    again(row, clock)
    row.refresh_from_db()
    assert (row.parked, row.error_kind) == (True, "doubt")
    assert row.error
    assert made(paper, row) == ["begin"]


# --- Errors -----------------------------------------------------------------------------------------------------------


def test_a_refusal_parks_the_call_with_the_crms_words(paper: Paper, make: Callable[..., CallSync]):
    row, other = make(state="ringing"), make(state="ringing")
    bad = str(row.call.uuid)

    def refuse_one(batch: Sequence[Work]) -> list[Result]:
        done = zip(batch, paper.write(batch), strict=True)
        return [Rejected("no such user", code="E1") if w.job.facts.id == bad else result for w, result in done]

    paper.answers = [refuse_one]
    sync.work_off(row.credential_id)
    row.refresh_from_db()
    assert (row.parked, row.error_kind, row.error) == (True, "rejected", "E1 no such user")
    assert settled(other)
    assert claims.accounts_with_work() == []
    assert sync.retry(CallSync.objects.filter(pk=row.pk)) == 1
    sync.work_off(row.credential_id)
    assert settled(row)
    assert not row.error


def test_refused_keys_pause_the_account_and_keep_the_work(
    paper: Paper, make: Callable[..., CallSync], credential: Credential
):
    row, other = make(), make()
    paper.answers = [failing(CredentialsRefused("wrong key", code="E401"))]
    sync.work_off(row.credential_id)
    credential.refresh_from_db()
    assert (credential.state, credential.state_words) == (Credential.State.REFUSED, "E401 wrong key")
    assert sync.work_off(other.credential_id) is None
    assert len(paper.asked) == 1
    assert claims.accounts_with_work() == []
    credentials.store(credential, {"token": "new"})
    sync.resume(credential)
    assert len(claims.accounts_with_work()) == 1
    sync.work_off(row.credential_id)
    assert paper.tokens[-1] == "new"
    assert made(paper, row) == made(paper, other) == ["begin", "end"]


def test_an_account_that_is_down_is_left_alone_for_a_while(
    paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller
):
    row = make(state="ringing")
    waits = []
    for _ in range(4):
        paper.answers = [failing(Temporary("503"))]
        sync.work_off(row.credential_id)
        lane = Lane.objects.get()
        assert lane.open_at
        waits.append((lane.open_at - timezone.now()).total_seconds())
        asked = len(paper.asked)
        sync.work_off(row.credential_id)
        assert len(paper.asked) == asked
        assert claims.accounts_with_work() == []
        clock.shift(sync.LONGEST_PAUSE)
    assert waits[-1] > waits[0]
    sync.work_off(row.credential_id)
    assert settled(row)
    assert Lane.objects.get().failures == 0


def test_after_an_outage_one_call_is_tried_and_then_everything_flows(
    paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller
):
    rows = [make() for _ in range(5)]
    credential_id = rows[0].credential_id
    for _ in range(sync.OUTAGE):
        paper.answers = [failing(Temporary("503"))]
        sync.work_off(credential_id)
        clock.shift(sync.LONGEST_LANE_PAUSE)
    assert [len(ids) for _, ids in paper.asked] == [3, 1, 1]  # a whole batch once, then one at a time
    paper.asked.clear()
    CallSync.objects.filter(pk=rows[0].pk).update(not_before=timezone.now() + timedelta(hours=1))
    sync.work_off(credential_id)
    assert [len(ids) for _, ids in paper.asked][:2] == [1, 3]
    assert all(settled(row) for row in rows)


def test_what_an_account_that_is_down_has_to_do_waits_for_the_account_alone(
    paper: Paper, make: Callable[..., CallSync]
):
    rows = [make(), make()]
    paper.answers = [failing(Temporary("503"))]
    sync.work_off(rows[0].credential_id)
    for row in rows:
        row.refresh_from_db()
        assert (row.attempts, row.not_before, row.error_kind) == (1, None, "temporary")


def test_what_fails_for_a_week_waits_for_a_person(
    paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller
):
    row = make(state="ringing")
    for _ in range(sync.LEAST_ATTEMPTS):
        paper.answers = [failing(Temporary("503"))]
        sync.work_off(row.credential_id)
        row.refresh_from_db()
        assert not row.parked
        clock.shift(sync.LONGEST_PAUSE)
    clock.shift(sync.GIVE_UP)
    paper.answers = [failing(Temporary("503"))]
    sync.work_off(row.credential_id)
    row.refresh_from_db()
    assert (row.parked, row.error) == (True, "503")


@pytest.mark.parametrize("error", [Temporary("503"), Rejected("no right to look")])
def test_a_look_that_fails_leaves_the_doubt(
    paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller, error: Exception
):
    paper.repeat = Repeat.LOOK
    row = make(state="ringing")
    paper.answers = [lost(paper)]
    sync.work_off(row.credential_id)

    def look(*_: Any) -> list[Result]:
        raise error

    paper.look = look  # type: ignore[method-assign,assignment]
    again(row, clock)
    row.refresh_from_db()
    assert row.intent == "begin"
    del paper.look
    sync.retry(CallSync.objects.all())
    again(row, clock)
    assert made(paper, row) == ["begin"]


def test_a_late_pop_up_goes_after_those_that_are_in_time(
    paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller
):
    paper.batch_size = 1  # type: ignore[misc]
    old = [make(state="ringing"), make(state="ringing")]
    clock.shift(claims.POP_UP_AGE + timedelta(seconds=1))
    new = make(state="ringing")
    sync.work_off(new.credential_id)
    assert [call for _, [call] in paper.asked] == [str(row.call.uuid) for row in (new, *old)]
    for row in (new, *old):
        row.refresh_from_db()
    assert [[entry["step"] for entry in row.history] for row in (new, *old)] == [
        ["begin"],
        ["pop_up_late", "begin"],
        ["pop_up_late", "begin"],
    ]


def test_one_calls_trouble_is_not_the_accounts(paper: Paper, make: Callable[..., CallSync]):
    row, other = make(state="ringing"), make(state="ringing")
    bad = str(row.call.uuid)

    def one_fails(batch: Sequence[Work]) -> list[Result]:
        return [Temporary("locked") if work.job.facts.id == bad else Done({work.step.name: True}) for work in batch]

    paper.answers = [one_fails]
    sync.work_off(row.credential_id)
    assert settled(other)
    assert Lane.objects.get().open_at is None
    row.refresh_from_db()
    assert row.not_before
    assert row.not_before > timezone.now()


def test_an_account_that_asks_us_to_wait_is_not_asked_sooner(
    paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller
):
    row = make(state="ringing")
    paper.answers = [failing(RateLimited("slow down", retry_after=500))]
    sync.work_off(row.credential_id)
    clock.shift(490)
    sync.work_off(row.credential_id)
    assert len(paper.asked) == 1
    clock.shift(20)
    sync.work_off(row.credential_id)
    assert settled(row)


def test_our_own_mistake_in_an_adapter_is_shown_and_does_not_loop(paper: Paper, make: Callable[..., CallSync]):
    row = make(state="ringing")
    paper.answers = [failing(KeyError("oops"))]
    sync.work_off(row.credential_id)
    row.refresh_from_db()
    assert "KeyError" in row.error
    assert len(paper.asked) == 1


def test_nothing_is_claimed_without_a_token_of_the_limiter(
    paper: Paper, make: Callable[..., CallSync], clock: time_machine.Traveller
):
    paper.limit = (Limit("paper", rate=0.01, burst=1),)
    row = make()
    assert (sync.work_off(row.credential_id) or 0) > 90
    assert made(paper, row) == ["begin"]
    row.refresh_from_db()
    assert (row.intent, row.lease) == ("", None)
    clock.shift(101)
    sync.work_off(row.credential_id)
    assert made(paper, row) == ["begin", "end"]


@pytest.mark.parametrize("attempts", [1, 5, 50])
def test_pauses_grow_and_end_at_an_hour(attempts: int):
    pauses = [sync.pause(attempts) for _ in range(100)]
    assert 0 < min(pauses) <= max(pauses) <= sync.LONGEST_PAUSE
    assert max(pauses) <= 2**attempts
    assert sync.pause(attempts, retry_after=5000) == 5000


# --- Tokens -----------------------------------------------------------------------------------------------------------


def test_an_expired_token_is_renewed_and_the_step_made_with_the_new_one(
    paper: Paper, make: Callable[..., CallSync], credential: Credential
):
    row = make(state="ringing")
    paper.answers = [failing(TokenExpired("over"))]
    sync.work_off(row.credential_id)
    assert paper.tokens == ["t", "t+"]
    credential.refresh_from_db()
    assert credential.values["token"] == "t+"
    assert settled(row)


@pytest.mark.django_db(transaction=True)
def test_two_who_find_a_token_expired_renew_it_once(paper: Paper, transactional_db: None):
    credential = CredentialFactory.create(crm="paper", values={"account": "A", "token": "t"})
    both, got = threading.Barrier(2), []

    def renew() -> None:
        mine = Credential.objects.get(pk=credential.pk)
        stale = mine.values
        both.wait(20)
        got.append(credentials.renew(mine, stale, Http())["token"])
        database.close()

    threads = [threading.Thread(target=renew) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == ["t+", "t+"]
    assert paper.asked == [("refresh", ["t"])]


# --- Who wants a call, and why not ------------------------------------------------------------------------------------


def verdict(call: Call) -> tuple[str, str]:
    row = tell(call)
    return row.state, row.reason


def test_the_first_of_two_integrations_with_one_account_writes(
    paper: Paper, integration: Integration, connection: Connection, credential: Credential
):
    second = CredentialFactory.create(company=credential.company, crm="paper", values={"account": "A", "token": "u"})
    IntegrationFactory.create(credential=credential, connections=[connection], settings={})
    IntegrationFactory.create(credential=second, connections=[connection], settings={})
    assert tell(CallFactory.create(connection=connection)).integration == integration


def test_two_accounts_both_write(paper: Paper, integration: Integration, connection: Connection):
    other = CredentialFactory.create(company=connection.company, crm="paper", values={"account": "B", "token": "u"})
    IntegrationFactory.create(credential=other, connections=[connection], settings={})
    call = CallFactory.create(connection=connection)
    announce(call)
    rows = CallSync.objects.filter(call=call)
    assert {row.credential for row in rows} == {integration.credential, other}
    for row in rows:
        sync.work_off(row.credential_id)
    assert paper.book[str(call.uuid)].count("begin") == 2


def test_a_filter_leaves_the_call_to_the_next_integration(
    paper: Paper, integration: Integration, connection: Connection, credential: Credential
):
    listed = VirtualNumberFactory.create(connection=connection, number="+74950000009")
    integration.numbers.add(listed)
    integration.filter_numbers = True
    integration.save()
    call = CallFactory.create(connection=connection, virtual_number="+74950000001")
    assert verdict(call) == ("skipped", "number_not_in_list")
    unfiltered = IntegrationFactory.create(credential=credential, connections=[connection], settings={})
    assert tell(CallFactory.create(connection=connection)).integration == unfiltered
    assert verdict(CallFactory.create(connection=connection, virtual_number=listed.number)) == ("wanted", "")


def test_an_integration_that_is_switched_off_takes_no_new_call_and_finishes_its_old_one(
    paper: Paper, integration: Integration, connection: Connection
):
    old = CallFactory.create(connection=connection, state="ringing")
    row = tell(old)
    sync.work_off(row.credential_id)
    integration.active = False
    integration.save()
    Call.objects.filter(pk=old.pk).update(state="finished", outcome="answered")
    announce(old)
    sync.work_off(row.credential_id)
    assert made(paper, row) == ["begin", "end"]
    new = CallFactory.create(connection=connection)
    announce(new)
    assert not CallSync.objects.filter(call=new).exists()


def test_each_call_that_is_not_written_has_its_reason(paper: Paper, integration: Integration, connection: Connection):
    company = connection.company
    EmployeePhoneFactory.create(employee=EmployeeFactory.create(company=company), phone="+79160000001")
    assert verdict(CallFactory.create(connection=connection, direction="internal")) == ("skipped", "internal_call")
    private = CallFactory.create(connection=connection, client_phone="+79160000001")
    assert verdict(private) == ("skipped", "employee_phone")
    hidden = CallFactory.create(connection=connection, client_phone="")
    assert verdict(hidden) == ("skipped", "hidden_number")


@pytest.mark.parametrize(
    ("handlings", "expected"),
    [
        (["employee"], ("wanted", "")),
        (["default"], ("wanted", "")),
        (["ignored"], ("skipped", "extension_ignored")),
        (["unknown"], ("waiting", "unknown_extension")),
        (["ignored", "employee"], ("wanted", "")),
        (["ignored", "unknown"], ("waiting", "unknown_extension")),
        ([], ("wanted", "")),
    ],
)
def test_those_who_talked_decide(
    paper: Paper, integration: Integration, connection: Connection, handlings: list[str], expected: tuple[str, str]
):
    call = CallFactory.create(connection=connection)
    for position, handling in enumerate(handlings):
        known = EmployeeFactory.create(company=call.company) if handling == "employee" else None
        fields = {"company": call.company, "handling": Extension.Handling(handling), "employee": known}
        number = ExtensionFactory.create(**fields).number
        ParticipantFactory.create(call=call, position=position, extension=number)
    assert verdict(call) == expected


def test_who_only_rang_does_not_decide_when_somebody_talked(
    paper: Paper, integration: Integration, connection: Connection
):
    call = CallFactory.create(connection=connection)
    guard = ExtensionFactory.create(company=call.company, handling=Extension.Handling.IGNORED)
    anna = ExtensionFactory.create(company=call.company, employee=EmployeeFactory.create(company=call.company))
    ParticipantFactory.create(call=call, position=0, extension=anna.number, answered_at=None)
    ParticipantFactory.create(call=call, position=1, extension=guard.number)
    assert verdict(call) == ("skipped", "extension_ignored")
