"""The door for PBXs: prove the sender, store, answer.

A thin ASGI app in front of Django's handler, in the same process: Django's middleware would cost more than all the
work. It knows no vendor's rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from django.db import close_old_connections
from prometheus_client import Counter, Histogram

from . import directory, inbox
from .directory import Known
from .events import OURS
from .pipeline import Busy, Pipeline
from .providers import registry
from .providers.base import Provider, Refused, Reply, Request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = structlog.get_logger(__name__)

MAX_BODY = 1024 * 1024
BODY_SECONDS = 10
KEPT_HEADERS = {"content-type", "user-agent", "x-forwarded-for", "signature", "authorization", "host"}

answers = Counter("callbridge_webhook_answers", "Answers to PBXs", ["provider", "status"])
seconds = Histogram("callbridge_webhook_seconds", "Time to answer a PBX, commit included", ["provider"])


class TooLarge(Exception):
    """The body is larger than `MAX_BODY`."""


def _reply(status: int, code: str) -> Reply:
    return Reply(status, b'{"error":"%s"}' % code.encode())


def target(path: str) -> tuple[Provider, str | None, str] | None:
    """Whose request this is: provider, token (None on a shared path), rest. None: not a PBX's."""
    if path.startswith("/hooks/"):
        slug, _, rest = path[len("/hooks/") :].partition("/")
        token, _, rest = rest.partition("/")
        provider = registry.all_providers().get(slug)
        return (provider, token, rest) if provider else None
    shared = registry.by_shared_path(path.lstrip("/"))
    return (shared[0], None, shared[1]) if shared else None


def prove(provider: Provider, token: str | None, request: Request) -> Known:
    """The connection that sent this; raises `Refused`. May ask the database."""
    known = directory.find(provider.slug, token) if token else directory.find_by_account(provider, request)
    return _proven(known, request, authenticated=token is None)


def _proven(known: Known | None, request: Request, *, authenticated: bool = False) -> Known:
    if known is None or request.path.startswith(OURS):
        raise Refused(404, "not_found")
    if not authenticated:
        known.provider.authenticate(request, known.secrets)
    if not known.active:
        raise Refused(410, "connection_switched_off")
    return known


def receive(provider: Provider, token: str | None, request: Request) -> Reply:
    """The whole way of a request in one thread: prove, store, drain, answer (replays and tests go this way)."""
    try:
        known = prove(provider, token, request)
    except Refused as refusal:
        return refusal.reply
    inbox.store([inbox.event_of(known, request)])
    while inbox.drain():
        pass
    return provider.reply(request)


class WebhookDoor:
    """An ASGI app that answers PBXs itself and hands everything else to `pages`."""

    def __init__(self, pages: App, pipeline: Pipeline):
        self._pages = pages
        self._pipeline = pipeline
        # Look-ups of addresses that are not remembered: few threads, so that strangers cannot take the house.
        self._lookups = ThreadPoolExecutor(2, thread_name_prefix="webhook-lookup")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = target(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._pages(scope, receive, send)
            return
        provider, token, rest = found
        with seconds.labels(provider.slug).time():
            reply = await self._answer(provider, token, rest, scope, receive)
        answers.labels(provider.slug, reply.status).inc()
        await _send(send, reply)

    async def _answer(self, provider: Provider, token: str | None, rest: str, scope: Scope, receive: Receive) -> Reply:
        try:
            body = await asyncio.wait_for(_body(receive), BODY_SECONDS)
            request = _request(scope, rest, body)
            known = await self._prove(provider, token, request)
            await asyncio.wrap_future(self._pipeline.submit(inbox.event_of(known, request)))
            return provider.reply(request)
        except Refused as refusal:
            log.info("webhook refused", provider=provider.slug, reason=refusal.code)
            return refusal.reply
        except TooLarge:
            return _reply(413, "body_too_large")
        except TimeoutError:
            return _reply(408, "body_too_slow")
        except Busy:
            return _reply(503, "busy_try_again")
        except Exception:
            log.exception("webhook not stored", provider=provider.slug)
            return _reply(503, "not_stored_try_again")

    async def _prove(self, provider: Provider, token: str | None, request: Request) -> Known:
        if token:
            if known := directory.peek(provider.slug, token):
                return _proven(known, request)
            if directory.is_stranger(provider.slug, token):
                raise Refused(404, "not_found")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._lookups, _look_up, provider, token, request)


def _look_up(provider: Provider, token: str | None, request: Request) -> Known:
    """`prove`, in a thread whose connection to the database nobody else looks after."""
    close_old_connections()
    try:
        return prove(provider, token, request)
    finally:
        close_old_connections()


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY:
            raise TooLarge
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _request(scope: Scope, rest: str, body: bytes) -> Request:
    headers = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in KEPT_HEADERS:
            headers[key] = value.decode("latin-1")
    remote = (scope.get("client") or ("",))[0]
    return Request(scope["method"], rest, body, scope.get("query_string", b"").decode("latin-1"), headers, remote)


async def _send(send: Send, reply: Reply) -> None:
    headers = [(b"content-type", reply.content_type.encode()), (b"content-length", str(len(reply.body)).encode())]
    if reply.status == 503:
        headers.append((b"retry-after", b"2"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
