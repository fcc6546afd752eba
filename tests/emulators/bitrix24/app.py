"""The ASGI application: one small router, and the faults of the wire."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from . import control, dispatch, oauth, page, placements
from .faults import Fault
from .hub import Hub
from .methods import Context
from .portal import Portal
from .wire import ApiError, Params, parse_body, parse_php

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
JSON_TYPE = b"application/json; charset=utf-8"
HTML_TYPE = b"text/html; charset=utf-8"


@dataclass(slots=True)
class Request:
    """What the router and the handlers need of a request."""

    method: str
    path: str
    query: str
    host: str
    content_type: str
    language: str
    source: str
    body: bytes
    prefix: str = ""


@dataclass(slots=True)
class Response:
    status: int
    body: bytes
    content_type: bytes = JSON_TYPE
    location: str = ""
    retry_after: float = 0.0
    kill: str = ""  # "reset" or "no_answer"
    hold: float = 0.0


def as_json(data: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


def html(text: str, status: int = 200) -> Response:
    return Response(status, text.encode(), HTML_TYPE)


class Application:
    """The emulator as an ASGI application."""

    def __init__(
        self, hub: Hub, on_startup: Callable[[], None] | None = None, on_shutdown: Callable[[], None] | None = None
    ) -> None:
        self.hub = hub
        self._on_startup, self._on_shutdown = on_startup, on_shutdown

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        request = await _read(scope, receive)
        if request is None:
            return
        context: list[Context] = []
        response = await self._route(request, context)
        if response.kill:
            await self._kill(response, receive, send)
            return
        await _respond(response, send)
        for each in context:
            for call in each.registered:
                call.answered = True

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            hook = self._on_startup if message["type"] == "lifespan.startup" else self._on_shutdown
            if hook:
                hook()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _route(self, request: Request, context: list[Context]) -> Response:
        path = request.path
        if path.startswith("/p/"):
            request.prefix, _, rest_of = path[3:].partition("/")
            path = request.path = "/" + rest_of
        if path.startswith("/_emulator/"):
            return await self._control(request)
        portal, moved, base = self.hub.find(request.prefix, request.host)
        if moved:
            query = f"?{request.query}" if request.query else ""
            return Response(302, b"", b"text/html", location=f"{moved}{path}{query}")
        if portal is None:
            return html("<h1>No such portal</h1>", 404)
        if path.startswith("/rest/"):
            return await self._rest(request, portal, base, context)
        if path.startswith("/oauth/"):
            return await self._oauth(request, portal)
        if path.startswith("/desktop/"):
            return self._desktop(request, portal)
        if path == "/api/v1/":
            return Response(200, placements.LIBRARY.encode(), b"text/javascript; charset=utf-8")
        if path == "/":
            query_params = parse_php(request.query)
            return html(page.render(portal, page.language(query_params, request.language), request.prefix))
        return html("<h1>404</h1>", 404)

    def _desktop(self, request: Request, portal: Portal) -> Response:
        """`/desktop/<user>/` is a page of the portal as this user has it open, `…/card` the card that he sees."""
        who, _, what = request.path.removeprefix("/desktop/").partition("/")
        if not who.isdecimal() or int(who) not in portal.users or what not in ("", "card"):
            return html("<h1>404</h1>", 404)
        if what:
            return as_json(placements.card(portal, int(who)))
        return html(placements.desktop(portal, int(who), request.prefix))

    # --- REST

    async def _rest(self, request: Request, portal: Portal, base: str, context: list[Context]) -> Response:
        segments = request.path[6:].strip("/").split("/")
        webhook = (int(segments[0]), segments[1]) if len(segments) == 3 and segments[0].isdigit() else None
        name = dispatch.method_name(segments[-1])
        portal.hits[dispatch.canonical(name)] += 1
        now = self.hub.clock()
        try:
            dispatch.check_rate(portal, request.source, now)
            params = parse_php(request.query) if request.query else {}
            params |= parse_body(request.content_type, request.body)
            if len(segments) not in (1, 3) or (len(segments) == 3 and webhook is None):
                raise ApiError("ERROR_METHOD_NOT_FOUND", "Method not found!", 404, what="unknown_method")
        except ApiError as error:
            dispatch.refuse(portal, name, error)
            return as_json(error.body(), error.status)
        auth = str(params.pop("auth", ""))
        faults: list[Fault] = []
        if self.hub.faults.items:
            faults = self.hub.faults.http(portal.config.name, "rest", _names(name, params))
        early = await _apply(faults, before=True, portal=portal)
        if early:
            return early
        response = await self._execute(portal, base, name, params, (auth, webhook, request.prefix), context, now)
        if self.hub.latency:
            await asyncio.sleep(self.hub.latency)
        return (await _apply(faults, before=False, portal=portal, answer=response)) or response

    async def _execute(
        self,
        portal: Portal,
        base: str,
        name: str,
        params: Params,
        who: tuple[str, tuple[int, str] | None, str],
        context: list[Context],
        now: float,
    ) -> Response:
        auth, webhook, prefix = who
        if name == "app.info" and not prefix and auth not in portal.tokens:
            # on the authorisation server a token of any portal is known
            portal = next((p for p in self.hub.portals.values() if auth in p.tokens), portal)
        try:
            token = dispatch.authorise(portal, auth, webhook, now)
        except ApiError as error:
            dispatch.refuse(portal, name, error)
            return as_json(error.body(), error.status)
        if token.kind == "event":
            portal.violate("event_token_used", {"method": name, "user_id": token.user_id})
        app = f"webhook:{token.value}" if webhook else "app"
        ctx = Context(portal, token, now, base, self.hub.fetch, app, not prefix)
        context.append(ctx)
        try:
            return as_json(await dispatch.answer(ctx, self.hub.faults, name, params))
        except ApiError as error:
            if name == "batch":
                dispatch.refuse(portal, name, error)
            return as_json(error.body(), error.status)
        except Exception as error:  # input that the emulator did not foresee must show in the violations
            portal.violate("emulator_error", {"method": name, "error": repr(error)})
            return as_json({"error": "INTERNAL_SERVER_ERROR", "error_description": "Internal server error"}, 500)

    # --- the authorisation server

    async def _oauth(self, request: Request, portal: Portal) -> Response:
        params = parse_php(request.query) | parse_body(request.content_type, request.body)
        faults = self.hub.faults.http(portal.config.name, "oauth", ()) if self.hub.faults.items else []
        early = await _apply(faults, before=True, portal=portal)
        if early:
            return early
        try:
            if request.path.rstrip("/") == "/oauth/authorize":
                return Response(302, b"", HTML_TYPE, location=oauth.authorise_redirect(portal, params, request.host))
            if request.path.rstrip("/") != "/oauth/token":
                return html("<h1>404</h1>", 404)
            ordered = [portal, *(p for p in self.hub.portals.values() if p is not portal)]
            response = as_json(oauth.token_answer(ordered, params, request.host, self.hub.url))
        except ApiError as error:
            response = as_json(error.body(), error.status)
        return (await _apply(faults, before=False, portal=portal, answer=response)) or response

    # --- control

    async def _control(self, request: Request) -> Response:
        record = request.path.removeprefix("/_emulator/record/")
        query = parse_php(request.query)
        if request.prefix:
            query["portal"] = request.prefix
        if record != request.path:
            content = control.record(self.hub, query, record)
            return Response(200, *content) if content else html("<h1>404</h1>", 404)
        try:
            body = json.loads(request.body) if request.body else {}
            data = await control.handle(self.hub, request.method, request.path[11:].strip("/"), query, body)
        except (ValueError, TypeError, KeyError) as error:
            return as_json({"error": str(error)}, 400)
        except ApiError as error:
            return as_json(error.body(), error.status)
        return as_json(data) if data is not None else as_json({"error": "not found"}, 404)

    # --- a connection that ends badly

    async def _kill(self, response: Response, receive: Receive, send: Send) -> None:
        """`no_answer`: wait until the client gives up. Then, or at once for `reset`, cut the connection."""
        if response.kill == "no_answer":
            gone, closing = asyncio.ensure_future(_gone(receive)), asyncio.ensure_future(self.hub.closing.wait())
            await asyncio.wait({gone, closing}, timeout=response.hold, return_when=asyncio.FIRST_COMPLETED)
            for task in (gone, closing):
                task.cancel()
        _reset_connection(send)
        await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _reset_connection(send: Send) -> None:
    """ASGI cannot reset a connection, so the server's transport is taken: `send` is a method of its cycle object."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("reset by the emulator")
    if not transport.is_closing():
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


async def _apply(
    faults: list[Fault], *, before: bool, portal: Portal, answer: Response | None = None
) -> Response | None:
    """What the faults make of the exchange; None: nothing."""
    for fault in faults:
        if fault.kind == "slow":
            if before:
                await asyncio.sleep(fault.seconds)
            continue
        if fault.after == before:
            continue
        return _spoilt(fault, portal, answer)
    return None


def _spoilt(fault: Fault, portal: Portal, answer: Response | None) -> Response:
    if fault.kind in ("reset", "no_answer"):
        return Response(0, b"", kill=fault.kind, hold=fault.seconds)
    if fault.kind == "truncated" and answer is not None:
        return Response(answer.status, answer.body[: len(answer.body) // 2], answer.content_type)
    if fault.kind == "empty":
        return Response(200, b"")
    if fault.kind == "too_many":
        return Response(429, b"<h1>429</h1>", HTML_TYPE, retry_after=fault.seconds)
    if fault.kind in ("expired_token", "rate_limited"):
        portal.expired_answered |= fault.kind == "expired_token"
        error = dispatch.expired() if fault.kind == "expired_token" else dispatch.rate_limited(by_fault=True)
        return as_json(error.body(), error.status)
    status = {"html200": 200, "html500": 500}.get(fault.kind, 503)
    return html(f"<html><body><h1>{status}</h1>The portal is being updated</body></html>", status)


def _names(name: str, params: Params) -> list[str]:
    """The method, and those inside a batch."""
    commands = params.get("cmd") if name == "batch" else None
    values = commands.values() if isinstance(commands, dict) else commands or ()
    return [name, *(dispatch.method_name(str(text).partition("?")[0]) for text in values)]


async def _read(scope: MutableMapping[str, Any], receive: Receive) -> Request | None:
    host = content_type = language = ""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1")
        elif name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"accept-language":
            language = value.decode("latin-1")
    message = await receive()
    body = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        return None
    source = scope["client"][0] if scope.get("client") else ""
    query = scope["query_string"].decode("latin-1")
    return Request(scope["method"], scope["path"], query, host, content_type, language, source, body)


async def _respond(response: Response, send: Send) -> None:
    headers = [
        (b"content-type", response.content_type),
        (b"content-length", str(len(response.body)).encode()),
    ]
    if response.location:
        headers.append((b"location", response.location.encode()))
    if response.retry_after:
        headers.append((b"retry-after", f"{response.retry_after:.0f}".encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
