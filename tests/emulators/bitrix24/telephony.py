"""Telephony: lines, the life of an external call, recordings, statistics.

The rules kept here: everything is keyed by CALL_ID; `register` is idempotent for 30 minutes while the call lives;
`finish` destroys the live call and makes the statistics row and the CRM activity; a recording is attached after it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
from collections.abc import Awaitable
from datetime import datetime
from typing import Any
from urllib.parse import quote

from .listing import list_page
from .methods import Context, mapping, pick, rest
from .portal import COMPANY, CONTACT, DEAL, LEAD, REUSE_SECONDS, Call, Finish, Portal, Record, User
from .wire import (
    ApiError,
    Page,
    Params,
    Upload,
    as_list,
    core,
    iso,
    phone_key,
    strip_phone,
    to_float,
    to_int,
    truth,
    words,
    zone,
)

STATUS_CODES = frozenset(words("200 304 603 603-S 486 480 404 484 503 403 402 423 OTHER"))
NOT_FOUND = "Call is not found (call should be registered prior to finishing"
NO_STATISTIC = "Call is not found in the statistic table. It looks like it is not finished yet."
NO_USER = "USER_ID or USER_PHONE_INNER should be set"
_BACKGROUND: set[asyncio.Task[None]] = set()
FACTS = ("user_id", "phone", "type", "line", "given_start")


class FetchError(Exception):
    """The recording's address could not be read; `status` is what the server answered, if it did."""

    def __init__(self, status: int | None) -> None:
        super().__init__(str(status))
        self.status = status


# --- lines


def _line_number(params: Params) -> str:
    number = str(params.get("NUMBER") or "")
    if not number:
        raise core("NUMBER should not be empty", "missing_param")
    return number


def add_line(portal: Portal, number: str, name: str = "", auto_create: str = "Y") -> dict[str, Any]:
    line = {"ID": portal.next_id("line"), "NUMBER": number, "NAME": name, "CRM_AUTO_CREATE": auto_create or "Y"}
    portal.lines[number] = line
    return line


@rest("telephony.externalLine.add", "telephony", app_only=True, params="NUMBER NAME CRM_AUTO_CREATE")
def line_add(ctx: Context, params: Params) -> Any:
    number = _line_number(params)
    if number in ctx.portal.lines:
        raise core("Line already exists", "line_exists", expected=True)
    line = add_line(ctx.portal, number, str(params.get("NAME") or ""), str(params.get("CRM_AUTO_CREATE") or "Y"))
    return {"ID": line["ID"]}


@rest("telephony.externalLine.update", "telephony", app_only=True, params="NUMBER NAME CRM_AUTO_CREATE")
def line_update(ctx: Context, params: Params) -> Any:
    number = _line_number(params)
    line = ctx.portal.lines.get(number)
    if line is None:
        raise core(f"Could not find line with number {number}", "unknown_line")
    changes: dict[str, Any] = {name: str(params[name]) for name in ("NAME", "CRM_AUTO_CREATE") if name in params}
    if not changes:
        raise core("There are no fields to update", "missing_param")
    line.update(changes)
    return {"ID": str(line["ID"])}


@rest("telephony.externalLine.get", "telephony", app_only=True, params=" ")
def line_get(ctx: Context, params: Params) -> Any:
    names = ("NUMBER", "NAME", "CRM_AUTO_CREATE")
    return [{name: line[name] for name in names} for line in ctx.portal.lines.values()]


@rest("telephony.externalLine.delete", "telephony", app_only=True, params="NUMBER")
def line_delete(ctx: Context, params: Params) -> Any:
    number = _line_number(params)
    if ctx.portal.lines.pop(number, None) is None:
        raise core(f"Could not find line with number {number}", "unknown_line")
    return []


# --- register


def _user(portal: Portal, params: Params) -> User:
    """USER_ID, or the first active user with USER_PHONE_INNER."""
    user_id = to_int(params.get("USER_ID"))
    if user_id:
        user = portal.active_user(user_id)
        if user is None:
            raise core("User is not found or is not active", "unknown_user", expected=True)
        return user
    extension = str(params.get("USER_PHONE_INNER") or "")
    user = portal.user_by_extension(extension) if extension else None
    if user is None:
        raise core(NO_USER, "unknown_extension" if extension else "missing_param")
    return user


def _start_date(portal: Portal, value: Any, now: float) -> str:
    if value in (None, ""):
        return iso(int(now), portal.config.utc_offset)
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise core("CALL_START_DATE should be in the ISO-8601 format", "bad_start_date") from None
    if moment.tzinfo is None:
        portal.violate("start_date_without_offset", str(value))
        moment = moment.replace(tzinfo=zone(portal.config.utc_offset))
    return moment.isoformat()


@rest(
    "telephony.externalCall.register",
    "telephony",
    app_only=True,
    params="USER_ID USER_PHONE_INNER PHONE_NUMBER TYPE CALL_START_DATE CRM_CREATE CRM_SOURCE CRM_ENTITY_TYPE "
    "CRM_ENTITY_ID SHOW ADD_TO_CHAT CALL_LIST_ID LINE_NUMBER EXTERNAL_CALL_ID",
)
def register(ctx: Context, params: Params) -> Any:
    portal = ctx.portal
    user = _user(portal, params)
    call_type = to_int(params.get("TYPE"))
    if call_type not in (1, 2, 3, 4, 5):
        raise core("Unknown TYPE", "bad_type" if params.get("TYPE") else "missing_param")
    phone = strip_phone(params.get("PHONE_NUMBER"))
    started = _start_date(portal, params.get("CALL_START_DATE"), ctx.now)
    if not phone:
        raise core("Unsupported phone number format", "bad_phone" if params.get("PHONE_NUMBER") else "missing_param")
    call = Call(
        call_id="",
        external_id=str(params.get("EXTERNAL_CALL_ID") or ""),
        user_id=user.id,
        phone=phone,
        type=call_type,
        line=str(params.get("LINE_NUMBER") or ""),
        started=started,
        given_start=started if params.get("CALL_START_DATE") else "",
        created=ctx.now,
        app=ctx.app,
    )
    call = _reuse(portal, call, ctx.now) or _create(portal, call, params)
    ctx.registered.append(call)
    call.note(ctx.now, "register", {"user": user.id, "type": call_type, "show": truth(params.get("SHOW", 1))})
    if truth(params.get("SHOW", 1)):
        portal.show(call, [user.id])
    return _register_answer(call)


def _live_key(call: Call) -> tuple[Any, ...]:
    if call.external_id:
        return ("external", call.app, call.external_id)
    return ("facts", call.app, call.user_id, phone_key(call.phone), call.type, call.line)


def _reuse(portal: Portal, call: Call, now: float) -> Call | None:
    """The live call of the same EXTERNAL_CALL_ID, or without one of the same facts, within 30 minutes.

    A finished call is destroyed, so its EXTERNAL_CALL_ID makes a new CALL_ID: the doubled call a client must avoid.
    """
    old = portal.live_keys.get(_live_key(call))
    if old is not None and now < old.created + REUSE_SECONDS:
        differing = [f for f in FACTS if getattr(call, f) and getattr(call, f) != getattr(old, f)]
        if call.external_id and differing:
            portal.violate("register_differs", {"external_call_id": call.external_id, "differing": differing})
        return old
    if call.external_id and call.external_id in portal.by_external:
        before = portal.by_external[call.external_id][-1]
        portal.violate(
            "register_after_30_min" if before.live else "register_after_finish",
            {"external_call_id": call.external_id, "call_id": before.call_id},
        )
    return None


def _create(portal: Portal, call: Call, params: Params) -> Call:
    _check_click_to_call(portal, call)
    call.call_id = f"externalCall.{os.urandom(16).hex()}.{int(call.created)}"
    portal.calls[call.call_id] = call
    portal.live_keys[_live_key(call)] = call
    if call.external_id:
        portal.by_external.setdefault(call.external_id, []).append(call)
    if call.line and call.line not in portal.lines:
        add_line(portal, call.line)
    _bind_entity(portal, call, params)
    portal.version += 1
    return call


def _check_click_to_call(portal: Portal, call: Call) -> None:
    """A call that the portal itself started is already registered: registering it again doubles it."""
    if call.type != 1 or call.origin != "app":
        return
    for old in portal.live_keys.values():
        if old.origin == "portal" and old.user_id == call.user_id and phone_key(old.phone) == phone_key(call.phone):
            portal.violate("register_of_click_to_call", {"call_id": old.call_id})


def _bind_entity(portal: Portal, call: Call, params: Params) -> None:
    """Bind to the entity that was named, else to the first found by the number, else create when CRM_CREATE."""
    if portal.user_by_extension(call.phone):
        return  # the inner number of an employee: an internal call, no CRM object
    kind, number = str(params.get("CRM_ENTITY_TYPE") or ""), to_int(params.get("CRM_ENTITY_ID"))
    if kind and kind not in (CONTACT, COMPANY, LEAD):
        portal.violate("bad_crm_entity_type", kind)
        kind = ""
    if kind and number:
        if number in portal.entities[kind]:
            call.crm_type, call.crm_id = kind, number
        return
    for found, entity in portal.find_by_phone(call.phone):
        call.crm_type, call.crm_id = found, entity["ID"]
        return
    if truth(params.get("CRM_CREATE", 0)):
        create_for_call(portal, call, str(params.get("CRM_SOURCE") or "CALL"))


def create_for_call(portal: Portal, call: Call, source: str) -> None:
    """What CRM_CREATE does: a lead in the classic mode, a contact and a deal in the simple one (inferred)."""
    if portal.config.lead_creation_error:
        call.lead_error = portal.config.lead_creation_error
        return
    title = f"{call.phone} - {'outgoing' if call.type == 1 else 'incoming'} call"
    phones = [{"VALUE": call.phone, "VALUE_TYPE": "WORK"}]
    common = {"ASSIGNED_BY_ID": call.user_id, "SOURCE_ID": source, "CREATED_BY_CALL": call.call_id}
    if portal.config.crm_mode == 1:
        made = [(LEAD, portal.create_entity(LEAD, {"TITLE": title, "STATUS_ID": "NEW", "PHONE": phones, **common}))]
    else:
        contact = portal.create_entity(CONTACT, {"NAME": call.phone, "PHONE": phones, **common})
        deal = {"TITLE": title, "STAGE_ID": "NEW", "CONTACT_ID": contact["ID"], **common}
        made = [(CONTACT, contact), (DEAL, portal.create_entity(DEAL, deal))]
    call.created_entities = [(kind, entity["ID"]) for kind, entity in made]
    call.crm_type, call.crm_id = call.created_entities[0]


def _register_answer(call: Call) -> dict[str, Any]:
    answer = {
        "CALL_ID": call.call_id,
        "CRM_CREATED_LEAD": next((number for kind, number in call.created_entities if kind == LEAD), None),
        "CRM_CREATED_ENTITIES": [{"ENTITY_TYPE": k, "ENTITY_ID": n} for k, n in call.created_entities],
        "CRM_ENTITY_TYPE": call.crm_type,
        "CRM_ENTITY_ID": call.crm_id,
    }
    return answer | ({"LEAD_CREATION_ERROR": call.lead_error} if call.lead_error else {})


def start_from_portal(portal: Portal, user: User, phone: str, line: str, now: float) -> Call:
    """A click on a number in the CRM: the portal registers the call (TYPE 1) itself and shows its card."""
    started = iso(int(now), portal.config.utc_offset)
    call = Call("", "", user.id, strip_phone(phone), 1, line, started, now, origin="portal", app="portal")
    create = 1 if portal.lines.get(line, {}).get("CRM_AUTO_CREATE") == "Y" else 0
    call = _create(portal, call, {"CRM_CREATE": create})
    call.note(now, "register", {"user": user.id, "type": 1, "origin": "portal"})
    portal.show(call, [user.id])
    call.answered = True
    return call


# --- show, hide, finish


def _known_call(ctx: Context, params: Params) -> Call | None:
    value = params.get("CALL_ID")
    if value is not None and not isinstance(value, str):
        raise ApiError("INVALID_ARGUMENT", "CALL_ID should be a string", 400, what="call_id_not_string")
    if not value:
        ctx.portal.violate("missing_param", "CALL_ID")
    return ctx.portal.calls.get(value or "")


def _push(ctx: Context, params: Params, what: str) -> bool:
    """`true`, or `false` without an error when the call is unknown or finished."""
    call = _known_call(ctx, params)
    if call is None or not call.live:
        state = "unknown" if call is None else "finished"
        ctx.portal.violate(f"{what}_unknown", {"call_id": params.get("CALL_ID"), "state": state})
        if call is not None:
            call.note(ctx.now, f"{what}_refused")
        return False
    wanted = [to_int(value) for value in as_list(params.get("USER_ID"))] or [call.user_id]
    done = ctx.portal.show(call, wanted) if what == "show" else ctx.portal.hide(call, wanted)
    call.note(ctx.now, what, {"asked": wanted, "done": done})
    return True


@rest("telephony.externalCall.show", "telephony", app_only=True, params="CALL_ID USER_ID")
def show(ctx: Context, params: Params) -> Any:
    return _push(ctx, params, "show")


@rest("telephony.externalCall.hide", "telephony", app_only=True, params="CALL_ID USER_ID")
def hide(ctx: Context, params: Params) -> Any:
    return _push(ctx, params, "hide")


@rest(
    "telephony.externalCall.finish",
    "telephony",
    app_only=True,
    params="CALL_ID USER_ID USER_PHONE_INNER DURATION COST COST_CURRENCY STATUS_CODE FAILED_REASON RECORD_URL VOTE "
    "ADD_TO_CHAT",
)
def finish(ctx: Context, params: Params) -> Any:
    portal = ctx.portal
    call = _known_call(ctx, params)
    user = _user(portal, params)
    if call is None:
        raise core(NOT_FOUND, "finish_unknown" if params.get("CALL_ID") else "missing_param")
    if not call.live:
        call.note(ctx.now, "finish_refused")
        raise core(NOT_FOUND, "finish_twice")
    if not call.answered and call not in ctx.registered:
        portal.violate("finish_before_register_answered", call.call_id)
    _end(portal, call, user, params, ctx.now)
    if params.get("RECORD_URL"):
        call.note(ctx.now, "record_url_in_finish")
        task = asyncio.create_task(_background_record(ctx, call, str(params["RECORD_URL"])))
        _BACKGROUND.add(task)
        task.add_done_callback(_BACKGROUND.discard)
    return _finish_answer(portal, call)


def _end(portal: Portal, call: Call, user: User, params: Params, now: float) -> None:
    duration = to_int(params.get("DURATION"))
    code = str(params.get("STATUS_CODE") or ("200" if duration > 0 else "304"))
    if code not in STATUS_CODES:
        portal.violate("unknown_status_code", code)
    done = [other for other in portal.by_external.get(call.external_id, ()) if other.finish]
    if call.external_id and done:
        portal.violate("doubled_call", {"external_call_id": call.external_id, "call_id": call.call_id})
    end = Finish(
        stat_id=portal.next_id("stat"),
        activity_id=portal.next_id("activity"),
        user_id=user.id,
        duration=duration,
        status_code=code,
        reason=str(params.get("FAILED_REASON") or ""),
        at=now,
        add_to_chat=truth(params.get("ADD_TO_CHAT", 1)),
        vote=to_int(params.get("VOTE")),
        cost=to_float(params.get("COST")),
        currency=str(params.get("COST_CURRENCY") or ""),
    )
    portal.hide(call, [user.id])
    if call.shown:
        portal.violate("card_left_hanging", {"call_id": call.call_id, "users": sorted(call.shown)})
    call.finish = end
    portal.rows.append(call)
    if portal.live_keys.get(_live_key(call)) is call:
        del portal.live_keys[_live_key(call)]
    for kind, number in call.created_entities:
        if number in portal.entities[kind]:
            portal.entities[kind][number]["ASSIGNED_BY_ID"] = user.id
    activity = {"ID": end.activity_id, "CALL_ID": call.call_id, "DESCRIPTION": "", "RESPONSIBLE_ID": user.id}
    portal.activities[end.activity_id] = activity
    call.note(now, "finish", {"user": user.id, "duration": duration, "code": code})
    if end.add_to_chat:
        portal.message("call", str(user.id), f"{call.phone}: {code}, {duration} s", call_id=call.call_id)


def _finish_answer(portal: Portal, call: Call) -> dict[str, Any]:
    """CALL_START_DATE really is an empty object; CALL_STATUS is 1 iff somebody talked, whatever the code."""
    end = call.finish
    assert end is not None
    return {
        "CALL_ID": call.call_id,
        "EXTERNAL_CALL_ID": call.external_id or None,
        "PORTAL_USER_ID": end.user_id,
        "PHONE_NUMBER": call.phone,
        "PORTAL_NUMBER": call.line,
        "INCOMING": str(call.type),
        "CALL_DURATION": end.duration,
        "CALL_START_DATE": {},
        "CALL_STATUS": 1 if end.duration > 0 else 0,
        "CALL_VOTE": end.vote,
        "COST": end.cost or 0,
        "COST_CURRENCY": end.currency,
        "CALL_FAILED_CODE": end.status_code,
        "CALL_FAILED_REASON": end.reason,
        "REST_APP_ID": "3",
        "REST_APP_NAME": portal.config.app_name,
        "CRM_ACTIVITY_ID": end.activity_id,
        "COMMENT": None,
        "CRM_ENTITY_TYPE": call.crm_type,
        "CRM_ENTITY_ID": call.crm_id,
        "ID": end.stat_id,
    }


# --- recordings


@rest(
    "telephony.externalCall.attachRecord",
    "telephony",
    app_only=True,
    params="CALL_ID FILENAME FILE_CONTENT RECORD_URL",
)
def attach_record(ctx: Context, params: Params) -> Any | Awaitable[Any]:
    """Mode A: RECORD_URL is downloaded; B: FILE_CONTENT is base64; C: FILENAME alone asks for an upload address."""
    url, filename = str(params.get("RECORD_URL") or ""), str(params.get("FILENAME") or "")
    if not params.get("CALL_ID") or not (url or filename or "FILENAME" in params):
        raise core(
            "Required parameters are not set. Request should contain CALL_ID and FILENAME or RECORD_URL",
            "missing_param",
        )
    if not url and not filename:
        raise core("File name is empty", "missing_param")
    if filename and filename.rpartition(".")[2].lower() not in ("wav", "mp3"):
        raise core("Wrong file extension. Only wav and mp3 are allowed", "bad_record_extension")
    call = _known_call(ctx, params)
    if call is None or call.finish is None:
        if call is not None:
            call.note(ctx.now, "attach_refused")
        raise core(NO_STATISTIC, "attach_unknown" if call is None else "attach_before_finish")
    if url:
        return _attach_url(ctx, call, url, filename)
    if "FILE_CONTENT" in params:
        return store_record(ctx.portal, call, filename, _decode(params["FILE_CONTENT"]), "content")
    return _upload_address(ctx, call, filename)


async def _attach_url(ctx: Context, call: Call, url: str, filename: str) -> Any:
    try:
        content = await ctx.fetch(url)
    except FetchError as error:
        call.note(ctx.now, "attach_failed", error.status)
        if error.status is None:
            raise ApiError("SERVER_NOT_AVAILABLE", "Server is not available", 400, what="record_url_failed") from error
        raise core(f"Server returns HTTP error code {error.status}", "record_url_failed") from error
    name = filename or url.partition("?")[0].rpartition("/")[2]
    return store_record(ctx.portal, call, name, content, "url")


async def _background_record(ctx: Context, call: Call, url: str) -> None:
    """RECORD_URL of `finish` (deprecated): downloaded in the background, a failure is silent."""
    try:
        content = await ctx.fetch(url)
    except FetchError as error:
        call.note(ctx.portal.clock(), "attach_failed", error.status)
        return
    store_record(ctx.portal, call, url.partition("?")[0].rpartition("/")[2], content, "finish")


def _decode(content: Any) -> bytes:
    if not content:
        raise core("File content is empty.", "empty_record")
    try:
        return base64.b64decode(str(content), validate=True)
    except (binascii.Error, ValueError):
        raise core("File content is not properly encoded. Base64 encoding is expected.", "bad_base64") from None


def store_record(portal: Portal, call: Call, filename: str, content: bytes, mode: str) -> dict[str, int]:
    """One file per call: attaching again replaces it."""
    number = portal.next_id("file")
    count = call.record.count + 1 if call.record else 1
    digest = hashlib.sha256(content).hexdigest()
    if call.record:
        portal.records.pop(call.record.file_id, None)
    call.record = Record(number, filename, content, digest, portal.clock(), count)
    portal.records[number] = call.record
    portal.version += 1
    call.note(call.record.at, "attach", {"mode": mode, "file_id": number, "size": len(content)})
    return {"FILE_ID": number}


def _signature(portal: Portal, payload: str) -> str:
    return hashlib.sha256(f"{portal.config.client_secret}|{payload}".encode()).hexdigest()[:24]


def _upload_address(ctx: Context, call: Call, filename: str) -> dict[str, str]:
    """The address contains the current access token, and dies with it."""
    payload = base64.urlsafe_b64encode(f"callId={call.call_id}&filename={filename}".encode()).decode()
    token = quote(f"telephony|{payload}|{_signature(ctx.portal, payload)}", safe="")
    call.note(ctx.now, "upload_url")
    return {"uploadUrl": f"{ctx.base_url}/rest/upload.json?auth={ctx.token.value}&token={token}", "fieldName": "file"}


@rest("upload")
def upload(ctx: Context, params: Params) -> Any:
    """Where `uploadUrl` leads: a multipart POST with the field `file`."""
    prefix, _, rest_of = str(params.get("token") or "").partition("|")
    payload, _, signature = rest_of.partition("|")
    if prefix != "telephony" or signature != _signature(ctx.portal, payload):
        raise ApiError("INVALID_TOKEN", "Wrong upload token", 400, what="bad_upload_token")
    call_id, _, filename = base64.urlsafe_b64decode(payload).decode()[len("callId=") :].partition("&filename=")
    file = params.get("file")
    if not isinstance(file, Upload) or not file.content:
        raise core("File content is empty.", "empty_record")
    return store_record(ctx.portal, ctx.portal.calls[call_id], filename, file.content, "upload")


@rest(
    "telephony.call.attachTranscription",
    "telephony",
    app_only=True,
    params="CALL_ID MESSAGES COST COST_CURRENCY",
)
def attach_transcription(ctx: Context, params: Params) -> Any:
    call = _known_call(ctx, params)
    messages = [mapping(message) for message in as_list(params.get("MESSAGES"))]
    if not messages:
        raise core("MESSAGES should not be empty", "missing_param")
    for message in messages:
        good_side = message.get("SIDE") in ("User", "Client")
        if not good_side or to_int(message.get("START_TIME")) < 0 or to_int(message.get("STOP_TIME")) <= 0:
            raise core("Wrong MESSAGES format", "bad_transcription")
    if call is None or call.finish is None:
        raise core(NO_STATISTIC, "attach_before_finish")
    call.transcript_id = ctx.portal.next_id("transcript")
    call.note(ctx.now, "transcription", {"messages": len(messages)})
    return {"TRANSCRIPT_ID": call.transcript_id}


# --- search and statistics


@rest("telephony.externalCall.searchCrmEntities", "telephony", params="PHONE_NUMBER")
def search_crm_entities(ctx: Context, params: Params) -> Any:
    """The client, the responsible, his extension and whether he is at work, in one request. Webhooks may ask too."""
    portal, phone = ctx.portal, strip_phone(params.get("PHONE_NUMBER"))
    if not phone:
        raise core("PHONE_NUMBER is empty", "missing_param")
    return [_found(portal, kind, entity) for kind, entity in portal.find_by_phone(phone)]


def _found(portal: Portal, kind: str, entity: dict[str, Any]) -> dict[str, Any]:
    user = portal.users.get(to_int(entity.get("ASSIGNED_BY_ID")))
    return {
        "CRM_ENTITY_TYPE": kind,
        "CRM_ENTITY_ID": entity["ID"],
        "ASSIGNED_BY_ID": to_int(entity.get("ASSIGNED_BY_ID")),
        "NAME": portal.title(kind, entity),
        "ASSIGNED_BY": {
            "ID": str(entity.get("ASSIGNED_BY_ID")),
            "TIMEMAN_STATUS": user.timeman if user else "UNAVAILABLE",
            "USER_PHONE_INNER": user.phone_inner if user else None,
            "WORK_PHONE": None,
            "PERSONAL_PHONE": None,
            "PERSONAL_MOBILE": user.mobile if user else None,
        },
    }


def statistic_row(call: Call) -> dict[str, Any]:
    """A row of the statistics: finished calls only, all values strings."""
    end = call.finish
    assert end is not None
    return {
        "ID": str(end.stat_id),
        "PORTAL_USER_ID": str(end.user_id),
        "PORTAL_NUMBER": call.line,
        "PHONE_NUMBER": call.phone,
        "CALL_ID": call.call_id,
        "EXTERNAL_CALL_ID": call.external_id or None,
        "CALL_TYPE": str(call.type),
        "CALL_DURATION": str(end.duration),
        "CALL_START_DATE": call.started,
        "CALL_VOTE": str(end.vote),
        "COST": f"{end.cost:.4f}",
        "COST_CURRENCY": end.currency,
        "CALL_FAILED_CODE": end.status_code,
        "CALL_FAILED_REASON": end.reason,
        "CRM_ENTITY_TYPE": call.crm_type,
        "CRM_ENTITY_ID": str(call.crm_id) if call.crm_id else None,
        "CRM_ACTIVITY_ID": str(end.activity_id),
        "RECORD_FILE_ID": str(call.record.file_id) if call.record else None,
        "TRANSCRIPT_ID": str(call.transcript_id) if call.transcript_id else None,
        "REST_APP_NAME": call.app,
    }


@rest("voximplant.statistic.get", "telephony")
def statistic_get(ctx: Context, params: Params) -> Page:
    condition = mapping(pick(params, "filter"))
    rows = [statistic_row(call) for call in _candidates(ctx.portal, condition)]
    sort, order = pick(params, "sort"), pick(params, "order")
    ordering = order if isinstance(order, dict) else {str(sort or "ID"): str(order or "ASC")}
    return list_page(rows, condition, ordering, to_int(pick(params, "start")))


def _candidates(portal: Portal, condition: Params) -> list[Call]:
    """The index for the two identifiers that a reconciliation asks by."""
    external, call_id = condition.get("EXTERNAL_CALL_ID"), condition.get("CALL_ID")
    if external is not None:
        return [c for value in as_list(external) for c in portal.by_external.get(str(value), ()) if c.finish]
    if call_id is not None:
        return [c for value in as_list(call_id) if (c := portal.calls.get(str(value))) and c.finish]
    return portal.rows
