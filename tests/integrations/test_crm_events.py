"""What CRMs ask of us is done once, whenever a process dies; what time mends is done later, or given up and shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import OperationalError
from django.utils import timezone

from crm_adapters import registry
from crm_adapters.base import DialRequested, Event, Request, Secrets, SecretsChanged, Settings
from integrations import crm_events, dials, directory
from integrations.dials import LATEST, SIGNS
from integrations.facts import facts_of
from integrations.models import Credential, CrmEvent, SeenEvent
from outbound.errors import OutboundError, RateLimited, Rejected, Temporary, TokenExpired
from outbound.http import Http
from telephony import commands, inbox
from telephony.models import Command, Connection
from telephony.providers.base import CommandResult
from tests.factories import (
    CallFactory,
    CommandFactory,
    ConnectionFactory,
    CredentialFactory,
    CrmEventFactory,
    EmployeeFactory,
    EmployeeMappingFactory,
    ExtensionFactory,
    IntegrationFactory,
)
from tests.integrations.test_sync import Killed, Paper

State = CrmEvent.State
CARD = "card-1"


class Bell(Paper):
    """A CRM on paper whose events are JSON. `errors` are raised by what it is asked next."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[tuple[str, str]] = []
        self.prepared = 0
        self.errors: list[OutboundError] = []

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    def events(self, request: Request, http: Http, secrets: Secrets) -> list[Event]:
        said = json.loads(request.body)
        if said.pop("asks", False):
            self._fail()
        if "token" in said:
            return [SecretsChanged(key=said["key"], secrets={"token": said["token"]}, installed=True)]
        return [DialRequested(**said)]

    def refuse_call(self, http: Http, secrets: Secrets, event: DialRequested, why: str) -> None:
        self._fail()
        self.refused.append((event.crm_call, why))

    def prepare(
        self, http: Http, secrets: Secrets, handler_url: str, lines: Mapping[str, str], settings: Settings
    ) -> None:
        self._fail()
        self.prepared += 1


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch) -> Bell:
    adapter = Bell()
    monkeypatch.setitem(registry.all_adapters(), "paper", adapter)
    return adapter


@pytest.fixture
def credential(db: None, crm: Bell) -> Credential:
    return CredentialFactory.create(crm="paper", values={"account": "A", "token": "t"})


class Pbx:
    """What the PBX was asked to dial; `then` happens after that, `errors` instead of it."""

    def __init__(self) -> None:
        self.dialled: list[str] = []
        self.errors: list[Exception] = []
        self.then: Callable[[], None] = lambda: None

    def dial(self, http: Http, secrets: Secrets, *, command: str, **what: str) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.dialled.append(command)
        self.then()


@pytest.fixture
def connection(credential: Credential) -> Connection:
    return ConnectionFactory.create(company=credential.company)


@pytest.fixture
def pbx(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Pbx:
    found = Pbx()
    monkeypatch.setattr(connection.protocol, "dial", found.dial)
    return found


@pytest.fixture
def click(credential: Credential, connection: Connection, pbx: Pbx) -> Callable[..., CrmEvent]:
    """A click in the CRM, as its event is stored."""
    integration = IntegrationFactory.create(credential=credential, connections=[connection], settings={})
    employee = EmployeeFactory.create(company=credential.company)
    ExtensionFactory.create(company=credential.company, employee=employee, number="101")
    EmployeeMappingFactory.create(integration=integration, employee=employee, crm_user="12")

    def click(**said: Any) -> CrmEvent:
        usual = {"key": "click-1", "crm_user": "12", "phone": "+79000000001", "crm_call": CARD}
        return CrmEventFactory.create(credential=credential, body=json.dumps(usual | said).encode())

    return click


def handled(row: CrmEvent) -> CrmEvent:
    """The event after a worker has taken it up."""
    crm_events.handle(row.pk)
    row.refresh_from_db()
    return row


def swept(row: CrmEvent, clock: time_machine.Traveller, seconds: float = 30) -> CrmEvent:
    """The event after some time, in which the sweep finds whatever is due."""
    for _ in range(10):
        clock.shift(seconds / 10)
        for event_id in crm_events.waiting():
            crm_events.handle(event_id)
    row.refresh_from_db()
    return row


# --- A click ----------------------------------------------------------------------------------------------------------


def test_a_click_is_dialled_once_however_often_it_is_told(click: Callable[..., CrmEvent], pbx: Pbx, crm: Bell):
    row, again = click(), click()
    assert handled(row).outcome == "dialled"
    assert handled(row).outcome == "dialled"
    assert handled(again).outcome == "repeated"
    command = Command.objects.get()
    assert pbx.dialled == [command.wire_id]
    assert (command.state, command.origin["crm_call"]) == ("accepted", CARD)
    assert crm.refused == []


def test_a_double_click_is_one_call_and_the_second_card_is_closed(click: Callable[..., CrmEvent], pbx: Pbx, crm: Bell):
    first, second = click(), click(key="click-2", crm_call="card-2")
    assert handled(first).outcome == "dialled"
    assert handled(second).outcome == "clicked_twice"
    assert len(pbx.dialled) == 1
    assert [card for card, _ in crm.refused] == ["card-2"]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [({"crm_user": "13"}, "nobody_mapped"), ({"phone": "none"}, "no_phone")],
)
def test_what_cannot_be_dialled_is_refused_in_the_crm(
    click: Callable[..., CrmEvent], crm: Bell, said: dict[str, str], outcome: str
):
    row = handled(click(**said))
    assert (row.state, row.outcome) == (State.HANDLED, outcome)
    assert [card for card, _ in crm.refused] == [CARD]
    assert row in crm_events.troubles(row.credential)


@pytest.mark.parametrize("came", [False, True])
def test_a_dial_that_the_pbx_refuses_afterwards_is_refused_in_the_crm_unless_a_call_came_of_it(
    click: Callable[..., CrmEvent], connection: Connection, crm: Bell, came: bool
):
    row = handled(click())
    command = Command.objects.get()
    if came:
        CallFactory.create(connection=connection, company=connection.company, dialled_by=command)
    inbox._note_results([(connection.pk, CommandResult(command=command.wire_id, ok=False, code="1130", words="busy"))])
    row.refresh_from_db()
    for event_id in crm_events.waiting():
        crm_events.handle(event_id)
    row.refresh_from_db()
    assert (row.state, row.outcome) == (State.HANDLED, "dialled" if came else "pbx_refused")
    assert [card for card, _ in crm.refused] == ([] if came else [CARD])


def test_a_dial_that_the_pbx_refuses_before_the_click_is_noted_is_refused_in_the_crm(
    click: Callable[..., CrmEvent], connection: Connection, crm: Bell, monkeypatch: pytest.MonkeyPatch
):
    dial = dials.handle

    def dial_and_refuse(row: CrmEvent, event: DialRequested) -> dials.Outcome:
        outcome = dial(row, event)
        refused = CommandResult(command=Command.objects.get().wire_id, ok=False, code="1130", words="busy")
        inbox._note_results([(connection.pk, refused)])
        return outcome

    monkeypatch.setattr(dials, "handle", dial_and_refuse)
    row = click()
    assert crm_events.handle(row.pk) == 0.0
    row = handled(row)
    assert (row.state, row.outcome) == (State.HANDLED, "pbx_refused")
    assert [card for card, _ in crm.refused] == [CARD]


def kill(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, *, after: bool = False) -> None:
    """The process dies the next time that it comes to this function, or has just done it."""
    real = getattr(where, name)

    def dying(*args: Any, **values: Any) -> None:
        monkeypatch.setattr(where, name, real)
        if after:
            real(*args, **values)
        raise Killed

    monkeypatch.setattr(where, name, dying)


NEVER_SENT: dict[str, tuple[Any, str, bool]] = {
    "before anything is noted": (dials, "_intend", False),
    "while it is noted": (commands, "intend_dial", True),
    "noted and not sent": (dials, "_carry_out", False),
}


@pytest.mark.parametrize("step", NEVER_SENT)
def test_a_click_that_was_never_sent_is_sent_after_a_crash(
    click: Callable[..., CrmEvent],
    pbx: Pbx,
    crm: Bell,
    clock: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
):
    where, name, after = NEVER_SENT[step]
    kill(monkeypatch, where, name, after=after)
    row = click()
    with pytest.raises(Killed):
        crm_events.handle(row.pk)
    assert pbx.dialled == []
    assert SeenEvent.objects.count() == Command.objects.count()  # both or neither
    assert swept(row, clock).outcome == "dialled"
    assert len(pbx.dialled) == 1
    assert crm.refused == []


def test_a_click_found_long_after_a_crash_is_refused_instead(
    click: Callable[..., CrmEvent],
    pbx: Pbx,
    crm: Bell,
    clock: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
):
    kill(monkeypatch, dials, "_carry_out")
    row = click()
    with pytest.raises(Killed):
        crm_events.handle(row.pk)
    clock.shift(LATEST)
    assert swept(row, clock, 1).outcome == "too_late"
    assert pbx.dialled == []
    assert [card for card, _ in crm.refused] == [CARD]


@pytest.mark.parametrize("sent", [False, True], ids=["before-the-request", "after-the-request"])
def test_a_click_of_unknown_fate_is_never_dialled_again(
    click: Callable[..., CrmEvent],
    pbx: Pbx,
    crm: Bell,
    clock: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
    sent: bool,
):
    if sent:
        kill(monkeypatch, pbx, "then")
    else:
        kill(monkeypatch, commands, "http_for")
    row = click()
    with pytest.raises(Killed):
        crm_events.handle(row.pk)
    row = swept(row, clock, SIGNS.total_seconds() - 5)
    assert (row.state, crm.refused) == (State.NEW, [])  # the PBX's events may yet tell
    row = swept(row, clock, (SIGNS * 6).total_seconds())
    assert (row.state, row.outcome) == (State.HANDLED, "doubt")
    assert len(pbx.dialled) == int(sent)
    assert [card for card, _ in crm.refused] == [CARD]
    assert Command.objects.get().state == "doubt"
    assert row in crm_events.troubles(row.credential)


def test_the_pbxs_events_show_that_a_click_was_dialled(
    click: Callable[..., CrmEvent], pbx: Pbx, crm: Bell, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
):
    kill(monkeypatch, pbx, "then")
    row = click()
    with pytest.raises(Killed):
        crm_events.handle(row.pk)
    command = Command.objects.get()
    CallFactory.create(connection=command.connection, direction="out", dialled_by=command)
    assert swept(row, clock).outcome == "dialled"
    assert Command.objects.get().state == "accepted"
    assert (len(pbx.dialled), crm.refused) == (1, [])


def test_a_click_that_was_dialled_and_not_noted_is_not_dialled_again(
    click: Callable[..., CrmEvent],
    pbx: Pbx,
    crm: Bell,
    clock: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
):
    kill(monkeypatch, crm_events, "_note")
    row = click()
    with pytest.raises(Killed):
        crm_events.handle(row.pk)
    assert swept(row, clock).outcome == "dialled"
    assert (len(pbx.dialled), crm.refused) == (1, [])


@pytest.mark.parametrize("told", [False, True], ids=["before-it-is-told", "after-it-is-told"])
def test_a_refusal_reaches_the_crm_after_a_crash(
    click: Callable[..., CrmEvent],
    pbx: Pbx,
    crm: Bell,
    clock: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
    told: bool,
):
    pbx.errors = [Rejected("no such extension")]
    kill(monkeypatch, crm, "refuse_call", after=told)
    row = click()
    with pytest.raises(Killed):
        crm_events.handle(row.pk)
    row = swept(row, clock)
    assert (row.outcome, row.details) == ("pbx_refused", {"words": "no such extension"})
    assert {card for card, _ in crm.refused} == {CARD}
    assert pbx.dialled == []


def test_commands_that_nobody_sent_or_answered_are_shown_as_that(connection: Connection):
    unsent = commands.intend_dial(connection, extension="101", phone="+79000000001")
    unanswered = CommandFactory.create(connection=connection)
    assert commands.fail_unanswered(timezone.now()) == 2
    unsent.refresh_from_db()
    unanswered.refresh_from_db()
    assert (unsent.state, unanswered.state) == ("refused", "doubt")


# --- What time mends --------------------------------------------------------------------------------------------------


def test_a_pbx_out_of_breath_is_asked_again_while_somebody_waits(
    click: Callable[..., CrmEvent], pbx: Pbx, crm: Bell, clock: time_machine.Traveller
):
    pbx.errors = [RateLimited("slow down"), Temporary("no connection")]
    row = handled(click())
    assert (row.state, row.error) == (State.NEW, "slow down")
    assert row.not_before
    assert row in crm_events.troubles(row.credential)
    row = swept(row, clock)
    assert (row.state, row.outcome, row.error) == (State.HANDLED, "dialled", "")
    assert (len(pbx.dialled), crm.refused) == (1, [])


def test_nobodys_telephone_rings_when_he_waits_no_longer(
    click: Callable[..., CrmEvent], pbx: Pbx, crm: Bell, clock: time_machine.Traveller
):
    pbx.errors = [RateLimited("slow down")] * 100
    row = swept(handled(click()), clock, LATEST.total_seconds() * 2)
    assert (row.state, row.outcome) == (State.HANDLED, "too_late")
    assert [card for card, _ in crm.refused] == [CARD]
    pbx.errors = []
    swept(row, clock, 600)
    assert pbx.dialled == []


def test_a_click_that_came_too_late_is_refused(click: Callable[..., CrmEvent], pbx: Pbx, crm: Bell, monkeypatch: Any):
    said = DialRequested(
        key="k", crm_user="12", phone="+79000000001", crm_call=CARD, at=timezone.now() - LATEST - timedelta(seconds=1)
    )
    monkeypatch.setattr(crm, "events", lambda *_: [said])
    assert handled(click()).outcome == "too_late"
    assert (pbx.dialled, [card for card, _ in crm.refused]) == ([], [CARD])


def test_a_lost_answer_of_the_pbx_is_waited_for_and_not_repeated(
    click: Callable[..., CrmEvent], pbx: Pbx, crm: Bell, clock: time_machine.Traveller
):
    pbx.errors = [Temporary("no answer", fate_unknown=True)]
    row = swept(handled(click()), clock, (SIGNS * 6).total_seconds())
    assert row.outcome == "doubt"
    assert (pbx.dialled, [card for card, _ in crm.refused]) == ([], [CARD])


def test_a_call_that_shows_up_after_its_card_was_closed_is_one_of_its_own(
    click: Callable[..., CrmEvent], pbx: Pbx, crm: Bell, clock: time_machine.Traveller
):
    pbx.errors = [Temporary("no answer", fate_unknown=True)]
    row = swept(handled(click()), clock, (SIGNS * 6).total_seconds())
    call = CallFactory.create(connection=Command.objects.get().connection, dialled_by=Command.objects.get())
    (wanting,) = directory.of_connection(call.connection_id)
    facts = facts_of(call, [], [], wanting)
    assert row.outcome == "doubt"
    assert (facts.crm_call, facts.crm_user) == ("", "12")


def test_a_crm_that_is_down_is_told_of_the_refusal_later(
    click: Callable[..., CrmEvent], crm: Bell, clock: time_machine.Traveller
):
    crm.errors = [Temporary("503")] * 3
    row = handled(click(crm_user="13"))
    assert (row.state, crm.refused) == (State.NEW, [])
    row = swept(row, clock, 300)
    assert (row.state, row.outcome) == (State.HANDLED, "nobody_mapped")
    assert [card for card, _ in crm.refused] == [CARD]


def test_a_second_click_is_still_a_second_click_when_the_crm_is_told_of_it_later(
    click: Callable[..., CrmEvent], pbx: Pbx, crm: Bell, clock: time_machine.Traveller
):
    handled(click())
    crm.errors = [Temporary("503")] * 3
    row = swept(handled(click(key="click-2", crm_call="card-2")), clock, 300)
    assert row.outcome == "clicked_twice"
    assert len(pbx.dialled) == 1


def test_an_event_is_understood_later_when_nobody_can_be_asked_about_it_now(
    click: Callable[..., CrmEvent], crm: Bell, pbx: Pbx, clock: time_machine.Traveller
):
    crm.errors = [Temporary("the authorisation server is down", retry_after=7)]
    row = handled(click(asks=True))
    assert (row.state, row.attempts, row.error) == (State.NEW, 1, "the authorisation server is down")
    assert row.not_before
    assert row.not_before - timezone.now() > timedelta(seconds=6)
    assert crm_events.handle(row.pk) is None  # a doubled message does not come sooner
    assert swept(row, clock).outcome == "dialled"


def test_in_the_end_it_is_given_up_and_shown(click: Callable[..., CrmEvent], crm: Bell, clock: time_machine.Traveller):
    crm.errors = [Temporary("the authorisation server is down")] * 1000
    row = handled(click(asks=True))
    swept(row, clock, 60)
    clock.shift(crm_events.PATIENCE)
    row = swept(row, clock, 3600)
    assert (row.state, row.error) == (State.GIVEN_UP, "the authorisation server is down")
    assert row in crm_events.troubles(row.credential)
    assert crm_events.waiting() == []


def test_a_token_that_is_over_is_renewed_for_the_questions_of_an_event(click: Callable[..., CrmEvent], crm: Bell):
    crm.errors = [TokenExpired("over")]
    assert handled(click(asks=True)).outcome == "dialled"
    assert Credential.objects.get().values["token"] == "t+"


def test_what_cannot_be_understood_stays_that(credential: Credential, clock: time_machine.Traveller):
    row = handled(CrmEventFactory.create(credential=credential, body=b"{"))
    assert row.state == State.FAILED
    assert "JSONDecodeError" in row.error
    assert swept(row, clock).attempts == 1


def test_trouble_of_our_database_is_not_the_events(
    click: Callable[..., CrmEvent], pbx: Pbx, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: Any) -> None:
        raise OperationalError("the server closed the connection")

    with monkeypatch.context() as trouble:
        trouble.setattr(dials, "_intend", broken)
        row = click()
        with pytest.raises(OperationalError):
            crm_events.handle(row.pk)
    assert swept(row, clock).outcome == "dialled"
    assert len(pbx.dialled) == 1


def test_pauses_are_short_only_as_long_as_somebody_may_wait(
    click: Callable[..., CrmEvent], crm: Bell, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    crm.errors = [Temporary("down")] * 100

    def pause(row: CrmEvent) -> float:
        CrmEvent.objects.filter(pk=row.pk).update(not_before=None, attempts=11)
        crm_events.handle(row.pk)
        row.refresh_from_db()
        assert row.not_before
        return (row.not_before - timezone.now()).total_seconds()

    row = click(asks=True)
    assert pause(row) <= 4
    clock.shift(crm_events.HASTE)
    assert 60 < pause(row) <= crm_events.LONGEST


# --- An installation --------------------------------------------------------------------------------------------------


def test_an_installation_is_set_up_later_and_never_brings_old_keys_back(
    credential: Credential, crm: Bell, clock: time_machine.Traveller
):
    crm.errors = [Temporary("503")]
    row = handled(CrmEventFactory.create(credential=credential, body=json.dumps({"key": "i", "token": "new"}).encode()))
    credential.refresh_from_db()
    assert (row.state, crm.prepared, credential.values["token"]) == (State.NEW, 0, "new")
    credential.values = {**credential.values, "token": "renewed"}
    credential.save()
    row = swept(row, clock)
    credential.refresh_from_db()
    assert (row.state, row.outcome, crm.prepared) == (State.HANDLED, "connected", 1)
    assert credential.values["token"] == "renewed"
