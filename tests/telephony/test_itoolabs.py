"""What is iTooLabs' own: addresses, two names of an employee, two interfaces, parts of a call, late recordings."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import responses

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary
from outbound.http import Http
from outbound.limits import Limit, MemoryLimiter
from telephony import history
from telephony.models import Call, CallAlias, HistoryRun, InboxEvent, Recording
from telephony.providers.base import (
    NO_TIME,
    Advice,
    Direction,
    Leg,
    Outcome,
    RecordingFact,
    RecordingState,
    Refused,
    Request,
    Summary,
)
from telephony.providers.itoolabs import events, recordings
from telephony.providers.itoolabs.address import base_url, is_own
from telephony.providers.itoolabs.api import Api
from telephony.providers.itoolabs.brands import BRANDS
from telephony.providers.itoolabs.forms import ItoolabsForm
from telephony.providers.itoolabs.history import legs
from telephony.providers.itoolabs.provider import Itoolabs
from tests.emulators.itoolabs import TOKEN, Emulator
from tests.emulators.pbx import SCENARIOS
from tests.telephony.test_providers import World

HOST = "https://vats000001.megapbx.ru"
SECRETS = {"domain": HOST, "api_key": "key", "crm_token": TOKEN, "recorded": "yes"}
ITOOLABS = Itoolabs()
NAMED = {scenario.name: scenario for scenario in SCENARIOS}
RINGS = {
    "cmd": "event",
    "type": "INCOMING",
    "phone": "79000000001",
    "user": "manager1",
    "ext": "701",
    "direction": "in",
    "callid": "33274101",
    "diversion": "74950000001",
    "crm_token": TOKEN,
}
OVER = RINGS | {"cmd": "history", "type": "in", "status": "Success", "duration": "62", "start": "20261120T080000Z"}


class Unlimited(MemoryLimiter):
    def take(self, limits: tuple[Limit, ...]) -> float:
        return 0.0


def free() -> Http:
    return Http(allow_private=True, limiter=Unlimited())


def request(fields: dict[str, str]) -> Request:
    return Request("POST", "", urlencode(fields).encode())


def parsed(fields: dict[str, str], **secrets: str) -> list[Any]:
    return list(ITOOLABS.parse(request(fields), SECRETS | secrets))


@pytest.fixture
def world(transactional_db: None) -> Iterator[World]:
    with World("itoolabs").open() as opened:
        yield opened


@pytest.fixture
def pbx() -> Iterator[Emulator]:
    with Emulator(lambda _wire: None).serving() as serving:
        yield serving
        assert serving.violations == []


# --- The form and the brands ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        "vats000001.megapbx.ru",
        " https://vats000001.megapbx.ru/ ",
        "http://vats000001.megapbx.ru",
        "HTTPS://VATS000001.megapbx.ru/sys/crm_api.wcgp",
        "vats000001.megapbx.ru/sys/planfix_api.wcgp?a=b",
        "https:// vats000001.megapbx.ru /crmapi/v1",
        "«https://vats000001.megapbx.ru.»",
        "https://user@vats000001.megapbx.ru/#/docs",
    ],
)
def test_an_address_may_be_pasted_as_it_comes(typed: str) -> None:
    assert base_url(typed) == HOST
    form = ItoolabsForm(SECRETS | {"domain": typed})
    assert form.is_valid(), form.errors
    assert form.cleaned_data["domain"] == HOST


@pytest.mark.parametrize("typed", [".megapbx.ru", "vats000001", "https://", "ftp://a.megapbx.ru", "a..ru", "a.ru:x"])
def test_what_is_no_address_is_refused(typed: str) -> None:
    assert "domain" in ItoolabsForm(SECRETS | {"domain": typed}).errors
    with pytest.raises(OutboundError):
        ITOOLABS.users(Http(), SECRETS | {"domain": typed})


def test_every_brand_stands_once_and_its_zone_waits_for_a_name() -> None:
    assert len({brand.slug for brand in BRANDS}) == len({brand.title for brand in BRANDS}) == len(BRANDS)
    for brand in BRANDS:
        if zone := brand.defaults.get("domain", ""):
            assert "domain" in ItoolabsForm(SECRETS | {"domain": zone}).errors
            assert base_url(f"name{zone}") == f"https://name{zone}"


@pytest.mark.parametrize(
    ("link", "own"),
    [
        ("https://records.megapbx.ru/record/1.mp3", True),
        ("https://vats000001.megapbx.ru/1.mp3", True),
        ("http://records.megapbx.ru/1.mp3", False),
        ("https://megapbx.ru.example/1.mp3", False),
        ("https://notmegapbx.ru/1.mp3", False),
    ],
)
def test_the_key_is_shown_to_the_operators_servers_alone(link: str, own: bool) -> None:
    assert is_own(link, HOST) is own
    with responses.RequestsMock() as mock:
        mock.get(link, body=b"sound", content_type="audio/mpeg")
        audio = recordings.fetch(Api(Http(), SECRETS), "33274101", link)
        assert audio is not None
        audio.content.close()
        assert (mock.calls[0].request.headers.get("X-API-KEY") == "key") is own


# --- Who sends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    [
        request(OVER),
        Request("POST", "", json.dumps(OVER | {"duration": 62, "more": {"a": 1}}).encode()),
        Request("GET", "", b"", urlencode(OVER)),
    ],
    ids=["form", "json", "query"],
)
def test_a_notification_may_come_as_a_form_as_json_or_in_the_query(told: Request) -> None:
    ITOOLABS.authenticate(told, SECRETS)
    (end, _recording) = ITOOLABS.parse(told, SECRETS)
    assert isinstance(end, Summary)
    assert end.talk_seconds == 62


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"crm_token": TOKEN.upper()}, 401),
        ({"crm_token": ""}, 401),
        ({"callid": " "}, 400),
        ({"cmd": "dance"}, 400),
    ],
)
def test_others_and_strange_notifications_are_refused_in_the_vendors_words(
    changed: dict[str, str], status: int
) -> None:
    with pytest.raises(Refused) as refused:
        ITOOLABS.authenticate(request(RINGS | changed), SECRETS)
    words = {401: b"Invalid token", 400: b"Invalid parameters"}[status]
    assert (refused.value.reply.status, refused.value.reply.body) == (status, b'{"error":"%s"}' % words)


def test_without_a_key_nobody_is_believed() -> None:
    with pytest.raises(Refused):
        ITOOLABS.authenticate(request(RINGS | {"crm_token": ""}), SECRETS | {"crm_token": ""})


def test_a_line_that_cannot_register_is_no_call() -> None:
    told = {"cmd": "webhook", "type": "sipregs_error", "id": "1", "crm_token": TOKEN}
    ITOOLABS.authenticate(request(told), SECRETS)
    assert parsed(told) == []


# --- Questions --------------------------------------------------------------------------------------------------------


def test_the_question_is_who_calls() -> None:
    question = ITOOLABS.question(request(RINGS | {"cmd": "contact"}))
    assert question
    assert (question.client_number, question.virtual_number, question.call) == (
        "79000000001",
        "74950000001",
        "33274101",
    )
    hidden = ITOOLABS.question(request(RINGS | {"cmd": "contact", "phone": "anonymous"}))
    assert hidden
    assert hidden.client_number == ""
    assert ITOOLABS.question(request(RINGS)) is None


@pytest.mark.parametrize(
    ("advice", "answer"),
    [
        (Advice(), {}),
        (Advice(client="ООО Ромашка"), {"contact_name": "ООО Ромашка"}),
        (Advice("701", "ООО Ромашка"), {"contact_name": "ООО Ромашка", "responsible": "701"}),
    ],
)
def test_what_is_known_is_told(advice: Advice, answer: dict[str, str]) -> None:
    assert json.loads(ITOOLABS.answer(request(RINGS | {"cmd": "contact"}), advice).body) == answer


# --- Notifications ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "ext", "extension"),
    [
        ("manager1", "701", "701"),
        ("manager1@vats000001.megapbx.ru", "701", "701"),
        ("manager1", "", "manager1"),
        ("manager1@vats000001.megapbx.ru", "", "manager1"),
        ("pbx", "", ""),
        ("g_0f8fad5b@vats000001.megapbx.ru", "700", ""),
    ],
)
def test_an_employee_is_his_short_number_or_else_his_login(user: str, ext: str, extension: str) -> None:
    (end, *_) = parsed(OVER | {"user": user, "ext": ext})
    assert end.extension == extension
    told = parsed(RINGS | {"user": user, "ext": ext})
    assert [leg.callee.extension for leg in told] == ([extension] if extension else [])


def test_an_old_version_tells_the_direction_only_at_the_beginning() -> None:
    dialled = {name: value for name, value in RINGS.items() if name != "direction"} | {"type": "OUTGOING"}
    (leg,) = parsed(dialled)
    assert isinstance(leg, Leg)
    assert (leg.direction, leg.caller.extension, leg.callee.number) == (Direction.OUT, "701", "79000000001")
    (answered,) = parsed(dialled | {"type": "accepted"})
    assert (answered.direction, answered.leg) == (None, leg.leg)


def test_calls_between_colleagues_are_left_out() -> None:
    assert parsed(RINGS | {"phone": "702"}) == parsed(OVER | {"phone": "702"}) == []


@pytest.mark.parametrize(
    "text", ["20261120T080000Z", " 2026 1120T08 0000Z", "2026-11-20T08:00:00Z", "2026-11-20T11:00:00+03:00"]
)
def test_a_time_is_read_in_any_of_the_vendors_ways(text: str) -> None:
    assert events.moment(text) == datetime(2026, 11, 20, 8, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "2026-11-20 10:20", "yesterday", "99991231T235959Z"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert events.moment(text) == NO_TIME
    (end, *_) = parsed(OVER | {"start": text, "wait": "8"})
    assert (end.started_at, end.answered_at, end.talk_seconds) == (None, None, 62)


def test_the_end_follows_from_the_beginning_where_all_of_it_is_told() -> None:
    (end, *_) = parsed(OVER | {"wait": "8"})
    began = datetime(2026, 11, 20, 8, tzinfo=UTC)
    told = [at - began for at in (end.started_at, end.answered_at, end.at)]
    assert told == [timedelta(), timedelta(seconds=8), timedelta(seconds=70)]


@pytest.mark.parametrize(
    ("status", "incoming", "outgoing"),
    [
        ("SUCCESS", Outcome.ANSWERED, Outcome.ANSWERED),
        ("Missed", Outcome.MISSED, Outcome.NO_ANSWER),
        ("Cancel", Outcome.MISSED, Outcome.NO_ANSWER),
        ("noanswer", Outcome.MISSED, Outcome.NO_ANSWER),
        ("Busy", Outcome.MISSED, Outcome.BUSY),
        ("NotAvailable", Outcome.MISSED, Outcome.FAILED),
        ("NotAllowed", Outcome.MISSED, Outcome.FAILED),
        ("NotFound", Outcome.MISSED, Outcome.FAILED),
        ("something new", Outcome.MISSED, Outcome.FAILED),
    ],
)
def test_an_outcome_depends_on_the_direction(status: str, incoming: Outcome, outgoing: Outcome) -> None:
    assert events.outcome(status, Direction.IN) is incoming
    assert events.outcome(status, Direction.OUT) is outgoing


def test_a_phone_that_rang_twice_is_that_of_who_answered() -> None:
    states = ["INCOMING", "CANCELLED", "INCOMING", "ACCEPTED", "COMPLETED"]
    told = [parsed(RINGS | {"type": state})[0] for state in states]
    order = [leg.state for leg in sorted({leg.seq: leg for leg in told}.values(), key=lambda leg: leg.seq)]
    assert order == ["ringing", "talking", "ended", "ended"]


@pytest.mark.parametrize(
    ("link", "recorded", "states"),
    [
        ("https://records.megapbx.ru/1.mp3", "yes", [RecordingState.READY]),
        ("https://records.megapbx.ru/1.mp3", "no", [RecordingState.READY]),
        ("", "yes", [RecordingState.ANNOUNCED]),
        ("", "no", []),
    ],
)
def test_a_recording_without_a_link_is_waited_for_where_calls_are_recorded(
    link: str, recorded: str, states: list[RecordingState]
) -> None:
    told = [fact for fact in parsed(OVER | {"link": link}, recorded=recorded) if isinstance(fact, RecordingFact)]
    assert [(fact.recording, fact.state, fact.url) for fact in told] == [("33274101", state, link) for state in states]
    missed = parsed(OVER | {"status": "missed"}, recorded=recorded)
    assert len(missed) == 1


# --- A call that was handed on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_the_parts_of_a_call_become_one_in_any_order(world: World, seed: int) -> None:
    call = world.pbx.new_call(NAMED["transferred"])
    wires = list(world.pbx.events(call))
    random.Random(seed).shuffle(wires)
    for wire in [*wires, *wires[:3]]:
        world.deliver(wire)
    row = Call.objects.get()
    assert (row.key, row.state, row.outcome, row.talk_seconds) == (call.id, "finished", "answered", 60)
    assert {person.extension for person in row.participants.all()} == {"101", "102"}
    assert not InboxEvent.objects.exclude(call=row).exists()
    assert CallAlias.objects.get().call == row


def test_a_call_goes_on_while_a_part_of_it_does(world: World) -> None:
    call = world.pbx.new_call(NAMED["transferred"])
    *before, handed_on, completed, first, second = world.pbx.events(call)
    states = []
    for wire in (*before, handed_on, first, completed, second):
        world.deliver(wire)
        states.append(Call.objects.get(key=call.id).state)
    assert states[-5:] == ["answered", "transferred", "transferred", "answered", "finished"]


def test_recordings_and_events_of_a_part_move_with_it(world: World) -> None:
    call = world.pbx.new_call(NAMED["transferred"])
    handed_on = next(wire for wire in world.pbx.events(call) if b"TRANSFERRED" in wire.body)
    part = str(int(call.id) + 1)
    over = {**OVER, "callid": part, "link": f"{world.pbx.url}/record/{part}.mp3"}
    world.pbx.deliver(type(handed_on)(urlencode(over).encode()))
    before = Recording.objects.get()
    for wire in world.pbx.events(call):
        world.deliver(wire)
    moved = Recording.objects.get(key=part)
    assert (moved.pk, moved.state, moved.call.key) == (before.pk, Recording.State.READY, call.id)
    assert Call.objects.count() == 1


def test_a_comparison_with_the_history_leaves_a_call_of_two_parts_as_it_is(world: World) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    call = world.pbx.play(NAMED["transferred"], began=now - timedelta(minutes=30))
    run = history.start(world.connection, HistoryRun.Kind.SCHEDULED, now - timedelta(hours=1), now)
    while run.pk in history.due():
        history.work(run.pk)
    run.refresh_from_db()
    assert (run.state, run.found, run.filled, run.corrected) == (HistoryRun.State.DONE, 1, 0, 0)
    world.tells(call)


# --- The interfaces ---------------------------------------------------------------------------------------------------


def test_a_pbx_without_rest_is_asked_in_the_older_way(pbx: Emulator) -> None:
    pbx.rest = False
    http = free()
    assert {user.extension: user.vendor_id for user in ITOOLABS.users(http, pbx.secrets)}["101"] == "manager101"
    ITOOLABS.dial(http, pbx.secrets, command="", extension="101", phone="+79001234567", line="+74950000001")
    assert pbx.dialled == [("101", "+79001234567")]
    checks = ITOOLABS.check(http, pbx.secrets, "")
    assert [check.ok for check in checks] == [True] * 4
    assert checks[-1].cure
    with pytest.raises(Rejected):
        ITOOLABS.numbers(http, pbx.secrets)


def test_the_older_history_tells_who_and_how_long_and_not_why(pbx: Emulator) -> None:
    pbx.rest = False
    now = datetime.now(UTC).replace(microsecond=0)
    told = ("answered and recorded", "missed", "missed by a group", "outgoing", "outgoing, busy", "hidden number")
    calls = [pbx.new_call(NAMED[name], began=now - timedelta(minutes=10 + place)) for place, name in enumerate(told)]
    rows = {leg.call: leg for leg in legs(Api(free(), pbx.secrets), now - timedelta(hours=1), now)}
    found = [rows[call.id] for call in calls]
    assert [leg.why for leg in found] == [
        Outcome.ANSWERED,
        Outcome.MISSED,
        Outcome.MISSED,
        Outcome.ANSWERED,
        Outcome.NO_ANSWER,
        Outcome.ANSWERED,
    ]
    assert [leg.callee.extension for leg in found] == ["101", "101", "", "", "", "101"]
    assert [leg.recordings for leg in found] == [(calls[0].id,), (), (), (calls[3].id,), (), ()]
    assert found[0].links[0].endswith(f"{calls[0].id}.mp3")
    assert found[5].caller.number == ""


def test_an_older_table_that_is_none_is_an_error(pbx: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    pbx.rest = False
    monkeypatch.setattr(pbx, "_table", lambda _told: b"<html>\nwe are down</html>")
    now = datetime.now(UTC)
    with pytest.raises(Temporary):
        list(legs(Api(free(), pbx.secrets), now - timedelta(hours=1), now))


def test_a_day_with_more_calls_than_an_answer_is_asked_for_in_halves(
    pbx: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telephony.providers.itoolabs.history._MOST", 4)
    now = datetime.now(UTC).replace(microsecond=0)
    calls = [pbx.new_call(NAMED["missed"], began=now - timedelta(minutes=place)) for place in range(5, 60, 10)]
    api = Api(free(), pbx.secrets)
    found = [leg.call for leg in legs(api, now - timedelta(hours=1), now)]
    assert sorted(found) == sorted(call.id for call in calls)


def test_who_cannot_be_called_is_not_asked_for(pbx: Emulator) -> None:
    http = free()
    for extension, phone in (("999", "+79001234567"), ("101", "712")):
        with pytest.raises(Rejected):
            ITOOLABS.dial(http, pbx.secrets, command="", extension=extension, phone=phone, line="")
    assert pbx.dialled == []


@pytest.mark.parametrize("answer", ["users", "makecall"])
def test_a_dial_is_in_doubt_only_after_it_was_sent(answer: str) -> None:
    people = {"items": [{"login": "manager101", "ext": "101"}], "info": {"total": 1}}
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(f"{HOST}/crmapi/v1/users", json=people, status=502 if answer == "users" else 200)
        mock.post(f"{HOST}/crmapi/v1/makecall", body="<html>", status=502)
        with pytest.raises(Temporary) as error:
            ITOOLABS.dial(free(), SECRETS, command="", extension="101", phone="+79001234567", line="")
    assert error.value.fate_unknown is (answer == "makecall")


def test_a_list_is_read_to_its_end(pbx: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.providers.itoolabs.api._PAGE", 2)
    assert len(ITOOLABS.users(free(), pbx.secrets)) == 3


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (301, "", Rejected),
        (400, '{"message":"Validation error"}', Rejected),
        (401, '{"message":"Domain disabled"}', CredentialsRefused),
        (403, '{"message":"Forbidden"}', Rejected),
        (404, "<html>", Rejected),
        (429, "", RateLimited),
        (502, "<html>", Temporary),
    ],
)
def test_errors_are_sorted_by_what_must_be_done(status: int, body: str, kind: type[OutboundError]) -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{HOST}/crmapi/v1/telnums", body=body, status=status)
        with pytest.raises(kind):
            ITOOLABS.numbers(Http(), SECRETS)


@pytest.mark.parametrize(("older", "kind"), [(401, CredentialsRefused), (404, CredentialsRefused)])
def test_a_wrong_key_is_named_also_where_there_is_no_older_interface(older: int, kind: type[OutboundError]) -> None:
    with responses.RequestsMock() as mock:
        mock.get(f"{HOST}/crmapi/v1/users", json={"message": "Unauthorized"}, status=401)
        mock.post(f"{HOST}/sys/crm_api.wcgp", json={"error": "Invalid token"}, status=older)
        with pytest.raises(kind):
            ITOOLABS.users(Http(), SECRETS)


# --- Recordings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [True, False])
def test_a_recording_that_came_without_a_link_is_found_in_the_history(pbx: Emulator, rest: bool) -> None:
    pbx.rest = rest
    call = pbx.new_call(NAMED["answered and recorded"])
    audio = ITOOLABS.recording(free(), pbx.secrets, call.id, "")
    assert audio is not None
    with audio.content as file:
        file.seek(0)
        assert file.read() == call.recordings[call.id]


def test_a_late_recording_is_announced_and_stored_once_it_is_there(world: World) -> None:
    assert isinstance(world.pbx, Emulator)
    world.pbx.late, world.pbx.missing_files = True, 1
    call = world.pbx.play(NAMED["answered and recorded"])
    row = Recording.objects.get()
    assert (row.key, row.state, row.vendor_url) == (call.id, Recording.State.ANNOUNCED, "")
    with pytest.raises(Temporary):
        ITOOLABS.recording(world.http, world.secrets, row.key, row.vendor_url)
    audio = ITOOLABS.recording(world.http, world.secrets, row.key, row.vendor_url)
    assert audio is not None
    audio.content.close()


def test_a_call_that_was_not_recorded_is_asked_for_once(pbx: Emulator) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    fresh = pbx.new_call(NAMED["answered"], began=now - timedelta(minutes=5))
    old = pbx.new_call(NAMED["answered"], began=now - timedelta(minutes=20))
    http = free()
    assert ITOOLABS.recording(http, pbx.secrets, fresh.id, "") is None
    with pytest.raises(Rejected):
        ITOOLABS.recording(http, pbx.secrets, old.id, "")
