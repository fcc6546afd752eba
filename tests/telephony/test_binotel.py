"""What is Binotel's own: nested forms, who proves himself, its question, dispositions, numbers, commands, errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
import responses

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Http
from telephony.fold import CallState, FoldedCall, fold
from telephony.providers.base import Advice, Fact, Outcome, Party, RecordingFact, Refused, Request, Summary
from telephony.providers.binotel import bodies, phones, sender
from telephony.providers.binotel.forms import BinotelForm
from telephony.providers.binotel.provider import Binotel
from tests.emulators.binotel import COMPANY, Emulator, form
from tests.emulators.pbx import SCENARIOS

BINOTEL = Binotel()
SECRETS = {"key": "bnkey-demo-0001", "secret": "bnsecret-demo-0001", "company_id": COMPANY}
CALL = "6000000001"
BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)
INCOMING = {"requestType": "apiCallSettings", "companyID": COMPANY, "callType": "0", "externalNumber": "0500000001"}
INCOMING |= {"pbxNumber": "0440000001"}
OUTGOING = {"requestType": "apiCallSettings", "companyID": COMPANY, "callType": "1", "externalNumber": "0500000001"}
OUTGOING |= {"internalNumber": "901"}


def request(fields: dict[str, Any], remote: str = "194.88.219.78") -> Request:
    wire = form(fields)
    return Request("POST", "", wire.body, "", wire.headers, remote)


def completed(*attempts: dict[str, Any], **whole: Any) -> Request:
    """API CALL COMPLETED of an incoming call."""
    usual = {"companyID": COMPANY, "generalCallID": CALL, "startTime": int(BEGAN.timestamp()), "callType": 0}
    usual |= {"externalNumber": "0500000001", "pbxNumberData": {"number": "0440000001"}, "customerData": ""}
    told = {**usual, **whole, "historyData": list(attempts)}
    return request({"requestType": "apiCallCompleted", "attemptsCounter": 1, "callDetails": told})


def attempt(extension: str, disposition: str, wait: int, bill: int = 0) -> dict[str, Any]:
    return {"waitsec": wait, "billsec": bill, "disposition": disposition, "internalNumber": extension}


def facts(*requests: Request) -> list[Fact]:
    return [fact for each in requests for fact in BINOTEL.parse(each, SECRETS) if isinstance(fact, Fact)]


def told(*requests: Request) -> FoldedCall:
    return fold(facts(*requests))


# --- Bodies -----------------------------------------------------------------------------------------------------------


def test_a_form_nests_in_brackets_and_json_says_the_same() -> None:
    nested = {"callDetails": {"generalCallID": CALL, "pbxNumberData": {"number": "0440000001"}, "customerData": ""}}
    assert bodies.fields(request(nested)) == nested
    assert bodies.fields(Request("POST", "", json.dumps(nested).encode())) == nested
    assert json.loads(BINOTEL.shown(request(nested))) == nested


def test_a_group_that_is_tried_again_and_again_is_read_whole() -> None:
    tried = [attempt(str(101 + place), "NOANSWER", 5) for place in range(60)]
    call = told(completed(*tried, waitsec=300, billsec=0, disposition="NOANSWER"))
    assert [share.extension for share in call.shares] == [step["internalNumber"] for step in tried]


@pytest.mark.parametrize("body", [b"callDetails=x&requestType=apiCallCompleted", b'{"requestType": {}}', b"a[b][=1"])
def test_other_shapes_break_nothing(body: bytes) -> None:
    broken = Request("POST", "", body)
    assert BINOTEL.question(broken) is None
    with pytest.raises(Refused):
        BINOTEL.authenticate(broken, SECRETS)


# --- Who speaks -------------------------------------------------------------------------------------------------------


def test_the_company_proves_the_sender() -> None:
    BINOTEL.authenticate(request(INCOMING), SECRETS)
    BINOTEL.authenticate(completed(disposition="CANCEL"), SECRETS)
    for stranger in ({"companyID": "79999"}, {"companyID": ""}):
        with pytest.raises(Refused):
            BINOTEL.authenticate(request(INCOMING | stranger), SECRETS)
    with pytest.raises(Refused):
        BINOTEL.authenticate(request(INCOMING | {"companyID": ""}), SECRETS | {"company_id": ""})


def test_only_the_live_end_of_a_call_may_come_without_the_company() -> None:
    end = {"generalCallID": CALL, "billsec": "0", "disposition": "CANCEL"}
    BINOTEL.authenticate(request(end | {"method": "hangupTheCall"}), SECRETS)
    BINOTEL.authenticate(request(end), SECRETS)
    for other in ({"requestType": "answeredTheCall"}, {"requestType": "hangupTheCall", "companyID": "79999"}):
        with pytest.raises(Refused):
            BINOTEL.authenticate(request(end | other), SECRETS)


@pytest.mark.parametrize(
    ("remote", "addresses", "noted"),
    [
        ("194.88.219.78", "194.88.219.78, 194.88.219.79", 0),
        ("194.88.219.78", "194.88.219.0/24", 0),
        ("203.0.113.7", "194.88.219.78", 1),
        ("", "194.88.219.78", 1),
        ("203.0.113.7", "", 0),
    ],
)
def test_a_new_address_is_noted_and_let_in(
    remote: str, addresses: str, noted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Mock()
    monkeypatch.setattr(sender, "log", log)
    BINOTEL.authenticate(request(INCOMING, remote), SECRETS | {"addresses": addresses})
    assert log.warning.call_count == noted


def test_addresses_are_looked_over_when_they_are_entered() -> None:
    initial = {name: field.initial for name, field in BinotelForm.base_fields.items()}
    entered = {**initial, "key": "k", "secret": "s", "company_id": COMPANY}
    assert BinotelForm(entered).is_valid()
    assert list(BinotelForm(entered | {"addresses": "194.88.219.78 my.binotel.ua"}).errors) == ["addresses"]


# --- Questions --------------------------------------------------------------------------------------------------------


def test_the_question_is_who_calls_and_names_no_call() -> None:
    question = BINOTEL.question(request(INCOMING))
    assert question
    assert (question.client_number, question.virtual_number, question.call) == ("+380500000001", "+380440000001", "")
    assert BINOTEL.parse(request(INCOMING), SECRETS) == []
    assert BINOTEL.question(completed(disposition="CANCEL")) is None


@pytest.mark.parametrize(
    ("asked", "advice", "answer"),
    [
        (INCOMING, Advice(), {}),
        (INCOMING, Advice(client="Анна"), {"customerData": {"name": "Анна"}}),
        (INCOMING, Advice("901", "Анна"), {"customerData": {"name": "Анна", "assignedToEmployeeNumber": "901"}}),
        (OUTGOING, Advice("902", "Анна"), {"customerData": {"name": "Анна"}}),
        (OUTGOING, Advice("902"), {}),
    ],
)
def test_what_is_known_is_told(asked: dict[str, str], advice: Advice, answer: dict[str, Any]) -> None:
    assert json.loads(BINOTEL.answer(request(asked), advice).body) == answer


def test_everything_else_is_answered_in_the_words_that_end_the_repeating() -> None:
    reply = BINOTEL.reply(completed(disposition="CANCEL"), SECRETS)
    assert (reply.status, reply.body, reply.content_type) == (200, b'{"status":"success"}', "application/json")


# --- Calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("disposition", "bill", "incoming", "outgoing"),
    [
        ("ANSWER", 5, Outcome.ANSWERED, Outcome.ANSWERED),
        ("ANSWERED", 0, Outcome.ANSWERED, Outcome.ANSWERED),
        ("SUCCESS", 5, Outcome.ANSWERED, Outcome.ANSWERED),
        ("TRANSFER", 5, Outcome.ANSWERED, Outcome.ANSWERED),
        ("TRANSFER", 0, Outcome.MISSED, Outcome.NO_ANSWER),
        ("NO ANSWER", 0, Outcome.MISSED, Outcome.NO_ANSWER),
        ("CANCEL", 0, Outcome.MISSED, Outcome.NO_ANSWER),
        ("VM", 3, Outcome.MISSED, Outcome.NO_ANSWER),
        ("VM-SUCCESS", 14, Outcome.MISSED, Outcome.NO_ANSWER),
        ("BUSY", 0, Outcome.BUSY, Outcome.BUSY),
        ("CONGESTION", 0, Outcome.FAILED, Outcome.FAILED),
        ("CHANUNAVAIL", 0, Outcome.FAILED, Outcome.FAILED),
        ("SOMETHING", 9, Outcome.FAILED, Outcome.FAILED),
    ],
)
def test_what_a_disposition_means(disposition: str, bill: int, incoming: Outcome, outgoing: Outcome) -> None:
    for call_type, outcome in ((0, incoming), (1, outgoing)):
        step = attempt("901", disposition, 4, bill)
        call = told(completed(step, **step, callType=call_type))
        assert (call.state, call.outcome) == (CallState.FINISHED, outcome)
        assert call.talk_seconds == (bill if outcome is Outcome.ANSWERED else 0)


@pytest.mark.parametrize("disposition", ["ONLINE", "CALLING", "SMS-SUCCESS", "SMS-SENDING"])
def test_what_goes_on_and_what_is_a_message_ends_no_call(disposition: str) -> None:
    end = {"requestType": "hangupTheCall", "companyID": COMPANY, "generalCallID": CALL, "disposition": disposition}
    assert facts(completed(attempt("901", disposition, 4), disposition=disposition), request(end)) == []


def test_who_answered_live_may_be_known_under_an_old_name_and_is_passed_on() -> None:
    usual = {"companyID": COMPANY, "generalCallID": CALL, "callType": "0", "externalNumber": "0500000001"}
    answered = request(usual | {"method": "answeredTheCall", "extNumber": "901"})
    told_live = [*facts(request(usual | {"requestType": "receivedTheCall"})), *_at(1, facts(answered))]
    assert (fold(told_live).state, fold(told_live).live_leg) == (CallState.ANSWERED, f"{CALL}:901")
    passed_on = {"companyID": COMPANY, "generalCallID": CALL, "requestType": "transferredTheCall"}
    told_live += _at(2, facts(request(passed_on | {"internalNumber": "903"})))
    call = fold(told_live)
    assert (call.state, call.live_leg, call.client_number) == (CallState.TRANSFERRED, f"{CALL}:903", "+380500000001")


def _at(second: int, told_live: list[Fact]) -> list[Fact]:
    return [replace(fact, at=BEGAN + timedelta(seconds=second)) for fact in told_live]


@pytest.mark.parametrize(("bill", "disposition"), [(47, "ANSWER"), (0, "NOANSWER"), (0, "BUSY"), (0, "CANCEL")])
def test_the_live_end_alone_is_an_end(bill: int, disposition: str) -> None:
    usual = {"companyID": COMPANY, "generalCallID": CALL}
    begin = request(usual | {"requestType": "receivedTheCall", "callType": "1", "externalNumber": "0500000001"})
    end = request(usual | {"method": "hangupTheCall", "billsec": bill, "disposition": disposition})
    call = fold([*_at(0, facts(begin)), *_at(60, facts(end))])
    expected = {"ANSWER": Outcome.ANSWERED, "BUSY": Outcome.BUSY}.get(disposition, Outcome.NO_ANSWER)
    assert (call.state, call.outcome, call.talk_seconds) == (CallState.FINISHED, expected, bill)


def test_a_transfer_is_talked_as_long_as_binotel_says() -> None:
    steps = attempt("901", "TRANSFER", 8, 30), attempt("903", "ANSWER", 4, 60)
    call = told(completed(*steps, disposition="TRANSFER", waitsec=12, billsec=90, internalNumber="903"))
    assert (call.first_extension, call.extension, call.talk_seconds) == ("901", "903", 90)
    assert call.answered_at == BEGAN + timedelta(seconds=8)


def test_phones_that_rang_together_rang_no_longer_than_the_call() -> None:
    steps = attempt("901", "NOANSWER", 15), attempt("902", "ANSWER", 15, 60)
    call = told(completed(*steps, disposition="ANSWER", waitsec=15, billsec=60))
    assert (call.extension, call.answered_at) == ("902", BEGAN + timedelta(seconds=15))
    assert call.ended_at == BEGAN + timedelta(seconds=75)


def test_an_employee_may_be_tried_again() -> None:
    steps = attempt("901", "NOANSWER", 15), attempt("902", "BUSY", 1), attempt("901", "ANSWER", 5, 60)
    call = told(completed(*steps, disposition="ANSWER", waitsec=21, billsec=60))
    assert [(share.extension, share.why) for share in call.shares] == [
        ("901", None),
        ("902", Outcome.BUSY),
        ("901", Outcome.ANSWERED),
    ]
    assert call.answered_at == BEGAN + timedelta(seconds=21)


def test_what_nobody_answered_came_to_what_binotel_says_of_the_whole() -> None:
    steps = attempt("901", "BUSY", 1), attempt("902", "NOANSWER", 15)
    call = told(completed(*steps, disposition="NOANSWER", waitsec=16))
    assert (call.outcome, call.extension) == (Outcome.MISSED, "901")


@pytest.mark.parametrize("steps", [[], [attempt("901", "NOANSWER", 15)]])
def test_where_attempts_contradict_the_call_the_call_counts(steps: list[dict[str, Any]]) -> None:
    call = told(completed(*steps, disposition="ANSWER", waitsec=7, billsec=20, internalNumber="902"))
    assert (call.extension, call.outcome, call.talk_seconds) == ("902", Outcome.ANSWERED, 20)


def test_a_call_without_a_beginning_is_told_by_its_summary_alone() -> None:
    found = facts(completed(disposition="ANSWER", billsec=20, internalNumber="902", startTime=""))
    (summary,) = found
    assert isinstance(summary, Summary)
    call = fold(_at(60, found))
    assert (call.extension, call.client_number, call.talk_seconds) == ("902", "+380500000001", 20)


@pytest.mark.parametrize(("status", "ready"), [("uploaded", [CALL]), ("", []), ("recording", [])])
def test_a_recording_is_ready_when_it_is_uploaded(status: str, ready: list[str]) -> None:
    step = attempt("901", "ANSWER", 4, 20)
    found = facts(completed(step, **step, recordingStatus=status))
    assert [fact.recording for fact in found if isinstance(fact, RecordingFact)] == ready


# --- Numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wire", "phone"), [("0500000001", "+380500000001"), ("79000000001", "+79000000001")])
def test_numbers_are_written_as_binotel_does(wire: str, phone: str) -> None:
    assert phones.written(phone) == wire
    assert phones.read(wire).lstrip("+") == phone.lstrip("+")


def test_words_stand_for_a_hidden_number() -> None:
    assert [phones.party(number) for number in ("", "Anonymous", "+")] == [Party()] * 3


# --- What we ask ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pbx() -> Iterator[Emulator]:
    emulator = Emulator(lambda _wire: None)
    with emulator.serving():
        yield emulator
    assert emulator.violations == []


def http() -> Http:
    return Http(allow_private=True)


def test_a_dial_waits_for_nobody(pbx: Emulator) -> None:
    BINOTEL.dial(http(), pbx.secrets, command="c", extension="101", phone="+380500000008", line="+380440000001")
    (sent,) = pbx.asked
    keys = {"key": pbx.secrets["key"], "secret": pbx.secrets["secret"]}
    told = {"internalNumber": "101", "externalNumber": "0500000008", "pbxNumber": "0440000001"}
    assert sent == keys | told | {"playbackWaiting": False, "async": True}


@pytest.mark.parametrize(("extension", "phone"), [("x", "+380500000008"), ("101", "0500000008"), ("", "+380500000008")])
def test_what_is_no_number_is_not_sent(pbx: Emulator, extension: str, phone: str) -> None:
    with pytest.raises(Rejected):
        BINOTEL.dial(http(), pbx.secrets, command="c", extension=extension, phone=phone, line="")
    assert pbx.asked == []


def test_a_call_is_hung_up_and_one_that_is_over_is_as_good(pbx: Emulator) -> None:
    live, over = pbx.new_call(SCENARIOS[0]), pbx.new_call(SCENARIOS[0])
    pbx.unsettled.add(live.id)
    for call in (live, over):
        BINOTEL.hangup(http(), pbx.secrets, command="c", leg=f"{call.id}:101")
    assert pbx.hung_up == [live.id]


def test_a_call_that_goes_on_and_is_not_hung_up_is_an_error(pbx: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    live = pbx.new_call(SCENARIOS[0])
    monkeypatch.setattr(pbx, "_row", lambda call: {"generalCallID": call.id, "disposition": "ONLINE"})
    with pytest.raises(Rejected):
        BINOTEL.hangup(http(), pbx.secrets, command="c", leg=f"{live.id}:101")


@pytest.mark.parametrize(("to", "target"), [("103", "103"), ("+380500000009", "0500000009")])
def test_a_call_is_transferred_to_an_extension_or_a_phone(pbx: Emulator, to: str, target: str) -> None:
    BINOTEL.transfer(http(), pbx.secrets, command="c", leg=f"{CALL}:101", by="101", to=to, method="blind")
    assert pbx.transferred == [(CALL, target)]


def test_the_history_is_asked_day_by_day_without_gaps(pbx: Emulator) -> None:
    list(BINOTEL.history(http(), pbx.secrets, BEGAN, BEGAN + timedelta(days=2, hours=1)))
    asked = [(sent["startTime"], sent["stopTime"]) for sent in pbx.asked]
    assert len(asked) == 3
    assert (asked[0][0], asked[-1][1]) == (BEGAN.timestamp(), (BEGAN + timedelta(days=2, hours=1)).timestamp())
    assert [asked[place + 1][0] - asked[place][1] for place in range(2)] == [1, 1]


def test_a_call_that_goes_on_has_no_end_in_the_history(pbx: Emulator) -> None:
    call = pbx.new_call(SCENARIOS[0])
    pbx.unsettled.add(call.id)
    now = datetime.now(UTC)
    assert [leg.ended_at for leg in BINOTEL.history(http(), pbx.secrets, now - timedelta(hours=1), now)] == [None]


def test_a_recording_that_is_not_there_yet_is_none(pbx: Emulator) -> None:
    assert BINOTEL.recording(http(), pbx.secrets, CALL, "") is None


def test_employees_may_come_as_a_list_and_without_a_phone() -> None:
    rows = [{"employeeID": 11, "name": "One", "mobileNumber": None, "endpointData": ""}]
    with responses.RequestsMock() as mock:
        _answers(mock, {"status": "success", "listOfEmployees": rows}, "settings/list-of-employees")
        (user,) = BINOTEL.users(Http(), SECRETS)
    assert (user.name, user.extension, user.vendor_id) == ("One", "", "11")


def test_no_password_of_a_phone_is_read(pbx: Emulator) -> None:
    assert "DO-NOT-STORE" not in repr(BINOTEL.users(http(), pbx.secrets))


def test_the_check_compares_the_company(pbx: Emulator) -> None:
    idle = BINOTEL.check(http(), pbx.secrets, "")
    pbx.new_call(SCENARIOS[0])
    wrong = BINOTEL.check(http(), pbx.secrets | {"company_id": "79999"}, "")
    right = BINOTEL.check(http(), pbx.secrets, "")
    assert [checks[-1].ok for checks in (idle, wrong, right)] == [True, False, True]
    assert idle[-1].cure
    assert COMPANY in wrong[-1].cure


# --- Errors -----------------------------------------------------------------------------------------------------------


def _answers(mock: responses.RequestsMock, body: Any, method: str, status: int = 200) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    mock.post(f"https://api.binotel.com/api/4.0/{method}.json", body=text, status=status)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"status": "error", "code": 102, "message": "No such method"}, Rejected),
        (200, {"status": "error", "code": "104", "message": "Wrong data"}, Rejected),
        (200, {"status": "error", "code": 105, "message": "Something went wrong"}, Temporary),
        (200, {"status": "error", "code": 106, "message": "Requests are too frequent"}, RateLimited),
        (200, {"status": "error", "code": "120", "message": "Your company is disabled"}, CredentialsRefused),
        (200, {"status": "error", "code": 121, "message": "Your key or secret is wrong"}, CredentialsRefused),
        (200, {"status": "error", "code": 150, "message": "Can`t call to the ext"}, Rejected),
        (200, {"listOfEmployees": []}, VendorFault),
        (200, "Something went wrong (exception)", VendorFault),
        (403, "", CredentialsRefused),
        (429, "", RateLimited),
        (502, "<html>", Temporary),
    ],
)
def test_errors_are_sorted_by_what_must_be_done(status: int, body: Any, kind: type[OutboundError]) -> None:
    with responses.RequestsMock() as mock:
        _answers(mock, body, "settings/list-of-employees", status)
        with pytest.raises(kind) as error:
            BINOTEL.users(Http(), SECRETS)
    assert type(error.value) is kind


def test_after_too_many_requests_nothing_is_sent_for_a_while() -> None:
    quiet = Http(patience=0)
    with responses.RequestsMock() as mock:
        _answers(mock, {"status": "error", "code": 106, "message": "x"}, "settings/list-of-employees")
        for _ in range(2):
            with pytest.raises(RateLimited):
                BINOTEL.users(quiet, SECRETS)
        assert len(mock.calls) == 1
