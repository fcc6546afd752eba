"""The emulated Bitrix24 in a process of its own: 150 portals, each with the vendor's own rate limit."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import requests

from tests.stack import ROOT, free_port, wait_until

LATENCY = 0.030
REGISTER, FINISH = "telephony.externalCall.register", "telephony.externalCall.finish"


@dataclass(frozen=True, slots=True)
class Written:
    """What the CRM has of one call: when its register came, when its finish (0: never), how often it was registered."""

    registered: float
    finished: float
    times: int


class Crm:
    """`with Crm(150) as crm:`; portals are at `http://<portals.host_of(N)>:<crm.port>`."""

    def __init__(self, portals: int):
        self._portals, self.port = portals, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Crm:
        command = [sys.executable, "-m", "tests.bench.portals", "--port", str(self.port)]
        command += ["--portals", str(self._portals), "--latency-ms", str(LATENCY * 1000)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        wait_until(self._ready, "the CRM emulator does not answer")
        return self

    def __exit__(self, *_: Any) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(15)

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def _ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/_emulator/violations", timeout=2).ok
        except requests.RequestException:
            return False

    def _get(self, path: str) -> dict[str, Any]:
        return requests.get(f"{self.url}/_emulator/{path}", timeout=60).json()

    def reset(self) -> None:
        """Portals without calls and with full buckets; tokens stay."""
        requests.post(f"{self.url}/_emulator/reset", json={"keep_auth": True}, timeout=60).raise_for_status()

    def trouble(self, portal: str, **fault: Any) -> None:
        """A fault of one portal, until `heal`."""
        requests.post(f"{self.url}/_emulator/faults", json={"portal": portal, **fault}, timeout=10).raise_for_status()

    def heal(self) -> None:
        requests.post(f"{self.url}/_emulator/faults", json={"clear": True}, timeout=10).raise_for_status()

    def hits(self, portal: str = "") -> int:
        """HTTP requests since the last reset, to one portal or to all."""
        portals = self._get("state?parts=hits")["portals"]
        return sum(found["hits"]["total"] for name, found in portals.items() if portal in ("", name))

    def commands(self, without: str = "") -> Counter[str]:
        """Commands since the last reset, alone or in batches, to all portals but one."""
        total: Counter[str] = Counter()
        for name, portal in self._get("state?parts=hits")["portals"].items():
            if name != without:
                total.update(portal["commands"]["by_method"])
        return total

    def wait_finished(self, calls: int, timeout: float, without: str = "") -> float:
        """Wait until so many calls are finished; the seconds it took, at most `timeout`."""
        begun = time.monotonic()
        while time.monotonic() - begun < timeout and self.commands(without)[FINISH] < calls:
            time.sleep(0.25)
        return time.monotonic() - begun

    def written(self) -> dict[tuple[str, str], Written]:
        """By portal and phone."""
        found: dict[tuple[str, str], Written] = {}
        for name, portal in self._get("state?parts=calls&history=0")["portals"].items():
            for call in portal["calls"]:
                key = (name, "".join(filter(str.isdigit, call["phone"])))
                before = found.get(key)
                ended = call["finish"]["at"] if call["finish"] else 0.0
                found[key] = Written(call["registered_at"], ended, before.times + 1 if before else 1)
        return found

    def violations(self) -> list[dict[str, Any]]:
        return self._get("violations")["violations"]
