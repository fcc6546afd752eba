"""Pages that live: a person, or a program, is told by server-sent events which of his calls have changed; pages with
lists, that something of their company's has (`live_company`).

A stream names a call and its version; what it shows of the call the page asks for like any other, so rights, masks and
languages have one place. The database is the truth: whoever changes calls leaves a mark in the cache after his commit,
and a web process in which somebody listens looks at the mark a few times a second, and into the database when the mark
is new. A mark that was lost is found out for by looking slowly all the same.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import auth
from django.core.cache import cache
from django.db.models import QuerySet
from django.dispatch import receiver
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from prometheus_client import Gauge

from employees.middleware import SESSION_KEY
from employees.models import Company, Employee, Membership, User
from employees.rights import Right, may

from . import feed
from .fold import CallState
from .hot import Constant, after_commit, hot_write, lock_drain
from .models import Call, Participant
from .signals import calls_changed
from .threads import looked_after

if TYPE_CHECKING:
    from employees.sites import PortalRequest  # with all that pages need, and workers do not

log = structlog.get_logger(__name__)

MARK = "calls-changed"
TICK, SLOW = 0.2, 3.0
"""Seconds between two looks at the mark, and between two at the database where the mark stays as it is."""
BEAT = 15.0
"""Seconds after which a silent stream shows that it lives, and its listener's rights are looked at again."""
LIVE, LATELY = timedelta(hours=4), timedelta(minutes=10)
"""Calls that are not over are looked for among those that began within the first, others within the second. One that
was told once is not lost sight of, however long it takes."""
SLACK = timedelta(seconds=5)
"""An event's commit may come so much later than its time, and machines' clocks may differ."""
MOST, MOST_OF_ONE = 500, 4
"""Streams of a process, and those of one person or key: a browser has six lines to us, and pages need some too."""

open_streams = Gauge("callbridge_live_streams", "Open pages that are told of calls", multiprocess_mode="livesum")


@receiver(calls_changed, sender=Call)
def mark(calls: Iterable[Call], **_: Any) -> None:
    after_commit(_mark, {MARK, *(mark_of(call.company_id) for call in calls)})


def mark_companies(companies: Iterable[int]) -> None:
    """Something that these companies' lists show, and that is no part of a call, has changed."""
    after_commit(_mark, {mark_of(company) for company in companies})


def mark_of(company_id: int) -> str:
    return f"{MARK}:{company_id}"


def _mark(names: Collection[str]) -> None:
    if names:
        cache.set_many(dict.fromkeys(names, uuid.uuid4().hex), None)


def touch(call_id: int) -> None:
    """Something that pages show with a call, and that is no part of it, has changed."""
    with hot_write():
        lock_drain()
        feed.touch([call_id])
        mark(Call.objects.filter(pk=call_id).only("company"))


# --- What has changed -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """A call as streams know it. `employees` take or took part in it."""

    call: uuid.UUID
    company_id: int
    version: int
    over: bool
    heard_at: datetime
    ended_at: datetime | None
    employees: frozenset[int] = frozenset()

    def came_by_since(self, moment: datetime) -> bool:
        """Whether it may have begun, or ended, without having been told of."""
        return max(self.heard_at, self.ended_at or self.heard_at) >= moment - SLACK


def look(companies: Collection[int], known: Mapping[int, Told]) -> dict[int, Told]:
    """The calls of these companies that go on or began lately, and what became of those that are known to go on."""
    now = timezone.now()
    calls = Call.objects.filter(company__in=companies)
    # The constant lets databases see that their partial index will do.
    going_on = calls.exclude(state=Constant(CallState.FINISHED.value)).filter(started_at__gte=now - LIVE)
    found = _told(going_on) | _told(calls.filter(started_at__gte=now - LATELY))
    ended = {pk for pk, told in known.items() if not told.over and told.company_id in companies} - found.keys()
    if ended:
        found |= _told(calls.filter(pk__in=ended))
    changed = [pk for pk, told in found.items() if pk not in known or known[pk].version != told.version]
    people: defaultdict[int, set[int]] = defaultdict(set)
    rows = Participant.objects.filter(call__in=changed, employee__isnull=False)
    for call_id, employee_id in rows.values_list("call", "employee"):
        people[call_id].add(employee_id)
    fresh = {pk: replace(found[pk], employees=frozenset(people[pk])) for pk in changed}
    return {pk: fresh.get(pk) or known[pk] for pk in found}


def _told(calls: QuerySet[Call]) -> dict[int, Told]:
    columns = ("pk", "uuid", "company_id", "version", "state", "first_received_at", "ended_at")
    return {
        pk: Told(call, company_id, version, state == CallState.FINISHED, heard_at, ended_at)
        for pk, call, company_id, version, state, heard_at, ended_at in calls.order_by().values_list(*columns)
    }


# --- Who listens ------------------------------------------------------------------------------------------------------


def employees_of(user: User, company: Company, everybody: bool) -> frozenset[int] | None:
    """Whose calls concern a person: his own employees', or everybody's (None), where he is none and wishes so."""
    own = frozenset(Employee.objects.filter(company=company, user=user).values_list("pk", flat=True))
    return None if everybody and not own else own


class Listener(Protocol):
    """Whom a stream is for. `who`: of one there are only a few."""

    @property
    def company(self) -> Company: ...

    @property
    def who(self) -> Hashable: ...

    def again(self) -> Listener | None:
        """As he is now; None where he may not listen any more."""

    def concerns(self, told: Told) -> bool: ...


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in and looks at a company. `employees` as in `employees_of`."""

    company: Company
    user: User
    session_key: str
    chosen: Any
    everybody: bool
    employees: frozenset[int] | None
    right: Right = Right.WORK
    """What he needs to listen."""

    @classmethod
    def of(cls, request: PortalRequest, everybody: bool, right: Right = Right.WORK) -> Person:
        company, session = request.membership.company, request.session
        employees = employees_of(request.user, company, everybody)
        key, chosen = session.session_key or "", session.get(SESSION_KEY)
        return cls(company, request.user, key, chosen, everybody, employees, right)

    @property
    def who(self) -> Hashable:
        return "user", self.user.pk

    def again(self) -> Person | None:
        """As he is now; None where he has signed out, lost his right or looks at another company."""
        request = HttpRequest()
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(self.session_key)
        user = auth.get_user(request)
        if user.pk != self.user.pk or request.session.get(SESSION_KEY) != self.chosen:
            return None
        membership = Membership.objects.filter(user=self.user, company=self.company).first()
        if not may(membership, self.right):
            return None
        return replace(self, employees=employees_of(self.user, self.company, self.everybody))

    def concerns(self, told: Told) -> bool:
        if told.company_id != self.company.pk:
            return False
        return self.employees is None or not self.employees.isdisjoint(told.employees)


@dataclass(eq=False)
class Stream:
    """What one page is still to be told."""

    listener: Listener
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def heed(self, mark: str) -> None:
        """The mark of the listener's company, as it is now."""

    def tell(self, told: Told) -> None:
        """A call has changed."""

    def wake(self) -> None:
        self._woken.set()

    async def woken(self, seconds: float) -> bool:
        """False where nothing woke it for so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        found = self._woken.is_set()
        self._woken.clear()
        return found


@dataclass(eq=False)
class CallStream(Stream):
    """Of each of the person's calls the newest alone."""

    _waiting: dict[uuid.UUID, Told] = field(default_factory=dict)

    def tell(self, told: Told) -> None:
        if self.listener.concerns(told):
            self._waiting[told.call] = told
            self.wake()

    async def next(self, seconds: float) -> list[Told]:
        """What there is to tell; nothing after so many seconds."""
        await self.woken(seconds)
        told, self._waiting = list(self._waiting.values()), {}
        return told


S = TypeVar("S", bound=Stream)


class Hub:
    """All streams of this process, and the one task that looks for what has changed while there are any."""

    def __init__(self) -> None:
        self.closed = False
        self.looked_at = datetime.min.replace(tzinfo=UTC)
        """What was changed before that is told, as far as the process knows."""
        self._streams: set[Stream] = set()
        self._known: dict[int, Told] = {}
        self._companies: set[int] = set()
        self._task: asyncio.Task[None] | None = None
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="live")

    def close(self) -> None:
        """The process ends: so do its streams, and their pages come again elsewhere."""
        self.closed = True
        for stream in self._streams:
            stream.wake()

    def full_for(self, listener: Listener) -> bool:
        his = sum(stream.listener.who == listener.who for stream in self._streams)
        return his >= MOST_OF_ONE or len(self._streams) >= MOST

    @contextmanager
    def joined(self, stream: S) -> Iterator[S]:
        self._streams.add(stream)
        open_streams.inc()
        try:
            yield stream
        finally:
            open_streams.dec()
            self._streams.discard(stream)
            if not self._streams and self._task:
                self._task.cancel()
                self._task = None
                self._known, self._companies = {}, set()

    def watch(self, company: Company, current: Mapping[int, Told]) -> None:
        """From now on everything that differs from `current` is told."""
        if company.pk not in self._companies:
            self._companies.add(company.pk)
            self._known |= current
        self.start()

    async def begin(self, stream: Stream) -> None:
        """From now on it heeds its company's mark."""
        name = mark_of(stream.listener.company.pk)
        stream.heed((await self.in_thread(_read_marks, {name})).get(name, ""))
        self.start()

    def start(self) -> None:
        if self._task is None and not self.closed:
            self._task = asyncio.create_task(self._watch(), context=contextvars.Context())

    async def in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, looked_after, work, *arguments)

    async def _watch(self) -> None:
        last, looked = "", 0.0
        while not self.closed:
            await asyncio.sleep(TICK)
            try:
                marks = await self.in_thread(_read_marks, {mark_of(each.listener.company.pk) for each in self._streams})
                for stream in self._streams:
                    stream.heed(marks.get(mark_of(stream.listener.company.pk), ""))
                now = marks.get(MARK, "")
                if now == last and time.monotonic() - looked < SLOW:
                    continue
                await self._look()
                last, looked = now, time.monotonic()
            except Exception:
                log.exception("cannot look for changed calls")
                await asyncio.sleep(SLOW)

    async def _look(self) -> None:
        companies = self._companies = self._companies & {stream.listener.company.pk for stream in self._streams}
        before, began = self._known, timezone.now()
        found: dict[int, Told] = await self.in_thread(look, frozenset(companies), before)
        # Companies that came meanwhile have brought what is known of theirs.
        self._known = {pk: told for pk, told in self._known.items() if told.company_id not in companies} | found
        for pk, told in found.items():
            if before.get(pk) is not told:
                for stream in self._streams:
                    stream.tell(told)
        self.looked_at = began


def _read_marks(names: Collection[str]) -> dict[str, str]:
    """Without a cache there are no marks, and only slow looks are left."""
    with suppress(Exception):
        return cache.get_many([MARK, *names])
    return {}


hub = Hub()


# --- The wire ---------------------------------------------------------------------------------------------------------


FULL = b"retry: 20000\nevent: full\ndata: {}\n\n"
OVER = b"event: over\ndata: {}\n\n"


def respond(request: HttpRequest, listener: Listener) -> StreamingHttpResponse:
    """The stream of whoever asks, from where he was told last."""
    since = _moment(request.headers.get("Last-Event-ID") or request.GET.get("since", ""))
    return answer(_wire(listener, since))


def answer(wire: AsyncIterator[bytes]) -> StreamingHttpResponse:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(wire, content_type="text/event-stream", headers=headers)


async def _wire(listener: Listener, since: datetime | None) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    if hub.full_for(listener):
        yield FULL
        return
    with hub.joined(CallStream(listener)) as stream:
        at = timezone.now()
        # In the request's own thread, whose connection to the database is given back with it.
        current = await sync_to_async(looked_after)(look, {listener.company.pk}, {})
        hub.watch(listener.company, current)
        his = [told for told in current.values() if listener.concerns(told)]
        yield _block(at, [told for told in his if not told.over or (since and told.came_by_since(since))])
        async for block in _as_it_comes(stream, at):
            yield block


async def _as_it_comes(stream: CallStream, at: datetime) -> AsyncIterator[bytes]:
    """A block for what comes together; from time to time one without events, that keeps the line and the place."""
    checked = time.monotonic()
    while not hub.closed:
        told = await stream.next(BEAT)
        if time.monotonic() - checked >= BEAT:
            listener = await hub.in_thread(stream.listener.again)
            if listener is None:
                yield OVER
                return
            stream.listener, checked = listener, time.monotonic()
        yield _block(max(at, hub.looked_at), told)


def _block(at: datetime, calls: Collection[Told]) -> bytes:
    """`at`: everything until then is told. Every block has its place, so that a reader who comes again can name it."""
    place = f"id: {round(at.timestamp() * 1000)}\n"
    lines = [f": {len(calls)}\n{place}\n"]
    for told in calls:
        data = {"call": str(told.call), "version": told.version, "over": told.over}
        lines.append(f"event: call\n{place}data: {json.dumps(data)}\n\n")
    return "".join(lines).encode()


def _moment(place: str) -> datetime | None:
    """A place that was told before; None where it makes no sense."""
    try:
        return datetime.fromtimestamp(int(place) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
