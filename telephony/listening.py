"""Listening to PBXs that push nothing by themselves: one event loop holds the lines of all connections.

What is heard goes the way of every event: stored as it came, then drained. Reading never waits for the database: what
is heard stands in memory until it is on disk. A lease says who listens, so that two of us do no double work; that a PBX
is heard twice would do no harm. What a PBX told while nobody listened, its history tells.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from prometheus_client import Counter, Gauge

from outbound.errors import OutboundError, VendorFault
from outbound.guard import open_socket

from . import directory, history, inbox
from .directory import Known
from .events import close_event
from .fold import CallState, Source
from .hot import hot_write
from .models import Call, Connection, HistoryRun, InboxEvent, Listening
from .pipeline import Busy, Pipeline
from .providers import registry
from .providers.base import Line, Listener, Request
from .threads import looked_after

log = structlog.get_logger(__name__)
T = TypeVar("T")

LEASE = timedelta(seconds=15)
TICK = 2.0
PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before the next try to connect, one after the other; half as much more by chance."""
STEADY = 30.0
"""Seconds after which a line that breaks is tried at once again."""
CONNECT_SECONDS = 5.0
MOST_WAITING = 50_000
"""Events of one line that may wait for the disk; with more of them the line is given up, and the history tells."""
GRACE = timedelta(seconds=20)
"""That a call is over may have been told a moment ago, and lies still in the inbox."""

heard = Counter("callbridge_lines_heard", "Events heard on lines to PBXs", ["provider"])
lines_up = Gauge("callbridge_lines_up", "Lines to PBXs that are up in this process", multiprocess_mode="livesum")


class Switchboard:
    """Listens to all connections that must be listened to, until it is stopped. New ones, changed ones and those that
    were switched off are noticed within seconds."""

    def __init__(self, pipeline: Pipeline):
        self._pipeline = pipeline
        self._lease = uuid.uuid4()
        self._lines: dict[int, _Kept] = {}
        self._ending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = threading.Event()
        self._database = ThreadPoolExecutor(2, thread_name_prefix="listening-database")
        self._sockets = ThreadPoolExecutor(16, thread_name_prefix="listening-connect")
        self._thread: threading.Thread | None = None

    # --- For the process

    def start(self) -> None:
        """In a thread of this process."""
        self._thread = threading.Thread(target=self.run, name="listening", daemon=True)
        self._thread.start()

    def run(self) -> None:
        """Until `stop`; whatever goes wrong is tried anew."""
        while not self._stopped.is_set():
            try:
                asyncio.run(self._run())
            except Exception:
                log.exception("listening failed")
                self._stopped.wait(1.0)

    def end(self) -> None:
        """Let `run` return soon."""
        self._stopped.set()
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ending.set)

    def stop(self, patience: float = 3.0) -> None:
        self.end()
        if self._thread:
            self._thread.join(patience)

    # --- The loop

    async def _run(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        try:
            while not self._stopped.is_set():
                try:
                    self._keep(await self.in_database(self._mine))
                    for kept in self._lines.values():
                        await kept.tick()
                except Exception:
                    log.exception("lines cannot be looked after")
                await self._sleep(TICK)
        finally:
            await self._leave()

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            pass

    async def in_database(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._database, looked_after, work, *arguments)

    async def in_socket_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._sockets, work)

    def _keep(self, mine: dict[int, Known]) -> None:
        for connection_id in [each for each, kept in self._lines.items() if kept.known != mine.get(each)]:
            self._lines.pop(connection_id).end()
        for connection_id, known in mine.items():
            if connection_id not in self._lines and (listener := known.provider.listener(known.secrets)):
                self._lines[connection_id] = _Kept(self, self._pipeline, known, listener)

    async def _leave(self) -> None:
        kept = list(self._lines.values())
        self._lines.clear()
        for each in kept:
            each.end()
        await asyncio.gather(*(each.task for each in kept), return_exceptions=True)
        await self.in_database(self._give_back)

    # --- Leases (in a thread)

    def _mine(self) -> dict[int, Known]:
        """The connections that we listen to from now on: who has no listener gets us. Nothing is written where nothing
        is to be listened to, and every few seconds else."""
        slugs = [slug for slug, provider in registry.all_providers().items() if provider.listens]
        wanted = Connection.objects.filter(provider__in=slugs, active=True)
        for connection in wanted.filter(listening=None):
            Listening.objects.get_or_create(connection=connection)
        now = timezone.now()
        rows = list(Listening.objects.filter(connection__in=wanted))
        if due := [row.pk for row in rows if self._is_due(row, now)]:
            with hot_write():
                Listening.objects.filter(pk__in=due).filter(self._free(now)).update(
                    lease=self._lease, lease_until=now + LEASE
                )
            rows = list(Listening.objects.filter(connection__in=wanted))
        paused = Listening.objects.filter(connection__active=False).exclude(up_since=None)
        if paused.exists():
            paused.update(up_since=None, error="")
        directory.refresh()
        mine = [row.connection_id for row in rows if row.lease == self._lease]
        return {connection_id: directory.by_id(connection_id) for connection_id in mine}

    def _is_due(self, row: Listening, now: datetime) -> bool:
        """Whether the lease is free, or ours and to be renewed."""
        if row.lease_until is None or not now < row.lease_until < now + 2 * LEASE:
            return True
        return row.lease == self._lease and row.lease_until < now + LEASE * 2 / 3

    def _free(self, now: datetime) -> Q:
        long_ago = Q(lease_until=None) | Q(lease_until__lte=now) | Q(lease_until__gte=now + 2 * LEASE)
        return Q(lease=self._lease) | long_ago

    def _give_back(self) -> None:
        with hot_write():
            rows = Listening.objects.filter(lease=self._lease)
            rows.update(lease=None, lease_until=None, up_since=None, down_since=timezone.now())


def forget_leases() -> None:
    """At the start of an installation of one process: nobody listens."""
    Listening.objects.exclude(lease=None).update(lease=None, lease_until=None)


@dataclass(frozen=True, slots=True)
class _Named:
    """All calls that a PBX named as going on. One that it did not name and that was heard of `before` has ended."""

    calls: frozenset[str]
    before: datetime


@dataclass(slots=True)
class _Lost:
    """Calls of ours that the PBX does not name any more. `run`: the look into the history that shall tell their end."""

    calls: frozenset[str]
    since: datetime
    run: int | None


class _Kept(Line):
    """The line to one PBX: connected again and again, what is heard is stored in its order."""

    def __init__(self, board: Switchboard, pipeline: Pipeline, known: Known, listener: Listener):
        self.known = known
        self._board, self._pipeline, self._listener = board, pipeline, listener
        self._waiting: deque[InboxEvent] = deque()
        self._something = asyncio.Event()
        self._is_up = False
        self._told_up = False
        self._was_up = 0.0
        self._connected_at = timezone.now()
        self._known_by_pbx: _Named | None = None
        self._lost: list[_Lost] = []
        self._over = False
        self.task = asyncio.create_task(self._live())

    def end(self) -> None:
        self._over = True
        self.task.cancel()

    async def _live(self) -> None:
        storing = asyncio.create_task(self._store())
        try:
            await self._listen()
        finally:
            self._down()
            self._something.set()
            try:
                await asyncio.wait_for(storing, 2.0)  # what is heard is worth a moment
            except (TimeoutError, asyncio.CancelledError):
                storing.cancel()

    # --- What the listener uses

    async def connect(
        self, host: str, port: int, tls: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = await self._board.in_socket_thread(
            lambda: open_socket(host, port, allow_private=settings.ALLOW_PRIVATE_HOSTS, timeout=CONNECT_SECONDS)
        )
        sock.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                name = host if tls else None
                return await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name, limit=2**20)
        except TimeoutError as error:
            sock.close()
            raise VendorFault("no connection in time", code="connect_timeout") from error
        except ssl.SSLError as error:
            sock.close()
            raise VendorFault(f"TLS: {error.reason or error}", code="tls") from error
        except OSError as error:
            sock.close()
            raise VendorFault(f"the connection broke: {error}", code="connection") from error

    def heard(self, request: Request) -> None:
        heard.labels(self.known.provider.slug).inc()
        if len(self._waiting) >= MOST_WAITING:
            raise VendorFault("what was heard cannot be stored: there is no room for more", code="no_room")
        self._waiting.append(inbox.event_of(self.known, request))
        self._something.set()

    def up(self, calls: Collection[str]) -> None:
        since = timezone.now() - GRACE if self._is_up else self._connected_at
        self._known_by_pbx = _Named(frozenset(calls), since)
        if not self._is_up:
            self._is_up, self._was_up = True, time.monotonic()
            lines_up.inc()
            log.info("listening to a PBX", connection=self.known.id, provider=self.known.provider.slug)

    # --- Connecting

    async def _listen(self) -> None:
        tries = 0
        while True:
            words = ""
            self._connected_at = timezone.now()
            try:
                await self._listener.listen(self)
            except OutboundError as error:
                words = error.words
            except Exception as error:
                log.exception("listening to a PBX failed", connection=self.known.id)
                words = f"{type(error).__name__}: {error}"
            steady = self._is_up and time.monotonic() - self._was_up > STEADY
            self._down()
            tries = 0 if steady else tries
            await self._board.in_database(self._note_down, words)
            pause = PAUSES[min(tries, len(PAUSES) - 1)]
            await asyncio.sleep(pause * random.uniform(1.0, 1.5))
            tries += 1

    def _down(self) -> None:
        self._told_up = False
        if self._is_up:
            self._is_up = False
            lines_up.dec()

    # --- Storing

    async def _store(self) -> None:
        """In the order heard; nothing is let go before it is on disk."""
        while not (self._over and not self._waiting):
            await self._something.wait()
            self._something.clear()
            while self._waiting:
                lot = list(self._waiting)[:200]
                try:
                    futures = [self._pipeline.submit(event) for event in lot]
                    for future in futures:
                        await asyncio.wrap_future(future)
                        self._waiting.popleft()
                except Busy:
                    await asyncio.sleep(0.1)
                except Exception:
                    log.exception("what was heard is not stored yet", connection=self.known.id)
                    await asyncio.sleep(1.0)

    # --- What the database is told

    async def tick(self) -> None:
        """Every now and then: the line is up, what it lacks is asked for."""
        if self._is_up and not self._waiting:
            named, self._known_by_pbx = self._known_by_pbx, None
            await self._board.in_database(self._note_up, named)
        if self._lost:
            await self._board.in_database(self._close_lost)

    def _rows(self) -> Any:
        return Listening.objects.filter(connection_id=self.known.id)

    def _note_down(self, words: str) -> None:
        now = timezone.now()
        with hot_write():
            self._rows().exclude(up_since=None).update(down_since=now)
            self._rows().filter(up_since=None, down_since=None).update(down_since=now)
            self._rows().update(up_since=None, error=words)

    def _note_up(self, named: _Named | None) -> None:
        """`named`: all that goes on, where the PBX has just been asked."""
        now, row = timezone.now(), self._rows().get()
        with hot_write():
            self._rows().filter(up_since=None).update(up_since=now, down_since=None, error="")
            self._rows().update(heard_until=now)
        if named is not None:
            was_down, self._told_up = not self._told_up, True
            self._look_for_what_went_by(named, row.heard_until if was_down else None, now)

    def _look_for_what_went_by(self, named: _Named, since: datetime | None, now: datetime) -> None:
        connection = Connection.objects.select_related("company").get(pk=self.known.id)
        run = history.after_outage(connection, since, now) if since else None
        lost = {call.key for call in self._open().filter(first_received_at__lt=named.before)} - named.calls
        lost -= {key for each in self._lost for key in each.calls}
        if lost and run is None:
            begin = min(self._open().filter(key__in=lost).values_list("started_at", flat=True), default=now)
            run = history.after_outage(connection, begin, now)
        if lost:
            self._lost.append(_Lost(frozenset(lost), now, run.pk if run else None))

    def _open(self) -> Any:
        rows = Call.objects.filter(connection_id=self.known.id).exclude(state=CallState.FINISHED)
        return rows.exclude(source=Source.TRIAL)

    def _close_lost(self) -> None:
        """End calls that the PBX does not know any more, when its history has had its say."""
        now, left = timezone.now(), []
        for lost in self._lost:
            open_run = HistoryRun.objects.filter(pk=lost.run or 0, state=HistoryRun.State.OPEN, attempts__lt=5)
            if now - lost.since < GRACE or (lost.run and open_run.exists()):
                left.append(lost)
                continue
            keys = list(self._open().filter(key__in=lost.calls).values_list("key", flat=True))
            inbox.store([close_event(self.known.id, key, "line_was_down", now) for key in keys])
        self._lost = left
