"""The emulator as an object: uvicorn in a thread, on a loopback port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn

from .app import Application
from .events import Deliver
from .faults import Fault
from .hub import Fetcher, Hub
from .portal import Call, Clock, Portal, PortalConfig


class Bitrix24Emulator:
    """`with Bitrix24Emulator() as emu:` - requests go to `emu.url`, the state is in `emu.portal`."""

    def __init__(
        self,
        portals: Sequence[PortalConfig] = (),
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        latency_ms: float = 0,
        clock: Clock = time.time,
        deliver: Deliver | None = None,
        fetch: Fetcher | None = None,
        rewrite: dict[str, str] | None = None,
        allow_hosts: Sequence[str] = (),
        state_file: Path | None = None,
    ) -> None:
        self._address = (host, port)
        self._state_file = state_file
        self.hub = Hub(
            portals,
            clock=clock,
            latency=latency_ms / 1000,
            deliver=deliver,
            fetch=fetch,
            rewrite=rewrite,
            allow_hosts=allow_hosts,
        )
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    # --- life

    def __enter__(self) -> Bitrix24Emulator:
        self._thread = threading.Thread(target=self.serve, name="bitrix24-emulator", daemon=True)
        self._thread.start()
        if not self._ready.wait(20):
            raise RuntimeError("the emulator did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop and self._server and self._thread:
            self._loop.call_soon_threadsafe(self.hub.closing.set)
            self._server.should_exit = True
            self._thread.join(20)

    def serve(self) -> None:
        """Serve until stopped (in this thread)."""
        if self._state_file and self._state_file.exists():
            self.hub.load(self._state_file)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self._address)
            listener.listen(2048)
            host = "127.0.0.1" if self._address[0] == "0.0.0.0" else self._address[0]
            self.hub.set_url(f"http://{host}:{listener.getsockname()[1]}")
            config = uvicorn.Config(
                Application(self.hub, self._started, self._stopped),
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                lifespan="on",
                http="httptools",
                timeout_keep_alive=75,
                timeout_graceful_shutdown=1,
            )
            self._server = uvicorn.Server(config)
            self._server.run(sockets=[listener])

    def _started(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready.set()

    def _stopped(self) -> None:
        if self._state_file:
            self.hub.save(self._state_file)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        if self._loop is None:
            work.close()
            raise RuntimeError("the emulator is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    # --- state

    @property
    def url(self) -> str:
        return self.hub.url

    @property
    def portal(self) -> Portal:
        """The default portal."""
        return self.hub.default

    def portal_named(self, name: str) -> Portal:
        return self.hub.portals[name]

    @property
    def calls(self) -> list[Call]:
        return list(self.portal.calls.values())

    @property
    def violations(self) -> list[dict[str, Any]]:
        return list(self.hub.violations)

    def violation_names(self) -> list[str]:
        return [entry["what"] for entry in self.hub.violations]

    def reset(self, portal: str | None = None, *, keep_auth: bool = False) -> None:
        self._run(self._call(lambda: self.hub.reset(portal, keep_auth=keep_auth)))

    @staticmethod
    async def _call(work: Any) -> Any:
        return work()

    # --- faults

    def fault(self, kind: str, **options: Any) -> Fault:
        """Switch a fault on (see `Faults.add`); it stays until its count or time is over, or `clear_faults`."""
        return self.hub.faults.add(kind, **options)

    def clear_faults(self) -> None:
        self.hub.faults.clear()

    @contextlib.contextmanager
    def faulty(self, kind: str, **options: Any) -> Any:
        """A fault for the length of a block."""
        fault = self.fault(kind, **options)
        try:
            yield fault
        finally:
            self.hub.faults.clear(fault.id)

    def expire_tokens(self, portal: Portal | None = None) -> None:
        (portal or self.portal).expire_tokens()

    def rename(self, portal: Portal | None = None, new: str = "") -> str:
        return self.hub.rename(portal or self.portal, new)

    # --- events

    def fire_call_start(self, user_id: int, phone: str, line: str = "", portal: Portal | None = None) -> dict[str, Any]:
        """Click-to-call: `{"call_id", "statuses"}`."""
        result: dict[str, Any] = self._run(self.hub.events.call_start(portal or self.portal, user_id, phone, line))
        return result

    def fire_callback(self, phone: str, line: str = "", portal: Portal | None = None, **options: Any) -> dict[str, Any]:
        work = self.hub.events.callback_start(portal or self.portal, phone, line, **options)
        result: dict[str, Any] = self._run(work)
        return result

    def fire_app_install(self, handler: str = "", portal: Portal | None = None) -> dict[str, Any]:
        result: dict[str, Any] = self._run(self.hub.events.app_install(portal or self.portal, handler))
        return result

    def fire_app_update(self, portal: Portal | None = None) -> dict[str, Any]:
        result: dict[str, Any] = self._run(self.hub.events.app_update(portal or self.portal))
        return result

    def fire_app_uninstall(self, portal: Portal | None = None, clean: int = 1) -> dict[str, Any]:
        result: dict[str, Any] = self._run(self.hub.events.app_uninstall(portal or self.portal, clean))
        return result
