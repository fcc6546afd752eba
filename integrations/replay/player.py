"""Plays one sample: a scratch company, the vendor's requests at the real doors, the outcome against `expect`."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dramatiq
import requests
from django.test import RequestFactory
from django.utils import timezone
from dramatiq import Worker

from crm_adapters import registry as crms
from crm_adapters.base import Adapter
from employees import phones
from employees.forms import defaults
from employees.models import Company
from integrations import webhooks as crm_webhooks
from integrations.models import Credential, CrmEvent
from outbound.errors import AddressRefused, OutboundError
from outbound.http import substituted
from telephony import directory, inbox, routing
from telephony import webhooks as pbx_webhooks
from telephony.events import ToldByHistory, history_event
from telephony.exchanges import http_for
from telephony.models import Call, Connection, Recording
from telephony.providers import registry as pbxs
from telephony.providers.base import Brand, HistoryLeg, Provider, Request
from telephony.routing import Caller, Opinion
from telephony.signals import calls_changed, routing_question

from .recorded import NOT_RECORDED, RecordedVendor, recorded_of

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
COARSE = {"no_answer": "missed", "cancelled": "missed", "rejected": "failed"}
"""Our finer outcomes, as the samples speak."""


@dataclass(slots=True)
class Played:
    """What a replay found. `calls` as the samples speak of them; `misses` name each expectation that was not met."""

    file: str
    scenario: str = ""
    provider: str = ""
    http: list[int] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)

    def as_json(self) -> str:
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, ensure_ascii=False)


@contextmanager
def workers() -> Iterator[None]:
    """The product's actors run in this process meanwhile."""
    worker = Worker(dramatiq.get_broker(), worker_timeout=10, worker_threads=1)
    worker.start()
    try:
        yield
    finally:
        worker.stop(timeout=5_000)


def play(path: Path) -> Played:
    """Play one file in the current (scratch) database, inside `workers`."""
    played = Played(file=str(path))
    try:
        sample = json.loads(path.read_text(encoding="utf-8"))
        played.scenario = sample.get("scenario", path.stem)
        played.provider = _vendor(sample, path)
    except (OSError, ValueError, AttributeError) as error:
        played.misses.append(f"not a sample: {error}")
        return played
    if played.provider in pbxs.all_providers():
        _Pbx(sample, pbxs.get(played.provider), played, path.parent).play()
    elif played.provider in crms.all_adapters():
        _Crm(sample, crms.get(played.provider), played).play()
    else:
        played.misses.append(f"no vendor called {played.provider!r} is installed")
    return played


def _vendor(sample: dict[str, Any], path: Path) -> str:
    for exchange in sample.get("exchanges", []):
        if exchange.get("direction") == "vendor->hub":
            parts = exchange["path"].split("/")
            if len(parts) > 2 and parts[1] == "hooks":
                return parts[2]
    known = pbxs.all_providers().keys() | crms.all_adapters().keys()
    return next((part for part in reversed(path.resolve().parts[:-1]) if part in known), path.resolve().parent.name)


class _Replay:
    """What replays of PBXs and of CRMs have in common."""

    def __init__(self, sample: dict[str, Any], played: Played):
        self.sample, self.played = sample, played
        self.exchanges: list[dict[str, Any]] = sample.get("exchanges", [])
        self.vendor = RecordedVendor(recorded_of(self.exchanges))
        expect = sample.get("expect") or {}
        self.expects: list[dict[str, Any]] = expect if isinstance(expect, list) else [expect]
        self.company = Company.objects.create(name=f"Replay of {played.scenario}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """What the product sends meanwhile is answered from the recording."""
        session = requests.Session()
        session.mount("http://", self.vendor)
        session.mount("https://", self.vendor)
        with substituted(session):
            yield

    def settle(self) -> None:
        """Wait until everything that an event has set off is done."""
        broker = dramatiq.get_broker()
        routing.settle()
        for queue in broker.get_declared_queues():
            broker.join(queue, timeout=30_000)

    def miss(self, what: str, expected: object, found: object) -> None:
        self.played.misses.append(f"{what}: expected {expected!r}, found {found!r}")

    def compare_status(self, exchange: dict[str, Any], status: int) -> None:
        self.played.http.append(status)
        expected = (exchange.get("response") or {}).get("status")
        if expected is not None and int(expected) != status:
            self.miss(f"HTTP {len(self.played.http)}", int(expected), status)


def pbx_secrets(provider: Provider, sample: dict[str, Any]) -> dict[str, Any]:
    """What a connection of the sample's account holds."""
    secrets = {provider.wire_names.get(key, key): value for key, value in sample.get("secrets", {}).items()}
    return {**defaults(provider.form), **pbx_brand(provider, sample).defaults, **secrets}


def pbx_brand(provider: Provider, sample: dict[str, Any]) -> Brand:
    """The brand whose server the sample speaks to."""
    paths = [exchange.get("path", "") for exchange in sample.get("exchanges", [])]

    def spoken_to(brand: Brand) -> bool:
        servers = tuple(value for value in brand.defaults.values() if "://" in value)
        return any(path.startswith(servers) for path in paths)

    return next(filter(spoken_to, provider.brands), provider.brands[0])


def pbx_request(exchange: dict[str, Any]) -> Request:
    """A recorded request of a PBX, as the provider sees it."""
    path, _, query = exchange["path"].partition("?")
    parts = path.split("/", 4)
    return Request(
        method=exchange.get("method", "POST"),
        path=parts[4] if len(parts) > 4 else "",
        body=(exchange.get("body") or "").encode(),
        query=query,
        headers={key.lower(): value for key, value in (exchange.get("headers") or {}).items()},
        remote="127.0.0.1",
    )


class _Pbx(_Replay):
    def __init__(self, sample: dict[str, Any], provider: Provider, played: Played, folder: Path):
        super().__init__(sample, played)
        self.provider, self.folder = provider, folder
        self.states: dict[int, list[str]] = {}
        self.told: list[Request] = []
        self.connection = Connection(
            company=self.company, provider=provider.slug, brand=pbx_brand(provider, sample).slug, name=provider.title
        )
        self.connection.credentials = pbx_secrets(provider, sample)
        self.connection.save()

    def play(self) -> None:
        token = self.connection.address.token
        calls_changed.connect(self._watch, sender=Call)
        routing_question.connect(self._answer, sender=Caller)
        try:
            with self.running():
                for index, exchange in enumerate(self.exchanges):
                    if exchange.get("direction") == "vendor->hub":
                        self.vendor.position = index
                        self._send(exchange, token)
                self._listen()
                self.settle()
                self._tell_history()
                self._compare_directories()
        finally:
            calls_changed.disconnect(self._watch, sender=Call)
            routing_question.disconnect(self._answer, sender=Caller)
        self._compare()

    def _send(self, exchange: dict[str, Any], token: str) -> None:
        request = pbx_request(exchange)
        reply = pbx_webhooks.receive(self.provider, self._wrong_token(exchange) or token, request)
        self.settle()
        self.compare_status(exchange, reply.status)
        if self.provider.handshake(request) and reply.body.decode() != exchange["response"]["body"]:
            self.miss("answer", exchange["response"]["body"], reply.body.decode())

    def _listen(self) -> None:
        """What a PBX told that must be listened to, one event after the other."""
        known = directory.by_id(self.connection.pk)
        self.told = self.provider.overheard(self.sample, self.folder, known.secrets)
        for request in self.told:
            inbox.store([inbox.event_of(known, request)])
            while inbox.drain():
                pass
            self.settle()

    def _tell_history(self) -> None:
        """What became of calls, as the sample's history says it, where the PBX's events do not."""
        if self.provider.sums_up or not Call.objects.filter(company=self.company).exists():
            return
        http, now = http_for(self.connection, purpose="replay"), timezone.now()
        legs: dict[str, list[HistoryLeg]] = defaultdict(list)
        try:
            for leg in self.provider.history(http, self.connection.credentials, LONG_AGO, now):
                legs[leg.call].append(leg)
        except AddressRefused:  # the sample has no history
            return
        told = [ToldByHistory(call=call, legs=tuple(rows)) for call, rows in legs.items()]
        inbox.store([history_event(self.connection.pk, each, now) for each in told])
        while inbox.drain():
            pass
        self.settle()

    def _wrong_token(self, exchange: dict[str, Any]) -> str:
        """The secret part of the address, where the sample has another one than its account's."""
        own = self.sample.get("secrets", {}).get("hub_path_token")
        parts = exchange["path"].split("/")
        token = str(parts[3]) if own and parts[1:2] == ["hooks"] and len(parts) > 3 else ""
        return "" if token == own else token

    def _watch(self, calls: list[Call], **_: Any) -> None:
        for call in calls:
            states = self.states.setdefault(call.pk, [])
            if call.state not in states:
                states.append(call.state)

    def _answer(self, **_: Any) -> Opinion | None:
        """The sample's manager, where it says that the call was routed to one."""
        for expect in self.expects:
            if route := expect.get("route_command"):
                return Opinion("manager_found", route["to_number"])
        return None

    # --- What became of it

    def _compare_directories(self) -> None:
        for expect in self.expects:
            try:
                self._compare_directory(expect)
            except OutboundError as error:
                self.played.misses.append(f"the PBX was asked what is not in the sample: {self.vendor.refused} {error}")

    def _compare_directory(self, expect: dict[str, Any]) -> None:
        """Employees and numbers as the PBX lists them, asked for as the portal does."""
        http = http_for(self.connection, purpose="replay")
        secrets = self.connection.credentials
        if expect.get("employees") is not None:
            found = {user.extension: user.vendor_id for user in self.provider.users(http, secrets)}
            for row in expect["employees"]:
                known = found.get(row["extension"] or "")
                if known is None or known != str(row.get("user_id", row.get("employee_id", known))):
                    self.miss("employees", row, found)
        if expect.get("virtual_numbers") is not None:
            numbers = [row.number for row in self.provider.numbers(http, secrets)]
            region = self.company.region
            if {phones.normalise(n, region) for n in numbers} != set(expect["virtual_numbers"]):
                self.miss("virtual_numbers", expect["virtual_numbers"], numbers)

    def _compare(self) -> None:
        calls = list(Call.objects.filter(company=self.company).order_by("started_at", "id"))
        self.played.calls = [self._spoken(call) for call in calls]
        told = bool(self.told) or any(exchange.get("direction") == "vendor->hub" for exchange in self.exchanges)
        expects = [expect for expect in self.expects if told and self._speaks_of_a_call(expect)]
        for name in ("calls_created", "stored_calls"):
            for expect in self.expects:
                if name in expect and expect[name] is not None and expect[name] != len(calls):
                    self.miss(name, expect[name], len(calls))
        if len(expects) > len(calls):
            self.miss("calls", len(expects), len(calls))
        for expect, call in self._paired(expects, calls):
            self._compare_call(expect, call)

    @staticmethod
    def _speaks_of_a_call(expect: dict[str, Any]) -> bool:
        """A PBX that only asks about a call tells nothing that becomes of it."""
        return any(expect.get(name) for name in ("outcome", "client_phone", "state_sequence"))

    def _paired(self, expects: list[dict[str, Any]], calls: list[Call]) -> list[tuple[dict[str, Any], Call]]:
        """Each expectation with the call that meets it best."""
        if len(expects) > len(calls) or len(calls) > 6:
            return list(zip(expects, calls, strict=False))
        best = min(
            itertools.permutations(calls, len(expects)),
            key=lambda order: sum(len(self._unmet(e, c)) for e, c in zip(expects, order, strict=True)),
        )
        return list(zip(expects, best, strict=True))

    def _compare_call(self, expect: dict[str, Any], call: Call) -> None:
        for name, expected, found in self._unmet(expect, call):
            self.miss(name, expected, found)

    def _unmet(self, expect: dict[str, Any], call: Call) -> list[tuple[str, object, object]]:
        spoken = self._spoken(call)
        recordings = list(call.recordings.exclude(state=Recording.State.ABSENT))
        found: dict[str, object] = {
            "direction": spoken["direction"],
            "outcome": spoken["outcome"],
            "extension": spoken["extension"],
            "talk_seconds": spoken["talk_seconds"],
            "first_extension": call.first_extension,
            "pbx_call_id": call.key,
            "state_sequence": self._states(expect, call),
            "missed_calls_created": int(spoken["outcome"] == "missed"),
            "recording_downloads": sum(row.state == Recording.State.STORED for row in recordings),
            "transferred": "transferred" in self.states.get(call.pk, []),
            "utm": {key.removeprefix("utm_"): value for key, value in call.utm.items()},
            "dtmf": None,
        }
        rows = [(name, expect[name], value) for name, value in found.items() if expect.get(name) is not None]
        rows = [row for row in rows if row[0] != "dtmf" and not _equal(row[1], row[2])]
        if self.told:  # by the moments at which it came
            rows = [row for row in rows if row[0] != "talk_seconds" or abs(int(row[1]) - spoken["talk_seconds"]) > 1]
        for name in ("client_phone", "virtual_number"):
            if expect.get(name) is not None and not self._same_number(expect[name], spoken[name]):
                rows.append((name, expect[name], spoken[name]))
        if expect.get("recording") is not None:
            rows += self._unmet_recording(expect["recording"], recordings)
        if expect.get("route_command") is not None:
            rows += self._unmet_route(expect["route_command"], call)
        return rows

    def _states(self, expect: dict[str, Any], call: Call) -> list[str]:
        """Of a sample that says beside it whether the client was handed on, the sequence does not speak of that."""
        states = self.states.get(call.pk, [])
        return [state for state in states if state != "transferred"] if "transferred" in expect else states

    def _same_number(self, one: str, other: str) -> bool:
        region = self.company.region
        digits = ["".join(filter(str.isdigit, phones.normalise(str(number), region))) for number in (one, other)]
        return digits[0] == digits[1]

    @staticmethod
    def _unmet_recording(expected: str, recordings: list[Recording]) -> list[tuple[str, object, object]]:
        references = [row.key for row in recordings] + [row.vendor_url for row in recordings]
        # A link that the vendor makes for each request has the recording's id in it.
        met = any(each and each in expected for each in references) if expected else not recordings
        return [] if met else [("recording", expected, [row.key for row in recordings])]

    @staticmethod
    def _unmet_route(expected: dict[str, str], call: Call) -> list[tuple[str, object, object]]:
        sent = [command.details for command in call.commands_of_call.filter(kind="route", state="accepted")]
        met = {"leg": expected["call_id"], "extension": expected["to_number"]} in sent
        return [] if met else [("route_command", expected, sent)]

    @staticmethod
    def _spoken(call: Call) -> dict[str, Any]:
        recording = call.recordings.exclude(state=Recording.State.ABSENT).order_by("id").first()
        return {
            "direction": call.direction,
            "client_phone": call.client_phone,
            "virtual_number": call.virtual_number,
            "extension": call.extension,
            "outcome": COARSE.get(call.outcome, call.outcome),
            "talk_seconds": call.talk_seconds,
            "recording": recording.key if recording else "",
        }


def _equal(expected: Any, found: Any) -> bool:
    if isinstance(expected, list):
        return list(dict.fromkeys(map(str, expected))) == list(dict.fromkeys(map(str, found)))
    if isinstance(expected, dict):
        return {key: str(value) for key, value in expected.items()} == {key: str(value) for key, value in found.items()}
    return str(expected) == str(found)


class _Crm(_Replay):
    """A CRM's requests at the real door; what we ask of the CRM meanwhile is answered from the recording."""

    def __init__(self, sample: dict[str, Any], adapter: Adapter, played: Played):
        super().__init__(sample, played)
        self.adapter = adapter
        secrets = {adapter.wire_names.get(key, key): value for key, value in sample.get("secrets", {}).items()}
        self.credential = Credential(company=self.company, crm=adapter.slug, state=Credential.State.READY)
        self.credential.values = {**defaults(adapter.credential_form), **secrets}
        self.credential.save()

    def play(self) -> None:
        with self.running():
            for index, exchange in enumerate(self.exchanges):
                if exchange.get("direction") == "vendor->hub":
                    self.vendor.position = index
                    self._send(exchange)
                    self.settle()
        self._compare()

    def _compare(self) -> None:
        # What we ask the CRM beyond the recording is refused there, and says nothing about the event.
        for event in self.credential.events.exclude(state=CrmEvent.State.HANDLED).exclude(error=NOT_RECORDED):
            self.miss("event", "handled", event.error or event.get_state_display())
        self.credential.refresh_from_db()
        ready = self.credential.state == Credential.State.READY
        for expect in self.expects:
            crm = expect.get("crm") or {}
            if "installed" in crm and crm["installed"] != ready:
                self.miss("installed", crm["installed"], self.credential.state)
            if "tenant_state" in crm and crm["tenant_state"] != self.credential.state:
                self.miss("tenant_state", crm["tenant_state"], self.credential.state)

    def _send(self, exchange: dict[str, Any]) -> None:
        path, _, query = exchange["path"].partition("?")
        token = self.sample.get("secrets", {}).get("hub_path_token", "")
        rest = path.removeprefix(f"/hooks/{self.adapter.slug}/").removeprefix(f"{token}/" if token else "")
        headers = {
            f"HTTP_{key.upper().replace('-', '_')}": value for key, value in (exchange.get("headers") or {}).items()
        }
        kind = headers.pop("HTTP_CONTENT_TYPE", "application/x-www-form-urlencoded")
        headers.pop("HTTP_HOST", None)
        request = RequestFactory().generic(
            exchange.get("method", "POST"), path, exchange.get("body") or "", kind, QUERY_STRING=query, **headers
        )
        target = f"{self.credential.webhook_token}/{rest}"
        response = crm_webhooks.receive(request, self.adapter.slug, target)
        self.compare_status(exchange, response.status_code)
