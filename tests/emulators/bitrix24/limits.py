"""The two independent limits: the leaky bucket per (portal, source IP), and the operating time per method."""

from __future__ import annotations

from dataclasses import dataclass, field

WINDOW = 600
SLOT = 10


@dataclass(slots=True)
class Bucket:
    """Bucket 50, leak 2/s by default: 60 requests at one instant lose 10, a steady 10/s loses the 63rd first."""

    size: float
    leak: float
    level: float = 0.0
    at: float = 0.0

    def hit(self, now: float) -> bool:
        self.level = max(0.0, self.level - (now - self.at) * self.leak)
        self.at = now
        if self.level + 1 > self.size + 1e-9:
            return False
        self.level += 1
        return True


@dataclass(slots=True)
class Operating:
    """Execution time of one method for one application in a sliding 10 minutes; `total` is cumulative."""

    total: float = 0.0
    slots: list[list[float]] = field(default_factory=list)

    def trim(self, now: float) -> None:
        while self.slots and self.slots[0][0] + WINDOW <= now:
            self.total = max(0.0, self.total - self.slots.pop(0)[1])

    def add(self, now: float, cost: float) -> None:
        slot = now // SLOT * SLOT
        if self.slots and self.slots[-1][0] == slot:
            self.slots[-1][1] += cost
        else:
            self.slots.append([slot, cost])
        self.total += cost

    def reset_at(self, now: float) -> int:
        return int((self.slots[0][0] if self.slots else now // SLOT * SLOT) + WINDOW)
