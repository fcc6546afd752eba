"""What is the open telephony API's own: where the key may stand, its words of refusal, what it is answered; and the
call list that one of its brands has besides."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from django.utils import timezone

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Http
from telephony import account_forms, history
from telephony.models import Connection, HistoryRun
from telephony.providers.base import (
    Advice,
    Capability,
    HistoryLeg,
    Leg,
    LegState,
    NotUnderstood,
    Refused,
    Request,
    Summary,
)
from telephony.providers.open_api.provider import OpenApi
from tests.emulators.open_api import HISTORY_HEADER, HISTORY_KEY, ITS_KEY, OUR_KEY, Emulator, wire
from tests.emulators.pbx import SCENARIOS
from tests.emulators.served import Told
from tests.factories import ConnectionFactory

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


def test_without_address_or_key_there_is_no_dialling() -> None:
    assert Capability.DIAL in API.able(SECRETS)
    for missing in ("pbx_url", "pbx_token"):
        assert Capability.DIAL not in API.able(SECRETS | {missing: ""})


# --- The call list of VirtualATS --------------------------------------------------------------------------------------

LIST = "https://web.vats.az/vats/api/callRecord/history"
KNOWN = {
    "history_url": "https://web.vats.az/vats/api",
    "history_header": HISTORY_HEADER,
    "history_key": HISTORY_KEY,
}
DAY = datetime(2026, 11, 19, 20, tzinfo=UTC), datetime(2026, 11, 20, 20, tzinfo=UTC)
RECORDED = json.loads((API.folder / "samples" / "azerizone-virtualats-history-poll.json").read_text())
ROW = json.loads(RECORDED["exchanges"][0]["response"]["body"])[0]


def legs(*rows: dict[str, Any]) -> list[HistoryLeg]:
    with responses.RequestsMock() as mock:
        mock.get(LIST, json=list(rows))
        return list(API.history(Http(), KNOWN, *DAY))


def test_a_recorded_list_is_the_calls_that_it_expects() -> None:
    with responses.RequestsMock() as mock:
        mock.get(LIST, body=RECORDED["exchanges"][0]["response"]["body"])
        found = list(API.history(Http(), KNOWN, *DAY))
        asked = mock.calls[0].request
    assert asked.headers[HISTORY_HEADER] == HISTORY_KEY
    query = parse_qs(urlsplit(str(asked.url)).query)
    assert (query["from"], query["to"]) == (["19112026200000+0000"], ["20112026200000+0000"])
    for leg, expect in zip(found, RECORDED["expect"], strict=True):
        incoming = expect["direction"] == "in"
        employee, client = (leg.callee, leg.caller) if incoming else (leg.caller, leg.callee)
        assert (leg.direction, employee.extension) == (expect["direction"], expect["extension"] or "")
        assert f"+{client.number}" == expect["client_phone"]
        assert (leg.why, leg.talk_seconds) == (expect["outcome"], expect["talk_seconds"])
        assert leg.links == ((expect["recording"],) if expect["recording"] else ())
    assert found[0].started_at == datetime(2026, 11, 20, 6, 5, 36, tzinfo=UTC)
    assert found[0].ended_at == found[0].started_at + timedelta(seconds=75)
    assert found[0].answered_at == found[0].ended_at - timedelta(seconds=50)


def test_a_call_that_rings_goes_on() -> None:
    (leg,) = legs(ROW | {"disposition": "RING", "answeredNumber": "", "talkTime": "0", "recordConversation": ""})
    assert (leg.ended_at, leg.why) == (None, None)


@pytest.mark.parametrize(
    "changed",
    [
        {"answeredNumber": ""},
        {"direction": "OUTBOUND", "source": "994120000001"},
        {"direction": "SIDEWAYS"},
        {"callDate": "yesterday"},
        {"callDate": "21.11.2026 10:05:36+0400"},
    ],
)
def test_of_what_is_not_clear_nothing_is_told(changed: dict[str, str]) -> None:
    assert legs(ROW | changed) == []


def test_a_long_list_is_read_page_by_page() -> None:
    with Emulator(lambda _wire: Told(200)).serving() as pbx:
        now = timezone.now().replace(microsecond=0)
        for number in range(1001):
            pbx.new_call(SCENARIOS[0], began=now - timedelta(seconds=number))
        found = list(API.history(Http(allow_private=True), pbx.secrets, now - timedelta(hours=1), now))
    assert sorted(leg.call for leg in found) == sorted(call.id for call in pbx.calls)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, "", CredentialsRefused),
        (403, "", CredentialsRefused),
        (429, "", RateLimited),
        (503, "", Temporary),
        (404, "", Rejected),
        (200, '{"error":"no"}', VendorFault),
        (200, '[{"callDate":""}]', VendorFault),
    ],
)
def test_refused_lists(status: int, body: str, kind: type[OutboundError]) -> None:
    with responses.RequestsMock() as mock:
        mock.get(LIST, status=status, body=body)
        with pytest.raises(kind):
            list(API.history(Http(), KNOWN, *DAY))


def test_a_recording_of_another_server_does_not_see_the_key() -> None:
    with responses.RequestsMock() as mock:
        for link in ("https://web.vats.az/vats/api/storageFile/download/1", "https://elsewhere.example/1"):
            mock.get(link, body=b"audio")
            audio = API.recording(Http(), KNOWN, "1", link)
            assert audio is not None
            audio.content.close()
        assert [call.request.headers.get(HISTORY_HEADER) for call in mock.calls] == [HISTORY_KEY, None]


@pytest.mark.django_db
def test_only_a_connection_that_has_the_key_has_a_history() -> None:
    rows = [ConnectionFactory.create(provider="open_api", brand="azerizone") for _ in range(3)]
    for row, credentials in zip(rows, (SECRETS, SECRETS | KNOWN | {"history_key": ""}, SECRETS | KNOWN), strict=True):
        row.credentials = credentials
        row.save()
    Connection.objects.update(created_at=timezone.now() - timedelta(days=1))
    history.plan_comparisons()
    assert [run.connection for run in HistoryRun.objects.all()] == [rows[2]]


@pytest.mark.parametrize(("brand", "shown"), [("azerizone", True), ("iptel", False), ("open_api", False)])
def test_the_fields_of_the_history_are_shown_for_its_brand_alone(brand: str, shown: bool) -> None:
    form = account_forms.keys_form(Connection(provider="open_api", brand=brand), None)
    assert ("history_key" in form.fields) is shown
    assert {"our_key", "pbx_url", "pbx_token"} <= set(form.fields)
