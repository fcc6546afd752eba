"""The emulator as one object: an ASGI application, its server thread, and the interface for tests."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from typing import Any, Self

import uvicorn

from . import control, page, wire
from .account import DEFAULT_KEY, DEFAULT_SALT, Account, Violation
from .api import TOO_MANY, Api, Request, Response
from .delivery import Courier, Event
from .faults import Fault, Faults
from .scenarios import prepare
from .simulator import Call, Command, Simulator

HTML = {"content-type": "text/html; charset=utf-8"}
MPEG = {"content-type": "audio/mpeg"}
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class MangoEmulator:
    """Mango Office's VPBX API with the PBX behind it, on a loopback port.

    `speed` 1 is the pace of people, 1000 and more waits for nothing. `clock` serves limits, the lock, histories and the
    start of calls. `delivery` are the defaults of `Delivery` for every call.
    """

    def __init__(
        self,
        api_key: str = DEFAULT_KEY,
        api_salt: str = DEFAULT_SALT,
        hub_url: str = "",
        *,
        accounts: Iterable[Account] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str = "",
        speed: float = 1000.0,
        clock: Callable[[], float] = time.time,
        limits: bool = True,
        delivery: dict[str, Any] | None = None,
        connections: int = 16,
        timeout: float = 10.0,
        retry_on_failure: bool = False,
        insist: bool = False,
        stats_delay: float | None = 0.5,
        async_refusals: bool = False,
        id_seed: int | None = None,
    ) -> None:
        given = list(accounts) if accounts is not None else [Account(api_key, api_salt, hub_url)]
        self.accounts = {account.key: account for account in given}
        self.clock, self.limits, self.stats_delay, self.async_refusals = clock, limits, stats_delay, async_refusals
        self.violations: list[Violation] = []
        self.pushed: list[Event] = []
        self.faults = Faults()
        self.demo = False
        self._host, self._port = host, port
        self.public_url = public_url.rstrip("/")
        self._courier_options = (connections, timeout, retry_on_failure, insist)
        self._sim_options = (clock, speed, time.time_ns() // 10_000_000 if id_seed is None else id_seed)
        self._delivery = delivery or {}
        self._ready = threading.Event()
        self._build()

    def _build(self) -> None:
        self.courier = Courier(*self._courier_options)
        self.sim = Simulator(self.courier, *self._sim_options)
        self.sim.delivery = self._delivery
        self.api = Api(self)

    # --- life

    def start(self) -> Self:
        """Bind the port and serve in a thread of its own."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self._host, self._port))
        sock.listen(2048)
        self._port = sock.getsockname()[1]
        config = uvicorn.Config(self, lifespan="off", log_level="warning", access_log=False, proxy_headers=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=(config, sock), name="mango-emulator", daemon=True)
        self._thread.start()
        self._ready.wait()
        return self

    def _run(self, config: uvicorn.Config, sock: socket.socket) -> None:
        factory = config.get_loop_factory() or asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(self._serve(sock))

    async def _serve(self, sock: socket.socket) -> None:
        self.loop = asyncio.get_running_loop()
        self._ready.set()
        demo = self.courier.spawn(self._demo()) if self.demo else None
        await self._server.serve(sockets=[sock])
        if demo:
            demo.cancel()
        self.courier.client.close()

    def stop(self) -> None:
        """Stop serving; calls that are not over are forgotten."""
        self._server.should_exit = True
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address to enter in the hub."""
        return self.public_url or f"http://{self._host}:{self._port}"

    # --- the interface for tests (called from other threads)

    def _in_loop(self, function: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result()

    @property
    def calls(self) -> list[Call]:
        """Every call, with its truth."""
        return self.sim.calls

    def call(self, scenario: str = "incoming_direct", *, account: str | None = None, **values: Any) -> Call:
        """Start a call; `values` are fields of `CallSpec`. Wait for it with `call.wait()`."""
        started: Call = self._in_loop(lambda: self.begin(self.account(account), scenario, values))
        return started

    def play(self, calls: Iterable[dict[str, Any]], per_second: float | None = None) -> Future[None]:
        """Start many calls (dicts with `scenario`, `account`, fields), evenly paced; the future ends with the last."""
        return asyncio.run_coroutine_threadsafe(self._play(list(calls), per_second), self.loop)

    async def _play(self, calls: list[dict[str, Any]], per_second: float | None) -> None:
        started = self.loop.time()
        for index, values in enumerate(calls):
            rest = {name: value for name, value in values.items() if name not in ("scenario", "account")}
            self.begin(self.account(values.get("account")), values.get("scenario", "incoming_direct"), rest)
            late = (index + 1) / per_second - (self.loop.time() - started) if per_second else 0.0
            await asyncio.sleep(max(late, 0.0))

    def wait_idle(self, timeout: float = 60.0) -> None:
        """Wait until every call is over and delivered."""
        if not self.sim.wait_for(lambda: self.sim.unsettled == 0, timeout):
            raise TimeoutError(f"{self.sim.unsettled} calls are not over")

    def hangup(self, call: Call, by: str = "client") -> bool:
        """A party puts down the phone."""
        return bool(self._in_loop(lambda: self.hang_up(call.entry_id, by)))

    def proceed(self, call: Call) -> None:
        """End the present phase of a call (greeting, ringing, talk) as if its time were over."""
        self.loop.call_soon_threadsafe(call.proceed)

    def ping(self, account: str | None = None) -> int | str:
        """The "check connection" button: POST `ping`; the body is not documented, `{}` is assumed."""
        sending = self.courier.send(self.account(account), Event("ping", "{}", []))
        return asyncio.run_coroutine_threadsafe(sending, self.loop).result()

    def fault(self, kind: str, **values: Any) -> None:
        """Switch on a fault, see `Fault`."""
        self.faults.add(kind, **values)
        self.courier.unreachable = self.faults.hub_unreachable

    def clear_faults(self) -> None:
        """All well again."""
        self.faults.clear()
        self.courier.unreachable = False

    def finish_reports(self) -> None:
        """Make every requested history ready (for `stats_delay=None`)."""
        self._in_loop(self.api.finish_reports)

    def reset(self) -> None:
        """Forget calls, violations, faults, limits and locks."""
        self._in_loop(self.clear)

    # --- in the loop's thread

    def account(self, key: str | None = None) -> Account:
        """An account by its key; the first one without."""
        return self.accounts[key] if key else next(iter(self.accounts.values()))

    def begin(self, account: Account, scenario: str, values: dict[str, Any]) -> Call:
        """Start a call."""
        script, spec = prepare(scenario, values)
        return self.sim.start(account, spec, script)

    def hang_up(self, entry_id: str, by: str) -> bool:
        """A party puts down the phone: 1110 the client, 1120 the employee."""
        command = Command("hangup", reason=1110 if by == "client" else 1120)
        legs = [found for found in self.sim.live.values() if found[0].entry_id == entry_id]
        return any(call.offer(leg, command) == 1000 for call, leg in legs)

    def push(self, account: Account, event: Event) -> None:
        """A notification that belongs to no call: kept in `pushed`."""
        self.pushed.append(event)

        async def send() -> None:
            await self.courier.send(account, event)

        self.courier.spawn(send())

    def violate(self, account: str, what: str, detail: str) -> None:
        """Note what the hub must not do."""
        self.violations.append(Violation(self.clock(), account, what, detail))

    def clear(self) -> None:
        """Forget everything but the accounts; identifiers go on, so nothing old is repeated."""
        serial, speed, delivery = self.sim._serial, self.sim.speed, self.sim.delivery
        retry = self.courier.retry_on_failure
        self.violations.clear()
        self.pushed.clear()
        self.faults.clear()
        self._build()
        self.sim._serial, self.sim.speed, self.sim.delivery = serial, speed, delivery
        self.courier.retry_on_failure = retry
        for account in self.accounts.values():
            fresh = Account()
            account.recordings, account.limiter, account.lock = {}, fresh.limiter, fresh.lock

    # --- ASGI

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application."""
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":  # whoever hangs up in the middle has asked for nothing
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        raw_path = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
        request = Request(scope["method"], scope["path"], raw_path, headers, body)
        response = await self._respond(request, scope.get("query_string", b"").decode("latin-1"))
        if response is None:
            await _hang_up(send, receive, abort=True)
            return
        pairs = [(name.encode(), value.encode()) for name, value in response.headers.items()]
        if request.path.startswith("/vpbx/"):
            pairs.append((b"x-uuid", uuid.uuid4().hex.encode()))  # what the vendor's support asks for
        pairs.append((b"content-length", str(len(response.body) + response.withheld).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": pairs})
        await send({"type": "http.response.body", "body": response.body, "more_body": bool(response.withheld)})
        if response.withheld:
            await _hang_up(send, receive, abort=False)

    async def _respond(self, request: Request, query: str) -> Response | None:
        if request.path.startswith("/_emulator/"):
            return control.handle(self, request, query)
        if request.path == "/" and request.method == "GET":
            language = request.headers.get("accept-language", "")
            return Response(200, page.render(self, query, language).encode(), HTML)
        if request.path == "/favicon.ico":  # a browser that looks at the board
            return Response(404)
        if fault := self.faults.http(request.path):
            if fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
            else:
                return _faulty(fault)
        if request.path.startswith("/vpbx/"):
            return self.api.handle(request)
        if request.path.startswith("/files/"):
            return self.api.file(request)
        self.violate("", "unknown_endpoint", f"{request.method} {request.path}")
        return Response(404)

    # --- demonstration

    async def _demo(self) -> None:
        """A pleasant set of calls without end, from the moment that the hub answers."""
        rng = random.Random()
        await self._hub_answers()
        while True:
            # Answered, recorded calls most of all; every other kind comes by too.
            kinds = ["incoming_ivr", "incoming_ivr", "outgoing", "incoming_group", "missed_direct", "transfer_consult"]
            kinds += ["incoming_direct", "transfer_blind", "missed", "outgoing_no_answer", "internal", "call_tracking"]
            rng.shuffle(kinds)
            for kind in kinds:
                for account in list(self.accounts.values()):
                    self.begin(account, kind, _demo_values(account, kind, rng))
                await asyncio.sleep(rng.uniform(10, 15) / min(self.sim.speed, 100.0))

    async def _hub_answers(self) -> None:
        while True:
            for account in list(self.accounts.values()):
                answer = await self.courier.send(account, Event("ping", "{}", []))
                if isinstance(answer, int) and answer < 500:
                    return
            await asyncio.sleep(2)


def _demo_values(account: Account, kind: str, rng: random.Random) -> dict[str, Any]:
    """Who calls whom: fictional clients, the account's own people and numbers."""
    people = [person.extension for person in account.employees if person.extension] or ["101"]
    extension = rng.choice(people)
    others = [item for item in people if item != extension] or people
    numbers = [line.number for line in account.lines if not line.number.startswith("sip:")] or ["74950000001"]
    members = account.groups[0].members if account.groups else people
    return {
        "client": f"790000000{rng.randint(1, 12):02d}",
        "line": rng.choice(numbers),
        "extension": extension,
        "second": rng.choice(members) if kind == "incoming_group" else rng.choice(others),
        "talk_seconds": rng.randint(4, 12),
        "ring_seconds": rng.randint(2, 5),
        "before_transfer_seconds": 5,
        "consult_seconds": 4,
        "hangup_by": rng.choice(["client", "employee"]),
        "record": True,
        "record_delay": 3,
    }


def _faulty(fault: Fault) -> Response | None:
    if fault.kind == "down":
        return Response(503, b"")
    if fault.kind == "rate_limited":
        return Response.json(TOO_MANY, 429)
    if fault.kind == "html":
        return Response(200, b"<html><body><h1>Service is temporarily unavailable</h1></body></html>", HTML)
    if fault.kind == "empty":
        return Response(200, b"", MPEG)
    if fault.kind == "wrong_type":
        return Response(200, b"PK\x03\x04 an archive", MPEG)
    if fault.kind == "truncated":
        return Response(200, wire.mp3("cut", 20)[:1000], MPEG, withheld=9_000)
    return None


async def _hang_up(send: Send, receive: Receive, *, abort: bool) -> None:
    """Reset or close the connection: uvicorn's `send` belongs to the object that holds the transport."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        with contextlib.suppress(OSError):
            transport.abort() if abort else transport.close()
    await receive()  # until the server knows of the disconnection
