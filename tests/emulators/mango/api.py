"""The API side, `POST /vpbx/...`: authentication, limits, the lock, commands, directories, histories, recordings."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, unquote

from . import history, wire
from .account import Account, Employee, Recording
from .delivery import Event
from .simulator import NOT_NOW, OVER, RESULT_PATHS, Call, Command, Leg

if TYPE_CHECKING:
    from .emulator import MangoEmulator

NUMBER = re.compile(r"(\d{2,15}|sip:[^\s@]+@[^\s@]+)\Z")
EXT_FIELDS = {
    *("general.user_id", "general.mobile", "general.use_status", "general.login", "general.sips", "groups"),
    *("telephony.dial_alg", "telephony.line_id", "telephony.trunk_number_id"),
}
# Parameters that the documentation names; others are noted, not refused (what the vendor does is not known).
PARAMS: dict[str, set[str]] = {
    "commands/callback": {"command_id", "from", "to_number", "line_number", "sip_headers"},
    "commands/callback_group": {"command_id", "from", "to", "line_number"},
    "commands/call/hangup": {"command_id", "call_id"},
    "commands/route": {"command_id", "call_id", "to_number", "sip_headers"},
    "commands/transfer": {"command_id", "call_id", "method", "to_number", "initiator"},
    "commands/recording/start": {"command_id", "call_id", "call_party_number"},
    "config/users/request": {"extension", "ext_fields"},
    "incominglines": set(),
    "stats/request": {"date_from", "date_to", "fields", "from", "to", "call_party", "request_id"},
    "stats/result": {"key"},
    "stats/calls/result/": {"key"},
    "queries/recording/post": {"recording_id", "action"},
    "queries/user_info_by_dct_number": {"number"},
}
TOO_MANY = {"name": "Service Unavailable", "message": "Rate limit exceeded.", "code": 0, "status": 429}
VISITOR = {
    "uid": "demo-uid-0001",
    "widget_id": 101,
    "widget_name": "Сайт",
    "product_id": 300000001,
    "ga_cid": "1111111111.2222222222",
    "ya_cid": "3333333333",
    "ip": "192.0.2.10",
    "region_id": 77,
    "location": {"country_code": "RU", "region": "Москва", "city": "Москва"},
    "channel": {
        "source": "yandex",
        "medium": "cpc",
        "campaign": "demo_campaign",
        "content": "ad1",
        "term": "demo term",
    },
    "duration": 184,
    "current_page": {"url": "https://shop.example/catalog/1", "date": "2026-03-02T08:59:30Z", "title": "Каталог"},
    "device": "mobile",
    "custom": "",
}


@dataclass(slots=True)
class Response:
    """An answer of the emulator. `withheld` bytes of the body are promised and never come."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    withheld: int = 0

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Response:
        """A JSON answer."""
        return cls(status, wire.dumps(value).encode())


@dataclass(slots=True)
class Request:
    """A request to the emulator."""

    method: str
    path: str
    raw_path: str
    headers: dict[str, str]
    body: bytes


class Refused(Exception):
    """A wrong request: code 3xxx, which counts for the lock."""

    def __init__(self, code: int, what: str, detail: str = "") -> None:
        super().__init__(what)
        self.code, self.what, self.detail = code, what, detail


Data = dict[str, Any]
Handler = Callable[[Account, Data], "Response | int"]


def _text(data: Data, name: str, *, required: bool = True, limit: int = 128) -> str:
    """A string parameter."""
    value = data.get(name)
    if value is None and not required:
        return ""
    if value is None:
        raise Refused(3103, "missing_param", name)
    if not isinstance(value, str) or len(value) > limit or (required and not value):
        raise Refused(3104, "bad_param", f"{name}={value!r}")
    return value


def _number(value: Any, name: str) -> str:
    """A number to dial: digits without plus, or a SIP URI."""
    if not isinstance(value, str):
        raise Refused(3104, "bad_param", f"{name}={value!r}")
    if not NUMBER.match(value):
        raise Refused(3200, "wrong_number", f"{name}={value!r}")
    return value


class Api:
    """Endpoints of the VPBX API, by path after `/vpbx/`."""

    def __init__(self, emu: MangoEmulator) -> None:
        self.emu = emu
        self.base_url = ""
        self.reports: dict[str, history.Report] = {}
        self.links: dict[str, Recording | None] = {}
        commands: dict[str, Handler] = {
            "commands/callback": self.callback,
            "commands/callback_group": self.callback_group,
            "commands/call/hangup": self.hangup,
            "commands/route": self.route,
            "commands/transfer": self.transfer,
            "commands/transfer_cancel": self.transfer_cancel,
            "commands/calls_connect": self.calls_connect,
            "commands/call/hold/on": self.hold,
            "commands/recording/start": self.recording_start,
            "commands/play/start": self.play_start,
        }
        self.commands = commands
        self.queries: dict[str, Handler] = {
            "config/users/request": self.users,
            "incominglines": self.incominglines,
            "groups": self.groups,
            "account/balance": self.balance,
            "stats/request": self.stats_request,
            "stats/result": self.stats_result,
            "stats/calls/request/": self.calls_request,
            "stats/calls/result/": self.calls_result,
            "queries/recording/post": self.recording_post,
            "queries/user_info_by_dct_number": self.visitor,
            "queries/user_history_by_dct_number": self.visitor_history,
        }
        # Endpoints that the documentation has and the emulator has not: "4001 not supported", no violation.
        self.unsupported = {"commands/sms", "sips", "schemas", "trunks/numbers"}

    # --- the gate

    def handle(self, request: Request) -> Response:
        """A request under `/vpbx/`."""
        endpoint = request.path.removeprefix("/vpbx/")
        self.base_url = self.emu.public_url or f"http://{request.headers.get('host', '')}"
        if request.method == "GET" and endpoint.startswith("queries/recording/link/"):
            return self.public_link(request.raw_path)
        if endpoint not in self.commands and endpoint not in self.queries and endpoint not in self.unsupported:
            self.emu.violate("", "unknown_endpoint", f"{request.method} {request.path}")
            return Response(404)
        account = self.emu.accounts.get(self._form(request).get("vpbx_api_key", ""))
        key = account.key if account else ""
        try:
            if account and account.lock.locked(self.emu.clock()):
                self.emu.violate(key, "locked", endpoint)
                return Response(401)
            account, payload = self._authenticated(request, account)
            over = account.limiter.exceeded(endpoint, self.emu.clock()) if self.emu.limits else None
            if over:
                self.emu.violate(key, "rate_limit", over)
                return Response.json(TOO_MANY, 429)
            return self._dispatch(account, endpoint, self._parse(account, endpoint, payload))
        except Refused as refused:
            self.emu.violate(key, refused.what, f"{endpoint} {refused.detail}".strip())
            if account:
                account.lock.mistake(self.emu.clock())
            return Response.json({"result": refused.code})

    def _form(self, request: Request) -> dict[str, str]:
        return dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))

    def _authenticated(self, request: Request, account: Account | None) -> tuple[Account, str]:
        """POST, content type, exactly three fields, a known key, the signature over the raw json string."""
        if request.method != "POST":
            raise Refused(3101, "not_post", request.method)
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != wire.FORM:
            raise Refused(3100, "content_type", kind)
        fields = parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True)
        names = [name for name, _ in fields]
        if missing := [name for name in wire.FIELDS if name not in names]:
            raise Refused(3103, "missing_field", ",".join(missing))
        if len(names) > len(wire.FIELDS):
            raise Refused(3100, "extra_field", ",".join(names))
        form = dict(fields)
        if account is None:
            raise Refused(3105, "wrong_key", form["vpbx_api_key"])
        if form["sign"] != wire.sign(account.key, form["json"], account.salt):
            raise Refused(3102, "bad_signature")
        return account, form["json"]

    def _parse(self, account: Account, endpoint: str, payload: str) -> Data:
        try:
            data = json.loads(payload)
        except ValueError as error:
            raise Refused(3400, "bad_json", payload[:80]) from error
        if not isinstance(data, dict):
            raise Refused(3400, "bad_json", "not an object")
        if wire.has_blanks(payload):
            self.emu.violate(account.key, "json_blanks", payload[:80])
        if unknown := set(data) - PARAMS.get(endpoint, set(data)):
            self.emu.violate(account.key, "unknown_param", f"{endpoint} {sorted(unknown)}")
        return data

    def _dispatch(self, account: Account, endpoint: str, data: Data) -> Response:
        if endpoint in self.unsupported:
            return Response.json({"result": 4001})
        if endpoint not in self.commands:
            return cast("Response", self.queries[endpoint](account, data))
        command_id = data.get("command_id")
        if not command_id:
            raise Refused(3103, "command_id_missing")
        if not isinstance(command_id, str) or len(command_id) > 128:
            raise Refused(3104, "command_id_bad", repr(command_id)[:150])
        if forced := self.emu.faults.result(endpoint):
            return Response.json({"command_id": command_id, "result": forced})
        result = cast("int", self.commands[endpoint](account, data))
        if result != 1000 and self.emu.async_refusals:
            self._late_refusal(account, endpoint, command_id, result)
            result = 1000
        return Response.json({"command_id": command_id, "result": result})

    def _late_refusal(self, account: Account, endpoint: str, command_id: str, result: int) -> None:
        """Accepted synchronously, refused in `result/...`: the documentation allows both to differ."""
        path = next(p for p in RESULT_PATHS.values() if p.strip("/") == endpoint.replace("commands/", "result/"))
        self.emu.push(account, Event(path, wire.dumps({"command_id": command_id, "result": result}), []))

    # --- commands on live calls

    def _leg(self, account: Account, call_id: str) -> tuple[Call, Leg] | None:
        found = self.emu.sim.find(call_id)
        return found if found and found[0].account is account else None

    def _act(self, account: Account, call_id: str, command: Command) -> int:
        found = self._leg(account, call_id)
        if found is None:
            return OVER
        return found[0].offer(found[1], command)

    def hangup(self, account: Account, data: Data) -> int:
        """Only for legs in ivr or abonent."""
        call_id = _text(data, "call_id", limit=256)
        found = self._leg(account, call_id)
        if found and found[1].location == "queue":
            return NOT_NOW
        return self._act(account, call_id, Command("hangup", data["command_id"]))

    def route(self, account: Account, data: Data) -> int:
        """To another destination before the answer. Too late: 4101 (over) or 4100 (connected)."""
        call_id = _text(data, "call_id", limit=256)
        target = _number(data.get("to_number") or _text(data, "to_number"), "to_number")
        if len(target) < 6 and not account.employee(target) and not account.group(target):
            raise Refused(3200, "route_target_unknown", target)
        found = self._leg(account, call_id)
        connected = found is not None and found[1].answered
        command = Command("route", data["command_id"], target)
        result = NOT_NOW if connected else self._act(account, call_id, command)
        if result != 1000:
            self.emu.violate(account.key, "route_too_late", f"{call_id} {result}")
        return result

    def transfer(self, account: Account, data: Data) -> int:
        """Only a connected leg; the initiator is its employee side, by extension or number."""
        call_id, method = _text(data, "call_id", limit=256), _text(data, "method")
        if method not in ("blind", "hold"):
            raise Refused(3104, "bad_param", f"method={method!r}")
        initiator = _text(data, "initiator")
        target = _number(_text(data, "to_number"), "to_number")
        found = self._leg(account, call_id)
        if found is None:
            return OVER
        if initiator not in (found[1].extension, found[1].our_side.get("number")):
            raise Refused(3104, "bad_param", f"initiator={initiator!r}")
        if found[1].state != "Connected":
            return NOT_NOW
        return found[0].offer(found[1], Command("transfer", data["command_id"], target, method))

    def transfer_cancel(self, account: Account, data: Data) -> int:
        """Give up a consultation."""
        command = Command("transfer_cancel", data["command_id"], reason=1180)
        return self._act(account, _text(data, "call_id", limit=256), command)

    def calls_connect(self, account: Account, data: Data) -> int:
        """Join the held call with the one of the consultation."""
        held, other = _text(data, "holded_call_id", limit=256), _text(data, "transferred_call_id", limit=256)
        _text(data, "transfer_initiator_number")
        if self._leg(account, other) is None:
            return OVER
        return self._act(account, held, Command("calls_connect", data["command_id"]))

    def hold(self, account: Account, data: Data) -> int:
        """Hold a connected leg (the emulator takes it back after five seconds)."""
        _text(data, "initiator")
        return self._act(account, _text(data, "call_id", limit=256), Command("hold", data["command_id"]))

    def recording_start(self, account: Account, data: Data) -> int:
        """4102 when the leg is recorded already."""
        _text(data, "call_party_number")
        found = self._leg(account, _text(data, "call_id", limit=256))
        if found is None or found[0].finished:
            return OVER
        call, leg = found
        if leg.recording:
            return 4102
        if leg.state != "Connected":
            return NOT_NOW
        call.start_recording(leg, data["command_id"])
        call.result(Command("recording", data["command_id"]))
        return 1000

    def play_start(self, account: Account, data: Data) -> int:
        """Play a melody of the PBX into the leg."""
        found = self._leg(account, _text(data, "call_id", limit=256))
        if "internal_id" not in data:
            raise Refused(3103, "missing_param", "internal_id")
        if found is None or found[0].finished:
            return OVER
        found[0].result(Command("play", data["command_id"]))
        return 1000

    # --- commands that make calls

    def callback(self, account: Account, data: Data) -> int:
        """Click-to-call. `line_number` is a DID or the name of a SIP line, never its URI."""
        from_ = data.get("from")
        if not isinstance(from_, dict):
            raise Refused(3103, "missing_param", "from")
        extension = _text(from_, "extension")
        target = _number(_text(data, "to_number"), "to_number")
        if from_.get("number") is not None:
            _number(from_["number"], "from.number")
        if account.employee(extension) is None:
            raise Refused(3300, "unknown_extension", extension)
        self._dial(account, "callback", data, target, extension=extension)
        return 1000

    def callback_group(self, account: Account, data: Data) -> int:
        """External `from` and a group as `to` rings the client first; the reverse rings the group first."""
        from_, to = _text(data, "from"), _text(data, "to")
        _text(data, "line_number")
        group = account.group(to) or account.group(from_)
        if group is None:
            raise Refused(3300, "unknown_group", f"{from_} {to}")
        client_first = account.group(to) is not None
        client = _number(from_ if client_first else to, "from" if client_first else "to")
        extra = {"extension": group.members[0], "second": "client" if client_first else "", "group": group.extension}
        self._dial(account, "callback_group", data, client, **extra)
        return 1000

    def _dial(self, account: Account, scenario: str, data: Data, client: str, **extra: Any) -> None:
        name = _text(data, "line_number", required=False)
        line = account.line(name) if name else account.lines[0]
        if line is None:
            raise Refused(3330, "unknown_line", name)
        behaviour = account.behaviour.get("*", {}) | account.behaviour.get(client, {})
        values = {"client": client, "line": line.number, "command_id": data["command_id"], **extra}
        self.emu.begin(account, scenario, behaviour | values)

    # --- directories

    def users(self, account: Account, data: Data) -> Response:
        """Fields of `ext_fields` appear only when asked for, user_id among them."""
        wanted = data.get("ext_fields", [])
        if not isinstance(wanted, list) or set(wanted) - EXT_FIELDS:
            raise Refused(3104, "bad_param", f"ext_fields={wanted!r}")
        one = data.get("extension")
        people = [item for item in account.employees if one is None or item.extension == str(one)]
        return Response.json({"users": [_user(account, item, set(wanted)) for item in people]})

    def incominglines(self, account: Account, data: Data) -> Response:
        """The virtual numbers, SIP lines among them."""
        if not account.lines:
            return Response.json({"result": 3300, "lines": []})
        lines = []
        for index, line in enumerate(account.lines):
            sip = line.number.startswith("sip:")
            region = "sip" if sip else "toll-free" if line.number.startswith("7800") else "2"
            schema = {"schema_id": 10000001, "schema_name": "По умолчанию"}
            shown = {"number": line.number, "name": line.name, "comment": line.comment, "region": region}
            lines.append({"line_id": 300000801 + index, **shown, **schema})
        return Response.json({"result": 1000, "lines": lines})

    def groups(self, account: Account, data: Data) -> Response:
        """Groups; the field table of this endpoint is not known for certain."""
        rows = [{"group_id": g.group_id, "name": g.name, "extension": g.extension} for g in account.groups]
        return Response.json({"result": 1000, "groups": rows})

    def balance(self, account: Account, data: Data) -> Response:
        """The account's money."""
        return Response.json({"result": 1000, "balance": account.balance, "currency": "RUR"})

    # --- histories

    def _report(self, account: Account, data: Data, extended: bool) -> Response:
        key = wire.opaque(f"stat-{secrets.token_hex(8)}")
        self.reports[key] = history.Report(account.key, data, extended, self.emu.clock())
        if self.emu.stats_delay is not None:
            asyncio.get_running_loop().call_later(self.emu.stats_delay, self.finish_report, key)
        return Response.json({"key": key})

    def finish_report(self, key: str) -> None:
        """The report is ready; the basic one announces itself with `result/stat`."""
        report = self.reports.get(key)
        if report and not report.ready:
            report.ready = True
            if not report.extended:
                data = {"key": key, "request_id": report.params.get("request_id", "")}
                self.emu.push(self.emu.accounts[report.account], Event("result/stat", wire.dumps(data), []))

    def finish_reports(self) -> None:
        """Make all reports ready."""
        for key in list(self.reports):
            self.finish_report(key)

    def _find_report(self, account: Account, data: Data, extended: bool) -> history.Report | None:
        report = self.reports.get(_text(data, "key", limit=512))
        if report is None or report.account != account.key or report.extended != extended:
            return None
        return report if self.emu.clock() - report.requested < history.KEPT_SECONDS else None

    def stats_request(self, account: Account, data: Data) -> Response:
        """The basic history: epoch strings, a month at most."""
        for name in ("date_from", "date_to"):
            if not _text(data, name).isdigit():
                raise Refused(3104, "bad_param", f"{name}={data[name]!r}")
        period = int(data["date_to"]) - int(data["date_from"])
        if not 0 <= period <= history.MAX_PERIOD:
            raise Refused(3104, "bad_param", f"period of {period} s")
        fields = _text(data, "fields", required=False, limit=1000)
        if unknown := [name for name in fields.split(",") if fields and name not in history.ROW]:
            raise Refused(3104, "bad_param", f"fields {unknown}")
        return self._report(account, data, extended=False)

    def stats_result(self, account: Account, data: Data) -> Response:
        """204 not ready, 404 unknown or expired, 200 CSV."""
        report = self._find_report(account, data, extended=False)
        if report is None:
            return Response(404)
        now = self.emu.clock()
        if report.polled is not None and now - report.polled < history.POLL_SECONDS:
            self.emu.violate(account.key, "stats_polled_too_often", f"after {now - report.polled:.3f} s")
        report.polled = now
        if not report.ready:
            return Response(204)
        newline = "\n" if "lf_rows" in account.quirks else "\r\n"
        return Response(200, history.csv(self.emu.calls, report, newline).encode(), {"content-type": "text/csv"})

    def calls_request(self, account: Account, data: Data) -> Response:
        """The extended history: dates as `DD.MM.YYYY hh:mm:ss`, limit from a fixed list."""
        try:
            for name in ("start_date", "end_date"):
                history.parse_date(_text(data, name), account.stats_utc_offset)
            if int(data.get("limit", 0)) not in history.LIMITS:
                raise ValueError(f"limit {data.get('limit')!r}")
            int(data.get("offset", 0))
        except (ValueError, TypeError) as error:
            raise Refused(3104, "bad_param", str(error)) from error
        return self._report(account, data | {"limit": int(data["limit"])}, extended=True)

    def calls_result(self, account: Account, data: Data) -> Response:
        """`work` until ready, then `complete` with the data."""
        report = self._find_report(account, data, extended=True)
        if report is None:
            return Response.json({"result": 1000, "status": "not-found"})
        if not report.ready:
            return Response.json({"result": 1000, "status": "work"})
        data = {"data": history.tree(self.emu.calls, report, account.stats_utc_offset)}
        return Response.json({"result": 1000, "status": "complete"} | data)

    # --- recordings

    def recording_post(self, account: Account, data: Data) -> Response:
        """302 with a one-shot link; 3320 before `record/added`."""
        if _text(data, "action") not in ("download", "play"):
            raise Refused(3104, "bad_param", f"action={data['action']!r}")
        recording = account.recordings.get(_text(data, "recording_id", limit=512))
        if recording is None:
            raise Refused(3320, "recording_unknown", data["recording_id"])
        if not recording.added:
            raise Refused(3320, "recording_too_early", data["recording_id"])
        token = secrets.token_urlsafe(24)
        self.links[token] = recording
        return Response(302, b"", {"location": f"{self.base_url}/files/{token}", "content-type": "text/html"})

    def file(self, request: Request) -> Response:
        """The one-shot link: a plain GET, once."""
        token = request.path.removeprefix("/files/")
        if request.method != "GET" or request.body or wire.FORM in request.headers.get("content-type", ""):
            self.emu.violate("", "redirect_followed_with_form", f"{request.method} {request.path}")
            return Response(405)
        recording = self.links.get(token)
        if recording is None:
            self.emu.violate("", "link_used_twice" if token in self.links else "unknown_link", token)
            return Response(404)
        self.links[token] = None
        return _audio(recording)

    def public_link(self, raw_path: str) -> Response:
        """The public link: signed with `sha256(key + timestamp + recording_id + salt)`, valid until its timestamp."""
        parts = [unquote(part) for part in raw_path.removeprefix("/vpbx/queries/recording/link/").split("/")]
        if len(parts) != 5:
            self.emu.violate("", "unknown_endpoint", raw_path)
            return Response(404)
        recording_id, action, key, timestamp, signature = parts
        account = self.emu.accounts.get(key)
        if account is None or signature != wire.link_sign(key, timestamp, recording_id, account.salt):
            self.emu.violate(key, "bad_link_signature", raw_path)
            return Response.json({"result": 3102})
        recording = account.recordings.get(recording_id)
        fresh = timestamp.isdigit() and int(timestamp) >= self.emu.clock()
        allowed = account.public_links and fresh and action in ("download", "play")
        if not allowed or recording is None or not recording.added:
            return Response.json({"result": 3320}, 404)
        return _audio(recording)

    # --- call tracking

    def _alive(self, account: Account, data: Data) -> str:
        number = _text(data, "number")
        alive = any(call.account is account and call.spec.dct == number for call, _ in self.emu.sim.live.values())
        return number if alive else ""

    def visitor(self, account: Account, data: Data) -> Response:
        """The visitor behind a call-tracking number while the call is alive, `{}` otherwise."""
        number = self._alive(account, data)
        return Response.json({"data": account.visitors.get(number, VISITOR)} if number else {})

    def visitor_history(self, account: Account, data: Data) -> Response:
        """The pages that the visitor saw."""
        number = self._alive(account, data)
        return Response.json({"data": [account.visitors.get(number, VISITOR)["current_page"]]} if number else {})


def _audio(recording: Recording) -> Response:
    return Response(200, wire.mp3(recording.recording_id, recording.seconds), {"content-type": "audio/mpeg"})


def _user(account: Account, person: Employee, wanted: set[str]) -> dict[str, Any]:
    """One employee's card."""
    general: dict[str, Any] = {"name": person.name, "email": "", "department": person.department, "position": ""}
    extra: dict[str, Any] = {
        "user_id": person.user_id,
        "mobile": person.mobile,
        "use_status": 0,
        "login": "",
        "sips": [],
    }
    general |= {name: value for name, value in extra.items() if f"general.{name}" in wanted}
    numbers: list[dict[str, Any]] = []
    if person.extension:
        sip = {"number": f"sip:user{person.extension}@{account.domain}", "protocol": "sip", "order": 0}
        numbers.append({**sip, "wait_sec": 60, "status": "on", "schedule": []})
    if person.mobile:
        mobile = {"number": person.mobile, "number_normalized": person.mobile, "protocol": "tel", "order": 1}
        numbers.append({**mobile, "wait_sec": 30, "status": "off", "schedule": []})
    line = account.lines[0].number if account.lines else None
    telephony: dict[str, Any] = {"extension": person.extension, "outgoingline": line, "numbers": numbers}
    more = {"dial_alg": 1, "line_id": 300000801, "trunk_number_id": None}
    telephony |= {name: value for name, value in more.items() if f"telephony.{name}" in wanted}
    return {"general": general, "telephony": telephony, **({"groups": person.groups} if "groups" in wanted else {})}
