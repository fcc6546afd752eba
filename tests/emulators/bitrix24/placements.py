"""Pages of the application inside the portal's own: binding them, and a page of the portal that has one.

Of the places there is `PAGE_BACKGROUND_WORKER` alone: a hidden frame that drives the card of a call.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any
from urllib.parse import urlencode

from .methods import Context, mapping, missing, pick, rest
from .portal import Portal, Token
from .wire import ApiError, Params

WORKER = "PAGE_BACKGROUND_WORKER"


@rest("placement.bind", "placement", app_only=True)
def placement_bind(ctx: Context, params: Params) -> Any:
    """One handler of an application; the errors come with HTTP 200, as in the documents."""
    place, handler = str(pick(params, "placement") or "").upper(), str(pick(params, "handler") or "")
    if place != WORKER or not handler:
        raise missing("HANDLER" if place == WORKER else "PLACEMENT")
    told = str(mapping(pick(params, "options")).get("errorHandlerUrl") or "")
    if not told:
        raise ApiError("EMPTY_ERROR_HANDLER_URL", "Error handler URL is empty", 200, what="missing_param")
    if ctx.portal.placements:
        raise ApiError("ERROR_PLACEMENT_MAX_COUNT", "Placement max count", 200, what="placement_exists")
    ctx.portal.placements.append({"placement": place, "handler": handler, "errorHandlerUrl": told})
    return True


@rest("placement.unbind", "placement", app_only=True)
def placement_unbind(ctx: Context, params: Params) -> Any:
    """Counts each twice: as it is found, and as it is gone."""
    handler, before = str(pick(params, "handler") or ""), len(ctx.portal.placements)
    ctx.portal.placements = [row for row in ctx.portal.placements if handler and row["handler"] != handler]
    return {"count": 2 * (before - len(ctx.portal.placements))}


@rest("placement.get", "placement", app_only=True)
def placement_get(ctx: Context, params: Params) -> Any:
    rows = ctx.portal.placements
    options = [{"errorHandlerUrl": row["errorHandlerUrl"]} for row in rows]
    names = ("placement", "handler")
    return [{name: row[name] for name in names} | {"options": more} for row, more in zip(rows, options, strict=True)]


# --- A page of the portal


def desktop(portal: Portal, user_id: int, prefix: str) -> str:
    """What an employee has open: the frame of the application, if one is placed, and the card of his call."""
    token = portal.issue(user_id, "user")
    frame = "".join(_frame(portal, row, token) for row in portal.placements)
    root = f"/p/{prefix}" if prefix else ""
    return PAGE.replace("{frame}", frame).replace("{address}", json.dumps(f"{root}/desktop/{user_id}/card"))


def _frame(portal: Portal, row: dict[str, str], token: Token) -> str:
    """The browser posts the form, so whoever looks can read it."""
    told = {
        "AUTH_ID": token.value,
        "AUTH_EXPIRES": "3600",
        "REFRESH_ID": "none",
        "SERVER_ENDPOINT": "https://oauth.bitrix.info/rest/",
        "APPLICATION_TOKEN": portal.application_token,
        "APPLICATION_SCOPE": ",".join(portal.config.scopes),
        "member_id": portal.config.member_id,
        "status": "L",
        "PLACEMENT": row["placement"],
        "PLACEMENT_OPTIONS": json.dumps({"ID": row["placement"], "URI": "/"}),
    }
    where = urlencode({"DOMAIN": portal.base_url.partition("://")[2], "PROTOCOL": "0", "LANG": "en", "APP_SID": "1"})
    fields = "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in told.items())
    return (
        '<iframe name="worker" id="worker" hidden allow="geolocation *; microphone *; camera *; autoplay *;"></iframe>'
        f'<form id="load" method="post" target="worker" action="{escape(row["handler"])}?{where}">{fields}</form>'
    )


def card(portal: Portal, user_id: int) -> dict[str, Any]:
    """The card that the user sees, as `BackgroundCallCard::initialized` tells of it; empty where there is none."""
    shown = [portal.calls[each] for each in portal.screens.get(user_id, {}) if each in portal.calls]
    if not shown:
        return {}
    call = shown[-1]
    told = {
        "CALL_ID": call.call_id,
        "LINE_NUMBER": "",
        "LINE_NAME": "",
        "CRM_ENTITY_TYPE": "",
        "CRM_ENTITY_ID": 0,
        "CRM_BINDINGS": [],
        "CALL_DIRECTION": "outgoing" if call.type == 1 else "incoming",
        "CALL_STATE": "idle",
        "CALL_LIST_MODE": False,
    }
    return told | ({"PHONE_NUMBER": call.phone} if call.phone else {})


LIBRARY = """
// What the portal's library is to a page in a frame: calls and events, by messages.
(() => {
    const handlers = {};
    const answers = [];
    addEventListener("message", ({ data }) => {
        if (data.event) handlers[data.event]?.(data.data);
        else if (data.answer !== undefined) answers[data.answer]?.(data.result);
    });
    window.BX24 = {
        init: (ready) => addEventListener("load", ready),
        placement: {
            call: (command, parameters, answered) => {
                parent.postMessage({ command, parameters, id: answers.push(answered) - 1 }, "*");
            },
            bindEvent: (event, handler) => { handlers[event] = handler; },
        },
    };
})();
"""
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Portal</title><style>
body{font:15px system-ui;margin:2rem;background:#eef2f4}
#card{background:#fff;padding:1rem 1.5rem;border-radius:12px;max-width:340px}
[hidden]{display:none}button{padding:.5rem .9rem;margin:.2rem}h1{font-size:1.1rem}</style>
<h1>A page of the portal</h1>{frame}
<section id="card" hidden><h1 id="number"></h1><p>State: <b id="state"></b> <span id="status"></span></p>
<div id="buttons"></div></section>
<script>
const byId = (id) => document.getElementById(id), worker = byId("worker");
const BUTTONS = {
    incoming: ["answer", "skip"], transferIncoming: ["answer", "skip"], outgoing: ["makeCall"],
    connectingIncoming: ["hangup"], connectingOutgoing: ["hangup"],
    connected: ["hangup", "hold", "mute", "transfer", "dialpad"],
    transferring: ["completeTransfer", "cancelTransfer"], transferFailed: ["cancelTransfer"],
    transferConnected: ["hangup"], error: ["close"], moneyError: ["close"], redial: ["makeCall"],
};
const DATA = { dialpad: () => "7", transfer: () => ({ phoneNumber: now.PHONE_NUMBER, target: window.target }) };
let now = {};
const on = {};
const send = (message) => worker?.contentWindow.postMessage(message, "*");
const fire = (event, data) => send({ event: `BackgroundCallCard::${event}`, data });
const show = (state) => {
    byId("state").textContent = state;
    byId("buttons").replaceChildren(...(BUTTONS[state] ?? []).map((name) => {
        const button = document.createElement("button");
        button.textContent = name;
        button.onclick = () => fire(`${name}ButtonClick`, ["mute", "hold"].includes(name) ? !on[name] : DATA[name]?.());
        return button;
    }));
};
const commands = {
    CallCardSetUiState: ({ uiState }) => { if (!BUTTONS[uiState]) throw new Error("unknown state"); show(uiState); },
    CallCardSetMute: ({ muted }) => { on.mute = muted; },
    CallCardSetHold: ({ held }) => { on.hold = held; },
    CallCardSetStatusText: ({ statusText }) => { byId("status").textContent = statusText; },
    CallCardSetCardTitle: ({ title }) => { byId("number").textContent = title; },
    CallCardStartTimer: () => {}, CallCardStopTimer: () => {},
    CallCardClose: () => { byId("card").hidden = true; },
};
window.refused = [];
addEventListener("message", ({ data: { command, parameters, id } }) => {
    const answer = (result) => send({ answer: id, result });
    if (!now.CALL_ID) answer([{ result: "error", errorCode: "Call card is undefined" }]);
    else if (!commands[command]) window.refused.push(command);
    else { commands[command](parameters); answer([]); }
    if (!now.CALL_ID) window.refused.push(`${command}: no card`);
});
const look = async () => {
    const fresh = await (await fetch({address})).json();
    if (fresh.CALL_ID !== now.CALL_ID) {
        now = fresh;
        Object.assign(on, { mute: false, hold: false });
        byId("card").hidden = !now.CALL_ID;
        byId("number").textContent = now.PHONE_NUMBER ?? "";
        byId("status").textContent = "";
        if (now.CALL_ID) {
            show(now.CALL_DIRECTION === "outgoing" ? "connectingOutgoing" : "incoming");
            fire("initialized", now);
        }
    }
    setTimeout(look, 200);
};
byId("load")?.submit();
look();
</script></html>"""
