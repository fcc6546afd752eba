"""Where the processor's time goes: py-spy over the product's processes under load, summed by function."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from .product import Product

OURS = ("telephony/", "integrations/", "crm_adapters/", "outbound/", "employees/", "clients/", "config/")


def tool() -> str | None:
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


class Profile:
    """`with Profile(product, seconds):` load it meanwhile; then ask for the parts."""

    def __init__(self, product: Product, folder: Path, seconds: float):
        self._product, self._folder, self._seconds = product, folder, seconds
        self._recorders: list[subprocess.Popen[bytes]] = []
        self.stacks: Counter[tuple[str, ...]] = Counter()

    def __enter__(self) -> Profile:
        spy = tool()
        for pid in self._product.pids() if spy else []:
            command = [spy, "record", "--pid", str(pid), "--duration", str(round(self._seconds)), "--rate", "150"]
            command += [
                "--threads",
                "--gil",
                "--format",
                "raw",
                "--nonblocking",
                "--output",
                str(self._folder / f"{pid}.txt"),
            ]
            self._recorders.append(
                subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
        return self

    def __exit__(self, *_: object) -> None:
        for recorder in self._recorders:
            recorder.wait(60)
        for file in self._folder.glob("*.txt"):
            for line in file.read_text(errors="replace").splitlines():
                frames, _blank, samples = line.rpartition(" ")
                if samples.isdigit():
                    self.stacks[tuple(frames.split(";"))] += int(samples)

    def share(self, counted: Counter[str], most: int) -> list[tuple[str, float]]:
        total = sum(self.stacks.values()) or 1
        return [(name, round(count / total * 100, 1)) for name, count in counted.most_common(most)]

    def threads(self, most: int = 8) -> list[tuple[str, float]]:
        counted: Counter[str] = Counter()
        for frames, count in self.stacks.items():
            counted[_thread(frames[0])] += count
        return self.share(counted, most)

    def ours(self, most: int = 25) -> list[tuple[str, float]]:
        """Functions of the product, with everything that they call."""
        counted: Counter[str] = Counter()
        for stack, count in self.stacks.items():
            for name in {_function(frame) for frame in stack if any(part in frame for part in OURS)}:
                counted[name] += count
        return self.share(counted, most)

    def own(self, most: int = 25) -> list[tuple[str, float]]:
        """Functions by the time spent in themselves."""
        counted: Counter[str] = Counter()
        for frames, count in self.stacks.items():
            counted[_function(frames[-1])] += count
        return self.share(counted, most)


def _function(frame: str) -> str:
    """`name (path:line)` without the line."""
    name, _, place = frame.partition(" (")
    return f"{name} ({place.rpartition(':')[0] or place.rstrip(')')})"


def _thread(frame: str) -> str:
    name = frame.partition('"')[2].rpartition('"')[0] if '"' in frame else frame
    return name.rstrip("0123456789-_ ()")
