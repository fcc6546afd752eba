"""Mango Office: from its samples to facts and errors, without a database and without the network."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
import responses
from django.core.exceptions import ValidationError
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from outbound.errors import (
    CredentialsRefused,
    DeadlineExceeded,
    OutboundError,
    RateLimited,
    Rejected,
    Temporary,
    VendorFault,
)
from outbound.http import Exchange, Http
from outbound.limits import Limit, MemoryLimiter
from telephony.providers.base import (
    NO_TIME,
    Check,
    CommandResult,
    Direction,
    HistoryLeg,
    Leg,
    LegState,
    Note,
    NotUnderstood,
    Outcome,
    Parsed,
    Party,
    PbxNumber,
    Place,
    RecordingFact,
    RecordingState,
    Refused,
    Request,
    Summary,
)
from telephony.providers.mango import codes, history, signature
from telephony.providers.mango.forms import MangoForm, base_url
from telephony.providers.mango.limits import LOCK_SECONDS, Kind, Limits
from telephony.providers.mango.provider import Mango

KEY, SALT = "demo0vpbx0api0key0000000000000a1", "demo0vpbx0api0salt000000000000b2"
SECRETS = {"api_url": "https://app.mango-office.ru", "api_key": KEY, "api_salt": SALT, "greeting_seconds": "2.5"}
API = "https://app.mango-office.ru/vpbx"
HOOK = "/hooks/mango/t-mango-0001/"
MANGO = Mango()
SAMPLES = sorted((MANGO.folder / "samples").glob("*.json"))


def sample(number: int) -> dict[str, Any]:
    path = next(path for path in SAMPLES if path.name.startswith(f"{number:02}_"))
    return json.loads(path.read_text())


def events(number: int) -> list[Request]:
    """The vendor's requests in a sample."""
    return [as_request(row) for row in sample(number)["exchanges"] if row["direction"] == "vendor->hub"]


def as_request(row: dict[str, Any]) -> Request:
    return Request(row["method"], row["path"].removeprefix(HOOK), row["body"].encode())


def event(path: str, data: Any) -> Request:
    text = data if isinstance(data, str) else json.dumps(data)
    return Request("POST", path, urlencode(signature.seal(KEY, SALT, "") | signed(text)).encode())


def signed(text: str) -> dict[str, str]:
    return {"json": text, "sign": signature.sign(KEY, text, SALT)}


def call(**changes: Any) -> dict[str, Any]:
    usual = {
        "entry_id": "E1",
        "call_id": "L1",
        "timestamp": 1772434800,
        "seq": 1,
        "call_state": "Appeared",
        "location": "abonent",
        "from": {"number": "79000000001"},
        "to": {"extension": "101", "number": "sip:user101@demo.mangosip.ru", "line_number": "74950000001"},
        "dct": {"type": 0},
    }
    return {name: value for name, value in (usual | changes).items() if value is not ...}


def leg(**changes: Any) -> Leg:
    (fact,) = MANGO.parse(event("events/call", call(**changes)), SECRETS)
    assert isinstance(fact, Leg)
    return fact


def summary(**changes: Any) -> Summary:
    usual = {
        "entry_id": "E1",
        "call_direction": 1,
        "from": {"number": "79000000001"},
        "to": {"extension": "101"},
        "line_number": "74950000001",
        "create_time": 1772436000,
        "forward_time": 0,
        "talk_time": 0,
        "end_time": 1772436026,
        "entry_result": 0,
        "disconnect_reason": 1110,
    }
    (fact,) = MANGO.parse(event("events/summary", usual | changes), SECRETS)
    assert isinstance(fact, Summary)
    return fact


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# --- Signature and envelope -------------------------------------------------------------------------------------------


def test_worked_example_of_the_signature():
    payload = {"command_id": "cmd-1", "from": {"extension": "101"}, "to_number": "79000000001"}
    form = signature.seal(KEY, SALT, payload)
    assert form["json"] == '{"command_id":"cmd-1","from":{"extension":"101"},"to_number":"79000000001"}'
    assert form["sign"] == "73678e9a22546eba5f46ccee17d9fffa74cd3fb91211b04f6099c6b778c238cd"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_event_is_answered_as_it_shows(path: Path):
    rows = json.loads(path.read_text())["exchanges"]
    for row in (row for row in rows if row["direction"] == "vendor->hub"):
        request = as_request(row)
        try:
            MANGO.authenticate(request, SECRETS)
            reply = MANGO.reply(request, SECRETS)
        except Refused as refused:
            reply = refused.reply
        assert (reply.status, reply.body.decode()) == (row["response"]["status"], row["response"]["body"])


@pytest.mark.parametrize(
    "text",
    [
        '{ "entry_id" : "E1" }',
        '{"name":"\\u0418\\u0432\\u0430\\u043d","a":"1+1 & 2=2;%41"}',
        '{"name":"Иван \N{TELEPHONE RECEIVER}","seq":1.0}',
        "",
    ],
)
def test_the_signature_is_over_the_text_as_it_came(text: str):
    MANGO.authenticate(event("events/call", text), SECRETS)


def test_a_signature_over_bytes_that_are_no_text():
    raw = b'{"a":"\xff"}'
    import hashlib

    sign = hashlib.sha256(KEY.encode() + raw + SALT.encode()).hexdigest()
    body = f"vpbx_api_key={KEY}&sign={sign}&json=%7B%22a%22%3A%22%FF%22%7D".encode()
    MANGO.authenticate(Request("POST", "ping", body), SECRETS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b'{"vpbx_api_key":"x"}',
        f"vpbx_api_key={KEY}&json={{}}".encode(),
        f"vpbx_api_key={KEY}&sign=a&json={{}}&json=[]".encode(),
        b"&".join([b"a=1"] * 100),
    ],
)
def test_what_is_no_form_of_mangos_is_a_bad_request(body: bytes):
    request = Request("POST", "events/call", body)
    for act in (lambda: MANGO.authenticate(request, SECRETS), lambda: MANGO.identify(request)):
        with pytest.raises(Refused) as refused:
            act()
        assert (refused.value.reply.status, refused.value.code) == (400, "bad_request")


def test_an_account_without_keys_lets_nobody_in():
    empty = Request("POST", "events/call", urlencode({"vpbx_api_key": "", "json": "{}", "sign": ""}).encode())
    with pytest.raises(Refused, match="unknown_key"):
        MANGO.authenticate(empty, {"api_key": "", "api_salt": ""})
    with pytest.raises(Refused, match="bad_signature"):
        MANGO.authenticate(event("ping", {}), {"api_key": KEY, "api_salt": ""})
    with pytest.raises(Refused, match="unknown_key"):
        MANGO.identify(empty)


def test_the_shared_path_finds_the_account_by_its_key():
    assert MANGO.identify(event("events/call", {})) == MANGO.account(SECRETS) == KEY


def test_broken_json_is_refused_to_mango_and_not_understood_by_us():
    for text in ('{"entry_id":', "[]", "", "[" * 100_000):
        request = event("events/call", text)
        assert MANGO.reply(request, SECRETS).status == 400
        with pytest.raises(NotUnderstood):
            MANGO.parse(request, SECRETS)


def test_a_ping_is_a_success_whatever_is_in_it():
    for text in ("{}", "", "hello"):
        assert MANGO.reply(event("ping", text), SECRETS).status == 200
        assert MANGO.parse(event("ping", text), SECRETS) == []


def test_the_event_is_shown_without_keys():
    shown = MANGO.shown(event("events/call", {"entry_id": "E1", "name": "Иван", "sign": "abc", "vpbx_api_key": KEY}))
    assert json.loads(shown) == {"entry_id": "E1", "name": "Иван", "sign": "•••", "vpbx_api_key": "•••"}
    assert MANGO.shown(event("events/call", '{"entry_id":')) == '{"entry_id":'
    assert KEY not in MANGO.shown(Request("POST", "x", f"vpbx_api_key={KEY}&sign=1".encode()))


# --- Legs -------------------------------------------------------------------------------------------------------------


def test_a_routed_call_leg_by_leg():
    facts = [fact for request in events(1) for fact in MANGO.parse(request, SECRETS)]
    legs = [fact for fact in facts if isinstance(fact, Leg)]
    assert [(fact.leg[-4:], fact.seq, fact.state, fact.place) for fact in legs] == [
        ("MDAx", 1, LegState.RINGING, Place.MENU),
        ("MDAx", 2, LegState.ENDED, Place.MENU),
        ("MDAy", 1, LegState.RINGING, Place.PERSON),
        ("MDAy", 2, LegState.TALKING, Place.PERSON),
        ("MDAy", 3, LegState.ENDED, Place.PERSON),
    ]
    assert {fact.call for fact in legs} == {"NjAwMDAwMDAwMQ=="}
    assert {fact.virtual_number for fact in legs} == {"74950000001"}
    answered = legs[3]
    assert answered.at == at(1772434809)
    assert answered.caller == Party(number="79000000001")
    assert answered.callee == Party("101", "sip:user101@demo.mangosip.ru")
    assert answered.parent == legs[0].leg
    assert (answered.command, answered.callback, answered.why) == ("hub-r-0001", False, None)
    assert [fact.state for fact in facts if isinstance(fact, RecordingFact)] == [
        RecordingState.ANNOUNCED,
        RecordingState.ANNOUNCED,
        RecordingState.READY,
    ]
    assert CommandResult(command="hub-r-0001", ok=True, code="1000", words="1000 done") in facts


def test_a_callback_is_told_by_its_initiator_and_not_by_the_command():
    first, *_ = [fact for request in events(6) for fact in MANGO.parse(request, SECRETS) if isinstance(fact, Leg)]
    assert (first.callback, first.command, first.caller) == (True, "hub-cb-0006", Party(number="79000000002"))
    assert leg(callback_initiator="АРI").callback
    assert leg(callback_initiator="МissGroupCallCallback").callback
    for nobody in (..., None, "", "None", 0):
        assert not leg(callback_initiator=nobody, command_id="c").callback


def test_the_same_field_in_another_dress():
    plain = leg(seq=2, disconnect_reason=1110, call_state="Disconnected")
    dressed = leg(
        seq="2",
        timestamp="1772434800",
        disconnect_reason="1110",
        call_state="disconnected",
        dct=[],
        new_field={"a": 1},
        **{"from": {"number": 79000000001, "extension": None}},
    )
    assert plain == dressed
    assert leg(timestamp=1772434800.0) == leg()
    assert leg(to={"extension": 511}).callee == Party("511")
    assert leg(to={"extension": "0511"}).callee == Party("0511")


def test_location_and_its_misspelling():
    assert leg(location="queue").place is Place.QUEUE
    assert leg(location=..., locaton="ivr").place is Place.MENU
    assert leg(location="ivr.1").place is Place.MENU
    assert leg(location=...).place is Place.PERSON


@pytest.mark.parametrize(
    "caller",
    [..., None, {}, [], {"number": ""}, {"number": "Anonymous"}, {"number": "sip:anonymous@anonymous.invalid"}],
)
def test_a_hidden_caller_is_nobody(caller: Any):
    assert leg(**{"from": caller}).caller == Party()


def test_a_call_tracking_number_only_where_one_is_bound():
    assert leg(dct={"number": "74950000077", "type": "1"}).tracking_number == "74950000077"
    assert leg(dct={"number": "74950000077", "type": 2}).tracking_number == "74950000077"
    assert leg(dct={"number": "74950000077", "type": 0}).tracking_number == ""
    assert leg(dct=...).tracking_number == ""


OUTGOING = {"from": {"extension": "101"}, "to": {"number": "79000000001", "line_number": "74950000001"}}
INTERNAL = {"from": {"extension": "101"}, "to": {"extension": "102"}}


@pytest.mark.parametrize(
    ("sides", "reason", "why"),
    [
        *(({}, busy, Outcome.BUSY) for busy in (1121, 1122, 1123, 1124, 1193)),
        *(({}, missed, Outcome.MISSED) for missed in (1100, 1110, 1111, 1163, 1164, 1170, 1182, 4101)),
        *(({}, failed, Outcome.FAILED) for failed in (2240, 3310, 5008)),
        (OUTGOING, 1110, Outcome.CANCELLED),
        (OUTGOING, 1111, Outcome.NO_ANSWER),
        (OUTGOING, 1131, Outcome.NO_ANSWER),
        (OUTGOING, 1121, Outcome.BUSY),
        (OUTGOING, 2219, Outcome.FAILED),
        (OUTGOING, 1152, Outcome.FAILED),
        (INTERNAL, 1111, Outcome.NO_ANSWER),
        ({"callback_initiator": "API"}, 1111, Outcome.NO_ANSWER),
        ({}, "call ended", None),
        ({}, ..., None),
    ],
)
def test_what_a_call_came_to_that_ended_with_this_leg(sides: dict[str, Any], reason: Any, why: Outcome | None):
    assert leg(call_state="Disconnected", disconnect_reason=reason, **sides).why is why


def test_no_reason_before_the_end():
    assert leg(call_state="Connected", disconnect_reason=1110).why is None


@pytest.mark.parametrize(
    "broken",
    [
        {"entry_id": ""},
        {"entry_id": "x" * 300},
        {"call_id": ...},
        {"seq": ...},
        {"seq": -1},
        {"seq": True},
        {"timestamp": ...},
        {"call_state": "Vanished"},
        {"from": "79000000001"},
        {"to": {"number": ["7"]}},
    ],
)
def test_what_is_not_understood_names_the_field_and_not_its_value(broken: dict[str, Any]):
    with pytest.raises(NotUnderstood) as error:
        leg(**broken)
    assert "events/call" in str(error.value) or "call_state" in str(error.value)
    assert "79000000001" not in str(error.value)


@pytest.mark.parametrize("when", ["yesterday", 10**30, float("inf"), float("nan"), -1, 0, None, ""])
def test_a_broken_clock_takes_nothing_else_with_it(when: Any):
    assert leg(timestamp=when) == replace(leg(), at=NO_TIME)


@pytest.mark.parametrize("when", ["yesterday", 10**30, float("nan")])
def test_a_summary_with_broken_times_still_says_that_somebody_talked(when: Any):
    told = summary(create_time=when, talk_time=when, end_time=when)
    assert (told.at, told.started_at, told.answered_at) == (NO_TIME, NO_TIME, NO_TIME)
    assert told.outcome is Outcome.ANSWERED


def test_text_is_fit_for_any_database():
    fact = leg(entry_id="E\x00\ud800", to={"extension": "10\x001"})
    assert (fact.call, fact.callee.extension) == ("E?", "101")


# --- The other notifications ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15])
def test_summaries_of_the_samples(number: int):
    expected = sample(number)["expect"]
    (told,) = [
        fact for request in events(number) for fact in MANGO.parse(request, SECRETS) if isinstance(fact, Summary)
    ]
    assert (told.direction, told.outcome, told.talk_seconds) == (
        expected["direction"],
        expected["outcome"],
        expected["talk_seconds"],
    )
    assert told.client_number == (expected["client_phone"] or "").removeprefix("+")
    assert told.virtual_number == (expected["virtual_number"] or "").removeprefix("+")
    assert told.extension == expected.get("first_extension", expected["extension"] or "")


def test_a_missed_call_of_several_is_the_first_ones():
    told = summary()
    assert (told.extension, told.answered_at, told.at) == ("101", None, at(1772436026))


def test_entry_result_does_not_say_that_somebody_talked():
    assert summary(entry_result=1, disconnect_reason=1170, to={}).outcome is Outcome.MISSED
    assert summary(entry_result=0, talk_time="1772436010").outcome is Outcome.ANSWERED


def test_a_summary_without_a_reason_leaves_the_outcome_to_the_legs():
    assert summary(disconnect_reason=None).outcome is None
    assert summary(call_direction=7).direction is None


def test_an_outgoing_call_that_nobody_took():
    sides = {"from": {"extension": "102"}, "to": {"number": "79000000003"}, "call_direction": "2"}
    told = summary(**sides, disconnect_reason=1111)
    assert (told.direction, told.outcome, told.extension) == (Direction.OUT, Outcome.NO_ANSWER, "102")
    assert told.client_number == "79000000003"


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"recording_state": "Started"}, RecordingState.ANNOUNCED),
        ({"recording_state": "Continued"}, RecordingState.ANNOUNCED),
        ({"completion_code": 1000, "recipient": "Cloud"}, RecordingState.ANNOUNCED),
        ({"completion_code": "1000", "recipient": "CloudAndMail"}, RecordingState.ANNOUNCED),
        ({"completion_code": 1000, "recipient": "Mail"}, RecordingState.ABSENT),
        ({"completion_code": 4002, "recipient": "Cloud"}, RecordingState.ABSENT),
        ({"completion_code": 2211}, RecordingState.ABSENT),
    ],
)
def test_recordings_on_their_way(fields: dict[str, Any], state: RecordingState):
    usual = {"recording_id": "R", "recording_state": "Completed", "seq": 1, "entry_id": "E", "timestamp": 1772434869}
    (fact,) = MANGO.parse(event("events/recording", usual | {"extension": "0101", "call_id": "L"} | fields), SECRETS)
    assert fact == RecordingFact(call="E", at=at(1772434869), recording="R", state=state, extension="0101")


def test_notes():
    notes = [fact for request in events(11) for fact in MANGO.parse(request, SECRETS) if isinstance(fact, Note)]
    assert [note.text for note in notes] == ["DTMF 1 (ivr)", "DTMF 4512 (ivr.1)"]
    assert {(note.client_number, note.virtual_number) for note in notes} == {("79000000001", "74950000001")}
    stored = {"entry_id": "E", "recording_id": "R", "timestamp": 1772434869, "product_id": 1, "user_id": -1}
    (ready,) = MANGO.parse(event("events/record/tagged", stored), SECRETS)
    (topics,) = MANGO.parse(event("events/record/tagged", stored | {"topics": ["цена"]}), SECRETS)
    assert isinstance(ready, Note)
    assert isinstance(topics, Note)
    assert ready.text == "Speech topics: ready"
    assert "цена" in topics.text


@pytest.mark.parametrize("path", ["result/callback", "vpbx/result/callback", "/vpbx/result/calls_connect/"])
def test_late_answers_to_commands(path: str):
    (refused,) = MANGO.parse(event(path, {"command_id": "c", "result": "2240"}), SECRETS)
    assert refused == CommandResult(command="c", ok=False, code="2240", words="2240 no money on the account")
    assert MANGO.parse(event(path, {"result": 1000}), SECRETS) == []


@pytest.mark.parametrize("path", ["result/stat", "result/stats", "ping", "events/sms", "events/new", "", "vpbx/"])
def test_what_we_have_no_use_for_says_nothing(path: str):
    assert MANGO.parse(event(path, {"key": "k"}), SECRETS) == []


def test_both_prefixes():
    plain, prefixed = event("events/call", call()), event("vpbx/events/call", call())
    assert MANGO.parse(plain, SECRETS) == MANGO.parse(prefixed, SECRETS) != []


PATHS = [
    "events/call",
    "events/summary",
    "events/recording",
    "events/record/added",
    "events/record/tagged",
    "events/dtmf",
    "result/callback",
]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["1", "1772434800", "ivr"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    *call(),
    "disconnect_reason",
    "command_id",
    "talk_time",
    "end_time",
    "call_direction",
    "recording_id",
    "result",
]


def _parses_or_is_not_understood(request: Request) -> None:
    try:
        facts: list[Parsed] = MANGO.parse(request, SECRETS)
    except NotUnderstood:
        return
    for fact in facts:
        repr(fact).encode()
    MANGO.shown(request).encode()


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(PATHS) | st.text(max_size=30), data=ODD | st.dictionaries(st.sampled_from(NAMES), ODD))
def test_any_json_gives_facts_or_is_not_understood(path: str, data: Any):
    _parses_or_is_not_understood(event(path, json.dumps(data)))


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from([*call(), "disconnect_reason", "callback_initiator"]), value=ODD)
def test_any_value_in_one_field_gives_facts_or_is_not_understood(name: str, value: Any):
    _parses_or_is_not_understood(event("events/call", call(**{name: value})))


@given(body=st.binary(max_size=200))
def test_any_body_gives_facts_or_is_not_understood(body: bytes):
    _parses_or_is_not_understood(Request("POST", "events/call", body))


# --- Commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


class BlocksOnly(MemoryLimiter):
    """Counts nothing, knows what is blocked: for tests that are not about counting."""

    def take(self, limits: tuple[Limit, ...]) -> float:
        return max(0.0, *self.blocked(tuple(limit.key for limit in limits)).values(), 0.0)


@pytest.fixture
def http() -> Http:
    return Http(secrets=[SALT], patience=0, limiter=BlocksOnly())


def answer(web: responses.RequestsMock, path: str, said: Any, status: int = 200, **kwargs: Any) -> None:
    body = said if isinstance(said, (str, bytes)) else json.dumps(said)
    web.add("POST", f"{API}/{path}", body=body, status=status, **kwargs)


def sent(web: responses.RequestsMock, index: int = -1) -> dict[str, Any]:
    """The JSON of a request; its signature is checked on the way."""
    form = {name: values[0] for name, values in parse_qs(str(web.calls[index].request.body)).items()}
    assert set(form) == {"vpbx_api_key", "sign", "json"}
    assert form["sign"] == signature.sign(form["vpbx_api_key"], form["json"], SALT)
    return json.loads(form["json"])


def dial(http: Http, **changes: Any) -> None:
    MANGO.dial(http, SECRETS, **({"command": "c-1", "extension": "101", "phone": "+79000000002", "line": ""} | changes))


def route(http: Http, **changes: Any) -> None:
    usual: dict[str, Any] = {"command": "hub-r-4", "leg": "L1", "extension": "101", "deadline": 2.0}
    MANGO.route(http, SECRETS, **(usual | changes))


def wait_for(http: Http, kind: Kind) -> float:
    """Seconds until a request of this kind may leave."""
    return http.limiter.take(Limits(SECRETS).of(kind))


def test_dial_sends_what_the_sample_shows(web: responses.RequestsMock, http: Http):
    answer(web, "commands/callback", {"command_id": "hub-cb-0006", "result": "1000"})
    dial(http, command="hub-cb-0006", line="+74950000001")
    row = sample(6)["exchanges"][0]
    assert parse_qs(str(web.calls[0].request.body)) == parse_qs(row["body"])
    assert web.calls[0].request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    dial(http)
    assert sent(web) == {"command_id": "c-1", "from": {"extension": "101"}, "to_number": "79000000002"}


def test_route_sends_what_the_sample_shows(web: responses.RequestsMock, http: Http):
    row = sample(1)["exchanges"][1]
    answer(web, "commands/route", row["response"]["body"])
    route(http, command="hub-r-0001", leg="MToxMDAwMDAwMTo3Nzc6OTAwMDAwMDAx")
    assert parse_qs(str(web.calls[0].request.body)) == parse_qs(row["body"])


def test_transfer(web: responses.RequestsMock, http: Http):
    answer(web, "commands/transfer", {"result": 1000})
    MANGO.transfer(http, SECRETS, command="c", leg="L", by="101", to="+79000000002", method="blind")
    expected = {"command_id": "c", "call_id": "L", "method": "blind", "to_number": "79000000002", "initiator": "101"}
    assert sent(web) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"extension": ""},
        {"extension": "10 1"},
        {"phone": ""},
        {"phone": "+7 900"},
        {"phone": "sip:x@y"},
        {"phone": "٧٩٠٠٠٠٠٠٠٠١"},
        {"command": ""},
        {"command": "x" * 129},
        {"command": "ы" * 65},
        {"line": "sip:main@demo.mangosip.ru"},
    ],
)
def test_a_wrong_command_never_leaves(web: responses.RequestsMock, http: Http, wrong: dict[str, str]):
    with pytest.raises(Rejected, match="not sent"):
        dial(http, **wrong)
    assert not web.calls


def test_hanging_up_what_is_over_is_a_success(web: responses.RequestsMock, http: Http):
    said = sample(13)["exchanges"][0]["response"]["body"]
    answer(web, "commands/call/hangup", said)
    MANGO.hangup(http, SECRETS, command="hub-h-1", leg="L")
    assert wait_for(http, Kind.HANGUP) == 0


def test_hanging_up_what_is_unknown_is_a_success_too(web: responses.RequestsMock, http: Http):
    answer(web, "commands/call/hangup", {"result": 3310})
    MANGO.hangup(http, SECRETS, command="hub-h-1", leg="L")


def test_hanging_up_what_cannot_be_is_none(web: responses.RequestsMock, http: Http):
    answer(web, "commands/call/hangup", {"result": 4100})
    with pytest.raises(Rejected):
        MANGO.hangup(http, SECRETS, command="hub-h-1", leg="L")


SAMPLE_13: list[tuple[int, type[OutboundError], str]] = [
    (1, Rejected, "3104"),
    (2, RateLimited, "http_401"),
    (3, RateLimited, "http_429"),
    (4, CredentialsRefused, "3102"),
    (5, Rejected, "2240"),
    (6, Temporary, "5008"),
]


@pytest.mark.parametrize(("index", "kind", "code"), SAMPLE_13)
def test_command_errors_of_the_sample(
    web: responses.RequestsMock, http: Http, index: int, kind: type[OutboundError], code: str
):
    row = sample(13)["exchanges"][index]
    answer(web, row["path"].removeprefix("/vpbx/"), row["response"]["body"], row["response"]["status"])
    with pytest.raises(OutboundError) as error:
        route(http) if "route" in row["path"] else dial(http)
    assert (type(error.value), error.value.code) == (kind, code)
    assert not error.value.fate_unknown


def test_a_malformed_request_stops_all_but_the_conversation(web: responses.RequestsMock, http: Http):
    answer(web, "commands/callback", {"result": 3104})
    with pytest.raises(Rejected):
        dial(http)
    assert wait_for(http, Kind.ROUTE) == wait_for(http, Kind.HANGUP) == 0
    for kind in set(Kind) - {Kind.ROUTE, Kind.HANGUP}:
        assert wait_for(http, kind) > 120
    with pytest.raises(RateLimited) as error:
        dial(http)
    assert error.value.retry_after is not None
    assert error.value.retry_after > 120
    assert len(web.calls) == 1


def test_a_malformed_route_stops_routes_too(web: responses.RequestsMock, http: Http):
    answer(web, "commands/route", {"result": 3400})
    with pytest.raises(Rejected):
        route(http)
    assert wait_for(http, Kind.ROUTE) > 120
    assert wait_for(http, Kind.HANGUP) == 0


def test_wrong_data_stops_only_their_kind(web: responses.RequestsMock, http: Http):
    answer(web, "commands/callback", {"result": 3200})
    with pytest.raises(Rejected):
        dial(http)
    assert wait_for(http, Kind.CALLBACK) > 120
    assert wait_for(http, Kind.USERS) == 0


def test_the_lock_stops_everything(web: responses.RequestsMock, http: Http):
    answer(web, "commands/callback", "", 401)
    with pytest.raises(RateLimited) as error:
        dial(http)
    assert error.value.retry_after == LOCK_SECONDS == 125
    assert all(wait_for(http, kind) > 120 for kind in Kind)


def test_wrong_credentials_stop_until_they_are_mended(web: responses.RequestsMock, http: Http):
    answer(web, "commands/callback", {"result": 3102}, 401)
    with pytest.raises(CredentialsRefused):
        dial(http)
    assert all(wait_for(http, kind) > 120 for kind in Kind)
    mended = Limits(SECRETS | {"api_salt": "another"})
    assert http.limiter.take(mended.of(Kind.USERS)) == 0


@pytest.mark.parametrize("code", [4100, 4101])
def test_a_route_that_came_too_late_is_final_and_stops_nothing(web: responses.RequestsMock, http: Http, code: int):
    answer(web, "commands/route", {"result": code})
    with pytest.raises(Rejected):
        route(http)
    assert wait_for(http, Kind.HANGUP) == 0


def test_route_never_waits(web: responses.RequestsMock):
    answer(web, "commands/route", {"result": 1000})
    http = Http(patience=10)
    route(http)
    began = time.monotonic()
    with pytest.raises(RateLimited) as error:
        route(http)
    assert time.monotonic() - began < 0.5
    assert error.value.code == "own_limit"
    with pytest.raises(DeadlineExceeded):
        route(Http(), deadline=0)
    assert len(web.calls) == 1


@pytest.mark.parametrize(
    ("body", "status", "kind", "unknown"),
    [
        ("<html>busy</html>", 200, VendorFault, True),
        ('{"command_id":"c-1","res', 200, VendorFault, True),
        ("", 200, VendorFault, True),
        ("{}", 200, VendorFault, True),
        ("[]", 200, VendorFault, True),
        ("<html>502</html>", 502, Temporary, True),
        ("", 503, RateLimited, False),
        ("", 403, CredentialsRefused, False),
        ("nothing here", 404, VendorFault, False),
        ({"result": 4290}, 200, RateLimited, False),
        ({"result": 5011}, 200, Temporary, True),
        ({"result": 3105}, 400, CredentialsRefused, False),
        ({"result": 1131}, 200, Rejected, False),
        ({"result": 7777}, 200, Rejected, False),
    ],
)
def test_answers_that_are_no_success(
    web: responses.RequestsMock, http: Http, body: Any, status: int, kind: type[OutboundError], unknown: bool
):
    answer(web, "commands/callback", body, status)
    with pytest.raises(OutboundError) as error:
        dial(http)
    assert (type(error.value), error.value.fate_unknown) == (kind, unknown)


def test_the_vendors_trace_is_kept_for_its_support(web: responses.RequestsMock, http: Http):
    answer(web, "commands/callback", "oops", 500, headers={"X-Uuid": "trace-1"})
    with pytest.raises(Temporary, match="trace-1"):
        dial(http)


DOCUMENTED = {  # requests and seconds, from the document
    Kind.CALLBACK: (4, 1.0),
    Kind.HANGUP: (4, 1.0),
    Kind.TRANSFER: (1, 2.0),
    Kind.ROUTE: (1, 2.0),
    Kind.USERS: (1, 2.0),
    Kind.STATS: (1, 2.0),
    Kind.RECORDINGS: (10, 1.0),
}


def departures(kinds: list[Kind], monkeypatch: pytest.MonkeyPatch, seconds: float = 5.0) -> list[float]:
    """When requests leave if as many as may of these kinds want to, all the time."""
    now, left, limiter = 1_000_000.0, [], MemoryLimiter()
    monkeypatch.setattr(time, "time", lambda: now)
    while now < 1_000_000.0 + seconds:
        left += [now for kind in kinds if limiter.take(Limits(SECRETS).of(kind)) == 0]
        now += 0.01
    return left


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_no_window_has_more_requests_than_the_document_allows(kind: Kind, monkeypatch: pytest.MonkeyPatch):
    count, window = DOCUMENTED[kind]
    left = departures([kind], monkeypatch)
    assert max(sum(start <= at < start + window for at in left) for start in left) <= count
    assert len(left) >= 2


def test_all_kinds_together_keep_to_the_total_and_route_is_not_crowded_out(monkeypatch: pytest.MonkeyPatch):
    left = departures([*(set(Kind) - {Kind.ROUTE}), Kind.ROUTE], monkeypatch)
    assert max(sum(start <= at < start + 1 for at in left) for start in left) <= 10
    crowded = departures([Kind.RECORDINGS, Kind.ROUTE], monkeypatch)
    assert len(crowded) == len(departures([Kind.RECORDINGS], monkeypatch)) + 3


def test_keys_of_limits_are_an_accounts_own_and_no_secret():
    assert not any(KEY in limit.key or SALT in limit.key for kind in Kind for limit in Limits(SECRETS).of(kind))
    one, other = (Limits({"api_key": key}).of(Kind.ROUTE) for key in "ab")
    assert not {limit.key for limit in one} & {limit.key for limit in other}


def test_a_block_outlasts_the_lock_for_every_kind():
    limiter = MemoryLimiter()
    Limits(SECRETS).locked(limiter)
    assert all(limiter.take(Limits(SECRETS).of(kind)) > 120 for kind in Kind)
    assert limiter.take((Limit("other", 1),)) == 0


# --- Directory --------------------------------------------------------------------------------------------------------


def test_users(web: responses.RequestsMock, http: Http):
    answer(web, "config/users/request", sample(14)["exchanges"][0]["response"]["body"])
    users = MANGO.users(http, SECRETS)
    assert [(user.name, user.extension, user.vendor_id) for user in users] == [
        ("Сотрудник Первый", "101", "300000101"),
        ("Сотрудник Второй", "102", "300000102"),
        ("Без добавочного", "", "300000103"),
    ]
    assert "general.user_id" in sent(web)["ext_fields"]


def test_users_in_another_dress(web: responses.RequestsMock, http: Http):
    rows = [{"general": {"name": "A", "mobile": 79000000099}, "telephony": {"extension": "0511"}}, {"telephony": None}]
    answer(web, "config/users/request", {"result": 1000, "users": rows})
    first, second = MANGO.users(http, SECRETS)
    assert (first.extension, first.mobile, second.extension) == ("0511", "79000000099", "")


@pytest.mark.parametrize("body", ["{}", "[]", '{"users":7}', '{"users":[7]}'])
def test_users_of_another_shape_are_a_fault(web: responses.RequestsMock, http: Http, body: str):
    answer(web, "config/users/request", body)
    with pytest.raises(VendorFault):
        MANGO.users(http, SECRETS)


def test_numbers(web: responses.RequestsMock, http: Http):
    answer(web, "incominglines", sample(14)["exchanges"][1]["response"]["body"])
    assert MANGO.numbers(http, SECRETS) == [
        PbxNumber("sip:main@demo.mangosip.ru", "Офис"),
        PbxNumber("74950000001", "реклама"),
        PbxNumber("78000000001", ""),
    ]
    assert sent(web) == {}


def test_no_numbers_is_an_answer_and_no_mistake(web: responses.RequestsMock, http: Http):
    answer(web, "incominglines", {"result": "3300"})
    assert MANGO.numbers(http, SECRETS) == []
    assert wait_for(http, Kind.LINES) == 0


UTM = {
    "utm_source": "yandex",
    "utm_medium": "cpc",
    "utm_campaign": "demo_campaign",
    "utm_content": "ad1",
    "utm_term": "demo term",
}


def test_a_visitor_in_both_nestings(web: responses.RequestsMock, http: Http):
    inside = json.loads(sample(15)["exchanges"][1]["response"]["body"])
    for body in (inside, inside["data"], inside["data"] | {"data": {}}, inside["data"] | {"data": []}):
        answer(web, "queries/user_info_by_dct_number", body)
        visitor = MANGO.visitor(http, SECRETS, "+74950000077")
        assert visitor is not None
        assert visitor.utm == UTM
        assert (visitor.page, visitor.city) == ("https://shop.example/catalog/1", "Москва")
        web.reset()


@pytest.mark.parametrize("body", [{}, {"data": {}}, {"data": None}, {"result": 1000}, {"result": 3300}])
def test_nobody_is_bound_to_the_number(web: responses.RequestsMock, http: Http, body: Any):
    answer(web, "queries/user_info_by_dct_number", body)
    assert MANGO.visitor(http, SECRETS, "74950000078") is None


def test_a_visitor_of_no_number_is_not_asked_for(http: Http):
    with pytest.raises(Rejected):
        MANGO.visitor(http, SECRETS, "sip:x@y")


# --- Recordings -------------------------------------------------------------------------------------------------------

LINK = "https://files.mango-office.ru/demo-temp-link-1"
MP3 = b"ID3\x04" + b"\x00" * 100


def offer(web: responses.RequestsMock, link: str = LINK) -> None:
    answer(web, "queries/recording/post", "", 302, headers={"Location": link, "Content-Type": "text/html"})


def test_a_recording_is_fetched_by_its_one_shot_link(web: responses.RequestsMock):
    seen: list[Exchange] = []
    http = Http(secrets=[SALT], record=seen.append)
    offer(web)
    web.add("GET", LINK, body=MP3, content_type="audio/mpeg")
    audio = MANGO.recording(http, SECRETS, "MToxMDAwMDAwMTo3MDAwMDAwMDAxOjA=", "")
    assert audio is not None
    assert audio.content_type == "audio/mpeg"
    with audio.content as content:
        content.seek(0)
        assert content.read() == MP3
    assert sent(web, 0) == {"recording_id": "MToxMDAwMDAwMTo3MDAwMDAwMDAxOjA=", "action": "download"}
    fetched = web.calls[1].request
    assert fetched.body is None
    assert "Cookie" not in fetched.headers
    assert not any("demo-temp-link-1" in exchange.url + exchange.answer for exchange in seen)


@pytest.mark.parametrize("status", [302, 404, 410, 500])
def test_a_link_that_gives_no_recording_is_asked_for_again(web: responses.RequestsMock, http: Http, status: int):
    offer(web)
    web.add("GET", LINK, body=b"gone", content_type="text/plain", status=status)
    with pytest.raises(VendorFault, match="gone"):
        MANGO.recording(http, SECRETS, "R", "")


def test_a_recording_that_is_cut_short(web: responses.RequestsMock, http: Http):
    offer(web)
    web.add(
        "GET",
        LINK,
        body=MP3,
        content_type="audio/mpeg",
        headers={"Content-Length": "16099"},
        auto_calculate_content_length=False,
    )
    with pytest.raises(VendorFault, match="cut short"):
        MANGO.recording(http, SECRETS, "R", "")


@pytest.mark.parametrize(
    "link", ["http://files.mango-office.ru/x", "ftp://app.mango-office.ru/x", "file:///etc/passwd"]
)
def test_a_link_that_leads_elsewhere_is_not_followed(web: responses.RequestsMock, http: Http, link: str):
    offer(web, link)
    with pytest.raises(VendorFault, match="leads to"):
        MANGO.recording(http, SECRETS, "R", "")


def test_a_link_within_a_server_of_ones_own(web: responses.RequestsMock, http: Http):
    web.add("POST", "http://pbx.test/vpbx/queries/recording/post", status=302, headers={"Location": "/files/1"})
    web.add("GET", "http://pbx.test/files/1", body=MP3, content_type="audio/mpeg")
    assert MANGO.recording(http, SECRETS | {"api_url": "http://pbx.test"}, "R", "") is not None


def test_a_recording_that_is_not_there_yet(web: responses.RequestsMock, http: Http):
    answer(web, "queries/recording/post", sample(8)["exchanges"][6]["response"]["body"])
    assert MANGO.recording(http, SECRETS, "R", "") is None
    with pytest.raises(RateLimited) as error:
        MANGO.recording(http, SECRETS, "R", "")
    assert (error.value.retry_after or 0) > 60
    assert wait_for(http, Kind.CALLBACK) == 0


def test_no_link_is_a_fault(web: responses.RequestsMock, http: Http):
    answer(web, "queries/recording/post", {"result": 1000})
    with pytest.raises(VendorFault, match="no link"):
        MANGO.recording(http, SECRETS, "R", "")


# --- History ----------------------------------------------------------------------------------------------------------

SINCE, UNTIL = at(1772434800), at(1772521200)


def read_history(http: Http, since: datetime = SINCE, until: datetime = UNTIL) -> tuple[list[HistoryLeg], list[float]]:
    waits: list[float] = []
    return list(MANGO.history(http, SECRETS, since, until, wait=waits.append)), waits


def test_history_of_the_sample(web: responses.RequestsMock, http: Http):
    _, _, request, early, _, ready, _ = sample(14)["exchanges"]
    answer(web, "stats/request", request["response"]["body"])
    answer(web, "stats/result", early["response"]["body"], 204)
    answer(web, "stats/result", ready["response"]["body"])
    legs, waits = read_history(http)
    assert waits == [5, 5]
    assert [(leg.call, leg.why, leg.recordings) for leg in legs] == [
        ("NjAwMDAwMDAwMQ==", Outcome.ANSWERED, ("MToxMDAwMDAwMTo3MDAwMDAwMDAxOjA=",)),
        ("NjAwMDAwMDAwMw==", Outcome.MISSED, ()),
    ]
    first = legs[0]
    assert (first.started_at, first.answered_at, first.ended_at) == (at(1772434802), at(1772434809), at(1772434869))
    assert (first.direction, first.virtual_number) == (Direction.IN, "74950000001")
    assert first.callee == Party("101", "sip:user101@demo.mangosip.ru")
    asked = sent(web, 0)
    assert (asked["date_from"], asked["date_to"]) == ("1772434800", "1772521200")
    assert asked["fields"].endswith("create,entry_id")
    assert sent(web, 1) == {"key": "ZGVtby1zdGF0LWtleS0wMDAxLXh4eHg="}


def test_rows_as_the_document_shows_them():
    rows = [
        "r1,r2;1772436000;1772436026;0;;79000000001;0101;;Абонент занят;74950000001;abonent;1772436000;E1",
        "[r3, r4];1772436030;1772436050;;101;;;79000000002;1121;74950000001;abonent;1772436030;E2",
        "too;many;1;2;3;4;5;6;7;8;9;10;11;12;13",
        "[];never;1772436050;;101;;;79000000002;1121;74950000001;abonent;1772436030;E3",
        "[];1772436060;1772436070;1772436061;101;;102;;1110;;abonent;1772436060;E4",
    ]
    legs = list(history.read("\ufeff" + "\n".join(rows) + "\n"))
    assert [(leg.call, leg.direction, leg.why, leg.recordings) for leg in legs] == [
        ("E1", Direction.IN, Outcome.MISSED, ("r1", "r2")),
        ("E2", Direction.OUT, Outcome.BUSY, ("r3", "r4")),
        ("E4", Direction.INTERNAL, Outcome.ANSWERED, ()),
    ]
    assert legs[0].callee == Party("0101")


def test_a_callback_in_the_history_is_outgoing():
    rows = [
        "[];1772437800;1772437804;1772437803;;79000000002;101;;1100;74950000001;abonent;1772437800;E",
        "[];1772437804;1772437842;0;101;;;79000000002;1111;74950000001;abonent;1772437800;E",
    ]
    assert {leg.direction for leg in history.read("\r\n".join(rows))} == {Direction.OUT}
    assert list(history.read("\r\n".join(rows)))[1].why is Outcome.NO_ANSWER


def test_a_transfer_does_not_change_the_direction_of_a_call():
    rows = [
        "[];1772438421;1772438500;1772438425;101;;103;;1110;;abonent;1772438400;E",
        "[];1772438400;1772438440;1772438405;;79000000001;101;;1120;74950000001;abonent;1772438400;E",
    ]
    assert {leg.direction for leg in history.read("\n".join(rows))} == {Direction.IN}


@pytest.mark.parametrize("text", ["<html></html>", '{"result":1000}', "[];1772436000;17724"])
def test_what_is_no_history(text: str):
    with pytest.raises(VendorFault):
        list(history.read(text))


def test_no_calls_no_rows():
    assert list(history.read("")) == []


def test_a_report_that_never_comes(web: responses.RequestsMock, http: Http):
    answer(web, "stats/request", {"key": "k"})
    answer(web, "stats/result", "", 204)
    waits: list[float] = []
    with pytest.raises(Temporary, match="five minutes"):
        list(MANGO.history(http, SECRETS, SINCE, UNTIL, wait=waits.append))
    assert sum(waits) == 300


def test_a_report_that_is_gone(web: responses.RequestsMock, http: Http):
    answer(web, "stats/request", {"key": "k"})
    answer(web, "stats/result", "", 404)
    with pytest.raises(Temporary, match="any more"):
        read_history(http)


@pytest.mark.parametrize("days", [0, 1, 28, 29, 100, 400])
def test_long_periods_are_asked_for_in_pieces(days: int):
    until = SINCE + timedelta(days=days)
    pieces = list(history.periods(SINCE, until))
    assert all(end - start <= timedelta(days=28) for start, end in pieces)
    assert all(end + timedelta(seconds=1) == start for (_, end), (start, _) in itertools.pairwise(pieces))
    assert not pieces or (pieces[0][0], pieces[-1][1]) == (SINCE, until)
    assert bool(pieces) == bool(days)


EXTENDED = {
    "result": 1000,
    "status": "complete",
    "data": [
        {
            "list": [
                {
                    "entry_id": "E1",
                    "context_type": 1,
                    "caller_number": "79000000001",
                    "called_number": "74950000001",
                    "context_start_time": 1772434800,
                    "context_calls": [
                        {
                            "call_type": "user",
                            "call_abonent_id": 300000101,
                            "call_abonent_number": "sip:user101@demo.mangosip.ru",
                            "call_start_time": "1772434802",
                            "call_answer_time": 1772434809,
                            "call_end_time": 1772434869,
                            "call_end_reason": 1110,
                            "recording_id": ["R1"],
                        }
                    ],
                },
                {
                    "entry_id": "E2",
                    "context_type": 2,
                    "caller_id": 300000102,
                    "caller_number": "102",
                    "called_number": "79000000003",
                    "context_start_time": "02.03.2026 07:30:00",
                    "context_calls": [
                        {
                            "call_type": "number",
                            "call_abonent_number": "79000000003",
                            "call_start_time": 1772436600,
                            "call_answer_time": 0,
                            "call_end_time": 1772436620,
                            "call_end_reason": "1111",
                            "recording_id": None,
                        }
                    ],
                },
                {
                    "entry_id": "E3",
                    "context_type": 1,
                    "caller_number": "79000000001",
                    "called_number": "74950000001",
                    "context_start_time": 1772436700,
                    "duration": 14,
                    "context_calls": [],
                },
                {"entry_id": "E0", "context_type": 1, "context_start_time": 1772424000, "context_calls": []},
            ]
        }
    ],
}


def test_the_extended_history_where_there_is_no_basic_one(web: responses.RequestsMock, http: Http):
    answer(web, "stats/request", {"result": 4001})
    answer(web, "config/users/request", sample(14)["exchanges"][0]["response"]["body"])
    answer(web, "stats/calls/request/", {"result": 1000, "key": "k"})
    answer(web, "stats/calls/result/", {"result": 1000, "status": "work"})
    answer(web, "stats/calls/result/", EXTENDED)
    legs, waits = read_history(http)
    assert waits == [5, 5, 5]
    assert [(leg.call, leg.direction, leg.caller, leg.callee, leg.why) for leg in legs] == [
        (
            "E1",
            Direction.IN,
            Party(number="79000000001"),
            Party("101", "sip:user101@demo.mangosip.ru"),
            Outcome.ANSWERED,
        ),
        ("E2", Direction.OUT, Party("102", "102"), Party(number="79000000003"), Outcome.NO_ANSWER),
        ("E3", Direction.IN, Party(number="79000000001"), Party(number="74950000001"), Outcome.MISSED),
    ]
    assert (legs[0].recordings, legs[0].virtual_number, legs[1].virtual_number) == (("R1",), "74950000001", "")
    assert legs[2].ended_at == legs[2].started_at + timedelta(seconds=14)
    asked = sent(web, 2)
    assert (asked["start_date"], asked["end_date"]) == ("02.03.2026 07:00:00", "03.03.2026 10:00:00")


def test_an_extended_report_that_fails(web: responses.RequestsMock, http: Http):
    answer(web, "stats/request", "", 404)
    answer(web, "config/users/request", {"users": []})
    answer(web, "stats/calls/request/", {"key": "k"})
    answer(web, "stats/calls/result/", {"result": 1000, "status": "error", "data": None})
    with pytest.raises(Temporary, match="error"):
        read_history(http)


def test_any_other_refusal_of_the_history_is_passed_on(web: responses.RequestsMock, http: Http):
    answer(web, "stats/request", {"result": 2400})
    with pytest.raises(Rejected):
        read_history(http)


# --- Codes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "parent"),
    [(2219, 2210), (1090, 1000), (1121, 1121), (3125, 3100), (4101, 4101), (9999, 9000), (0, 0), (1126, 1120)],
)
def test_an_unknown_code_is_its_parent(code: int, parent: int):
    assert codes.known(code) == parent


@given(st.integers())
def test_any_code_has_words_and_an_outcome(code: int):
    assert codes.words(code)
    assert codes.outcome(code, Direction.IN) in (Outcome.MISSED, Outcome.BUSY, Outcome.FAILED)
    if not codes.succeeded(code):
        assert codes.error(code).code == str(code)


# --- Checks -----------------------------------------------------------------------------------------------------------


def verdicts(checks: list[Check]) -> list[bool]:
    return [check.ok for check in checks]


def test_all_is_well(web: responses.RequestsMock, http: Http):
    users, lines = sample(14)["exchanges"][:2]
    answer(web, "config/users/request", users["response"]["body"])
    answer(web, "incominglines", lines["response"]["body"])
    with translation.override("ru"):
        checks = MANGO.check(http, SECRETS, "")
    assert verdicts(checks) == [True, True, True, True]
    assert len(web.calls) == 2
    assert checks[2].cure == "У 1 сотрудника нет внутреннего номера: сопоставить его и звонить через него нельзя."


@pytest.mark.parametrize(
    ("body", "status", "expected", "cure"),
    [
        ({"result": 3105}, 200, [True, False], "unique code"),
        ({"result": 3102}, 200, [True, False], "signature"),
        ("", 401, [True, False], "125 s"),
        ("", 403, [True, False], "IP"),
        ({"result": 4000}, 200, [True, True, False], "impossible"),
        ("<html>nginx</html>", 200, [False], "Address"),
        ("", 502, [False], "Address"),
    ],
)
def test_what_to_do_about_what_is_wrong(
    web: responses.RequestsMock, http: Http, body: Any, status: int, expected: list[bool], cure: str
):
    answer(web, "config/users/request", body, status)
    with translation.override("en"):
        checks = MANGO.check(http, SECRETS, "")
    assert verdicts(checks) == expected
    assert cure in checks[-1].cure
    assert all(check.cure for check in checks if not check.ok)


def test_a_server_that_is_not_there(web: responses.RequestsMock, http: Http):
    checks = MANGO.check(http, SECRETS, "")
    assert verdicts(checks) == [False]


def test_an_address_in_our_own_network():
    checks = MANGO.check(Http(patience=0), SECRETS | {"api_url": "http://127.0.0.1:1"}, "")
    assert verdicts(checks) == [False]


def test_nobody_has_an_extension(web: responses.RequestsMock, http: Http):
    answer(web, "config/users/request", {"users": [{"general": {"name": "A"}}]})
    answer(web, "incominglines", {"result": 5008})
    assert verdicts(MANGO.check(http, SECRETS, "")) == [True, True, False, False]


# --- The form and the guide -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("app.mango-office.ru", "https://app.mango-office.ru"),
        (" https://app.mango-office.ru/ ", "https://app.mango-office.ru"),
        ("https://app.mango-office.ru/vpbx/", "https://app.mango-office.ru"),
        ("https://app.mango-office.ru/vpbx/commands/callback?x=1", "https://app.mango-office.ru"),
        ("HTTPS://App.Mango-Office.ru/vpbx", "https://app.mango-office.ru"),
        ("http://127.0.0.1:8080/vpbx", "http://127.0.0.1:8080"),
        ("81.88.85.67", "https://81.88.85.67"),
        ("https://proxy.example/mango/vpbx/", "https://proxy.example/mango"),
        ("http://[::1]:9000/", "http://[::1]:9000"),
    ],
)
def test_addresses_are_made_alike(typed: str, kept: str):
    assert base_url(typed) == kept


@pytest.mark.parametrize(
    "typed", ["", "ftp://x", "https://", "https://a b", "https://u:p@host", "http://host:99999", "javascript:alert(1)"]
)
def test_what_is_no_address(typed: str):
    with pytest.raises(ValidationError):
        base_url(typed)


def test_the_form_in_russian():
    with translation.override("ru"):
        form = MangoForm()
        labels = {name: str(field.label) for name, field in form.fields.items()}
        assert (labels["api_url"], labels["api_key"], labels["api_salt"]) == ("Адрес", "Код", "Секрет")
        assert form.fields["api_key"].help_text == "Уникальный код вашей АТС"
        assert form.fields["api_salt"].help_text == "Ключ для создания подписи"
        assert 'type="password"' in str(form["api_salt"])


def test_the_form_checks_and_normalises():
    typed = {"api_url": "app.mango-office.ru/vpbx", "api_key": f" {KEY} ", "api_salt": SALT, "greeting_seconds": "2.5"}
    form = MangoForm(typed)
    assert form.is_valid(), form.errors
    assert form.cleaned_data == SECRETS | {"greeting_seconds": 2.5}
    for seconds in ("0.1", "31", "nan", ""):
        assert not MangoForm(typed | {"greeting_seconds": seconds}).is_valid()


@pytest.mark.parametrize("language", ["ru", "en"])
def test_the_guide_shows_the_address(language: str):
    assert "{webhook_url}" in (MANGO.folder / f"guide.{language}.md").read_text()
