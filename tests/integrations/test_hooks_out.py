"""Webhooks to customers' programmes: told once for each event, signed for anybody to check, tried until taken."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import connection as database
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from standardwebhooks import Webhook

from clients import book
from employees import installation
from integrations import (
    deliveries,
    directory,
    endpoints,
    keeping,
    mirror,
    notices,
    payloads,
    signatures,
    sync,
    telling,
    troubles,
)
from integrations.models import Credential, WebhookDelivery, WebhookEndpoint
from outbound.errors import CredentialsRefused
from telephony import inbox, recordings
from telephony.models import Call, Listening, Recording
from tests import factories as make
from tests.receiver import Receiver, Reply
from tests.telephony.test_inbox import Line, drain

pytestmark = pytest.mark.django_db

State = WebhookDelivery.State
AUDIO = bytes(range(256)) * 4


@pytest.fixture
def line() -> Line:
    found = Line()
    employee = make.EmployeeFactory.create(company=found.connection.company, name="Anna Ivanova")
    make.ExtensionFactory.create(company=found.connection.company, number="101", employee=employee)
    return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture
def endpoint(line: Line, receiver: Receiver) -> WebhookEndpoint:
    row, receiver.secret = endpoints.create(line.connection.company, receiver.url, list(payloads.KINDS))
    return row


@pytest.fixture
def still() -> Iterator[Any]:
    """A clock that stands still until it is moved on."""
    with time_machine.travel(timezone.now(), tick=False) as found:
        yield found


def deliver() -> None:
    """What the workers do now."""
    for endpoint_id in deliveries.with_work():
        deliveries.work_off(endpoint_id)


def tell(endpoint: WebhookEndpoint, count: int = 1) -> list[WebhookDelivery]:
    """Something happened."""
    for _ in range(count):
        telling._tell(endpoint.company_id, payloads.CLIENT, lambda: {"id": str(uuid.uuid4())})
    return list(endpoint.deliveries.order_by("pk"))[-count:]


def fresh(row: Any) -> Any:
    row.refresh_from_db()
    return row


# --- What is told -----------------------------------------------------------------------------------------------------


def test_a_call_is_told_stage_by_stage(line: Line, receiver: Receiver, endpoint: WebhookEndpoint) -> None:
    line.leg("Appeared", 1)
    drain()
    deliver()
    line.leg("Connected", 2)
    drain()
    deliver()
    line.leg("Disconnected", 3)
    line.summary()
    drain()
    deliver()
    assert receiver.kinds == ["call.ringing", "call.answered", "call.finished"]
    assert not receiver.forged
    call = Call.objects.get()
    ringing, answered, finished = (event["data"] for event in receiver.events.values())
    assert {row["id"] for row in (ringing, answered, finished)} == {str(call.uuid)}
    assert ringing["revision"] < answered["revision"] < finished["revision"]
    assert ringing["outcome"] is None
    assert ringing["connection"] == {"id": str(line.connection.uuid), "name": line.connection.name}
    assert answered["employee"]["name"] == "Anna Ivanova"
    assert finished["outcome"] == "answered"
    assert finished["client_phone"] == "+79000000001"
    assert finished["talk_seconds"] == 10
    assert finished["ended_at"].endswith("+00:00")


def test_what_changes_nothing_that_was_told_is_not_told(line: Line, endpoint: WebhookEndpoint) -> None:
    line.leg("Appeared", 1)
    drain()
    line.leg("Appeared", 1)
    line.leg("Appeared", 2, extension="102")
    drain()
    assert [row.kind for row in endpoint.deliveries.all()] == ["call.ringing"]


def test_a_call_that_is_over_when_we_hear_of_it_rings_for_nobody(line: Line, endpoint: WebhookEndpoint) -> None:
    line.leg("Appeared", 1)
    line.leg("Disconnected", 2)
    line.summary()
    drain()
    assert [row.kind for row in endpoint.deliveries.all()] == ["call.finished"]


def test_what_turns_out_to_be_different_is_corrected(line: Line, endpoint: WebhookEndpoint) -> None:
    line.leg("Appeared", 1)
    line.summary(talk=10)
    drain()
    call = Call.objects.get()
    call.talk_seconds, call.version, call.changes = 12, call.version + 1, {"talk_seconds"}
    call.people, call.audio = [], []
    telling.tell_of_calls([call])
    finished, corrected = endpoint.deliveries.order_by("pk")
    assert (finished.kind, corrected.kind) == ("call.finished", "call.corrected")
    assert finished.event != corrected.event
    before, after = (json.loads(row.body)["data"] for row in (finished, corrected))
    assert before["revision"] < after["revision"]
    assert after["talk_seconds"] == 12


def test_a_hidden_number_is_null(line: Line, endpoint: WebhookEndpoint) -> None:
    line.leg("Appeared", 1, client="anonymous")
    drain()
    assert json.loads(endpoint.deliveries.get().body)["data"]["client_phone"] is None


def test_a_recording_is_told_when_it_can_be_fetched_and_when_its_link_is_new(
    line: Line, endpoint: WebhookEndpoint
) -> None:
    call = make.CallFactory(connection=line.connection)
    row = make.RecordingFactory(call=call, state=Recording.State.READY, due_at=timezone.now())
    name = make.RecordingFactory(call=call, content=AUDIO).file.name
    Recording.objects.exclude(pk=row.pk).delete()
    recordings.files.LooseFile.objects.create(name=name, held_until=timezone.now() + timedelta(hours=1))
    recordings._name_file(row, {"file": name, "content_type": "audio/mpeg", "size": len(AUDIO)})
    recordings.revoke(fresh(row), "somebody")
    ready, again = (json.loads(each.body) for each in endpoint.deliveries.order_by("pk"))
    assert (ready["type"], again["type"]) == ("recording.ready", "recording.ready")
    (first,), (second,) = ready["data"]["recordings"], again["data"]["recordings"]
    assert first["url"] != second["url"]
    assert second["url"] == recordings.link(fresh(row))
    assert ready["data"]["id"] == str(call.uuid)
    with transaction.atomic():
        inbox.announce([call.pk])
    assert endpoint.deliveries.count() == 2


def test_what_a_person_brings_into_the_journal_is_no_news(line: Line, endpoint: WebhookEndpoint) -> None:
    call = make.CallFactory(connection=line.connection, source="import")
    call.people, call.audio, call.changes = [], [], {"state"}
    telling.tell_of_calls([call])
    assert not endpoint.deliveries.exists()


def test_somebody_new_in_the_client_book(line: Line, endpoint: WebhookEndpoint) -> None:
    company = line.connection.company
    account = make.CredentialFactory(company=company)
    for _ in range(2):
        book.enter(company, "+79000000001", "Maria", "Flowers")
        mirror.remember(account, "+79000000002", make_match("Pavel"))
    entered, mirrored = (json.loads(row.body) for row in endpoint.deliveries.order_by("pk"))
    assert entered["type"] == mirrored["type"] == "client.created"
    assert entered["data"]["name"] == "Maria"
    assert entered["data"]["account"] is None
    assert mirrored["data"]["phone"] == "+79000000002"
    assert mirrored["data"]["account"] == {"crm": account.crm, "id": str(account.uuid)}


def make_match(name: str) -> Any:
    from crm_adapters.base import ClientMatch

    return ClientMatch("CONTACT", "7", name)


def test_a_crm_that_fails_and_works_again(line: Line, endpoint: WebhookEndpoint) -> None:
    from integrations import credentials

    account = make.CredentialFactory(company=line.connection.company)
    credentials.refuse(account, CredentialsRefused("invalid_grant"))
    notices.look()
    notices.look()
    credentials.store(account, {})
    notices.look()
    failed, recovered = (json.loads(row.body) for row in endpoint.deliveries.order_by("pk"))
    assert (failed["type"], recovered["type"]) == ("sync.failed", "sync.recovered")
    assert failed["data"]["account"] == {"crm": account.crm, "id": str(account.uuid), "name": str(account)}
    assert failed["data"]["incident"] == recovered["data"]["incident"]
    assert str(account.uuid) in failed["data"]["link"]


def test_a_pbx_that_is_away_and_comes_back(line: Line, endpoint: WebhookEndpoint) -> None:
    down = timezone.now() - timedelta(hours=1)
    row = Listening.objects.create(connection=line.connection, down_since=down, error="no route")
    notices.look()
    row.up_since, row.down_since = timezone.now(), None
    row.save()
    notices.look()
    gone, back = (json.loads(each.body) for each in endpoint.deliveries.order_by("pk"))
    assert (gone["type"], back["type"]) == ("connection.down", "connection.up")
    assert "no route" in gone["data"]["message"]
    assert gone["data"]["connection"]["id"] == str(line.connection.uuid)


def test_what_somebody_switches_off_does_not_work_again(line: Line, endpoint: WebhookEndpoint) -> None:
    account = make.CredentialFactory(company=line.connection.company, state=Credential.State.REFUSED)
    notices.look()
    account.delete()
    notices.look()
    assert [row.kind for row in endpoint.deliveries.all()] == ["sync.failed"]


# --- To whom ----------------------------------------------------------------------------------------------------------


def test_an_endpoint_hears_what_it_wants_of_the_connections_that_it_wants(line: Line, receiver: Receiver) -> None:
    company = line.connection.company
    other = make.ConnectionFactory(company=company)
    ends, _ = endpoints.create(company, receiver.url, ["call.finished", "client.created"])
    elsewhere, _ = endpoints.create(company, receiver.url, ["call.ringing", "client.created"], connections=[other])
    line.leg("Appeared", 1)
    drain()
    line.summary()
    drain()
    book.enter(company, "+79000000001", "Maria", "")
    assert [row.kind for row in ends.deliveries.order_by("pk")] == ["call.finished", "client.created"]
    assert [row.kind for row in elsewhere.deliveries.all()] == ["client.created"]
    assert ends.deliveries.get(kind="client.created").event == elsewhere.deliveries.get().event


def test_companies_hear_of_themselves_alone(line: Line, endpoint: WebhookEndpoint) -> None:
    theirs = make.WebhookEndpointFactory()
    line.leg("Appeared", 1)
    drain()
    book.enter(theirs.company, "+79000000001", "Maria", "")
    assert [row.kind for row in endpoint.deliveries.all()] == ["call.ringing"]
    assert [row.kind for row in theirs.deliveries.all()] == ["client.created"]


def test_who_has_no_endpoint_pays_nothing(line: Line) -> None:
    make.WebhookEndpointFactory()  # somebody else's
    line.leg("Appeared", 1)
    drain()
    call = Call.objects.get()
    call.people, call.audio, call.changes = [], [], {"state"}
    directory.endpoints(call.company_id)
    with CaptureQueriesContext(database) as queries:
        telling.tell_of_calls([call] * 50)
    assert not queries.captured_queries


def test_many_calls_are_one_statement(line: Line, endpoint: WebhookEndpoint) -> None:
    calls: list[Call] = make.CallFactory.create_batch(32, connection=line.connection)
    for call in calls:
        call.people, call.audio, call.changes = [], [], {"state"}
    telling.tell_of_calls(calls[:1])
    with CaptureQueriesContext(database) as queries:
        telling.tell_of_calls(calls)
    assert len(queries.captured_queries) == 1
    assert endpoint.deliveries.count() == 33


def test_an_endpoint_that_was_just_made_hears_what_other_processes_announce(line: Line, receiver: Receiver) -> None:
    """A process that folds nothing looks whether configuration has changed."""
    call = make.CallFactory(connection=line.connection)
    make.RecordingFactory(call=call, content=AUDIO)
    installation.refresh()
    assert directory.endpoints(call.company_id) == []
    endpoint, _ = endpoints.create(line.connection.company, receiver.url, ["recording.ready"])
    with transaction.atomic():
        inbox.announce([call.pk], "audio")
    assert endpoint.deliveries.count() == 1


def test_what_is_rolled_back_was_never_told(line: Line, endpoint: WebhookEndpoint) -> None:
    with transaction.atomic():
        tell(endpoint)
        transaction.set_rollback(True)
    assert not endpoint.deliveries.exists()


# --- Signatures -------------------------------------------------------------------------------------------------------


def test_while_secrets_rotate_both_open_it(receiver: Receiver, endpoint: WebhookEndpoint, still: Any) -> None:
    old = receiver.secret
    new = endpoints.rotate(endpoint)
    newest = endpoints.rotate(endpoint)
    assert len({old, new, newest}) == 3
    for secret in (old, new, newest):
        receiver.secret = secret
        tell(endpoint)
        deliver()
    assert len(receiver.seen) == 3
    assert not receiver.forged
    still.shift(endpoints.OVERLAP + timedelta(seconds=1))
    receiver.secret = new
    tell(endpoint)
    deliver()
    receiver.secret = newest
    still.shift(timedelta(minutes=1))
    deliver()
    assert len(receiver.forged) == 1
    assert len(receiver.seen) == 4
    endpoints.rotate(fresh(endpoint))
    assert len(endpoint.keys) == 2


def test_the_example_of_the_specification() -> None:
    """standardwebhooks.com, “Example signature scheme”: our own few lines say what its libraries say."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    headers = signatures.headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    with time_machine.travel(1614265330):
        assert Webhook(secret).verify(body, headers) == {"test": 2432232314}


def test_a_message_says_who_sends_what(receiver: Receiver, endpoint: WebhookEndpoint) -> None:
    (row,) = tell(endpoint)
    deliver()
    ((headers, body),) = receiver.requests
    assert headers["webhook-id"] == row.message_id
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("Callbridge")
    said = json.loads(body)
    assert set(said) == {"type", "version", "timestamp", "data"}
    assert said["version"] == 1


# --- Until it is taken ------------------------------------------------------------------------------------------------


def test_eight_tries_in_a_bit_more_than_a_day(receiver: Receiver, endpoint: WebhookEndpoint, still: Any) -> None:
    receiver.usual = Reply(500, body=b"we are down")
    began = timezone.now()
    (row,) = tell(endpoint)
    waits = []
    while fresh(row).state == State.WAITING:
        assert row.due_at
        waits.append((row.due_at - timezone.now()).total_seconds())
        still.move_to(row.due_at - timedelta(seconds=1))
        deliver()
        assert len(receiver.seen) == len(waits) - 1, "not before its time"
        still.move_to(row.due_at + timedelta(milliseconds=1))
        deliver()
    assert (row.state, row.attempts, row.status) == (State.FAILED, 8, 500)
    assert row.due_at is None
    assert "we are down" in row.answer
    assert len(row.history) == 8
    assert waits[0] == 0
    for wait, pause in zip(waits[1:], deliveries.PAUSES, strict=True):
        assert abs(wait - pause) <= pause * deliveries.JITTER + 1
    assert timedelta(hours=24) < timezone.now() - began < timedelta(hours=31)
    assert set(receiver.seen) == {row.message_id}
    assert len({body for _headers, body in receiver.requests}) == 1
    assert len({headers["webhook-timestamp"] for headers, _body in receiver.requests}) == 8


def test_an_outage_costs_the_others_no_try_and_everything_flows_when_it_is_over(
    receiver: Receiver, endpoint: WebhookEndpoint, still: Any
) -> None:
    receiver.usual = Reply(503)
    rows = tell(endpoint, 40)
    for _ in range(60):
        deliver()
        still.shift(timedelta(seconds=61))
    assert len(receiver.seen) <= 16 + 60
    assert max(fresh(row).attempts for row in rows) < deliveries.TRIES
    assert fresh(endpoint).failing_since
    receiver.usual = Reply()
    for _ in range(3):
        deliver()
        still.shift(timedelta(seconds=61))
    assert {fresh(row).state for row in rows} == {State.DELIVERED}
    assert len(receiver.events) == 40
    assert fresh(endpoint).failing_since is None


def test_several_at_once(receiver: Receiver, endpoint: WebhookEndpoint) -> None:
    receiver.gate = threading.Barrier(deliveries.AT_ONCE)
    tell(endpoint, deliveries.BATCH)
    deliver()
    assert len(receiver.events) == deliveries.BATCH
    assert receiver.busiest == deliveries.AT_ONCE


@pytest.mark.parametrize("how", ["seconds", "date"])
def test_retry_after_is_honoured(receiver: Receiver, endpoint: WebhookEndpoint, still: Any, how: str) -> None:
    until = (timezone.now() + timedelta(minutes=20)).replace(microsecond=0)
    said = "1200" if how == "seconds" else format_datetime(until, usegmt=True)
    receiver.replies.append(Reply(429, {"Retry-After": said}))
    tell(endpoint)
    deliver()
    later = tell(endpoint)
    still.shift(timedelta(minutes=19))
    deliver()
    assert len(receiver.requests) == 1, "nothing else either"
    still.shift(timedelta(minutes=2))
    deliver()
    assert len(receiver.events) == 2
    assert fresh(later[0]).attempts == 1


def test_redirects_are_not_followed(receiver: Receiver, endpoint: WebhookEndpoint) -> None:
    with Receiver(receiver.secret) as other:
        receiver.replies.append(Reply(302, {"Location": other.url}))
        (row,) = tell(endpoint)
        deliver()
        assert not other.requests
    assert fresh(row).status == 302
    assert "redirect" in row.error


def test_an_answer_is_read_so_far_and_no_further(receiver: Receiver, endpoint: WebhookEndpoint) -> None:
    key = endpoint.keys[0][0]
    receiver.usual = Reply(200, body=f'{{"you_sent": "{key}"}}'.encode() + b"x" * 1_000_000)
    (row,) = tell(endpoint)
    deliver()
    assert fresh(row).state == State.DELIVERED
    assert len(row.answer) <= deliveries.SHOWN
    assert key not in row.answer


def test_nobody_there(endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    with Receiver() as gone:
        url = gone.url
    endpoints.change(endpoint, url, endpoint.kinds.split())
    (row,) = tell(endpoint)
    deliver()
    assert fresh(row).state == State.WAITING
    assert row.status is None
    assert row.error
    assert "whsec" not in row.error


def test_the_guard_keeps_it_out_of_our_own_network(
    receiver: Receiver, endpoint: WebhookEndpoint, settings: Any
) -> None:
    settings.ALLOW_PRIVATE_HOSTS = False
    (row,) = tell(endpoint)
    deliver()
    assert not receiver.requests
    assert "not a public address" in fresh(row).error


def test_two_workers_send_it_once(
    receiver: Receiver, endpoint: WebhookEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes while somebody is sending finds nothing to do."""
    send = deliveries._send
    met: list[Any] = []

    def meanwhile(claim: Any) -> Any:
        monkeypatch.setattr(deliveries, "_send", send)
        assert deliveries.with_work() == []
        met.append(deliveries._claim(endpoint.pk))
        return send(claim)

    monkeypatch.setattr(deliveries, "_send", meanwhile)
    tell(endpoint, 3)
    deliver()
    assert met == [None]
    assert len(receiver.seen) == len(receiver.events) == 3


def test_who_died_is_taken_over_from_and_what_he_sent_is_sent_again(
    receiver: Receiver, endpoint: WebhookEndpoint, still: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once, as is promised; the id says that it is the same."""
    (row,) = tell(endpoint)
    with monkeypatch.context() as patch:
        patch.setattr(deliveries, "_note", lambda *_: None)
        claim = deliveries._claim(endpoint.pk)
        assert claim
        deliveries._send(claim)
    deliver()
    assert len(receiver.seen) == 1
    still.shift(deliveries.LEASE + timedelta(seconds=1))
    deliver()
    assert receiver.seen == [row.message_id] * 2
    assert len(receiver.events) == 1
    assert fresh(row).state == State.DELIVERED


def test_who_has_lost_his_lease_notes_nothing(receiver: Receiver, endpoint: WebhookEndpoint, still: Any) -> None:
    (row,) = tell(endpoint)
    late = deliveries._claim(endpoint.pk)
    assert late
    still.shift(deliveries.LEASE + timedelta(seconds=1))
    deliver()
    deliveries._note(late, [deliveries.Try(timezone.now(), 500, "", "no", 1)])
    assert fresh(row).state == State.DELIVERED
    assert fresh(endpoint).failures == 0


def test_who_must_end_hands_back(endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    tell(endpoint)
    claim = deliveries._claim(endpoint.pk)
    assert claim
    deliveries._under_way.add(claim.lease)
    assert deliveries.with_work() == []
    deliveries.hand_back()
    deliveries._under_way.clear()
    deliver()
    assert len(receiver.seen) == 1
    sync.ending.set()
    tell(endpoint)
    deliver()
    assert len(receiver.seen) == 1


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once(line: Line, receiver: Receiver, endpoint: WebhookEndpoint) -> None:
    tell(endpoint, 30)

    def work() -> None:
        try:
            deliveries.work_off(endpoint.pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    deliver()
    assert len(receiver.seen) == len(receiver.events) == 30


# --- Switched off -----------------------------------------------------------------------------------------------------


def test_five_days_of_failure_switch_it_off_with_a_notice(
    line: Line, receiver: Receiver, endpoint: WebhookEndpoint, still: Any
) -> None:
    receiver.usual = Reply(500)
    for _ in range(4):
        tell(endpoint)
        deliver()
        still.shift(timedelta(days=1))
    assert fresh(endpoint).active
    (warning,) = [each for each in troubles.of(endpoint.company) if each.cause.startswith("webhook")]
    assert not warning.grave
    still.shift(timedelta(days=1, minutes=1))
    waiting = tell(endpoint, 2)
    deliver()
    assert not fresh(endpoint).active
    assert endpoint.off_reason == WebhookEndpoint.Off.FAILING
    assert {fresh(row).state for row in waiting} == {State.FAILED}
    (trouble,) = [each for each in troubles.of(endpoint.company) if each.cause.startswith("webhook")]
    assert trouble.grave
    assert str(endpoint.uuid) in trouble.link
    notices.look()
    tell(endpoint)
    assert endpoint.deliveries.count() == 6, "nothing more is written for it"
    receiver.usual = Reply()
    endpoints.switch_on(endpoint)
    notices.look()
    tell(endpoint)
    deliver()
    assert len(receiver.events) == 1
    assert notices.Notice.objects.get().mended


def test_one_success_in_between_and_it_stays_on(receiver: Receiver, endpoint: WebhookEndpoint, still: Any) -> None:
    for day in range(9):
        receiver.usual = Reply() if day == 4 else Reply(500)
        endpoint.deliveries.all().delete()
        tell(endpoint)
        deliver()
        still.shift(timedelta(days=1))
    assert fresh(endpoint).active


def test_gone_is_gone(receiver: Receiver, endpoint: WebhookEndpoint) -> None:
    receiver.usual = Reply(410)
    tell(endpoint)
    deliver()
    assert not fresh(endpoint).active
    assert endpoint.off_reason == WebhookEndpoint.Off.GONE
    assert endpoint.deliveries.get().state == State.FAILED


def test_what_is_deleted_hears_nothing_and_goes_with_its_log(endpoint: WebhookEndpoint, still: Any) -> None:
    tell(endpoint)
    endpoints.delete(endpoint)
    assert not endpoints.of(endpoint.company).exists()
    tell(endpoint)
    assert endpoint.deliveries.count() == 1
    make.WebhookDeliveryFactory(endpoint=endpoint, state=State.WAITING)  # of a process that did not know it yet
    still.shift(timedelta(hours=2))
    keeping.delete_old()
    assert not WebhookEndpoint.objects.exists()


def test_the_log_is_kept_as_long_as_the_company_says(endpoint: WebhookEndpoint, still: Any) -> None:
    endpoint.company.exchanges_kept_days = 30
    endpoint.company.save()
    old = timezone.now() - timedelta(days=31)
    gone = make.WebhookDeliveryFactory(endpoint=endpoint, created_at=old)
    waits = make.WebhookDeliveryFactory(endpoint=endpoint, created_at=old, state=State.WAITING)
    stays = make.WebhookDeliveryFactory(endpoint=endpoint, created_at=old + timedelta(days=2))
    keeping.delete_old()
    assert set(endpoint.deliveries.values_list("pk", flat=True)) == {waits.pk, stays.pk}
    assert gone.pk


# --- Once more --------------------------------------------------------------------------------------------------------


def test_one_is_sent_once_more_with_its_id(receiver: Receiver, endpoint: WebhookEndpoint) -> None:
    (row,) = tell(endpoint)
    deliver()
    telling.resend(row)
    deliver()
    assert receiver.seen == [row.message_id] * 2
    assert len(receiver.events) == 1
    assert len(fresh(row).history) == 2


def test_all_since_a_moment_behind_what_is_new(receiver: Receiver, endpoint: WebhookEndpoint, still: Any) -> None:
    before, missed = tell(endpoint)[0], []
    still.shift(timedelta(hours=1))
    since = timezone.now()
    missed = tell(endpoint, 20)
    WebhookDelivery.objects.filter(pk__in=[row.pk for row in missed]).update(state=State.FAILED, due_at=None)
    deliver()
    assert receiver.seen == [before.message_id]
    assert telling.resend_since(endpoint, since, failed_only=True) == 20
    assert telling.progress(fresh(endpoint)) == (0, 20)
    (new,) = tell(endpoint)
    claim = deliveries._claim(endpoint.pk)
    assert claim
    assert claim.rows[0].pk == new.pk
    deliveries._note(claim, deliveries._send(claim))
    assert telling.progress(fresh(endpoint)) == (deliveries.BATCH - 1, 20)
    deliver()
    assert telling.progress(fresh(endpoint)) == (20, 20)
    assert len(receiver.events) == 22
    assert telling.resend_since(endpoint, since, failed_only=True) == 0
    assert telling.resend_since(endpoint, since, failed_only=False) == 21


def test_a_person_need_not_wait_for_the_pause(receiver: Receiver, endpoint: WebhookEndpoint, still: Any) -> None:
    receiver.replies.append(Reply(503, {"Retry-After": "3600"}))
    tell(endpoint)
    deliver()
    test = telling.send_test(fresh(endpoint))
    deliver()
    assert fresh(test).state == State.DELIVERED
    assert receiver.kinds == ["webhook.test"]


def test_what_is_switched_off_sends_nothing(endpoint: WebhookEndpoint) -> None:
    (row,) = tell(endpoint)
    endpoints.switch_off(endpoint)
    row.endpoint = endpoint
    for ask in (
        lambda: telling.send_test(endpoint),
        lambda: telling.resend(row),
        lambda: telling.resend_since(endpoint, row.created_at, failed_only=False),
    ):
        with translation.override("en"), pytest.raises(ValidationError, match="Switch it on"):
            ask()


# --- Addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "calls.example.com",
        "ftp://calls.example.com/",
        "http://calls.example.com/",
        "https://somebody:password@calls.example.com/",
        "https://calls.example.com/#part",
        "https://127.0.0.1/",
        "https://10.0.0.7/",
        "https://[::1]/",
        "https://localhost/",
        "https://169.254.169.254/latest/meta-data/",
    ],
)
def test_addresses_that_cannot_be_one(url: str, settings: Any) -> None:
    settings.ALLOW_PRIVATE_HOSTS = False
    with pytest.raises(ValidationError):
        endpoints.checked_url(url)


def test_an_address_that_can(settings: Any) -> None:
    settings.ALLOW_PRIVATE_HOSTS = False
    assert endpoints.checked_url(" https://calls.example.com/in?token=7 ") == "https://calls.example.com/in?token=7"


def test_kinds_and_numbers_of_endpoints_have_bounds(line: Line) -> None:
    company = line.connection.company
    for kinds in ([], ["call.invented"]):
        with pytest.raises(ValidationError):
            endpoints.create(company, "https://calls.example.com/", kinds)
    make.WebhookEndpointFactory.create_batch(endpoints.MOST, company=company)
    with translation.override("en"), pytest.raises(ValidationError, match="at most"):
        endpoints.create(company, "https://calls.example.com/", ["call.finished"])


def test_secrets_and_addresses_are_unreadable_in_the_database(endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT url, secrets FROM integrations_webhookendpoint")
        row = str(cursor.fetchone())
    assert receiver.url not in row
    assert "whsec" not in row
