"""What is UniTalk's own: its header, both forms of its events, where numbers stand, its recordings, its errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses
from django.http import QueryDict

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, VendorFault
from outbound.http import Http
from telephony import commands, history, webhooks
from telephony.models import Call as Row
from telephony.models import CallAlias, Connection, HistoryRun
from telephony.providers.base import (
    Direction,
    HistoryLeg,
    Leg,
    NotUnderstood,
    Outcome,
    Party,
    RecordingFact,
    Refused,
    Request,
    Summary,
)
from telephony.providers.unitalk.forms import UniTalkForm
from telephony.providers.unitalk.provider import UniTalk
from tests.emulators.pbx import SCENARIOS
from tests.emulators.served import MP3, Told, Wire
from tests.emulators.unitalk import TOKEN, Emulator, handler, variables
from tests.factories import ConnectionFactory

UNITALK = UniTalk()
API = "https://api.unitalk.cloud/api"
SECRETS = {"api_key": "utkey-demo-0001", "hook_token": TOKEN, "timezone": "Europe/Kyiv", "api_url": API}
LINK = "https://api.unitalk.cloud:8443/tracking/rec/1772442000.101/2026-03-02"
CALL = {
    "id": 3001944,
    "from": "380500000001",
    "to": ["2000"],
    "outerNumber": "380440000001",
    "direction": "IN",
    "date": "2026-03-02 11:00:00",
    "state": None,
}
END = CALL | {"secondsFullTime": 59, "secondsTalk": 47, "state": "ANSWER", "link": LINK}


def request(event: str, call: dict[str, Any]) -> Request:
    wire = handler(event, call)
    return Request("POST", "", wire.body, "", wire.headers)


def summary(**changes: Any) -> Summary:
    told = UNITALK.parse(request("CALL_END", END | changes), SECRETS)
    return next(fact for fact in told if isinstance(fact, Summary))


class Account(Emulator):
    """An emulated account, and our connection to it."""

    connection: Connection

    def __init__(self) -> None:
        super().__init__(self._hand_over)

    def _hand_over(self, wire: Wire) -> Told:
        told = Request(wire.method, wire.path, wire.body, wire.query, wire.headers, "127.0.0.1")
        reply = webhooks.receive(UNITALK, self.connection.address.token, told)
        return Told(reply.status, reply.body)


@pytest.fixture
def pbx(transactional_db: None) -> Iterator[Account]:
    account = Account()
    with account.serving():
        account.connection = ConnectionFactory.create(provider="unitalk", brand="unitalk", credentials=account.secrets)
        yield account
    assert account.violations == []


# --- The header -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [{}, {"x-hub-token": ""}, {"x-hub-token": "another"}, {"authorization": TOKEN}])
def test_without_the_password_nobody_is_believed(told: dict[str, str]) -> None:
    with pytest.raises(Refused):
        UNITALK.authenticate(replace(request("CALL_NEW", CALL), headers=told), SECRETS)


def test_a_connection_without_a_password_believes_nobody() -> None:
    with pytest.raises(Refused):
        UNITALK.authenticate(replace(request("CALL_NEW", CALL), headers={"x-hub-token": ""}), {})


def test_the_door_keeps_the_header() -> None:
    scope = {"method": "POST", "headers": [(b"X-Hub-Token", TOKEN.encode())]}
    UNITALK.authenticate(webhooks._request(scope, "", b"", ""), SECRETS)


@pytest.mark.parametrize(("password", "fits"), [("a" * 16, True), ("short", False), ("пароль" * 5, False)])
def test_the_password_can_be_sent_in_a_header_and_is_long(password: str, fits: bool) -> None:
    post = QueryDict(mutable=True)
    post.update(SECRETS | {"hook_token": password})
    assert UniTalkForm(post).is_valid() == fits


# --- Events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CALL_NEW", "CALL_REDIRECT", "CALL_ANSWER", "CALL_END"])
def test_the_form_of_the_guide_says_what_the_standard_json_says(name: str) -> None:
    call = END if name == "CALL_END" else CALL
    composed = handler(name, call, composed=True)
    told = UNITALK.parse(Request("POST", "", composed.body, "", composed.headers), SECRETS)
    assert told == UNITALK.parse(request(name, call), SECRETS)
    assert told


@pytest.mark.parametrize("language", ["ru", "en"])
def test_the_guide_hands_out_the_form_that_is_read(language: str) -> None:
    guide = (UNITALK.folder / f"guide.{language}.md").read_text(encoding="utf-8")
    lines = guide.split("```")[1].split()
    assert {line.partition("=")[0] for line in lines} == set(variables("CALL_END", END))


def test_calls_told_by_the_form_of_the_guide_are_whole(pbx: Account) -> None:
    pbx.composed = True
    for scenario in SCENARIOS:
        if len(scenario.rings) == 1 or scenario.name in ("transferred", "internal"):
            call = pbx.play(scenario)
            row = Row.objects.get(key=call.id)
            assert {name: getattr(row, name) for name in call.truth} == call.truth


def test_an_id_that_comes_again_another_day_is_another_call() -> None:
    one, other = (summary(date=f"{day} 11:00:00") for day in ("2026-03-02", "2026-03-03"))
    assert one.call != other.call


@pytest.mark.parametrize(
    ("caller", "to"),
    [
        ("2000", ["380500000004"]),
        ("2000", ["2000", "380500000004"]),
        ("380500000004", ["2000"]),
        ("380440000001", ["380500000004", "2000"]),
    ],
)
def test_an_outgoing_call_is_understood_wherever_its_numbers_stand(caller: str, to: list[str]) -> None:
    leg = UNITALK.parse(request("CALL_NEW", CALL | {"direction": "OUT", "from": caller, "to": to}), SECRETS)[0]
    assert isinstance(leg, Leg)
    assert (leg.caller, leg.callee) == (Party(extension="2000"), Party(number="380500000004"))


def test_a_short_number_can_be_dialled() -> None:
    leg = UNITALK.parse(request("CALL_NEW", CALL | {"direction": "OUT", "from": "2000", "to": ["103"]}), SECRETS)[0]
    assert isinstance(leg, Leg)
    assert (leg.caller, leg.callee) == (Party(extension="2000"), Party(number="103"))


def test_an_answer_on_an_outside_number_names_no_employee() -> None:
    told = UNITALK.parse(request("CALL_ANSWER", CALL | {"to": ["380670000001"]}), SECRETS)
    assert not [fact for fact in told if isinstance(fact, Leg)]
    end = summary(to=["380670000001"])
    assert (end.outcome, end.extension) == (Outcome.ANSWERED, "")


@pytest.mark.parametrize(
    ("state", "seconds", "incoming", "outgoing"),
    [
        ("ANSWER", 47, Outcome.ANSWERED, Outcome.ANSWERED),
        ("BUSYOUT", 0, Outcome.BUSY, Outcome.BUSY),
        ("UNREACHABLE", 0, Outcome.MISSED, Outcome.NO_ANSWER),
        ("NOMONEY", 0, Outcome.FAILED, Outcome.FAILED),
        ("NEVER_HEARD_OF", 0, Outcome.FAILED, Outcome.FAILED),
        ("NEVER_HEARD_OF", 5, Outcome.ANSWERED, Outcome.ANSWERED),
        (None, 0, Outcome.MISSED, Outcome.NO_ANSWER),
    ],
)
def test_what_a_call_came_to(state: str | None, seconds: int, incoming: Outcome, outgoing: Outcome) -> None:
    told = {"state": state, "secondsTalk": seconds}
    assert summary(**told).outcome == incoming
    assert summary(**told, direction="OUT", **{"from": "2000", "to": ["380500000004"]}).outcome == outgoing


@pytest.mark.parametrize(("zone", "hour"), [("Europe/Kyiv", 9), ("UTC", 11)])
def test_times_are_those_of_the_cabinet(zone: str, hour: int) -> None:
    (leg, *_others) = UNITALK.parse(request("CALL_NEW", CALL), SECRETS | {"timezone": zone})
    assert isinstance(leg, Leg)
    assert leg.at == datetime(2026, 3, 2, hour, tzinfo=UTC)


@pytest.mark.parametrize("call", [CALL | {"direction": "SIDEWAYS"}, CALL | {"id": None}, CALL | {"to": {"a": 1}}])
def test_what_is_not_understood_is_said(call: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        UNITALK.parse(request("CALL_NEW", call), SECRETS)


def test_an_event_that_we_do_not_know_says_nothing() -> None:
    assert UNITALK.parse(request("CALL_HELD", CALL), SECRETS) == []


def test_a_link_that_is_none_announces_no_recording() -> None:
    told = UNITALK.parse(request("CALL_END", END | {"link": "none"}), SECRETS)
    assert not [fact for fact in told if isinstance(fact, RecordingFact)]


# --- Dialling ---------------------------------------------------------------------------------------------------------


def test_an_echoed_mark_tells_the_dialled_call_from_one_made_by_hand(pbx: Account) -> None:
    command = commands.dial(pbx.connection, extension="101", phone="+79001234567")
    by_hand = pbx.new_call(SCENARIOS[8], client="79007654321")
    for wire in pbx.events(by_hand):
        pbx.tell(wire)
    pbx.echoes = True
    ours = pbx.redial("101", "+79001234567")
    assert [Row.objects.get(key=call.id).dialled_by for call in (ours, by_hand)] == [command, None]


@pytest.mark.parametrize("meta", [{"a": 1}, ["x"], 5, None])
def test_a_mark_of_another_kind_is_not_ours(meta: Any) -> None:
    leg = UNITALK.parse(request("CALL_NEW", CALL | {"direction": "OUT", "meta": meta}), SECRETS)[0]
    assert isinstance(leg, Leg)
    assert leg.command == ""


@pytest.mark.parametrize(("extension", "phone"), [("", "+380500000001"), ("380500000001", "+380500000001"), ("1", "x")])
def test_what_cannot_be_dialled_is_not_sent(extension: str, phone: str) -> None:
    with pytest.raises(Rejected):
        UNITALK.dial(Http(), SECRETS, command="c", extension=extension, phone=phone, line="")


@pytest.mark.parametrize("answer", [{}, {"status": "Queued"}, "<html>"])
def test_a_dial_that_is_not_confirmed_is_in_doubt(answer: Any) -> None:
    with responses.RequestsMock() as mock:
        mock.post(f"{API}/phones/directCall", body=answer if isinstance(answer, str) else json.dumps(answer))
        with pytest.raises(VendorFault) as raised:
            UNITALK.dial(Http(), SECRETS, command="c", extension="2001", phone="+380500000005", line="")
    assert raised.value.fate_unknown


# --- History ----------------------------------------------------------------------------------------------------------


def read_history(*pages: list[dict[str, Any]]) -> list[HistoryLeg]:
    with responses.RequestsMock() as mock:
        for rows in pages:
            mock.post(f"{API}/history/get", json={"count": len(rows), "calls": rows, "warning": None})
        since, until = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
        return list(UNITALK.history(Http(), SECRETS, since, until))


def test_the_page_of_the_sample_is_read() -> None:
    sample = json.loads((UNITALK.folder / "samples/08_history_page.json").read_text())
    legs = read_history(json.loads(sample["exchanges"][0]["response"]["body"])["calls"])
    told = [(leg.direction, leg.caller, leg.callee, leg.why, leg.answered_at is not None) for leg in legs]
    client = Party(number="380500000002")
    assert told == [
        (Direction.OUT, Party(extension="2000"), Party(number="380500000004"), Outcome.ANSWERED, True),
        (Direction.IN, client, Party(extension="2000"), Outcome.MISSED, False),
        (Direction.IN, client, Party(extension="2001"), Outcome.MISSED, False),
    ]


def test_a_row_that_moves_on_to_the_next_page_is_read_once() -> None:
    rows = [END | {"date": f"2026-03-02 10:{place // 60:02}:{place % 60:02}"} for place in range(1000)]
    assert len(read_history(rows, [*rows[-1:], END])) == 1001


def test_a_call_without_a_state_goes_on() -> None:
    (leg,) = read_history([CALL])
    assert (leg.ended_at, leg.why) == (None, None)


def test_an_answered_call_without_an_employee_is_not_told_as_missed() -> None:
    assert read_history([END | {"to": []}]) == []


def test_the_history_knows_a_call_that_was_heard(pbx: Account) -> None:
    """Even one whose other events were lost: it is finished, and comes up once."""
    whole, torn = pbx.play(SCENARIOS[0]), pbx.new_call(SCENARIOS[0])
    pbx.tell(next(pbx.events(torn)))
    look(pbx.connection)
    assert {row.key: (row.state, row.talk_seconds) for row in Row.objects.all()} == {
        whole.id: ("finished", 30),
        torn.id: ("finished", 30),
    }
    assert CallAlias.objects.filter(call__key=torn.id).values_list("key", flat=True).get() == torn.in_history


@pytest.mark.parametrize("first", range(4))
def test_events_that_come_after_the_history_belong_to_its_call(pbx: Account, first: int) -> None:
    call = pbx.new_call(SCENARIOS[0])
    look(pbx.connection)
    wires = list(pbx.events(call))
    for wire in wires[first:] + wires[:first]:
        pbx.tell(wire)
    row = Row.objects.get()
    assert {name: getattr(row, name) for name in call.truth} == call.truth
    assert row.key == call.id


def look(connection: Connection) -> None:
    now = datetime.now(UTC)
    run = history.start(connection, HistoryRun.Kind.SCHEDULED, now - timedelta(hours=1), now)
    while run.pk in history.due():
        history.work(run.pk)
    run.refresh_from_db()
    assert run.state == HistoryRun.State.DONE, run.error


# --- Recordings -------------------------------------------------------------------------------------------------------

PAGE = {"status": "Error", "message": "Authorization invalid"}


@pytest.mark.parametrize("refusal", [{"json": PAGE}, {"json": PAGE, "status": 401}, {"body": "<html>", "status": 403}])
def test_the_key_is_shown_where_a_recording_needs_it(refusal: dict[str, Any]) -> None:
    with responses.RequestsMock() as mock:
        mock.get(LINK, **refusal)
        mock.get(LINK, body=MP3, content_type="audio/mpeg")
        audio = UNITALK.recording(Http(), SECRETS, LINK, "")
        shown = [call.request.headers.get("Authorization") for call in mock.calls]
    assert audio is not None
    with audio.content as file:
        file.seek(0)
        assert file.read() == MP3
    assert shown == [None, SECRETS["api_key"]]


@pytest.mark.parametrize(
    "link",
    [
        "https://cstat.nextel.com.ua:8443/tracking/history/record/1.1/2026-03-02",
        "https://unitalk.cloud.example.com/1",
        "https://evilunitalk.cloud/1",
        "http://api.unitalk.cloud/1",
    ],
)
def test_the_key_goes_to_nobody_else(link: str) -> None:
    with responses.RequestsMock() as mock:
        mock.get(link, status=401)
        with pytest.raises(VendorFault):
            UNITALK.recording(Http(), SECRETS, link, "")
        assert len(mock.calls) == 1


# --- What we ask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "items", "data", "list", "result"])
def test_users_are_found_however_their_list_is_wrapped(name: str) -> None:
    sample = json.loads((UNITALK.folder / "samples/09_users.json").read_text())
    rows = json.loads(sample["exchanges"][0]["response"]["body"])
    with responses.RequestsMock() as mock:
        mock.post(f"{API}/users/list", json={name: rows} if name else rows)
        users = UNITALK.users(Http(), SECRETS)
    assert {user.extension: user.name for user in users} == {"2000": "Operator One", "2001": "Operator Two"}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"status": "Error", "message": "Authorization invalid"}, CredentialsRefused),
        (401, {"status": "Error", "message": "Authorization invalid"}, CredentialsRefused),
        (200, {"status": "Error", "message": "Internal error"}, VendorFault),
        (200, {"status": "Error", "message": "DOS protection"}, RateLimited),
        (429, "", RateLimited),
        (200, {"status": "Error", "message": "Wrong line"}, Rejected),
        (404, {"status": 404, "error": "Not Found"}, Rejected),
        (403, "<html>", VendorFault),
        (502, "<html>", VendorFault),
    ],
)
def test_errors_are_sorted_by_what_must_be_done(status: int, body: Any, kind: type[OutboundError]) -> None:
    with responses.RequestsMock() as mock:
        mock.post(f"{API}/users/list", body=body if isinstance(body, str) else json.dumps(body), status=status)
        with pytest.raises(OutboundError) as raised:
            UNITALK.users(Http(), SECRETS)
    assert type(raised.value) is kind
