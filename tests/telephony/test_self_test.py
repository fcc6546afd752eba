"""The self-test of a protocol that any PBX can be taught: the words for each mistake, and what the PBX answers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.core.cache import cache
from django.utils import timezone, translation

from outbound.vendors import Refused
from telephony import recordings, self_tests, turned_away, webhooks
from telephony.models import Connection, Recording
from telephony.pipeline import Pipeline
from telephony.providers import registry, telephony_api
from telephony.providers.base import NotUnderstood, Request
from telephony.providers.self_test import Heard, Remark
from telephony.self_tests import Course
from tests import factories as make
from tests.emulators.open_api import ITS_KEY, OUR_KEY, Emulator, wire
from tests.emulators.pbx import SCENARIOS, Scenario
from tests.emulators.served import Told, Wire
from tests.stack import ROOT
from tests.telephony.test_webhooks import Client, pages

API = registry.get("open_api")
TEST = API.self_test
assert TEST
BEGAN = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
USUAL = {"cmd": "event", "type": "in", "phone": "79000000001", "callid": "c1", "ext": "101", "diversion": "74950000001"}
RINGS = USUAL | {"event": "INCOMING"}
ANSWERED = USUAL | {"event": "ACCEPTED"}
ENDED = USUAL | {"event": "COMPLETED", "status": "Success", "duration": "2"}
MISSED = USUAL | {"event": "COMPLETED", "status": "Missed", "duration": "0"}


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    with translation.override("en"):
        yield


# --- The words for each mistake ---------------------------------------------------------------------------------------


def heard(*told: dict[str, str]) -> list[Heard]:
    """Requests, one a second."""
    return [_heard(wire(fields), BEGAN + timedelta(seconds=place)) for place, fields in enumerate(told)]


def _heard(told: Wire, at: datetime) -> Heard:
    request = Request("POST", "", told.body, "", told.headers)
    try:
        return Heard(at, request, tuple(API.parse(request, {})))
    except NotUnderstood as error:
        return Heard(at, request, error=str(error))


def remarks(*told: dict[str, str]) -> list[list[Remark]]:
    assert TEST
    return TEST.remarks(heard(*told))


def without(fields: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name not in names}


def test_calls_as_they_should_be_are_not_remarked_upon() -> None:
    outgoing = {"type": "out", "callid": "c2"}
    told = [RINGS, ANSWERED, ENDED, {"cmd": "record", "callid": "c1", "record_link": "https://pbx.example/1.mp3"}]
    told += [RINGS | outgoing | {"event": "OUTGOING"}, MISSED | outgoing | {"status": "NoAnswer"}]
    told += [RINGS | {"callid": "c3"}, RINGS | {"callid": "c3", "ext": "102"}, MISSED | {"callid": "c3"}]
    told += [{"cmd": "ping"}, {"cmd": "contact", "phone": "79000000001"}]
    assert [rows for rows in remarks(*told) if rows] == []


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([{"phone": "79000000001"}], "cmd is missing"),
        (
            [USUAL | {"cmd": "notify"}],
            "cmd is “notify”, which we do not know. Known are: event, record, contact, ping.",
        ),
        ([RINGS | {"callid": ""}], "callid is missing or empty. The request was answered with 400."),
        ([without(RINGS, "phone")], "phone is missing or empty."),
        ([{"cmd": "record", "callid": "c1"}], "record_link is missing or empty."),
        ([{"cmd": "contact"}], "phone is missing or empty."),
        ([RINGS | {"event": "RINGING"}], "event is “RINGING”, which says nothing to us."),
        ([RINGS | {"type": "inbound"}], "type is “inbound”: it must be in or out."),
        ([RINGS | {"type": "out"}], "event=INCOMING does not go with type=out."),
        ([RINGS | {"phone": "7" * 16}], "phone has 16 digits"),
        ([RINGS | {"phone": "102"}], "phone is as short as an extension"),
        ([without(RINGS, "ext")], "ext is missing: nobody knows whose phone it is."),
        ([ANSWERED], "Wrong order, or another callid"),
        ([MISSED], "Wrong order, or another callid"),
        ([ANSWERED, RINGS], "Wrong order: ACCEPTED of the same ext came before INCOMING."),
        ([RINGS, MISSED, ANSWERED], "It came after the end (COMPLETED) of this call."),
        ([RINGS, ANSWERED | {"phone": "79000000002"}], "phone is another one than before in this call."),
        ([RINGS, ANSWERED | {"type": "out"}], "type is another one than before in this call."),
        ([RINGS, without(MISSED, "status")], "status is missing: the call counts as failed."),
        ([RINGS, MISSED | {"status": "Gone"}], "status is “Gone”: the call counts as failed."),
        ([RINGS, ENDED], "status is Success, but no ACCEPTED came"),
        ([RINGS, ANSWERED, MISSED], "status is Missed, but ACCEPTED came before."),
        ([RINGS, ANSWERED, without(ENDED, "duration")], "duration is missing"),
        ([RINGS, ANSWERED, ENDED | {"duration": "00:02"}], "duration is “00:02”: it must be whole seconds."),
        ([RINGS, ANSWERED, ENDED | {"duration": "2000"}], "duration cannot be: 2000 seconds of conversation"),
        ([RINGS, MISSED | {"duration": "1"}], "duration is not 0, but by its status nobody talked."),
        ([RINGS, ANSWERED, ENDED | {"record_link": "/1.mp3"}], "record_link is no address that begins with https://."),
        (
            [{"cmd": "record", "callid": "c9", "record_link": "https://pbx.example/1.mp3"}],
            "nobody knows whose recording",
        ),
    ],
)
def test_each_mistake_has_its_words(told: list[dict[str, str]], words: str) -> None:
    last = remarks(*told)[-1]
    assert any(words in remark.words and remark.wrong for remark in last), last


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([RINGS | {"phone": "anonymous"}], "phone has no digits"),
        ([without(RINGS, "diversion")], "diversion is missing"),
        ([without(MISSED, "ext")], "No phone rang before: right for a caller who hangs up in the voice menu."),
        ([RINGS, RINGS], "It came before, word for word"),
        ([RINGS, ANSWERED, ENDED | {"is_recorded": "1"}], "is_recorded promises a recording"),
    ],
)
def test_what_is_only_worth_knowing_is_no_mistake(told: list[dict[str, str]], words: str) -> None:
    last = remarks(*told)[-1]
    assert any(words in remark.words for remark in last), last
    assert not any(remark.wrong for remark in last)


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"cmd=ping&planfix_token=another", "application/x-www-form-urlencoded", "The key is another one"),
        (b"cmd=ping", "application/x-www-form-urlencoded", "There was no key"),
        (b'{"cmd": "ping"}', "application/json", "The body was no form"),
    ],
)
def test_why_a_request_is_not_proven(body: bytes, kind: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        API.authenticate(Request("POST", "", body, "", {"content-type": kind}), {"our_key": OUR_KEY})
    assert TEST
    assert words in TEST.refusal(caught.value.why)


# --- A connection and its PBX -----------------------------------------------------------------------------------------


@pytest.fixture
def pbx() -> Iterator[Emulator]:
    emulator = Emulator(lambda told: Told(knock(Connection.objects.get(), told).status))
    with emulator.serving():
        yield emulator


@pytest.fixture
def taught(db: None, pbx: Emulator) -> Connection:
    cache.clear()
    return make.ConnectionFactory.create(provider="open_api", brand="azerizone", credentials=pbx.secrets)


def knock(connection: Connection, told: Wire) -> Any:
    request = Request("POST", told.path, told.body, told.query, told.headers, "192.0.2.1")
    return webhooks.receive(API, connection.address.token, request)


def named(name: str) -> Scenario:
    """A scenario that lasts as long as it takes to play it."""
    return replace(next(each for each in SCENARIOS if each.name == name), seconds=2)


def course(connection: Connection) -> Course:
    assert TEST
    return self_tests.course_of(connection, TEST, connection.created_at)


def states(connection: Connection) -> list[str]:
    return [each.state for each in course(connection).awaited]


def test_a_good_pbx_passes_every_step(taught: Connection, pbx: Emulator) -> None:
    assert set(states(taught)) == {"waiting"}
    pbx.tell(wire({"cmd": "ping"}))
    pbx.tell(wire({"cmd": "contact", "phone": "79000000001", "callid": "call-000001"}))
    for name in ("answered and recorded", "missed", "outgoing"):
        pbx.play(named(name))
    assert set(states(taught)) == {"done"}
    told = course(taught)
    assert told.whole
    assert not told.wrong
    assert told.missing == []
    rings = next(event for event in told.events if event.understood)
    assert (rings.understood[0].phone, rings.understood[0].extension) == ("+79000000001", "101")
    assert OUR_KEY not in rings.body


def test_a_mistake_counts_until_it_is_mended(taught: Connection, pbx: Emulator) -> None:
    pbx.tell(wire(without(RINGS, "ext")))
    assert states(taught)[1] == "wrong"
    assert not course(taught).whole
    pbx.tell(wire(RINGS | {"callid": "c2"}))
    assert states(taught)[1] == "done"


def test_what_is_answered_with_400_is_told_by_its_field(taught: Connection, pbx: Emulator) -> None:
    pbx.tell(wire(without(RINGS, "phone")))
    assert pbx.answers[-1].status == 400
    (event,) = course(taught).events
    assert [remark.words for remark in event.remarks] == [
        "phone is missing or empty. The request was answered with 400."
    ]


def test_a_recording_is_fetched_and_looked_at(taught: Connection, pbx: Emulator) -> None:
    pbx.play(named("answered and recorded"))
    with pbx.faulty("html", path="/records"):
        recordings.fetch(Recording.objects.get().pk)
    (row,) = course(taught).recordings
    assert "no audio" in row.error
    Recording.objects.update(due_at=timezone.now())
    recordings.fetch(row.pk)
    (row,) = course(taught).recordings
    assert (row.state, row.content_type) == ("stored", "audio/mpeg")


# --- What we ask ------------------------------------------------------------------------------------------------------


def dial(connection: Connection, extension: str = "101") -> self_tests.Played:
    user = make.UserFactory.create()
    return self_tests.dial(connection, extension=extension, phone="+79000000009", user=user)


def test_a_dial_is_taken_and_its_events_are_awaited(taught: Connection, pbx: Emulator) -> None:
    played = dial(taught)
    assert played.ok
    assert pbx.dialled == [("101", "+79000000009")]
    exchange = self_tests.exchange_of(played)
    assert exchange
    assert (exchange.status, "makeCall" in exchange.request) == (200, True)
    assert not self_tests.followed(course(taught), played)
    pbx.redial("101", "+79000000009")
    assert self_tests.followed(course(taught), played)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("html", "The answer is a page (HTML)"),
        ("down", "HTTP 503"),
        ("reset", "cannot be reached"),
    ],
)
def test_a_dial_that_goes_wrong(fault: str, words: str, taught: Connection, pbx: Emulator) -> None:
    with pbx.faulty(fault, path="/planfix_api"):
        played = dial(taught)
    assert not played.ok
    assert words in " ".join([played.words, *played.wrong])


def test_a_dial_that_the_pbx_refuses_is_shown_with_its_words(taught: Connection) -> None:
    played = dial(taught, extension="999")
    assert not played.ok
    assert "Invalid parameters" in played.words


def test_a_slow_pbx_is_told_so(taught: Connection, pbx: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_tests, "PROMPT", -1)
    played = dial(taught)
    assert played.ok
    assert "somebody waits for it" in played.wrong[0]


def test_a_pbx_that_does_not_answer_in_time(taught: Connection, pbx: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telephony_api, "_SECONDS", 0.2)
    with pbx.faulty("slow", path="/planfix_api", seconds=1.0):
        played = dial(taught)
    assert not played.ok
    assert "did not answer in time" in played.words


def test_a_history_with_dates_and_one_without(taught: Connection, pbx: Emulator) -> None:
    assert TEST
    pbx.play(named("answered"))
    assert self_tests.history(taught, TEST).ok
    row = {"callId": "c1", "direction": "INBOUND", "source": "79000000001", "answeredNumber": "101"}
    pbx.endpoints = [each for each in pbx.endpoints if not each.path.endswith("/history")]
    rows = [row, row | {"callDate": "2026-03-04"}, row | {"callDate": "4.03.2026 12:00:00+0400", "direction": "in"}]
    pbx.also("GET", "/vats/api/callRecord/history", lambda _asked: rows)
    played = self_tests.history(taught, TEST)
    assert not played.ok
    assert played.words == "3 calls of the last hour are listed."
    assert "c1: callDate is “”" in played.wrong[0]
    assert "c1: callDate is “2026-03-04”" in played.wrong[1]
    assert "c1: direction is “in”" in played.wrong[2]
    with pbx.faulty("html", path="/vats"):
        assert "HTML" in self_tests.history(taught, TEST).words


def test_what_a_connection_cannot_be_asked_is_named(taught: Connection) -> None:
    assert "dialling" not in self_tests.not_asked(taught)
    assert "hanging up" in self_tests.not_asked(taught)
    taught.credentials = {"our_key": OUR_KEY}
    assert {"dialling", "the history"} <= set(self_tests.not_asked(taught))


# --- At the door ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_requests_that_are_refused_are_shown_with_a_cure(taught: Connection) -> None:
    door = webhooks.WebhookDoor(pages, Pipeline())
    client, path = Client(door), f"/hooks/open_api/{taught.address.token}/"
    assert client.post(path, b"cmd=ping&planfix_token=another").status == 401
    assert client.post(path, b"cmd=ping", method="PUT").status == 405
    assert client.post("/hooks/open_api/nobody/", b"cmd=ping").status == 404
    door._lookups.shutdown(wait=True)
    found = course(taught).rejections
    assert [(each.refused.status, each.refused.remote) for each in found] == [(401, "192.0.2.1"), (405, "192.0.2.1")]
    assert "“Our key”" in found[0].cure
    assert "send POST" in found[1].cure
    assert "another" not in repr(turned_away.since(taught.pk, taught.created_at))


# --- The reference ----------------------------------------------------------------------------------------------------

REFERENCE = (ROOT / "docs" / "open-telephony-api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sh\n(.*?)```\n\n```answer\n(\d+) ?(.*?)\n```", REFERENCE, re.DOTALL)


def curl(line: str, connection: Connection) -> Any:
    """What the door answers to a line of the reference."""
    words = shlex.split(line)
    assert words[:2] == ["curl", "$ADDRESS"]
    assert set(words[2::2]) == {"-d"}
    body = "&".join(words[3::2]).replace("$KEY", OUR_KEY)
    return knock(connection, Wire(body.encode(), headers={"content-type": "application/x-www-form-urlencoded"}))


def test_the_examples_of_the_reference_pass_the_self_test(taught: Connection) -> None:
    taught.credentials = {"our_key": OUR_KEY}
    taught.save()
    assert len(EXAMPLES) == 8
    for lines, status, body in EXAMPLES:
        for line in lines.strip().splitlines():
            reply = curl(line, taught)
            assert (reply.status, reply.body.decode()) == (int(status), body), line
    told = course(taught)
    assert {each.state for each in told.awaited} == {"done"}
    (wrong,) = told.wrong  # the example of what lacks a field
    assert [remark.words for remark in wrong.remarks] == [
        "phone is missing or empty. The request was answered with 400."
    ]
    outcomes = dict(taught.calls.values_list("key", "outcome"))
    assert outcomes == {"call-1": "answered", "call-2": "missed", "call-3": "busy", "call-5": "missed"}


def test_the_command_of_the_reference_is_what_we_send(taught: Connection, pbx: Emulator) -> None:
    (shown,) = re.findall(r"```command\n(.*?)\n```", REFERENCE)
    exchange = self_tests.exchange_of(dial(taught))
    assert exchange
    told = dict(parse_qsl(shown))
    assert told.pop("token")
    sent = dict(parse_qsl(exchange.request))
    assert sent.pop("token") != ITS_KEY
    assert sent == told
