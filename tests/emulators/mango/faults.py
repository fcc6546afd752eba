"""Faults that can be switched on at runtime."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

HTTP = ("down", "reset", "slow", "html", "rate_limited", "empty", "truncated", "wrong_type")
KINDS = (*HTTP, "result", "hub_unreachable")


@dataclass(slots=True)
class Fault:
    """`down` 503, `reset` of the connection, `slow` by seconds, `html` instead of JSON or sound, `rate_limited` 429,
    `empty` 200 without a body, `truncated` in the midst of the body, `wrong_type` no sound under a sound's name,
    `result` forces a result code on commands, `hub_unreachable` loses notifications. `path`: only paths that contain
    it; `count`: how many times (0: until cleared)."""

    kind: str
    path: str = ""
    seconds: float = 0.0
    result: int = 0
    count: int = 0


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self.active: list[Fault] = []

    def add(self, kind: str, **values: Any) -> None:
        """Switch a fault on."""
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}; known: {', '.join(KINDS)}")
        self.active.append(Fault(kind, **values))

    def clear(self) -> None:
        """Switch all off."""
        self.active.clear()

    def _take(self, path: str, kinds: tuple[str, ...]) -> Fault | None:
        for fault in self.active:
            if fault.kind in kinds and fault.path in path:
                if fault.count == 1:
                    self.active.remove(fault)
                elif fault.count:
                    fault.count -= 1
                return fault
        return None

    def http(self, path: str) -> Fault | None:
        """The fault that meets this request."""
        return self._take(path, HTTP)

    def result(self, endpoint: str) -> int:
        """A forced result code for a command, or 0."""
        fault = self._take(endpoint, ("result",))
        return fault.result if fault else 0

    @property
    def hub_unreachable(self) -> bool:
        """Whether notifications get lost on the way."""
        return any(fault.kind == "hub_unreachable" for fault in self.active)

    def as_list(self) -> list[dict[str, Any]]:
        """For the state page."""
        return [asdict(fault) for fault in self.active]
