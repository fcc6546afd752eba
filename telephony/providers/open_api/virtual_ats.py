"""The call list of VirtualATS, the PBX of Azerizone: one row for each call.

Source: the operator's page on its API, of which only the part about this list could be read. How a request proves
itself stands in another part: header and key are what the customer was told. That `source` is the extension in an
outgoing call is an assumption, and so is that `callId` is the `callid` of the events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.utils.translation import pgettext
from pydantic import Field, ValidationError

from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected, Temporary, VendorFault
from outbound.http import Answer, Http
from outbound.limits import Limit
from telephony.providers.base import Audio, Direction, HistoryLeg, Outcome, Party, Secrets
from telephony.providers.telephony_api import hiding, same_server
from telephony.providers.telephony_api_events import is_extension, recording
from telephony.providers.values import Id, MaybeInteger, Model, Text, faults

_PAGE = 1000
_RATE = (1.0, 3)  # no limit is published
_ASKED, _TOLD = "%d%m%Y%H%M%S%z", "%d.%m.%Y %H:%M:%S%z"
_DIRECTIONS = {"INBOUND": Direction.IN, "OUTBOUND": Direction.OUT}
_GOES_ON, _ANSWERED = "RING", "ANSWERED"
_NOBODY = {Direction.IN: Outcome.MISSED, Direction.OUT: Outcome.NO_ANSWER}
_OUTCOMES = {_ANSWERED: Outcome.ANSWERED, "BUSY": Outcome.BUSY, "FAILED": Outcome.FAILED}


class _Row(Model):
    call: Id = Field(alias="callId")
    date: Text = Field("", alias="callDate")
    source: Text = ""
    destination: Text = ""
    answered_by: Text = Field("", alias="answeredNumber")
    duration: MaybeInteger = None
    talk: MaybeInteger = Field(None, alias="talkTime")
    direction: Text = ""
    disposition: Text = ""
    link: Text = Field("", alias="recordConversation")

    @property
    def began(self) -> datetime | None:
        try:
            return datetime.strptime(self.date, _TOLD).astimezone(UTC)
        except (ValueError, OverflowError):
            return None


class VirtualAts:
    """Speaks for one account. Methods raise `outbound.errors`."""

    def __init__(self, http: Http, secrets: Secrets):
        self._url = secrets.get("history_url", "").rstrip("/")
        header, key = secrets.get("history_header", ""), secrets.get("history_key", "")
        self._headers = {header: key} if header else {}
        self._http = http
        self._limit = Limit(f"virtual_ats:{hashlib.sha256(key.encode()).hexdigest()[:16]}", *_RATE)

    @staticmethod
    def is_known(secrets: Secrets) -> bool:
        return all(secrets.get(name) for name in ("history_url", "history_header", "history_key"))

    def legs(self, since: datetime, until: datetime) -> Iterator[HistoryLeg]:
        """The calls that began in the period, the earliest first: one that comes meanwhile moves no other."""
        seen: set[str] = set()
        offset = 0
        while True:
            rows = self._rows(since, until, offset, _PAGE)
            for row in rows:
                if row.call not in seen and (leg := _leg(row)) and since <= leg.started_at <= until:
                    yield leg
            seen.update(row.call for row in rows)
            offset += len(rows)
            if len(rows) < _PAGE:
                return

    def try_out(self) -> None:
        """Ask for one call, to see whether the key is accepted."""
        now = datetime.now(UTC)
        self._rows(now - timedelta(hours=1), now, 0, 1)

    def examine(self, since: datetime, until: datetime) -> tuple[int, list[str]]:
        """How many calls of a period are listed (a page at most), and what is wrong with those that are left out."""
        rows = self._rows(since, until, 0, _PAGE)
        return len(rows), [f"{row.call}: {words}" for row in rows if (words := _fault(row))]

    def has(self, link: str) -> bool:
        """Whether a link leads to its own server."""
        return same_server(self._url, link)

    def audio(self, link: str) -> Audio:
        """A recording wants the key as everything else does."""
        return Audio.fetched(hiding(self._http, link), link, headers=self._headers, limits=(self._limit,))

    def _rows(self, since: datetime, until: datetime, offset: int, limit: int) -> list[_Row]:
        asked = {
            "from": since.astimezone(UTC).strftime(_ASKED),
            "to": until.astimezone(UTC).strftime(_ASKED),
            "offset": str(offset),
            "limit": str(limit),
            "order": "asc",
        }
        url = f"{self._url}/callRecord/history"
        answer = self._http.request("GET", url, params=asked, headers=self._headers, limits=(self._limit,))
        if refusal := _error(answer):
            raise refusal
        told = answer.json()
        if not isinstance(told, list):
            raise VendorFault("the answer is no list of calls", code="shape")
        try:
            return [_Row.model_validate(row) for row in told]
        except ValidationError as error:
            raise VendorFault(f"the answer has another shape: {faults(error)}", code="shape") from error


def _error(answer: Answer) -> OutboundError | None:
    """What refusals look like is not documented: the HTTP status counts."""
    words, code = f"HTTP {answer.status}: {answer.text[:200]}", f"http_{answer.status}"
    if answer.status in (401, 403):
        return CredentialsRefused(words, code=code)
    if answer.status == 429:
        return RateLimited(words, code=code, retry_after=60.0)
    if answer.status >= 500:
        return Temporary(words, code=code)
    return Rejected(words, code=code) if answer.status != 200 else None


def _leg(row: _Row) -> HistoryLeg | None:
    """Nothing of a call of which we cannot say whose it was: one that was answered would count as missed."""
    began, direction = row.began, _DIRECTIONS.get(row.direction)
    if began is None or direction is None:
        return None
    incoming = direction is Direction.IN
    extension = row.answered_by if incoming else row.source if is_extension(row.source) else ""
    came_to = _OUTCOMES.get(row.disposition, _NOBODY[direction])
    answered = came_to is Outcome.ANSWERED
    if not extension and (answered or not incoming):
        return None
    employee, client = Party(extension=extension), _client(row.source if incoming else row.destination)
    talk = max(0, row.talk or 0) if answered else 0
    ended = began + timedelta(seconds=max(0, row.duration or 0, talk))
    goes_on = row.disposition == _GOES_ON
    audio = recording(row.call, row.link) if row.link.startswith(("https://", "http://")) else None
    return HistoryLeg(
        call=row.call,
        direction=direction,
        caller=client if incoming else employee,
        callee=employee if incoming else client,
        virtual_number=row.destination if incoming else "",
        started_at=began,
        answered_at=ended - timedelta(seconds=talk) if answered else None,
        ended_at=None if goes_on else ended,
        why=None if goes_on else came_to,
        recordings=(audio.recording,) if audio else (),
        links=(audio.url,) if audio else (),
        talk_seconds=None if goes_on else talk,
    )


def _fault(row: _Row) -> str:
    """Why nothing is made of a row; empty where something is."""
    if row.began is None:
        words = pgettext("Open API", "callDate is “%(told)s”, which is no date like 5.03.2026 14:00:00+0400.")
        return words % {"told": row.date[:40]}
    if row.direction not in _DIRECTIONS:
        words = pgettext("Open API", "direction is “%(told)s”: it must be INBOUND or OUTBOUND.")
        return words % {"told": row.direction[:40]}
    return (
        ""
        if _leg(row)
        else pgettext("Open API", "the employee is missing (answeredNumber, or source of an outgoing one).")
    )


def _client(number: str) -> Party:
    return Party(number=number if any(map(str.isdecimal, number)) else "")
