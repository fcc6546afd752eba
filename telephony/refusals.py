"""Who is refused again and again is answered 429 at once: no signature is computed for him and no line logged."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import structlog

from outbound.limits import Limit, advance

log = structlog.get_logger(__name__)

LIMIT = Limit("refusals", rate=1.0, burst=20)
"""So many refusals at once; then one request a second is looked at, in case that what was wrong was put right."""
MOST = 10_000


@dataclass(slots=True)
class _Record:
    arrival: float = 0.0
    told: bool = False


class Refusals:
    """What one door remembers, in this process, of whom it refused lately."""

    def __init__(self) -> None:
        self._records: OrderedDict[Hashable, _Record] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._records)

    def too_often(self, who: Hashable) -> bool:
        record = self._records.get(who)
        return record is not None and advance(record.arrival, LIMIT, time.monotonic())[1] > 0

    def note(self, who: Hashable, **words: Any) -> None:
        """Count a refusal, and log it with `words` as long as they are not too many."""
        now = time.monotonic()
        with self._lock:
            record = self._records.setdefault(who, _Record())
            self._records.move_to_end(who)
            if len(self._records) > MOST:
                self._records.popitem(last=False)
            if record.arrival <= now:
                record.told = False
            record.arrival, _ = advance(record.arrival, LIMIT, now)
            told, record.told = record.told, record.told or self.too_often(who)
        if not told:
            log.info("request refused", **words)
        if record.told and not told:
            log.warning("refused again and again, now with 429 and without further lines", **words)

    def forgive(self, who: Hashable) -> None:
        """He has proven himself."""
        if who in self._records:
            with self._lock:
                self._records.pop(who, None)
