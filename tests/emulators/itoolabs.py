"""An emulated PBX of iTooLabs: its notifications, and both of its interfaces as far as we use them.

`rest`: whether it has the newer one. `late`: recordings come without a link in the notification.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from .pbx import Call, Pbx, Scenario
from .served import Asked, Refusal, Told, Wire, api

KEY, TOKEN = "9a7b5e10-0000-4000-8000-0000000000aa", "3f1c2a54-0000-4000-8000-00000000c0de"
GROUP = "g_0f8fad5b-d9cb-469f-a165-70867728950e@vats000001.megapbx.ru"
SALES = "Отдел продаж"
WAIT = 8
STATUSES = {"answered": "Success", "missed": "missed", "busy": "Busy", "no_answer": "Cancel"}
PAST = {"answered": "success", "missed": "missed", "busy": "busy", "no_answer": "noanswer"}
MOST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Part:
    """What has an id of its own: a call, or what of it was handed on."""

    id: str
    call: Call
    rings: tuple[str, ...]
    talks: str
    began: datetime

    @property
    def seconds(self) -> int:
        return self.call.scenario.seconds if self.talks else 0


class Emulator(Pbx):
    # Statuses other than missed are described for outgoing calls alone; calls inside the company are not told at all.
    lacks = frozenset({"busy", "internal"})
    # The parts of a transferred call are rows that nothing connects; nobody is named who did not answer for a group.
    lacks_in_history = frozenset({"transferred", "missed by a group"})
    # No notification says when something happened.
    told_by_order = frozenset({"transferred", "missed by a group"})

    def __init__(self, deliver: Any):
        super().__init__(deliver)
        self.rest = True
        self.late = False
        self.missing_files = 0

    @property
    def secrets(self) -> dict[str, str]:
        return {"domain": self.url, "api_key": KEY, "crm_token": TOKEN, "recorded": "yes"}

    def call_id(self, scenario: Scenario, number: int) -> str:
        return str(33_274_000 + 10 * number)

    def new_call(self, scenario: Scenario, client: str = "", began: datetime | None = None) -> Call:
        """A recording has the id of its call."""
        call = super().new_call(scenario, client, began)
        parts = self.parts(call)
        audio = list(call.recordings.values())
        call.recordings = {part.id: content for part, content in zip(parts, audio, strict=False)}
        return call

    @staticmethod
    def parts(call: Call) -> list[Part]:
        kind = call.scenario
        if len(kind.talks) < 2:
            return [Part(call.id, call, kind.rings, "".join(kind.talks), call.began)]
        return [
            Part(
                str(int(call.id) + place), call, (person,), person, call.began + timedelta(seconds=place * kind.seconds)
            )
            for place, person in enumerate(kind.talks)
        ]

    # --- Notifications

    def tell(self, wire: Wire) -> Told:
        """The PBX takes an integration for broken that does not answer 200, and a look-up needs an object."""
        told = super().tell(wire)
        if told.status != 200:
            self.violations.append(f"{told.status} to {wire.body!r}")
        elif b"cmd=contact" in wire.body and not isinstance(json.loads(told.body or b"null"), dict):
            self.violations.append(f"the look-up is answered {told.body!r}")
        return told

    def events(self, call: Call) -> Iterator[Wire]:
        first, *others = self.parts(call)
        last = others[-1] if others else first
        if call.scenario.direction == "in":
            yield notification("contact", phone=phone(call), callid=call.id, diversion=call.line)
        yield from self._beginning(first)
        if others:
            yield from self._beginning(last)
            yield self._event("TRANSFERRED", first, first.talks, second_callid=last.id)
        yield from self._ending(last)
        for part in (first, *others):
            yield self._history(part)

    def _beginning(self, part: Part) -> Iterator[Wire]:
        outgoing = part.call.scenario.direction == "out"
        for person in part.rings:
            yield self._event("OUTGOING" if outgoing else "INCOMING", part, person)
        if part.talks:
            yield self._event("ACCEPTED", part, part.talks)

    def _ending(self, part: Part) -> Iterator[Wire]:
        for person in part.rings:
            yield self._event("COMPLETED" if person == part.talks else "CANCELLED", part, person)

    def _event(self, kind: str, part: Part, person: str, **more: str) -> Wire:
        return notification("event", type=kind, **self._who(part, person), **more)

    def _who(self, part: Part, person: str) -> dict[str, str]:
        call = part.call
        group = {"groupRealName": SALES} if len(part.rings) > 1 else {}
        return {
            "phone": phone(call),
            "user": login(person),
            "ext": person,
            "direction": "out" if call.scenario.direction == "out" else "in",
            "callid": part.id,
            "diversion": call.line,
            **group,
        }

    def _history(self, part: Part) -> Wire:
        call, kind = part.call, part.call.scenario
        fields = self._who(part, part.talks or part.rings[0])
        if not part.talks and len(part.rings) > 1:
            del fields["ext"]
            fields |= {"user": "pbx", "group": GROUP, "missedStatus": "3"}
        if part.id in call.recordings and not self.late:
            fields["link"] = self._link(part)
        del fields["direction"]
        return notification(
            "history",
            type=kind.direction,
            status=STATUSES[kind.outcome],
            start=f"{part.began:%Y%m%dT%H%M%SZ}",
            wait=str(WAIT),
            duration=str(part.seconds),
            **fields,
        )

    def _link(self, part: Part) -> str:
        return f"{self.url}/record/vats000001.megapbx.ru/{part.began:%Y-%m-%d}/{part.id}.mp3"

    # --- The API

    def trust(self, asked: Asked) -> None:
        if asked.path.startswith("/crmapi/v1/"):
            if not self.rest:
                raise Refusal(404, b"<html>not found</html>")
            if asked.headers.get("x-api-key") != KEY:
                raise refused(401, "Unauthorized")
        elif asked.path == "/sys/crm_api.wcgp" and asked.form.get("token") != KEY:
            raise Refusal(401, {"error": "Invalid token"})

    @api("GET", "/crmapi/v1/users")
    def users(self, asked: Asked) -> Any:
        people = [
            {"login": login(ext), "name": name, "position": "", "ext": ext, "telnum": f"79000000{ext}", "role": "user"}
            for ext, name in self.people.items()
        ]
        return paged(asked, people)

    @api("GET", "/crmapi/v1/telnums")
    def telnums(self, asked: Asked) -> Any:
        return paged(asked, [{"telnum": line, "name": "Main", "is_main_phone": True} for line in self.lines])

    @api("POST", "/crmapi/v1/makecall")
    def makecall(self, asked: Asked) -> Any:
        if asked.headers.get("content-type") != "application/json":
            raise refused(400, "Validation error", "makecall is no JSON")
        call = self._dialled(asked.json)
        if call is None:
            raise refused(400, "Validation error", f"makecall {asked.json}")
        return {"callid": "2015948108", **call}

    def _dialled(self, told: dict[str, str]) -> dict[str, str] | None:
        """Notes a dial; None for one that the PBX refuses."""
        people = {login(ext): ext for ext in self.people}
        who, whom, line = told.get("user", ""), told.get("phone", ""), told.get("clid", "")
        if who not in people or not whom.isdecimal() or (line and not line.isdecimal()):
            return None
        self.dialled.append((people[who], f"+{whom}"))
        return {"clid": line} if line in self.lines else {}

    @api("GET", "/crmapi/v1/history/json")
    def history(self, asked: Asked) -> Any:
        parts = [part for call in self.calls for part in self.parts(call)]
        if uid := asked.query.get("uid"):
            return [self._row(part) for part in parts if part.id == uid]
        return [self._row(part) for part in self._within(asked.query)]

    def _within(self, asked: dict[str, str]) -> list[Part]:
        since, until = (moment(asked.get(name, "")) for name in ("start", "end"))
        if until - since > timedelta(days=1):
            self.violations.append("the history of more than a day")
        parts = [part for call in self.calls for part in self.parts(call) if since <= part.began <= until]
        return parts[: min(int(asked["limit"]), MOST_ROWS)]

    def _row(self, part: Part) -> dict[str, Any]:
        """Fields that have no value are absent."""
        call, kind = part.call, part.call.scenario
        row: dict[str, Any] = {
            "uid": part.id,
            "type": kind.direction,
            "status": PAST[kind.outcome],
            "client": phone(call),
            "diversion": call.line,
            "start": f"{part.began:%Y-%m-%dT%H:%M:%SZ}",
            "wait": WAIT,
        }
        if part.talks or len(part.rings) == 1:
            person = part.talks or part.rings[0]
            row |= {"user": login(person), "user_name": self.people[person]}
        else:
            row["group_name"] = SALES
        if part.talks:
            row["duration"] = part.seconds
        if part.id in call.recordings:
            row["record"] = self._link(part)
        return row

    @api("POST", "/sys/crm_api.wcgp")
    def older(self, asked: Asked) -> Any:
        told = asked.form
        if told["cmd"] == "accounts":
            return [{"name": login(ext), "realName": name, "ext": ext} for ext, name in self.people.items()]
        if told["cmd"] == "history":
            return self._table(told)
        if told["cmd"] == "makeCall":
            if self._dialled(told) is not None:
                return b"33274109"
            self.violations.append(f"makeCall {told}")
        raise Refusal(400, {"error": "Invalid parameters: [cmd]"})

    def _table(self, told: dict[str, str]) -> bytes:
        """Columns without a head. `period` counts from today here, which is all that the emulator needs."""
        everything = [part for call in self.calls for part in self.parts(call)]
        parts = everything if "period" in told else self._within(told)
        text = io.StringIO()
        table = csv.writer(text)
        for part in parts:
            row = self._row(part)
            account = f"{row['user']}@demo.gravitel.ru" if part.talks or len(part.rings) == 1 else GROUP
            way = "missed" if row["status"] == "missed" else row["type"]
            began = part.began.strftime("%Y-%m-%dT%H:%M:%SZ")
            sides = (row["client"], account, f"+{row['diversion']}")
            table.writerow([part.id, way, *sides, began, WAIT, part.seconds, row.get("record", "")])
        return text.getvalue().encode()

    @api("GET", "/record/*")
    def record(self, asked: Asked) -> Any:
        if self.missing_files:
            self.missing_files -= 1
            raise Refusal(404)
        wanted = asked.path.rpartition("/")[2].removesuffix(".mp3")
        return next(call.recordings[wanted] for call in self.calls if wanted in call.recordings)


def notification(cmd: str, **fields: str) -> Wire:
    body = urlencode({"cmd": cmd, **fields, "crm_token": TOKEN})
    return Wire(body.encode(), headers={"content-type": "application/x-www-form-urlencoded"})


def login(extension: str) -> str:
    return f"manager{extension}"


def phone(call: Call) -> str:
    return "anonymous" if call.scenario.hidden else call.client


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def paged(asked: Asked, rows: list[Any]) -> Any:
    start, limit = int(asked.query["start"]), int(asked.query["limit"])
    info = {"search": "", "start": start, "limit": limit, "total": len(rows)}
    return {"items": rows[start : start + limit], "info": info}


def refused(status: int, message: str, violation: str = "") -> Refusal:
    return Refusal(status, {"message": message}, violation=violation)
