"""The Bitrix24 emulator keeps the vendor's rules, and clients written by others get on with it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import queue
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.emulators.bitrix24 import Bitrix24Emulator, Client, ManualClock, PortalConfig, User
from tests.emulators.bitrix24 import __main__ as command_line
from tests.emulators.bitrix24.limits import Bucket
from tests.emulators.bitrix24.wire import parse_php

CLIENT = "+79000000001"
STRANGER = "+79000000002"
START = "2026-01-01T13:00:00+03:00"
CREDENTIALS = {"client_id": "local.0000000000000000.00000001", "client_secret": "demo-client-secret"}


class Caller:
    """A plain client: JSON bodies, the demo token."""

    def __init__(self, emu: Bitrix24Emulator) -> None:
        self.emu = emu
        self.token = "demo-access"

    def raw(self, method: str, **params: Any) -> requests.Response:
        body = {"auth": self.token, **params}
        return requests.post(f"{self.emu.url}/rest/{method}", json=body, timeout=20, allow_redirects=False)

    def ok(self, method: str, **params: Any) -> Any:
        response = self.raw(method, **params)
        assert response.status_code == 200, response.text
        return response.json()["result"]

    def refused(self, method: str, **params: Any) -> tuple[int, str, str]:
        response = self.raw(method, **params)
        body = response.json()
        return response.status_code, body["error"], body["error_description"]

    def register(self, **params: Any) -> dict[str, Any]:
        facts = {"USER_ID": 12, "PHONE_NUMBER": CLIENT, "TYPE": 2, "SHOW": 0, "CALL_START_DATE": START}
        answer: dict[str, Any] = self.ok("telephony.externalCall.register", **(facts | params))
        return answer

    def finish(self, call_id: str, **params: Any) -> Any:
        facts = {"USER_ID": 12, "DURATION": 30, "STATUS_CODE": "200", "ADD_TO_CHAT": 0}
        return self.ok("telephony.externalCall.finish", CALL_ID=call_id, **(facts | params))

    def finished(self, **params: Any) -> str:
        call_id = self.register(**params)["CALL_ID"]
        self.finish(call_id)
        return str(call_id)

    def batch(self, halt: int = 0, **commands: str) -> Any:
        return self.ok("batch", halt=halt, cmd=commands)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def emu(clock: ManualClock) -> Iterator[Bitrix24Emulator]:
    with Bitrix24Emulator([PortalConfig(webhooks={"hook": 1})], clock=clock) as emulator:
        yield emulator


@pytest.fixture
def b24(emu: Bitrix24Emulator) -> Caller:
    return Caller(emu)


@pytest.fixture
def site() -> Iterator[tuple[str, queue.Queue[dict[str, Any]]]]:
    """A server of ours: gives recordings, takes events."""
    events: queue.Queue[dict[str, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path.startswith("/rec") else 404)
            self.end_headers()
            self.wfile.write(b"ID3" + self.path.encode())

        def do_POST(self) -> None:
            events.put(parse_php(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(500 if "broken" in self.path else 200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", events
    server.shutdown()
    server.server_close()
    thread.join()


# --- request forms and authorisation


@pytest.mark.parametrize("name", ["user.get", "USER.GET", "user.get.json"])
def test_names_bodies_and_places_of_auth(emu: Bitrix24Emulator, name: str) -> None:
    url = f"{emu.url}/rest/{name}"
    forms: list[Callable[[], requests.Response]] = [
        lambda: requests.post(url, json={"auth": "demo-access", "FILTER": {"UF_PHONE_INNER": "101"}}, timeout=9),
        lambda: requests.post(url, data={"auth": "demo-access", "FILTER[UF_PHONE_INNER]": "101"}, timeout=9),
        lambda: requests.post(f"{url}?auth=demo-access", json={"FILTER": {"UF_PHONE_INNER": "101"}}, timeout=9),
        lambda: requests.get(url, {"auth": "demo-access", "FILTER[UF_PHONE_INNER]": "101"}, timeout=9),
        lambda: requests.post(f"{emu.url}/rest/1/hook/{name}", json={"FILTER": {"UF_PHONE_INNER": "101"}}, timeout=9),
    ]
    for form in forms:
        answer = form().json()
        assert [user["ID"] for user in answer["result"]] == ["12"]
        assert answer["total"] == 1
        assert "next" not in answer
        assert answer["time"]["date_start"].endswith("+03:00")
    assert emu.violations == []


def test_unknown_token_expired_token_unknown_method(b24: Caller, clock: ManualClock) -> None:
    assert b24.refused("crm.nothing")[:2] == (404, "ERROR_METHOD_NOT_FOUND")
    clock.advance(3600)
    assert b24.refused("user.get") == (401, "expired_token", "The access token provided has expired")
    b24.token = "nobody"
    assert b24.refused("user.get") == (401, "NO_AUTH_FOUND", "Wrong authorization data")
    assert b24.emu.violation_names() == ["unknown_method", "unauthenticated"]


def test_webhooks_are_refused_by_telephony_and_unscoped_methods_by_scope(emu: Bitrix24Emulator) -> None:
    base = f"{emu.url}/rest/1/hook/"
    probe = requests.post(base + "telephony.externalLine.get", timeout=9)
    assert (probe.status_code, probe.json()["error"]) == (403, "WRONG_AUTH_TYPE")
    assert emu.violations == []  # this is how a client finds out
    assert requests.post(base + "telephony.externalCall.register", timeout=9).status_code == 403
    assert emu.violation_names() == ["wrong_auth_type"]
    assert requests.post(base + "telephony.externalCall.searchCrmEntities", json={"PHONE_NUMBER": CLIENT}, timeout=9).ok
    emu.portal.config.scopes = ("telephony",)
    assert Caller(emu).refused("tasks.task.add")[:2] == (403, "insufficient_scope")
    emu.portal.config.webhook_telephony = True
    assert requests.post(base + "telephony.externalLine.get", timeout=9).json()["result"] == []


def test_refresh_replaces_both_tokens_and_old_ones_are_single_use(b24: Caller, clock: ManualClock) -> None:
    clock.advance(3600)
    url = f"{b24.emu.url}/oauth/token/"
    query = {"grant_type": "refresh_token", **CREDENTIALS, "refresh_token": "demo-refresh"}
    fresh = requests.get(url, query, timeout=9).json()
    assert fresh["expires_in"] == 3600
    assert fresh["expires"] == int(clock() + 3600)
    assert fresh["client_endpoint"] == f"{b24.emu.url}/rest/"
    assert fresh["member_id"] == "demo-member"
    assert fresh["domain"] == urlsplit(b24.emu.url).netloc
    b24.token = fresh["access_token"]
    assert b24.ok("profile")["ID"] == "1"
    assert b24.emu.violations == []
    again = requests.get(url, query, timeout=9)
    assert again.status_code == 400
    assert again.json()["error"] == "invalid_grant"
    requests.get(url, query | {"refresh_token": fresh["refresh_token"]}, timeout=9)
    assert b24.emu.violation_names() == ["refresh_token_reuse", "refresh_too_early"]
    wrong = requests.get(url, query | {"client_secret": "x"}, timeout=9)
    assert wrong.status_code == 200
    assert wrong.json()["error"] == "WRONG_CLIENT"


def test_authorisation_code_lives_half_a_minute_and_once(emu: Bitrix24Emulator, clock: ManualClock) -> None:
    emu.portal.config.redirect_uri = "https://hub.example.com/back?x=1"
    query = {"client_id": CREDENTIALS["client_id"], "state": "s&1"}

    def code() -> str:
        answer = requests.get(f"{emu.url}/oauth/authorize/", query, timeout=9, allow_redirects=False)
        assert answer.status_code == 302
        back = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert back["state"] == ["s&1"]
        assert back["member_id"] == ["demo-member"]
        assert back["x"] == ["1"]
        assert {"domain", "scope", "server_domain"} <= back.keys()
        return back["code"][0]

    def exchange(value: str) -> dict[str, Any]:
        form = {"grant_type": "authorization_code", **CREDENTIALS, "code": value}
        return dict(requests.get(f"{emu.url}/oauth/token/", form, timeout=9).json())

    first = code()
    assert exchange(first)["access_token"]
    assert exchange(first)["error"] == "invalid_grant"
    late = code()
    clock.advance(30)
    assert exchange(late)["error"] == "invalid_grant"


def test_app_info_and_dictionaries(b24: Caller) -> None:
    info = b24.ok("app.info")
    assert info["INSTALLED"] is True
    assert info["install"]["member_id"] == "demo-member"
    assert set(b24.ok("scope")) >= {"telephony", "crm", "im"}
    assert b24.ok("method.get", name="telephony.externalcall.finish") == {"isExisting": True, "isAvailable": True}
    assert b24.ok("method.get", name="telephony.externalCall.answer") == {"isExisting": False, "isAvailable": False}
    sources = b24.ok("crm.status.list", filter={"ENTITY_ID": "SOURCE"})
    assert {"CALL", "CALLBACK", "WEB", "ADVERTISING"} <= {row["STATUS_ID"] for row in sources}


# --- limits


def test_bucket_numbers_of_the_documentation() -> None:
    burst = Bucket(50, 2)
    assert [burst.hit(0) for _ in range(60)].count(False) == 10
    steady = Bucket(50, 2)
    assert next(n for n in range(1, 100) if not steady.hit((n - 1) / 10)) == 63


def test_rate_limit_counts_a_batch_once_and_leaks(b24: Caller, clock: ManualClock) -> None:
    for _ in range(50):
        b24.batch(a="scope", b="scope")
    assert b24.refused("scope") == (503, "QUERY_LIMIT_EXCEEDED", "Too many requests")
    assert b24.emu.violation_names() == ["rate_limit"]
    clock.advance(1)
    b24.ok("scope")
    b24.ok("scope")
    assert b24.raw("scope").status_code == 503


def test_operating_limit_blocks_one_method(b24: Caller, clock: ManualClock) -> None:
    b24.emu.portal.config.operating_cost = {"crm.lead.list": 200}
    for wanted in (200, 400, 600):
        assert b24.raw("crm.lead.list").json()["time"]["operating"] == wanted
    assert b24.refused("crm.lead.list")[:2] == (429, "OPERATION_TIME_LIMIT")
    inside = b24.batch(l="crm.lead.list", s="scope")
    assert inside["result_error"]["l"]["error"] == "OPERATION_TIME_LIMIT"
    assert inside["result"]["s"]
    clock.advance(610)
    b24.ok("crm.lead.list")


# --- batch


def test_batch_references_empty_maps_and_halt(b24: Caller) -> None:
    facts = "USER_ID=12&PHONE_NUMBER=%2B79000000001&TYPE=2&SHOW=0&EXTERNAL_CALL_ID=b-1"
    result = b24.batch(
        reg=f"telephony.externalCall.register?{facts}",
        show="telephony.externalCall.show?CALL_ID=$result[reg][CALL_ID]&USER_ID%5B0%5D=12&USER_ID%5B1%5D=13",
        fin="telephony.externalCall.finish?CALL_ID=%24result%5Breg%5D%5BCALL_ID%5D&USER_ID=12&DURATION=0",
        act="crm.activity.update?id=$result[fin][CRM_ACTIVITY_ID]&fields%5BDESCRIPTION%5D=a%7Cb",
    )
    assert result["result_error"] == [] == result["result_total"] == result["result_next"]
    assert result["result"]["show"] is True
    assert result["result"]["act"] is True
    assert result["result"]["fin"]["CALL_FAILED_CODE"] == "304"
    assert result["result"]["fin"]["CALL_STATUS"] == 0
    assert set(result["result_time"]) == {"reg", "show", "fin", "act"}
    assert next(iter(b24.emu.portal.activities.values()))["DESCRIPTION"] == "a|b"
    halted = b24.batch(halt=1, bad="crm.lead.get?id=1", never="scope")
    assert halted["result"] == []
    assert list(halted["result_error"]) == ["bad"]
    assert halted["result_time"] == []


def test_batch_as_a_form_encodes_nested_values_twice(b24: Caller) -> None:
    call_id = b24.register()["CALL_ID"]
    body = (
        f"halt=1&auth=demo-access&cmd%5Bfin%5D=telephony.externalCall.finish%3FCALL_ID%3D{call_id}%26USER_ID%3D12"
        "%26DURATION%3D95%26STATUS_CODE%3D200%26ADD_TO_CHAT%3D1&cmd%5Bact%5D=crm.activity.update%3Fid%3D%24result"
        "%5Bfin%5D%5BCRM_ACTIVITY_ID%5D%26fields%255BDESCRIPTION%255D%3Dmango-1%257Cleg%253D101%257C95s"
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = requests.post(f"{b24.emu.url}/rest/batch", body, headers=headers, timeout=9).json()["result"]
    assert answer["result"]["fin"]["CALL_DURATION"] == 95
    assert next(iter(b24.emu.portal.activities.values()))["DESCRIPTION"] == "mango-1|leg=101|95s"
    assert b24.emu.violations == []


def test_batch_refusals(b24: Caller) -> None:
    too_many = {f"c{i}": "scope" for i in range(51)}
    assert b24.refused("batch", cmd=too_many)[:2] == (400, "ERROR_BATCH_LENGTH_EXCEEDED")
    nested = b24.batch(b="batch?cmd%5Ba%5D=scope", s="scope")
    assert nested["result_error"]["b"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"
    assert nested["result"]["s"]
    assert b24.emu.violation_names() == ["batch_too_long", "nested_batch"]


# --- register


def test_register_binds_the_contact_and_makes_the_line(b24: Caller) -> None:
    answer = b24.register(LINE_NUMBER="74950000001", EXTERNAL_CALL_ID="m-1", SHOW=1)
    assert answer["CALL_ID"].startswith("externalCall.")
    assert len(answer["CALL_ID"].split(".")[1]) == 32
    assert (answer["CRM_ENTITY_TYPE"], answer["CRM_ENTITY_ID"]) == ("CONTACT", 651)
    assert answer["CRM_CREATED_LEAD"] is None
    assert answer["CRM_CREATED_ENTITIES"] == []
    assert [line["NUMBER"] for line in b24.ok("telephony.externalLine.get")] == ["74950000001"]
    assert list(b24.emu.portal.screens[12]) == [answer["CALL_ID"]]


def test_same_external_id_is_idempotent_for_half_an_hour(b24: Caller, clock: ManualClock) -> None:
    first = b24.register(EXTERNAL_CALL_ID="m-1", PHONE_NUMBER=STRANGER, CRM_CREATE=1)
    clock.advance(1799)
    assert b24.register(EXTERNAL_CALL_ID="m-1", PHONE_NUMBER=STRANGER, CRM_CREATE=1) == first
    assert b24.emu.violations == []
    assert len(b24.emu.calls) == 1
    b24.register(EXTERNAL_CALL_ID="m-1", PHONE_NUMBER=CLIENT)
    assert b24.emu.violation_names() == ["register_differs"]
    clock.advance(1)
    assert b24.register(EXTERNAL_CALL_ID="m-1", PHONE_NUMBER=STRANGER)["CALL_ID"] != first["CALL_ID"]
    assert b24.emu.violation_names()[-1] == "register_after_30_min"


def test_without_external_id_the_same_facts_are_the_same_call(b24: Caller, clock: ManualClock) -> None:
    first = b24.register(LINE_NUMBER="1")["CALL_ID"]
    assert b24.register(LINE_NUMBER="1")["CALL_ID"] == first
    others: list[dict[str, Any]] = [{"LINE_NUMBER": "2"}, {"TYPE": 1}, {"USER_ID": 13}, {"PHONE_NUMBER": STRANGER}]
    assert first not in {b24.register(**({"LINE_NUMBER": "1"} | other))["CALL_ID"] for other in others}
    clock.advance(1800)
    assert b24.register(LINE_NUMBER="1")["CALL_ID"] != first


def test_finished_call_is_not_reused_and_a_second_one_is_a_double(b24: Caller) -> None:
    b24.finished(EXTERNAL_CALL_ID="m-1")
    b24.finished(EXTERNAL_CALL_ID="m-1")
    assert b24.emu.violation_names() == ["register_after_finish", "doubled_call"]


def test_crm_create_in_the_classic_mode_and_the_responsible_at_finish(b24: Caller) -> None:
    answer = b24.register(PHONE_NUMBER=STRANGER, CRM_CREATE=1, CRM_SOURCE="WEB")
    lead = answer["CRM_CREATED_LEAD"]
    assert answer["CRM_CREATED_ENTITIES"] == [{"ENTITY_TYPE": "LEAD", "ENTITY_ID": lead}]
    assert b24.ok("crm.lead.get", id=lead)["ASSIGNED_BY_ID"] == "12"
    b24.finish(answer["CALL_ID"], USER_ID=13)
    row = b24.ok("crm.lead.get", id=lead)
    assert (row["ASSIGNED_BY_ID"], row["SOURCE_ID"], row["PHONE"][0]["VALUE"]) == ("13", "WEB", STRANGER)
    known = b24.register(CRM_CREATE=1, EXTERNAL_CALL_ID="known")
    b24.finish(known["CALL_ID"], USER_ID=13)
    assert b24.ok("crm.contact.get", id=651)["ASSIGNED_BY_ID"] == "12"  # an existing entity keeps its own


def test_crm_create_in_the_simple_mode(b24: Caller) -> None:
    b24.emu.portal.config.crm_mode = 2
    assert b24.ok("crm.settings.mode.get") == 2
    answer = b24.register(PHONE_NUMBER=STRANGER, CRM_CREATE=1)
    assert answer["CRM_CREATED_LEAD"] is None
    assert answer["CRM_ENTITY_TYPE"] == "CONTACT"
    assert [e["ENTITY_TYPE"] for e in answer["CRM_CREATED_ENTITIES"]] == ["CONTACT", "DEAL"]
    lead = b24.ok("crm.lead.add", fields={"TITLE": "x", "PHONE": [{"VALUE": "+79000000009"}]})
    assert b24.refused("crm.lead.get", id=lead)[0] == 400
    assert b24.ok("crm.duplicate.findbycomm", type="PHONE", values=["+79000000009"])["CONTACT"]


def test_no_crm_object_for_inner_numbers_and_disabled_creation(b24: Caller) -> None:
    assert b24.register(PHONE_NUMBER="102", CRM_CREATE=1)["CRM_CREATED_LEAD"] is None
    b24.emu.portal.config.lead_creation_error = "Lead creation is disabled for local users"
    answer = b24.register(PHONE_NUMBER=STRANGER, CRM_CREATE=1)
    assert answer["LEAD_CREATION_ERROR"] == "Lead creation is disabled for local users"
    assert (answer["CRM_ENTITY_TYPE"], answer["CRM_ENTITY_ID"]) == ("", None)


@pytest.mark.parametrize(
    ("change", "text", "what"),
    [
        ({"PHONE_NUMBER": "anonymous"}, "Unsupported phone number format", ["bad_phone"]),
        ({"USER_ID": 0, "USER_PHONE_INNER": "999"}, "USER_ID or USER_PHONE_INNER should be set", ["unknown_extension"]),
        ({"USER_ID": None}, "USER_ID or USER_PHONE_INNER should be set", ["missing_param"]),
        ({"USER_ID": 99}, "User is not found or is not active", []),
        ({"TYPE": 9}, "Unknown TYPE", ["bad_type"]),
        ({"CALL_START_DATE": "yesterday"}, "CALL_START_DATE should be in the ISO-8601 format", ["bad_start_date"]),
    ],
)
def test_register_refusals(b24: Caller, change: dict[str, Any], text: str, what: list[str]) -> None:
    facts = {"USER_ID": 12, "PHONE_NUMBER": CLIENT, "TYPE": 2} | change
    assert b24.refused("telephony.externalCall.register", **facts) == (400, "ERROR_CORE", text)
    assert b24.emu.violation_names() == what
    assert b24.emu.calls == []


def test_register_by_extension_date_without_offset_and_unknown_parameter(b24: Caller) -> None:
    b24.register(USER_ID=0, USER_PHONE_INNER="102", CALL_START_DATE="2026-01-01 13:00:00", Phone="1")
    assert b24.emu.calls[0].user_id == 13
    assert b24.emu.calls[0].started == START
    assert b24.emu.violation_names() == ["unknown_param", "start_date_without_offset"]
    b24.emu.portal.users[12].active = False
    text = b24.refused("telephony.externalCall.register", USER_ID=12, PHONE_NUMBER=CLIENT, TYPE=2)[2]
    assert text == "User is not found or is not active"


# --- show, hide, finish


def test_cards_are_hidden_by_finish_only_at_its_own_user(b24: Caller) -> None:
    call_id = b24.register()["CALL_ID"]
    assert b24.ok("telephony.externalCall.show", CALL_ID=call_id, USER_ID=[12, 13, 14]) is True
    assert b24.ok("telephony.externalCall.hide", CALL_ID=call_id, USER_ID=14) is True
    b24.finish(call_id, USER_ID=12)
    assert b24.emu.calls[0].shown == {13}
    assert b24.emu.violation_names() == ["card_left_hanging"]
    assert b24.ok("telephony.externalCall.hide", CALL_ID=call_id, USER_ID=13) is False
    assert b24.ok("telephony.externalCall.show", CALL_ID="externalCall.x.1") is False
    assert b24.emu.violation_names() == ["card_left_hanging", "hide_unknown", "show_unknown"]


def test_finish_makes_the_row_and_the_activity_and_destroys_the_call(b24: Caller) -> None:
    call_id = b24.register(EXTERNAL_CALL_ID="m-1", LINE_NUMBER="74950000001")["CALL_ID"]
    answer = b24.finish(call_id, DURATION=95, ADD_TO_CHAT=1)
    assert answer["CALL_START_DATE"] == {}
    assert answer["CALL_STATUS"] == 1
    assert answer["INCOMING"] == "2"
    assert (answer["EXTERNAL_CALL_ID"], answer["CRM_ENTITY_ID"], answer["PORTAL_NUMBER"]) == ("m-1", 651, "74950000001")
    rows = b24.ok("voximplant.statistic.get", FILTER={"EXTERNAL_CALL_ID": "m-1"})
    assert [(row["CALL_ID"], row["CALL_DURATION"], row["CALL_FAILED_CODE"]) for row in rows] == [(call_id, "95", "200")]
    assert all(value is None or isinstance(value, str) for value in rows[0].values())
    assert [message["to"] for message in b24.emu.portal.messages] == ["12"]
    assert b24.emu.violations == []
    code, error, text = b24.refused("telephony.externalCall.finish", CALL_ID=call_id, USER_ID=12)
    assert (code, error) == (400, "ERROR_CORE")
    assert text == "Call is not found (call should be registered prior to finishing"
    b24.refused("telephony.externalCall.finish", CALL_ID="externalCall.0.1", USER_ID=12)
    assert b24.refused("telephony.externalCall.finish", CALL_ID=7, USER_ID=12)[1] == "INVALID_ARGUMENT"
    assert b24.emu.violation_names() == ["finish_twice", "finish_unknown", "call_id_not_string"]


def test_finish_before_register_was_answered(b24: Caller) -> None:
    b24.emu.fault("no_answer", method="telephony.externalCall.register", count=1)
    with pytest.raises(requests.Timeout):
        requests.post(
            f"{b24.emu.url}/rest/telephony.externalCall.register",
            json={"auth": "demo-access", "USER_ID": 12, "PHONE_NUMBER": CLIENT, "TYPE": 2, "EXTERNAL_CALL_ID": "m"},
            timeout=0.3,
        )
    b24.finish(b24.emu.calls[0].call_id)
    assert "finish_before_register_answered" in b24.emu.violation_names()


def test_statistics_paging_order_and_date_filter(b24: Caller, clock: ManualClock) -> None:
    b24.emu.portal.config.bucket_size = 0
    for number in range(60):
        b24.finished(EXTERNAL_CALL_ID=f"m-{number}", CALL_START_DATE=f"2026-01-01T13:{number:02}:00+03:00")
    answer = b24.raw("voximplant.statistic.get", SORT="CALL_START_DATE", ORDER="DESC").json()
    assert (answer["total"], answer["next"], len(answer["result"])) == (60, 50, 50)
    assert answer["result"][0]["EXTERNAL_CALL_ID"] == "m-59"
    rest_of = b24.raw("voximplant.statistic.get", start=50).json()
    assert len(rest_of["result"]) == 10
    assert "next" not in rest_of
    late = b24.ok("voximplant.statistic.get", FILTER={">=CALL_START_DATE": "2026-01-01T10:58:00+00:00"})
    assert [row["EXTERNAL_CALL_ID"] for row in late] == ["m-58", "m-59"]


def test_lines(b24: Caller) -> None:
    assert b24.ok("telephony.externalLine.add", NUMBER="7", NAME="Ads") == {"ID": 7}
    assert b24.refused("telephony.externalLine.add", NUMBER="7")[2] == "Line already exists"
    assert b24.emu.violations == []  # normal at a re-installation
    assert b24.ok("telephony.externalLine.update", NUMBER="7", NAME="Shop") == {"ID": "7"}
    assert b24.ok("telephony.externalLine.get") == [{"NUMBER": "7", "NAME": "Shop", "CRM_AUTO_CREATE": "Y"}]
    assert b24.ok("telephony.externalLine.delete", NUMBER="7") == []
    assert b24.refused("telephony.externalLine.delete", NUMBER="7")[2] == "Could not find line with number 7"


# --- recordings


def test_recording_by_address(b24: Caller, site: tuple[str, queue.Queue[dict[str, Any]]]) -> None:
    call_id = b24.register()["CALL_ID"]
    attach = {"CALL_ID": call_id, "RECORD_URL": f"{site[0]}/rec.mp3?sig=1", "FILENAME": "rec.mp3"}
    text = "Call is not found in the statistic table. It looks like it is not finished yet."
    assert b24.refused("telephony.externalCall.attachRecord", **attach) == (400, "ERROR_CORE", text)
    b24.finish(call_id)
    first = b24.ok("telephony.externalCall.attachRecord", **attach)["FILE_ID"]
    assert b24.ok("telephony.externalCall.attachRecord", **attach)["FILE_ID"] != first
    record = b24.emu.calls[0].record
    assert record is not None
    assert record.content == b"ID3/rec.mp3?sig=1"
    assert record.count == 2
    assert record.sha256 == hashlib.sha256(record.content).hexdigest()
    heard = requests.get(f"{b24.emu.url}/_emulator/record/{record.file_id}", timeout=9)
    assert heard.content == record.content
    assert heard.headers["Content-Type"] == "audio/mpeg"
    gone = b24.refused("telephony.externalCall.attachRecord", **(attach | {"RECORD_URL": f"{site[0]}/no"}))
    assert gone[2] == "Server returns HTTP error code 404"
    away = b24.refused("telephony.externalCall.attachRecord", **(attach | {"RECORD_URL": "https://example.com/a.mp3"}))
    assert away[1] == "SERVER_NOT_AVAILABLE"
    assert b24.emu.violation_names() == ["attach_before_finish", "record_url_failed", "record_url_failed"]


def test_recording_as_content_and_its_refusals(b24: Caller) -> None:
    facts = {"CALL_ID": b24.finished(), "FILENAME": "a.wav"}
    content = base64.b64encode(b"RIFF").decode()
    assert b24.ok("telephony.externalCall.attachRecord", **facts, FILE_CONTENT=content)["FILE_ID"]
    assert b24.emu.violations == []
    texts = [
        b24.refused("telephony.externalCall.attachRecord", **(facts | change))[2]
        for change in (
            {"FILENAME": "a.ogg"},
            {"FILENAME": ""},
            {"FILE_CONTENT": ""},
            {"FILE_CONTENT": "%%"},
            {"CALL_ID": ""},
        )
    ]
    assert texts[:4] == [
        "Wrong file extension. Only wav and mp3 are allowed",
        "File name is empty",
        "File content is empty.",
        "File content is not properly encoded. Base64 encoding is expected.",
    ]
    assert texts[4].startswith("Required parameters are not set. Request should contain")


def test_recording_by_upload_address_that_dies_with_the_token(b24: Caller, clock: ManualClock) -> None:
    address = b24.ok("telephony.externalCall.attachRecord", CALL_ID=b24.finished(), FILENAME="a.mp3")
    assert address["fieldName"] == "file"
    content = b"ID3\r\n\r\n--FAKE\r\n"
    answer = requests.post(address["uploadUrl"], files={"file": ("a.mp3", content, "audio/mpeg")}, timeout=9)
    record = b24.emu.calls[0].record
    assert record is not None
    assert record.content == content
    assert answer.json()["result"] == {"FILE_ID": record.file_id}
    clock.advance(3600)
    late = requests.post(address["uploadUrl"], files={"file": ("a.mp3", content)}, timeout=9)
    assert (late.status_code, late.json()["error"]) == (401, "expired_token")


def test_transcription(b24: Caller) -> None:
    message = {"SIDE": "User", "START_TIME": 0, "STOP_TIME": 2, "MESSAGE": "Hello"}
    call_id = b24.finished()
    method = "telephony.call.attachTranscription"
    assert b24.ok(method, CALL_ID=call_id, MESSAGES=[message])["TRANSCRIPT_ID"]
    assert b24.raw(method, CALL_ID=call_id, MESSAGES=[message | {"SIDE": "Robot"}]).status_code == 400


# --- CRM, tasks, messages


def test_search_tells_the_responsible_and_his_extension(b24: Caller) -> None:
    found = b24.ok("telephony.externalCall.searchCrmEntities", PHONE_NUMBER="8 (900) 000-00-01")
    assert [entity["CRM_ENTITY_TYPE"] for entity in found] == ["CONTACT", "COMPANY"]
    assert found[0]["ASSIGNED_BY"]["USER_PHONE_INNER"] == "101"
    assert b24.ok("telephony.externalCall.searchCrmEntities", PHONE_NUMBER="+79009999999") == []
    assert b24.ok("crm.duplicate.findbycomm", type="PHONE", values=[CLIENT, "89000000001"]) == {
        "CONTACT": [651],
        "COMPANY": [643],
    }
    assert b24.ok("crm.duplicate.findbycomm", type="PHONE", values=["+79009999999"]) == []


def test_leads_and_items(b24: Caller) -> None:
    lead = b24.ok("crm.lead.add", fields={"TITLE": "From a call", "UTM_SOURCE": "yandex", "UNKNOWN": 1})
    assert b24.ok("crm.lead.update", id=lead, fields={"ASSIGNED_BY_ID": 13}) is True
    item = b24.ok("crm.item.update", entityTypeId=1, id=lead, fields={"utmMedium": "cpc", "nothing": 1})["item"]
    assert (item["utmSource"], item["utmMedium"], item["assignedById"]) == ("yandex", "cpc", 13)
    assert b24.ok("crm.lead.get", id=lead)["UTM_MEDIUM"] == "cpc"
    found = b24.raw("crm.item.list", entityTypeId=1, filter={"utmMedium": "cpc"}, select=["*"]).json()
    assert found["total"] == 1
    assert found["result"]["items"][0]["fm"] == []
    phones = [{"typeId": "PHONE", "valueType": "WORK", "value": STRANGER}]
    made = b24.ok("crm.item.add", entityTypeId=3, fields={"name": "New", "fm": phones})["item"]["id"]
    exact = b24.ok("crm.contact.list", filter={"PHONE": STRANGER}, select=["ID", "PHONE"])
    assert [row["ID"] for row in exact] == [str(made)]
    assert exact[0]["PHONE"][0]["VALUE"] == STRANGER
    assert b24.ok("crm.contact.list", filter={"PHONE": "79000000002"}) == []  # the exact stored string only
    assert b24.refused("crm.item.get", entityTypeId=1, id=9)[:2] == (400, "NOT_FOUND")
    assert b24.refused("crm.lead.get", id=9)[1] == ""


def test_tasks_comments_todos_and_messages(b24: Caller) -> None:
    task = b24.ok("tasks.task.add", fields={"TITLE": "Call back", "RESPONSIBLE_ID": 12})["task"]
    assert (task["id"], task["responsibleId"]) == ("3711", "12")
    comment = {"ENTITY_ID": 651, "ENTITY_TYPE": "contact", "COMMENT": "Missed"}
    assert b24.ok("crm.timeline.comment.add", fields=comment) == 999
    assert b24.raw("crm.timeline.comment.add", FIELDS=comment).status_code == 400
    assert b24.ok("crm.activity.todo.add", ownerTypeId=3, ownerId=651, deadline=START)["id"]
    first = b24.ok("im.notify.personal.add", USER_ID=1, MESSAGE="ringing", TAG="T")
    assert b24.ok("im.notify.personal.add", USER_ID=1, MESSAGE="missed", TAG="T") != first
    assert b24.ok("im.message.add", DIALOG_ID="12", MESSAGE="Hello")
    assert [m["text"] for m in b24.emu.portal.messages] == ["missed", "Hello"]  # the same tag replaces
    assert b24.refused("im.notify.personal.add", USER_ID=1)[1] == "MESSAGE_EMPTY"


# --- events


def test_click_to_call_comes_registered(b24: Caller, site: tuple[str, queue.Queue[dict[str, Any]]]) -> None:
    handler = f"{site[0]}/events"
    assert b24.ok("event.bind", event="OnExternalCallStart", handler=handler) is True
    assert b24.refused("event.bind", event="ONEXTERNALCALLSTART", handler=handler)[1] == "ERROR_HANDLER_ALREADY_EXIST"
    assert b24.refused("event.bind", event="ONNOTHING", handler=handler)[1] == "ERROR_EVENT_NOT_FOUND"
    started = b24.emu.fire_call_start(12, "8 900 000-00-01", "74950000001")
    event = site[1].get(timeout=10)
    assert started["statuses"] == [200]
    assert event["event"] == "ONEXTERNALCALLSTART"
    data, auth = event["data"], event["auth"]
    assert (data["CALL_ID"], data["USER_ID"], data["PHONE_NUMBER"]) == (started["call_id"], "12", "8 900 000-00-01")
    assert (data["PHONE_NUMBER_INTERNATIONAL"], data["CRM_ENTITY_TYPE"], data["CRM_ENTITY_ID"]) == (
        CLIENT,
        "CONTACT",
        "651",
    )
    assert auth["application_token"] == "demo-application-token"
    assert auth["member_id"] == "demo-member"
    assert b24.finish(started["call_id"])["INCOMING"] == "1"
    assert b24.emu.violation_names() == ["unknown_event"]
    again = b24.emu.fire_call_start(12, CLIENT)
    b24.register(TYPE=1, EXTERNAL_CALL_ID="double")
    b24.token = auth["access_token"]
    b24.ok("scope")
    assert b24.emu.violation_names()[1:] == ["register_of_click_to_call", "event_token_used"]
    assert b24.emu.portal.calls[again["call_id"]].live


def test_one_page_of_an_application_is_placed(b24: Caller) -> None:
    place = {"PLACEMENT": "PAGE_BACKGROUND_WORKER", "HANDLER": "https://hub.example.com/phone/"}
    options = {"errorHandlerUrl": "https://hub.example.com/lost/"}
    assert b24.refused("placement.bind", **place)[:2] == (200, "EMPTY_ERROR_HANDLER_URL")
    assert b24.ok("placement.bind", **place, OPTIONS=options) is True
    assert b24.refused("placement.bind", **place, OPTIONS=options)[:2] == (200, "ERROR_PLACEMENT_MAX_COUNT")
    (row,) = b24.ok("placement.get")
    assert (row["handler"], row["options"]) == (place["HANDLER"], options)
    page = requests.get(f"{b24.emu.url}/desktop/12/", timeout=20).text
    assert f'action="{place["HANDLER"]}?' in page
    assert requests.get(f"{b24.emu.url}/desktop/12/card", timeout=20).json() == {}
    b24.register(SHOW=1)
    assert requests.get(f"{b24.emu.url}/desktop/12/card", timeout=20).json()["PHONE_NUMBER"] == CLIENT
    assert b24.ok("placement.unbind", PLACEMENT=place["PLACEMENT"]) == {"count": 2}
    assert b24.ok("placement.get") == []


def test_other_events_come_at_most_once(b24: Caller, site: tuple[str, queue.Queue[dict[str, Any]]]) -> None:
    events = ("ONEXTERNALCALLBACKSTART", "ONAPPUPDATE", "ONAPPUNINSTALL")
    for name in events:
        b24.ok("event.bind", event=name, handler=f"{site[0]}/broken")
    assert b24.emu.fire_callback(STRANGER, "7495", crm_type="LEAD", crm_id=5)["statuses"] == [500]
    callback = site[1].get(timeout=10)["data"]
    assert callback["CRM_ENTITY_ID"] == "5"
    assert "CALL_ID" not in callback
    assert "USER_ID" not in callback
    b24.emu.fire_app_update()
    token = site[1].get(timeout=10)["auth"]["application_token"]
    assert token == b24.emu.portal.application_token != "demo-application-token"
    assert b24.ok("event.get") == []
    b24.emu.fire_app_install(f"{site[0]}/install")
    installed = site[1].get(timeout=10)["auth"]
    b24.token = installed["access_token"]
    assert installed["refresh_token"]
    assert b24.ok("profile")["ADMIN"] is True
    b24.ok("event.bind", event="ONAPPUNINSTALL", handler=f"{site[0]}/events")
    b24.emu.fire_app_uninstall()
    gone = site[1].get(timeout=10)
    assert gone["data"]["CLEAN"] == "1"
    assert "access_token" not in gone["auth"]
    assert b24.refused("scope")[1] == "NO_AUTH_FOUND"
    assert site[1].empty()  # the broken handler got nothing twice


# --- many portals, rename


def test_portals_by_path_and_by_host(clock: ManualClock) -> None:
    with Bitrix24Emulator([PortalConfig(), PortalConfig(name="portal7")], clock=clock) as emu:
        body = {"auth": "portal7-access"}
        assert requests.post(f"{emu.url}/p/portal7/rest/scope", json=body, timeout=9).ok
        host = {"Host": f"portal7.localhost:{urlsplit(emu.url).port}"}
        assert requests.post(f"{emu.url}/rest/scope", json=body, headers=host, timeout=9).ok
        assert requests.post(f"{emu.url}/rest/scope", json=body, timeout=9).status_code == 401
        assert emu.portal_named("portal7").hits.total() == 2
        query = {"grant_type": "refresh_token", **CREDENTIALS, "refresh_token": "portal7-refresh"}
        clock.advance(3600)
        fresh = requests.get(f"{emu.url}/oauth/token/", query, timeout=9).json()
        assert fresh["client_endpoint"] == f"{emu.url}/p/portal7/rest/"
        assert emu.rename(emu.portal_named("portal7"), "other") == f"{emu.url}/p/other"
        moved = requests.post(f"{emu.url}/p/portal7/rest/scope", json=body, timeout=9, allow_redirects=False)
        assert (moved.status_code, moved.headers["Location"]) == (302, f"{emu.url}/p/other/rest/scope")


def test_renamed_portal_answers_302(b24: Caller) -> None:
    new = b24.emu.rename()
    moved = b24.raw("scope")
    assert (moved.status_code, moved.text) == (302, "")
    assert moved.headers["Location"] == f"{new}/rest/scope"
    assert "localhost" in new
    assert requests.post(moved.headers["Location"], json={"auth": "demo-access"}, timeout=9).ok


# --- faults, control, page


def test_faults_of_the_wire(b24: Caller) -> None:
    with b24.emu.faulty("down"):
        assert b24.raw("scope").status_code == 503
    with b24.emu.faulty("reset"), pytest.raises(requests.ConnectionError):
        b24.raw("scope")
    with b24.emu.faulty("html200"):
        assert b24.raw("scope").text.startswith("<html>")
    with b24.emu.faulty("html500"):
        assert b24.raw("scope").status_code == 500
    with b24.emu.faulty("truncated"), pytest.raises(requests.exceptions.JSONDecodeError):
        b24.raw("scope").json()
    with b24.emu.faulty("empty"):
        assert (b24.raw("scope").status_code, b24.raw("scope").content) == (200, b"")
    with b24.emu.faulty("too_many", seconds=7):
        assert (b24.raw("scope").status_code, b24.raw("scope").headers["Retry-After"]) == (429, "7")
    with b24.emu.faulty("rate_limited", count=1):
        assert b24.refused("scope")[:2] == (503, "QUERY_LIMIT_EXCEEDED")
        b24.ok("scope")
    with b24.emu.faulty("expired_token", count=1):
        assert b24.refused("scope")[1] == "expired_token"
    with b24.emu.faulty("error", method="user.get", error="ACCESS_DENIED", status=403):
        assert b24.refused("user.get")[:2] == (403, "ACCESS_DENIED")
        assert b24.batch(u="user.get", s="scope")["result_error"]["u"]["error"] == "ACCESS_DENIED"
    with b24.emu.faulty("down", target="oauth"):
        assert requests.get(f"{b24.emu.url}/oauth/token/", timeout=9).status_code == 503
        b24.ok("scope")
    assert b24.emu.violations == []


def test_fault_after_execution_and_by_time(b24: Caller, clock: ManualClock) -> None:
    with b24.emu.faulty("reset", after=True, method="telephony.externalCall.register"):
        with pytest.raises(requests.ConnectionError):
            b24.register(EXTERNAL_CALL_ID="m-1")
        with pytest.raises(requests.ConnectionError):
            b24.batch(r="telephony.externalCall.register?USER_ID=12&PHONE_NUMBER=7900&TYPE=2&EXTERNAL_CALL_ID=m-2")
    first = b24.emu.calls[0].call_id
    assert b24.register(EXTERNAL_CALL_ID="m-1")["CALL_ID"] == first
    assert len(b24.emu.calls) == 2
    b24.finish(first)
    assert b24.emu.violations == []
    b24.emu.fault("down", for_seconds=10)
    assert b24.raw("scope").status_code == 503
    clock.advance(10)
    b24.ok("scope")


def test_control_over_http(b24: Caller) -> None:
    base = f"{b24.emu.url}/_emulator"
    fault = requests.post(f"{base}/faults", json={"kind": "down", "portal": "default"}, timeout=9).json()["id"]
    assert b24.raw("scope").status_code == 503
    assert requests.get(f"{base}/faults", timeout=9).json()["faults"][0]["hits"] == 1
    requests.post(f"{base}/faults", json={"clear": fault}, timeout=9)
    assert requests.post(f"{base}/faults", json={"kind": "nonsense"}, timeout=9).status_code == 400
    b24.batch(a="scope", b="scope")
    body = {"user_id": 12, "phone": CLIENT, "line": ""}
    call_id = requests.post(f"{base}/click-to-call", json=body, timeout=9).json()["call_id"]
    state = requests.get(f"{base}/state?portal=default", timeout=9).json()["portals"]["default"]
    assert state["hits"] == {"total": 2, "by_method": {"scope": 1, "batch": 1}}
    assert state["commands"] == {"total": 2, "by_method": {"scope": 2}}
    assert state["calls"][0]["call_id"] == call_id
    assert state["calls"][0]["history"][0][1] == "register"
    assert state["screens"] == {"12": [call_id]}
    few = requests.get(f"{base}/state?parts=calls&history=0", timeout=9).json()["portals"]["default"]
    assert list(few) == ["calls"]
    assert "history" not in few["calls"][0]
    requests.post(f"{base}/faults", json={"kind": "expired_token"}, timeout=9)
    assert b24.refused("scope")[1] == "expired_token"
    b24.refused("nothing.here")
    assert requests.get(f"{base}/violations?portal=default", timeout=9).json() == {"count": 0, "violations": []}
    requests.post(f"{base}/reset", json={}, timeout=9)
    assert b24.emu.calls == []
    assert b24.ok("scope")
    b24.refused("nothing.here")
    assert requests.get(f"{base}/violations", timeout=9).json()["violations"][0]["what"] == "unknown_method"


@pytest.mark.parametrize(("lang", "text"), [("ru", "Экраны сотрудников"), ("en", "Employees")])
def test_page_escapes_and_speaks_two_languages(b24: Caller, lang: str, text: str) -> None:
    b24.ok("im.message.add", DIALOG_ID="12", MESSAGE="<script>alert(1)</script>")
    b24.ok("crm.lead.add", fields={"TITLE": "<img src=x>"})
    b24.register(SHOW=1, LINE_NUMBER='"><b>')
    b24.finished(EXTERNAL_CALL_ID="m-1")
    page = requests.get(b24.emu.url, headers={"Accept-Language": f"{lang};q=1"}, timeout=9).text
    assert text in page
    assert "Bitrix24 emulator / эмулятор" in page
    assert CLIENT in page
    assert "<script>alert" not in page
    assert "<img" not in page
    assert '"><b>' not in page
    parts = requests.get(f"{b24.emu.url}/_emulator/page?lang={lang}", timeout=9).json()
    assert parts["screens"] in page


def test_state_file_and_command_line(tmp_path: Any, clock: ManualClock) -> None:
    path = tmp_path / "state"
    with Bitrix24Emulator(state_file=path) as emu:
        call_id = Caller(emu).finished()
    with Bitrix24Emulator(state_file=path) as emu:
        assert [call.call_id for call in emu.calls] == [call_id]
        with pytest.raises(requests.HTTPError):
            Caller(emu).raw("telephony.externalCall.finish", CALL_ID=call_id, USER_ID=12).raise_for_status()
    options = command_line.parser().parse_args(["--port", "9101", "--latency-ms", "30", "--portals", "3"])
    assert (options.port, options.latency_ms, options.portals) == (9101, 30, 3)


# --- clients written by others


def many_users() -> PortalConfig:
    users = [User(1, "Admin", admin=True), *(User(i, f"User {i}", phone_inner=str(i)) for i in range(100, 219))]
    clients = [Client("CONTACT", i, f"Client {i}", (f"+7900000{i:04}",)) for i in range(1, 131)]
    return PortalConfig(users=users, clients=clients, bucket_size=0)


def test_fast_bitrix24() -> None:
    """It takes any address, http too, so nothing has to be bent."""
    from fast_bitrix24 import BitrixAsync

    async def work(emu: Bitrix24Emulator) -> None:
        asked = 0

        async def token() -> str:
            nonlocal asked
            asked += 1
            return "stale" if asked == 1 else "demo-access"

        client = BitrixAsync(f"{emu.url}/rest/", token_func=token, verbose=False)
        users = await client.get_all("user.get")
        assert asked == 2  # the 401 made it ask for another token
        assert len({user["ID"] for user in users}) == 120
        assert len(await client.get_all("crm.contact.list", {"select": ["ID"]})) == 130
        assert len(await client.get_all("crm.item.list", {"entityTypeId": 3})) == 130
        found = await client.get_by_ID("crm.contact.get", [1, 2, 3])
        assert {row["NAME"] for row in found.values()} == {"Client"}
        answer = await client.call_batch(
            {
                "halt": 0,
                "cmd": {
                    "reg": "telephony.externalCall.register?USER_ID=100&PHONE_NUMBER=%2B79000000001&TYPE=2",
                    "fin": "telephony.externalCall.finish?CALL_ID=$result[reg][CALL_ID]&USER_ID=100&DURATION=5",
                },
            }
        )
        assert answer["fin"]["CALL_STATUS"] == 1
        lead = await client.call("crm.lead.add", {"fields": {"TITLE": "one"}})
        assert lead in emu.portal.entities["LEAD"]

    with Bitrix24Emulator([many_users()]) as emu:
        asyncio.run(work(emu))


def test_b24pysdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK writes `https://` before every domain and has the authorisation server's host built in. Only these two
    addresses are replaced; its requests, retries, error classes, paging and token renewal are its own."""
    from b24pysdk import BitrixApp, BitrixToken
    from b24pysdk.api.callers.call_method import _MethodCaller
    from b24pysdk.api.requesters.bitrix_oauth_requester import BitrixOAuthRequester
    from b24pysdk.errors import BitrixAPIError

    with Bitrix24Emulator([many_users()]) as emu:
        monkeypatch.setattr(_MethodCaller, "_base_url", property(lambda self: f"http://{self._domain}/rest"))
        monkeypatch.setattr(BitrixOAuthRequester, "_OAUTH_TOKEN_URL", f"{emu.url}/oauth/token/")
        monkeypatch.setattr(BitrixOAuthRequester, "_APP_INFO_URL", f"{emu.url}/rest/app.info/")
        token = BitrixToken(
            domain=urlsplit(emu.url).netloc,
            auth_token="demo-access",
            refresh_token="demo-refresh",
            bitrix_app=BitrixApp(**CREDENTIALS),
        )
        emu.expire_tokens()
        assert token.call_method("user.current")["result"]["ID"] == "1"
        assert token.refresh_token != "demo-refresh"
        assert emu.violations == []
        assert token.get_app_info().result.install.member_id == "demo-member"
        assert len(token.call_list("user.get")["result"]) == 120
        assert len(list(token.call_list_fast("crm.contact.list")["result"])) == 130
        named = token.call_batch(
            {
                "reg": (
                    "telephony.externalCall.register",
                    {"USER_ID": 100, "PHONE_NUMBER": CLIENT, "TYPE": 2, "SHOW": 0, "EXTERNAL_CALL_ID": "sdk-1"},
                ),
                "show": ("telephony.externalCall.show", {"CALL_ID": "$result[reg][CALL_ID]", "USER_ID": [100]}),
                "fin": (
                    "telephony.externalCall.finish",
                    {"CALL_ID": "$result[reg][CALL_ID]", "USER_ID": 100, "DURATION": 5, "ADD_TO_CHAT": 0},
                ),
            }
        )
        assert named["result"]["result"]["fin"]["CALL_STATUS"] == 1
        assert named["result"]["result_error"] == []
        listed = token.call_batch([("scope", {}), ("profile", {})])
        assert isinstance(listed["result"]["result"], list)  # PHP: keys 0..n-1 are a list
        with pytest.raises(BitrixAPIError, match="registered prior to finishing"):
            token.call_method("telephony.externalCall.finish", {"CALL_ID": "externalCall.0.1", "USER_ID": 100})
        assert emu.violation_names() == ["finish_unknown"]
        emu.fault("error", method="scope", error="OPERATION_TIME_LIMIT", status=429, count=1)
        with pytest.raises(BitrixAPIError):
            token.call_method("scope")
    assert json.dumps(emu.violations)
