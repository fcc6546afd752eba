"""An emulated PBX that speaks the open telephony API, as its clients in public code do, with VirtualATS's call list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

from .pbx import Call, Pbx
from .served import Asked, Refusal, Wire, api

OUR_KEY, ITS_KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "f0e1d2c3b4a5968778695a4b3c2d1e0f"
HISTORY_HEADER, HISTORY_KEY = "X-Api-Key", "virtual-ats-key-0001"
RING = 5
DISPOSITIONS = {"answered": "ANSWERED", "missed": "NO_ANSWERED", "busy": "BUSY", "no_answer": "NO_ANSWERED"}
_TIME = "%d%m%Y%H%M%S%z"
STATUSES = {"answered": "Success", "missed": "Missed", "busy": "Busy", "no_answer": "NoAnswer"}


class Emulator(Pbx):
    # The list names him who answered, and nobody else.
    lacks_in_history = frozenset({"missed", "missed by a group", "busy", "transferred", "internal"})
    bare_lists = True

    keeps_history = True
    """Whether it is an account with a history, and a key for it that all of them share."""

    @property
    def secrets(self) -> dict[str, str]:
        known = {"our_key": OUR_KEY, "pbx_url": f"{self.url}/planfix_api", "pbx_token": ITS_KEY}
        if not self.keeps_history:
            return known
        history = {"history_url": f"{self.url}/vats/api", "history_header": HISTORY_HEADER, "history_key": HISTORY_KEY}
        return known | history

    # --- Events

    def events(self, call: Call) -> Iterator[Wire]:
        kind = call.scenario
        phone = "anonymous" if kind.hidden else kind.rings[1] if kind.direction == "internal" else call.client
        usual = {
            "cmd": "event",
            "type": "in" if kind.direction == "in" else "out",
            "phone": phone,
            "diversion": call.line,
            "callid": call.id,
        }
        begins = "INCOMING" if kind.direction == "in" else "OUTGOING"
        ringing = kind.rings if kind.direction == "in" else kind.rings[:1]
        talking = kind.talks if kind.direction == "in" else kind.rings[:1] if kind.talks else ()
        for extension in ringing:
            yield wire(usual | {"event": begins, "ext": extension})
            if extension in talking:
                yield wire(usual | {"event": "ACCEPTED", "ext": extension})
        last = talking[-1] if talking else ringing[-1]
        for extension in ringing:
            if extension != last:
                yield wire(usual | {"event": "COMPLETED", "ext": extension, "duration": "0", "status": "Cancelled"})
        yield wire(usual | {"event": "COMPLETED", "ext": last} | self._ending(call))
        for link in list(call.recordings)[0 if kind.later else 1 :]:
            yield wire({"cmd": "record", "callid": call.id, "record_link": link})

    def _ending(self, call: Call) -> dict[str, str]:
        kind = call.scenario
        fields = {"duration": str(kind.seconds * len(kind.talks)), "status": STATUSES[kind.outcome]}
        link = next(iter(call.recordings), "")
        told = {"record_link": link} if link and not kind.later else {}
        return fields | {"is_recorded": str(int(bool(link)))} | told

    def new_call(self, *asked: Any, **more: Any) -> Call:
        """The vendor's name of a recording is its address."""
        call = super().new_call(*asked, **more)
        call.recordings = {f"{self.url}/records/{name}.mp3": audio for name, audio in call.recordings.items()}
        return call

    # --- Commands

    def trust(self, asked: Asked) -> None:
        if asked.method == "POST" and asked.form.get("token") != ITS_KEY:
            raise Refusal(401, {"error": "Invalid token"})
        if asked.path.startswith("/vats/") and asked.headers.get(HISTORY_HEADER.lower()) != HISTORY_KEY:
            raise Refusal(401)

    @api("POST", "/planfix_api")
    def command(self, asked: Asked) -> Any:
        told = asked.form
        if told.get("cmd") != "makeCall" or told.get("from") not in self.people or not told.get("to", "").isdecimal():
            raise Refusal(400, {"error": "Invalid parameters"}, violation=f"command {told}")
        self.dialled.append((told["from"], f"+{told['to']}"))
        return b""

    @api("GET", "/records/*")
    def record(self, asked: Asked) -> Any:
        return next(call.recordings[link] for call in self.calls for link in call.recordings if asked.path in link)

    # --- VirtualATS

    @api("GET", "/vats/api/callRecord/history")
    def call_list(self, asked: Asked) -> Any:
        since, until = (datetime.strptime(asked.query[name], _TIME) for name in ("from", "to"))
        offset, limit = int(asked.query.get("offset", 0)), int(asked.query.get("limit", 50))
        if since > until or offset < 0 or not 1 <= limit <= 1000:
            raise Refusal(400, violation=f"call list {asked.query}")
        found = [call for call in self.calls if since <= call.began <= until and call.scenario.direction != "internal"]
        return [_listed(call) for call in sorted(found, key=lambda call: call.began)[offset : offset + limit]]


def _listed(call: Call) -> dict[str, str]:
    """All values are texts, and the day has as many digits as it needs."""
    kind = call.scenario
    talk = kind.seconds * len(kind.talks)
    began = call.began.astimezone(timezone(timedelta(hours=4)))
    incoming = kind.direction == "in"
    client = "" if kind.hidden else call.client
    return {
        "callDate": f"{began.day}.{began:%m.%Y %H:%M:%S%z}",
        "callerId": f"Somebody <{client}>",
        "callId": call.id,
        "source": client if incoming else kind.rings[0],
        "destination": call.line if incoming else client,
        "answeredNumber": kind.talks[-1] if kind.talks and incoming else "",
        "duration": str(RING + talk),
        "talkTime": str(talk),
        "direction": "INBOUND" if incoming else "OUTBOUND",
        "disposition": DISPOSITIONS[kind.outcome],
        "recordConversation": next(iter(call.recordings), ""),
    }


def wire(fields: dict[str, str]) -> Wire:
    body = urlencode(fields | {"planfix_token": OUR_KEY})
    return Wire(body.encode(), headers={"content-type": "application/x-www-form-urlencoded"})
