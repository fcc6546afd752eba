"""The Megaplan adapter against the recorded samples and its emulator: no network but loopback, no database."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import responses
from django.utils import translation

from crm_adapters.base import (
    CallFacts,
    Capability,
    ClientChanged,
    DialRequested,
    Done,
    Job,
    NotMade,
    Participant,
    Priority,
    Refused,
    Repeat,
    Request,
    Step,
    Work,
)
from crm_adapters.megaplan import address, api, calls, directory, steps
from crm_adapters.megaplan.adapter import Megaplan
from integrations.replay.recorded import meaning
from outbound.errors import (
    CredentialsRefused,
    DeadlineExceeded,
    OutboundError,
    RateLimited,
    Rejected,
    Temporary,
    TokenExpired,
    VendorFault,
)
from outbound.http import Http
from outbound.limits import MemoryLimiter
from tests.crm_adapters.calls import Account, Free, counted
from tests.emulators.megaplan import Emulator
from tests.emulators.served import Told, Wire

FOLDER = Path(steps.__file__).parent
SAMPLES = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "samples").glob("*.json"))}
BASE = "https://demo-account.megaplan.ru/api/v3/"
MOSCOW = timezone(timedelta(hours=3))
START = datetime(2026, 11, 20, 12, 0, 5, tzinfo=MOSCOW)
ONE, TWO, THREE, BOSS = "1000003", "1000004", "1000005", "1000009"
LINK = "https://hub.example.com/rec/hub-100500.mp3"
SECRETS = {
    "domain": "demo-account.megaplan.ru",
    "username": "hub@example.com",
    "password": "demo-password",
    "application_uuid": "",
    "access_token": "access-token-0001",
    "refresh_token": "refresh-token-0001",
}
OFF: dict[str, Any] = {
    "default_responsible": BOSS,
    "forward_to_personal_manager": False,
    "create_client_incoming": False,
    "create_client_outgoing": False,
    "create_communication": False,
    "communication_types": ["in", "miss", "out", "fail"],
    "communication_category": "3",
    "keep_absent": False,
    "absent_user": "",
}
adapter = Megaplan()


# --- What the tests are made of ---------------------------------------------------------------------------------------


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def rings(user: str) -> Participant:
    return Participant(f"1{user[-2:]}", user, ringing=True, rang_at=at(0))


def rang(user: str) -> Participant:
    return Participant(f"1{user[-2:]}", user, rang_at=at(0), left_at=at(9))


def talks(user: str, *, since: int = 12) -> Participant:
    return Participant(f"1{user[-2:]}", user, talking=True, rang_at=at(0), answered_at=at(since))


def talked(user: str, *, since: int = 12, until: int = 77) -> Participant:
    return replace(talks(user, since=since), talking=False, left_at=at(until))


def facts(*people: Participant, **changes: Any) -> CallFacts:
    known: dict[str, Any] = {
        "id": "hub-100500",
        "version": 1,
        "direction": "in",
        "state": "ringing",
        "client_phone": "+79000000001",
        "virtual_number": "+74950000001",
        "line_name": "Shop",
        "started_at": START,
    }
    return CallFacts(**{**known, **changes}, participants=people)


def ended(*people: Participant, outcome: str = "answered", **changes: Any) -> CallFacts:
    lasted = {"wait_seconds": 12, "talk_seconds": 65} if outcome == "answered" else {"wait_seconds": 9}
    return facts(*people, **{"state": "finished", "outcome": outcome, "live": False, **lasted, **changes})


def job(known: CallFacts, notes: Any = None, **settings: Any) -> Job:
    return Job(known, {**OFF, **settings}, notes or {})


def work(one: Job) -> Work:
    step = adapter.plan(one)
    assert step is not None
    return Work(one, step)


def new_http(**changes: Any) -> Http:
    return Http(**{"limiter": Free(), "deadline": 5.0, "allow_private": True, **changes})


def perform(*jobs: Job, secrets: dict[str, str] = SECRETS, **changes: Any) -> list[Any]:
    return adapter.perform(new_http(**changes), secrets, [work(one) for one in jobs])


def house_of(crm: Emulator, **settings: Any) -> Account:
    return Account(crm, adapter, dict(SECRETS), {**OFF, **settings})


class Recorded:
    """Answers our requests with those of a sample that mean the same."""

    def __init__(self, mock: responses.RequestsMock, name: str):
        self.left = [each for each in SAMPLES[name]["exchanges"] if each["direction"] == "hub->vendor"]
        for method in (responses.GET, responses.POST):
            mock.add_callback(method, re.compile(re.escape(BASE) + ".*"), self._answer)

    def _answer(self, request: Any) -> tuple[int, dict[str, str], str]:
        body = request.body.decode() if isinstance(request.body, bytes) else request.body or ""
        asked = (request.method, request.url.partition("?")[0], meaning(body, request.url))
        token = request.headers.get("Authorization")
        for number, each in enumerate(self.left):
            told = (each["method"], each["path"].partition("?")[0], meaning(each["body"], each["path"]))
            if told == asked and each["headers"].get("Authorization") == token:
                said = self.left.pop(number)["response"]
                return said["status"], said["headers"], said["body"]
        raise AssertionError(f"not in the sample: {asked}; left: {self.left}")


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        yield mocked


@pytest.fixture
def crm() -> Iterator[Emulator]:
    with Emulator().serving() as found:
        yield found


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def account(crm: Emulator, **settings: Any) -> Account:
    """A connected account with all switches off but those named."""
    return Account(crm, adapter, dict(crm.secrets), {**OFF, **settings})


def played(house: Account, *story: CallFacts) -> list[str]:
    """The steps that a call took."""
    house.steps.clear()
    for known in story:
        house.bring(known)
    return [step.name for step in house.steps]


def only(crm: Emulator) -> dict[str, Any]:
    """The one call that the account has."""
    assert crm.violations == []
    (call,) = crm.call_infos.values()
    return {**call.body, "user": call.side(["Employee"])}


ANSWERED = (
    facts(rings(ONE)),
    facts(talks(ONE), state="answered"),
    ended(talked(ONE)),
)
MISSED = (facts(rings(ONE)), ended(rang(ONE), outcome="missed"))
QUEUE = (ended(outcome="missed"),)
OUT = tuple(replace(known, direction="out") for known in ANSWERED)


# --- plan -------------------------------------------------------------------------------------------------------------

POP_UP, FINISH, LATER = Priority.POP_UP, Priority.FINISH, Priority.RECORDING
SHOWN = {"call": "501", "user": ONE, "state": "calling"}
TALKS = {"call": "501", "user": ONE, "state": "talking"}
OVER = {**TALKS, "finished": True, "told": ["answered", "103"], "ended": "2026-11-20T12:01:22+03:00"}
ALL = {
    "create_client_incoming": True,
    "create_client_outgoing": True,
    "create_communication": True,
    "keep_absent": True,
    "absent_user": THREE,
}


@pytest.mark.parametrize(
    ("known", "notes", "settings", "wanted"),
    [
        # a card for somebody who rings or talks now
        (facts(), {}, {}, None),
        (facts(rang(ONE)), {}, {}, None),
        (facts(rings(ONE)), {}, {}, ("register", POP_UP, Repeat.LOOK)),
        (facts(talks(ONE), state="answered"), {}, {}, ("register", POP_UP, Repeat.LOOK)),
        (facts(rings(ONE), live=False), {}, {}, None),
        (facts(rings("")), {}, ALL, None),
        (facts(talks(""), state="answered"), {}, ALL, None),
        (facts(direction="out"), {}, {}, None),
        (facts(rings(ONE), direction="out"), {}, {}, ("register", POP_UP, Repeat.LOOK)),
        (facts(rings(""), direction="out", crm_user=ONE), {}, {}, ("register", POP_UP, Repeat.LOOK)),
        (facts(rings(ONE), client_phone=""), {}, {}, ("register", POP_UP, Repeat.LOOK)),
        # it moves with the call
        (facts(rings(ONE)), SHOWN, {}, None),
        (facts(rings(ONE), rings(TWO)), SHOWN, {}, None),
        (facts(rang(ONE)), SHOWN, {}, None),
        (facts(rang(ONE), rings(TWO)), SHOWN, {}, ("update", POP_UP, Repeat.KEY)),
        (facts(talks(ONE), state="answered"), SHOWN, {}, ("update", POP_UP, Repeat.KEY)),
        (facts(talks(ONE), state="held"), TALKS, {}, ("update", POP_UP, Repeat.KEY)),
        (facts(talked(ONE), rings(TWO), state="transferred"), TALKS, {}, ("update", POP_UP, Repeat.KEY)),
        (facts(talks(ONE), rings(TWO), state="transferred"), TALKS, {}, None),
        (facts(talks(ONE), state="answered", live=False), SHOWN, {}, None),
        # the end
        (ended(talked(ONE)), TALKS, {}, ("finish", FINISH, Repeat.KEY)),
        (ended(rang(ONE), outcome="missed"), SHOWN, {}, ("finish", FINISH, Repeat.KEY)),
        (ended(talked(ONE)), {}, {}, ("history", FINISH, Repeat.LOOK)),
        (ended(outcome="missed"), {}, {}, ("history", FINISH, Repeat.LOOK)),
        (ended(talked("")), {}, {}, None),
        (ended(talked("")), {}, ALL, ("history", FINISH, Repeat.LOOK)),
        (ended(talked("")), TALKS, {}, ("finish", FINISH, Repeat.KEY)),
        # what came to light since
        (ended(talked(ONE)), OVER, {}, None),
        (ended(talked(TWO)), OVER, {}, ("correct", LATER, Repeat.KEY)),
        (ended(rang(ONE), outcome="missed"), OVER, {}, ("correct", LATER, Repeat.KEY)),
        (ended(talked(ONE), talk_seconds=68), OVER, {}, None),
        (ended(talked(ONE), talk_seconds=90), OVER, {}, ("correct", LATER, Repeat.KEY)),
        (ended(talked(ONE)), OVER, {"default_responsible": TWO, "keep_absent": True, "absent_user": TWO}, None),
        # recordings: the link changes when another file has replaced it, or it was revoked
        (ended(talked(ONE), recording_url=LINK), OVER, {}, ("record", LATER, Repeat.KEY)),
        (ended(talked(ONE), recording_url=LINK), {**OVER, "recording": LINK}, {}, None),
        (ended(talked(ONE), recording_url=f"{LINK}?2"), {**OVER, "recording": LINK}, {}, ("record", LATER, Repeat.KEY)),
        (ended(talked(ONE)), {**OVER, "recording": LINK}, {}, None),
        (ended(talked(ONE), recording_url=LINK), {**OVER, "recording": "refused"}, {}, None),
        (facts(talks(ONE), state="answered", recording_url=LINK), TALKS, {}, None),
        # clients
        (facts(rings(ONE)), SHOWN, ALL, None),
        (facts(talks(ONE), state="answered"), TALKS, ALL, ("client", FINISH, Repeat.LOOK)),
        (facts(talks(ONE), state="answered", client_phone=""), TALKS, ALL, None),
        (facts(talks(ONE), state="answered"), {**TALKS, "client": ["ContractorHuman", "7"]}, ALL, None),
        (
            facts(talks(ONE), state="answered"),
            {**TALKS, "client": ["ContractorHuman", "7"], "made": True},
            ALL,
            ("attach", FINISH, Repeat.KEY),
        ),
        (facts(talks(ONE), state="answered"), {**TALKS, "client": "later"}, ALL, None),
        (ended(talked(ONE)), {**OVER, "client": "later"}, ALL, ("client", FINISH, Repeat.LOOK)),
        (ended(talked(ONE)), {**OVER, "client": "refused", "todo": "9001"}, ALL, None),
        (ended(talked(ONE)), {**OVER, "client": "refused"}, ALL, ("todo", LATER, Repeat.LOOK)),
        (ended(talked(ONE)), {**OVER, "client": "refused"}, {**ALL, "communication_types": ["miss"]}, None),
        (ended(talked(ONE)), OVER, {**ALL, "create_client_incoming": False}, ("todo", LATER, Repeat.LOOK)),
    ],
)
def test_plan(known: CallFacts, notes: dict[str, Any], settings: dict[str, Any], wanted: Any) -> None:
    step = adapter.plan(job(known, notes, **settings))
    assert (step and (step.name, step.priority, step.repeat)) == wanted


def test_every_step_has_its_title() -> None:
    names = {value.name for value in vars(calls).values() if isinstance(value, Step)}
    assert adapter.step_titles.keys() == names


# --- Whose call it is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("story", "settings", "kind", "user"),
    [
        (ANSWERED, {}, "in", ONE),
        (ANSWERED[2:], {}, "in", ONE),
        (MISSED, {}, "miss", ONE),
        (MISSED[1:], {}, "miss", ONE),
        (QUEUE, {}, "miss", BOSS),
        ((ended(rang(""), outcome="missed"),), {"keep_absent": True, "absent_user": THREE}, "miss", THREE),
        ((ended(rang(""), rang(TWO), outcome="missed"),), {}, "miss", TWO),
        ((ended(talked("")),), {"keep_absent": True, "absent_user": THREE}, "in", THREE),
        ((ended(talked(""), talked(TWO, since=40)),), {}, "in", TWO),
        ((ended(talked(ONE), talked(TWO, since=40)),), {}, "in", TWO),
        ((ended(talked(ONE), talked("", since=40)),), {"keep_absent": True, "absent_user": THREE}, "in", ONE),
        ((ended(rang(ONE), outcome="busy"),), {}, "miss", ONE),
        (OUT, {}, "out", ONE),
        ((replace(OUT[0]), ended(rang(ONE), outcome="no_answer", direction="out")), {}, "fail", ONE),
        ((ended(rang(ONE), outcome="busy", direction="out"),), {}, "fail", ONE),
        ((ended(rang(""), outcome="cancelled", direction="out", crm_user=TWO),), {}, "fail", TWO),
        ((ended(outcome="failed", direction="out"),), {}, "fail", BOSS),
        # moved on before we heard of it: closed where it was shown, then corrected
        ((ANSWERED[0], ended(rang(ONE), talked(TWO))), {}, "in", TWO),
        # the group's card goes to who rings still, and away from everybody when a stranger takes the call
        (
            (facts(rings(ONE), rings(TWO)), facts(rang(ONE), rings(TWO)), ended(rang(TWO), outcome="missed")),
            {},
            "miss",
            TWO,
        ),
        (
            (facts(rings(ONE)), facts(rang(ONE), talks(""), state="answered"), ended(rang(ONE), talked(""))),
            {"keep_absent": True, "absent_user": THREE},
            "in",
            THREE,
        ),
    ],
)
def test_whose_call_it_is(
    crm: Emulator, story: tuple[CallFacts, ...], settings: dict[str, Any], kind: str, user: str
) -> None:
    played(account(crm, **settings), *story)
    call = only(crm)
    assert (call["type"], call["state"], call["user"]) == (kind, "finished", user)


def test_calls_of_those_who_are_not_in_megaplan_are_left_out(crm: Emulator) -> None:
    assert played(account(crm), facts(rings("")), facts(talks(""), state="answered"), ended(talked(""))) == []
    assert not crm.call_infos


def test_a_card_is_shown_to_one_at_a_time(crm: Emulator) -> None:
    house = account(crm)
    played(house, facts(rings(ONE), rings(TWO)), facts(rang(ONE), talks(TWO), state="answered"), ended(talked(TWO)))
    assert crm.screens("+79000000001") == {ONE, TWO}
    played(house, *(replace(known, id="quiet", client_phone="+79000000002") for known in ANSWERED[2:]))
    assert crm.screens("+79000000002") == set()


def test_times_and_numbers(crm: Emulator) -> None:
    played(account(crm), *ANSWERED)
    call = only(crm)
    assert (call["fromPhone"], call["toPhone"]) == ("79000000001", "74950000001")
    assert (call["timeFrom"]["value"], call["timeTo"]["value"]) == (
        "2026-11-20T12:00:05+03:00",
        "2026-11-20T12:01:22+03:00",
    )


def test_what_is_not_known_is_left_out(crm: Emulator) -> None:
    played(account(crm, **ALL), *(replace(known, client_phone="", virtual_number="") for known in ANSWERED))
    call = only(crm)
    assert "fromPhone" not in call
    assert call["toPhone"] == "103"
    assert not crm.clients


def test_a_hold_and_a_transfer(crm: Emulator) -> None:
    house = account(crm)
    story = (
        (facts(talks(ONE), state="answered"), "talking", ONE),
        (facts(talks(ONE), state="held"), "hold", ONE),
        (facts(talks(ONE), state="answered"), "talking", ONE),
        (facts(talked(ONE), rings(TWO), state="transferred"), "talking", TWO),
        (facts(talked(ONE), talks(TWO, since=40), state="transferred"), "talking", TWO),
    )
    for known, state, user in story:
        house.bring(known)
        assert (only(crm)["state"], only(crm)["user"]) == (state, user)


# --- Each setting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("story", "settings", "steps_more"),
    [
        (ANSWERED, {"create_client_incoming": True}, ["client", "attach"]),
        (ANSWERED, {"create_client_outgoing": True}, []),
        (OUT, {"create_client_outgoing": True}, ["client", "attach"]),
        (OUT, {"create_client_incoming": True}, []),
        (MISSED, {"create_client_incoming": True}, ["client", "attach"]),
        (ANSWERED, {"create_communication": True}, ["todo"]),
        (ANSWERED, {"create_communication": True, "communication_types": ["miss", "out", "fail"]}, []),
        (MISSED, {"create_communication": True, "communication_types": ["miss"]}, ["todo"]),
        (OUT, {"create_communication": True, "communication_types": ["out"]}, ["todo"]),
        (OUT, {"create_communication": True, "communication_types": ["in"]}, []),
        (QUEUE, {"create_communication": True}, ["todo"]),
        (ANSWERED, {"forward_to_personal_manager": True}, []),
        (ANSWERED, {"keep_absent": True, "absent_user": THREE}, []),
        (ANSWERED, {"default_responsible": TWO}, []),
    ],
)
def test_a_setting_changes_just_what_it_says(
    crm: Emulator, story: tuple[CallFacts, ...], settings: dict[str, Any], steps_more: list[str]
) -> None:
    usual = played(account(crm), *(replace(known, id="usual") for known in story))
    more = played(account(crm, **settings), *(replace(known, client_phone="+79000000002") for known in story))
    assert sorted(more) == sorted(usual + steps_more)
    assert crm.violations == []


def test_a_new_client_belongs_to_who_talks(crm: Emulator) -> None:
    played(account(crm, create_client_incoming=True), *ANSWERED)
    (client,) = crm.clients.values()
    assert [each["id"] for each in client["responsibles"]] == [ONE]
    assert (client["firstName"], client["contactInfo"][0]["value"]) == ("79000000001", "79000000001")
    assert only(crm)["fromUser"]["id"] == client["id"]


@pytest.mark.parametrize("shows", [True, False])
def test_a_known_client_is_not_created(crm: Emulator, shows: bool) -> None:
    crm.shows_clients = shows
    crm.know("+79000000001", "Мария Известная", TWO)
    house = account(crm, create_client_incoming=True)
    assert ("client" in played(house, *ANSWERED)) is not shows
    assert len(crm.clients) == 1


def test_settings_may_differ_from_call_to_call(crm: Emulator) -> None:
    house = account(crm)
    played(house, *ANSWERED[:2])
    house.settings = {**house.settings, "create_client_incoming": True}
    played(house, ANSWERED[2])
    assert len(crm.clients) == 1


@pytest.mark.parametrize(
    ("story", "name"),
    [
        (ANSWERED, "Входящий звонок 79000000001"),
        (MISSED, "Пропущенный звонок 79000000001"),
        (OUT, "Исходящий звонок 79000000001"),
        ((ended(rang(ONE), outcome="busy", direction="out"),), "Исходящий звонок без ответа 79000000001"),
    ],
)
def test_the_communication_is_in_megaplans_language(crm: Emulator, story: tuple[CallFacts, ...], name: str) -> None:
    played(account(crm, create_communication=True), *story)
    (todo,) = crm.todos.values()
    assert todo["name"] == name
    assert todo.get("description", "") == ("65 с" if len(story) == 3 else "")
    assert todo["responsible"]["id"] == ONE
    assert todo["category"]["id"] == "3"


def test_a_communication_made_by_hand_is_enough(crm: Emulator) -> None:
    house = account(crm, create_communication=True)
    played(house, *ANSWERED[:2])
    (call,) = crm.call_infos.values()
    crm.todos["9000"] = {"name": "made by hand"}
    call.todos.append("9000")
    played(house, ANSWERED[2])
    assert list(crm.todos) == ["9000"]


def test_a_call_from_a_deal_is_bound_to_it(crm: Emulator) -> None:
    known = tuple(replace(each, crm_entity="Deal:43", crm_user=ONE) for each in OUT)
    played(account(crm, create_communication=True), *known)
    (todo,) = crm.todos.values()
    assert {"contentType": "Deal", "id": "43"} in todo["relations"]


# --- Recordings -------------------------------------------------------------------------------------------------------


def test_recordings_come_later_and_change(crm: Emulator) -> None:
    house = account(crm)
    story = (*ANSWERED, replace(ANSWERED[2], recording_url=LINK), replace(ANSWERED[2], recording_url=f"{LINK}?2"))
    assert played(house, *story) == ["register", "update", "finish", "record", "record"]
    assert only(crm)["recordLinks"] == [f"{LINK}?2"]
    assert played(house, ANSWERED[2]) == []  # revoked, and no successor yet


def test_a_recording_that_is_there_goes_along(crm: Emulator) -> None:
    house = account(crm)
    assert played(house, *ANSWERED[:2], replace(ANSWERED[2], recording_url=LINK)) == ["register", "update", "finish"]
    assert only(crm)["recordLinks"] == [LINK]


# --- Many in one request ----------------------------------------------------------------------------------------------


def quiet(number: int, **changes: Any) -> CallFacts:
    return replace(ANSWERED[2], id=f"hub-{number}", client_phone=f"+7900000{number:04}", backfilled=True, **changes)


def test_calls_for_the_history_go_in_one_request(crm: Emulator) -> None:
    house = account(crm)
    with counted(house) as hits:
        results = perform(*(job(quiet(number)) for number in range(10)), secrets=crm.secrets)
    assert hits == {"POST /api/v3/callInfo/history": 1}
    assert [result.progress["call"] for result in results] == [str(501 + number) for number in range(10)]
    assert all(not call.seen for call in crm.call_infos.values())


def test_one_bad_call_holds_up_no_other(crm: Emulator) -> None:
    bad = job(quiet(2, participants=(talked("777"),)))
    one, two, three = perform(job(quiet(1)), bad, job(quiet(3)), secrets=crm.secrets)
    assert isinstance(two, Rejected)
    assert two.code == "validation"
    assert adapter.errors_help(two)
    assert {one.progress["call"], three.progress["call"]} == crm.call_infos.keys()


def test_pop_ups_do_not_wait_for_the_history(crm: Emulator) -> None:
    results = perform(job(quiet(1)), job(ANSWERED[0]), job(quiet(2)), secrets=crm.secrets)
    shown = results[1].progress["call"]
    assert shown == min(crm.call_infos)
    assert crm.call_infos[shown].seen == [ONE]


def test_two_calls_of_one_new_client_make_one(crm: Emulator) -> None:
    notes = {**TALKS, "finished": True, "told": ["answered", "103"]}
    jobs = [job(replace(ANSWERED[2], id=name), notes, create_client_incoming=True) for name in ("one", "two")]
    one, two = perform(*jobs, secrets=crm.secrets)
    assert one.progress["client"] == two.progress["client"]
    assert len(crm.clients) == 1


def test_an_answer_that_lacks_a_call_leaves_it_in_doubt(mock: responses.RequestsMock) -> None:
    said = {"meta": {"status": 200}, "data": [{"contentType": "CallInfo", "id": "510", "providerId": "hub-1"}]}
    mock.add(responses.POST, f"{BASE}callInfo/history", json=said)
    one, two = perform(job(quiet(1)), job(quiet(2)))
    assert isinstance(one, Done)
    assert isinstance(two, VendorFault)
    assert two.fate_unknown


def test_what_would_meet_the_next_request_ends_the_batch(crm: Emulator) -> None:
    jobs = [job(replace(ANSWERED[0], id=f"hub-{number}")) for number in range(4)]
    with crm.faulty("too_many", skip=2):
        results = perform(*jobs, secrets=crm.secrets)
    assert [type(result) for result in results] == [Done, Done, RateLimited, RateLimited]
    assert len(crm.call_infos) == 2
    with crm.faulty("down"), pytest.raises(Temporary):
        perform(*jobs[2:], secrets=crm.secrets)


def test_a_batch_has_an_end(crm: Emulator) -> None:
    jobs = [job(replace(ANSWERED[0], id=f"hub-{number}")) for number in range(3)]
    with crm.faulty("slow", seconds=0.3):
        results = perform(*jobs, secrets=crm.secrets, deadline=0.5)
    assert isinstance(results[-1], DeadlineExceeded)
    assert not results[-1].fate_unknown


# --- Lost answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["callInfo", "contractorHuman", "todos", "setContractor", "history", "provider"])
@pytest.mark.parametrize("story", [ANSWERED, MISSED, QUEUE, OUT], ids=["answered", "missed", "queue", "out"])
def test_a_lost_answer_never_doubles_anything(crm: Emulator, story: tuple[CallFacts, ...], path: str) -> None:
    house = account(crm, **ALL)
    with crm.faulty("lost", path=path, count=1):
        for known in (*story, replace(story[-1], recording_url=LINK)):
            for _attempt in range(3):
                try:
                    house.bring(known)
                except Temporary:
                    continue
                break
    assert only(crm)["state"] == "finished"
    assert only(crm)["recordLinks"] == [LINK]
    assert (len(crm.clients), len(crm.todos)) == (1, 1)


def test_who_lost_an_answer_gives_megaplan_a_moment(crm: Emulator) -> None:
    with crm.faulty("lost"), pytest.raises(Temporary) as caught:
        perform(job(ANSWERED[0]), secrets=crm.secrets)
    assert caught.value.fate_unknown
    assert caught.value.retry_after == 5.0


def test_look_finds_a_client_among_the_possible_doubles(crm: Emulator) -> None:
    crm.know("+79000000001", "79000000001", ONE)
    one = Work(job(ANSWERED[2], OVER, create_client_incoming=True), adapter.plan(job(ANSWERED[2], OVER, **ALL)))  # type: ignore[arg-type]
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        mocked.add_passthru(f"{crm.url}/api/v3/contractorHuman")
        nobody = {"meta": {"status": 200}, "data": {"contentType": "CallRoute", "users": []}}
        mocked.add(responses.GET, re.compile(f"{crm.url}/api/v3/callRoute.*"), json=nobody)
        (result,) = adapter.look(new_http(), crm.secrets, [one])
    assert isinstance(result, Done)
    assert result.progress["made"]


# --- Bad answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "fate"),
    [
        (200, {"meta": {"status": 422, "errors": [{"message": "bad"}]}, "data": None}, Rejected, "validation", False),
        (200, {"meta": {"status": 200}}, VendorFault, "no_data", True),
        (200, {"meta": {"status": 200}, "data": None}, VendorFault, "no_id", True),
        (200, {"meta": {"status": 200}, "data": [{"contentType": "CallInfo"}]}, VendorFault, "no_id", True),
        (200, [], VendorFault, "no_object", True),
        (200, "<html>", VendorFault, "http_200", True),
        (302, "", CredentialsRefused, "redirect", False),
        (400, {"meta": {"status": 400, "errors": [{"message": "bad"}]}}, Rejected, "http_400", False),
        (401, {"meta": {"status": 401, "errors": []}}, TokenExpired, "http_401", False),
        (403, {"meta": {"status": 403, "errors": [{"message": "No"}]}}, CredentialsRefused, "telephony_closed", False),
        (404, "", Rejected, "not_found", False),
        (405, "", Rejected, "not_found", False),
        (422, {"meta": {"status": 422, "errors": None}}, Rejected, "validation", False),
        (429, "", RateLimited, "http_429", False),
        (500, {"meta": {"status": 500, "errors": [{"message": "oops"}]}}, Temporary, "http_500", True),
        (502, "<html>", Temporary, "http_502", True),
    ],
)
def test_bad_answers(
    mock: responses.RequestsMock, status: int, body: Any, kind: type[OutboundError], code: str, fate: bool
) -> None:
    more: dict[str, Any] = {"body": body} if isinstance(body, str) else {"json": body}
    mock.add(responses.POST, f"{BASE}callInfo/history", status=status, **more)
    try:
        (error,) = perform(job(ANSWERED[2]))
    except OutboundError as raised:
        error = raised
    assert (type(error), error.code, error.fate_unknown) == (kind, code, fate)


def test_questions_have_no_fate(mock: responses.RequestsMock) -> None:
    mock.add(responses.GET, re.compile(f"{BASE}callRoute.*"), status=502)
    with pytest.raises(Temporary) as caught:
        adapter.find_client(new_http(), SECRETS, "+79000000001", 1.0)
    assert not caught.value.fate_unknown


def test_another_call_in_the_answer_is_told(mock: responses.RequestsMock) -> None:
    mock.add(responses.POST, f"{BASE}callInfo/501", json={"meta": {"status": 200}, "data": {"id": "502"}})
    (error,) = perform(job(ANSWERED[2], TALKS))
    assert isinstance(error, Rejected)
    assert adapter.errors_help(error)


@pytest.mark.parametrize(
    ("path", "story", "told"),
    [
        ("setContractor", ANSWERED, "bind the client"),
        ("contractorHuman", ANSWERED, "create the client"),
        ("contractorHuman", QUEUE, "create the client"),
        ("todos", QUEUE, "create the communication"),
        ("provider", (*ANSWERED, replace(ANSWERED[2], recording_url=LINK)), "recording was refused"),
    ],
)
def test_a_missing_right_is_told_and_holds_up_nothing_else(
    crm: Emulator, path: str, story: tuple[CallFacts, ...], told: str
) -> None:
    crm.forbidden = {path}
    house = account(crm, **ALL)
    words: list[str] = []
    perform_ = adapter.perform

    def listening(*args: Any) -> list[Any]:
        results = perform_(*args)
        words.extend(str(word) for result in results if isinstance(result, Done) for word in result.words)
        return results

    house.adapter = type("Listening", (Megaplan,), {"perform": staticmethod(listening)})()
    played(house, *story)
    assert only(crm)["state"] == "finished"
    assert any(told in each for each in words)
    assert played(house, story[-1]) == []


@pytest.mark.parametrize("number", [1, 2])
def test_a_card_that_is_refused_holds_up_no_end(crm: Emulator, number: int) -> None:
    """Somebody who rings, or takes the call over, is no employee of Megaplan any more."""
    gone = "777"
    story = [facts(rings(ONE)), facts(talks(ONE), state="answered"), ended(talked(ONE))]
    story[number - 1] = replace(story[number - 1], participants=(talks(gone),), state="answered")
    played(account(crm), *story)
    assert (only(crm)["state"], only(crm)["user"]) == ("finished", ONE)


def test_a_user_without_telephony_stops_the_account_and_no_call_is_given_up(crm: Emulator) -> None:
    crm.forbidden = {"callInfo"}
    for known in (ANSWERED[0], ANSWERED[2]):
        with pytest.raises(CredentialsRefused) as caught:
            perform(job(known), secrets=crm.secrets)
        assert adapter.errors_help(caught.value)


@pytest.mark.parametrize("error", ["down", "html", "reset", "lost"])
def test_a_client_that_cannot_be_created_holds_up_no_end(crm: Emulator, error: str) -> None:
    house = account(crm, create_client_incoming=True)
    with crm.faulty(error, path="contractorHuman"):
        assert played(house, *ANSWERED[:2]) == ["register", "update", "client"]
        with suppress(Temporary):  # a lost answer is found to have been one
            played(house, ANSWERED[2])
        assert only(crm)["state"] == "finished"
    played(house, ANSWERED[2])
    assert len(crm.clients) == 1
    assert only(crm)["fromUser"]["id"] in crm.clients


# --- What it costs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("story", "settings", "known", "requests"),
    [
        (ANSWERED, {}, False, 3),
        ((*ANSWERED, replace(ANSWERED[2], recording_url=LINK)), {}, False, 4),
        (MISSED, {}, False, 2),
        (QUEUE, {}, False, 1),
        (OUT, {}, False, 3),
        (ANSWERED[2:], {}, False, 1),
        (ANSWERED, {"create_client_incoming": True}, True, 4),
        (ANSWERED, {"create_client_incoming": True}, False, 6),
        (ANSWERED, {"create_communication": True}, False, 5),
        (QUEUE, {"create_communication": True}, False, 2),
        (ANSWERED, ALL, False, 8),
    ],
)
def test_cost(
    crm: Emulator, story: tuple[CallFacts, ...], settings: dict[str, Any], known: bool, requests: int
) -> None:
    if known:
        crm.know("+79000000001", "Мария Известная", TWO)
    house = account(crm, **settings)
    played(house, *story)
    assert house.requests == requests


def test_limits_are_one_accounts(crm: Emulator) -> None:
    (limit,) = adapter.limits(SECRETS)
    assert limit.rate + limit.burst <= 10
    assert adapter.limits({"domain": "https://Demo-Account.megaplan.ru/crm"}) == (limit,)
    limiter = MemoryLimiter()
    assert [limiter.take((limit,)) > 0 for _ in range(limit.burst + 1)] == [False] * limit.burst + [True]


# --- Tokens -----------------------------------------------------------------------------------------------------------


def test_the_first_token_is_for_login_and_password(crm: Emulator) -> None:
    bare = {name: value for name, value in crm.secrets.items() if "token" not in name}
    with pytest.raises(TokenExpired):
        adapter.users(new_http(), bare)
    given = adapter.refresh(new_http(), bare)
    assert given == {"access_token": crm.access, "refresh_token": crm.refresh}
    assert adapter.users(new_http(), {**bare, **given})


def test_a_refresh_token_is_good_once_then_the_password_helps(crm: Emulator) -> None:
    first = adapter.refresh(new_http(), crm.secrets)
    assert first["refresh_token"] == "refresh-token-0002"
    stale = {**crm.secrets, "refresh_token": "refresh-token-0001"}
    with counted(account(crm)) as hits:
        again = adapter.refresh(new_http(), stale)
    assert again == {"access_token": crm.access, "refresh_token": crm.refresh}
    assert hits == {"POST /api/v3/auth/access_token": 2}


def test_a_password_that_is_not_taken_stops_the_account(crm: Emulator) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        adapter.refresh(new_http(), {**crm.secrets, "refresh_token": "", "password": "another"})
    assert not isinstance(caught.value, TokenExpired)
    assert caught.value.code == "invalid_grant"
    assert adapter.errors_help(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, "", Temporary),
        (429, "", RateLimited),
        (200, "<html>", VendorFault),
        (200, "{}", CredentialsRefused),
        (404, "", OutboundError),
        (301, "", CredentialsRefused),
    ],
)
def test_a_server_that_gives_no_tokens(
    mock: responses.RequestsMock, status: int, body: str, kind: type[OutboundError]
) -> None:
    mock.add(responses.POST, f"{BASE}auth/access_token", body=body, status=status)
    with pytest.raises(kind):
        adapter.refresh(new_http(), SECRETS)


# --- Addresses and forms ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("demo-account", "demo-account.megaplan.ru"),
        ("demo-account.megaplan.ru", "demo-account.megaplan.ru"),
        (" https://Demo-Account.megaplan.ru/crm/1000666/card/ ", "demo-account.megaplan.ru"),
        ("http://demo-account.megaplan.ru/", "demo-account.megaplan.ru"),
        ("demo-account.megaplan.ru/settings?tab=1#x", "demo-account.megaplan.ru"),
        ("demo account.megaplan.ru.", "demoaccount.megaplan.ru"),
        ("www.box.example.com", "www.box.example.com"),
        ("box.example.com:8443", "box.example.com:8443"),
        ("http://10.0.0.5:8080/", "http://10.0.0.5:8080"),
    ],
)
def test_domains(typed: str, kept: str) -> None:
    assert address.domain_of(typed) == kept
    assert address.domain_of(kept) == kept


@pytest.mark.parametrize(
    "typed",
    ["", "https://", "megaplan.ru", "www.megaplan.ru", "https://a@b.megaplan.ru", "ftp://a.ru", "a.ru:99999", "-"],
)
def test_what_is_no_domain(typed: str) -> None:
    form = adapter.credential_form({**SECRETS, "domain": typed})
    assert list(form.errors) == ["domain"]


def test_the_credential_form() -> None:
    form = adapter.credential_form({**SECRETS, "domain": "https://demo-account.megaplan.ru/crm/"})
    assert form.is_valid()
    assert form.cleaned_data["domain"] == "demo-account.megaplan.ru"
    assert adapter.account(form.cleaned_data) == "demo-account.megaplan.ru"
    assert SECRETS["password"] not in form.as_p()
    assert adapter.credential_form({**SECRETS, "application_uuid": "not one"}).errors.keys() == {"application_uuid"}


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, set()),
        ({"default_responsible": ""}, {"default_responsible"}),
        ({"default_responsible": "x"}, {"default_responsible"}),
        ({"create_communication": True, "communication_types": []}, {"communication_types"}),
        ({"create_communication": True, "communication_category": ""}, {"communication_category"}),
        ({"communication_types": [], "communication_category": ""}, set()),
        ({"keep_absent": True}, {"absent_user"}),
        ({"keep_absent": True, "absent_user": THREE}, set()),
    ],
)
def test_the_settings_form(changes: dict[str, Any], wrong: set[str]) -> None:
    assert adapter.settings_form({**OFF, **changes}).errors.keys() == wrong


def test_each_setting_stands_in_one_block() -> None:
    form = adapter.settings_form
    names = [name for _title, block in form.blocks for name in block]
    assert sorted(names) == sorted(form.base_fields)
    assert form.depends.keys() | set(form.depends.values()) <= set(names)


def test_the_documents_words() -> None:
    with translation.override("ru"):
        shown = adapter.settings_form(OFF).as_p() + adapter.credential_form().as_p()
    for words in (
        "Ответственный по умолчанию",
        "Переадресация на персонального менеджера",
        "При входящем звонке с неизвестного номера в Мегаплан будет создан новый клиент",
        "При исходящем звонке на неизвестный номер в Мегаплане будет создан новый контакт",
        "Создавать коммуникацию по звонку",
        "не присутствующих в Мегаплан",
        "YOURDOMAIN.megaplan.ru",
    ):
        assert words in shown, words


@pytest.mark.parametrize("language", ["ru", "en"])
def test_the_guides_say_what_is_not_published(language: str) -> None:
    text = (FOLDER / f"guide.{language}.md").read_text()
    assert "{handler_url}" in text
    assert "2.0" in text


# --- What there is in the account -------------------------------------------------------------------------------------


def test_users_of_many_pages(crm: Emulator) -> None:
    crm.users = {str(number): str(2_000_000 + number) for number in range(100, 330)}
    crm.numbers = {user: number for number, user in crm.users.items()}
    users = adapter.users(new_http(), crm.secrets)
    assert {user.id for user in users} == {*crm.users.values(), crm.default}
    assert next(user for user in users if user.id == "2000101").extension == "101"


def test_users_are_read_tolerantly(mock: responses.RequestsMock) -> None:
    phones = [
        {"contentType": "ContactInfo", "type": "phone", "value": "79000000011"},
        {"contentType": "ContactInfo", "type": "phone", "value": "79000000012", "isMain": True},
        {"contentType": "ContactInfo", "type": "email", "value": "one@example.com"},
        {"contentType": "Address", "city": "x"},
    ]
    rows = [
        {"contentType": "Employee", "id": 7, "firstName": "Анна", "lastName": "Первая", "contactInfo": phones},
        {"contentType": "Employee", "id": "8", "name": "Второй", "contactInfo": None, "isWorking": False},
        {"contentType": "Employee"},
    ]
    configs = [{"employee": {"id": "7"}, "internalNumber": "sip:107@pbx.example.com"}, {"internalNumber": "1"}, {}]
    mock.add(responses.GET, re.compile(f"{BASE}employee.*"), json={"meta": {}, "data": rows})
    mock.add(responses.GET, re.compile(f"{BASE}callUserConfig.*"), json={"data": configs})
    anna, second = adapter.users(new_http(), SECRETS)
    assert (anna.id, anna.name, anna.extension, anna.email) == ("7", "Анна Первая", "107", "one@example.com")
    assert anna.phones == ("79000000012", "79000000011")
    assert (second.name, second.active) == ("Второй", False)


def test_kinds_of_todos(crm: Emulator) -> None:
    assert [choice.name for choice in adapter.choices(new_http(), crm.secrets, "todo_categories")] == ["Звонок", "Дело"]


def test_the_check_says_what_to_do(crm: Emulator) -> None:
    good = adapter.check(new_http(), crm.secrets)
    assert all(each.ok for each in good)
    assert any("101, 102, 103" in each.name for each in good)
    crm.numbers = {ONE: "101", TWO: "sip:101@pbx.example.com"}
    (twice,) = [each for each in adapter.check(new_http(), crm.secrets) if not each.ok]
    assert "101" in twice.cure
    crm.numbers = {}
    (none,) = [each for each in adapter.check(new_http(), crm.secrets) if not each.ok]
    assert "internal number" in none.cure
    crm.forbidden = {"callUserConfig", "todoCategory"}
    assert len([each for each in adapter.check(new_http(), crm.secrets) if not each.ok and each.cure]) == 3


@pytest.mark.parametrize("language", ["ru", "en"])
def test_help_is_in_the_readers_language(language: str) -> None:
    with translation.override(language):
        words = adapter.errors_help(CredentialsRefused("x", code="invalid_grant"))
    assert ("логин" in words.lower()) is (language == "ru")


# --- Events -----------------------------------------------------------------------------------------------------------


def told_by(monkeypatch: pytest.MonkeyPatch, crm: Emulator, **secrets: str) -> list[Any]:
    """The events that the adapter understands of what the emulator sends."""
    found: list[Any] = []

    def tell(wire: Wire) -> Told:
        request = Request(wire.method, wire.path, wire.body, wire.query, wire.headers)
        known = {**crm.secrets, **secrets}
        adapter.authenticate(request, known)
        found.extend(adapter.events(request, new_http(), known))
        return Told(200)

    monkeypatch.setattr(crm, "tell", tell)
    return found


def test_a_deals_button_dials_its_client_for_its_manager(crm: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    found = told_by(monkeypatch, crm)
    crm.click("102", "+79000000007")
    (event,) = found
    assert isinstance(event, DialRequested)
    assert (event.crm_user, event.phone, event.crm_entity) == (TWO, "+79000000007", f"Deal:{next(iter(crm.deals))}")
    assert Capability.CLICK_TO_CALL in adapter.capabilities


def test_a_deal_whose_client_has_no_number(crm: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    told_by(monkeypatch, crm)
    crm.know("+79000000007", "Без телефона", ONE)
    next(iter(crm.clients.values()))["contactInfo"][0]["type"] = "email"
    with pytest.raises(Rejected, match="no telephone"):
        crm.click("101", "+79000000007")


@pytest.mark.parametrize("event", ["on_after_create", "on_after_update", "on_after_drop"])
def test_a_client_has_changed(crm: Emulator, monkeypatch: pytest.MonkeyPatch, event: str) -> None:
    found = told_by(monkeypatch, crm)
    crm.know("+79000000007", "Клиент Тестовый", TWO)
    number = next(iter(crm.clients))
    crm.tell_client(number, event)
    (changed,) = found
    assert isinstance(changed, ClientChanged)
    assert (changed.key, changed.entity, changed.entity_id) == ("event-0001", "ContractorHuman", number)
    assert changed.phones == ("79000000007",)
    gone = event == "on_after_drop"
    assert (changed.match is None) is gone
    assert gone or (changed.match.name, changed.match.manager) == ("Клиент Тестовый", TWO)  # type: ignore[union-attr]


def test_events_of_another_application_are_refused(crm: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    crm.know("+79000000007", "Клиент Тестовый", TWO)
    told_by(monkeypatch, crm, application_uuid="99999999-1111-4222-8333-444444444444")
    with pytest.raises(Refused):
        crm.tell_client(next(iter(crm.clients)))
    found = told_by(monkeypatch, crm, application_uuid="")
    crm.tell_client(next(iter(crm.clients)))
    assert found


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (b"", True),
        (b"[]", True),
        (b"\xff", True),
        (b"{" + b" " * 1024 * 1024 + b"}", True),
        (b"{}", False),
        (b'{"data": {"deal": []}}', False),
        (b'{"data": {"deal": {"Id": "../43"}}}', False),
        (b'{"event": "on_after_update", "data": {"contentType": "Task", "id": "1"}}', False),
        (b'{"event": "on_after_update", "data": {"contentType": "ContractorHuman"}}', False),
        (b'{"event": 5, "data": 7, "accountInfo": []}', False),
    ],
)
def test_noise_says_nothing(body: bytes, refused: bool) -> None:
    request = Request("POST", "", body)
    try:
        adapter.authenticate(request, SECRETS)
    except Refused:
        assert refused
        return
    assert not refused
    assert adapter.events(request, new_http(), SECRETS) == []


# --- The samples ------------------------------------------------------------------------------------------------------


def sampled(mock: responses.RequestsMock, name: str, *story: CallFacts, notes: Any = None, **settings: Any) -> Account:
    """A call driven through a recorded exchange: we send exactly that."""
    recorded = Recorded(mock, name)
    house = house_of(Emulator(), **settings)
    for known in story:
        house.notes.setdefault(known.id, dict(notes or {}))
        house.bring(known)
    assert recorded.left == []
    return house


def test_sample_incoming_answered(mock: responses.RequestsMock) -> None:
    sampled(mock, "incoming-answered", *ANSWERED[:2], replace(ANSWERED[2], recording_url=LINK))


def test_sample_incoming_transfer(mock: responses.RequestsMock) -> None:
    began = START + timedelta(minutes=29, seconds=55)
    one: dict[str, Any] = {"id": "hub-100505", "started_at": began}
    there = replace(talked(ONE), left_at=None)
    story = (
        facts(rings(ONE), **one),
        facts(talks(ONE), state="answered", **one),
        facts(there, talks(TWO, since=40), state="transferred", **one),
        ended(
            there,
            replace(talked(TWO, since=40), left_at=began + timedelta(seconds=120)),
            wait_seconds=20,
            talk_seconds=100,
            recording_url="https://hub.example.com/rec/hub-100505.mp3",
            **one,
        ),
    )
    sampled(mock, "incoming-transfer", *story)


def test_sample_missed_in_the_queue(mock: responses.RequestsMock) -> None:
    at_five = START + timedelta(minutes=4, seconds=55)
    known = ended(outcome="missed", id="hub-100501", client_phone="+79000000002", started_at=at_five, wait_seconds=40)
    sampled(mock, "incoming-missed-default-responsible", known)


def outgoing(number: int, minutes: int, *people: Participant, **changes: Any) -> CallFacts:
    began = START.replace(second=0) + timedelta(minutes=minutes)
    known = {"id": f"hub-{number}", "direction": "out", "client_phone": "+79000000003", "started_at": began}
    return facts(*people, **{**known, **changes})


def test_sample_outgoing_answered(mock: responses.RequestsMock) -> None:
    over = {"state": "finished", "outcome": "answered", "live": False, "wait_seconds": 12, "talk_seconds": 31}
    done = replace(talked(TWO), left_at=None)
    sampled(
        mock,
        "outgoing-answered",
        outgoing(100502, 10, rings(TWO)),
        outgoing(100502, 10, talks(TWO), state="answered"),
        outgoing(100502, 10, done, recording_url="https://hub.example.com/rec/hub-100502.mp3", **over),
    )


def test_sample_outgoing_failed(mock: responses.RequestsMock) -> None:
    over = {"state": "finished", "outcome": "busy", "live": False, "wait_seconds": 9}
    left = replace(rang(TWO), left_at=None)
    sampled(mock, "outgoing-failed", outgoing(100503, 12, rings(TWO)), outgoing(100503, 12, left, **over))


def test_sample_history_batch(mock: responses.RequestsMock) -> None:
    recorded = Recorded(mock, "history-batch")
    began = START.replace(hour=8, second=0)
    one = ended(replace(talked(ONE), left_at=None), id="hub-100520", started_at=began, talk_seconds=108)
    two = ended(id="hub-100521", client_phone="+79000000002", started_at=began + timedelta(minutes=5), outcome="missed")
    link = "https://hub.example.com/rec/hub-100520.mp3"
    results = perform(job(replace(one, recording_url=link)), job(replace(two, wait_seconds=30)))
    assert [result.progress["call"] for result in results] == ["510", "511"]
    assert recorded.left == []


def test_sample_recording_later(mock: responses.RequestsMock) -> None:
    house = sampled(mock, "recording-later-by-provider", replace(ANSWERED[2], recording_url=LINK), notes=OVER)
    assert house.notes["hub-100500"]["recording"] == LINK


def test_sample_unknown_incoming_creates_client(mock: responses.RequestsMock) -> None:
    known = facts(talks(ONE), state="answered", id="hub-100506", client_phone="+79000000004")
    sampled(
        mock,
        "unknown-incoming-creates-client",
        known,
        notes={"call": "506", "user": ONE, "state": "talking"},
        create_client_incoming=True,
    )


def test_sample_communication_for_missed(mock: responses.RequestsMock) -> None:
    known = ended(outcome="missed", client_phone="+79000000002")
    notes = {**OVER, "call": "502", "user": BOSS, "told": ["missed"], "ended": ""}
    house = sampled(
        mock,
        "communication-for-missed",
        known,
        notes={**notes, "client": ["ContractorHuman", "1000700"]},
        create_communication=True,
    )
    assert house.notes["hub-100500"]["todo"] == "9001"


def test_sample_create_timeout_then_dedup(mock: responses.RequestsMock) -> None:
    recorded = Recorded(mock, "create-timeout-then-dedup")
    house = house_of(Emulator())
    house.intents["hub-100530"] = "register"
    house.bring(facts(talks(ONE), state="answered", id="hub-100530"))
    assert recorded.left == []
    assert house.notes["hub-100530"]["call"] == "530"


def test_sample_expired_token(mock: responses.RequestsMock) -> None:
    house = sampled(mock, "expired-token-refresh-retry", ANSWERED[0])
    assert house.secrets["refresh_token"] == "refresh-token-0002"


def test_sample_rate_limit(mock: responses.RequestsMock) -> None:
    recorded = Recorded(mock, "rate-limit-429")
    with pytest.raises(RateLimited) as caught:
        perform(job(ANSWERED[2], TALKS))
    assert caught.value.retry_after == 5.0
    assert isinstance(perform(job(ANSWERED[2], TALKS))[0], Done)
    assert recorded.left == []


@pytest.mark.parametrize(
    ("name", "secrets"),
    [
        ("auth-password", {"refresh_token": ""}),
        ("auth-refresh-rotates", {}),
        ("auth-wrong-password", {"refresh_token": "", "password": "wrong"}),
    ],
)
def test_samples_of_tokens(mock: responses.RequestsMock, name: str, secrets: dict[str, str]) -> None:
    recorded = Recorded(mock, name)
    expect = SAMPLES[name]["expect"]
    try:
        given = adapter.refresh(new_http(), {**SECRETS, **secrets})
    except CredentialsRefused:
        assert expect["error_kind"] == "tenant_credentials"
    else:
        assert given["refresh_token"] == expect.get("stored_refresh", "refresh-token-0001")
    assert recorded.left == []


def test_samples_of_routes(mock: responses.RequestsMock) -> None:
    recorded = Recorded(mock, "callroute-known-client")
    found = adapter.find_client(new_http(), SECRETS, "+79000000001", 1.2)
    assert found is not None
    assert (found.entity, found.entity_id, found.name, found.manager) == (
        "ContractorHuman",
        "1000666",
        "Клиент Тестовый",
        TWO,
    )
    assert directory.extensions(api.Account.of(new_http(), SECRETS)) == {ONE: "101", TWO: "102"}
    assert recorded.left == []
    mock.reset()
    Recorded(mock, "callroute-unknown-number")
    assert adapter.find_client(new_http(), SECRETS, "+79000000008", 1.2) is None


def test_samples_of_refusals(mock: responses.RequestsMock) -> None:
    Recorded(mock, "forbidden-403")
    with pytest.raises(Rejected) as forbidden:
        api.Account.of(new_http(), SECRETS).pages("callUserConfig", "CallUserConfig")
    assert forbidden.value.code == "forbidden"
    mock.reset()
    Recorded(mock, "validation-422")
    with pytest.raises(Rejected, match="extra field") as wrong:
        api.Account.of(new_http(), SECRETS).get("todo/busyDays", {"from": "2026-11-20"})
    assert wrong.value.code == "validation"


def incoming_of(name: str) -> Request:
    (told,) = [each for each in SAMPLES[name]["exchanges"] if each["direction"] == "vendor->hub"]
    return Request(told["method"], told["path"].removeprefix("/hooks/megaplan/"), told["body"].encode())


def test_samples_of_events(mock: responses.RequestsMock) -> None:
    secrets = {**SECRETS, "application_uuid": "00000000-1111-4222-8333-444444444444"}
    request = incoming_of("webhook-contractor-updated")
    adapter.authenticate(request, secrets)
    (changed,) = adapter.events(request, new_http(), secrets)
    assert isinstance(changed, ClientChanged)
    assert changed.key == SAMPLES["webhook-contractor-updated"]["expect"]["dedup_key"]
    recorded = Recorded(mock, "deal-external-request-click-to-call")
    (wish,) = adapter.events(incoming_of("deal-external-request-click-to-call"), new_http(), secrets)
    assert wish == DialRequested(crm_user=ONE, phone="+79000000001", crm_entity="Deal:43")
    assert recorded.left == []


def test_a_look_without_a_trace(crm: Emulator) -> None:
    for known, notes in ((ANSWERED[0], {}), (ANSWERED[2], {}), (ANSWERED[2], TALKS), (ANSWERED[1], SHOWN)):
        (result,) = adapter.look(new_http(), crm.secrets, [work(job(known, notes))])
        assert isinstance(result, NotMade)
