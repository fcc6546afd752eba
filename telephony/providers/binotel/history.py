"""Binotel's statistics of calls. An answer holds a day at the most.

Source: public clients, confirmed by one of them on a real account.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from telephony.providers.base import HistoryLeg
from telephony.providers.values import Model

from .api import Api
from .details import Details, rows

_LONGEST = timedelta(days=1) - timedelta(seconds=1)


class _Calls(Model):
    """By their ids, or an empty list or text."""

    calls: Annotated[list[Details], BeforeValidator(rows)] = Field([], alias="callDetails")


def calls(api: Api, since: datetime, until: datetime) -> Iterator[Details]:
    """The calls that began in the period, those that go on among them; no messages."""
    while since <= until:
        end = min(since + _LONGEST, until)
        found = api.ask(
            "stats/list-of-calls-for-period",
            _Calls,
            startTime=int(since.timestamp()),
            stopTime=int(end.timestamp()),
        )
        yield from (call for call in found.calls if not call.is_message)
        since = end + timedelta(seconds=1)


def legs(api: Api, since: datetime, until: datetime) -> Iterator[HistoryLeg]:
    for call in calls(api, since, until):
        yield from call.legs()


def goes_on(api: Api, call: str) -> bool:
    """Whether a call is not over; one that Binotel does not know is."""
    return any(each.goes_on for each in api.ask("stats/call-details", _Calls, generalCallID=[call]).calls)
