"""Control over HTTP, for tests and the demonstration in another process: `/_emulator/...`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from . import page
from .hub import Hub
from .portal import TYPE_IDS, Call, Portal
from .telephony import statistic_row
from .wire import Params, to_int, truth

PARTS = ("hits", "calls", "statistics", "entities", "messages", "screens", "tasks", "events", "lines")


def chosen(hub: Hub, name: Any) -> dict[str, Portal]:
    if not name:
        return hub.portals
    return {str(name): hub.portals[str(name)]}


def one(hub: Hub, name: Any) -> Portal:
    return hub.portals[str(name)] if name else hub.default


async def handle(hub: Hub, method: str, path: str, query: Params, body: Params) -> Any:
    """The data of a control request; None: no such address."""
    if not isinstance(body, dict):
        raise TypeError("the body should be an object")
    body.setdefault("portal", query.get("portal"))
    if method == "GET":
        return _read(hub, path, query)
    if path == "faults":
        return _faults(hub, body)
    if path == "reset":
        hub.reset(body["portal"], keep_auth=truth(body.get("keep_auth", False)))
        return {"ok": True}
    portal = one(hub, body.pop("portal"))
    if path == "click-to-call":
        line, phone = str(body.get("line") or ""), str(body.get("phone") or "")
        return await hub.events.call_start(portal, to_int(body.get("user_id")), phone, line)
    if path == "callback":
        return await hub.events.callback_start(portal, **body)
    if path == "rename":
        return {"url": hub.rename(portal, str(body.get("new") or ""))}
    if path in ("app-install", "app-update", "app-uninstall"):
        return await getattr(hub.events, path.replace("-", "_"))(portal, **body)
    if path == "config":
        return _configure(portal, body)
    return None


def _read(hub: Hub, path: str, query: Params) -> Any:
    if path == "state":
        parts = str(query.get("parts") or "").split(",") if query.get("parts") else PARTS
        history = truth(query.get("history", 1))
        states = {k: state(p, parts, history=history) for k, p in chosen(hub, query.get("portal")).items()}
        return {"portals": states}
    if path == "violations":
        name = query.get("portal")
        found = [entry for entry in hub.violations if not name or entry["portal"] == name]
        return {"count": len(found), "violations": found}
    if path == "faults":
        return {"faults": [dataclasses.asdict(fault) for fault in hub.faults.items]}
    if path == "page":
        return page.fragments(one(hub, query.get("portal")), page.language(query, ""))
    return None


def _faults(hub: Hub, body: Params) -> Any:
    """`{"kind", ...}` switches one on; `{"clear": true}` or `{"clear": id}` off. `expired_token` without a count and
    a time kills the access tokens for good, so that a refresh helps."""
    if "clear" in body:
        hub.faults.clear(None if body["clear"] is True else to_int(body["clear"]))
        return {"ok": True}
    endless = not any(body.get(name) for name in ("count", "for_seconds", "method"))
    if body.get("kind") == "expired_token" and endless:
        for portal in chosen(hub, body["portal"]).values():
            portal.expire_tokens()
        return {"ok": True}
    return {"id": hub.faults.add(**body).id}


def _configure(portal: Portal, body: Params) -> Any:
    """Change what may change at run time."""
    names = ("crm_mode", "bucket_size", "bucket_leak", "operating_limit", "operating_cost", "lead_creation_error")
    for name in body:
        if name not in names:
            raise KeyError(name)
        setattr(portal.config, name, body[name])
    portal.buckets.clear()
    return {"ok": True}


def state(portal: Portal, parts: Any = PARTS, *, history: bool = True) -> dict[str, Any]:
    """A portal, compactly; calls in the order of their registration."""
    builders: dict[str, Callable[[], Any]] = {
        "hits": lambda: {"total": portal.hits.total(), "by_method": dict(portal.hits)},
        "calls": lambda: [call_state(call, history=history) for call in portal.calls.values()],
        "statistics": lambda: [statistic_row(call) for call in portal.rows],
        "entities": lambda: {
            kind: [{k: v for k, v in entity.items() if v not in (None, "", [])} for entity in found.values()]
            for kind in TYPE_IDS.values()
            if (found := portal.entities[kind])
        },
        "messages": lambda: portal.messages,
        "screens": lambda: {str(user): list(cards) for user, cards in portal.screens.items() if cards},
        "tasks": lambda: {
            "tasks": portal.tasks,
            "todos": portal.todos,
            "comments": portal.comments,
            "activities": [a for a in portal.activities.values() if a["DESCRIPTION"]],
        },
        "events": lambda: {"bindings": portal.bindings, "deliveries": portal.deliveries},
        "lines": lambda: list(portal.lines.values()),
    }
    answer = {name: builders[name]() for name in parts}
    if "hits" in parts:
        answer["commands"] = {"total": portal.commands.total(), "by_method": dict(portal.commands)}
    return answer


def call_state(call: Call, *, history: bool = True) -> dict[str, Any]:
    """One call with what happened to it."""
    data: dict[str, Any] = {
        "call_id": call.call_id,
        "external_call_id": call.external_id,
        "type": call.type,
        "user_id": call.user_id,
        "phone": call.phone,
        "line": call.line,
        "start_date": call.started,
        "registered_at": call.created,
        "origin": call.origin,
        "crm": [call.crm_type, call.crm_id],
        "created": call.created_entities,
        "shown": sorted(call.shown),
        "finish": None,
        "record": None,
    }
    end, record_of = call.finish, call.record
    if end:
        data["finish"] = {
            "at": end.at,
            "user_id": end.user_id,
            "duration": end.duration,
            "status_code": end.status_code,
            "stat_id": end.stat_id,
            "activity_id": end.activity_id,
        }
    if record_of:
        data["record"] = {
            "file_id": record_of.file_id,
            "filename": record_of.filename,
            "sha256": record_of.sha256,
            "size": len(record_of.content),
            "at": record_of.at,
            "count": record_of.count,
        }
    if history:
        data["history"] = call.history
    return data


def record(hub: Hub, query: Params, name: str) -> tuple[bytes, bytes] | None:
    """The bytes of a recording, for the player of the page."""
    found = one(hub, query.get("portal")).records.get(to_int(name))
    if found is None:
        return None
    kind = b"audio/wav" if found.filename.lower().endswith(".wav") else b"audio/mpeg"
    return found.content, kind
