"""Connections whose events cannot be folded, or only slowly: for a while they are folded apart, after all others."""

from __future__ import annotations

import time
from collections import OrderedDict

from prometheus_client import Counter

SLOW = 0.25
"""Seconds that reading one connection's events of a batch may take; a usual batch takes a hundredth of that."""
AWHILE = 60.0
MOST = 1_000

put_apart = Counter("callbridge_inbox_put_apart", "Connections whose events were put apart", ["why"])

_until: OrderedDict[int, float] = OrderedDict()


def put(connection_id: int, why: str) -> None:
    """`why`: `failing` or `slow`."""
    if connection_id not in _until:
        put_apart.labels(why).inc()
    _until[connection_id] = time.monotonic() + AWHILE
    if len(_until) > MOST:
        _until.popitem(last=False)


def ids() -> list[int]:
    """Whom to leave out; whoever has had his turn comes last."""
    now = time.monotonic()
    for connection_id in [each for each, until in _until.items() if until <= now]:
        del _until[connection_id]
    return list(_until)


def had_his_turn(connection_id: int) -> None:
    if connection_id in _until:
        _until.move_to_end(connection_id)
