"""What is Phonet's own: who is believed, its question, what one event says, its sessions, what its history adds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import responses
from django.utils import timezone

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Http
from telephony import history
from telephony.fold import CallState, fold
from telephony.models import Call as Row
from telephony.models import Connection, HistoryRun
from telephony.providers.base import (
    AT_RECEIPT,
    Advice,
    Alias,
    CallHistory,
    Direction,
    Fact,
    HistoryLeg,
    Leg,
    LegState,
    NotUnderstood,
    Outcome,
    Place,
    Refused,
    Request,
)
from telephony.providers.phonet.forms import PhonetForm
from telephony.providers.phonet.provider import Phonet
from tests.emulators.pbx import SCENARIOS, Scenario
from tests.emulators.phonet import Emulator
from tests.telephony.test_providers import World

PHONET = Phonet()
SECRETS = {"account_domain": "demo0001.phonet.com.ua", "api_key": "phkey-demo-0001"}
OURS, ABROAD = "89.184.65.208", "8.8.8.8"
UUID, SECOND = "b" * 32, "c" * 32
BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)
DIAL = {
    "event": "call.dial",
    "accountDomain": "demo0001.phonet.com.ua",
    "uuid": UUID,
    "parentUuid": None,
    "dialAt": int(BEGAN.timestamp()),
    "bridgeAt": None,
    "lgDirection": 4,
    "leg": {"id": 36, "ext": "001", "displayName": "Operator One"},
    "leg2": None,
    "otherLegs": [{"id": 1, "name": "Client", "num": "+380500000001"}],
    "trunkNum": "+380440000001",
}
LOOK_UP = {"otherLegNum": "+380500000001", "trunkNum": "+380440000001"}


def request(fields: Any, remote: str = "127.0.0.1") -> Request:
    return Request("POST", "", json.dumps(fields).encode(), "", {"content-type": "application/json"}, remote)


def told(**changed: Any) -> list[Leg]:
    return [fact for fact in facts(**changed) if isinstance(fact, Leg)]


def facts(**changed: Any) -> list[Fact]:
    return [fact for fact in PHONET.parse(request(DIAL | changed), SECRETS) if isinstance(fact, Fact)]


# --- Who is believed


@pytest.mark.parametrize("remote", [OURS, "127.0.0.1", "10.0.0.7", ""])
def test_phonets_own_addresses_and_a_proxy_of_ours_are_believed(remote: str) -> None:
    PHONET.authenticate(request(DIAL, remote), SECRETS)
    PHONET.authenticate(request(LOOK_UP, remote), SECRETS)


@pytest.mark.parametrize(
    ("fields", "remote"),
    [
        (DIAL, ABROAD),
        (LOOK_UP, ABROAD),
        (DIAL | {"accountDomain": "another.phonet.com.ua"}, OURS),
        (DIAL | {"accountDomain": None}, OURS),
    ],
)
def test_others_are_not(fields: dict[str, Any], remote: str) -> None:
    with pytest.raises(Refused):
        PHONET.authenticate(request(fields, remote), SECRETS)


def test_without_a_domain_nobody_is_believed() -> None:
    with pytest.raises(Refused):
        PHONET.authenticate(request(DIAL | {"accountDomain": ""}), {})


@pytest.mark.parametrize(
    "typed",
    [
        "demo0001.phonet.com.ua",
        " Demo0001.phonet.com.ua/ ",
        "https://demo0001.phonet.com.ua/login#x",
        "http://demo0001.phonet.com.ua",
    ],
)
def test_the_address_may_be_copied_from_the_browser(typed: str) -> None:
    form = PhonetForm({"account_domain": typed, "api_key": "phkey"})
    assert form.is_valid()
    assert form.cleaned_data["account_domain"] == "demo0001.phonet.com.ua"


@pytest.mark.parametrize("typed", ["demo0001", "a b.com", "[::1", "user@phonet.com.ua"])
def test_what_is_no_address_is_refused(typed: str) -> None:
    assert "account_domain" in PhonetForm({"account_domain": typed, "api_key": "phkey"}).errors


# --- Its question


def test_what_is_no_event_asks_who_calls() -> None:
    question = PHONET.question(request(LOOK_UP))
    assert question
    assert (question.client_number, question.virtual_number) == ("+380500000001", "+380440000001")
    assert PHONET.question(request(DIAL)) is None
    assert PHONET.parse(request(LOOK_UP), SECRETS) == []


@pytest.mark.parametrize(
    ("advice", "name", "extension", "new"),
    [(Advice(), None, None, True), (Advice("001", "Анна"), "Анна", "001", False)],
)
def test_it_is_told_the_client_and_his_manager(advice: Advice, name: Any, extension: Any, new: bool) -> None:
    assert json.loads(PHONET.answer(request(LOOK_UP), advice).body) == {
        "name": name,
        "url": None,
        "urlText": None,
        "newEntity": new,
        "responsibleEmployeeExt": extension,
        "responsibleEmployeeEmail": None,
    }


# --- Events


@pytest.mark.parametrize("began", [int(BEGAN.timestamp()), int(BEGAN.timestamp()) * 1000 + 470])
def test_times_are_seconds_or_milliseconds(began: Any) -> None:
    assert [leg.at for leg in told(dialAt=began)] == [BEGAN]
    assert [leg.at for leg in told(dialAt=str(began))] == [BEGAN]


def test_an_event_repeats_what_the_ones_before_it_said() -> None:
    answered = int(BEGAN.timestamp()) + 12
    states = told(event="call.hangup", bridgeAt=answered)
    assert [leg.state for leg in states] == [LegState.RINGING, LegState.TALKING, LegState.ENDED]
    assert states[:2] == told(event="call.bridge", bridgeAt=answered)
    assert states[:1] == told()
    assert [leg.at for leg in states] == [BEGAN, BEGAN + timedelta(seconds=12), AT_RECEIPT]


def test_the_end_is_when_phonet_says_it_where_it_does() -> None:
    assert told(event="call.hangup", serverTime=int(BEGAN.timestamp()) + 60)[-1].at == BEGAN + timedelta(seconds=60)


@pytest.mark.parametrize("direction", [32, 64, 0, None, "x"])
def test_a_pause_is_no_call(direction: Any) -> None:
    assert facts(lgDirection=direction) == []


@pytest.mark.parametrize("event", ["call.hold", "", None, ["call.dial"]])
def test_an_unknown_event_says_nothing(event: Any) -> None:
    assert facts(event=event) == []


def test_ids_with_dashes_are_the_same() -> None:
    dashed = "bbbbbbbb-BBBB-bbbb-bbbb-bbbbbbbbbbbb"
    assert told(uuid=dashed) == told()
    assert told(uuid=SECOND, parentUuid=dashed)[0].call == UUID


def test_a_call_that_is_handed_on_is_one_call() -> None:
    same, leg = facts(uuid=SECOND, parentUuid=UUID)
    assert same == Alias(call=UUID, at=BEGAN, other=SECOND)
    assert isinstance(leg, Leg)
    assert (leg.call, leg.leg, leg.parent) == (UUID, SECOND, UUID)


def test_a_group_rings_before_whoever_answers() -> None:
    group = {"id": 5, "type": 2, "ext": "500"}
    events = [
        told(leg=group),
        told(event="call.bridge", bridgeAt=int(BEGAN.timestamp()) + 9),
        told(event="call.hangup", bridgeAt=int(BEGAN.timestamp()) + 9, serverTime=int(BEGAN.timestamp()) + 19),
    ]
    assert events[0][0].place is Place.QUEUE
    for order in (events, events[::-1]):
        call = fold([fact for event in order for fact in event], sums_up=False)
        assert (call.outcome, call.extension, call.talk_seconds) == (Outcome.ANSWERED, "001", 10)
        assert [share.extension for share in call.shares] == ["001"]


def test_nobody_missed_what_was_missed_in_a_menu() -> None:
    menu = {"id": 7, "type": 4, "ext": "700"}
    now = int(BEGAN.timestamp())
    call = fold(told(event="call.hangup", leg=menu, bridgeAt=now + 1, serverTime=now + 30), sums_up=False)
    assert (call.outcome, call.extension, call.shares) == (Outcome.MISSED, "", [])


def test_members_of_a_group_may_ring_under_one_uuid() -> None:
    rings = [*told(), *told(leg={"id": 27, "ext": "002"})]
    ended = told(event="call.hangup", leg={"id": 27, "ext": "002"}, serverTime=int(BEGAN.timestamp()) + 30)
    for order in ([*rings, *ended], [*ended, *rings[::-1]]):
        call = fold(order, sums_up=False)
        assert (call.state, call.outcome) == (CallState.FINISHED, Outcome.MISSED)
        assert {share.extension for share in call.shares} == {"001", "002"}


def test_a_form_is_read_too() -> None:
    flat = {
        "event": "call.dial",
        "accountDomain": "demo0001.phonet.com.ua",
        "uuid": UUID,
        "parentUuid": "",
        "dialAt": str(DIAL["dialAt"]),
        "bridgeAt": "",
        "lgDirection": "4",
        "leg[id]": "36",
        "leg[ext]": "001",
        "leg2": "",
        "otherLegs[0][num]": "+380500000001",
        "trunkNum": "+380440000001",
    }
    form = Request("POST", "", urlencode(flat).encode(), "", {"content-type": "application/x-www-form-urlencoded"})
    PHONET.authenticate(form, SECRETS)
    assert PHONET.parse(form, SECRETS) == facts()
    assert PHONET.question(form) is None


def test_what_is_broken_is_not_understood() -> None:
    with pytest.raises(NotUnderstood):
        facts(leg=["001"])
    with pytest.raises(NotUnderstood):
        facts(uuid="")


# --- Sessions


@pytest.fixture
def pbx() -> Iterator[Emulator]:
    emulator = Emulator(lambda _wire: None)
    with emulator.serving():
        yield emulator
    assert emulator.violations == []


@pytest.fixture
def http() -> Http:
    return Http(allow_private=True)


def live(pbx: Emulator) -> str:
    pbx.live = [DIAL | {"lastEvent": "call.bridge", "bridgeAt": int(BEGAN.timestamp()) + 9}]
    return UUID


def test_a_refused_session_is_opened_anew_once(pbx: Emulator, http: Http) -> None:
    pbx.refused = 1
    PHONET.hangup(http, pbx.secrets, command="c", leg=live(pbx))
    assert (pbx.hung_up, len(pbx.sessions)) == ([UUID], 2)


def test_a_session_that_is_refused_twice_is_a_wrong_key(pbx: Emulator, http: Http) -> None:
    pbx.refused = 9
    with pytest.raises(CredentialsRefused):
        PHONET.users(http, pbx.secrets)
    assert (pbx.refused, len(pbx.sessions)) == (7, 2)


def test_a_refused_key_is_not_tried_again(pbx: Emulator, http: Http) -> None:
    with pytest.raises(CredentialsRefused):
        PHONET.users(http, pbx.secrets | {"api_key": "wrong"})
    assert pbx.sessions == []


def test_a_call_that_is_over_counts_as_hung_up(pbx: Emulator, http: Http) -> None:
    PHONET.hangup(http, pbx.secrets, command="c", leg=UUID)
    assert pbx.hung_up == []


def test_a_dial_that_names_no_call_may_have_rung(pbx: Emulator, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = pbx.answer
    silent = (200, b"{}", "application/json")
    monkeypatch.setattr(pbx, "answer", lambda asked: silent if "makeCall" in asked.path else answer(asked))
    with pytest.raises(VendorFault) as error:
        PHONET.dial(http, pbx.secrets, command="c", extension="101", phone="+380500000001", line="")
    assert error.value.fate_unknown


@pytest.mark.parametrize(
    ("extension", "phone"), [("1a", "+380500000001"), ("", "+380500000001"), ("001", "0500000001")]
)
def test_what_phonet_cannot_dial_is_not_sent(extension: str, phone: str) -> None:
    with pytest.raises(Rejected):
        PHONET.dial(Http(), SECRETS, command="c", extension=extension, phone=phone, line="")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, CredentialsRefused),
        (401, CredentialsRefused),
        (403, CredentialsRefused),
        (404, Rejected),
        (405, Rejected),
        (408, Temporary),
        (429, RateLimited),
        (500, Temporary),
    ],
)
def test_errors_are_sorted_by_what_must_be_done(status: int, kind: type[OutboundError]) -> None:
    with responses.RequestsMock() as mock:
        mock.post(
            f"https://{SECRETS['account_domain']}/rest/security/authorize", headers={"Set-Cookie": "JSESSIONID=A"}
        )
        mock.get(f"https://{SECRETS['account_domain']}/rest/users", status=status)
        with pytest.raises(kind) as error:
            PHONET.users(Http(), SECRETS)
    assert type(error.value) is kind


# --- The history


def past(pbx: Emulator, http: Http, since: datetime, until: datetime) -> list[HistoryLeg]:
    return list(PHONET.history(http, pbx.secrets, since, until))


def test_a_long_history_is_read_page_by_page(pbx: Emulator, http: Http) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    for place in range(120):
        pbx.new_call(SCENARIOS[0], began=now - timedelta(minutes=place + 5))
    assert len({leg.call for leg in past(pbx, http, now - timedelta(hours=6), now)}) == 120


def test_a_page_that_comes_again_is_the_last(pbx: Emulator, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    for place in range(60):
        pbx.new_call(SCENARIOS[0], began=now - timedelta(minutes=place + 5))
    whole = pbx.company_calls
    rows: list[Any] = []

    def deaf(asked: Any) -> Any:
        rows.append(1)
        asked.query["offset"] = "0"
        return whole(asked)

    pbx.endpoints = [
        each._replace(function=deaf) if each.path.endswith("company.api") else each for each in pbx.endpoints
    ]
    assert len(past(pbx, http, now - timedelta(hours=6), now)) == 50
    assert len(rows) == 2


def test_a_call_belongs_to_the_period_in_which_it_began(pbx: Emulator, http: Http) -> None:
    """The client is handed on after the end of the period."""
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    handed_on = next(each for each in SCENARIOS if each.name == "transferred")
    call = pbx.new_call(handed_on, began=began)
    noon = began + timedelta(seconds=10)
    assert [leg.call for leg in past(pbx, http, began - timedelta(hours=1), noon)] == [call.id] * 2
    assert past(pbx, http, noon, noon + timedelta(hours=1)) == []


def test_a_conversation_that_was_handed_on_and_goes_on_is_not_over(pbx: Emulator, http: Http) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    call = pbx.new_call(SCENARIOS[0], began=now - timedelta(minutes=10))
    talks = {"uuid": SECOND, "parentUuid": call.id, "dialAt": int(now.timestamp()) - 560, "lastEvent": "call.bridge"}
    pbx.live = [DIAL | talks | {"bridgeAt": int(now.timestamp()) - 550}]
    legs = past(pbx, http, now - timedelta(hours=1), now)
    assert {leg.call for leg in legs} == {call.id}
    assert {leg.callee.extension: leg.ended_at is None for leg in legs} == {"101": False, "001": True}


def row(**changed: Any) -> dict[str, Any]:
    usual = {
        "uuid": UUID,
        "parentUuid": None,
        "endAt": int(BEGAN.timestamp() + 59) * 1000,
        "lgDirection": 4,
        "otherLegNum": "+380500000001",
        "leg": {"id": 36, "type": 1, "ext": "001"},
        "leg2": None,
        "billSecs": 47,
        "duration": 59,
        "disposition": 0,
        "audioRecUrl": None,
        "trunk": "+380440000001",
    }
    return usual | changed


def told_by(*rows: dict[str, Any], inside: str = "") -> Any:
    """The call that these rows tell."""
    body = json.dumps({inside: rows} if inside else rows)
    with responses.RequestsMock() as mock:
        mock.post(
            f"https://{SECRETS['account_domain']}/rest/security/authorize", headers={"Set-Cookie": "JSESSIONID=A"}
        )
        mock.get(f"https://{SECRETS['account_domain']}/rest/calls/company.api", body=body)
        found = PHONET.history(Http(), SECRETS, BEGAN - timedelta(hours=1), BEGAN + timedelta(hours=1))
        legs = tuple(found)
    assert {leg.call for leg in legs} == {UUID}
    return fold([CallHistory(call=UUID, at=BEGAN + timedelta(days=1), legs=legs)])


@pytest.mark.parametrize(
    ("disposition", "direction", "outcome"),
    [
        (1, 4, Outcome.MISSED),
        (1, 2, Outcome.NO_ANSWER),
        (2, 2, Outcome.FAILED),
        (3, 4, Outcome.FAILED),
        (4, 2, Outcome.BUSY),
        (None, 4, Outcome.MISSED),
        (9, 2, Outcome.FAILED),
    ],
)
def test_the_history_says_why_nobody_talked(disposition: Any, direction: int, outcome: Outcome) -> None:
    call = told_by(row(disposition=disposition, lgDirection=direction, billSecs=0))
    assert (call.outcome, call.talk_seconds) == (outcome, 0)


@pytest.mark.parametrize("inside", ["", "items", "calls", "data"])
def test_the_history_says_when_and_how_long(inside: str) -> None:
    call = told_by(row(trunk="o=380440000001;"), inside=inside)
    assert (call.started_at, call.answered_at) == (BEGAN, BEGAN + timedelta(seconds=12))
    assert (call.talk_seconds, call.virtual_number) == (47, "+380440000001")


def test_a_word_with_a_colleague_is_no_talk_with_the_client() -> None:
    colleague = {"id": 27, "type": 1, "ext": "002"}
    aside = row(uuid=SECOND, parentUuid=UUID, lgDirection=1, leg2=colleague, otherLegNum=None, billSecs=9, duration=12)
    call = told_by(row(), aside)
    assert (call.direction, call.talk_seconds, call.extension) == (Direction.IN, 47, "001")


def test_a_menu_that_answers_is_nobody() -> None:
    call = told_by(row(leg={"id": 7, "type": 4, "ext": "700"}))
    assert (call.outcome, call.talk_seconds, call.extension) == (Outcome.MISSED, 0, "")


# --- Recordings


@pytest.mark.parametrize(("private", "sessions"), [(False, 0), (True, 1)])
def test_a_session_is_opened_only_for_recordings_that_want_one(
    pbx: Emulator, http: Http, private: bool, sessions: int
) -> None:
    pbx.private = private
    call = pbx.new_call(next(each for each in SCENARIOS if each.recorded))
    ((key, content),) = call.recordings.items()
    audio = PHONET.recording(http, pbx.secrets, key, "")
    assert audio
    with audio.content as file:
        file.seek(0)
        assert file.read() == content
    assert len(pbx.sessions) == sessions


def test_a_recording_that_is_not_there_is_none_yet(pbx: Emulator, http: Http) -> None:
    assert PHONET.recording(http, pbx.secrets, UUID, "") is None
    with pytest.raises(Rejected):
        PHONET.recording(http, pbx.secrets, "../users", "")


# --- Through the door


@pytest.fixture
def world(transactional_db: None) -> Iterator[World]:
    with World("phonet").open() as opened:
        yield opened


def test_a_question_is_answered_and_makes_no_call(world: World) -> None:
    assert isinstance(world.pbx, Emulator)
    answer = world.deliver(world.pbx.asks(world.pbx.new_call(SCENARIOS[0])))
    assert (answer.status, json.loads(answer.body)["newEntity"]) == (200, True)
    assert not Row.objects.exists()


def test_a_call_is_over_with_its_last_leg_and_the_history_says_more(world: World) -> None:
    busy = next(each for each in SCENARIOS if each.name == "outgoing, busy")
    world.pbx.play(busy)
    told = Row.objects.get()
    assert (told.state, told.outcome) == ("finished", "no_answer")
    world.look()
    told.refresh_from_db()
    assert told.outcome == "busy"


def test_its_history_is_asked_every_few_minutes_for_the_calls_that_came(world: World) -> None:
    now = timezone.now()
    Connection.objects.update(created_at=now - timedelta(hours=2))
    world.connection.refresh_from_db()
    last = history.check(world.connection)
    call = world.pbx.play(SCENARIOS[0])
    HistoryRun.objects.update(state=HistoryRun.State.DONE, created_at=now - history.SOON + timedelta(minutes=1))
    history.plan_comparisons()
    assert HistoryRun.objects.get() == last
    HistoryRun.objects.update(created_at=now - history.SOON - timedelta(minutes=1))
    history.plan_comparisons()
    assert HistoryRun.objects.exclude(pk=last.pk).get().since == call.began - timedelta(minutes=1)


def test_a_call_goes_on_while_the_one_who_was_handed_it_talks(world: World) -> None:
    kind = Scenario("transferred", rings=("101", "102"), talks=("101", "102"), outcome="answered")
    call = world.pbx.new_call(kind)
    *before, last = world.pbx.events(call)
    for wire in before:
        world.deliver(wire)
    assert Row.objects.get().state == "transferred"
    assert Row.objects.get().live_leg.startswith("1")
    world.deliver(last)
    assert world.tells(call).first_extension == "101"
