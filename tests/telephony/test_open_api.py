"""What is the open telephony API's own: where the key may stand, its words of refusal, what it is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
import responses

from outbound.errors import CredentialsRefused, OutboundError, Rejected, Temporary
from outbound.http import Http
from telephony.providers.base import Advice, Leg, LegState, NotUnderstood, Refused, Request, Summary
from telephony.providers.open_api.provider import OpenApi
from tests.emulators.open_api import ITS_KEY, OUR_KEY, wire

API = OpenApi()
SECRETS = {"our_key": OUR_KEY, "pbx_url": "https://pbx.example/api", "pbx_token": ITS_KEY}
ENDED = {"cmd": "event", "type": "in", "event": "COMPLETED", "phone": "79000000001", "callid": "c1", "ext": "101"}


def request(fields: dict[str, str]) -> Request:
    told = wire(fields)
    return Request("POST", "tel/api", told.body, "", told.headers)


@pytest.mark.parametrize(
    ("body", "query", "headers"),
    [
        (f"planfix_token={OUR_KEY}&cmd=ping", "", {}),
        (f"token={OUR_KEY}&cmd=ping", "", {}),
        ("cmd=ping", f"planfix_token={OUR_KEY}", {}),
        ("cmd=ping", "", {"authorization": f"Bearer {OUR_KEY}"}),
    ],
)
def test_the_key_may_stand_where_clients_put_it(body: str, query: str, headers: dict[str, str]) -> None:
    told = Request("POST", "", body.encode(), query, headers)
    API.authenticate(told, SECRETS)
    for wrong in ({}, {"our_key": ""}, {"our_key": "another"}):
        with pytest.raises(Refused) as caught:
            API.authenticate(told, wrong)
        assert (caught.value.reply.status, caught.value.reply.body) == (401, b'{"error":"Invalid token"}')


@pytest.mark.parametrize("missing", ["type", "event", "phone", "callid"])
def test_what_lacks_what_it_needs_is_refused_with_the_published_words(missing: str) -> None:
    told = request(ENDED | {missing: ""})
    reply = API.reply(told, SECRETS)
    assert (reply.status, reply.body) == (400, b'{"error":"Invalid parameters"}')
    with pytest.raises(NotUnderstood):
        API.parse(told, SECRETS)


def test_ping_is_answered_with_what_is_known_of_the_pbx() -> None:
    reply = API.reply(request({"cmd": "ping"}), SECRETS)
    assert json.loads(reply.body) == {"pbxToken": ITS_KEY, "pbxUrl": "https://pbx.example/api"}
    assert API.parse(request({"cmd": "ping"}), SECRETS) == []


@pytest.mark.parametrize(
    ("advice", "answer"),
    [
        (Advice(), {}),
        (Advice(client="Анна"), {"contact_name": "Анна"}),
        (Advice("102", "Анна"), {"contact_name": "Анна", "responsible": 102}),
        (Advice("0102"), {"responsible": "0102"}),
        (Advice("operator1"), {"responsible": "operator1"}),
    ],
)
def test_a_question_is_answered_as_planfix_does(advice: Advice, answer: dict[str, Any]) -> None:
    asked = request({"cmd": "contact", "phone": "79000000001", "callid": "c1"})
    question = API.question(asked)
    assert question
    assert (question.client_number, question.call) == ("79000000001", "c1")
    assert json.loads(API.answer(asked, advice).body) == answer


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("Success", "answered"),
        ("MISSED", "missed"),
        ("No Answer", "no_answer"),
        ("NotAvaliable", "failed"),
        ("NotAllowed", "failed"),
        ("something new", "failed"),
    ],
)
def test_statuses_however_they_are_spelt(status: str, outcome: str) -> None:
    (end,) = API.parse(request(ENDED | {"status": status}), SECRETS)
    assert isinstance(end, Summary)
    assert end.outcome == outcome


@pytest.mark.parametrize("status", ["Cancelled", "canceled", "Cancel"])
def test_cancelled_ends_a_leg_and_no_call(status: str) -> None:
    (leg,) = API.parse(request(ENDED | {"status": status}), SECRETS)
    assert isinstance(leg, Leg)
    assert leg.state is LegState.ENDED


def test_what_else_the_pbx_knows_is_kept_for_the_passport() -> None:
    _end, note = API.parse(
        request(ENDED | {"status": "Success", "data_utm_source": "ads", "data_Город": "Рязань"}), SECRETS
    )
    assert note.text == "utm_source: ads; Город: Рязань"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("status", "kind"), [(401, CredentialsRefused), (400, Rejected), (404, Rejected), (503, Temporary)]
)
def test_refused_commands(status: int, kind: type[OutboundError]) -> None:
    with responses.RequestsMock() as mock:
        mock.post("https://pbx.example/api", status=status, body='{"error":"Invalid parameters"}')
        with pytest.raises(kind):
            API.dial(Http(), SECRETS, command="c", extension="101", phone="+79000000001", line="")


def test_without_an_address_nothing_is_dialled() -> None:
    with pytest.raises(Rejected):
        API.dial(Http(), {"our_key": OUR_KEY}, command="c", extension="101", phone="+79000000001", line="")
