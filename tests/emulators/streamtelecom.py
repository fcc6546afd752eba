"""An emulated StreamTelecom account: its own events, and its gateway for the published telephony API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from . import open_api
from .open_api import ITS_KEY, OUR_KEY
from .pbx import Call
from .served import Asked, Refusal, Wire, api

RING = timedelta(seconds=5)
AUDIO = "/api/streamtele-v3/audio"


class Emulator(open_api.Emulator):
    """`closed`: recordings want the API key."""

    # The events say that nobody answered, not why; calls between employees are not described.
    lacks = frozenset({"busy", "outgoing, busy", "internal"})
    told_by_order = frozenset()
    lacks_in_history = frozenset()
    bare_lists = False
    closed = False

    @property
    def secrets(self) -> dict[str, str]:
        return {"our_key": OUR_KEY, "pbx_token": ITS_KEY, "pbx_url": f"{self.url}/api/planfix/v1/actions"}

    # --- Events

    def events(self, call: Call) -> Iterator[Wire]:
        kind = call.scenario
        incoming = kind.direction == "in"
        sides = {"from": client(call), "to": call.line} if incoming else {"from": kind.rings[0], "to": call.client}
        yield own(self._usual(call, "Start", call.began) | sides)
        rings = kind.rings if incoming else kind.rings[:1]
        yield from self._queue(call) if len(rings) > max(1, len(kind.talks)) else self._in_turn(call, rings)

    def _in_turn(self, call: Call, rings: tuple[str, ...]) -> Iterator[Wire]:
        """Who is handed the client is rung while the other still talks."""
        rang, before = call.began, None
        for place, line in enumerate(rings):
            *begins, hangup = self._leg(call, line, rang, redirecting=1 if place else None)
            yield from begins
            if before:
                yield before
            before, rang = hangup, rang + timedelta(seconds=call.scenario.seconds)
        if before:
            yield before

    def _queue(self, call: Call) -> Iterator[Wire]:
        """All ring at once; who answers hangs up last, and the last hangup ends the session."""
        kind = call.scenario
        last = kind.talks[-1] if kind.talks else kind.rings[-1]
        hangups = []
        for line in sorted(kind.rings, key=lambda line: line == last):
            *begins, hangup = self._leg(call, line, call.began, join="yes", end_sess="yes" if line == last else None)
            yield from begins
            hangups.append(hangup)
        yield from hangups

    def _leg(self, call: Call, line: str, rang: datetime, **more: Any) -> list[Wire]:
        kind = call.scenario
        talks = line in kind.talks
        answered = rang + RING if talks else None
        left = answered + timedelta(seconds=kind.seconds) if answered else rang + RING
        sides = {"from": client(call), "to": line} if kind.direction == "in" else {"from": line, "to": call.client}
        usual = sides | {"call_id": f"{call.id}.{line}", "time_start": epoch(call.began), **more}
        ends = {
            "time_ring": epoch(rang),
            "time_answer": epoch(answered),
            "result": "answer" if talks else "no answer",
            "recordUrl": next(iter(call.recordings), None) if talks else None,
        }
        told: list[tuple[str, datetime | None, dict[str, Any]]] = [
            ("StartCall", rang, {}),
            ("Answer", answered, {"time_ring": epoch(rang)}),
            ("Hangup", left, ends),
        ]
        return [own(self._usual(call, event, at) | usual | own_fields) for event, at, own_fields in told if at]

    def _usual(self, call: Call, event: str, at: datetime) -> dict[str, Any]:
        kind = "in" if call.scenario.direction == "in" else "out"
        return {"event": event, "type": kind, "via": call.line, "sessionid": call.id, "event_time": epoch(at)}

    def new_call(self, *asked: Any, **more: Any) -> Call:
        call = super().new_call(*asked, **more)
        names = {link.rpartition("/")[2]: audio for link, audio in call.recordings.items()}
        call.recordings = {f"{self.url}{AUDIO}?{name}": audio for name, audio in names.items()}
        return call

    # --- The gateway

    @api("POST", "/api/planfix/v1/actions")
    def command(self, asked: Asked) -> Any:
        return super().command(asked)

    @api("GET", AUDIO)
    def record(self, asked: Asked) -> Any:
        if self.closed and asked.headers.get("authorization") != f"Bearer {ITS_KEY}":
            raise Refusal(401)
        wanted = next(iter(asked.query))
        return next(call.recordings[link] for call in self.calls for link in call.recordings if link.endswith(wanted))


def client(call: Call) -> str:
    return "anonymous" if call.scenario.hidden else call.client


def epoch(moment: datetime | None) -> str:
    return str(int(moment.timestamp() * 1000)) if moment else "null"


def own(fields: dict[str, Any]) -> Wire:
    """Our key stands in the address that the vendor was told."""
    return Wire(json.dumps(fields).encode(), query=f"token={OUR_KEY}", headers={"content-type": "application/json"})
