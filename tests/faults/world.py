"""The product as its users run it, several companies on it, with a wire on every way in or out that can be cut."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from tests.emulators.bitrix24 import Bitrix24Emulator, PortalConfig
from tests.emulators.mango import Account, MangoEmulator
from tests.servers import Postgres, Redis
from tests.stack import Stack, company, wait_until

from .wires import Wire, Wires

COMPANIES = 4
PBX_PATIENCE = 10.0
"""Seconds after which the PBX gives a notification up and sends it anew. (The vendor documents no figure.)"""
CRM_LATENCY_MS = 30
BACK_SECONDS = 90.0
SHORT_LEASE = "6"


class Keeper:
    """What an init system does: a process that ended without being told to is started again."""

    def __init__(self, stack: Stack):
        self._stack = stack
        self._lock = threading.RLock()
        self._down: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keeper", daemon=True)
        self.ended: Counter[str] = Counter()
        """Processes that ended by themselves."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def kill(self, role: str) -> None:
        """`kill -9`; it stays down until `start`."""
        with self._lock:
            self._down.add(role)
            self._stack.kill(role)

    def start(self, role: str) -> None:
        with self._lock:
            self._down.discard(role)
            self._stack.spawn(role)

    def replace(self, role: str) -> None:
        """SIGTERM; the new one is there before the old one ends, unless they would want the same port."""
        with self._lock:
            old = self._stack.processes[role]
            if role != "web":
                self._stack.spawn(role)
            os.killpg(old.pid, signal.SIGTERM)
            try:
                old.wait(20)
            except subprocess.TimeoutExpired:
                self.ended[f"{role} (did not end after SIGTERM)"] += 1
                os.killpg(old.pid, signal.SIGKILL)
                old.wait()
            if role == "web":
                self._stack.spawn(role)

    def _watch(self) -> None:
        while not self._over.wait(0.3):
            with self._lock:
                for role, process in list(self._stack.processes.items()):
                    if role not in self._down and process.poll() is not None:
                        self.ended[role] += 1
                        self._stack.spawn(role)


class World:
    """Several companies on one installation, each with a PBX account and a CRM of its own.

    `wires` by what they lead to. `delivery` and `ahead` are how notifications of new calls travel and how far the PBX's
    clock is ahead. `hurry`: pauses that the product sets itself end once everything works again.
    """

    postgres: Postgres
    redis: Redis

    def __init__(self, kind: str, folder: Path, exits: ExitStack, seed: int, *, hurry: bool):
        self.hurry = hurry
        self._exits = exits
        self._wires = exits.enter_context(Wires(f"{seed}-{kind}"))
        self.wires: dict[str, list[Wire]] = {}
        self.delivery: dict[str, Any] = {}
        self.ahead = 0.0
        self.backs: dict[str, list[float]] = defaultdict(list)
        self.reconnected = 0
        self._start_vendors()
        self.stack = self._product(kind, folder)
        exits.callback(self.stack.drop)
        exits.callback(self.stack.stop)
        self.stack.start()
        self.keeper = Keeper(self.stack)
        self._connect()
        exits.enter_context(self.keeper)

    @property
    def hang_seconds(self) -> float:
        """How long a CRM that hangs keeps us waiting: longer than we do, where there is time for that."""
        return 1.5 if self.hurry else 30.0

    def _start_vendors(self) -> None:
        configs = [
            PortalConfig(
                access_token=f"c{number}-access",
                refresh_token=f"c{number}-refresh",
                application_token=f"c{number}-application-token",
                member_id=f"c{number}-member",
            )
            for number in range(COMPANIES)
        ]
        self.crms = [
            self._exits.enter_context(Bitrix24Emulator([config], latency_ms=CRM_LATENCY_MS)) for config in configs
        ]
        accounts = [Account(key=f"key{number:029}") for number in range(COMPANIES)]
        self.mango = MangoEmulator(accounts=accounts, insist=True, connections=400, timeout=PBX_PATIENCE)
        self._exits.enter_context(self.mango)
        self.wires["crm"] = [self._wires.lay(_port(crm.url)) for crm in self.crms]
        self.wires["pbx"] = [self._wires.lay(_port(self.mango.url))]

    def _product(self, kind: str, folder: Path) -> Stack:
        """With its ways led through wires."""
        more = {"SYNC_LEASE_SECONDS": SHORT_LEASE} if self.hurry else {}
        if kind == "production":
            self.postgres = self._exits.enter_context(Postgres())
            self.redis = self._exits.enter_context(Redis())
            stack = Stack(kind, folder, postgres=self.postgres.url, redis=self.redis.url, **more)
            self.wires["database"] = [self._wires.lay(self.postgres.port, share=0.02)]
            self.wires["broker"] = [self._wires.lay(self.redis.port, share=0.1)]
            for name, server in (("database", self.postgres), ("broker", self.redis)):
                for variable in ("DATABASE_URL", "BROKER_URL", "CACHE_URL"):
                    value = stack.environment[variable]
                    stack.environment[variable] = value.replace(f":{server.port}", f":{self.wires[name][0].port}")
        else:
            stack = Stack(kind, folder, **more)
        self.wires["front"] = [self._wires.lay(stack.port)]
        stack.environment["PUBLIC_URL"] = self.wires["front"][0].url
        return stack

    def _connect(self) -> None:
        """Companies with their accounts; each installs the application in its CRM."""
        rows = []
        for number, (crm, wire, key) in enumerate(zip(self.crms, self.wires["crm"], self.mango.accounts, strict=True)):
            row = company(self.wires["pbx"][0].url, wire.url, f"Flowers{number}", prefix=f"c{number}", api_key=key)
            # Whoever loses the answer with new tokens has lost the account: that is between vendor and customer.
            row["crm_credentials"][0]["credentials"]["oauth_url"] = crm.url
            rows.append(row)
        made = self.stack.provision_all(rows)
        self.handlers = [each["crm_credentials"]["portal"]["handler_url"] for each in made]
        for account, each in zip(self.mango.accounts.values(), made, strict=True):
            account.hub_url = each["connections"]["pbx"]["webhook_url"]
            account.behaviour["*"] = {"speed": 30}
        for number in range(COMPANIES):
            self.install(number)
        self.stack.wait_quiet(30)

    def install(self, company_number: int) -> None:
        """The customer installs the application in his CRM (again)."""
        self.crms[company_number].fire_app_install(self.handlers[company_number])

    def note_back(self, what: str) -> None:
        """Wait until the product is ready again, for a while, and note how long that took."""
        began = time.monotonic()
        with suppress(AssertionError):
            wait_until(self.stack.ready, "", BACK_SECONDS, every=0.05)
        self.backs[what].append(time.monotonic() - began)

    # --- The end

    def settle(self, patience: float) -> str:
        """Wait until nothing is left to do; else what is, in words."""
        try:
            wait_until(self._quiet, self._what_is_left, patience, every=0.25)
        except AssertionError as error:
            return str(error)
        return ""

    def _quiet(self) -> bool:
        busy = self.stack.busy()
        if "crm_events" not in busy:
            self._reconnect()
        if self.hurry:
            self._end_pauses()
        return not busy and not self.mango.sim.unsettled

    def _what_is_left(self) -> str:
        return json.dumps({"calls of the PBX": self.mango.sim.unsettled, **self.stack.busy()})

    def _reconnect(self) -> None:
        """An account that the CRM refuses is connected again, as its customer is told to do."""
        accounts = self.stack.rows("SELECT state FROM integrations_credential ORDER BY id")
        for number, row in enumerate(accounts):
            if row["state"] == "refused":
                self.reconnected += 1
                self.install(number)

    def _end_pauses(self) -> None:
        """As if the time had passed that the product waits before it tries something again."""
        self.stack.rows("UPDATE integrations_callsync SET not_before = NULL WHERE not_before IS NOT NULL")
        self.stack.rows("UPDATE integrations_lane SET open_at = NULL WHERE open_at IS NOT NULL")
        self.stack.rows("UPDATE telephony_recording SET due_at = '2000-01-01' WHERE state = 'ready' AND attempts > 0")
        if not self.mango.sim.unsettled:  # every event has come: those that could tell of a lost answer too
            self.stack.rows("UPDATE telephony_command SET sent_at = '2000-01-01' WHERE state IN ('sent', 'doubt')")
            self.stack.rows("UPDATE integrations_crmevent SET not_before = NULL WHERE state = 0 AND attempts > 1")

    def forget_leases(self) -> None:
        """As if the time had passed for which those who were killed had taken work: nobody else lives now."""
        for role in self.stack.roles():
            self.keeper.kill(role)
        self.stack.rows("UPDATE integrations_callsync SET lease_until = NULL, lease = NULL")
        self.stack.rows("UPDATE integrations_lane SET lease_until = NULL, lease = NULL")
        self.stack.rows("UPDATE integrations_credential SET refresh_lease = NULL")
        self.stack.rows("UPDATE telephony_recording SET lease_until = NULL")
        for role in self.stack.roles():
            self.keeper.start(role)
        self.note_back("everything")


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


@contextmanager
def world(kind: str, folder: Path, seed: int, *, hurry: bool) -> Iterator[World]:
    """A running world on the stack `kind`; its logs stay in `folder`."""
    with ExitStack() as exits:
        yield World(kind, folder, exits, seed, hurry=hurry)
