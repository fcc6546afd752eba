"""From an authorised request to an answer: authorisation, scopes, both limits, batch and the `time` block."""

from __future__ import annotations

import asyncio
from typing import Any

from . import crm, general, placements, telephony  # noqa: F401 - they fill the registry
from .faults import Faults
from .limits import Bucket, Operating
from .methods import REGISTRY, Context, Method
from .portal import Portal, Token
from .wire import ApiError, Page, Params, iso, parse_php, php_array, resolve

MAX_BATCH = 50
PROBE = "telephony.externalLine.get"


def authorise(portal: Portal, auth: str, webhook: tuple[int, str] | None, now: float) -> Token:
    """401 NO_AUTH_FOUND for what is unknown, 401 expired_token for a token that had its hour."""
    if webhook is not None:
        if portal.config.webhooks.get(webhook[1]) != webhook[0]:
            raise ApiError("NO_AUTH_FOUND", "Wrong authorization data", 401, what="unauthenticated")
        return Token(webhook[1], webhook[0], float("inf"), "webhook")
    token = portal.tokens.get(auth)
    if token is None:
        raise ApiError("NO_AUTH_FOUND", "Wrong authorization data", 401, what="unauthenticated")
    if now >= token.expires_at:
        portal.expired_answered = True
        raise expired()
    return token


def expired() -> ApiError:
    return ApiError("expired_token", "The access token provided has expired", 401, expected=True)


def rate_limited(*, by_fault: bool = False) -> ApiError:
    return ApiError("QUERY_LIMIT_EXCEEDED", "Too many requests", 503, what="rate_limit", expected=by_fault)


def check_rate(portal: Portal, source: str, now: float) -> None:
    """One bucket per (portal, source IP); a batch is one hit."""
    if not portal.config.bucket_size:
        return
    bucket = portal.buckets.get(source)
    if bucket is None:
        bucket = portal.buckets[source] = Bucket(portal.config.bucket_size, portal.config.bucket_leak, at=now)
    if not bucket.hit(now):
        raise rate_limited()


def refuse(portal: Portal, method: str, error: ApiError, params: Params | None = None) -> None:
    """Every refusal is a violation, unless a good client meets it too."""
    if error.expected:
        return
    detail: dict[str, Any] = {"method": method, "error": error.code, "text": error.text}
    for name in ("CALL_ID", "EXTERNAL_CALL_ID"):
        if params and params.get(name):
            detail[name.lower()] = params[name]
    portal.violate(error.what, detail)


async def answer(ctx: Context, faults: Faults, name: str, params: Params) -> dict[str, Any]:
    """The body of a good answer to one request."""
    if name == "batch":
        if faults.items:
            _fault(ctx, faults, name)
        result = await _batch(ctx, faults, params)
        return {"result": result, "time": _time(ctx, Operating())}
    value, timing = await _command(ctx, faults, name, params)
    body: dict[str, Any] = {"result": value.result if isinstance(value, Page) else value}
    if isinstance(value, Page):
        body |= {key: number for key, number in (("next", value.next), ("total", value.total)) if number is not None}
    body["time"] = timing
    return body


async def _command(ctx: Context, faults: Faults, name: str, params: Params) -> tuple[Any, dict[str, Any]]:
    """One command, alone or of a batch."""
    method = REGISTRY.get(name)
    portal = ctx.portal
    portal.commands[method.name if method else name] += 1
    try:
        if faults.items:
            _fault(ctx, faults, name)
        if method is None:
            raise ApiError("ERROR_METHOD_NOT_FOUND", "Method not found!", 404, what="unknown_method")
        _check_access(ctx, method)
        if method.params is not None and not method.params.issuperset(params):
            unknown = sorted(set(params) - method.params)
            portal.violate("unknown_param", {"method": method.name, "params": unknown})
        operating = _operating(ctx, method)
        value = method.handler(ctx, params)
        if asyncio.iscoroutine(value):
            value = await value
    except ApiError as error:
        refuse(portal, method.name if method else name, error, params)
        raise
    costs = portal.config.operating_cost
    operating.add(ctx.now, costs.get(method.name, costs.get("*", 0.0)) if costs else 0.0)
    return value, _time(ctx, operating)


def _fault(ctx: Context, faults: Faults, name: str) -> None:
    fault = faults.command(ctx.portal.config.name, name)
    if fault is not None:
        raise ApiError(fault.error, fault.error_description, fault.status, expected=True)


def _check_access(ctx: Context, method: Method) -> None:
    config, webhook = ctx.portal.config, ctx.token.kind == "webhook"
    if webhook and method.app_only and not (config.webhook_telephony and method.name.startswith("telephony.")):
        text = "Current authorization type is denied for this method"
        raise ApiError("WRONG_AUTH_TYPE", text, 403, expected=method.name == PROBE)
    granted = config.webhook_scopes if webhook else config.scopes
    if method.scope and not any(name in granted for name in method.scope):
        text = "The request requires higher privileges than provided by the webhook token"
        raise ApiError("insufficient_scope", text, 403)


def _operating(ctx: Context, method: Method) -> Operating:
    """480 s of execution per method and application in ten minutes; the other methods keep working."""
    key = (ctx.app, method.name)
    operating = ctx.portal.operating.get(key)
    if operating is None:
        operating = ctx.portal.operating[key] = Operating()
    operating.trim(ctx.now)
    if operating.total > ctx.portal.config.operating_limit:
        text = "Method is blocked due to operation time limit."
        raise ApiError("OPERATION_TIME_LIMIT", text, 429, what="operation_time_limit")
    return operating


def _time(ctx: Context, operating: Operating) -> dict[str, Any]:
    """`operating` is cumulative for the method, not the cost of this request."""
    finish, hours = ctx.portal.clock(), ctx.portal.config.utc_offset
    return {
        "start": ctx.now,
        "finish": finish,
        "duration": finish - ctx.now,
        "processing": 0,
        "date_start": iso(int(ctx.now), hours),
        "date_finish": iso(int(finish), hours),
        "operating_reset_at": operating.reset_at(ctx.now),
        "operating": operating.total,
    }


async def _batch(ctx: Context, faults: Faults, params: Params) -> dict[str, Any]:
    """Up to 50 commands in order; HTTP 200 whatever becomes of them; empty maps come as `[]`."""
    raw = params.get("cmd") or {}
    commands = {str(i): text for i, text in enumerate(raw)} if isinstance(raw, list) else raw
    if len(commands) > MAX_BATCH:
        raise ApiError("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded", 400, what="batch_too_long")
    halt = str(params.get("halt")).lower() in ("1", "true", "y")
    results: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    totals: dict[str, Any] = {}
    following: dict[str, Any] = {}
    times: dict[str, Any] = {}
    for key, text in commands.items():
        name, _, query = str(text).partition("?")
        try:
            value, times[key] = await _inner(ctx, faults, name, query, results)
        except ApiError as error:
            errors[key] = error.body()
            if halt:
                break
            continue
        if isinstance(value, Page):
            results[key] = value.result
            if value.total is not None:
                totals[key] = value.total
            if value.next is not None:
                following[key] = value.next
        else:
            results[key] = value
    return {
        "result": php_array(results),
        "result_error": php_array(errors),
        "result_total": php_array(totals),
        "result_next": php_array(following),
        "result_time": php_array(times),
    }


async def _inner(ctx: Context, faults: Faults, name: str, query: str, results: Params) -> tuple[Any, dict[str, Any]]:
    name = method_name(name)
    if name in ("batch", "upload"):
        error = ApiError("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage", 405)
        error.what = "nested_batch" if name == "batch" else "upload_in_batch"
        refuse(ctx.portal, name, error)
        raise error
    return await _command(ctx, faults, name, resolve(parse_php(query), results))


def method_name(text: str) -> str:
    """Names are case-insensitive, with an optional `.json`."""
    return text.strip().lower().removesuffix(".json")


def canonical(name: str) -> str:
    method = REGISTRY.get(name)
    return method.name if method else name
