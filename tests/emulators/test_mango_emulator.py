"""The Mango Office emulator: its notifications against the wire samples, and each of its strict rules."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
import requests

from tests.emulators.mango import SCENARIOS, Account, Employee, MangoEmulator, wire
from tests.emulators.mango.account import DEFAULT_KEY, DEFAULT_SALT
from tests.stack import wait_until

SAMPLES = Path(__file__).parents[2] / "telephony" / "providers" / "mango" / "samples"
FORM = "application/x-www-form-urlencoded"


class Clock:
    """A clock that goes only when told."""

    def __init__(self) -> None:
        self.now = 1772524000.0

    def __call__(self) -> float:
        return self.now


class Hub:
    """A tiny receiver of notifications that verifies each and lets a test wait for one."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.changed = threading.Condition()
        self.reactions: list[Callable[[str, dict[str, Any]], None]] = []
        self.status = 200
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                hub.take(self.path.removeprefix("/hooks/mango/t/"), self.headers["Content-Type"], body)
                self.send_response(hub.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/mango/t/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def take(self, path: str, content_type: str, body: str) -> None:
        fields = parse_qsl(body, keep_blank_values=True)
        form = dict(fields)
        assert content_type == FORM
        assert [name for name, _ in fields] == ["vpbx_api_key", "sign", "json"]
        assert form["sign"] == hashlib.sha256((form["vpbx_api_key"] + form["json"] + DEFAULT_SALT).encode()).hexdigest()
        data = json.loads(form["json"])
        with self.changed:
            self.got.append((path, data))
            self.changed.notify_all()
        for reaction in self.reactions:
            threading.Thread(target=reaction, args=(path, data), daemon=True).start()

    def wait(self, found: Callable[[str, dict[str, Any]], bool]) -> dict[str, Any]:
        """The first notification that fits; waits for it."""

        def match() -> dict[str, Any] | None:
            return next((data for path, data in self.got if found(path, data)), None)

        with self.changed:
            assert self.changed.wait_for(lambda: match() is not None, 20), self.got
        return match() or {}

    def wait_state(self, state: str, location: str = "abonent") -> str:
        """The call_id of the first leg that reached a state."""
        data = self.wait(lambda _, d: d.get("call_state") == state and d.get("location") == location)
        return str(data["call_id"])


@pytest.fixture
def hub() -> Iterator[Hub]:
    receiver = Hub()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def emu(hub: Hub, clock: Clock) -> Iterator[MangoEmulator]:
    with MangoEmulator(hub_url=hub.url, clock=clock, stats_delay=0) as emulator:
        yield emulator


def ask(emu: MangoEmulator, endpoint: str, data: Any, **form: str) -> requests.Response:
    """A well-formed request; `form` overrides fields of the form."""
    payload = data if isinstance(data, str) else wire.dumps(data)
    fields = {"vpbx_api_key": DEFAULT_KEY, "sign": wire.sign(DEFAULT_KEY, payload, DEFAULT_SALT), "json": payload}
    url = f"{emu.url}/vpbx/{endpoint}"
    return requests.post(url, data={**fields, **form}, allow_redirects=False, timeout=20)


def code(emu: MangoEmulator, endpoint: str, data: Any, **form: str) -> int:
    """The result code of a request."""
    return int(ask(emu, endpoint, data, **form).json()["result"])


def whats(emu: MangoEmulator) -> list[str]:
    return [item.what for item in emu.violations]


def callback_data(number: int | str = 1, **more: Any) -> dict[str, Any]:
    return {"command_id": f"c{number}", "from": {"extension": "101"}, "to_number": "79000000002", **more}


# --- signatures


def test_signature_is_that_of_the_worked_example() -> None:
    payload = '{"command_id":"cmd-1","from":{"extension":"101"},"to_number":"79000000001"}'
    expected = "73678e9a22546eba5f46ccee17d9fffa74cd3fb91211b04f6099c6b778c238cd"
    assert wire.sign(DEFAULT_KEY, payload, DEFAULT_SALT) == expected
    link = wire.link_sign(DEFAULT_KEY, "1772524800", "MToxMDAwMDAwMTo3MDAwMDAwMDAxOjA=", DEFAULT_SALT)
    assert link == "ed66ca803e64c696b4e41403c3c81564b59b7db33d18e4579341f0a1542c8901"


# --- the samples, reproduced

IVR = {"greeting_seconds": 2, "route_window": 20.0}
REPRODUCED: dict[str, tuple[str, dict[str, Any]]] = {
    "01": ("incoming_ivr", {**IVR, "ring_seconds": 7, "talk_seconds": 60, "record": True, "completed_first": True}),
    "02": ("incoming_group", {"ring_seconds": 7, "talk_seconds": 42}),
    "03": ("missed", {}),
    "04": ("died_in_ivr", {}),
    "05": ("busy", {}),
    "06": ("callback", {"client": "79000000002", "ring_seconds": 8, "talk_seconds": 30, "command_id": "hub-cb-0006"}),
    "07": ("transfer_consult", {"before_transfer_seconds": 15, "consult_seconds": 15, "talk_seconds": 60}),
    "08": ("late_recording", {"client": "79000000003", "ring_seconds": 11, "talk_seconds": 20, "record_delay": 63}),
    "09": ("internal", {"ring_seconds": 3}),
    "10": ("out_of_order", {"ring_seconds": 6, "talk_seconds": 30}),
    "11": ("ivr_dtmf", {**IVR, "greeting_seconds": 22, "talk_seconds": 30, "hangup_by": "employee"}),
    "15": ("call_tracking", {"client": "79000000004", "greeting_seconds": 9, "outcome": "left_ivr"}),
}


def sample(prefix: str) -> tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]:
    """The notifications of a wire sample and what it expects."""
    data = json.loads(next(SAMPLES.glob(f"{prefix}_*.json")).read_text(encoding="utf-8"))
    notifications = [
        (item["path"].split("/hooks/mango/t-mango-0001/")[1], json.loads(dict(parse_qsl(item["body"]))["json"]))
        for item in data["exchanges"]
        if item["direction"] == "vendor->hub"
    ]
    return notifications, data["expect"]


def renamed(notifications: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, Any]]:
    """The same with identifiers named by the order of their appearance: the structure is left."""
    names: dict[str, str] = {}

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: walk(item, name) for name, item in value.items()}
        if key in ("entry_id", "call_id", "taken_from_call_id", "recording_id"):
            return names.setdefault(value, f"id{len(names) + 1}")
        return value

    return [(path, walk(data)) for path, data in notifications]


@pytest.mark.parametrize("prefix", sorted(REPRODUCED))
def test_sample_is_reproduced(emu: MangoEmulator, hub: Hub, prefix: str) -> None:
    expected, facts = sample(prefix)
    scenario, values = REPRODUCED[prefix]
    start = min(data["timestamp"] for path, data in expected if path == "events/call")
    routed = {"01": ("hub-r-0001", "101", "ivr"), "11": ("hub-r-0011", "102", "4512")}.get(prefix)
    if routed:
        command_id, target, trigger = routed

        def route(path: str, data: dict[str, Any]) -> None:
            if trigger in (data.get("location"), data.get("dtmf")) and data.get("call_state") != "Disconnected":
                command = {"command_id": command_id, "call_id": data["call_id"], "to_number": target}
                assert code(emu, "commands/route", command) == 1000

        hub.reactions.append(route)
    call = emu.call(scenario, at=start, **values).wait()
    # The order of `result/*` against the events is not defined by the protocol; the rest must be equal to the letter.
    results = [item for item in hub.got if item[0].startswith("result/")]
    assert sorted(map(str, results)) == sorted(str(item) for item in expected if item[0].startswith("result/"))
    ours, theirs = (
        renamed([item for item in items if not item[0].startswith("result/")]) for items in (hub.got, expected)
    )
    assert ours == theirs
    truth = call.truth()
    for name in ("direction", "outcome", "talk_seconds"):
        assert truth[name] == facts[name]
    if prefix != "04" and prefix != "15":
        assert truth["extension"] == facts["extension"]
    assert truth["first_extension"] == facts.get("first_extension", truth["extension"])
    assert bool(truth["recordings"]) == bool(facts["recording"])
    assert not emu.violations


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - {"callback_group", "out_of_order"}))
def test_every_scenario_is_well_formed(emu: MangoEmulator, hub: Hub, scenario: str) -> None:
    call = emu.call(scenario, record=True).wait()
    last: dict[str, int] = {}
    states: dict[str, str] = {}
    for path, data in hub.got:
        if path == "events/call":
            assert data["seq"] == last.get(data["call_id"], 0) + 1
            assert ("disconnect_reason" in data) == (data["call_state"] == "Disconnected")
            last[data["call_id"]], states[data["call_id"]] = data["seq"], data["call_state"]
    assert set(states.values()) == {"Disconnected"}
    assert [path for path, _ in hub.got].count("events/summary") == 1
    truth = call.truth()
    assert (truth["outcome"] == "answered") == (truth["talk_seconds"] > 0) == bool(truth["recordings"])
    assert all(event["answers"] == [200] for event in truth["events"])
    assert {"events/record/added" in (path for path, _ in hub.got)} == {bool(truth["recordings"])}
    if scenario == "hidden_number":
        assert all("number" not in data["from"] for path, data in hub.got if path == "events/call")
    if scenario == "transfer_blind_return":
        assert [d.get("transfer") for _, d in hub.got if d.get("call_state") == "Appeared"] == [
            None,
            "blind",
            "return_blind",
        ]


# --- delivery


def test_shuffled_duplicated_and_dropped_delivery(emu: MangoEmulator, hub: Hub) -> None:
    call = emu.call("incoming_ivr", delivery={"shuffle": True, "duplicate": True, "drop": ["events/summary"]}).wait()
    sent = [data for _, data in hub.got]
    generated = [event.data for event in call.events if event.path != "events/summary"]
    assert len(sent) == 2 * len(generated)
    assert sent != [data for data in generated for _ in range(2)]
    assert all(sent.count(data) == 2 for data in generated)
    assert next(event.answers for event in call.events if event.path == "events/summary") == []


def test_parallel_delivery_of_many_calls(emu: MangoEmulator, hub: Hub) -> None:
    plan = [{"scenario": "incoming_direct", "client": f"7900{index:07d}"} for index in range(100)]
    emu.sim.delivery = {"parallel": True}
    emu.play(plan).result(30)
    emu.wait_idle()
    assert len(hub.got) == 400
    assert len({call.entry_id for call in emu.calls}) == 100


def test_failures_are_recorded_and_retried_only_on_request(emu: MangoEmulator, hub: Hub) -> None:
    hub.status = 503
    assert emu.call("busy").wait().events[0].answers == [503]
    emu.courier.retry_on_failure = True
    assert emu.call("busy").wait().events[0].answers == [503, 503, 503]
    emu.courier.retry_on_failure = False
    emu.fault("hub_unreachable")
    assert emu.call("busy").wait().events[0].answers == ["unreachable"]
    emu.clear_faults()
    emu.account().hub_url = "http://127.0.0.1:9/"
    assert "Error" in str(emu.call("busy").wait().events[0].answers[0])


def test_a_courier_that_insists_comes_again_until_it_is_heard(emu: MangoEmulator, hub: Hub) -> None:
    emu.courier.insist = True
    hub.status = 503
    call = emu.call("busy")
    wait_until(lambda: call.events and len(call.events[0].answers) >= 4, "a fourth attempt")
    hub.status = 200
    answers = call.wait().events[0].answers
    assert answers[:4] == [503] * 4
    assert answers.count(200) == 1
    assert len(call.events[0].took) == len(answers)


def test_half_a_request_is_none(emu: MangoEmulator) -> None:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"vpbx", "more_body": True},
        {"type": "http.disconnect"},
    ]
    answers: list[Any] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        answers.append(message)

    scope = {"type": "http", "method": "POST", "path": "/vpbx/commands/callback", "headers": []}
    asyncio.run(emu(scope, receive, send))
    assert not answers
    assert not emu.violations


def test_the_clock_of_a_pbx_may_be_wrong(emu: MangoEmulator, hub: Hub) -> None:
    right, wrong = (emu.call("incoming_direct", ahead=ahead).wait().truth() for ahead in (0, 600))
    assert 599 <= wrong["created"] - right["created"] <= 602
    assert wrong["talk_seconds"] == right["talk_seconds"]


def test_quirks_change_types_but_not_the_signature(emu: MangoEmulator, hub: Hub) -> None:
    emu.account().quirks = {"string_types", "numeric_extension", "locaton", "no_line_later", "odd_json"}
    emu.call("incoming_direct").wait()
    first, second = hub.got[0][1], hub.got[1][1]
    assert first["seq"] == "1"
    assert first["to"]["extension"] == 101
    assert first["locaton"] == "abonent"
    assert "line_number" in first["to"]
    assert "line_number" not in second["to"]


def test_ping(emu: MangoEmulator, hub: Hub) -> None:
    assert emu.ping() == 200
    assert hub.got == [("ping", {})]


# --- commands


def test_callback_makes_a_call(emu: MangoEmulator, hub: Hub) -> None:
    emu.account().behaviour["79000000002"] = {"talk_seconds": 4, "record": True}
    assert ask(emu, "commands/callback", callback_data(line_number="74950000002")).json() == {
        "command_id": "c1",
        "result": 1000,
    }
    emu.wait_idle()
    truth = emu.calls[0].truth()
    assert (truth["direction"], truth["outcome"], truth["talk_seconds"]) == ("out", "answered", 4)
    assert truth["line"] == "74950000002"
    legs = [data for path, data in hub.got if path == "events/call"]
    assert {data["command_id"] for data in legs} == {"c1"}
    assert {data["callback_initiator"] for data in legs} == {"API"}
    assert ("result/callback", {"command_id": "c1", "result": 1000}) in hub.got


def test_callback_by_the_name_of_a_sip_line_and_group_callback(emu: MangoEmulator, hub: Hub) -> None:
    assert code(emu, "commands/callback", callback_data(line_number="Office")) == 1000
    group = {"command_id": "g", "from": "200", "to": "79000000003", "line_number": "74950000001"}
    assert code(emu, "commands/callback_group", group) == 1000
    emu.wait_idle()
    assert emu.calls[0].line == "sip:main@demo.mangosip.ru"
    assert emu.calls[1].outcome == "answered"
    assert not emu.violations


def test_hangup_ends_a_live_call(emu: MangoEmulator, hub: Hub) -> None:
    call = emu.call("incoming_direct", talk_window=20.0)
    command = {"command_id": "h1", "call_id": hub.wait_state("Connected")}
    assert code(emu, "commands/call/hangup", command) == 1000
    call.wait()
    assert call.reason == 1181
    assert ("result/call/hangup", {"command_id": "h1", "result": 1000}) in hub.got
    assert code(emu, "commands/call/hangup", command) == 4101


def test_hangup_by_a_party_and_proceed(emu: MangoEmulator, hub: Hub) -> None:
    call = emu.call("incoming_direct", talk_window=20.0)
    hub.wait_state("Connected")
    assert emu.hangup(call, by="employee")
    assert call.wait().reason == 1120
    other = emu.call("incoming_ivr", route_window=20.0, client="79000000005")
    hub.wait_state("Appeared", "ivr")
    emu.proceed(other)
    assert other.wait().outcome == "answered"


@pytest.mark.parametrize("method", ["blind", "hold"])
def test_transfer_command(emu: MangoEmulator, hub: Hub, method: str) -> None:
    call = emu.call("incoming_direct", talk_window=20.0, second_ring_seconds=1)
    call_id = hub.wait_state("Connected")
    command = {"command_id": "t1", "call_id": call_id, "method": method, "to_number": "103", "initiator": "101"}
    assert code(emu, "commands/transfer", command) == 1000
    hub.wait(lambda _, data: data.get("transfer") == "blind" and data["call_state"] == "Connected")
    emu.proceed(call)
    truth = call.wait().truth()
    assert (truth["first_extension"], truth["extension"], truth["outcome"]) == ("101", "103", "answered")
    assert ("result/transfer", {"command_id": "t1", "result": 1000}) in hub.got
    assert any(data.get("transfer") == "consultative" for _, data in hub.got) == (method == "hold")


def test_hold_play_and_recording_commands(emu: MangoEmulator, hub: Hub) -> None:
    call = emu.call("incoming_direct", talk_window=20.0)
    call_id = hub.wait_state("Connected")
    start = {"command_id": "r1", "call_id": call_id, "call_party_number": "101"}
    assert code(emu, "commands/recording/start", start) == 1000
    assert code(emu, "commands/recording/start", start) == 4102
    assert code(emu, "commands/play/start", {"command_id": "p", "call_id": call_id, "internal_id": 1}) == 1000
    hold = {"command_id": "o", "call_id": call_id, "initiator": "101"}
    assert code(emu, "commands/call/hold/on", hold) == 1000
    hub.wait(lambda _, data: data.get("call_state") == "OnHold")
    hub.wait(lambda _, data: data.get("call_state") == "Connected" and data["seq"] == 4)
    emu.proceed(call)
    assert len(call.wait().recordings) == 1
    assert {"result/recording/start", "result/play/start", "result/call/hold/on"} <= {path for path, _ in hub.got}


def test_route_too_late_and_to_nobody(emu: MangoEmulator, hub: Hub, clock: Clock) -> None:
    emu.call("incoming_ivr").wait()
    late = {"command_id": "r", "call_id": hub.wait_state("Appeared", "ivr"), "to_number": "101"}
    assert code(emu, "commands/route", late) == 4101
    clock.now += 2
    call = emu.call("incoming_direct", talk_window=20.0, client="79000000009")
    data = hub.wait(lambda _, d: d.get("call_state") == "Connected" and d["from"].get("number") == "79000000009")
    assert code(emu, "commands/route", {**late, "call_id": data["call_id"]}) == 4100
    clock.now += 2
    assert code(emu, "commands/route", {**late, "to_number": "177"}) == 3200
    emu.proceed(call)
    call.wait()
    assert whats(emu) == ["route_too_late", "route_too_late", "route_target_unknown"]


def test_route_takes_a_ringing_leg_and_reaches_a_group(emu: MangoEmulator, hub: Hub) -> None:
    call = emu.call("incoming_direct", extension="103", route_window=20.0)
    route = {"command_id": "r9", "call_id": hub.wait_state("Appeared"), "to_number": "200"}
    assert code(emu, "commands/route", route) == 1000
    emu.loop.call_soon_threadsafe(call.proceed)
    hub.wait_state("Appeared", "queue")
    emu.proceed(call)
    truth = call.wait().truth()
    assert truth["extension"] == "102"
    queue = hub.wait(lambda _, data: data.get("location") == "queue")
    assert (queue["command_id"], queue["to"]["acd_group"]) == ("r9", "200")


def test_refusal_may_come_later(emu: MangoEmulator, hub: Hub) -> None:
    emu.async_refusals = True
    assert code(emu, "commands/call/hangup", {"command_id": "h", "call_id": "gone"}) == 1000
    assert hub.wait(lambda path, _: path == "result/call/hangup") == {"command_id": "h", "result": 4101}


# --- strictness


@pytest.mark.parametrize(
    ("endpoint", "data", "expected", "what"),
    [
        ("commands/callback", {"from": {"extension": "101"}, "to_number": "79000000001"}, 3103, "command_id_missing"),
        ("commands/callback", callback_data("x" * 128), 3104, "command_id_bad"),
        ("commands/callback", {**callback_data(), "from": {"extension": ""}}, 3104, "bad_param"),
        ("commands/callback", {**callback_data(), "from": {"extension": 101}}, 3104, "bad_param"),
        ("commands/callback", {**callback_data(), "from": {"extension": "555"}}, 3300, "unknown_extension"),
        ("commands/callback", {**callback_data(), "to_number": "+79000000001"}, 3200, "wrong_number"),
        ("commands/callback", callback_data(line_number="sip:main@demo.mangosip.ru"), 3330, "unknown_line"),
        ("commands/call/hangup", {"command_id": "h"}, 3103, "missing_param"),
        ("commands/callback", "[1]", 3400, "bad_json"),
        ("commands/callback", "{", 3400, "bad_json"),
        ("queries/recording/post", {"recording_id": "x", "action": "steal"}, 3104, "bad_param"),
        ("queries/recording/post", {"recording_id": "x", "action": "play"}, 3320, "recording_unknown"),
        ("config/users/request", {"ext_fields": ["general.salary"]}, 3104, "bad_param"),
        ("stats/request", {"date_from": "1", "date_to": "9999999"}, 3104, "bad_param"),
        ("stats/request", {"date_from": "1", "date_to": "2", "fields": "start,wage"}, 3104, "bad_param"),
        ("stats/calls/request/", {"start_date": "2026-03-02", "end_date": "x", "limit": 5}, 3104, "bad_param"),
    ],
)
def test_malformed_parameters(emu: MangoEmulator, endpoint: str, data: Any, expected: int, what: str) -> None:
    assert code(emu, endpoint, data) == expected
    assert whats(emu) == [what]
    assert emu.violations[0].account == DEFAULT_KEY


def test_authentication(emu: MangoEmulator) -> None:
    url = f"{emu.url}/vpbx/incominglines"
    assert code(emu, "incominglines", {}, vpbx_api_key="foreign") == 3105
    assert code(emu, "incominglines", {}, sign="f" * 64) == 3102
    emu.reset()
    assert code(emu, "incominglines", {}, extra="1") == 3100
    assert requests.get(url, timeout=20).json() == {"result": 3101}
    assert requests.post(url, json={}, timeout=20).json() == {"result": 3100}
    body = {"vpbx_api_key": "nobody", "json": "{}"}
    assert requests.post(url, data=body, timeout=20).json() == {"result": 3103}
    assert whats(emu) == ["extra_field", "not_post", "content_type", "missing_field"]


def test_signature_covers_the_raw_string_and_blanks_are_noted(emu: MangoEmulator) -> None:
    assert code(emu, "incominglines", "{ }") == 1000
    assert code(emu, "incominglines", '{"odd":1}') == 1000
    assert whats(emu) == ["json_blanks", "unknown_param"]


def test_unknown_endpoints(emu: MangoEmulator) -> None:
    assert ask(emu, "commands/teleport", {}).status_code == 404
    assert requests.get(f"{emu.url}/other", timeout=20).status_code == 404
    assert whats(emu) == ["unknown_endpoint", "unknown_endpoint"]
    assert code(emu, "sips", {}) == 4001


def test_lock_after_two_mistakes(emu: MangoEmulator, clock: Clock) -> None:
    assert code(emu, "incominglines", {}) == 1000
    assert code(emu, "incominglines", {}, sign="0") == 3102
    clock.now += 60
    assert code(emu, "incominglines", {}, sign="0") == 3102
    assert ask(emu, "incominglines", {}).status_code == 401
    clock.now += 59
    assert ask(emu, "incominglines", {}).status_code == 401
    clock.now += 1
    assert code(emu, "incominglines", {}) == 1000
    assert whats(emu) == ["bad_signature", "bad_signature", "locked", "locked"]


def test_one_mistake_in_two_minutes_does_not_lock(emu: MangoEmulator, clock: Clock) -> None:
    for _ in range(3):
        assert code(emu, "incominglines", {}, sign="0") == 3102
        clock.now += 120
    assert code(emu, "incominglines", {}) == 1000


@pytest.mark.parametrize(
    ("endpoint", "data", "allowed", "window"),
    [
        ("commands/callback", callback_data(), 4, 1.0),
        ("commands/call/hangup", {"command_id": "h", "call_id": "x"}, 4, 1.0),
        ("commands/route", {"command_id": "r", "call_id": "x", "to_number": "101"}, 1, 2.0),
        (
            "commands/transfer",
            {"command_id": "t", "call_id": "x", "method": "blind", "to_number": "102", "initiator": "101"},
            1,
            2.0,
        ),
        ("config/users/request", {}, 1, 2.0),
        ("stats/request", {"date_from": "1", "date_to": "2"}, 1, 2.0),
        ("incominglines", {}, 10, 1.0),
    ],
)
def test_rate_limits(
    emu: MangoEmulator, clock: Clock, endpoint: str, data: dict[str, Any], allowed: int, window: float
) -> None:
    assert [ask(emu, endpoint, data).status_code for _ in range(allowed)] == [200] * allowed
    refused = ask(emu, endpoint, data)
    assert refused.status_code == 429
    assert refused.json() == {
        "name": "Service Unavailable",
        "message": "Rate limit exceeded.",
        "code": 0,
        "status": 429,
    }
    clock.now += window
    assert ask(emu, endpoint, data).status_code == 200
    assert whats(emu).count("rate_limit") == 1


# --- directories, histories, recordings


def test_users_show_the_id_only_when_asked(emu: MangoEmulator, clock: Clock) -> None:
    emu.account().employees.append(Employee("", "Without extension", 300000104))
    plain = ask(emu, "config/users/request", {}).json()["users"]
    assert [user["telephony"]["extension"] for user in plain] == ["101", "102", "103", ""]
    assert "user_id" not in plain[0]["general"]
    assert "groups" not in plain[0]
    clock.now += 2
    rich = ask(emu, "config/users/request", {"ext_fields": ["general.user_id", "groups"], "extension": "101"}).json()
    assert [user["general"]["user_id"] for user in rich["users"]] == [300000101]
    assert rich["users"][0]["groups"] == [10000200]
    lines = ask(emu, "incominglines", {}).json()["lines"]
    assert [line["number"] for line in lines] == ["74950000001", "74950000002", "sip:main@demo.mangosip.ru"]
    assert code(emu, "groups", {}) == code(emu, "account/balance", {}) == 1000


def test_basic_history(emu: MangoEmulator, hub: Hub, clock: Clock) -> None:
    answered = emu.call("incoming_ivr", record=True, talk_seconds=7).wait()
    emu.call("missed").wait()
    emu.stats_delay = None
    fields = (
        "records,start,finish,answer,from_extension,from_number,to_extension,to_number,"
        "disconnect_reason,line_number,location,create,entry_id"
    )
    period = {"date_from": str(int(clock.now) - 3600), "date_to": str(int(clock.now))}
    request = {**period, "fields": fields, "request_id": "s-1"}
    key = ask(emu, "stats/request", request).json()["key"]
    assert ask(emu, "stats/result", {"key": key}).status_code == 204
    emu.finish_reports()
    assert hub.wait(lambda path, _: path == "result/stat") == {"key": key, "request_id": "s-1"}
    clock.now += 5
    report = ask(emu, "stats/result", {"key": key})
    assert report.headers["content-type"] == "text/csv"
    rows = [dict(zip(fields.split(","), row.split(";"), strict=True)) for row in report.text.splitlines()]
    first = rows[0]
    assert first["entry_id"] == answered.entry_id
    assert int(first["finish"]) - int(first["answer"]) == 7
    assert first["records"] == f"[{answered.recordings[0].recording_id}]"
    assert [row["answer"] for row in rows[1:]] == ["0", "0"]
    assert not emu.violations
    assert ask(emu, "stats/result", {"key": key}).status_code == 200
    assert whats(emu) == ["stats_polled_too_often"]
    assert ask(emu, "stats/result", {"key": "expired"}).status_code == 404
    clock.now += 5
    default = ask(emu, "stats/request", period).json()["key"]
    emu.finish_reports()
    assert answered.entry_id not in ask(emu, "stats/result", {"key": default}).text


def test_extended_history(emu: MangoEmulator, clock: Clock) -> None:
    call = emu.call("incoming_ivr", record=True, talk_seconds=7, at=1772524000.0).wait()
    emu.call("internal", at=1772524000.0).wait()
    request = {"start_date": "03.03.2026 10:00:00", "end_date": "03.03.2026 12:00:00", "limit": 100, "offset": 0}
    key = ask(emu, "stats/calls/request/", request).json()["key"]
    emu.finish_reports()
    answer = ask(emu, "stats/calls/result/", {"key": key}).json()
    assert answer["status"] == "complete"
    first, second = answer["data"][0]["list"]
    assert (first["entry_id"], first["context_type"], first["talk_duration"]) == (call.entry_id, 1, 7)
    assert first["context_calls"][0]["recording_id"] == [call.recordings[0].recording_id]
    assert first["context_calls"][0]["external_call_id"] == call.legs[1].call_id
    assert second["context_type"] == 3
    assert ask(emu, "stats/calls/result/", {"key": "x"}).json()["status"] == "not-found"


def test_recording_is_served_once_per_link_and_only_after_it_was_added(
    emu: MangoEmulator, hub: Hub, clock: Clock
) -> None:
    call = emu.call("outgoing", record=True, talk_window=20.0)
    recording_id = hub.wait(lambda path, _: path == "events/recording")["recording_id"]
    command = {"recording_id": recording_id, "action": "download"}
    assert code(emu, "queries/recording/post", command) == 3320
    assert whats(emu) == ["recording_too_early"]
    emu.proceed(call)
    call.wait()
    redirect = ask(emu, "queries/recording/post", command)
    assert redirect.status_code == 302
    link = redirect.headers["location"]
    assert link.startswith(emu.url + "/files/")
    assert requests.post(link, data={"json": "{}"}, timeout=20).status_code == 405
    file = requests.get(link, timeout=20)
    assert file.headers["content-type"] == "audio/mpeg"
    assert file.content.startswith(b"ID3")
    assert b"\xff\xfb\x10\xc4" in file.content
    assert requests.get(link, timeout=20).status_code == 404
    again = requests.get(ask(emu, "queries/recording/post", command).headers["location"], timeout=20)
    assert again.content == file.content
    assert whats(emu)[1:] == ["redirect_followed_with_form", "link_used_twice"]


def test_public_link(emu: MangoEmulator, clock: Clock) -> None:
    recording_id = emu.call("outgoing", record=True).wait().recordings[0].recording_id
    expiry = str(int(clock.now) + 60)
    sign = wire.link_sign(DEFAULT_KEY, expiry, recording_id, DEFAULT_SALT)
    base = f"{emu.url}/vpbx/queries/recording/link/{quote(recording_id, safe='')}/download/{DEFAULT_KEY}/{expiry}/"
    assert requests.get(base + sign, timeout=20).headers["content-type"] == "audio/mpeg"
    assert requests.get(base + "0", timeout=20).json() == {"result": 3102}
    clock.now += 61
    assert requests.get(base + sign, timeout=20).status_code == 404


def test_call_tracking_answers_while_the_call_is_alive(emu: MangoEmulator, hub: Hub) -> None:
    call = emu.call("call_tracking", route_window=20.0)
    hub.wait_state("Appeared", "ivr")
    data = ask(emu, "queries/user_info_by_dct_number", {"number": "74950000077"}).json()["data"]
    assert data["channel"]["source"] == "yandex"
    assert ask(emu, "queries/user_history_by_dct_number", {"number": "74950000077"}).json()["data"]
    emu.proceed(call)
    call.wait()
    assert ask(emu, "queries/user_info_by_dct_number", {"number": "74950000077"}).json() == {}


# --- faults, several accounts, control, page


def test_faults(emu: MangoEmulator) -> None:
    emu.fault("down", count=1)
    assert ask(emu, "incominglines", {}).status_code == 503
    emu.fault("html", count=1)
    assert ask(emu, "incominglines", {}).text.startswith("<html>")
    emu.fault("rate_limited", path="incoming", count=1)
    assert ask(emu, "incominglines", {}).status_code == 429
    emu.fault("slow", seconds=0.01, count=1)
    assert code(emu, "incominglines", {}) == 1000
    emu.fault("result", result=2240, path="callback", count=1)
    assert code(emu, "commands/callback", callback_data()) == 2240
    emu.fault("reset", count=1)
    with pytest.raises(requests.ConnectionError):
        ask(emu, "incominglines", {})
    emu.fault("truncated", count=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        ask(emu, "incominglines", {})
    emu.fault("empty", count=1)
    assert ask(emu, "incominglines", {}).content == b""
    emu.fault("wrong_type", count=1)
    assert ask(emu, "incominglines", {}).headers["content-type"] == "audio/mpeg"
    assert code(emu, "incominglines", {}) == 1000
    assert not emu.violations


def test_accounts_are_apart(hub: Hub) -> None:
    pair = [Account(hub_url=hub.url), Account("key-b", "salt-b", hub.url, product_id=300000002)]
    with MangoEmulator(accounts=pair) as emu:
        payload = "{}"
        form = {"vpbx_api_key": "key-b", "sign": wire.sign("key-b", payload, "salt-b"), "json": payload}
        url = f"{emu.url}/vpbx/config/users/request"
        assert requests.post(url, data=form, timeout=20).status_code == 200
        assert ask(emu, "config/users/request", {}).status_code == 200
        assert requests.post(url, data=form, timeout=20).status_code == 429
        assert [item.account for item in emu.violations] == ["key-b"]


def test_control_interface(emu: MangoEmulator, hub: Hub) -> None:
    base = f"{emu.url}/_emulator"
    values = {"scenario": "outgoing", "client": "79000000007", "extension": "102", "talk_seconds": 5, "count": 2}
    started = requests.post(f"{base}/calls", json=values, timeout=20).json()["entry_ids"]
    emu.wait_idle()
    calls = requests.get(f"{base}/calls", timeout=20).json()["calls"]
    assert [call["entry_id"] for call in calls] == started
    assert (calls[0]["talk_seconds"], calls[0]["extension"], calls[0]["done"]) == (5, "102", True)
    assert requests.post(f"{base}/calls", json={"scenario": "nonsense"}, timeout=20).status_code == 400
    assert requests.post(f"{base}/calls", json={"wrong": 1}, timeout=20).status_code == 400
    requests.post(f"{base}/faults", json={"kind": "down", "count": 1}, timeout=20)
    assert ask(emu, "incominglines", {}).status_code == 503
    ask(emu, "nonsense", {})
    shown = requests.get(f"{base}/violations", timeout=20).json()["violations"]
    assert [item["what"] for item in shown] == ["unknown_endpoint"]
    account = {"key": "k2", "salt": "s2", "hub_url": hub.url, "employees": [{"extension": "0511", "name": "Zoya"}]}
    assert requests.post(f"{base}/accounts", json=account, timeout=20).json()["employees"][0]["extension"] == "0511"
    state = requests.get(f"{base}/state", timeout=20).json()
    assert [item["key"] for item in state["accounts"]] == [DEFAULT_KEY, "k2"]
    assert DEFAULT_SALT not in json.dumps(state)
    assert state["counters"]["calls"] == 2
    requests.post(f"{base}/reset", json={}, timeout=20)
    assert not emu.violations
    assert not emu.calls


def test_page_is_marked_escaped_and_bilingual(emu: MangoEmulator) -> None:
    emu.account().employees[0].name = "<script>alert(1)</script>"
    emu.account().employees[0].extension = '"><img>'
    russian = requests.get(emu.url, headers={"Accept-Language": "ru-RU,ru;q=0.9"}, timeout=20).text
    english = requests.get(emu.url, params={"lang": "en"}, headers={"Accept-Language": "ru"}, timeout=20).text
    assert "Эмулятор Mango Office" in russian
    assert "Emulator of Mango Office" in english
    assert "<img>" not in english
    assert "alert(1)" not in english
    assert "https://" not in english
