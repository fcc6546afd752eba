"""Users, the application, event bindings, messages."""

from __future__ import annotations

from typing import Any

from .listing import list_page
from .methods import REGISTRY, Context, mapping, missing, pick, rest
from .portal import User
from .wire import ApiError, Page, Params, as_list, iso, to_int, words

EVENTS = words(
    "ONEXTERNALCALLSTART ONEXTERNALCALLBACKSTART ONAPPINSTALL ONAPPUPDATE ONAPPUNINSTALL ONAPPTEST "
    "ONVOXIMPLANTCALLINIT ONVOXIMPLANTCALLSTART ONVOXIMPLANTCALLEND"
)
USER_SCOPES = ("user_basic", "user", "user_brief")


def _user_row(user: User) -> dict[str, Any]:
    """`ID` is a string, `ACTIVE` a boolean, `UF_PHONE_INNER` a string or null."""
    return {
        "ID": str(user.id),
        "ACTIVE": user.active,
        "NAME": user.name,
        "LAST_NAME": user.last_name,
        "UF_PHONE_INNER": user.phone_inner,
        "WORK_PHONE": None,
        "PERSONAL_PHONE": None,
        "PERSONAL_MOBILE": user.mobile,
        "USER_TYPE": "employee",
    }


@rest("user.get", *USER_SCOPES)
def user_get(ctx: Context, params: Params) -> Page:
    condition = dict(mapping(pick(params, "filter")))
    if params.get("ID"):
        condition["ID"] = params["ID"]
    rows = [_user_row(user) for user in ctx.portal.users.values()]
    order = pick(params, "order")
    ordering = order if isinstance(order, dict) else {str(pick(params, "sort") or "ID"): str(order or "ASC")}
    page = list_page(rows, condition, ordering, to_int(pick(params, "start")))
    names = as_list(pick(params, "select"))
    if names and "*" not in names:
        page.result = [{name: row[name] for name in ["ID", *names] if name in row} for row in page.result]
    return page


@rest("user.current", *USER_SCOPES)
def user_current(ctx: Context, params: Params) -> Any:
    return _user_row(ctx.portal.users[ctx.token.user_id])


@rest("profile")
def profile(ctx: Context, params: Params) -> Any:
    user = ctx.portal.users[ctx.token.user_id]
    return {"ID": str(user.id), "ADMIN": user.admin, "NAME": user.name, "LAST_NAME": user.last_name}


@rest("app.info")
def app_info(ctx: Context, params: Params) -> Any:
    """The portal's answer; on the root address, which is also the authorisation server's, with the latter's fields."""
    config = ctx.portal.config
    if ctx.token.kind == "webhook":
        return {"SCOPE": list(config.webhook_scopes), "LICENSE": "ru_basic"}
    answer = {
        "ID": 3,
        "CODE": config.client_id,
        "VERSION": 1,
        "STATUS": "L",
        "INSTALLED": ctx.portal.installed,
        "PAYMENT_EXPIRED": "N",
        "DAYS": None,
        "LANGUAGE_ID": "ru",
        "LICENSE": "ru_basic",
        "LICENSE_TYPE": "basic",
        "LICENSE_FAMILY": "basic",
    }
    return answer | _authorisation_info(ctx) if ctx.at_root else answer


def _authorisation_info(ctx: Context) -> dict[str, Any]:
    config = ctx.portal.config
    scope = ",".join(config.scopes)
    return {
        "client_id": config.client_id,
        "scope": scope,
        "expires": iso(int(ctx.token.expires_at), config.utc_offset),
        "install": {
            "installed": ctx.portal.installed,
            "version": 1,
            "status": "L",
            "scope": scope,
            "domain": ctx.portal.base_url.partition("://")[2],
            "uri": "",
            "client_endpoint": f"{ctx.portal.base_url}/rest/",
            "member_id": config.member_id,
            "member_type": "",
        },
        "user_id": ctx.token.user_id,
    }


@rest("scope")
def scope(ctx: Context, params: Params) -> Any:
    config = ctx.portal.config
    return list(config.webhook_scopes if ctx.token.kind == "webhook" else config.scopes)


@rest("method.get")
def method_get(ctx: Context, params: Params) -> Any:
    method = REGISTRY.get(str(pick(params, "name") or "").lower())
    granted = scope(ctx, params)
    available = method is not None and (not method.scope or any(name in granted for name in method.scope))
    return {"isExisting": method is not None, "isAvailable": available}


# --- event bindings


@rest("event.bind", app_only=True)
def event_bind(ctx: Context, params: Params) -> Any:
    event, handler = str(pick(params, "event") or "").upper(), str(pick(params, "handler") or "")
    if event not in EVENTS:
        raise ApiError("ERROR_EVENT_NOT_FOUND", "Event not found", 400, what="unknown_event")
    if not handler:
        raise missing("handler")
    binding = {"event": event, "handler": handler, "auth_type": str(pick(params, "auth_type") or "0")}
    if any(b["event"] == event and b["handler"] == handler for b in ctx.portal.bindings):
        text = "Unable to set event handler: Handler already binded"
        raise ApiError("ERROR_HANDLER_ALREADY_EXIST", text, 400, what="handler_exists", expected=True)
    binding["event_type"] = str(pick(params, "event_type") or "online")
    ctx.portal.bindings.append(binding)
    return True


@rest("event.get", app_only=True)
def event_get(ctx: Context, params: Params) -> Any:
    names = ("event", "handler", "auth_type")
    rows = [{name: binding[name] for name in names} for binding in ctx.portal.bindings]
    return [row | {"offline": 0} for row in rows]


@rest("event.unbind", app_only=True)
def event_unbind(ctx: Context, params: Params) -> Any:
    event, handler = str(pick(params, "event") or "").upper(), str(pick(params, "handler") or "")
    before = len(ctx.portal.bindings)
    ctx.portal.bindings = [
        b for b in ctx.portal.bindings if b["event"] != event or (handler and b["handler"] != handler)
    ]
    return {"count": before - len(ctx.portal.bindings)}


# --- messages


@rest("im.notify.personal.add", "im")
def notify(ctx: Context, params: Params) -> Any:
    """The same TAG replaces the earlier notification."""
    user_id, text, tag = to_int(params.get("USER_ID")), str(params.get("MESSAGE") or ""), str(params.get("TAG") or "")
    if not user_id:
        raise ApiError("USER_ID_EMPTY", "User identifier not specified", 400, what="missing_param")
    if not text:
        raise ApiError("MESSAGE_EMPTY", "Message can't be empty", 400, what="missing_param")
    if user_id not in ctx.portal.users:
        raise ApiError("USER_NOT_FOUND", "User not found", 400, what="unknown_user")
    if tag:
        ctx.portal.messages = [m for m in ctx.portal.messages if m.get("tag") != tag or m["to"] != str(user_id)]
    return ctx.portal.message("notify", str(user_id), text, tag=tag)


@rest("im.message.add", "im")
def message_add(ctx: Context, params: Params) -> Any:
    dialog, text = str(params.get("DIALOG_ID") or ""), str(params.get("MESSAGE") or "")
    if not dialog:
        raise ApiError("USER_ID_EMPTY", "User identifier not specified", 400, what="missing_param")
    if not text:
        raise ApiError("MESSAGE_EMPTY", "Message can't be empty", 400, what="missing_param")
    if not dialog.startswith("chat") and to_int(dialog) not in ctx.portal.users:
        raise ApiError("USER_NOT_FOUND", "User not found", 400, what="unknown_user")
    return ctx.portal.message("message", dialog, text)
