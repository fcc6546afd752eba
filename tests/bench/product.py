"""The product under measurement: on one core with its database, 150 companies in it."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.stack import Stack, free_port

from . import machine
from .calls import Account
from .client import open_loop
from .crm import Crm
from .machine import Memory
from .pbx import FakePbx

QUIET_SECONDS = 40.0
BUCKET_SECONDS = 24.0
"""Bitrix24's bucket of 50 requests leaks at two a second; the product counts with 48."""


class Product:
    """`with Product("embedded", folder, crm, 150) as product:` runs it with companies that have a portal each."""

    def __init__(self, kind: str, folder: Path, crm: Crm, companies: int, environment: dict[str, str] | None = None):
        folder.mkdir(parents=True)
        self.kind, self.crm = kind, crm
        self.pbx = FakePbx(free_port())
        extra = {name: value.format(folder=folder) for name, value in (environment or {}).items()}
        self.stack = Stack(kind, folder, **extra)
        self._companies = companies
        self.accounts: list[Account] = []

    def __enter__(self) -> Product:
        with machine.on_core(machine.PRODUCT_CORE):
            self.stack.start()
        code = "from tests.bench.provision import run; run({}, '{}', {})"
        mango = f"http://127.0.0.1:{self.pbx.port}"
        out = self.stack.manage("shell", "-c", code.format(self._companies, mango, self.crm.port))
        line = next(line for line in out.splitlines() if line.startswith("ACCOUNTS "))
        self.accounts = [Account(**row) for row in json.loads(line.removeprefix("ACCOUNTS "))]
        return self

    def __exit__(self, *_: Any) -> None:
        self.stack.stop()
        self.stack.drop()

    @property
    def port(self) -> int:
        return self.stack.port

    def pids(self) -> list[int]:
        return machine.processes({process.pid for process in self.stack.processes.values()})

    def memory(self) -> Memory:
        return machine.memory(self.pids())

    def fill_buckets(self) -> None:
        """Forget what portals were asked before: each measurement begins idle and with what the vendor gives."""
        with suppress(AssertionError):
            self.stack.wait_quiet(QUIET_SECONDS)
        self.crm.reset()
        self.stack.rows("UPDATE telephony_ratestate SET arrival = 0")

    def empty_buckets(self) -> None:
        """As if every portal had just been asked as often as it allows."""
        self.stack.rows("UPDATE telephony_ratestate SET arrival = %s", time.time() + BUCKET_SECONDS)

    def restart_after_kill(self) -> None:
        """`kill -9` of everything, then start everything again."""
        roles = list(self.stack.processes)
        for role in roles:
            self.stack.kill(role)
        with machine.on_core(machine.PRODUCT_CORE):
            for role in roles:
                self.stack.spawn(role)

    def fire(self, shots: list[Any], patience: float = 10.0) -> None:
        open_loop(self.port, shots, patience=patience, beside=self.pbx.serve)

    def errors(self) -> str:
        """The last of what its logs hold, where they hold anything."""
        return "\n".join(self.stack.log(role)[-1500:] for role in self.stack.roles())


def soon(seconds: float = 0.3) -> float:
    """A moment at which a run may begin."""
    return time.time() + seconds
