"""What is UIS's own: templates of customers in all their shapes, its question and our answers, its errors by their
mnemonics, commands in several steps, and the account of MegaFon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses

from employees.forms import defaults
from integrations import directory
from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Http
from telephony import webhooks
from telephony.fold import fold
from telephony.models import Decision
from telephony.providers.base import (
    AT_RECEIPT,
    Advice,
    CallHistory,
    Direction,
    HistoryLeg,
    NotUnderstood,
    Outcome,
    Question,
    RecordingFact,
    Request,
    Summary,
)
from telephony.providers.uis.provider import Uis
from telephony.routing import Caller, Opinion
from telephony.signals import routing_question
from tests.emulators.pbx import SCENARIOS, Call
from tests.emulators.uis import TOKEN, Emulator, MegafonEmulator, templates
from tests.factories import ConnectionFactory, EmployeeFactory, EmployeePhoneFactory

UIS = Uis()
CALL_URL, DATA_URL = "https://callapi.uiscom.ru/v4.0", "https://dataapi.uiscom.ru/v2.0"
SECRETS = {"access_token": TOKEN, "virtual_number": "74950000001", "timezone": "Europe/Moscow"}
END = {
    "call_session_id": 900000001,
    "notification_time": "2026-03-02 10:01:10.047",
    "contact_phone_number": "79000000001",
    "virtual_phone_number": "74950000001",
    "employee_id": 323401,
    "extension_phone_number": "101",
    "direction": "in",
    "talk_time_duration": 60,
    "total_time_duration": 70,
}

NOON = (datetime(2026, 3, 2, 8, 0, tzinfo=UTC), datetime(2026, 3, 2, 14, 0, tzinfo=UTC))


def request(path: str, body: Any = None, query: str = "") -> Request:
    text = body if isinstance(body, str) else json.dumps(body) if body else ""
    return Request("POST", path, text.encode(), query)


def end(**changed: Any) -> Summary:
    (told,) = UIS.parse(request("finished", END | changed), SECRETS)
    assert isinstance(told, Summary)
    return told


@pytest.fixture
def pbx() -> Iterator[Emulator]:
    with Emulator(lambda _wire: None).serving() as opened:
        yield opened
    assert opened.violations == []


@pytest.fixture
def megafon() -> Iterator[MegafonEmulator]:
    with MegafonEmulator(lambda _wire: None).serving() as opened:
        yield opened
    assert opened.violations == []


@pytest.fixture
def http() -> Http:
    return Http(allow_private=True, patience=0.2)


# --- Notifications ----------------------------------------------------------------------------------------------------


def test_the_templates_of_both_guides_are_the_same_and_complete() -> None:
    english = (UIS.folder / "guide.en.md").read_text(encoding="utf-8")
    kinds = {"incoming", "waiting", "talk-started", "talk-finished", "lost", "finished", "record", "outgoing"}
    assert templates().keys() == kinds
    for kind, template in templates().items():
        assert f"`{{webhook_url}}{kind}`\n\n```json\n{template}\n```" in english


@pytest.mark.parametrize(
    "body",
    [
        '{"call_session_id":1,"talk_time_duration":"00:01:40","contact_phone_number":""79000000001"","direction":""in""}',
        '{"call_session_id":"1","call_info":{"talk_time_duration":100,"direction":"in"},"contact_phone_number":null,'
        '"contact_info":{"contact_phone_number":"79000000001"}}',
        '{"call_session_id":1,"talk_time_duration":100,"tag_names":{{tag_names}},"contact_phone_number":"79000000001",'
        '"direction":"in","extension_phone_number":"{{extension_phone_number}}"}',
        "call_session_id=1&talk_time_duration=100&contact_phone_number=79000000001&direction=in",
    ],
)
def test_customers_templates_are_read_in_all_their_shapes(body: str) -> None:
    (told,) = UIS.parse(request("finished/", body), SECRETS)
    assert isinstance(told, Summary)
    assert (told.client_number, told.direction, told.talk_seconds) == ("79000000001", Direction.IN, 100)
    assert (told.extension, told.at) == ("", AT_RECEIPT)


def test_a_query_is_read_as_a_body_is() -> None:
    (told,) = UIS.parse(request("finished", query="call_session_id=1&talk_time_duration=&direction=out"), SECRETS)
    assert isinstance(told, Summary)
    assert (told.call, told.direction, told.outcome) == ("1", Direction.OUT, None)
    assert UIS.shown(request("finished", query="notification_name=%D0%94%D0%B0")) == "notification_name=Да"


def test_times_are_those_of_the_account() -> None:
    told = end()
    assert (told.at, told.started_at) == (
        datetime(2026, 3, 2, 7, 1, 10, 47_000, UTC),
        datetime(2026, 3, 2, 7, 0, 0, 47_000, UTC),
    )


def test_an_end_that_does_not_say_whether_anybody_talked_is_not_understood() -> None:
    for body in ({"call_session_id": 1}, '{"call_session_id":1,"talk_time_duration":{{talk_time_duration}}}'):
        with pytest.raises(NotUnderstood, match="talk_time_duration"):
            UIS.parse(request("finished", body), SECRETS)


def test_an_internal_call_is_known_by_its_mark_or_by_a_short_number() -> None:
    assert end(is_internal=True, contact_phone_number="79000000001").direction is Direction.INTERNAL
    assert end(contact_phone_number="102").direction is Direction.INTERNAL
    assert end().direction is Direction.IN


def test_why_nobody_talked_is_left_open() -> None:
    assert end(talk_time_duration=0).outcome is None
    assert end().outcome is Outcome.ANSWERED


@pytest.mark.parametrize("path", ["", "callback", "finished/again"])
def test_a_kind_that_we_do_not_know_says_nothing(path: str) -> None:
    assert UIS.parse(request(path, END), SECRETS) == []


@pytest.mark.parametrize(
    "link",
    [
        "https://media.uiscom.ru/900000001/0a1b2c",
        "https://app.comagic.ru/system/media/talk/900000001/0a1b2c/",
        "https://app.comagic.ru/system/media/wav/900000001/0a1b2c/",
    ],
)
def test_every_form_of_a_link_leads_to_one_recording(link: str) -> None:
    (told,) = UIS.parse(request("record", END | {"file_link": link}), SECRETS)
    assert isinstance(told, RecordingFact)
    assert (told.recording, told.url) == ("900000001/0a1b2c", link)


# --- The question -----------------------------------------------------------------------------------------------------

ASKED = "cdr_id=900000003&start_time=1200&input_result=None&numa=79000000001&numb=74950000001"


@pytest.mark.parametrize(
    "asked",
    [
        request("route", query=ASKED),
        request("route", ASKED),
        request("route", {"call_session_id": 900000003, "numa": "79000000001", "numb": "74950000001"}),
    ],
)
def test_a_scenario_asks_however_it_was_set_up(asked: Request) -> None:
    assert UIS.question(asked) == Question("79000000001", "74950000001", "900000003")
    assert UIS.parse(asked, SECRETS) == []


@pytest.mark.parametrize("query", ["", "cdr_id=1&numa=anonymous", "numa=79000000001", "&".join(["a=1"] * 300)])
def test_a_question_that_names_nobody_is_answered_all_the_same(query: str) -> None:
    asked = UIS.question(request("route", query=query))
    assert asked
    assert asked.client_number == ""


@pytest.mark.parametrize(
    ("advice", "told"),
    [
        (Advice(), {"returned_code": "no_manager"}),
        (Advice("101", "Анна"), {"returned_code": "no_manager"}),
        (Advice("101", "Анна", "+79000000101"), {"phones": ["79000000101"]}),
    ],
)
def test_the_answer_is_a_phone_or_a_code(advice: Advice, told: dict[str, Any]) -> None:
    reply = UIS.answer(request("route"), advice)
    assert (reply.status, json.loads(reply.body)) == (200, told)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("phone", "told", "code"),
    [
        ("+79000000101", {"phones": ["79000000101"]}, "manager_found"),
        ("", {"returned_code": "no_manager"}, "manager_without_phone"),
    ],
)
def test_the_passport_says_what_the_scenario_was_told(phone: str, told: dict[str, Any], code: str) -> None:
    def opinion(**_: Any) -> Opinion:
        return Opinion("manager_found", "101", {"client": "Anna"}, phone=phone)

    connection = ConnectionFactory.create(provider="uis", brand="uis", credentials=SECRETS)
    routing_question.connect(opinion, sender=Caller)
    try:
        reply = webhooks.receive(UIS, connection.address.token, request("route", query=ASKED))
        webhooks.receive(UIS, connection.address.token, request("incoming", {"call_session_id": 900000003}))
    finally:
        routing_question.disconnect(opinion, sender=Caller)
    assert json.loads(reply.body) == told
    decision = Decision.objects.get(call__key="900000003")
    assert (decision.code, decision.details.get("extension", "")) == (code, "101" if phone else "")


@pytest.mark.django_db
def test_a_manager_is_rung_at_the_first_phone_of_his_card() -> None:
    employee = EmployeeFactory.create()
    for number in ("+79000000102", "+79000000101"):
        EmployeePhoneFactory.create(employee=employee, phone=number)
    assert directory.phone_of(employee.company_id, employee.pk) == "+79000000102"
    assert directory.phone_of(employee.company_id, employee.pk + 1) == ""
    assert directory.is_employee_phone(employee.company_id, "+79000000101")


def test_only_the_question_is_one() -> None:
    assert UIS.question(request("incoming", END)) is None


# --- Commands ---------------------------------------------------------------------------------------------------------


def test_hanging_up_ends_the_call_and_twice_is_once(pbx: Emulator, http: Http) -> None:
    pbx.live[900000006] = "talking"
    for _click in range(2):
        UIS.hangup(http, pbx.secrets, command="c", leg="900000006:323401")
    assert pbx.hung_up == ["900000006"]


@pytest.mark.parametrize(("to", "wire"), [("102", "102"), ("+79000000002", "79000000002")])
def test_a_transfer_takes_three_steps(pbx: Emulator, http: Http, to: str, wire: str) -> None:
    pbx.live[900000006] = "talking"
    UIS.transfer(http, pbx.secrets, command="c", leg="900000006:323401", by="101", to=to, method="blind")
    assert pbx.transferred == [("900000006", wire)]
    assert pbx.told == ["hold.call", "make.call", "transfer.talk"]


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        ("hold.call", ["hold.call"]),
        ("make.call", ["hold.call", "make.call", "unhold.call"]),
        ("transfer.talk", ["hold.call", "make.call", "transfer.talk", "restore.talk"]),
    ],
)
def test_no_client_is_left_waiting(pbx: Emulator, http: Http, refused: str, told: list[str]) -> None:
    pbx.live[900000006] = "talking"
    pbx.refuses[refused] = "invalid_state"
    with pytest.raises(Rejected):
        UIS.transfer(http, pbx.secrets, command="c", leg="900000006:1", by="101", to="102", method="hold")
    assert (pbx.told, pbx.live[900000006]) == (told, "talking")


@pytest.mark.parametrize(("extension", "phone"), [("999", "+79000000002"), ("101", "102"), ("101", "+7 (900)")])
def test_what_cannot_be_dialled_is_not_sent(pbx: Emulator, http: Http, extension: str, phone: str) -> None:
    with pytest.raises(Rejected):
        UIS.dial(http, pbx.secrets, command="c", extension=extension, phone=phone, line="")
    assert pbx.told == ["get.employees"]


def test_the_line_that_was_chosen_is_shown(pbx: Emulator, http: Http) -> None:
    pbx.lines = ("74950000001", "74950000002")
    UIS.dial(http, pbx.secrets, command="c", extension="101", phone="+79000000002", line="+74950000002")
    assert pbx.dialled == [("101", "+79000000002")]


# --- Errors -----------------------------------------------------------------------------------------------------------


def error(mnemonic: str, **params: Any) -> dict[str, Any]:
    metadata = {"limits": {"minute_reset": 41, "day_reset": 51840}}
    data = {"mnemonic": mnemonic, "field": None, "params": params, "metadata": metadata}
    return {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "No", "data": data}}


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("mnemonic", "kind"),
    [
        ("access_token_invalid", CredentialsRefused),
        ("access_token_expired", CredentialsRefused),
        ("ip_not_whitelisted", CredentialsRefused),
        ("account_inactive", CredentialsRefused),
        ("internal_error", Temporary),
        ("component_disabled", Rejected),
        ("virtual_phone_number_not_found", Rejected),
        ("", Rejected),
    ],
)
def test_errors_are_sorted_by_what_must_be_done(status: int, mnemonic: str, kind: type[OutboundError]) -> None:
    with responses.RequestsMock() as mock:
        mock.post(CALL_URL, json=error(mnemonic), status=status)
        with pytest.raises(kind) as raised:
            UIS.hangup(Http(), SECRETS, command="c", leg="1")
    assert (raised.value.code, raised.value.fate_unknown) == (mnemonic, mnemonic == "internal_error")


@pytest.mark.parametrize(
    ("status", "kind"), [(401, CredentialsRefused), (403, CredentialsRefused), (429, RateLimited), (502, Temporary)]
)
def test_pages_of_servers_between_are_sorted_by_their_status(status: int, kind: type[OutboundError]) -> None:
    with responses.RequestsMock() as mock:
        mock.post(CALL_URL, body="<html>", status=status)
        with pytest.raises(kind):
            UIS.hangup(Http(), SECRETS, command="c", leg="1")


@pytest.mark.parametrize(("which", "wait"), [("minute", 41), ("day", 51840)])
def test_a_used_up_limit_is_waited_for(which: str, wait: int) -> None:
    http = Http(patience=0)
    with responses.RequestsMock() as mock:
        mock.post(DATA_URL, json=error("limit_exceeded", limit_type=which))
        for _time in range(2):  # the second is not sent
            with pytest.raises(RateLimited) as raised:
                UIS.users(http, SECRETS)
            assert raised.value.retry_after == pytest.approx(wait, abs=1)


def test_reading_leaves_a_reserve_for_clicks(pbx: Emulator, http: Http) -> None:
    pbx.remaining = 3
    UIS.numbers(http, pbx.secrets)
    with pytest.raises(RateLimited):
        UIS.numbers(http, pbx.secrets)
    UIS.dial(http, pbx.secrets, command="c", extension="101", phone="+79000000002", line="")
    assert pbx.dialled == [("101", "+79000000002")]


@pytest.mark.parametrize("answer", [{}, {"result": None}, {"result": {"metadata": {}}}, []])
def test_an_answer_without_a_result_leaves_open_what_became_of_a_command(answer: Any) -> None:
    with responses.RequestsMock() as mock:
        mock.post(CALL_URL, json=answer)
        with pytest.raises(VendorFault) as raised:
            UIS.hangup(Http(), SECRETS, command="c", leg="1")
    assert raised.value.fate_unknown


def test_nothing_was_dialled_when_the_employees_could_not_be_read() -> None:
    with responses.RequestsMock() as mock:
        mock.post(DATA_URL, body="<html>")
        with pytest.raises(VendorFault) as raised:
            UIS.dial(Http(), SECRETS, command="c", extension="101", phone="+79000000002", line="")
    assert not raised.value.fate_unknown


# --- History and recordings -------------------------------------------------------------------------------------------


def legs(provider_http: Http, pbx: Emulator, call: Call) -> tuple[HistoryLeg, ...]:
    around = timedelta(hours=1)
    told = UIS.history(provider_http, pbx.secrets, call.began - around, call.began + around)
    return tuple(leg for leg in told if leg.call == call.id)


@pytest.mark.parametrize("name", ["busy", "outgoing, busy"])
def test_the_history_knows_why_nobody_talked(pbx: Emulator, http: Http, name: str) -> None:
    call = pbx.new_call(next(each for each in SCENARIOS if each.name == name))
    told = fold([CallHistory(call=call.id, at=datetime.now(UTC), legs=legs(http, pbx, call))])
    assert told.outcome is Outcome.BUSY


def test_long_histories_come_in_pages(pbx: Emulator, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.providers.uis.history.PAGE", 2)
    calls = [pbx.new_call(SCENARIOS[0]) for _call in range(5)]
    now = datetime.now(UTC)
    told = UIS.history(http, pbx.secrets, now - timedelta(hours=1), now)
    assert [leg.call for leg in told] == [call.id for call in calls]
    assert pbx.told.count("get.calls_report") == 3


def test_who_has_no_extension_is_known_by_his_phone(pbx: Emulator, http: Http) -> None:
    call = pbx.new_call(SCENARIOS[0])
    pbx.people = {"102": "Operator Two"}
    (leg,) = legs(http, pbx, call)
    assert leg.callee.extension == "79000000101"


@pytest.mark.parametrize(
    "link", ["https://evil.example/1/2", "file:///etc/1/2", "https://media.uiscom.ru@evil.example/1/2"]
)
def test_a_recording_is_fetched_from_the_vendors_servers_only(http: Http, link: str) -> None:
    with pytest.raises(Rejected):
        UIS.recording(http, SECRETS, "1/2", link)


def test_a_recording_of_the_history_needs_an_address(pbx: Emulator, http: Http) -> None:
    call = pbx.new_call(next(each for each in SCENARIOS if each.recorded))
    (key,) = call.recordings
    audio = UIS.recording(http, pbx.secrets, key, "")
    assert audio
    with audio.content as file:
        file.seek(0)
        assert file.read() == call.recordings[key]
    with pytest.raises(Rejected):
        UIS.recording(http, pbx.secrets | {"media_url": ""}, key, "")


# --- The samples: what is asked, and what comes of the answers --------------------------------------------------------


def sample(name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The exchanges that we begin, and what is expected of them."""
    (file,) = (UIS.folder / "samples").glob(f"{name}_*.json")
    told = json.loads(file.read_text(encoding="utf-8"))
    return [each for each in told["exchanges"] if each["direction"] == "hub->vendor"], told["expect"]


def params(body: Any) -> tuple[str, dict[str, Any]]:
    asked = json.loads(body)
    return asked["method"], {name: value for name, value in asked["params"].items() if name != "access_token"}


def test_megafon_is_asked_to_dial_as_in_the_sample() -> None:
    (exchange, *_), _expect = sample("05")
    secrets = SECRETS | dict(next(brand.defaults for brand in UIS.brands if brand.slug == "megafon2"))
    with responses.RequestsMock() as mock:
        mock.get("https://simple-api.cp.megafon.ru/employee", json=[{"id": 323401, "short_phone": "101"}])
        mock.post(exchange["path"], body=exchange["response"]["body"])
        UIS.dial(Http(), secrets, command="hub-cb-0005", extension="101", phone="+79000000002", line="")
        assert params(mock.calls[1].request.body) == params(exchange["body"])


def test_a_call_is_transferred_and_ended_as_in_the_sample() -> None:
    exchanges, _expect = sample("06")
    wanted = [params(exchange["body"]) for exchange in exchanges[1:6]]
    with responses.RequestsMock() as mock:
        for exchange in exchanges[1:6]:  # the last is a second click
            mock.post(exchange["path"], body=exchange["response"]["body"])
        UIS.transfer(Http(), SECRETS, command="c", leg="900000006:1", by="101", to="102", method="blind")
        for _click in range(2):
            UIS.hangup(Http(), SECRETS, command="c", leg="900000006:1")
        assert [params(call.request.body) for call in mock.calls] == wanted


def _spoken(told: list[HistoryLeg]) -> dict[str, tuple[Any, ...]]:
    """The calls of a history, as samples speak of them."""
    found = {}
    for key in dict.fromkeys(leg.call for leg in told):
        call = fold([CallHistory(call=key, at=datetime.now(UTC), legs=tuple(leg for leg in told if leg.call == key))])
        found[key] = (
            call.direction,
            f"+{call.client_number}",
            f"+{call.virtual_number}",
            call.outcome,
            call.talk_seconds,
        )
    return found


def _expected(expect: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    names = ("direction", "client_phone", "virtual_number", "outcome", "talk_seconds")
    return {row["pbx_call_id"]: tuple(row[name] for name in names) for row in expect["history"]}


def test_the_history_of_the_sample() -> None:
    (_account, calls, call_legs, _audio), expect = sample("09")
    (employees, *_), _directories = sample("10")
    answers = {params(each["body"])[0]: each["response"]["body"] for each in (employees, calls, call_legs)}
    with responses.RequestsMock() as mock:
        mock.add_callback("POST", DATA_URL, lambda asked: (200, {}, answers[params(asked.body)[0]]))
        told = list(UIS.history(Http(), SECRETS, *NOON))
    assert _spoken(told) == _expected(expect)
    answered = told[0]
    assert (answered.callee.extension, answered.recordings) == ("101", ("900000009/1122334455667788990011223344aabb",))
    assert answered.call_started_at == datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_megafons_history_of_the_sample() -> None:
    (employees, _numbers, *history), expect = sample("13")
    secrets = SECRETS | dict(next(brand.defaults for brand in UIS.brands if brand.slug == "megafon2"))
    answers = {params(each["body"])[0]: each["response"]["body"] for each in history}
    with responses.RequestsMock() as mock:
        mock.get(employees["path"], body=employees["response"]["body"])
        mock.add_callback("POST", history[0]["path"], lambda asked: (200, {}, answers[params(asked.body)[0]]))
        told = list(UIS.history(Http(), secrets, *NOON))
    assert _spoken(told) == _expected(expect)
    assert told[0].callee.extension == "700"


KINDS = {
    "relogin": CredentialsRefused,
    "auth": CredentialsRefused,
    "forbidden_ip": CredentialsRefused,
    "rate_limited": RateLimited,
    "bad_request": Rejected,
    "not_paid": Rejected,
}


def test_the_errors_of_the_sample() -> None:
    exchanges, expect = sample("11")
    found: list[tuple[str, Any]] = []
    for exchange, told in zip(exchanges, expect["hub_error_kinds"], strict=True):
        with responses.RequestsMock() as mock:
            mock.post(CALL_URL, body=exchange["response"]["body"])
            try:
                UIS.hangup(Http(), SECRETS, command="c", leg="1")
                found.append((told, "ok"))
            except OutboundError as error:
                found.append((told, type(error)))
    assert found == [(told, KINDS.get(told, "ok")) for told in expect["hub_error_kinds"]]


# --- The form ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("typed", "kept"), [("+7 (495) 000-00-01", "74950000001"), ("74950000001", "74950000001")])
def test_a_number_is_kept_as_digits(typed: str, kept: str) -> None:
    form = UIS.form(_filled(typed))
    assert form.is_valid(), form.errors
    assert form.cleaned_data["virtual_number"] == kept


@pytest.mark.parametrize("typed", ["", "101", "sip:101@example"])
def test_what_is_no_number_is_refused(typed: str) -> None:
    assert set(UIS.form(_filled(typed)).errors) == {"virtual_number"}


def _filled(number: str) -> dict[str, Any]:
    return defaults(UIS.form) | {"access_token": TOKEN, "virtual_number": number}


# --- The check --------------------------------------------------------------------------------------------------------


def test_the_check_names_a_wrong_zone_a_strange_number_and_what_is_not_paid(pbx: Emulator, http: Http) -> None:
    pbx.refuses["list.calls"] = "component_disabled"
    told = UIS.check(http, pbx.secrets | {"timezone": "Asia/Omsk", "virtual_number": "79"}, "")
    assert [check.ok for check in told] == [True, True, True, False, False, True]
    needles = ("74950000001", "Europe/Moscow", "component_disabled")
    assert all(needle in check.cure for check, needle in zip(told[3:], needles, strict=True))


def test_the_check_names_an_address_that_is_not_let_in(pbx: Emulator, http: Http) -> None:
    pbx.refuses["get.employees"] = "ip_not_whitelisted"
    told = UIS.check(http, pbx.secrets, "")
    assert (told[-1].ok, "ip_not_whitelisted" in told[-1].cure) == (False, True)


# --- MegaFon ----------------------------------------------------------------------------------------------------------


def test_megafon_lists_employees_and_numbers(megafon: MegafonEmulator, http: Http) -> None:
    users = UIS.users(http, megafon.secrets)
    assert {user.extension: user.name for user in users} == dict(megafon.people)
    assert [row.number for row in UIS.numbers(http, megafon.secrets)] == list(megafon.lines)
    assert all(check.ok for check in UIS.check(http, megafon.secrets, ""))
    with pytest.raises(CredentialsRefused):
        UIS.users(http, megafon.secrets | {"data_token": "another"})


def test_megafon_is_dialled_with_a_token_of_its_own(megafon: MegafonEmulator, http: Http) -> None:
    UIS.dial(http, megafon.secrets, command="c", extension="101", phone="+79000000002", line="")
    assert megafon.dialled == [("101", "+79000000002")]


@pytest.mark.parametrize(
    "scenario", [each for each in SCENARIOS if each.name != "transferred"], ids=lambda each: each.name
)
def test_megafons_history_tells_the_calls(megafon: MegafonEmulator, http: Http, scenario: Any) -> None:
    call = megafon.new_call(scenario)
    found = legs(http, megafon, call)
    if scenario.direction == "internal":
        assert found == ()
        return
    told = fold([CallHistory(call=call.id, at=datetime.now(UTC), legs=found)])
    truth = call.truth
    assert (told.direction, told.outcome, told.talk_seconds, told.extension) == (
        truth["direction"],
        truth["outcome"],
        truth["talk_seconds"],
        truth["extension"],
    )


def test_a_namesake_is_known_by_his_name(megafon: MegafonEmulator, http: Http) -> None:
    call = megafon.new_call(SCENARIOS[0])
    megafon.people = {"101": "Operator One", "102": "Operator One"}
    (leg,) = legs(http, megafon, call)
    assert leg.callee.extension == "Operator One"
