"""A test call goes the way of every call, shows beforehand what it will be, and leaves nothing that can be removed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import phonenumbers
import pytest
import time_machine
from django.utils import timezone, translation

from integrations import cleaning, sync
from integrations.cleaning import UnderWay
from integrations.models import CallSync, Credential, Integration
from integrations.rehearsal import Rehearsal, rehearse
from outbound.errors import CredentialsRefused
from telephony import coverage, recordings, trials, watchdog
from telephony.models import Call, Connection, Exchange, InboxEvent, LooseFile, Recording
from telephony.scripts import Kind, Script, fictional_number
from tests import factories as make
from tests.crm_adapters.calls import operated
from tests.emulators.crm import Crm, emulated

pytestmark = pytest.mark.django_db
LINE = "+74990000001"
PHONE = "+75000001234"
SLUG = "bitrix24"


@pytest.fixture
def crm() -> Iterator[Crm]:
    with operated(emulated()[SLUG]()) as found:
        yield found


@pytest.fixture
def connection() -> Connection:
    row: Connection = make.ConnectionFactory()
    make.VirtualNumberFactory(connection=row, number=LINE, line_name="Shop")
    employee = make.EmployeeFactory(company=row.company, name="Anna")
    make.ExtensionFactory(company=row.company, number="101", employee=employee)
    return row


@pytest.fixture
def integration(crm: Crm, connection: Connection) -> Integration:
    credential = make.CredentialFactory(company=connection.company, crm=SLUG, values=crm.secrets)
    row: Integration = make.IntegrationFactory(credential=credential, connections=[connection], settings=crm.settings)
    anna = connection.company.employees.get()
    make.EmployeeMappingFactory(integration=row, employee=anna, crm_user=crm.users["101"], crm_user_name="Anna CRM")
    return row


def script(kind: Kind = Kind.IN_ANSWERED, **more: Any) -> Script:
    return Script(call=trials.new_key(), kind=kind, client=PHONE, line=LINE, extension="101", **more)


def write(call: Call) -> None:
    for row in call.syncs.all():
        CallSync.objects.filter(pk=row.pk).update(due_at=timezone.now())
        sync.work_off(row.credential_id)


def play(connection: Connection, told: Script, clock: time_machine.Traveller) -> Call:
    """From its first stage to what is written of it, its recording too."""
    call = trials.begin(connection, told)
    write(call)
    while (wait := trials.play(call.pk)) is not None:
        clock.shift(timedelta(seconds=wait))
        write(call)
    for recording in call.recordings.all():
        recordings.fetch(recording.pk)
    write(call)
    call.refresh_from_db()
    return call


# --- The call itself


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_is_played_to_its_end(connection: Connection, clock: time_machine.Traveller, kind: Kind) -> None:
    call = play(connection, script(kind), clock)
    assert (call.state, call.outcome, call.direction) == ("finished", kind.outcome, kind.direction)
    assert (call.source, call.client_phone, call.virtual_number, call.extension) == ("trial", PHONE, LINE, "101")
    assert (call.talk_seconds > 0) == (kind.outcome == "answered")
    assert not trials.unfinished()


def test_a_stage_is_played_when_its_time_has_come_and_once(
    connection: Connection, clock: time_machine.Traveller
) -> None:
    call = trials.begin(connection, script())
    wait = trials.play(call.pk)
    assert wait
    assert InboxEvent.objects.count() == 1
    clock.shift(timedelta(seconds=wait))
    assert trials.play(call.pk)
    assert trials.play(call.pk)  # a second message, or the sweep
    assert InboxEvent.objects.count() == 2
    call.refresh_from_db()
    assert call.state == "answered"


def test_its_recording_is_ours_and_the_pbx_is_not_asked(connection: Connection, clock: time_machine.Traveller) -> None:
    call = play(connection, script(recorded=True), clock)
    recording = call.recordings.get()
    assert (recording.state, recording.content_type) == (Recording.State.STORED, "audio/wav")
    assert recording.size > 10_000
    assert not Exchange.objects.exists()


def test_nothing_takes_it_for_a_call_of_the_pbx(connection: Connection, clock: time_machine.Traveller) -> None:
    call = trials.begin(connection, script())
    assert call.live_leg == ""  # nothing to hang up
    clock.shift(timedelta(days=2))
    assert watchdog.close_silent_calls() == 0
    assert coverage.calls_by_day(connection, timezone.localdate() - timedelta(days=5)) == {}
    connection.refresh_from_db()
    assert connection.clock_shift is None


def test_the_clock_of_the_pbx_moves_nothing(connection: Connection) -> None:
    connection.clock_shift = 10_800
    connection.save()
    call = trials.begin(connection, script())
    assert abs((call.started_at - timezone.now()).total_seconds()) < 60


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_the_suggested_number_is_nobodys(region: str) -> None:
    number = fictional_number(region)
    parsed = phonenumbers.parse(number)
    assert phonenumbers.is_possible_number(parsed)
    assert not phonenumbers.is_valid_number(parsed) or region in ("US", "CA", "GB", "FR")


# --- What would become of it


def rehearsed(connection: Connection, told: Script) -> Rehearsal:
    with translation.override("en"):
        return rehearse(connection, told)


def test_a_rehearsal_leaves_nothing(connection: Connection, integration: Integration, crm: Crm) -> None:
    found = rehearsed(connection, script(recorded=True))
    assert found.wanted
    assert not Call.objects.exists()
    assert not InboxEvent.objects.exists()
    assert not CallSync.objects.exists()
    assert not crm.calls(PHONE)


def test_it_shows_each_step_with_its_request(connection: Connection, integration: Integration, crm: Crm) -> None:
    found = rehearsed(connection, script(recorded=True))
    (plan,) = found.plans
    assert [step.title for step in plan.steps] == [
        "The call was registered",
        "The call was finished",
        "The recording was attached",
    ]
    first = plan.steps[0].request
    assert first is not None
    assert PHONE in first.request
    assert crm.secrets["access_token"] not in f"{first.url} {first.request}"
    assert plan.steps[0].once
    assert (plan.person, plan.client) == ("Anna CRM", "nobody with this number")


@pytest.mark.parametrize("slug", sorted(emulated()))
@pytest.mark.parametrize("kind", Kind)
def test_every_crm_puts_its_requests_together_and_gets_none(connection: Connection, slug: str, kind: Kind) -> None:
    with operated(emulated()[slug]()) as crm:
        credential: Any = make.CredentialFactory(company=connection.company, crm=slug, values=crm.secrets)
        form = credential.adapter.settings_form(crm.settings)
        assert form.is_valid()
        settings = form.cleaned_data
        row: Any = make.IntegrationFactory(credential=credential, connections=[connection], settings=settings)
        anna = connection.company.employees.get()
        make.EmployeeMappingFactory(integration=row, employee=anna, crm_user=crm.users["101"])
        (plan,) = rehearsed(connection, script(kind, recorded=True)).plans
        assert plan.steps
        assert all(step.request or step.words == "" for step in plan.steps)
        assert any(step.request for step in plan.steps)
        assert not crm.calls(PHONE)
        assert crm.screens(PHONE) == set()


def test_what_is_rehearsed_is_what_is_done(
    connection: Connection, integration: Integration, crm: Crm, clock: time_machine.Traveller
) -> None:
    titles = [step.title for step in rehearsed(connection, script()).plans[0].steps]
    row = play(connection, script(), clock).syncs.get()
    with translation.override("en"):
        adapter = row.credential.adapter
        assert [str(adapter.step_titles[step["step"]]) for step in row.history] == titles


def test_the_verdicts_are_those_of_real_calls(connection: Connection, integration: Integration) -> None:
    make.EmployeePhoneFactory(employee=connection.company.employees.get(), phone=PHONE)
    found = rehearsed(connection, script())
    assert not found.wanted
    assert "private" in found.plans[0].standing.words
    integration.active = False
    integration.save()
    found = rehearsed(connection, script())
    assert found.plans == []
    assert found.passport.bystanders[0].why == "It is switched off."


def test_an_account_without_keys_says_so(connection: Connection, integration: Integration) -> None:
    Credential.objects.update(secrets="{}")
    (plan,) = rehearsed(connection, script()).plans
    assert "not installed yet" in plan.steps[0].words


# --- In the CRM, and out of it


def test_it_lands_and_is_cleaned_up(
    connection: Connection, integration: Integration, crm: Crm, clock: time_machine.Traveller
) -> None:
    call = play(connection, script(recorded=True), clock)
    (written,) = crm.calls(PHONE)
    assert (written.answered, written.person, written.client) == (True, crm.users["101"], True)
    row = call.syncs.get()
    created = [trace for trace in cleaning.traces(row) if trace.removable]
    assert {trace.kind for trace in created} == {"ACTIVITY", "LEAD"}
    done = cleaning.clean(call)
    assert (done.removed, done.errors) == (2, [])
    row.refresh_from_db()
    assert (row.state, row.reason) == ("skipped", "cleaned")
    left = cleaning.traces(row)
    assert left
    assert not any(trace.removable for trace in left)
    assert cleaning.clean(call).removed == 0
    assert [step["step"] for step in row.history[-2:]] == ["removed", "removed"]


def test_a_client_whom_the_crm_had_stays(
    connection: Connection, integration: Integration, crm: Crm, clock: time_machine.Traveller
) -> None:
    crm.know(PHONE, "Maria Known", crm.users["101"])
    call = play(connection, script(), clock)
    assert {trace.kind for trace in cleaning.traces(call.syncs.get()) if trace.removable} == {"ACTIVITY"}
    cleaning.clean(call)
    assert rehearsed(connection, script()).plans[0].client == "Maria Known"


def test_what_comes_after_the_clean_up_is_not_written(
    connection: Connection, integration: Integration, crm: Crm, clock: time_machine.Traveller
) -> None:
    call = trials.begin(connection, script(recorded=True))
    write(call)
    with pytest.raises(UnderWay):
        cleaning.clean(call)  # its card would stay open
    while (wait := trials.play(call.pk)) is not None:
        clock.shift(timedelta(seconds=wait))
    call.refresh_from_db()
    cleaning.clean(call)
    assert recordings.fetch(call.recordings.get().pk)
    write(call)
    assert [step["step"] for step in call.syncs.get().history] == ["register", "removed"]


def test_nothing_is_cleaned_or_deleted_under_a_workers_hands(
    connection: Connection, integration: Integration, clock: time_machine.Traveller
) -> None:
    call = play(connection, script(), clock)
    call.syncs.update(lease_until=timezone.now())
    for what in (cleaning.clean, cleaning.delete):
        with pytest.raises(UnderWay):
            what(call)
    clock.shift(timedelta(hours=1))  # that worker is gone
    cleaning.delete(call)


def test_a_right_that_lacks_for_deleting_stops_no_account(
    connection: Connection,
    integration: Integration,
    clock: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = play(connection, script(), clock)

    def forbid(*_: Any) -> None:
        raise CredentialsRefused("no right to delete", code="ACCESS_DENIED")

    monkeypatch.setattr(type(integration.credential.adapter), "remove", forbid)
    with translation.override("en"):
        done = cleaning.clean(call)
    assert (done.removed, len(done.errors)) == (0, 2)
    assert "no right to delete" in done.errors[0]
    assert Credential.objects.get().state == Credential.State.READY


def test_it_is_deleted_with_its_file(
    connection: Connection, integration: Integration, clock: time_machine.Traveller
) -> None:
    call = play(connection, script(recorded=True), clock)
    name = str(call.recordings.get().file)
    cleaning.delete(call)
    assert not Call.objects.exists()
    assert not InboxEvent.objects.exists()
    assert not CallSync.objects.exists()
    assert LooseFile.objects.get().name == name
    assert trials.play(call.pk or 0) is None


def test_only_test_calls_are_cleaned_up_and_deleted(connection: Connection) -> None:
    call = make.CallFactory(connection=connection)
    for what in (cleaning.clean, cleaning.delete):
        with pytest.raises(ValueError, match="test calls"):
            what(call)
