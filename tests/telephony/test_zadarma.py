"""What is Zadarma's own: its two signatures, the check of the address, the answer to its question, its errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary
from outbound.http import Http
from telephony.providers.base import AT_RECEIPT, Advice, Leg, Refused, Request, Summary
from telephony.providers.zadarma import signature
from telephony.providers.zadarma.provider import Zadarma
from tests.emulators.zadarma import Emulator, notification

KEY, SECRET = "zdkey00demo000000001", "zdsecret00demo000001"
SECRETS = {"user_key": KEY, "secret": SECRET, "timezone": "UTC+3", "api_url": "https://api.zadarma.com"}
ZADARMA = Zadarma()
START = {
    "event": "NOTIFY_START",
    "call_start": "2026-03-02 10:15:00",
    "pbx_call_id": "in_" + "0" * 40,
    "caller_id": "+79000000001",
    "called_did": "74950000001",
}


def request(fields: dict[str, str]) -> Request:
    wire = notification(fields)
    return Request("POST", "", wire.body, "", wire.headers)


def test_signatures_are_those_of_the_vendors_examples() -> None:
    params = {"from": "101", "to": "+79000000001", "sip": "101", "format": "json"}
    told = signature.authorization(KEY, SECRET, "/v1/request/callback/", params)
    assert told == f"{KEY}:YmIzOTIxZWJhOWUyNjZmMTE5YjU3NDNmYTE2YTAyNzkzMGQwN2RkNw=="
    assert signature.genuine(START, "ZTIzODc5OThlNTY4ODc4NGMwNTQ2M2YyYmViNjNlN2IxOWRkMGM0OQ==", SECRET)
    assert not signature.genuine(START, "4jh5mOVoh4TAVGPyvrY+exndDEk=", SECRET)  # of the bytes, not of their text


@pytest.mark.parametrize(
    ("query", "status", "body"),
    [
        ("zd_echo=a1B2c3", 200, b"a1B2c3"),
        ("zd_echo=%3Cscript%3E", 400, b'{"error":"zd_echo_expected"}'),
        ("", 400, b'{"error":"zd_echo_expected"}'),
    ],
)
def test_the_address_is_checked_by_an_echo_of_harmless_words(query: str, status: int, body: bytes) -> None:
    reply = ZADARMA.handshake(Request("GET", "", b"", query))
    assert reply is not None
    assert (reply.status, reply.body) == (status, body)
    assert ZADARMA.handshake(request(START)) is None


def test_a_form_of_parts_is_read_and_proven_too() -> None:
    result = '{"text":"Привет"}'
    part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    body = part.format("event", "SMS") + part.format("result", result) + "--b--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=b", "signature": signature.sign(SECRET, result)}
    told = Request("POST", "", body.encode(), "", headers)
    ZADARMA.authenticate(told, SECRETS)
    assert ZADARMA.parse(told, SECRETS) == []
    with pytest.raises(Refused):
        ZADARMA.authenticate(told, SECRETS | {"secret": "another"})


def test_without_a_secret_nobody_is_believed() -> None:
    empty = Request("POST", "", request(START).body, "", {"signature": signature.sign("", "")})
    with pytest.raises(Refused):
        ZADARMA.authenticate(empty, {})


def test_the_question_is_who_takes_an_incoming_call() -> None:
    question = ZADARMA.question(request(START))
    assert question
    assert (question.client_number, question.virtual_number) == ("+79000000001", "74950000001")
    assert ZADARMA.question(request(START | {"event": "NOTIFY_END"})) is None


@pytest.mark.parametrize(
    ("advice", "answer"),
    [
        (Advice(), {}),
        (Advice(client="Анна"), {"caller_name": "Анна"}),
        (Advice("101", "Анна"), {"redirect": "101", "return_timeout": 15, "caller_name": "Анна"}),
    ],
)
def test_what_is_known_is_told(advice: Advice, answer: dict[str, Any]) -> None:
    assert json.loads(ZADARMA.answer(request(START), advice).body) == answer


@pytest.mark.parametrize(
    ("zone", "began"),
    [("UTC+3", 7), ("Europe/Moscow", 7), ("UTC", 10), ("America/New_York", 15), ("+05:30", 4.5)],
)
def test_times_are_those_of_the_account(zone: str, began: float) -> None:
    (leg,) = ZADARMA.parse(request(START), SECRETS | {"timezone": zone})
    assert isinstance(leg, Leg)
    assert leg.at == datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=began, minutes=15)


def test_the_end_is_when_we_hear_of_it() -> None:
    fields = START | {"event": "NOTIFY_END", "duration": "47", "disposition": "answered", "is_recorded": "0"}
    (end,) = ZADARMA.parse(request(fields), SECRETS)
    assert isinstance(end, Summary)
    assert (end.at, end.talk_seconds) == (AT_RECEIPT, 47)


def test_the_employees_side_of_a_callback_ends_no_call() -> None:
    fields = {
        "event": "NOTIFY_OUT_END",
        "call_start": "2026-03-02 11:10:02",
        "pbx_call_id": "out_" + "0" * 40,
        "internal": "101",
        "destination": "+79000000005",
        "disposition": "answered",
    }
    (leg,) = ZADARMA.parse(request(fields | {"calltype": "callback_leg1"}), SECRETS)
    (end,) = ZADARMA.parse(request(fields | {"calltype": "callback_leg2"}), SECRETS)
    assert (type(leg), type(end)) == (Leg, Summary)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"status": "error", "message": "Not authorized"}, CredentialsRefused),
        (429, {"status": "error", "message": "Too many"}, RateLimited),
        (200, {"status": "error", "message": "You exceeded the rate limit by User Limits"}, RateLimited),
        (400, {"status": "error", "message": "Wrong parameters"}, Rejected),
        (200, {"status": "error", "message": "Wrong parameters"}, Rejected),
        (502, "<html>", Temporary),
    ],
)
def test_errors_are_sorted_by_what_must_be_done(status: int, body: Any, kind: type[OutboundError]) -> None:
    with responses.RequestsMock() as mock:
        text = body if isinstance(body, str) else json.dumps(body)
        mock.get("https://api.zadarma.com/v1/direct_numbers/", body=text, status=status)
        with pytest.raises(kind):
            ZADARMA.numbers(Http(), SECRETS)


def test_the_check_names_what_is_switched_off_and_where_notifications_go() -> None:
    pbx = Emulator(lambda _wire: None)
    with pbx.serving():
        pbx.notifications, pbx.switched_off = "https://elsewhere.example/", {"answer"}
        told = ZADARMA.check(Http(allow_private=True), pbx.secrets, "https://hub.example/hooks/zadarma/t/")
        pbx.notifications = "https://hub.example/hooks/zadarma/t/"
        then = ZADARMA.check(Http(allow_private=True), pbx.secrets | {"timezone": "UTC"}, pbx.notifications)
    assert "elsewhere.example" in told[-1].cure
    assert "NOTIFY_ANSWER" in then[-1].cure
    assert [check.cure for check in then if "UTC+3" in check.cure]
