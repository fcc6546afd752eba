"""Failed events are tried again by cause: all of it and nothing else, once each, whenever a worker dies."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation

from crm_adapters import registry
from crm_adapters.base import Disconnected, SecretsChanged
from integrations import actors, crm_events, replays
from integrations.models import Credential, CrmEvent, Replay
from telephony import inbox
from telephony.models import InboxEvent
from tests.factories import ConnectionFactory, CredentialFactory, CrmEventFactory, InboxEventFactory, UserFactory

PBX, CRM = Replay.Kind.PBX, Replay.Kind.CRM
FAILED, FOLDED = InboxEvent.State.FAILED, InboxEvent.State.FOLDED
BUG = "KeyError: 'seq'"


@pytest.fixture(autouse=True)
def small_batches(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "BATCH", 2)


def fine(**fields: Any) -> InboxEvent:
    """An event that failed for a bug that is mended by now."""
    return InboxEventFactory.create(**{"state": FAILED, "error": BUG, "path": "ping"} | fields)


def bad(**fields: Any) -> InboxEvent:
    """One that no mend helps."""
    return fine(path="events/call", body=b"vpbx_api_key=k&sign=s&json={", **fields)


def work_off(replay: Replay) -> Replay:
    while replays.work(replay.pk) is not None:
        pass
    replay.refresh_from_db()
    return replay


def test_causes_are_told_over_all_companies() -> None:
    for _ in range(3):
        fine()
    newest = fine(error="ValueError: 7")
    CrmEventFactory.create(state=CrmEvent.State.GIVEN_UP, error="asleep")
    InboxEventFactory.create()
    found = [(cause.kind, cause.words, cause.count, cause.companies) for cause in replays.causes()]
    assert found[0] == (PBX, BUG, 3, 3)
    assert sorted(found[1:]) == [(CRM, "asleep", 1, 1), (PBX, "ValueError: 7", 1, 1)]
    assert newest.pk in [cause.newest for cause in replays.causes()]


def test_all_of_a_cause_and_nothing_else_is_tried_again() -> None:
    mended = [fine() for _ in range(4)]
    lost, other = bad(), fine(error="ValueError: 7")
    replay = replays.start(PBX, mended[0].pk, UserFactory.create())
    assert replay is not None
    assert (replay.total, replay.finished_at) == (5, None)
    later = fine()
    work_off(replay)
    assert (replay.done, replay.failed, replay.understood) == (5, 1, 4)
    assert replay.finished_at
    states = dict(InboxEvent.objects.values_list("pk", "state"))
    assert [states[row.pk] for row in mended] == [FOLDED] * 4
    assert [states[row.pk] for row in (lost, other, later)] == [FAILED] * 3


def test_a_cause_is_tried_once_at_a_time() -> None:
    row = fine()
    first = replays.start(PBX, row.pk, None)
    assert replays.start(PBX, fine().pk, None) == first
    assert replays.start(PBX, InboxEventFactory.create().pk, None) is None


@pytest.mark.parametrize("where", ["_try", "_judge"])
def test_who_comes_after_a_dead_worker_goes_on(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        fine()
    replay = replays.start(PBX, bad().pk, None)
    assert replay is not None

    def die(*_: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(replays, where, die)
        with pytest.raises(SystemExit):
            replays.work(replay.pk)
    while inbox.drain():  # the web process does, meanwhile
        pass
    assert replay.pk in replays.due()
    work_off(replay)
    assert (replay.done, replay.failed) == (4, 1)


def test_two_workers_do_not_share_one() -> None:
    replay = replays.start(PBX, fine().pk, None)
    assert replay is not None
    Replay.objects.update(lease_until=timezone.now() + timedelta(minutes=1))
    assert replays.due() == []
    assert replays.work(replay.pk) is None
    assert InboxEvent.objects.filter(state=FAILED).count() == 1


def failed_crm_event(said: dict[str, Any], **fields: Any) -> CrmEvent:
    body = json.dumps(said).encode()
    return CrmEventFactory.create(body=body, state=CrmEvent.State.FAILED, error=BUG, **fields)


def test_events_of_crms_are_tried_again_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [failed_crm_event({}) for _ in range(3)]
    lost = failed_crm_event({"bad": True})

    def events(request: Any, http: Any, secrets: Any) -> list[Any]:
        assert not json.loads(request.body)
        return []

    adapter = registry.get(rows[0].credential.crm)
    monkeypatch.setattr(type(adapter), "events", lambda self, *given: events(*given))
    replay = replays.start(CRM, rows[0].pk, None)
    assert replay is not None
    work_off(replay)
    assert (replay.total, replay.done, replay.failed) == (4, 4, 1)
    lost.refresh_from_db()
    assert lost.error.startswith("AssertionError")


@pytest.mark.parametrize(
    "event", [SecretsChanged(secrets={"access_token": "old"}), Disconnected()], ids=["keys", "removed"]
)
def test_old_news_of_keys_changes_nothing(monkeypatch: pytest.MonkeyPatch, event: Any) -> None:
    """An installation that failed on Monday does not put Monday's keys in the place of today's."""
    credential = CredentialFactory.create(stored_at=timezone.now())
    row = failed_crm_event({}, credential=credential)
    CrmEvent.objects.update(received_at=timezone.now() - timedelta(days=3))
    monkeypatch.setattr(type(credential.adapter), "events", lambda *_: [event])
    replay = replays.start(CRM, row.pk, None)
    assert replay is not None
    work_off(replay)
    row.refresh_from_db()
    assert (row.state, row.outcome) == (CrmEvent.State.HANDLED, "overtaken")
    before = credential.values
    credential.refresh_from_db()
    assert (credential.state, credential.values) == (Credential.State.READY, before)
    with translation.override("en"):
        assert "nothing was changed" in crm_events.in_words(row)


def test_support_presses_a_button(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(actors.replay_events, "send", sent.append)
    desk = Client(headers={"accept-language": "en"})
    desk.force_login(UserFactory.create(is_staff=True, email="helper@example.com"))
    row = fine(connection=ConnectionFactory.create(company__name="Flowers"))
    assert "seq" in desk.get("/support/failed/").content.decode()
    assert desk.get("/support/failed/replay/").status_code == 405
    answer = desk.post("/support/failed/replay/", {"kind": "pbx", "event": row.pk}, follow=True).content.decode()
    assert "1 event is tried again" in answer
    (replay,) = Replay.objects.all()
    assert sent == [replay.pk]
    work_off(replay)
    part = desk.get("/support/failed/", headers={"X-Part": "1"}).content.decode()
    assert "helper@example.com" in part
    assert "finished" in part
    gone = desk.post("/support/failed/replay/", {"kind": "pbx", "event": row.pk}, follow=True).content.decode()
    assert "Nothing of this cause is left" in gone
