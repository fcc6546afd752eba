"""Asking for a report: Mango prepares it, and we come back for it.

Source: official document of the VPBX API v1.9, "Statistics": a report is asked for not more often than every 5 seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from outbound.errors import OutboundError, Temporary, VendorFault
from outbound.http import Answer
from telephony.providers.values import Id, Model

from .api import Api
from .limits import Kind

Wait = Callable[[float], None]
"""Lets so many seconds pass."""

POLL_SECONDS = 5.0
_PATIENCE_SECONDS = 300.0
_LARGEST = 64 * 1024 * 1024


class _Key(Model):
    key: Id


def prepare(
    api: Api,
    request: tuple[str, Mapping[str, Any]],
    result: str,
    *,
    wait: Wait,
    ready: Callable[[Answer], bool] | None = None,
) -> Answer:
    """Ask for a report by path and payload, and fetch it from the path `result` when it is ready.

    Raises `Temporary` when it is not there within five minutes, or is there no more.
    """
    path, payload = request
    key = api.ask(Kind.STATS, path, payload, _Key).key
    for _ in range(round(_PATIENCE_SECONDS / POLL_SECONDS)):
        wait(POLL_SECONDS)
        answer = _collect(api, result, key)
        if answer.status != 204 and (ready is None or ready(answer)):
            return answer
    raise Temporary("Mango did not prepare the report within five minutes", code="report_late")


def _collect(api: Api, path: str, key: str) -> Answer:
    try:
        return api.post(Kind.REPORTS, path, {"key": key}, max_size=_LARGEST)
    except VendorFault as error:
        if error.code == "http_404":
            raise Temporary("Mango does not keep the report any more", code="report_gone") from error
        raise


def is_missing(error: OutboundError) -> bool:
    """Whether Mango has no such kind of report for this account."""
    return error.code in ("http_404", "4000", "4001", "4100")
