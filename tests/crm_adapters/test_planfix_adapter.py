"""The Planfix adapter: against the recorded samples, and against the emulated account over HTTP; no database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
import responses
from django.utils import translation

from crm_adapters.base import (
    CallFacts,
    DialRequested,
    Done,
    Doubtful,
    Job,
    Participant,
    Priority,
    Refused,
    Repeat,
    Request,
    SecretsChanged,
    Work,
)
from crm_adapters.planfix import address, rest
from crm_adapters.planfix.adapter import Planfix
from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Http
from outbound.limits import MemoryLimiter
from tests.crm_adapters.calls import KINDS, KNOWN, Account, Audio, Call, Doubt, Free, account, counted
from tests.emulators.planfix import CALL, MISSED, Emulator, Entry

adapter = Planfix()
SAMPLES = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(rest.__file__).parent / "samples").glob("*.json"))
}
BASE = "https://callbridge-demo.planfix.ru"
SECRETS = {
    "domain": "callbridge-demo.planfix.ru",
    "token": "f0e1d2c3b4a5968778695a4b3c2d1e0f",
    "planfix_url": f"{BASE}/tel/api",
    "planfix_token": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "rest_token": "5d0000000000000000000000000000aa",
}
SETTINGS: dict[str, Any] = {"mode": "voip", "attach_to": "planfix", "use_call_tracking": True}
LINK = "https://hub.example.test/r/9d1f.mp3"
START = datetime(2026, 1, 12, 12, 15, tzinfo=UTC)
ANSWERED, RECORDED, LATER, OF_A_CLIENT, NOT_TAKEN = KINDS[:5]


# --- What the tests are made of ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        yield mocked


@pytest.fixture(scope="module")
def audio() -> Iterator[Audio]:
    with Audio().serving() as found:
        yield found


@pytest.fixture
def crm() -> Iterator[Emulator]:
    with Emulator().serving() as found:
        yield found


def by_rest(crm: Emulator, **settings: Any) -> Account:
    """An account without telephony."""
    found = account(crm, "planfix", mode="rest", **settings)
    for name in ("planfix_url", "planfix_token"):
        del found.secrets[name]
    return found


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def rings(extension: str) -> Participant:
    return Participant(extension, "", ringing=True, rang_at=at(0))


def rang(extension: str, since: int = 0) -> Participant:
    return Participant(extension, "", rang_at=at(since), left_at=at(20))


def talks(extension: str, since: int = 5) -> Participant:
    return Participant(extension, "", talking=True, rang_at=at(0), answered_at=at(since))


def talked(extension: str, since: int = 5) -> Participant:
    return replace(talks(extension, since), talking=False, left_at=at(since + 90))


def facts(*people: Participant, **known: Any) -> CallFacts:
    usual: dict[str, Any] = {
        "id": "CB-1",
        "version": 1,
        "direction": "in",
        "state": "ringing",
        "client_phone": "+79000000001",
        "virtual_number": "+74950000001",
        "line_name": "Отдел продаж",
        "started_at": START,
    }
    return CallFacts(**{**usual, **known}, participants=people)


def ended(*people: Participant, outcome: str = "answered", **known: Any) -> CallFacts:
    return facts(*people, **{"state": "finished", "outcome": outcome, "live": False, **known})


def job(known: CallFacts, notes: Any = None, **settings: Any) -> Job:
    return Job(known, {**SETTINGS, **settings}, notes or {})


def http() -> Http:
    return Http(limiter=Free(), deadline=5.0)


def entries(crm: Emulator, phone: str) -> list[Entry]:
    return [entry for entry in crm.entries if f"+{entry.phone}" == phone]


# --- The samples ------------------------------------------------------------------------------------------------------


class Told:
    """A call as the house brings it in, change by change, against answers of a sample."""

    def __init__(self, mock: responses.RequestsMock, **settings: Any):
        self.house = Account(Emulator(), adapter, dict(SECRETS), {**SETTINGS, **settings})
        self.sent: list[dict[str, str]] = []
        mock.add_callback(responses.POST, SECRETS["planfix_url"], self._answer)

    def _answer(self, request: Any) -> tuple[int, dict[str, str], str]:
        body = request.body
        form = dict(parse_qsl(body.decode() if isinstance(body, bytes) else body))
        self.sent.append(form)
        return 200, {}, "{}" if form["cmd"] == "contact" else ""

    def bring(self, *changes: CallFacts) -> list[dict[str, str]]:
        for each in changes:
            self.house.bring(each)
        return self.sent


def recorded(name: str, *commands: str) -> list[dict[str, str]]:
    """What a sample has us send; `is_temp` is for links that live for one download, and ours live."""
    ours = [each for each in SAMPLES[name]["exchanges"] if each["direction"] == "hub->vendor"]
    forms = [dict(parse_qsl(each["body"])) for each in ours]
    return [{n: v for n, v in form.items() if n != "is_temp"} for form in forms if form["cmd"] in commands]


def known_of(name: str, **more: Any) -> dict[str, Any]:
    expect = SAMPLES[name]["expect"]
    ident = recorded(name, "event")[0]["callid"]
    return {"id": ident, "client_phone": expect["client_phone"], "direction": expect["direction"], **more}


TIMELINES: dict[str, tuple[tuple[CallFacts, ...], dict[str, Any]]] = {
    "voip-incoming-answered": (
        (facts(rings("103")), facts(talks("103"), state="answered"), ended(talked("103"))),
        {
            "talk_seconds": 124,
            "recording_url": LINK,
            "utm": {"utm_source": "site.example", "utm_medium": "banner"},
        },
    ),
    "voip-incoming-missed": ((facts(rings("101")), ended(rang("101"), outcome="missed")), {}),
    "voip-incoming-group-parallel": (
        (
            facts(rings("101"), rings("102"), rings("103")),
            facts(rang("101"), talks("102"), rang("103"), state="answered"),
            ended(rang("101"), talked("102"), rang("103")),
        ),
        {"talk_seconds": 61},
    ),
    "voip-incoming-group-sequential": (
        (
            facts(rings("101")),
            facts(rang("101")),
            facts(rang("101"), rings("102")),
            facts(rang("101"), rang("102"), rings("103")),
            facts(rang("101"), rang("102"), talks("103"), state="answered"),
            ended(rang("101"), rang("102"), talked("103")),
        ),
        {"talk_seconds": 35},
    ),
    "voip-transfer": (
        (
            facts(rings("101")),
            facts(talks("101"), state="answered"),
            facts(talks("101"), rings("104"), state="transferred"),
            facts(talked("101"), talks("104", since=99), state="transferred"),
            ended(talked("101"), talked("104", since=99)),
        ),
        {"talk_seconds": 300, "recording_url": "https://hub.example.test/r/81aa.mp3"},
    ),
    "voip-outgoing-busy": ((facts(Participant("102", "")), ended(rang("102"), outcome="busy")), {}),
    "voip-click-to-call-success": (
        (
            facts(Participant("101", "")),
            facts(talks("101"), state="answered"),
            ended(talked("101"), talk_seconds=207, recording_expected=True),
            ended(talked("101"), talk_seconds=207, recording_url="https://hub.example.test/r/5ab0.mp3"),
        ),
        {},
    ),
    "voip-record-temporary-link": (
        (
            facts(rings("101")),
            facts(talks("101"), state="answered"),
            ended(talked("101"), talk_seconds=18, recording_expected=True),
            ended(talked("101"), talk_seconds=18, recording_url="https://hub.example.test/once/77c2.mp3"),
        ),
        {},
    ),
}


@pytest.mark.parametrize("name", TIMELINES)
def test_a_call_is_told_like_the_sample(mock: responses.RequestsMock, name: str) -> None:
    changes, at_the_end = TIMELINES[name]
    told = Told(mock)
    for each in changes:
        more = at_the_end if each.finished else {}
        told.bring(replace(each, **known_of(name, **more)))
    assert told.sent == recorded(name, "event", "record")


def exchange(name: str, path: str) -> dict[str, Any]:
    return next(each for each in SAMPLES[name]["exchanges"] if each["path"].partition("?")[0] == path)


def replay(mock: responses.RequestsMock, name: str) -> None:
    """What a sample has us ask of REST, to be asked by meaning; each answer once."""
    for each in SAMPLES[name]["exchanges"]:
        path, _, query = each["path"].partition("?")
        matchers = [responses.matchers.header_matcher({"Authorization": f"Bearer {SECRETS['rest_token']}"})]
        if each["body"]:
            matchers.append(responses.matchers.json_params_matcher(json.loads(each["body"])))
        if query:
            matchers.append(responses.matchers.query_param_matcher(dict(parse_qsl(query))))
        said = each["response"]
        mock.add(each["method"], BASE + path, body=said["body"], status=said["status"], match=matchers)


ONLY_REST = {name: value for name, value in SECRETS.items() if not name.startswith("planfix")}


def test_sample_of_a_search_by_phone(mock: responses.RequestsMock) -> None:
    replay(mock, "rest-contact-search-by-phone")
    mock.reset()
    for each in SAMPLES["rest-contact-search-by-phone"]["exchanges"]:
        mock.add("POST", BASE + each["path"], body=each["response"]["body"])
    found = adapter.find_client(http(), ONLY_REST, "+79000000001", 2.0)
    assert found is not None
    assert (found.entity, found.entity_id, found.name, found.manager) == ("contact", "61", "ООО «Пример»", "user:5")
    people, companies = (json.loads(call.request.body or "") for call in mock.calls)
    assert "isCompany" not in people
    assert companies["isCompany"] is True
    assert people["filters"] == [{"type": 4003, "operator": "equal", "value": "9000000001"}]


def test_sample_of_employees(mock: responses.RequestsMock) -> None:
    replay(mock, "rest-users-list")
    users = adapter.users(http(), SECRETS)
    assert [user.id for user in users] == SAMPLES["rest-users-list"]["expect"]["employees"]
    assert [phone for user in users for phone in user.phones] == ["+79000000091"]
    assert adapter.users(http(), {**SECRETS, "rest_token": ""}) == []


RINGS, TALKS, LEFT = "rings", "talks", "left"
OVER = {"legs": {"101": LEFT}, "status": "Success", "ext": "101", "record": ""}
REST_NOTES = {"door": "rest", "contact": 61}
MAPPED = Participant("103", "user:5", rang_at=at(-5), answered_at=at(0), left_at=at(124))
CALL_OF_SAMPLES = ended(MAPPED, id="CB-20260112-000001", talk_seconds=124, started_at=at(-5))


def test_sample_of_an_entry(mock: responses.RequestsMock) -> None:
    replay(mock, "rest-datatag-call-entry")
    one = job(CALL_OF_SAMPLES, REST_NOTES, call_id_field="call_id")
    step = adapter.plan(one)
    assert (step and (step.name, step.repeat)) == ("entry", Repeat.LOOK)
    (found,) = adapter.look(http(), SECRETS, [Work(one, step)])  # type: ignore[arg-type]
    assert not isinstance(found, Done)
    (made,) = adapter.perform(http(), SECRETS, [Work(one, step)])  # type: ignore[arg-type]
    assert isinstance(made, Done), made
    assert made.progress == {"entry": 127822, "comment": 47856597}


def test_sample_of_a_recording_in_a_task(mock: responses.RequestsMock) -> None:
    name = "rest-last-task-attach-recording"
    for each in SAMPLES[name]["exchanges"]:
        mock.add("POST", BASE + each["path"], body=each["response"]["body"], status=each["response"]["status"])
    house = Account(Emulator(), adapter, dict(SECRETS), {})
    house.settings = job(
        CALL_OF_SAMPLES,
        attach_to="matching_hidden",
        task_templates=["24"],
        task_statuses=["3", "6"],
        task_statuses_are="notequal",
    ).settings  # type: ignore[assignment]
    known = replace(CALL_OF_SAMPLES, recording_url=LINK)
    house.notes[known.id] = {"legs": {"103": "left"}, "status": "Success", "contact": 61}
    house.bring(known)
    asked, fetched, noted = (json.loads(call.request.body or "") for call in mock.calls)
    wanted = [json.loads(each["body"]) for each in SAMPLES[name]["exchanges"]]
    assert asked["filters"] == wanted[0]["filters"]
    assert fetched == wanted[1]
    assert {part: noted[part] for part in ("isHidden", "owner", "files", "sourceObjectId")} == {
        part: wanted[2][part] for part in ("isHidden", "owner", "files", "sourceObjectId")
    }
    assert noted["description"].startswith("Входящий звонок<br>")
    assert mock.calls[2].request.path_url == "/rest/task/455/comments/"


def test_sample_of_a_task_after_a_call(mock: responses.RequestsMock) -> None:
    name = "rest-task-create-after-call"
    wanted = json.loads(exchange(name, "/rest/task/")["body"])
    mock.add("POST", f"{BASE}/rest/task/", body=exchange(name, "/rest/task/")["response"]["body"], status=201)
    one = job(CALL_OF_SAMPLES, {**OVER, "contact": 61}, task_after=["in_answered"], new_task_template="24")
    (made,) = adapter.perform(http(), SECRETS, [Work(one, adapter.plan(one))])  # type: ignore[arg-type]
    assert isinstance(made, Done)
    assert made.progress == {"new_task": 460}
    sent = json.loads(mock.calls[0].request.body or "")
    for part in ("template", "counterparty", "assignees", "sourceObjectId"):
        assert sent[part] == wanted[part]
    assert CALL_OF_SAMPLES.id in sent["description"]


def test_sample_of_a_new_contact(mock: responses.RequestsMock) -> None:
    wanted = exchange("rest-contact-create-and-update", "/rest/contact/")
    mock.add("POST", f"{BASE}/rest/contact/list", json={"result": "success", "contacts": []})
    mock.add("POST", f"{BASE}/rest/contact/", body=wanted["response"]["body"], status=201)
    known = replace(CALL_OF_SAMPLES, client_phone="+79000000002")
    one = job(known, mode="rest", responsible="last", contact_template="1")
    (made,) = adapter.perform(http(), SECRETS, [Work(one, adapter.plan(one))])  # type: ignore[arg-type]
    assert isinstance(made, Done)
    assert made.progress["contact"] == 62
    sent, theirs = json.loads(mock.calls[-1].request.body or ""), json.loads(wanted["body"])
    for part in ("template", "isCompany", "phones", "supervisors"):
        assert sent[part] == theirs[part]


def kind_of(error: OutboundError) -> str:
    if isinstance(error, RateLimited):
        return "rate_limited_daily" if error.code == "22" else "rate_limited"
    if isinstance(error, CredentialsRefused):
        return "credentials_refused"
    if isinstance(error, Rejected):
        return "not_found" if error.code == "2000" else "rejected"
    assert isinstance(error, Temporary)
    return "temporary"


def test_samples_of_errors_of_rest(mock: responses.RequestsMock) -> None:
    sample = SAMPLES["rest-errors"]
    for each in sample["exchanges"]:
        mock.reset()
        said = each["response"]
        mock.add(each["method"], BASE + each["path"], body=said["body"], status=said["status"])
        found = rest.Account.of(http(), SECRETS)
        with pytest.raises(OutboundError) as caught:
            found.change(each["path"].removeprefix("/rest/"), {})
        assert kind_of(caught.value) == sample["expect"]["errors"][sample["exchanges"].index(each)], each


# --- plan -------------------------------------------------------------------------------------------------------------

POP_UP, FINISH, RECORDING = Priority.POP_UP, Priority.FINISH, Priority.RECORDING


def planned(one: Job) -> Any:
    step = adapter.plan(one)
    if step is None:
        return None
    told = " ".join(filter(None, step.keeps.get("doing", ())))
    return f"{step.name} {told}".strip(), step.priority, step.repeat


@pytest.mark.parametrize(
    ("known", "notes", "wanted"),
    [
        (facts(), {}, None),  # in the voice menu
        (facts(rings("101")), {}, ("ring INCOMING 101", POP_UP, Repeat.LOOK)),
        (facts(rings("101"), live=False), {}, None),
        (facts(rings("101"), client_phone=""), {}, None),
        (facts(rings("101"), rings("102")), {"legs": {"101": RINGS}}, ("ring INCOMING 102", POP_UP, Repeat.LOOK)),
        # nobody is said to have left before it is known whether the call goes on
        (facts(rang("101")), {"legs": {"101": RINGS}}, None),
        # one whose ringing was never told, and who talks now
        (facts(talks("101")), {}, ("ring INCOMING 101", POP_UP, Repeat.LOOK)),
        (facts(talks("101")), {"legs": {"101": RINGS}}, ("accept ACCEPTED 101", POP_UP, Repeat.LOOK)),
        (
            facts(rings("101"), talks("102")),
            {"legs": {"101": RINGS, "102": TALKS}},
            None,  # a ring that stops late
        ),
        (
            facts(rang("101"), talks("102")),
            {"legs": {"101": RINGS, "102": TALKS}},
            ("leave COMPLETED 101 Cancelled", POP_UP, Repeat.LOOK),
        ),
        # a colleague who hands the call on without speaking stays until the other one talks
        (facts(talked("101"), rings("104")), {"legs": {"101": TALKS, "104": RINGS}}, None),
        # who rings a second time
        (facts(rang("101"), rings("101")), {"legs": {"101": LEFT}}, ("ring INCOMING 101", POP_UP, Repeat.LOOK)),
        # ends
        (
            ended(talked("101")),
            {"legs": {"101": TALKS}},
            ("finish COMPLETED 101 Success", FINISH, Repeat.STOP),
        ),
        (ended(talked("101")), {"legs": {"101": RINGS}}, ("accept ACCEPTED 101", FINISH, Repeat.LOOK)),
        (
            ended(rang("101"), rang("102"), outcome="missed"),
            {"legs": {"101": RINGS, "102": RINGS}},
            ("leave COMPLETED 101 Cancelled", FINISH, Repeat.LOOK),
        ),
        (
            ended(rang("101"), rang("102"), outcome="missed"),
            {"legs": {"101": LEFT, "102": RINGS}},
            ("finish COMPLETED 102 Missed", FINISH, Repeat.STOP),
        ),
        (ended(talked("101")), OVER, None),
        # nothing was told while it lived
        (ended(talked("101")), {}, ("door", FINISH, Repeat.KEY)),
        (ended(talked("101")), {"door": "voip"}, ("ring INCOMING 101", FINISH, Repeat.LOOK)),
        (ended(talked("101")), {"door": "rest"}, ("create", FINISH, Repeat.LOOK)),
        (ended(talked("101")), {"door": "rest", "contact": 0}, None),
        (ended(talked("101")), {"door": "rest", "contact": 7}, ("entry", FINISH, Repeat.STOP)),
        (ended(talked("101")), {"door": "rest", "contact": 7, "entry": 9}, None),
        # recordings
        (ended(talked("101"), recording_url=LINK), OVER, ("record", RECORDING, Repeat.STOP)),
        (ended(talked("101"), recording_url=LINK), {**OVER, "record": LINK}, None),
        (ended(talked("101"), recording_url=f"{LINK}?2"), {**OVER, "record": LINK}, ("record", RECORDING, Repeat.STOP)),
        (ended(talked("101"), recording_expected=True), OVER, None),
    ],
)
def test_plan(known: CallFacts, notes: dict[str, Any], wanted: Any) -> None:
    assert planned(job(known, notes)) == wanted


@pytest.mark.parametrize(
    ("direction", "outcome", "status"),
    [
        ("in", "answered", "Success"),
        ("in", "missed", "Missed"),
        ("in", "busy", "Missed"),
        ("in", "cancelled", "Missed"),
        ("in", "rejected", "Missed"),
        ("in", "failed", "Missed"),
        ("out", "answered", "Success"),
        ("out", "no_answer", "NoAnswer"),
        ("out", "cancelled", "NoAnswer"),
        ("out", "busy", "Busy"),
        ("out", "rejected", "Busy"),
        ("out", "failed", "NotAvailable"),
    ],
)
def test_outcomes(direction: str, outcome: str, status: str) -> None:
    person = talked("101") if outcome == "answered" else rang("101")
    legs = {"101": TALKS if outcome == "answered" else RINGS}
    one = job(ended(person, direction=direction, outcome=outcome), {"legs": legs})
    assert planned(one)[0] == f"finish COMPLETED 101 {status}"


def test_with_a_field_for_the_calls_id_an_end_can_be_looked_for() -> None:
    one = job(ended(talked("101")), {"legs": {"101": TALKS}}, call_id_field="call_id")
    assert planned(one)[2] is Repeat.LOOK
    assert planned(replace(one, facts=ended(talked("101"), recording_url=LINK), progress=OVER))[2] is Repeat.LOOK


def test_calls_that_nobody_was_rung_for_need_a_short_number() -> None:
    lost = ended(outcome="missed")
    assert adapter.refuses(job(lost)) == "nobody_rung"
    assert adapter.refuses(job(lost, no_operator_extension="100")) == ""
    assert adapter.refuses(job(lost, mode="rest")) == ""
    assert adapter.refuses(job(facts())) == ""
    assert adapter.refuses(job(ended(rang("101"), outcome="missed"))) == ""
    assert adapter.refuses(job(ended(rang("101"), client_phone=""))) == "hidden_number"
    one = job(lost, no_operator_extension="100")
    assert planned(one)[0] == "ring INCOMING 100"
    assert planned(job(replace(lost, backfilled=True), no_operator_extension="100"))[0] == "door"
    assert planned(replace(one, progress={"legs": {"100": RINGS}}))[0] == "finish COMPLETED 100 Missed"


# --- What goes along with the end -------------------------------------------------------------------------------------


def the_end(mock: responses.RequestsMock, known: CallFacts, **settings: Any) -> dict[str, str]:
    told = Told(mock, **settings)
    told.house.notes[known.id] = {"legs": {"101": TALKS}}
    return told.bring(known)[0]


UTM = {"utm_source": "site", "utm_term": "Сайт & реклама"}


@pytest.mark.parametrize(
    ("settings", "own"),
    [
        ({}, {f"data_{name}": value for name, value in UTM.items()}),
        ({"use_call_tracking": False}, {}),
        ({"use_call_tracking": False, "call_id_field": "call_id"}, {"data_call_id": "CB-1"}),
    ],
)
def test_fields_of_the_data_tags(mock: responses.RequestsMock, settings: dict[str, Any], own: dict[str, str]) -> None:
    form = the_end(mock, ended(talked("101"), talk_seconds=90, utm=UTM), **settings)
    assert {name: value for name, value in form.items() if name.startswith("data_")} == own


@pytest.mark.parametrize(
    ("known", "settings", "wanted"),
    [
        ({}, {}, ("0", None)),
        ({"recording_expected": True}, {}, ("1", None)),
        ({"recording_url": LINK}, {}, ("1", LINK)),
        ({"recording_url": LINK}, {"attach_to": "card"}, ("0", None)),  # REST attaches it, and REST alone
    ],
)
def test_the_recording_at_the_end(
    mock: responses.RequestsMock, known: dict[str, Any], settings: dict[str, Any], wanted: Any
) -> None:
    mock.add(responses.POST, f"{BASE}/rest/contact/list", status=503)
    told = Told(mock, **settings)
    told.house.notes["CB-1"] = {"legs": {"101": TALKS}}
    try:
        told.bring(ended(talked("101"), **known))
    except Temporary:
        assert settings
    form = told.sent[0]
    assert (form["is_recorded"], form.get("record_link")) == wanted


# --- Recordings, responsibles and tasks by REST -----------------------------------------------------------------------


def comments(crm: Emulator, where: str) -> list[Any]:
    return [row for row in crm.comments.values() if row.where.startswith(where) and row.files]


@pytest.mark.parametrize("mode", ["voip", "rest"])
@pytest.mark.parametrize(
    ("attach_to", "place", "hidden"),
    [
        ("card", "contact", False),
        ("card_hidden", "contact", True),
        ("last", "task/2", False),
        ("last_hidden", "task/2", True),
        ("matching", "task/1", False),
        ("matching_hidden", "task/1", True),
        ("new", "task/new", False),
    ],
)
def test_where_a_recording_is_attached(
    crm: Emulator, audio: Audio, mode: str, attach_to: str, place: str, hidden: bool
) -> None:
    crm.know(KNOWN, "Maria Known", "user:7")
    (contact,) = crm.contacts
    tasks = {
        "1": crm.new_task("Сделка", contact, template=24).id,
        "2": crm.new_task("Заявка", contact, template=25).id,
        "x": crm.new_task("Чужая", 1).id,
    }
    conditions = {"task_templates": ["24"], "task_statuses": ["3"], "task_days": "30"}
    house = account(crm, "planfix", mode=mode, attach_to=attach_to, **conditions)
    call = Call(replace(RECORDED, known=True), 1, crm, audio)
    house.play(call)
    kind, _, which = place.partition("/")
    (noted,) = comments(crm, "")
    number = max(crm.tasks) if which == "new" else tasks.get(which, contact)
    assert (noted.where, noted.hidden) == (f"{kind}/{number}", hidden)
    assert [crm.files[each] for each in noted.files] == [audio.link("call-1")]
    assert len(crm.tasks) == 3 + (which == "new")
    assert len(entries(crm, KNOWN)) == 1
    assert crm.violations == []


@pytest.mark.parametrize(("if_no_task", "place"), [("card", "contact"), ("new", "task")])
def test_without_a_task_that_matches(crm: Emulator, audio: Audio, if_no_task: str, place: str) -> None:
    house = account(crm, "planfix", attach_to="matching", task_templates=["24"], if_no_task=if_no_task)
    house.play(Call(LATER, 1, crm, audio))
    (noted,) = comments(crm, "")
    assert noted.where.startswith(place)
    assert crm.violations == []


def test_another_recording_replaces_the_first(crm: Emulator, audio: Audio) -> None:
    house = account(crm, "planfix", attach_to="card")
    call = Call(RECORDED, 1, crm, audio)
    house.play(call)
    (first,) = comments(crm, "contact")
    longer = audio.link("longer")
    house.bring(replace(list(call.ends())[-1], version=12, recording_url=longer, recording_name="longer.mp3"))
    (noted,) = comments(crm, "contact")
    assert noted.id == first.id
    assert [crm.files[number] for number in noted.files] == [longer]


def test_a_link_that_planfix_may_not_fetch_is_uploaded(crm: Emulator, audio: Audio) -> None:
    crm.fetches = False
    house = account(crm, "planfix", attach_to="card")
    house.play(Call(RECORDED, 1, crm, audio))
    (noted,) = comments(crm, "contact")
    assert [crm.files[number] for number in noted.files] == ["uploaded"]
    assert crm.violations == []


@pytest.mark.parametrize(("setting", "user"), [("", "user:5"), ("first", "user:7"), ("last", "user:9")])
def test_responsible_for_a_new_contact(crm: Emulator, audio: Audio, setting: str, user: str) -> None:
    """Planfix takes the first who was rung."""
    kind = replace(ANSWERED, rings=("101", "102", "103"), talks=("102", "103"))
    house = account(crm, "planfix", responsible=setting)
    house.play(Call(kind, 1, crm, audio))
    (contact,) = crm.contacts.values()
    assert contact.supervisors == [user]
    assert crm.violations == []


def test_a_known_client_keeps_his_responsible(crm: Emulator, audio: Audio) -> None:
    crm.know(KNOWN, "Maria Known", "user:9")
    house = account(crm, "planfix", responsible="last")
    house.play(Call(OF_A_CLIENT, 1, crm, audio))
    (contact,) = crm.contacts.values()
    assert contact.supervisors == ["user:9"]


def test_a_late_word_of_who_talked_corrects_the_responsible(crm: Emulator, audio: Audio) -> None:
    house = account(crm, "planfix", responsible="last")
    call = Call(ANSWERED, 1, crm, audio)
    house.play(call)
    late = list(call.ends())[-1]
    people = (*late.participants, replace(late.participants[0], extension="103", crm_user="user:9"))
    house.bring(replace(late, version=12, participants=people))
    (contact,) = crm.contacts.values()
    assert contact.supervisors == ["user:9"]
    assert len(entries(crm, call.phone)) == 1


TYPES = {
    "in_answered": ANSWERED,
    "in_missed": NOT_TAKEN,
    "out_answered": next(kind for kind in KINDS if kind.name == "outgoing"),
    "out_failed": next(kind for kind in KINDS if kind.name == "outgoing, busy"),
}


@pytest.mark.parametrize("wanted", TYPES)
@pytest.mark.parametrize("kind", TYPES)
def test_a_task_after_calls_of_the_chosen_kinds(crm: Emulator, audio: Audio, kind: str, wanted: str) -> None:
    house = account(crm, "planfix", task_after=[wanted], new_task_template="24")
    house.play(Call(TYPES[kind], 1, crm, audio))
    assert [task.template for task in crm.tasks.values()] == ([24] if kind == wanted else [])
    assert crm.violations == []


@pytest.mark.parametrize("role", ["counterparty", "assignee"])
def test_the_contact_in_a_new_task(crm: Emulator, audio: Audio, role: str) -> None:
    house = account(crm, "planfix", task_after=["in_answered"], contact_role=role)
    house.play(Call(ANSWERED, 1, crm, audio))
    (task,), (contact,) = crm.tasks.values(), crm.contacts
    bears = {"counterparty": (f"contact:{contact}", ("user:5",)), "assignee": ("", (f"contact:{contact}",))}
    assert (task.counterparty, task.assignees) == bears[role]


def test_settings_that_need_a_token_say_so(crm: Emulator, audio: Audio) -> None:
    crm.rest = False
    for settings in ({"attach_to": "card"}, {"responsible": "last"}, {"task_after": ["in_answered"]}, {"mode": "rest"}):
        house = account(crm, "planfix", **settings)
        with pytest.raises(Rejected) as caught:
            adapter.prepare(house.http, house.secrets, "", {}, house.settings)
        assert adapter.errors_help(caught.value)
    house = account(crm, "planfix", attach_to="card")
    with pytest.raises(Rejected) as caught:
        house.play(Call(RECORDED, 1, crm, audio))
    assert caught.value.code == "no_rest_token"
    assert len(crm.entries) == 1  # the call itself is there


# --- By REST alone ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "-"))
def test_calls_by_rest_alone(crm: Emulator, audio: Audio, kind: Any) -> None:
    crm.know(KNOWN, "Maria Known", "user:7")
    house = by_rest(crm, responsible="last")
    call = Call(kind, 1, crm, audio)
    house.play(call)
    (written,) = crm.calls(call.phone)
    assert call.told(written) == call.expected()
    (entry,) = entries(crm, call.phone)
    talkers = [crm.users[number] for number in kind.talks]
    assert entry.employee == (talkers[-1] if talkers else "")
    contact = crm.contacts[entry.contact]
    assert contact.supervisors == (["user:7"] if kind.known else [talkers[-1] if talkers else crm.default])
    assert crm.screens(call.phone) == set()
    assert not crm.hits["POST /tel/api"]
    assert crm.violations == []


@pytest.mark.parametrize("fault", ["down", "reset", "lost", "html", "truncated"])
def test_by_rest_alone_a_lost_answer_doubles_nothing(crm: Emulator, audio: Audio, fault: str) -> None:
    house = by_rest(crm, attach_to="new", responsible="last")
    struck = 1
    number = 0
    while struck:
        number += 1
        call = Call(RECORDED, number, crm, audio)
        with crm.faulty(fault, skip=number - 1, count=1) as found:
            for each in call.changes():
                for _attempt in range(4):
                    try:
                        house.bring(each)
                        break
                    except Temporary:
                        continue
        struck = found.hits
        assert len(entries(crm, call.phone)) == 1
        contacts = [row for row in crm.contacts.values() if f"+{row.phones[0]}" == call.phone]
        tasks = [row for row in crm.tasks.values() if call.id in row.description]
        assert (len(contacts), len(tasks)) == (1, 1)
        assert len(comments(crm, f"task/{tasks[0].id}")) == 1
    assert crm.violations == []


def test_without_a_field_for_the_id_a_person_decides(crm: Emulator, audio: Audio) -> None:
    for house in (account(crm, "planfix", call_id_field=""), by_rest(crm, call_id_field="")):
        path = "/tel/api" if "planfix_url" in house.secrets else "datatags"
        call = Call(NOT_TAKEN, len(crm.entries) + 1, crm, audio)
        changes = list(call.changes())
        house.bring(changes[0])
        with crm.faulty("lost", path=path, count=1), pytest.raises(Temporary):
            house.bring(changes[-1])
        with pytest.raises(Doubt):
            house.bring(changes[-1])
        assert len(entries(crm, call.phone)) == 1


def test_a_field_that_nobody_added_is_told(crm: Emulator, audio: Audio) -> None:
    crm.keeps_call_id = False
    house = account(crm, "planfix")
    call = Call(NOT_TAKEN, 1, crm, audio)
    changes = list(call.changes())
    house.bring(changes[0])
    with crm.faulty("lost", path="/tel/api", count=1), pytest.raises(Temporary):
        house.bring(changes[-1])
    with pytest.raises(Doubt) as caught:
        house.bring(changes[-1])
    error = caught.value.__cause__
    assert isinstance(error, Doubtful)
    assert error.code == "no_call_id_field"
    assert adapter.errors_help(error)


@pytest.mark.parametrize("direction", ["incoming", "outgoing"])
def test_contacts_are_made_where_it_is_wanted(crm: Emulator, audio: Audio, direction: str) -> None:
    house = by_rest(crm, **{f"create_contact_{direction}": False})
    for number, kind in enumerate((ANSWERED, TYPES["out_answered"]), 1):
        house.play(Call(kind, number, crm, audio))
    (made,) = {row.phones[0] for row in crm.contacts.values()}
    assert made == ("79000010002" if direction == "incoming" else "79000010001")
    assert len(crm.entries) == 1


def test_times_are_written_in_the_zone_of_the_settings(crm: Emulator, audio: Audio) -> None:
    house = by_rest(crm, time_zone="Europe/Moscow")
    call = Call(ANSWERED, 1, crm, audio, began=datetime(2026, 1, 12, 22, 30, tzinfo=UTC))
    house.play(call)
    (entry,) = crm.entries
    day, period = (entry.values[number] for number, name, _ in crm._fields(CALL)[:2])
    assert (day, period["from"]) == ({"date": "13-01-2026"}, {"time": "01:30"})


# --- Late calls -------------------------------------------------------------------------------------------------------


def test_a_call_that_nobody_saw_goes_by_one_door(crm: Emulator, audio: Audio) -> None:
    house = account(crm, "planfix")
    seen, unseen = Call(RECORDED, 1, crm, audio), Call(RECORDED, 2, crm, audio, live=False)
    house.play(seen)
    with counted(house) as asked:
        house.bring(list(unseen.ends())[-1])
    assert not asked["POST /tel/api"]
    assert len(entries(crm, unseen.phone)) == 1
    crm.rest = False
    house = account(crm, "planfix")
    late = Call(RECORDED, 3, crm, audio, live=False)
    with counted(house) as asked:
        house.bring(list(late.ends())[-1])
    assert asked == {"POST /tel/api": 3}
    assert len(entries(crm, late.phone)) == 1
    assert crm.violations == []


# --- Cost -------------------------------------------------------------------------------------------------------------

COST = {
    "answered": (3, 4),
    "answered, recorded": (3, 6),
    "answered, recording later": (4, 6),
    "missed": (2, 4),
    "missed by a group": (6, 4),
    "answered in a group": (5, 4),
    "transferred": (8, 4),
    "outgoing": (3, 6),
    "outgoing, busy": (2, 4),
    "of a known client": (3, 2),
    "nobody was rung": (2, 4),
}
"""Requests by telephony, and by REST alone: two for the definition of a data tag are spent once in ten minutes."""


@pytest.mark.parametrize("name", COST)
def test_cost(crm: Emulator, audio: Audio, name: str) -> None:
    kind = next(kind for kind in KINDS if kind.name == name)
    found = []
    for number, house in enumerate((account(crm, "planfix"), by_rest(crm)), 1):
        if kind.known and not crm.contacts:
            crm.know(KNOWN, "Maria Known", "user:7")
        warm = Call(replace(kind, known=False), 90 + number, crm, audio)
        house.play(warm)
        before = house.requests
        house.play(Call(kind, number, crm, audio))
        found.append(house.requests - before)
    assert tuple(found) == COST[name]


def test_rest_keeps_to_one_request_a_second(crm: Emulator, audio: Audio) -> None:
    """With the limiter that the house has, also where it has paid for the first request of a step."""
    crm.paced = True
    crm.know(KNOWN, "Maria Known", "user:7")
    limiter = MemoryLimiter()
    house = account(crm, "planfix", attach_to="card")
    call = Call(replace(RECORDED, known=True), 1, crm, audio)
    for each in call.changes():
        for _step in range(20):
            one = Job(each, house.settings, house.notes.get(each.id, {}))
            step = adapter.plan(one)
            if step is None:
                break
            asked = replace_limiter(house.http, limiter)
            (done,) = adapter.perform(asked, house.secrets, [Work(one, step)])
            assert isinstance(done, Done), done
            house.notes[each.id] = {**one.progress, **step.keeps, **done.progress}
    assert comments(crm, "contact")
    assert crm.violations == []


class Prepaid:
    """As the house hands it over: the first request is paid for."""

    def __init__(self, limiter: MemoryLimiter):
        self.limiter, self.paid = limiter, True

    def take(self, limits: Any) -> float:
        if self.paid:
            self.paid = False
            return 0.0
        return self.limiter.take(limits)

    def block(self, key: str, seconds: float) -> None:
        self.limiter.block(key, seconds)

    def blocked(self, keys: tuple[str, ...]) -> dict[str, float]:
        return self.limiter.blocked(keys)


def replace_limiter(found: Http, limiter: MemoryLimiter) -> Http:
    found.limiter = Prepaid(limiter)
    return found


def test_only_rest_has_a_limit() -> None:
    assert adapter.limits(SECRETS) == ()
    (limit,) = adapter.limits(ONLY_REST)
    assert (limit.rate < 1, limit.burst) == (True, 1)
    assert limit == address.rest_limit(SECRETS)


# --- Answers of the telephony API -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "doubt"),
    [
        (401, '{"error":"Invalid token"}', CredentialsRefused, False),
        (400, '{"error":"Invalid parameters"}', Rejected, False),
        (404, "", Rejected, False),
        (302, "", Rejected, False),
        (429, "", RateLimited, False),
        (500, "", Temporary, True),
        (502, "", Temporary, False),
        (503, "", Temporary, False),
        (504, "<html>", Temporary, True),
        (200, "<html>", VendorFault, True),
    ],
)
def test_answers_by_type(
    mock: responses.RequestsMock, status: int, body: str, kind: type[OutboundError], doubt: bool
) -> None:
    mock.add(responses.POST, SECRETS["planfix_url"], body=body, status=status)
    one = job(facts(rings("101")))
    work = Work(one, adapter.plan(one))  # type: ignore[arg-type]
    try:
        (error,) = adapter.perform(http(), SECRETS, [work])
    except OutboundError as raised:
        error = raised
    assert type(error) is kind
    assert error.fate_unknown is doubt


def test_refused_rest_keys_do_not_stop_windows(crm: Emulator, audio: Audio) -> None:
    house = account(crm, "planfix", attach_to="card")
    house.secrets["rest_token"] = "wrong"
    with pytest.raises(Rejected) as caught:
        house.play(Call(RECORDED, 1, crm, audio))
    assert adapter.errors_help(caught.value)
    only = by_rest(crm)
    only.secrets["rest_token"] = "wrong"
    with pytest.raises(CredentialsRefused):
        only.play(Call(RECORDED, 2, crm, audio))


def test_windows_are_opened_once_at_the_most(crm: Emulator, audio: Audio) -> None:
    house = account(crm, "planfix")
    call = Call(ANSWERED, 1, crm, audio)
    first, *rest_of_it = call.changes()
    with crm.faulty("lost", count=1), pytest.raises(Temporary):
        house.bring(first)
    with counted(house) as asked:
        house.bring(first)
    assert not asked
    for each in rest_of_it:
        house.bring(each)
    assert crm.ringing[call.id].told == ["INCOMING 101", "ACCEPTED 101", "COMPLETED 101 Success"]


# --- What Planfix asks of us ------------------------------------------------------------------------------------------


def request(**form: str) -> Request:
    return Request("POST", "", urlencode(form).encode(), headers={"content-type": "application/x-www-form-urlencoded"})


def body_of(name: str, part: str) -> Request:
    theirs = [each for each in SAMPLES[name]["exchanges"] if each["direction"] == "vendor->hub"]
    told = next(each for each in theirs if part in each["body"])
    return Request("POST", "", told["body"].encode())


def test_a_click_dials() -> None:
    click = body_of("voip-click-to-call-success", "makeCall")
    adapter.authenticate(click, SECRETS)
    assert adapter.reply(click, SECRETS).status == 200
    assert adapter.reply(click, SECRETS).body == b""
    assert adapter.events(click, http(), SECRETS) == [DialRequested(extension="101", phone="79000000005")]
    assert SECRETS["token"] not in adapter.shown(click)


def test_setup_brings_address_and_key() -> None:
    setup = body_of("voip-setup-and-ping", "setup")
    adapter.authenticate(setup, {"token": SECRETS["token"]})
    (told,) = adapter.events(setup, http(), {})
    assert told == SecretsChanged(
        secrets={"planfix_token": SECRETS["planfix_token"], "planfix_url": SECRETS["planfix_url"]}
    )
    assert SECRETS["planfix_token"] not in adapter.shown(setup)


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"cmd": "makeCall", "from": "101", "to": "7900"}, 401, "Invalid token"),
        ({"cmd": "makeCall", "from": "101", "to": "7900", "token": "wrong"}, 401, "Invalid token"),
        ({"cmd": "makeCall", "from": "101", "token": SECRETS["token"]}, 400, "Invalid parameters"),
        ({"cmd": "makeCall", "from": "101", "to": " ", "token": SECRETS["token"]}, 400, "Invalid parameters"),
        ({"cmd": "hangup", "token": SECRETS["token"]}, 400, "Invalid parameters"),
        ({"cmd": "setup", "planfix_token": "x", "token": SECRETS["token"]}, 400, "Invalid parameters"),
        (
            {"cmd": "setup", "planfix_token": "x", "planfix_url": "ftp://x", "token": SECRETS["token"]},
            400,
            "Invalid parameters",
        ),
    ],
)
def test_refusals_are_those_of_the_documentation(form: dict[str, str], status: int, words: str) -> None:
    with pytest.raises(Refused) as caught:
        adapter.authenticate(request(**form), SECRETS)
    assert (caught.value.reply.status, json.loads(caught.value.reply.body)) == (status, {"error": words})


def test_nobody_gets_in_where_there_is_no_key() -> None:
    with pytest.raises(Refused):
        adapter.authenticate(request(cmd="makeCall", to="7900", token="", **{"from": "101"}), {"token": ""})


# --- Connecting -------------------------------------------------------------------------------------------------------


def test_the_check_says_which_fields_to_mend(crm: Emulator) -> None:
    crm.types[CALL] = tuple(reversed(crm.types[CALL]))
    line, phone, title = crm.types[MISSED][-3:]
    crm.types[MISSED] = (*crm.types[MISSED][:-3], phone, line, title)  # of one kind, and rubbish all the same
    checks = {check.name: check for check in adapter.check(http_of(crm), crm.secrets)}
    broken = [check for check in checks.values() if not check.ok]
    assert len(broken) == 2
    assert "1, 2" in broken[0].cure
    assert broken[1].cure.endswith("4, 5.")


def http_of(crm: Emulator) -> Http:
    return account(crm, "planfix").http


def test_the_check_compares_the_key_typed_there(crm: Emulator) -> None:
    (wrong,) = [c for c in adapter.check(http_of(crm), {**crm.secrets, "token": "f" * 32}) if not c.ok]
    assert wrong.cure


def test_before_setup_the_account_waits(crm: Emulator) -> None:
    fresh = {"domain": crm.url, "token": crm.pbx_token}
    assert not adapter.connected(fresh)
    assert [check.ok for check in adapter.check(http_of(crm), fresh)] == [False]
    one = job(facts(rings("101")))
    with pytest.raises(CredentialsRefused):
        adapter.perform(http_of(crm), fresh, [Work(one, adapter.plan(one))])  # type: ignore[arg-type]
    with pytest.raises(Rejected):
        adapter.prepare(http_of(crm), fresh, "", {}, {})


def test_account() -> None:
    assert adapter.account(SECRETS) == "callbridge-demo.planfix.ru"
    assert adapter.account({"domain": "Example.planfix.com"}) == "example.planfix.com"
    moved = {**SECRETS, "planfix_url": "https://renamed.planfix.ru/tel/api"}
    assert adapter.account(moved) == "renamed.planfix.ru"
    assert adapter.account({}) == ""


def test_a_client_without_a_token_has_a_short_number(crm: Emulator) -> None:
    crm.rest = False
    crm.know(KNOWN, "Maria Known", "user:7")
    found = adapter.find_client(http_of(crm), crm.secrets, KNOWN, 2.0)
    assert found is not None
    assert (found.name, found.manager, found.manager_extension) == ("Maria Known", "", "102")


# --- Forms ------------------------------------------------------------------------------------------------------------


def credentials(**typed: str) -> Any:
    usual = {"domain": "https://Example.planfix.ru/tasks", "token": "f" * 32}
    return adapter.credential_form({**usual, **typed})


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({}, ""),
        ({"domain": "no address"}, "domain"),
        ({"token": "short"}, "token"),
        ({"planfix_url": "example.planfix.ru/tel/api", "planfix_token": "x"}, "planfix_url"),
        ({"planfix_url": "https://example.planfix.ru/tel/api"}, "planfix_token"),
        ({"planfix_url": "https://example.planfix.ru/tel/api", "planfix_token": "x"}, ""),
    ],
)
def test_credentials(typed: dict[str, str], wrong: str) -> None:
    form = credentials(**typed)
    assert list(form.errors) == ([wrong] if wrong else [])
    if not wrong:
        assert form.cleaned_data["domain"] == "example.planfix.ru"


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, ""),
        ({"time_zone": "Nowhere"}, "time_zone"),
        ({"call_id_field": "a b"}, "call_id_field"),
        ({"attach_to": "matching"}, "task_templates"),
        ({"attach_to": "matching", "task_days": "7"}, ""),
        ({"attach_to": "elsewhere"}, "attach_to"),
        ({"default_responsible": "5"}, "default_responsible"),
        ({"task_templates": ["x"]}, "task_templates"),
        ({"task_after": ["in_missed", "out_failed"]}, ""),
    ],
)
def test_settings(changes: dict[str, Any], wrong: str) -> None:
    form = adapter.settings_form({**Emulator().settings, **changes})
    assert list(form.errors) == ([wrong] if wrong else [])
    if not wrong:
        json.dumps(form.cleaned_data)


def test_every_step_has_a_title() -> None:
    from crm_adapters.planfix import written

    assert adapter.step_titles.keys() >= {*written.STEPS, "ask", "ring", "accept", "leave", "finish", "record", "door"}


def test_what_began_by_one_door_goes_on_by_it(crm: Emulator, audio: Audio) -> None:
    """Whatever the settings say meanwhile: nothing is written by both."""
    voip, rest_alone = account(crm, "planfix").settings, account(crm, "planfix", mode="rest").settings
    for number, (before, after) in enumerate(((voip, rest_alone), (rest_alone, voip)), 1):
        house = account(crm, "planfix")
        call = Call(RECORDED, number, crm, audio)
        ringing, talking, end = call.changes()
        house.settings = before
        house.bring(ringing)
        house.bring(talking)
        if before is rest_alone:
            house.bring(end)
        house.settings = after
        house.bring(end)
        assert len(entries(crm, call.phone)) == 1
        assert len(comments(crm, "contact")) == number
    assert crm.violations == []


def test_a_recording_stays_with_the_door_that_got_it(crm: Emulator, audio: Audio) -> None:
    for number, (before, after) in enumerate((("planfix", "card"), ("card", "planfix")), 1):
        house = account(crm, "planfix", attach_to=before)
        call = Call(RECORDED, number, crm, audio)
        house.play(call)
        house.settings = account(crm, "planfix", attach_to=after).settings
        house.bring(replace(list(call.ends())[-1], version=12))
        assert len(comments(crm, "contact")) == number
    assert crm.violations == []
