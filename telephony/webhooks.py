"""The door for PBXs: prove the sender, store, answer.

A thin ASGI app in front of Django's handler, in the same process: Django's middleware would cost more than all the
work. It knows no vendor's rule.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from prometheus_client import Counter, Histogram

from . import directory, inbox, routing, turned_away
from .bodies import GONE, Body, Receive, Scope, look_at, storable
from .directory import Address, Known
from .events import OURS
from .models import InboxEvent
from .pipeline import Busy, Pipeline
from .providers import registry
from .providers.base import Advice, Provider, Question, Refused, Reply, Request
from .refusals import Refusals
from .routing import Answered
from .threads import looked_after

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = structlog.get_logger(__name__)

SMALL = 64 * 1024
"""Larger bodies are opened in a thread: that takes long, and others wait for this one."""
KEPT_HEADERS = {"content-type", "user-agent", "x-forwarded-for", "signature", "authorization", "host", "x-hub-token"}
LONGEST_PATH: int = InboxEvent._meta.get_field("path").max_length or 0
NOBODY, TOO_OFTEN = "not_found", "refused_too_often"
COME_AGAIN = {429, 503}

answers = Counter("callbridge_webhook_answers", "Answers to PBXs", ["provider", "status"])
refusals = Counter("callbridge_webhook_refusals", "Requests of PBXs that were refused", ["provider", "reason"])
seconds = Histogram("callbridge_webhook_seconds", "Time to answer a PBX, commit included", ["provider"])


def target(path: str) -> tuple[Provider, str | None, str] | None:
    """Whose request this is: provider, token (None on a shared path), rest. None: not a PBX's."""
    if path.startswith("/hooks/"):
        slug, _, rest = path[len("/hooks/") :].partition("/")
        token, _, rest = rest.partition("/")
        provider = registry.all_providers().get(slug)
        return (provider, token, rest) if provider else None
    shared = registry.by_shared_path(path.lstrip("/"))
    return (shared[0], None, shared[1]) if shared else None


def _address(provider: Provider, token: str | None, request: Request) -> Address:
    if token is not None:
        return Address(provider.slug, token=token)
    return Address(provider.slug, account=provider.identify(request))


def _proven(claimants: tuple[Known, ...], request: Request) -> Known:
    """The first of those behind an address whose secret the request proves."""
    refusal = Refused(404, NOBODY)
    if request.path.startswith(OURS):
        raise refusal
    for known in claimants:
        try:
            known.provider.authenticate(request, known.secrets)
        except Refused as error:
            refusal = error
        else:
            if known.active:
                return known
            refusal = Refused(410, "connection_switched_off")
    raise refusal


def receive(provider: Provider, token: str | None, request: Request) -> Reply:
    """The whole way of a request in one thread: prove, store, drain, answer (replays and tests go this way)."""
    received = time.monotonic()
    try:
        claimants = directory.find(_address(provider, token, request))
        if claimants and (greeting := provider.handshake(request)):
            return greeting
        known = _proven(claimants, request)
    except Refused as refusal:
        return refusal.reply
    inbox.store([inbox.event_of(known, request)])
    reply = provider.reply(request, known.secrets)
    if question := provider.question(request):
        answered = routing.answer(known, question, received)
        if answered.event:
            inbox.store([answered.event])
        reply = provider.answer(request, answered.advice)
    while inbox.drain():
        pass
    return reply


class WebhookDoor:
    """An ASGI app that answers PBXs itself and hands everything else to `pages`, with the same bounds on bodies."""

    def __init__(self, pages: App, pipeline: Pipeline):
        self._pages = pages
        self._pipeline = pipeline
        self._refusals = Refusals()
        # What takes long: addresses that are not remembered, large bodies.
        self._lookups = ThreadPoolExecutor(2, thread_name_prefix="webhook-lookup")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._pages(scope, receive, send)
            return
        body = Body(receive)
        found = target(storable(scope.get("raw_path") or scope["path"]))
        if found is None:
            await self._hand_on(scope, body, send)
            return
        provider, token, rest = found
        with seconds.labels(provider.slug).time():
            reply = await self._answer(provider, token, rest, scope, body)
        answers.labels(provider.slug, reply.status).inc()
        await _send(send, reply, body, provider.methods)

    async def _hand_on(self, scope: Scope, body: Body, send: Send) -> None:
        try:
            look_at(scope)
            await self._pages(scope, body, send)
        except Refused as refusal:  # raised by `body`, which is read before anything is answered
            await _send(send, refusal.reply, body)

    async def _answer(self, provider: Provider, token: str | None, rest: str, scope: Scope, body: Body) -> Reply:
        received = time.monotonic()
        address = None if token is None else Address(provider.slug, token=token)
        remote = storable((scope.get("client") or ("",))[0])
        try:
            if address:
                self._let_in(remote, address)
            _look_at(provider, scope, rest)
            request = _request(scope, rest, await body.read(), remote)
            if not address:
                address = await self._address(provider, request)
                self._let_in(remote, address)
            claimants = await self._claimants(address)
            if claimants and (greeting := provider.handshake(request)):
                return greeting
            known = await self._prove(claimants, request)
            self._refusals.forgive((remote, address))
            await asyncio.wrap_future(self._pipeline.submit(inbox.event_of(known, request)))
            if question := provider.question(request):
                return provider.answer(request, await self._advice(known, question, received))
            return provider.reply(request, known.secrets)
        except Refused as refusal:
            return self._refuse(provider, remote, address, refusal)
        except Busy:
            return _reply(503, "busy_try_again")
        except Exception:
            log.exception("webhook not stored", provider=provider.slug)
            return _reply(503, "not_stored_try_again")

    def _let_in(self, remote: str, address: Address) -> None:
        """Before anything costs something."""
        if self._refusals.too_often((remote, None if directory.is_stranger(address) else address)):
            raise Refused(429, TOO_OFTEN)

    async def _address(self, provider: Provider, request: Request) -> Address:
        """Whom a request to a shared path names."""
        if len(request.body) <= SMALL:
            return _address(provider, None, request)
        if self._refusals.too_often((request.remote, None)):
            raise Refused(429, TOO_OFTEN)
        return await self._in_thread(_address, provider, None, request)

    async def _claimants(self, address: Address) -> tuple[Known, ...]:
        claimants = directory.peek(address)
        return await self._in_thread(directory.find, address) if claimants is None else claimants

    async def _prove(self, claimants: tuple[Known, ...], request: Request) -> Known:
        if len(request.body) <= SMALL:
            return _proven(claimants, request)
        return await self._in_thread(_proven, claimants, request)

    async def _advice(self, known: Known, question: Question, received: float) -> Advice:
        """What is known in time; the PBX is never kept waiting longer, whatever else goes on."""
        asked = routing.ask(known, question, received)
        asked.add_done_callback(self._note_answer)
        left = received + known.provider.answer_seconds - time.monotonic()
        done, _late = await asyncio.wait([asyncio.wrap_future(asked)], timeout=left)
        return asked.result().advice if done and not asked.exception() else Advice()

    def _note_answer(self, asked: Future[Answered]) -> None:
        try:
            if event := asked.result().event:
                self._pipeline.submit(event)
        except Exception:
            log.exception("an answer to a PBX is not noted")

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._lookups, looked_after, work, *arguments)

    def _refuse(self, provider: Provider, remote: str, address: Address | None, refusal: Refused) -> Reply:
        """Strangers count by where they come from; who is known counts by himself as well, because a vendor sends the
        events of all its customers from few places."""
        refusals.labels(provider.slug, refusal.code).inc()
        claimants = directory.peek(address) if address else None
        who = (remote, address if claimants else None)
        if refusal.code == TOO_OFTEN or self._refusals.too_often(who):
            return _reply(429, TOO_OFTEN)
        if claimants and provider.self_test:  # the cache may lie on another machine
            known = [each.id for each in claimants]
            self._lookups.submit(looked_after, turned_away.note, known, refusal, remote)
        self._refusals.note(who, provider=provider.slug, reason=refusal.code, remote=remote)
        return refusal.reply


def _look_at(provider: Provider, scope: Scope, rest: str) -> None:
    """Refuse by its head what we would not store: raises `Refused`."""
    if scope["method"] not in provider.methods:
        raise Refused(405, f"use_{'_or_'.join(sorted(provider.methods)).lower()}")
    if len(rest) > LONGEST_PATH:
        raise Refused(414, "path_too_long")
    look_at(scope)


def _request(scope: Scope, rest: str, body: bytes, remote: str) -> Request:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in KEPT_HEADERS:
            headers[key] = f"{headers[key]}, {storable(value)}" if key in headers else storable(value)
    return Request(scope["method"], rest, body, storable(scope.get("query_string", b"")), headers, remote)


def _reply(status: int, code: str) -> Reply:
    return Refused(status, code).reply


async def _send(send: Send, reply: Reply, body: Body, methods: Collection[str] = ()) -> None:
    if reply.status == GONE:
        return
    headers = [(b"content-type", reply.content_type.encode()), (b"content-length", str(len(reply.body)).encode())]
    if reply.status in COME_AGAIN:
        headers.append((b"retry-after", b"2"))
    if reply.status == 405:
        headers.append((b"allow", ", ".join(sorted(methods)).encode()))
    cut_off = reply.status in {408, 413}
    if cut_off:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": cut_off})
    if cut_off:
        await body.let_go()
        await send({"type": "http.response.body", "body": b""})
