"""An emulated Zadarma account: notifications of the PBX as they are signed, and the API v1 as far as we use it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

from .pbx import Call, Pbx, Scenario
from .served import Asked, Refusal, Wire, api

KEY, SECRET = "zdkey00test0000000001", "zdsecret00test000001"
ZONE = timezone(timedelta(hours=3))
DISPOSITIONS = {"answered": "answered", "missed": "cancel", "busy": "busy", "no_answer": "no answer"}
_CALLER, _DIALLED = ("caller_id", "called_did", "call_start"), ("internal", "destination", "call_start")
SIGNED = {
    "NOTIFY_ANSWER": ("caller_id", "destination", "call_start"),
    "NOTIFY_OUT_START": _DIALLED,
    "NOTIFY_OUT_END": _DIALLED,
    "NOTIFY_RECORD": ("pbx_call_id", "call_id_with_rec"),
}


def signed(text: str, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).hexdigest().encode()).decode()


class Emulator(Pbx):
    """`notifications` is where the account sends its events, as its cabinet shows it."""

    def __init__(self, deliver: Any):
        super().__init__(deliver)
        self.notifications = ""
        self.switched_off: set[str] = set()
        self.refuses_recordings = 0

    @property
    def secrets(self) -> dict[str, str]:
        return {"user_key": KEY, "secret": SECRET, "timezone": "Europe/Moscow", "api_url": self.url}

    # --- Notifications

    def call_id(self, scenario: Scenario, number: int) -> str:
        return f"{'in' if scenario.direction == 'in' else 'out'}_{number:040x}"

    def events(self, call: Call) -> Iterator[Wire]:
        yield from self._incoming(call) if call.scenario.direction == "in" else self._outgoing(call)
        for recording in call.recordings:
            yield notification({"event": "NOTIFY_RECORD", "call_id_with_rec": recording, "pbx_call_id": call.id})

    def _incoming(self, call: Call) -> Iterator[Wire]:
        kind = call.scenario
        usual = {
            "call_start": began(call),
            "pbx_call_id": call.id,
            "caller_id": "" if kind.hidden else f"+{call.client}",
        }
        here = usual | {"called_did": call.line}
        yield notification({"event": "NOTIFY_START", **here})
        for extension in kind.rings:
            yield notification({"event": "NOTIFY_INTERNAL", **here, "internal": extension})
            if extension in kind.talks:
                yield notification({"event": "NOTIFY_ANSWER", **usual, "destination": extension, "internal": extension})
        internal = {"internal": kind.talks[0], "last_internal": kind.talks[-1]} if kind.talks else {}
        yield notification({"event": "NOTIFY_END", **here, **internal, **ending(call)})

    def _outgoing(self, call: Call) -> Iterator[Wire]:
        kind = call.scenario
        there = kind.rings[1] if kind.direction == "internal" else f"+{call.client}"
        usual = {
            "call_start": began(call),
            "pbx_call_id": call.id,
            "caller_id": call.line,
            "internal": kind.rings[0],
            "destination": there,
        }
        yield notification({"event": "NOTIFY_OUT_START", **usual})
        if kind.talks:
            yield notification({"event": "NOTIFY_ANSWER", **usual, "caller_id": kind.rings[0]})
        yield notification({"event": "NOTIFY_OUT_END", **usual, **ending(call), "calltype": "normal"})

    # --- The API

    def trust(self, asked: Asked) -> None:
        if asked.path.startswith("/v1/pbx/record/download/"):
            return
        query = urlencode(sorted(asked.query.items()))
        text = asked.path + query + hashlib.md5(query.encode(), usedforsecurity=False).hexdigest()
        if asked.headers.get("authorization") != f"{KEY}:{signed(text)}":
            raise refused(401, "Not authorized")

    @api("GET", "/v1/info/timezone/")
    def timezone(self, asked: Asked) -> Any:
        now = datetime.now(UTC)
        shown = now.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S")
        return {"status": "success", "unixtime": int(now.timestamp()), "datetime": shown, "timezone": "UTC+3"}

    @api("GET", "/v1/pbx/internal/")
    def internal(self, asked: Asked) -> Any:
        return {"status": "success", "pbx_id": 1234, "numbers": [int(number) for number in self.people]}

    @api("GET", "/v1/pbx/internal/*")
    def extension(self, asked: Asked) -> Any:
        number = asked.path.split("/")[4]
        if number not in self.people or not asked.path.endswith("/info/"):
            raise refused(400, "Wrong extension")
        return {"status": "success", "pbx_id": 1234, "number": int(number), "name": self.people[number]}

    @api("GET", "/v1/direct_numbers/")
    def direct_numbers(self, asked: Asked) -> Any:
        return {"status": "success", "info": [{"number": line, "number_name": "Main"} for line in self.lines]}

    @api("GET", "/v1/pbx/callinfo/")
    def callinfo(self, asked: Asked) -> Any:
        names = ("start", "internal", "end", "out_start", "out_end", "answer")
        on = {f"notify_{name}": "false" if name in self.switched_off else "true" for name in names}
        return {"status": "success", "url": self.notifications, "notifications": on}

    @api("GET", "/v1/request/callback/")
    def callback(self, asked: Asked) -> Any:
        who, whom = asked.query.get("from", ""), asked.query.get("to", "")
        if who not in self.people or not whom.startswith("+") or asked.query.get("sip") != who:
            raise refused(400, "Wrong parameters", violation=f"callback {asked.query}")
        self.dialled.append((who, whom))
        return {"status": "success", "from": who, "to": whom.lstrip("+"), "time": int(datetime.now(UTC).timestamp())}

    @api("GET", "/v1/statistics/pbx/")
    def statistics(self, asked: Asked) -> Any:
        asked_for = [moment(asked.query[name]) for name in ("start", "end")]
        if asked_for[1] - asked_for[0] > timedelta(days=31):
            raise refused(400, "The period is longer than a month", violation="statistics over a month")
        rows = [row for call in self.calls if asked_for[0] <= call.began <= asked_for[1] for row in legs(call)]
        skip, limit = int(asked.query["skip"]), int(asked.query["limit"])
        return {"status": "success", "version": 2, "stats": rows[skip : skip + limit]}

    @api("GET", "/v1/pbx/record/request/")
    def record(self, asked: Asked) -> Any:
        wanted = asked.query.get("call_id", "")
        if self.refuses_recordings or not any(wanted in call.recordings for call in self.calls):
            self.refuses_recordings = max(0, self.refuses_recordings - 1)
            raise refused(400, "File not found")
        link = f"{self.url}/v1/pbx/record/download/TOKEN/{wanted}.mp3"
        return {"status": "success", "link": link, "lifetime_till": "2026-03-02 11:00:00"}

    @api("GET", "/v1/pbx/record/download/*")
    def download(self, asked: Asked) -> Any:
        wanted = asked.path.rpartition("/")[2].removesuffix(".mp3")
        return next(call.recordings[wanted] for call in self.calls if wanted in call.recordings)


def notification(fields: dict[str, str]) -> Wire:
    names = SIGNED.get(fields["event"], _CALLER)
    sign = signed("".join(fields.get(name, "") for name in names))
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "user-agent": "Zadarma API v1",
        "signature": sign,
    }
    return Wire(urlencode(fields).encode(), headers=headers)


def began(call: Call) -> str:
    return call.began.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


def ending(call: Call) -> dict[str, str]:
    kind = call.scenario
    seconds = kind.seconds * len(kind.talks)
    fields = {"duration": str(seconds), "disposition": DISPOSITIONS[kind.outcome], "status_code": "16"}
    recording = next(iter(call.recordings), "")
    return fields | ({"is_recorded": "1", "call_id_with_rec": recording} if recording else {"is_recorded": "0"})


def legs(call: Call) -> list[dict[str, Any]]:
    """The rows of a call in the statistics."""
    kind = call.scenario
    incoming = kind.direction == "in"
    rows = []
    recordings = list(call.recordings)
    for place, extension in enumerate(kind.talks or kind.rings):
        start = call.began + timedelta(seconds=place * kind.seconds)
        far = kind.rings[1] if kind.direction == "internal" else call.client
        rows.append(
            {
                "call_id": recordings[place] if recordings else f"{call.id}.{place}",
                "pbx_call_id": call.id,
                "sip": "anonymous" if kind.hidden else call.client if incoming else kind.rings[0],
                "clid": "anonymous" if kind.hidden else call.client if incoming else kind.rings[0],
                "destination": int(extension) if incoming else far,
                "callstart": start.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S"),
                "disposition": DISPOSITIONS[kind.outcome],
                "seconds": kind.seconds if kind.talks else 0,
                "is_recorded": "true" if recordings else "false",
            }
        )
    return rows


def refused(status: int, message: str, violation: str = "") -> Refusal:
    return Refusal(status, {"status": "error", "message": message}, violation=violation)
