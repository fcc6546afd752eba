"""The emulator's own HTTP interface, `/_emulator/...`: not a part of the vendor's API."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from .account import Account
from .api import Request, Response
from .simulator import Leg

if TYPE_CHECKING:
    from .emulator import MangoEmulator


def handle(emu: MangoEmulator, request: Request, query: str) -> Response:
    """Dispatch one control request; mistakes of the caller are 400 with words."""
    name = request.path.removeprefix("/_emulator/").strip("/")
    try:
        if request.method == "GET":
            return _get(emu, name, {key: values[-1] for key, values in parse_qs(query).items()})
        if request.method == "POST":
            return _post(emu, name, json.loads(request.body or b"{}"))
    except (ValueError, TypeError, KeyError) as error:
        return Response.json({"error": str(error)}, 400)
    return Response.json({"error": "method not allowed"}, 405)


def _get(emu: MangoEmulator, name: str, query: dict[str, str]) -> Response:
    if name == "state":
        return Response.json(state(emu))
    if name == "violations":
        return Response.json({"violations": [asdict(item) for item in emu.violations]})
    if name == "calls":
        calls = emu.calls[-int(query["last"]) :] if "last" in query else emu.calls
        return Response.json({"calls": [call.truth(events=query.get("events", "1") == "1") for call in calls]})
    return Response.json({"error": "not found"}, 404)


def _post(emu: MangoEmulator, name: str, data: dict[str, Any]) -> Response:
    if name == "calls":
        values = {key: value for key, value in data.items() if key not in ("scenario", "account", "count")}
        account = emu.account(data.get("account"))
        scenario = str(data.get("scenario", "incoming_direct"))
        calls = [emu.begin(account, scenario, values) for _ in range(int(data.get("count", 1)))]
        return Response.json({"entry_id": calls[0].entry_id, "entry_ids": [call.entry_id for call in calls]})
    if name == "hangup":
        return Response.json({"ok": emu.hang_up(str(data["entry_id"]), str(data.get("by", "client")))})
    if name == "faults":
        return _faults(emu, data)
    if name == "reset":
        emu.clear()
        return Response.json({"ok": True})
    if name == "accounts":
        account = Account.from_dict(data)
        emu.accounts[account.key] = account
        return Response.json(account.public())
    if name == "behaviour":
        client = str(data.pop("client", "*"))
        emu.account(data.pop("account", None)).behaviour[client] = data
        return Response.json({"ok": True})
    if name == "settings":
        return Response.json(_settings(emu, data))
    return Response.json({"error": "not found"}, 404)


def _faults(emu: MangoEmulator, data: dict[str, Any]) -> Response:
    if data.pop("clear", False):
        emu.faults.clear()
    if data:
        emu.faults.add(**data)
    emu.courier.unreachable = emu.faults.hub_unreachable
    return Response.json({"faults": emu.faults.as_list()})


def _settings(emu: MangoEmulator, data: dict[str, Any]) -> dict[str, Any]:
    """Change the pace and the way of delivery while running."""
    for name in ("limits", "async_refusals", "stats_delay"):
        if name in data:
            setattr(emu, name, data[name])
    if "speed" in data:
        emu.sim.speed = float(data["speed"])
    if "delivery" in data:
        emu.sim.delivery = dict(data["delivery"])
    if "retry_on_failure" in data:
        emu.courier.retry_on_failure = bool(data["retry_on_failure"])
    return settings(emu)


def settings(emu: MangoEmulator) -> dict[str, Any]:
    """The settings in force."""
    return {
        "limits": emu.limits,
        "async_refusals": emu.async_refusals,
        "stats_delay": emu.stats_delay,
        "speed": emu.sim.speed,
        "delivery": emu.sim.delivery,
        "retry_on_failure": emu.courier.retry_on_failure,
    }


def state(emu: MangoEmulator) -> dict[str, Any]:
    """Accounts, live calls, the last finished ones, faults, counters."""
    live = {call.entry_id: call for call, _ in emu.sim.live.values()}
    finished = [call.truth(events=False) for call in reversed(emu.calls[-200:]) if call.finished][:40]
    return {
        "accounts": [account.public() for account in emu.accounts.values()],
        "settings": settings(emu),
        "faults": emu.faults.as_list(),
        "live": [
            call.truth(events=False) | {"legs": [_leg(leg) for leg in call.legs if not leg.ended]}
            for call in live.values()
        ],
        "finished": finished,
        "counters": {
            "calls": len(emu.calls),
            "unsettled": emu.sim.unsettled,
            "sent": emu.courier.sent,
            "violations": len(emu.violations),
        },
    }


def _leg(leg: Leg) -> dict[str, str]:
    return {"location": leg.location, "extension": leg.extension, "state": leg.state}
