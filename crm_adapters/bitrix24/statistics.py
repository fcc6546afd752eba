"""Which calls stand in the telephony statistics, whoever wrote them."""

from __future__ import annotations

from datetime import UTC, datetime

from crm_adapters.base import Listed

from . import wire
from .rest import Portal

METHOD = "voximplant.statistic.get"
PAGE = 50
MOST_PAGES = 10
_INCOMING = ("2", "3")
"""CALL_TYPE of calls that a client began; 3 is one that was handed on."""


def calls(portal: Portal, since: datetime, until: datetime) -> list[Listed]:
    """The newest first, 500 at the most (b24restdocs: 50 rows a page, `next` where there is another)."""
    found: list[Listed] = []
    period = {">=CALL_START_DATE": since.isoformat(timespec="seconds"), "<CALL_START_DATE": until.isoformat()}
    asked = {"FILTER": period, "SORT": "CALL_START_DATE", "ORDER": "DESC"}
    for page in range(MOST_PAGES):
        answer = portal.answer(METHOD, {**asked, "start": page * PAGE})
        rows = wire.rows(wire.Statistic, answer.get("result"))
        found += [call for row in rows if (call := _listed(row))]
        if not answer.get("next"):
            break
    return found


def _listed(row: wire.Statistic) -> Listed | None:
    """None of a row without a readable time."""
    try:
        began = datetime.fromisoformat(row.CALL_START_DATE)
    except ValueError:
        return None
    return Listed(
        id=row.CALL_ID,
        key=row.EXTERNAL_CALL_ID,
        direction="in" if row.CALL_TYPE in _INCOMING else "out",
        phone=row.PHONE_NUMBER,
        started_at=began if began.tzinfo else began.replace(tzinfo=UTC),
        seconds=row.CALL_DURATION,
        writer=row.REST_APP_NAME,
    )
