"""An emulated Binotel account: API CALL SETTINGS, API PUSH and API CALL COMPLETED as forms, and the API 4.0 as far as
we use it. It writes numbers as its cabinet shows them: with the country's digits and without a plus."""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from .pbx import SCENARIOS, Call, Pbx, Scenario
from .served import MP3, Asked, Refusal, Wire, api

KEY, SECRET, COMPANY = "bnkey-test-0001", "bnsecret-test-0001", "70001"
DISPOSITIONS = {"answered": "ANSWER", "missed": "NOANSWER", "busy": "BUSY", "no_answer": "NOANSWER"}
RINGS = 5
DAY = timedelta(days=1)
DIAL = {"pbxNumber", "limitCallTime", "callTimeToExt", "playbackWaiting", "callerIdForEmployee", "async"}


class Emulator(Pbx):
    """`unsettled` are ids of calls that go on. `before` is a call of the time before anybody listened: the API tells of
    the company's numbers by calls alone."""

    # Binotel's fields tell a call between two employees from others nowhere: it is either incoming or outgoing.
    lacks = frozenset({"internal"})
    proofs = frozenset({"company_id"})

    def __init__(self, deliver: Any):
        super().__init__(deliver)
        self.asked: list[dict[str, Any]] = []
        self.unsettled: set[str] = set()
        began = datetime.now(UTC).replace(microsecond=0) - 2 * DAY
        self.before = Call("6000000000", SCENARIOS[0], "79000000000", self.lines[0], began)

    @property
    def secrets(self) -> dict[str, str]:
        return {"key": KEY, "secret": SECRET, "company_id": COMPANY, "api_url": self.url}

    # --- Notifications

    def call_id(self, scenario: Scenario, number: int) -> str:
        return f"6{number:09}"

    def new_call(self, *args: Any, **kwargs: Any) -> Call:
        """A call has one recording, and its own id names it."""
        call = super().new_call(*args, **kwargs)
        call.recordings = {call.id: MP3 + call.id.encode()} if call.scenario.recorded else {}
        return call

    def events(self, call: Call) -> Iterator[Wire]:
        """API CALL SETTINGS alone does not name the call."""
        kind = call.scenario
        whom = {"callType": call_type(call), "externalNumber": "" if kind.hidden else call.client}
        dialled = {"internalNumber": kind.rings[0]} if kind.direction == "out" else {}
        yield form({"requestType": "apiCallSettings", "companyID": COMPANY, **whom, **(dialled or line(call))})
        usual = {"companyID": COMPANY, "generalCallID": call.id}
        yield push("receivedTheCall", {**usual, **whom, **line(call), **dialled, "method": "receivedTheCall"})
        for place, extension in enumerate(kind.talks):
            if place:
                yield push("transferredTheCall", {**usual, "internalNumber": extension})
            yield push("answeredTheCall", {**usual, **whom, **line(call), "internalNumber": extension})
        told = details(call)
        yield push("hangupTheCall", {**usual, "billsec": told["billsec"], "disposition": told["disposition"]})
        yield form({"requestType": "apiCallCompleted", "attemptsCounter": 1, "callDetails": told, "language": "ru"})

    # --- The API

    def trust(self, asked: Asked) -> None:
        if asked.path.startswith("/records/"):
            return
        if asked.method != "POST" or asked.headers.get("content-type") != "application/json":
            raise Refusal(200, b"Something went wrong (exception)", violation=f"no POST of JSON: {asked.path}")
        if (asked.json.get("key"), asked.json.get("secret")) != (KEY, SECRET):
            raise refused("121", "Your key or secret is wrong")
        self.asked.append(asked.json)

    @api("POST", "/api/4.0/settings/list-of-employees.json")
    def employees(self, asked: Asked) -> Any:
        params(asked)
        rows = {}
        for place, (number, name) in enumerate(self.people.items(), 11):
            phone = {"id": f"5{place}", "login": f"demo{number}", "password": "DO-NOT-STORE"}
            endpoint = {**phone, "internalNumber": number, "status": {"status": "online"}}
            row = {"employeeID": str(place), "name": name, "email": f"op{number}@example.com", "mobileNumber": None}
            rows[str(place)] = row | {"endpointData": endpoint}
        return {"status": "success", "listOfEmployees": rows}

    @api("POST", "/api/4.0/calls/internal-number-to-external-number.json")
    def dial(self, asked: Asked) -> Any:
        told = params(asked, {"internalNumber", "externalNumber"}, DIAL)
        who, whom = told["internalNumber"], told["externalNumber"]
        if who not in self.people:
            raise refused(150, "Can`t call to the ext")
        if not whom.isdecimal() or told.get("async") is not True:
            raise refused(104, "Wrong data", violation=f"dial {told}")
        self.dialled.append((who, f"+{whom}"))
        return {"status": "success", "generalCallID": 6_999_999_999}

    @api("POST", "/api/4.0/calls/hangup-call.json")
    def hang_up(self, asked: Asked) -> Any:
        call = params(asked, {"generalCallID"})["generalCallID"]
        if call not in self.unsettled:
            raise refused("104", "Wrong data")
        self.hung_up.append(call)
        return {"status": "success"}

    @api("POST", "/api/4.0/calls/attended-call-transfer.json")
    def transfer(self, asked: Asked) -> Any:
        told = params(asked, {"generalCallID", "externalNumber"})
        if not told["externalNumber"].isdecimal():
            raise refused(104, "Wrong data", violation=f"transfer {told}")
        self.transferred.append((told["generalCallID"], told["externalNumber"]))
        return {"status": "success"}

    @api("POST", "/api/4.0/stats/call-details.json")
    def call_details(self, asked: Asked) -> Any:
        wanted = params(asked, {"generalCallID"})["generalCallID"]
        found = {call.id: self._row(call) for call in self.calls if call.id in wanted}
        return {"status": "success", "callDetails": found or []}

    @api("POST", "/api/4.0/stats/list-of-calls-for-period.json")
    def calls_for_period(self, asked: Asked) -> Any:
        told = params(asked, {"startTime", "stopTime"})
        since, until = told["startTime"], told["stopTime"]
        if not isinstance(since, int) or not isinstance(until, int) or until - since > DAY.total_seconds():
            raise refused(104, "Wrong data", violation=f"a period of more than a day, or none: {told}")
        known = [*self.calls, self.before]
        found = {call.id: self._row(call) for call in known if since <= call.began.timestamp() <= until}
        return {"status": "success", "callDetails": found or ""}

    def _row(self, call: Call) -> dict[str, Any]:
        return details(call) | ({"disposition": "ONLINE", "billsec": 0} if call.id in self.unsettled else {})

    @api("POST", "/api/4.0/stats/call-record.json")
    def call_record(self, asked: Asked) -> Any:
        wanted = params(asked, {"generalCallID"})["generalCallID"]
        if not any(wanted in call.recordings for call in self.calls):
            raise refused("104", "Wrong data")
        return {"status": "success", "url": f"{self.url}/records/{wanted}.mp3?ttl=900"}

    @api("GET", "/records/*")
    def download(self, asked: Asked) -> Any:
        wanted = asked.path.rpartition("/")[2].removesuffix(".mp3")
        return next(call.recordings[wanted] for call in self.calls if wanted in call.recordings)


def params(asked: Asked, needed: Set[str] = frozenset(), allowed: Set[str] = frozenset()) -> dict[str, Any]:
    """The parameters of a method: all that it needs, none that it does not know."""
    told = {name: value for name, value in asked.json.items() if name not in ("key", "secret")}
    if missing := needed - told.keys():
        raise refused(103, "Not enough data", violation=f"{asked.path} without {missing}")
    if unknown := told.keys() - needed - allowed:
        raise refused(104, "Wrong data", violation=f"{asked.path} with {unknown}")
    return told


def refused(code: int | str, message: str, violation: str = "") -> Refusal:
    """A number or a text: both were seen."""
    return Refusal(200, {"status": "error", "code": code, "message": message}, violation=violation)


# --- Bodies -----------------------------------------------------------------------------------------------------------


def push(named: str, fields: dict[str, Any]) -> Wire:
    return form({"requestType": named, **fields})


def form(told: dict[str, Any]) -> Wire:
    """As PHP writes it: names nest in brackets, an empty object is an empty text."""
    body = urlencode(dict(_flat(told)))
    return Wire(body.encode(), headers={"content-type": "application/x-www-form-urlencoded"})


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, (dict, list)) or not value:
        yield name, value if value else "" if isinstance(value, (dict, list)) else value
        return
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _flat(each, f"{name}[{key}]" if name else str(key))


def call_type(call: Call) -> int:
    return 1 if call.scenario.direction == "out" else 0


def line(call: Call) -> dict[str, Any]:
    return {"pbxNumber": call.line}


def details(call: Call) -> dict[str, Any]:
    """The unified structure of a call."""
    kind = call.scenario
    steps = [attempt(call, extension) for extension in (kind.rings[:1] if call_type(call) else kind.rings)]
    employee = kind.talks[-1] if kind.talks else kind.rings[0] if len(kind.rings) == 1 else ""
    return {
        "companyID": COMPANY,
        "generalCallID": call.id,
        "callID": call.id,
        "startTime": int(call.began.timestamp()),
        "callType": call_type(call),
        "internalNumber": employee,
        "internalAdditionalData": "",
        "externalNumber": "" if kind.hidden else call.client,
        "waitsec": sum(step["waitsec"] for step in steps),
        "billsec": sum(step["billsec"] for step in steps),
        "disposition": "TRANSFER" if len(kind.talks) > 1 else DISPOSITIONS[kind.outcome],
        "recordingStatus": "uploaded" if call.recordings else "",
        "isNewCall": "0",
        "whoHungUp": "",
        "customerData": "",
        "employeeData": {"name": "Operator", "email": "operator@example.com"} if employee else "",
        "pbxNumberData": {"number": call.line, "name": "Main line"},
        "historyData": steps,
    }


def attempt(call: Call, extension: str) -> dict[str, Any]:
    kind = call.scenario
    if extension not in kind.talks:
        disposition = "NOANSWER" if kind.talks else DISPOSITIONS[kind.outcome]
    else:
        disposition = "ANSWER" if extension == kind.talks[-1] else "TRANSFER"
    return {
        "waitsec": RINGS,
        "billsec": kind.seconds if extension in kind.talks else 0,
        "disposition": disposition,
        "internalNumber": extension,
        "internalAdditionalData": "",
        "employeeData": {"name": f"Operator {extension}", "email": f"op{extension}@example.com"},
    }
