"""All portals of one process: which one a request is for, faults, and the outside world (downloads, events)."""

from __future__ import annotations

import asyncio
import pickle
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .events import Deliver, Events
from .faults import Faults
from .portal import Clock, Portal, PortalConfig
from .telephony import FetchError

Fetcher = Callable[[str], bytes]
LOOPBACK = ("127.", "localhost", "::1")


class Hub:
    """The emulator's whole state."""

    def __init__(
        self,
        portals: Sequence[PortalConfig] = (),
        *,
        clock: Clock = time.time,
        latency: float = 0.0,
        deliver: Deliver | None = None,
        fetch: Fetcher | None = None,
        rewrite: dict[str, str] | None = None,
        allow_hosts: Sequence[str] = (),
    ) -> None:
        self.clock = clock
        self.latency = latency
        self.url = ""
        self.rewrite = rewrite or {}
        self.allow_hosts = tuple(allow_hosts)
        self.violations: list[dict[str, Any]] = []
        self.faults = Faults(clock)
        self.portals = {c.name: Portal(c, clock, self.violations) for c in portals or [PortalConfig()]}
        self.default = next(iter(self.portals.values()))
        self.redirects: dict[str, str] = {}
        self.events = Events(deliver or self._post, lambda: self.url)
        self._fetch = fetch or self._get
        self.closing = asyncio.Event()

    # --- addresses

    def set_url(self, url: str) -> None:
        self.url = url
        for name, portal in self.portals.items():
            portal.base_url = url if portal is self.default else f"{url}/p/{name}"

    def find(self, prefix: str, host: str) -> tuple[Portal | None, str, str]:
        """The portal of a request, where it moved to (if it did), and its base address as the client calls it."""
        if prefix:
            return self.portals.get(prefix), self.redirects.get("p:" + prefix, ""), f"http://{host}/p/{prefix}"
        name = host.partition(":")[0].lower()
        moved = self.redirects.get("h:" + name, "")
        label, dot, _ = name.partition(".localhost")
        portal = self.portals.get(label) if dot else self.default
        return portal, moved, f"http://{host}"

    def rename(self, portal: Portal, new: str = "") -> str:
        """The portal gets a new address, and the old one answers 302; `member_id` stays.

        The default portal moves from 127.0.0.1 to localhost (both are real), any other to the name `new`.
        """
        parts = urlsplit(self.url)
        if portal is self.default:
            old, target = f"h:{parts.hostname}", f"http://localhost:{parts.port}"
            self.redirects[old] = target
        else:
            name = next(key for key, value in self.portals.items() if value is portal)
            target = f"{self.url}/p/{new}"
            self.portals[new] = self.portals.pop(name)
            self.redirects |= {"p:" + name: target, f"h:{name}.localhost": f"http://{new}.localhost:{parts.port}"}
        portal.base_url = target
        return target

    # --- the outside world (loopback only)

    def _address(self, url: str) -> str:
        for prefix, target in self.rewrite.items():
            if url.startswith(prefix):
                url = target + url[len(prefix) :]
        host = urlsplit(url).hostname or ""
        if urlsplit(url).scheme not in ("http", "https") or not (host.startswith(LOOPBACK) or host in self.allow_hosts):
            raise ValueError(f"not a loopback address: {host}")
        return url

    def _opener(self) -> urllib.request.OpenerDirector:
        hub = self

        class Redirects(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
                return super().redirect_request(req, fp, code, msg, headers, hub._address(newurl))

        return urllib.request.build_opener(urllib.request.ProxyHandler({}), Redirects())

    def _get(self, url: str) -> bytes:
        with self._opener().open(self._address(url), timeout=20) as response:
            return bytes(response.read())

    def _post(self, url: str, body: bytes) -> int:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Bitrix24 emulator"}
        request = urllib.request.Request(self._address(url), body, headers, method="POST")
        try:
            with self._opener().open(request, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    async def fetch(self, url: str) -> bytes:
        """Download a recording, off the event loop."""
        try:
            return await asyncio.to_thread(self._fetch, url)
        except urllib.error.HTTPError as error:
            raise FetchError(error.code) from error
        except (OSError, ValueError) as error:
            raise FetchError(None) from error

    # --- life

    def reset(self, name: str | None = None, *, keep_auth: bool = False) -> None:
        for key, portal in self.portals.items():
            if name in (None, key):
                portal.reset(keep_auth=keep_auth)
        self.violations[:] = [entry for entry in self.violations if name not in (None, entry["portal"])]
        if name is None:
            self.faults.clear()

    def save(self, path: Path) -> None:
        """The state as a pickle: the file is the emulator's own and must not come from anybody else."""
        for portal in self.portals.values():
            portal.clock = time.time
        temporary = path.with_suffix(path.suffix + ".tmp")
        temporary.write_bytes(pickle.dumps((self.portals, self.violations)))
        temporary.replace(path)

    def load(self, path: Path) -> None:
        stored, violations = pickle.loads(path.read_bytes())
        self.violations[:] = violations
        for name, portal in stored.items():
            if name in self.portals:
                portal.violations, portal.clock = self.violations, self.clock
                if self.portals[name] is self.default:
                    self.default = portal
                self.portals[name] = portal
