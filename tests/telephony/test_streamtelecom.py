"""What is StreamTelecom's own: its events beside the published API, their key in the address, its recordings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone

from outbound.errors import VendorFault
from outbound.http import Http
from telephony.providers.base import (
    Alias,
    Fact,
    Leg,
    LegState,
    NotUnderstood,
    Outcome,
    RecordingFact,
    Refused,
    Request,
    Summary,
)
from telephony.providers.streamtelecom.forms import StreamTelecomForm
from telephony.providers.streamtelecom.provider import StreamTelecom
from tests.emulators import open_api
from tests.emulators.open_api import OUR_KEY
from tests.emulators.pbx import SCENARIOS
from tests.emulators.served import Told
from tests.emulators.streamtelecom import Emulator

VENDOR = StreamTelecom()
SECRETS = {"our_key": OUR_KEY}
CLIENT, LINE, COMPANY = "380500000001", "80044022201", "380440000001"
HANGUP = {
    "event": "Hangup",
    "type": "in",
    "from": CLIENT,
    "to": LINE,
    "via": COMPANY,
    "call_id": "1772446501.2",
    "sessionid": "1772446500.1",
    "redirecting": "null",
    "time_start": "1772446500000",
    "time_ring": "1772446501000",
    "time_answer": "1772446506600",
    "event_time": "1772446599900",
    "result": "answer",
    "recordUrl": "null",
    "join": None,
    "end_sess": None,
}


def request(fields: dict[str, Any], query: str = f"token={OUR_KEY}") -> Request:
    return Request("POST", "", json.dumps(fields).encode(), query, {"content-type": "application/json"})


def facts(**changed: Any) -> list[Any]:
    return VENDOR.parse(request(HANGUP | changed), SECRETS)


def one(kind: type[Fact], told: list[Any]) -> Any:
    (fact,) = [fact for fact in told if isinstance(fact, kind)]
    return fact


# --- Who sends it


def test_an_own_event_is_believed_by_the_key_in_its_address() -> None:
    VENDOR.authenticate(request(HANGUP), SECRETS)
    for query in ("", "token=another", "planfix_token=another"):
        with pytest.raises(Refused):
            VENDOR.authenticate(request(HANGUP, query), SECRETS)


def test_both_ways_are_understood_at_one_address() -> None:
    ended = {"cmd": "event", "type": "in", "event": "COMPLETED", "phone": CLIENT, "callid": "c1", "status": "Missed"}
    published = Request("POST", "", open_api.wire(ended).body, "", open_api.wire(ended).headers)
    VENDOR.authenticate(published, SECRETS)
    assert one(Summary, VENDOR.parse(published, SECRETS)).call == "c1"
    assert one(Summary, VENDOR.parse(request(HANGUP), SECRETS)).call == HANGUP["call_id"]
    assert [VENDOR.reply(sent, SECRETS).status for sent in (published, request(HANGUP))] == [200, 200]
    assert VENDOR.reply(request({"cmd": "event"}), SECRETS).status == 400


# --- What it says


def test_a_hangup_tells_all_that_went_before_it() -> None:
    told = facts()
    states = {fact.state: fact.at for fact in told if isinstance(fact, Leg)}
    assert list(states) == [LegState.RINGING, LegState.TALKING, LegState.ENDED]
    assert states[LegState.TALKING] == datetime.fromtimestamp(1772446506.6, UTC)
    end = one(Summary, told)
    assert (end.outcome, end.talk_seconds, end.extension) == (Outcome.ANSWERED, 93, LINE)
    assert (end.client_number, end.virtual_number) == (CLIENT, COMPANY)
    assert one(Alias, told) == Alias(call="1772446500.1", at=end.at, other="1772446501.2", part=True)


@pytest.mark.parametrize("never", ["null", "0", "", None, "soon"])
def test_nobody_answered_however_that_is_written(never: str | None) -> None:
    told = facts(result="no answer", time_answer=never)
    assert [fact.state for fact in told if isinstance(fact, Leg)] == [LegState.RINGING, LegState.ENDED]
    end = one(Summary, told)
    assert (end.outcome, end.talk_seconds, end.answered_at) == (Outcome.MISSED, 0, None)


@pytest.mark.parametrize(("end_sess", "ends"), [(None, 0), ("null", 0), ("yes", 1)])
def test_in_a_queue_only_the_last_hangup_ends_the_call(end_sess: str | None, ends: int) -> None:
    told = facts(join="yes", end_sess=end_sess)
    assert {fact.call for fact in told} == {HANGUP["sessionid"]}
    assert sum(isinstance(fact, Summary) for fact in told) == ends


def test_an_outgoing_call_shows_the_companys_number_where_it_is_told() -> None:
    out = {"type": "out", "from": LINE, "to": CLIENT}
    assert one(Summary, facts(**out)).virtual_number == COMPANY
    end = one(Summary, facts(**out, via=CLIENT))
    assert (end.virtual_number, end.client_number, end.extension) == ("", CLIENT, LINE)


@pytest.mark.parametrize(
    ("link", "recordings"), [("null", 0), (None, 0), ("file:///etc/passwd", 0), ("https://a/b", 1)]
)
def test_a_recording_is_what_a_link_leads_to(link: str | None, recordings: int) -> None:
    assert sum(isinstance(fact, RecordingFact) for fact in facts(recordUrl=link)) == recordings


def test_an_event_that_names_no_call_is_not_understood() -> None:
    with pytest.raises(NotUnderstood):
        facts(call_id="null", sessionid=None)


def test_what_says_nothing_is_no_fault() -> None:
    assert facts(event="Start") == facts(event="SomethingNew") == []


# --- Recordings


@pytest.mark.parametrize("closed", [False, True])
def test_a_recording_is_asked_for_without_the_key_first(closed: bool) -> None:
    with Emulator(lambda _wire: Told(200)).serving() as pbx:
        pbx.closed = closed
        call = pbx.play(next(each for each in SCENARIOS if each.recorded), began=timezone.now())
        for link, audio in call.recordings.items():
            found = VENDOR.recording(Http(allow_private=True), pbx.secrets, "", link)
            assert found is not None
            with found.content as file:
                file.seek(0)
                assert file.read() == audio


def test_the_key_goes_to_no_other_server() -> None:
    with Emulator(lambda _wire: Told(200)).serving() as pbx, Emulator(lambda _wire: Told(200)).serving() as other:
        other.closed = True
        (link,) = other.play(SCENARIOS[1]).recordings
        with pytest.raises(VendorFault) as caught:
            VENDOR.recording(Http(allow_private=True), pbx.secrets, "", link)
        assert caught.value.code == "http_401"


def test_the_form_begins_with_the_gateway_and_a_key_of_its_own() -> None:
    form = StreamTelecomForm()
    assert form["pbx_url"].initial == "https://gate.streamtele.com/api/planfix/v1/actions"
    assert len(form["our_key"].initial) == 32
