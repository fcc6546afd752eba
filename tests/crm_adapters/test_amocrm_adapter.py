"""amoCRM: the recorded exchanges, and what the contract of all CRMs does not ask, against the emulator over HTTP."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter

from crm_adapters.amocrm import address, api, events, failures
from crm_adapters.amocrm.adapter import AmoCrm
from crm_adapters.base import (
    CallFacts,
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
    Work,
)
from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, TokenExpired
from outbound.http import Answer, Http, substituted
from outbound.limits import MemoryLimiter
from tests.crm_adapters.calls import KNOWN, Account, Audio, Call, Free, Kind, account
from tests.emulators.amocrm import CLIENT_ID, DEFAULT, PIPELINE, SECOND, WON, Emulator, jwt

FOLDER = Path(api.__file__).parent
SAMPLES = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "samples").glob("*.json"))}
START = datetime(2026, 1, 1, 10, 0, tzinfo=UTC)
STAGE = f"{PIPELINE}:50000001"
adapter = AmoCrm()


@pytest.fixture
def crm() -> Iterator[Emulator]:
    with Emulator().serving() as found:
        yield found


@pytest.fixture(scope="module")
def audio() -> Iterator[Audio]:
    with Audio().serving() as found:
        yield found


def house(crm: Emulator, **settings: Any) -> Account:
    return account(crm, "amocrm", **settings)


def new_http(**changes: Any) -> Http:
    return Http(**{"limiter": Free(), "allow_private": True, "deadline": 5.0, **changes})


# --- Calls as facts ---------------------------------------------------------------------------------------------------


def rings(user: str) -> Participant:
    return Participant(f"1{user[-2:]}", user, ringing=True, rang_at=START)


def talked(user: str, *, at: int = 5) -> Participant:
    answered = START + timedelta(seconds=at)
    return Participant(f"1{user[-2:]}", user, name="Anna", rang_at=START, answered_at=answered)


def facts(*people: Participant, **known: Any) -> CallFacts:
    base: dict[str, Any] = {
        "id": "zad-1",
        "version": 1,
        "direction": "in",
        "state": "ringing",
        "client_phone": "+79000000001",
        "virtual_number": "+74950000001",
        "line_name": "Ads",
        "started_at": START,
    }
    return CallFacts(**{**base, **known}, participants=people)


def ended(*people: Participant, outcome: str = "answered", **known: Any) -> CallFacts:
    seconds = {"talk_seconds": 95} if outcome == "answered" else {"wait_seconds": 30}
    return facts(*people, **{"state": "finished", "outcome": outcome, **seconds, **known})


SETTINGS: dict[str, Any] = {
    **Emulator().settings,
    "task_after_missed": False,
    "task_text": "Call back {phone}",
    "task_type": "",
    "stage_incoming": STAGE,
    "stage_outgoing": "",
    "use_call_tracking": False,
}


def job(known: CallFacts, progress: Any = None, **changes: Any) -> Job:
    return Job(known, {**SETTINGS, **changes}, progress or {})


# --- The recorded exchanges -------------------------------------------------------------------------------------------


class Recorded(BaseAdapter):
    """Answers from a sample, in its order, and only to what the sample asks."""

    def __init__(self, name: str):
        super().__init__()
        self.left = [row for row in SAMPLES[name]["exchanges"] if row["direction"] == "hub->vendor"]

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert self.left, f"not recorded: {request.method} {request.url}"
        row = self.left.pop(0)
        assert (request.method, _place(request.url or "")) == (row["method"], _place(row["path"]))
        assert _data(request.body) == _data(row["body"])
        for name in ("Authorization", "X-Refresh-Token"):
            assert request.headers.get(name) == row["headers"].get(name)
        answer = requests.Response()
        answer.status_code, answer.request = row["response"]["status"], request
        answer.headers.update(row["response"]["headers"])
        answer.raw = io.BytesIO(row["response"]["body"].encode())
        return answer

    def close(self) -> None:
        return None


def _place(url: str) -> tuple[str, str, dict[str, str]]:
    parts = urlsplit(url)
    return parts.netloc, parts.path, dict(parse_qsl(parts.query))


def _data(body: str | bytes | None) -> Any:
    return json.loads(body) if body else None


@pytest.fixture
def recorded(request: pytest.FixtureRequest) -> Iterator[Recorded]:
    """Everything goes to the sample that the test is named after."""
    name = getattr(request, "param", request.node.originalname.removeprefix("test_sample_").replace("_", "-"))
    vendor, session = Recorded(name), requests.Session()
    session.mount("https://", vendor)
    with substituted(session):
        yield vendor
    assert vendor.left == []


SECRETS = SAMPLES["incoming-answered-known"]["secrets"]


def brought(*changes: CallFacts, **settings: Any) -> dict[str, Any]:
    """The notes of a call after all of its changes, made one by one as the house does."""
    progress: dict[str, Any] = {}
    for known in changes:
        while step := adapter.plan(job(known, progress, **settings)):
            progress = {**progress, **step.keeps}
            (result,) = adapter.perform(new_http(), SECRETS, [Work(job(known, progress, **settings), step)])
            assert isinstance(result, Done), result
            progress = json.loads(json.dumps({**progress, **result.progress}))
    return progress


LINK = "https://hub.example.com/rec/zad-1.mp3?sig=0001"
OUT: dict[str, Any] = {"id": "zad-3", "direction": "out", "talk_seconds": 41}
MISSED: dict[str, Any] = {"outcome": "missed", "live": False}


def test_sample_incoming_answered_known(recorded: Recorded) -> None:
    notes = brought(facts(rings("9000001")), ended(talked("9000001"), recording_url=LINK))
    assert notes["entity"] == ["contacts", 11070881]


def test_sample_outgoing_answered_lead(recorded: Recorded) -> None:
    link = "https://hub.example.com/rec/zad-3.mp3?sig=0003"
    assert brought(ended(talked("9000001"), recording_url=link, **OUT))["entity"] == ["leads", 5000001]


def test_sample_incoming_missed_unknown_unsorted(recorded: Recorded) -> None:
    caller: dict[str, Any] = {"id": "zad-2", "client_phone": "+79000000002"}
    ringing, end = (
        facts(rings("9000001"), **caller),
        ended(replace(rings("9000001"), ringing=False), **MISSED, **caller),
    )
    notes = brought(ringing, end, unknown_incoming="unsorted")
    assert notes["unsorted"] == SAMPLES["incoming-missed-unknown-unsorted"]["expect"]["crm"]["unsorted"]


def test_sample_incoming_missed_unknown_deal_task(recorded: Recorded) -> None:
    utm = {"utm_source": "yandex", "utm_term": ""}
    caller: dict[str, Any] = {"id": "zad-9", "client_phone": "+79000000004", "utm": utm}
    notes = brought(ended(**MISSED, **caller), task_after_missed=True, use_call_tracking=True)
    expected = SAMPLES["incoming-missed-unknown-deal-task"]["expect"]["crm"]
    assert {name: notes[name] for name in ("created", "note", "task")} == {
        name: expected[name] for name in ("created", "note", "task")
    }


def test_sample_recording_after_the_call(recorded: Recorded) -> None:
    before = ended(talked("9000001"))
    notes = brought(before, replace(before, recording_url=LINK))
    assert (notes["note"], notes["link"]) == (42709303, LINK)


def test_sample_several_calls_in_one_request(recorded: Recorded) -> None:
    first = ended(talked("9000001"), id="zad-11", talk_seconds=10)
    busy = {"direction": "out", "outcome": "busy", "client_phone": "+79000000006"}
    second = ended(replace(talked("9000002"), answered_at=None), id="zad-12", **busy)
    works = [work(job(first)), work(job(second))]
    results = adapter.perform(new_http(), SECRETS, works)
    entities = [each.progress["entity"] for each in results if isinstance(each, Done)]
    assert entities == SAMPLES["several-calls-in-one-request"]["expect"]["crm"]["entities"]


def work(one: Job) -> Work:
    step = adapter.plan(one)
    assert step is not None
    return Work(replace(one, progress={**one.progress, **step.keeps}), step)


def test_sample_find_client_and_manager(recorded: Recorded) -> None:
    found = adapter.find_client(new_http(), SECRETS, "+79000000001", 2.0)
    assert found is not None
    assert (found.entity, found.entity_id, found.manager) == ("contact", "11070881", "9000001")
    assert (found.deals, found.link) == (("5000001",), "/contacts/detail/11070881")
    assert adapter.find_client(new_http(), SECRETS, "+79000000005", 2.0) is None


def test_sample_oauth_code_exchange(recorded: Recorded, settings: Any) -> None:
    settings.PUBLIC_URL = "https://hub.example.com"
    typed = {name: SECRETS[name] for name in ("domain", "client_id", "client_secret")}
    back = {"code": "def502fictional-code", "referer": "example.amocrm.ru", "client_id": SECRETS["client_id"]}
    tokens = adapter.authorised(new_http(), typed, back)
    assert {**typed, **tokens} == SECRETS


def test_sample_oauth_refresh_single_use(recorded: Recorded) -> None:
    with pytest.raises(TokenExpired):
        adapter.users(new_http(), SECRETS)
    changed = adapter.refresh(new_http(), SECRETS)
    assert changed["refresh_token"] == "def50200fictional-refresh-2"
    assert [user.name for user in adapter.users(new_http(), {**SECRETS, **changed})] == [
        "Test Employee One",
        "Test Employee Two",
    ]
    with pytest.raises(CredentialsRefused) as refused:
        adapter.refresh(new_http(), SECRETS)
    assert refused.value.code == failures.REVOKED


def test_sample_oauth_account_moved(recorded: Recorded) -> None:
    token = jwt({"api_domain": "api-b.amocrm.ru"}, "amo")
    changed = adapter.refresh(new_http(), {**SECRETS, "access_token": token})
    assert changed["domain"] == "renamed.amocrm.ru"
    assert changed["refresh_token"] == "def50200fictional-refresh-2"


def test_sample_rate_limit_429_then_ban_403(recorded: Recorded) -> None:
    limiter = MemoryLimiter()
    one = [work(job(ended(talked("9000001"), id="zad-7", talk_seconds=5)))]
    with pytest.raises(RateLimited) as slow:
        adapter.perform(new_http(limiter=limiter), SECRETS, one)
    assert (slow.value.code, slow.value.fate_unknown) == (failures.TOO_MANY, False)
    with pytest.raises(RateLimited) as banned:
        adapter.perform(new_http(), SECRETS, one)
    assert banned.value.retry_after == failures.BAN
    assert adapter.errors_help(banned.value)
    assert limiter.blocked(("amocrm:amocrm.ru",))


def test_sample_validation_error_400(recorded: Recorded) -> None:
    written = {"written": True, "entity": ["contacts", 11070881], "link": "", "told": ["missed", 0, []]}
    one = work(job(ended(**MISSED), written, task_after_missed=True))
    for words in ("not a valid choice", "244"):
        (result,) = adapter.perform(new_http(), SECRETS, [one])
        assert isinstance(result, Done)
        assert result.progress == {"task": "refused"}
        assert words in str(result.words)


def test_sample_widget_click_token_over() -> None:
    asked = request_of("widget-click-token-over")
    expected = SAMPLES["widget-click-token-over"]["expect"]["crm"]
    events.authenticate(asked, SECRETS, now=expected["now"])
    (click,) = adapter.events(asked, new_http(), SECRETS)
    assert isinstance(click, DialRequested)
    assert (click.crm_user, click.phone) == (expected["user_id"], expected["phone"])
    answer = adapter.reply(asked, SECRETS)
    assert (answer.body, answer.headers["Access-Control-Allow-Origin"]) == (b'{"ok":true}', "https://example.amocrm.ru")
    for now in (1767261500, 1767262600, None):
        with pytest.raises(Refused, match="token_is_over"):
            events.authenticate(asked, SECRETS, now=now)


def request_of(name: str) -> Request:
    (exchange,) = SAMPLES[name]["exchanges"]
    headers = {key.lower(): value for key, value in exchange["headers"].items()}
    path = exchange["path"].removeprefix("/hooks/amocrm/")
    return Request(exchange["method"], path, exchange["body"].encode(), headers=headers)


def test_sample_contact_changed_webhook() -> None:
    asked = request_of("contact-changed-webhook")
    adapter.authenticate(asked, SECRETS)
    (changed,) = adapter.events(asked, new_http(), SECRETS)
    assert isinstance(changed, ClientChanged)
    assert changed.match is not None
    assert (changed.entity, changed.entity_id, changed.phones) == ("contact", "11070881", ("8 (900) 000-00-01",))
    assert (changed.match.name, changed.match.manager, changed.match.company) == (
        "Test Contact One",
        "9000002",
        "Test Company",
    )


# --- plan -------------------------------------------------------------------------------------------------------------


def planned(known: CallFacts, progress: Any = None, **settings: Any) -> str:
    step = adapter.plan(job(known, progress, **settings))
    return step.name if step else ""


UNKNOWN = {"unknown": True}
ANSWERED, LOST_CALL = ended(talked("9000001")), ended(**MISSED)
DIALLED = replace(ANSWERED, direction="out")


@pytest.mark.parametrize(
    ("known", "progress", "settings", "step"),
    [
        (facts(rings("9000001")), {}, {}, "notify"),
        (facts(rings("9000001")), {}, {"notify_incoming": False}, ""),
        (facts(rings("")), {}, {}, ""),
        (facts(rings("9000001"), live=False), {}, {}, ""),
        (facts(rings("9000001"), direction="out"), {}, {}, ""),
        (facts(rings("9000001")), {"notified": ["9000001"]}, {}, ""),
        (facts(rings("9000001"), rings("9000002")), {"notified": ["9000001"]}, {}, "notify"),
        (facts(rings("9000001"), client_phone=""), {}, {}, ""),
        (ANSWERED, {}, {}, "call"),
        (LOST_CALL, {}, {}, "call"),
        (LOST_CALL, {}, {"assign_missed_to": "manager"}, "find"),
        (ANSWERED, {}, {"assign_missed_to": "manager"}, "call"),
        (ANSWERED, {}, {"write_to": "lead"}, "find"),
        (ANSWERED, {"client": {"id": 1}, "entity": ["leads", 5]}, {"write_to": "lead"}, "note"),
        (ANSWERED, UNKNOWN, {}, "lead"),
        (ANSWERED, UNKNOWN, {"unknown_incoming": "unsorted"}, "seek"),
        (ANSWERED, UNKNOWN, {"unknown_incoming": "unsorted", "unsorted_once": False}, "unsorted"),
        (ANSWERED, {**UNKNOWN, "waiting": []}, {"unknown_incoming": "unsorted"}, "unsorted"),
        (ANSWERED, UNKNOWN, {"unknown_incoming": "nothing"}, ""),
        (ANSWERED, UNKNOWN, {"unknown_incoming_when": ["missed"]}, ""),
        (LOST_CALL, UNKNOWN, {"unknown_incoming_when": ["missed"]}, "lead"),
        (LOST_CALL, UNKNOWN, {"unknown_incoming_when": ["answered"]}, ""),
        (DIALLED, UNKNOWN, {"unknown_outgoing": "nothing"}, ""),
        (DIALLED, UNKNOWN, {"unknown_outgoing": "lead", "unknown_incoming": "nothing"}, "lead"),
    ],
)
def test_the_next_step(known: CallFacts, progress: Any, settings: dict[str, Any], step: str) -> None:
    assert planned(known, progress, **settings) == step


WRITTEN = {"written": True, "entity": ["leads", 5], "link": "", "told": ["answered", 95, ["101"]], "user": "9000001"}
CREATED = {**WRITTEN, "created": {"lead": 5, "contact": 6}}
MISSED_WRITTEN = {**WRITTEN, "told": ["missed", 0, []], "user": DEFAULT}
WITH_TAGS = {"use_call_tracking": True}


@pytest.mark.parametrize(
    ("known", "progress", "settings", "step"),
    [
        (ANSWERED, WRITTEN, {}, ""),
        (replace(ANSWERED, recording_url=LINK), WRITTEN, {}, "update"),
        (replace(ANSWERED, recording_url=LINK), {**WRITTEN, "link": LINK}, {}, ""),
        (replace(ANSWERED, recording_url=f"{LINK}2"), {**WRITTEN, "link": LINK}, {}, "update"),
        (ANSWERED, {**WRITTEN, "link": LINK}, {}, ""),
        (replace(ANSWERED, recording_url=LINK), {**WRITTEN, "note": "lost"}, {}, ""),
        (replace(ANSWERED, recording_url=LINK), {**WRITTEN, "unsorted": "uid"}, {}, ""),
        (ended(talked("9000001"), talked("9000002", at=20)), WRITTEN, {}, "update"),
        (ended(talked("9000002")), CREATED, {}, "user"),
        (ANSWERED, CREATED, {"default_responsible_incoming": "9000003"}, ""),
        (LOST_CALL, MISSED_WRITTEN, {}, ""),
        (LOST_CALL, MISSED_WRITTEN, {"task_after_missed": True}, "task"),
        (LOST_CALL, {**MISSED_WRITTEN, "task": 1}, {"task_after_missed": True}, ""),
        (LOST_CALL, {**MISSED_WRITTEN, "unsorted": "uid", "entity": None}, {"task_after_missed": True}, ""),
        (LOST_CALL, {**MISSED_WRITTEN, "entity": ["customers", 5]}, {"task_after_missed": True}, ""),
        (ANSWERED, WRITTEN, {"task_after_missed": True}, ""),
        (replace(ANSWERED, utm={"utm_source": "x"}), CREATED, WITH_TAGS, "utm"),
        (replace(ANSWERED, utm={"utm_source": "x"}), CREATED, {}, ""),
        (replace(ANSWERED, utm={"utm_source": "x"}), WRITTEN, WITH_TAGS, ""),
        (replace(ANSWERED, utm={"utm_source": "x"}), {**CREATED, "utm": "written"}, WITH_TAGS, ""),
        (replace(ANSWERED, utm={"utm_source": "x"}), CREATED, {**WITH_TAGS, "utm_tags": ["utm_term"]}, ""),
    ],
)
def test_the_next_step_of_a_written_call(known: CallFacts, progress: Any, settings: dict[str, Any], step: str) -> None:
    assert planned(known, progress, **settings) == step


def test_a_record_waits_for_its_recording_and_not_for_ever() -> None:
    waits = adapter.plan(job(replace(ANSWERED, recording_expected=True)))
    there = adapter.plan(job(replace(ANSWERED, recording_expected=True, recording_url=LINK)))
    assert waits is not None
    assert there is not None
    assert (waits.name, there.name, there.settle) == ("call", "call", 0)
    assert 0 < waits.settle <= 60


def test_a_group_that_begins_to_ring_is_one_request() -> None:
    step = adapter.plan(job(facts(rings("9000001"), gathering=True)))
    assert step is not None
    assert 0 < step.settle < 1
    assert step.priority is Priority.POP_UP


def test_calls_without_a_number_are_refused() -> None:
    assert adapter.refuses(job(facts(client_phone=""))) == "hidden_number"
    assert adapter.refuses(job(facts())) == ""


def test_every_step_that_writes_is_looked_for_or_may_be_repeated() -> None:
    rules = {}
    for known, progress, settings in (
        (facts(rings("9000001")), {}, {}),
        (ANSWERED, {}, {}),
        (ANSWERED, {"entity": ["leads", 5]}, {}),
        (ANSWERED, UNKNOWN, {}),
        (ANSWERED, UNKNOWN, {"unknown_incoming": "unsorted", "unsorted_once": False}),
        (LOST_CALL, MISSED_WRITTEN, {"task_after_missed": True}),
        (replace(ANSWERED, recording_url=LINK), WRITTEN, {}),
    ):
        step = adapter.plan(job(known, progress, **settings))
        assert step is not None
        rules[step.name] = step.repeat
    assert rules.pop("update") is Repeat.KEY
    assert set(rules.values()) == {Repeat.LOOK}
    assert rules.keys() <= adapter.step_titles.keys()


# --- Known clients ----------------------------------------------------------------------------------------------------


def play(house: Account, audio: Audio, **kind: Any) -> Call:
    name = kind.pop("name", "call")
    call = Call(
        Kind(name, **{"talks": ("101",), "outcome": "answered", **kind}), len(house.notes) + 1, house.crm, audio
    )
    house.play(call)
    return call


@pytest.mark.parametrize(
    ("write_to", "deals", "expected"),
    [
        ("auto", 0, "contacts"),
        ("auto", 1, "leads"),
        ("auto", 2, "contacts"),
        ("lead", 0, "contacts"),
        ("lead", 2, "newest"),
        ("contact", 1, "contacts"),
    ],
)
def test_where_calls_of_known_clients_stand(
    crm: Emulator, audio: Audio, write_to: str, deals: int, expected: str
) -> None:
    client = crm.client(KNOWN)
    crm.deal(client, status=WON, created_at=1767009999)
    open_deals = [crm.deal(client, created_at=1767000000 + number) for number in range(deals)]
    own = house(crm, write_to=write_to)
    play(own, audio, known=True)
    (note,) = crm.notes
    assert (note["kind"], note["entity_id"]) == {
        "contacts": ("contacts", client.id),
        "leads": ("leads", open_deals[0] if open_deals else 0),
        "newest": ("leads", open_deals[-1] if open_deals else 0),
    }[expected]
    assert crm.violations == []


def test_a_company_has_calls_too(crm: Emulator, audio: Audio) -> None:
    company = crm.client(KNOWN, "Company", kind="companies")
    for write_to in ("auto", "lead"):
        play(house(crm, write_to=write_to), audio, known=True)
        assert [note["entity_id"] for note in crm.notes[-1:]] == [company.id]
    found = adapter.find_client(new_http(), crm.secrets, KNOWN, 2.0)
    assert found is not None
    assert (found.entity, found.company) == ("company", "Company")


def test_a_missed_call_goes_to_the_clients_manager(crm: Emulator, audio: Audio) -> None:
    crm.know(KNOWN, "Client", "9000002")
    own = house(crm, assign_missed_to="manager", task_after_missed=True, task_text="{line}: {phone}")
    play(own, audio, talks=(), outcome="missed", known=True)
    (note,), (task,) = crm.notes, crm.tasks
    assert note["params"]["call_responsible"] == task["responsible_user_id"] == 9000002
    assert task["text"] == f"Shop: {KNOWN}"
    assert task["complete_till"] == note_time(own) + 5 + 60 * 60


def note_time(own: Account) -> int:
    asked = [json.loads(row.request) for row in own.exchanges if row.url.endswith("/api/v4/calls")]
    return int(asked[-1][0]["created_at"])


def test_an_employee_whom_amocrm_lacks_is_named(crm: Emulator) -> None:
    crm.know("+79000000001", "Client", "9000001")
    own = house(crm)
    own.bring(ended(replace(talked("9000001"), crm_user="")))
    (note,) = crm.notes
    assert (note["params"]["call_responsible"], note["created_by"]) == ("Anna", DEFAULT)


def test_the_last_who_talks_where_the_settings_say_so(crm: Emulator) -> None:
    crm.know("+79000000001", "Client", "9000001")
    for who, user in (("first", 9000001), ("last", 9000002)):
        own = house(crm, assign_incoming_to=who)
        own.bring(ended(talked("9000001"), talked("9000002", at=30)))
        assert crm.notes[-1]["params"]["call_responsible"] == user


def test_a_late_event_corrects_note_and_deal(crm: Emulator) -> None:
    own = house(crm)
    own.bring(ended(**MISSED))
    own.bring(ended(talked("9000002"), version=9, recording_url=LINK))
    (note,), (client,) = crm.notes, crm.clients.values()
    params = note["params"]
    assert (params["call_status"], params["duration"], params["link"]) == (4, 95, LINK)
    assert (params["call_responsible"], client.manager) == (9000002, "9000002")
    assert crm.leads[note["entity_id"]]["responsible_user_id"] == 9000002
    own.bring(ended(talked("9000002"), version=10))
    assert crm.notes[0]["params"]["link"] == LINK
    assert crm.violations == []


def test_a_note_that_somebody_deleted_is_let_go(crm: Emulator) -> None:
    crm.know("+79000000001", "Client", "9000001")
    own = house(crm)
    own.bring(ANSWERED)
    crm.notes.clear()
    own.bring(replace(ANSWERED, recording_url=LINK))
    assert own.notes["zad-1"]["note"] == "lost"
    assert crm.notes == []


# --- Unknown callers --------------------------------------------------------------------------------------------------


def test_a_deal_stands_in_its_stage(crm: Emulator) -> None:
    house(crm, stage_incoming=f"{PIPELINE}:{SECOND}").bring(ended(**MISSED))
    (lead,) = crm.leads.values()
    assert (lead["pipeline_id"], lead["status_id"], lead["name"]) == (PIPELINE, SECOND, "Call +79000000001")
    assert lead["responsible_user_id"] == int(DEFAULT)


def test_piles_of_unsorted_entries_do_not_grow(crm: Emulator) -> None:
    own = house(crm, unknown_incoming="unsorted")
    for number in range(3):
        own.bring(ended(id=f"zad-{number}", **MISSED))
    (entry,) = crm.waiting
    lead = entry["_embedded"]["leads"][0]["id"]
    assert [(note["kind"], note["entity_id"]) for note in crm.notes] == [("leads", lead)] * 2
    crm.accept(entry)
    own.bring(ended(id="zad-9", **MISSED))
    assert (crm.waiting, len(crm.notes)) == ([], 4)
    assert crm.violations == []


def test_an_entry_for_each_call_where_the_settings_want_it(crm: Emulator) -> None:
    own = house(crm, unknown_incoming="unsorted", unsorted_once=False)
    for number in range(2):
        own.bring(ended(id=f"zad-{number}", **MISSED))
    assert len(crm.waiting) == 2
    assert crm.notes == []


def test_an_entry_that_takes_no_notes_gets_a_second_one(crm: Emulator) -> None:
    crm.notes_on_unsorted = False
    own = house(crm, unknown_incoming="unsorted")
    for number in range(2):
        own.bring(ended(id=f"zad-{number}", **MISSED))
    assert len(crm.waiting) == 2
    assert crm.notes == []


@pytest.mark.parametrize("way", ["unsorted", "lead"])
def test_a_caller_who_calls_twice_at_once_is_one_client(crm: Emulator, way: str) -> None:
    own = house(crm, unknown_incoming=way)
    calls = [ended(id=f"zad-{number}", **MISSED) for number in range(3)]
    notes: dict[str, dict[str, Any]] = {call.id: {} for call in calls}
    for _round in range(8):
        jobs = [Job(call, own.settings, notes[call.id]) for call in calls]
        works = [work(one) for one in jobs if adapter.plan(one)]
        for one, result in zip(works, adapter.perform(own.http, own.secrets, works), strict=True):
            assert isinstance(result, Done), result
            notes[one.job.facts.id] = {**one.job.progress, **result.progress}
    assert all(each["written"] for each in notes.values())
    assert (len(crm.clients), len(crm.leads), len(crm.waiting)) == (1, 1, int(way == "unsorted"))
    assert len(crm.calls("+79000000001")) == 3
    assert crm.violations == []


@pytest.mark.parametrize("way", ["unsorted", "lead"])
def test_tags_go_with_a_new_deal_and_never_cost_the_call(crm: Emulator, way: str) -> None:
    tagged = ended(**MISSED, utm={"utm_source": "yandex", "utm_medium": "cpc", "roistat": "1"})
    chosen = {"use_call_tracking": True, "utm_tags": ["utm_source"], "unknown_incoming": way}
    house(crm, **chosen).bring(tagged)
    expected = [{"field_code": "UTM_SOURCE", "values": [{"value": "yandex"}]}]
    assert [lead["custom_fields_values"] for lead in crm.leads.values()] == [expected]
    crm.tracking.clear()
    own = house(crm, **chosen)
    own.bring(replace(tagged, id="zad-2", client_phone="+79000000002"))
    assert own.notes["zad-2"]["utm"] == "refused"
    assert len(crm.calls("+79000000002")) == 1


def test_tags_that_come_late_are_added(crm: Emulator) -> None:
    own = house(crm, use_call_tracking=True)
    own.bring(ended(**MISSED))
    own.bring(ended(**MISSED, utm={"utm_term": "roses"}))
    (lead,) = crm.leads.values()
    assert lead["custom_fields_values"] == [{"field_code": "UTM_TERM", "values": [{"value": "roses"}]}]


# --- Lost answers and errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["unsorted", "lead"])
@pytest.mark.parametrize("fault", ["lost", "truncated", "reset", "down"])
def test_each_lost_answer_of_an_unknown_caller(crm: Emulator, way: str, fault: str) -> None:
    for place in range(8):
        own = house(crm, unknown_incoming=way, task_after_missed=True)
        call = ended(**MISSED, id=f"zad-{place}", client_phone=f"+7900000010{place}")
        with crm.faulty(fault, skip=place, count=1) as struck:
            for _attempt in range(4):
                try:
                    own.bring(call)
                    break
                except Temporary:
                    continue
        assert len(crm.calls(call.client_phone)) == 1
        assert len(crm.tasks) == (place + 1 if way == "lead" else 0)
        if not struck.hits:
            break
    assert crm.violations == []


def test_a_batch_of_calls_whose_answer_was_lost_is_found_in_few_requests(crm: Emulator) -> None:
    own = house(crm)
    calls = [ended(talked("9000001"), id=f"zad-{n}", client_phone=f"+7900000020{n}") for n in range(6)]
    for call in calls[:4]:
        crm.know(call.client_phone, "Client", "9000001")
    works = [work(Job(call, own.settings, {})) for call in calls]
    with crm.faulty("lost", count=1), pytest.raises(OutboundError):
        adapter.perform(own.http, own.secrets, works)
    before = own.requests
    results = adapter.look(own.http, own.secrets, works)
    assert [type(each) for each in results] == [Done] * 4 + [NotMade] * 2
    assert own.requests - before == len(("contacts", "companies", "leads", "customers"))
    assert all(each.progress["written"] for each in results if isinstance(each, Done))


def test_calls_of_a_batch_are_told_apart_when_errors_name_none(crm: Emulator) -> None:
    own = house(crm, unknown_incoming="nothing")
    crm.know("+79000000200", "Client", "9000001")
    calls = [ended(talked("9000001"), id=f"zad-{n}", client_phone=f"+7900000020{n}") for n in range(3)]
    results = adapter.perform(own.http, own.secrets, [work(Job(call, own.settings, {})) for call in calls])
    assert [each.progress.get("unknown", False) for each in results if isinstance(each, Done)] == [False, True, True]


def test_one_refused_object_does_not_take_the_others_with_it(crm: Emulator) -> None:
    own = house(crm)
    crm.know("+79000000001", "Client", "9000001")
    good, bad = ANSWERED, ended(talked("9999999"), id="zad-2")
    works = [work(Job(call, own.settings, {})) for call in (good, bad)]
    ours, theirs = adapter.perform(own.http, own.secrets, works)
    assert isinstance(theirs, Rejected)
    assert isinstance(ours, Temporary)
    assert ours.fate_unknown
    assert adapter.look(own.http, own.secrets, works[:1]) == [NotMade()]
    own.bring(good)
    assert len(crm.notes) == 1


def test_what_one_part_of_a_batch_meets_is_not_the_others(crm: Emulator) -> None:
    own = house(crm)
    crm.know("+79000000001", "Client", "9000001")
    ring, end = facts(rings("9000001"), id="zad-2"), ANSWERED
    works = [work(Job(known, own.settings, {})) for known in (end, ring)]
    with crm.faulty("down", path="/api/v4/calls"):
        failed, shown = adapter.perform(own.http, own.secrets, works)
    assert isinstance(shown, Done)
    assert isinstance(failed, Temporary)
    with crm.faulty("down", path="/api/v2/events"):
        unsent, down = adapter.perform(own.http, own.secrets, works)
    assert isinstance(down, Temporary)
    assert isinstance(unsent, Temporary)
    assert (down.fate_unknown, unsent.fate_unknown) == (True, False)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, '{"title":"Unauthorized","status":401}', TokenExpired, failures.TOKEN),
        (402, '{"title":"Payment Required","status":402}', CredentialsRefused, failures.PAYMENT),
        (403, '{"title":"Forbidden","status":403,"detail":"Error 113"}', CredentialsRefused, failures.IP_LIST),
        (403, '{"title":"Forbidden","status":403}', Rejected, failures.FORBIDDEN),
        (403, "<html>403 Forbidden</html>", RateLimited, failures.BANNED),
        (404, "<html>404</html>", TokenExpired, failures.MOVED),
        (404, '{"title":"Not found","status":404}', Rejected, failures.NOT_FOUND),
        (301, "", TokenExpired, failures.MOVED),
        (429, "", RateLimited, failures.TOO_MANY),
        (504, "<html>504</html>", Temporary, "http_504"),
        (422, '{"title":"Bad","status":422}', Rejected, "http_422"),
    ],
)
def test_errors_by_what_must_be_done(status: int, body: str, kind: type[OutboundError], code: str) -> None:
    error = failures.of(Answer(status, {}, body.encode(), len(body)), renews=True)
    assert (type(error), error.code) == (kind, code)
    if not code.startswith("http_"):
        assert adapter.errors_help(error)
    alone = failures.of(Answer(status, {}, body.encode(), len(body)), renews=False)
    assert not isinstance(alone, TokenExpired)


def test_all_accounts_of_one_address_share_a_limit_and_a_ban(crm: Emulator) -> None:
    other = {**SECRETS, "domain": "other.amocrm.ru", "account_id": "7"}
    assert adapter.limits(SECRETS) == adapter.limits(other) != adapter.limits({**SECRETS, "domain": "x.kommo.com"})
    (limit,) = adapter.limits(SECRETS)
    assert limit.rate + limit.burst <= 7
    crm.limited, limiter = True, MemoryLimiter()
    for _request in range(12):
        adapter.users(new_http(limiter=limiter), crm.secrets)
    assert crm.violations == []
    crm.banned = True
    with pytest.raises(RateLimited):
        adapter.users(new_http(limiter=limiter), crm.secrets)
    with pytest.raises(RateLimited) as held:
        adapter.users(new_http(limiter=limiter), crm.secrets)
    assert held.value.code == "own_limit"
    assert len(crm.violations) == 1


# --- What calls cost --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings", "hits"),
    [
        ({"known": True}, {}, 2),
        ({"known": True, "recorded": "at the end"}, {}, 2),
        ({"known": True, "recorded": "later"}, {}, 2),
        ({"known": True, "rings": ("101", "102", "103")}, {}, 2),
        ({"known": True, "direction": "out"}, {}, 1),
        ({"known": True, "talks": (), "outcome": "missed"}, {"task_after_missed": True}, 3),
        ({"known": True}, {"write_to": "contact"}, 3),
        ({"known": True}, {"write_to": "lead"}, 4),
        ({}, {}, 4),
        ({}, {"unknown_incoming": "nothing"}, 2),
        ({}, {"unknown_incoming": "unsorted"}, 4),
        ({}, {"unknown_incoming": "unsorted", "unsorted_once": False}, 3),
        ({"talks": (), "outcome": "missed"}, {"task_after_missed": True}, 5),
        ({"direction": "out"}, {"unknown_outgoing": "nothing"}, 1),
    ],
)
def test_hits(crm: Emulator, audio: Audio, kind: Any, settings: Any, hits: int) -> None:
    crm.deal(crm.client(KNOWN))
    own = house(crm, **settings)
    play(own, audio, **kind)
    assert own.requests == hits, [row.url for row in own.exchanges]


def test_many_calls_share_requests(crm: Emulator) -> None:
    own = house(crm)
    calls = [ended(talked("9000001"), id=f"zad-{n}", client_phone=f"+7900000{n:04}") for n in range(40)]
    for call in calls:
        crm.know(call.client_phone, "Client", "9000001")
    adapter.perform(own.http, own.secrets, [work(Job(call, own.settings, {})) for call in calls])
    assert (own.requests, len(crm.notes)) == (1, 40)


# --- Connecting -------------------------------------------------------------------------------------------------------


def test_the_way_to_the_account_and_back(crm: Emulator) -> None:
    typed = {"domain": "example.amocrm.ru", "client_id": CLIENT_ID, "client_secret": "key"}
    url = adapter.authorise_url(typed, "state-1")
    assert url == f"https://www.amocrm.ru/oauth?client_id={CLIENT_ID}&state=state-1&mode=popup"
    assert adapter.authorise_url({**typed, "domain": "x.kommo.com"}, "s").startswith("https://www.kommo.com/oauth?")
    assert adapter.authorise_url({"domain": "example.amocrm.ru"}, "s") == ""
    own = {name: value for name, value in crm.secrets.items() if name in ("domain", "client_id", "client_secret")}
    tokens = adapter.authorised(new_http(), own, {"code": "def502fictional-code", "referer": crm.url})
    assert tokens["account_id"] == str(crm.account)
    assert adapter.account({**own, **tokens}) == str(crm.account)
    assert adapter.connected(tokens)
    assert not adapter.connected(own)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "no_code"),
        ({"error": "access_denied"}, "access_denied"),
        ({"code": "c", "referer": "evil.example.com"}, "referer"),
        ({"code": "c", "referer": "amocrm.ru.evil.com"}, "referer"),
        ({"code": "c", "referer": "http://127.0.0.1:8080"}, "referer"),
        ({"code": "c", "referer": "evilamocrm.ru"}, "referer"),
    ],
)
def test_a_way_back_that_leads_elsewhere_is_not_taken(query: dict[str, str], code: str) -> None:
    typed = {"domain": "example.amocrm.ru", "client_id": CLIENT_ID, "client_secret": "key"}
    with pytest.raises(Rejected) as refused:
        adapter.authorised(new_http(), typed, query)
    assert refused.value.code == code


def test_another_account_than_the_one_connected_is_refused(crm: Emulator) -> None:
    with pytest.raises(Rejected) as refused:
        adapter.authorised(new_http(), {**crm.secrets, "account_id": "7"}, {"code": "def502fictional-code"})
    assert refused.value.code == "another_account"


def test_a_token_is_renewed_once_and_a_moved_account_followed(crm: Emulator) -> None:
    old = crm.secrets
    assert adapter.refresh(new_http(), old).keys() == {"access_token", "refresh_token"}
    with pytest.raises(CredentialsRefused) as refused:
        adapter.refresh(new_http(), old)
    assert refused.value.code == failures.REVOKED
    with pytest.raises(CredentialsRefused) as refused:
        adapter.refresh(new_http(), {**crm.secrets, "client_secret": "wrong"})
    assert refused.value.code == failures.CLIENT
    with Emulator().serving() as new:
        new._access, new._refresh, crm.moved_to = crm._access, crm._refresh, new.url
        changed = adapter.refresh(new_http(), crm.secrets)
    assert changed["domain"] == new.url


def test_a_long_lived_token_is_enough_for_calls(crm: Emulator) -> None:
    token = crm.secrets["access_token"]
    own = house(crm)
    own.secrets = {"domain": crm.url, "client_id": "", "client_secret": "", "long_lived_token": token}
    own.bring(ended(**MISSED))
    assert len(crm.notes) == 1
    assert adapter.account(own.secrets) == str(crm.account)
    assert adapter.connected(own.secrets)
    crm.expire()
    with pytest.raises(CredentialsRefused) as refused:
        adapter.users(own.http, own.secrets)
    assert not isinstance(refused.value, TokenExpired)


def test_check_names_what_is_missing(crm: Emulator) -> None:
    (check,) = adapter.check(new_http(), {"domain": crm.url})
    assert not check.ok
    assert check.cure
    assert [each.ok for each in adapter.check(new_http(), crm.secrets)] == [True] * 4
    assert crm.notes == []


def test_lists_of_the_settings(crm: Emulator) -> None:
    stages = adapter.choices(new_http(), crm.secrets, "stages")
    assert [each.id for each in stages] == [STAGE, f"{PIPELINE}:{SECOND}"]
    assert [each.name for each in adapter.choices(new_http(), crm.secrets, "task_types")] == ["Связаться", "Встреча"]


HANDLER = "http://127.0.0.1:8000/hooks/amocrm/token/"


def test_webhooks_are_set_up_and_taken_down(crm: Emulator) -> None:
    crm.hooks["https://somebody.example.com/hook"] = ["add_lead"]
    for _twice in range(2):
        adapter.prepare(new_http(), crm.secrets, HANDLER, {}, {})
    (ours,) = [each for each in crm.hooks if each.startswith(HANDLER)]
    assert crm.violations == []
    for _twice in range(2):
        adapter.retire(new_http(), crm.secrets)
    assert ours not in crm.hooks
    assert len(crm.hooks) == 1


def test_an_account_whose_plan_has_no_webhooks_does_without(crm: Emulator) -> None:
    crm.takes_hooks = False
    adapter.prepare(new_http(), crm.secrets, HANDLER, {}, {})
    assert crm.hooks == {}
    with crm.faulty("down", path="webhooks"), pytest.raises(Temporary):
        adapter.prepare(new_http(), crm.secrets, HANDLER, {}, {})


# --- What amoCRM sends ------------------------------------------------------------------------------------------------


def click(crm: Emulator, **changes: Any) -> Request:
    wire = crm.asked_by_the_widget("101", "8 (900) 000-00-01", **changes)
    return Request("POST", wire.path, wire.body, headers={name.lower(): each for name, each in wire.headers.items()})


def test_a_click(crm: Emulator) -> None:
    crm.install("http://127.0.0.1:8000/hooks/amocrm/token/")
    asked = click(crm, jti="one")
    adapter.authenticate(asked, crm.secrets)
    (wish,) = adapter.events(asked, new_http(), crm.secrets)
    assert wish == DialRequested(key=f"{crm.account}:one", crm_user="9000001", phone="8 (900) 000-00-01")
    assert adapter.reply(asked, crm.secrets).headers["Access-Control-Allow-Origin"] == crm.url
    assert "9000001" in adapter.shown(asked)
    assert asked.headers["x-auth-token"] not in adapter.shown(asked)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": 1}, "token_is_over"),
        ({"nbf": 4_000_000_000}, "token_is_over"),
        ({"exp": "never"}, "token_is_over"),
        ({"aud": "https://elsewhere.example.com"}, "another_integration"),
        ({"aud": None}, "another_integration"),
        ({"client_uuid": "other"}, "another_integration"),
        ({"account_id": 7}, "another_account"),
        ({"jti": ""}, "bad_token"),
        ({"user_id": None}, "bad_token"),
    ],
)
def test_a_token_that_proves_nothing(crm: Emulator, changes: dict[str, Any], code: str) -> None:
    crm.install("http://127.0.0.1:8000/hooks/amocrm/token/")
    with pytest.raises(Refused, match=code):
        adapter.authenticate(click(crm, **changes), crm.secrets)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", "bad_token"),
        ("a.b.c", "bad_token"),
        (f"{base64.urlsafe_b64encode(b'[' * 30_000).decode()}.b.c", "bad_token"),
        (jwt({"account_id": 1}, "another key"), "wrong_signature"),
        (jwt({"account_id": 1}, "amo-secret-demo", alg="none"), "bad_token"),
        (jwt({"account_id": 1}, "amo-secret-demo", alg="HS512"), "bad_token"),
        (f"{jwt({'account_id': 1}, 'amo-secret-demo')}é", "wrong_signature"),
    ],
)
def test_a_token_that_is_none(crm: Emulator, token: str, code: str) -> None:
    asked = Request("POST", "click-to-call", b"call_to=1", headers={"x-auth-token": token})
    with pytest.raises(Refused, match=code):
        adapter.authenticate(asked, crm.secrets)
    with pytest.raises(Refused, match="no_secret_key"):
        adapter.authenticate(asked, {**crm.secrets, "client_secret": ""})


def test_browsers_may_ask() -> None:
    asked = Request("OPTIONS", "click-to-call", b"", headers={"origin": "https://example.kommo.com"})
    answer = adapter.handshake(asked)
    assert answer is not None
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://example.kommo.com"
    assert "X-Auth-Token" in answer.headers["Access-Control-Allow-Headers"]
    stranger = adapter.handshake(replace(asked, headers={"origin": "https://example.kommo.com.evil.com"}))
    assert stranger is not None
    assert "Access-Control-Allow-Origin" not in stranger.headers
    assert adapter.handshake(replace(asked, method="POST")) is None


def test_the_widget_is_handed_out() -> None:
    answer = adapter.handshake(Request("GET", "widget.zip", b""))
    assert answer is not None
    assert answer.content_type == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.body)) as bundle:
        names = set(bundle.namelist())
        manifest = json.loads(bundle.read("manifest.json"))
        words = {name: json.loads(bundle.read(f"i18n/{name}.json")) for name in manifest["widget"]["locale"]}
        script = bundle.read("script.js").decode()
    logos = {f"images/{name}.png" for name in ("logo", "logo_main", "logo_small", "logo_medium", "logo_min")}
    assert names == {"manifest.json", "script.js", "i18n/ru.json", "i18n/en.json", *logos}
    assert words["ru"].keys() == words["en"].keys() == {"widget", "settings", "call"}
    assert "click-to-call" in script
    with pytest.raises(Refused):
        adapter.authenticate(Request("GET", "anything", b""), SECRETS)


def test_changed_clients(crm: Emulator) -> None:
    adapter.prepare(new_http(), crm.secrets, HANDLER, {}, {})
    path = next(iter(crm.hooks)).removeprefix(HANDLER)
    body = b"contacts[delete][0][id]=5&contacts[delete][0][type]=company&contacts[update][0][id]=6&account[id]=1"
    asked = Request("POST", path, body)
    adapter.authenticate(asked, crm.secrets)
    updated, deleted = adapter.events(asked, new_http(), crm.secrets)
    assert isinstance(updated, ClientChanged)
    assert (updated.entity_id, updated.phones) == ("6", ())
    assert deleted == ClientChanged(entity="company", entity_id="5")
    assert adapter.reply(asked, crm.secrets).body == b""
    for wrong in (path[:-1], f"{path}0", "contacts", "contacts/"):
        with pytest.raises(Refused, match="wrong_secret"):
            adapter.authenticate(replace(asked, path=wrong), crm.secrets)
    with pytest.raises(Refused, match="wrong_secret"):
        adapter.authenticate(asked, {"domain": crm.url})


# --- Addresses and forms ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("example.amocrm.ru", "example.amocrm.ru"),
        ("https://Example.Kommo.com/leads/list/", "example.kommo.com"),
        ("http://example.amocrm.com", "example.amocrm.com"),
        ("http://127.0.0.1:9101/demo/", "http://127.0.0.1:9101/demo"),
        ("http://amocrm:8080", "http://amocrm:8080"),
    ],
)
def test_domains_are_kept_in_one_spelling(typed: str, kept: str) -> None:
    assert address.domain_of(typed) == kept


@pytest.mark.parametrize(
    "typed",
    ["", "amocrm.ru", "example.com", "https://evilamocrm.ru", "example.amocrm.ru.evil.com", "http://example.com",
     "https://127.0.0.1:9101", "http://user:secret@example.amocrm.ru", "http://10.0.0.1", "ftp://example.amocrm.ru"],
)  # fmt: skip
def test_other_hosts_are_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="no account"):
        address.origin(typed)
    form = adapter.credential_form({"domain": typed, "long_lived_token": "t"})
    assert list(form.errors) == ["domain"]


@pytest.mark.parametrize(
    ("data", "bad"),
    [
        ({"client_id": "a", "client_secret": "b"}, []),
        ({"long_lived_token": " a.b\n.c "}, []),
        ({}, ["client_id"]),
        ({"client_id": "a"}, ["client_secret"]),
        ({"client_secret": "a"}, ["client_id"]),
    ],
)
def test_credential_form(data: dict[str, str], bad: list[str]) -> None:
    form = adapter.credential_form({"domain": "x.amocrm.ru", **data})
    assert list(form.errors) == bad
    if not bad:
        assert form.cleaned_data["long_lived_token"] == "".join(data.get("long_lived_token", "").split())


def test_settings_form_has_each_field_in_one_block() -> None:
    form = adapter.settings_form()
    names = [name for _title, block in form.blocks for name in block]
    assert sorted(names) == sorted(form.fields)
    assert set(form.depends) | set(form.depends.values()) <= set(names)
    assert all(each.help_text for each in form.fields.values())


@pytest.mark.parametrize(
    ("changes", "bad"),
    [
        ({}, []),
        ({"default_responsible_incoming": ""}, ["default_responsible_incoming"]),
        ({"default_responsible_outgoing": "anna"}, ["default_responsible_outgoing"]),
        ({"stage_incoming": "5"}, ["stage_incoming"]),
        ({"task_minutes": "0"}, ["task_minutes"]),
        ({"unknown_outgoing": "unsorted"}, ["unknown_outgoing"]),
        ({"use_call_tracking": True, "utm_tags": []}, ["utm_tags"]),
    ],
)
def test_settings_form(changes: dict[str, Any], bad: list[str]) -> None:
    assert list(adapter.settings_form({**Emulator().settings, **changes}).errors) == bad


def test_secrets_are_never_rendered_again() -> None:
    form = adapter.credential_form({"domain": "x.ru", "client_secret": "hidden", "long_lived_token": "hidden"})
    assert "hidden" not in str(form["client_secret"]) + str(form["long_lived_token"])
    assert adapter.secret_fields >= {"client_secret", "long_lived_token", "access_token", "refresh_token"}


def test_words_of_the_documents() -> None:
    words = (FOLDER / "locale/ru/LC_MESSAGES/django.po").read_text()
    for label in (
        "Параметры интеграции",
        "Входящие",
        "Переадресация на персонального менеджера",
        "Ответственный по-умолчанию на входящий звонок",
        "Назначать ответственного на",
        "Первого разговаривающего",
        "Исходящие",
        "Ответственный по-умолчанию на исходящий звонок",
        "Прочее",
        "Использовать CallTracking",
    ):
        assert f'msgstr "{label}"' in words


def test_the_guides_are_there() -> None:
    for language in ("ru", "en"):
        text = (adapter.folder / f"guide.{language}.md").read_text()
        assert {"{handler_url}", "{oauth_url}"} <= {
            word.strip("`.,;") for word in text.replace("widget.zip", "").split()
        }
