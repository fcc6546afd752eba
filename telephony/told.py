"""What some events say, by call; and which calls they are said of."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

from .events import AnswerGiven, parse
from .models import InboxEvent
from .providers.base import Fact, Parsed

CallKey = tuple[int, str]
"""A connection's id and the vendor's id of the call."""


@dataclass(slots=True)
class Told:
    """What some events say, by call. `events` get their call's id when it is known. `seconds` is how long reading them
    took, by connection."""

    facts: dict[CallKey, list[Fact]] = field(default_factory=lambda: defaultdict(list))
    events: dict[CallKey, list[InboxEvent]] = field(default_factory=lambda: defaultdict(list))
    seconds: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    def read(self, event: InboxEvent) -> list[Parsed | AnswerGiven]:
        began = time.perf_counter()
        parsed = parse(event)
        self.seconds[event.connection_id] += time.perf_counter() - began
        return parsed

    def move(self, old: CallKey, new: CallKey) -> None:
        """Facts that came under another id of the same call belong to it."""
        if old != new and old in self.facts:
            self.facts[new] += self.facts.pop(old)
            self.events[new] += self.events.pop(old, [])
