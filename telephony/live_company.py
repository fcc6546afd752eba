"""Pages that show many calls (the journal, the overview): told that something of their company's has changed, at most
once a second, and nothing more. What they show they ask for like any other page, so filters, rights and masks have one
place; the streams themselves ask the database nothing about calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from django.http import StreamingHttpResponse

from employees.rights import Right
from employees.sites import PortalRequest

from .live import BEAT, FULL, OVER, Listener, Person, Stream, answer, hub

BREATH = 1.0
"""Seconds after each word for which a page is told nothing, however much changes."""
CHANGED = b"event: changed\ndata: {}\n\n"


@dataclass(eq=False)
class CompanyStream(Stream):
    """`_mark`: the company's as it was at the last look, None before the first."""

    _mark: str | None = None

    def heed(self, mark: str) -> None:
        if self._mark is not None and mark and mark != self._mark:
            self.wake()
        if mark or self._mark is None:  # a cache that is away says nothing
            self._mark = mark


def respond(request: PortalRequest) -> StreamingHttpResponse:
    return answer(_wire(Person.of(request, everybody=True, right=Right.READ)))


async def _wire(listener: Listener) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    if hub.full_for(listener):
        yield FULL
        return
    with hub.joined(CompanyStream(listener)) as stream:
        await hub.begin(stream)
        async for block in _as_it_comes(stream):
            yield block


async def _as_it_comes(stream: CompanyStream) -> AsyncIterator[bytes]:
    """From time to time a block without events, that keeps the line."""
    yield b": here\n\n"
    checked = time.monotonic()
    while not hub.closed:
        changed = await stream.woken(BEAT)
        if hub.closed:
            return
        if time.monotonic() - checked >= BEAT:
            listener = await hub.in_thread(stream.listener.again)
            if listener is None:
                yield OVER
                return
            stream.listener, checked = listener, time.monotonic()
        yield CHANGED if changed else b": here\n\n"
        await asyncio.sleep(BREATH if changed else 0)
