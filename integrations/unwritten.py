"""What is not in the CRMs although it should be: by cause, with what can be done about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Max, Min, Q, QuerySet
from django.utils import timezone

from outbound.errors import OutboundError
from telephony.hot import Constant, hot_write, persistently
from telephony.words import in_words

from . import passport, words
from .journal import PAUSED
from .models import CallSync, Credential, Lane
from .plan import CONFIRMED

State = CallSync.State
DOUBT = "doubt"
"""The kind of error of a write that may have been made, in a CRM that cannot tell."""


@dataclass(frozen=True)
class Chosen:
    """Which calls are meant: of some accounts, with one cause or any, that failed since a moment or ever."""

    accounts: QuerySet[Credential]
    parked: bool | None = None
    kind: str | None = None
    cause: str | None = None
    since: datetime | None = None

    def rows(self) -> QuerySet[CallSync]:
        accounts = self.accounts.order_by().values("pk")
        rows = CallSync.objects.filter(credential__in=accounts, state=Constant(State.WANTED))
        rows = rows.exclude(error_kind=Constant("")).filter(Q(parked=True) | Q(wanted__gt=F("noted")))
        given = {
            "parked": self.parked,
            "error_kind": self.kind,
            "cause": self.cause,
            "failed_at__gte": self.since,
        }
        return rows.filter(**{name: value for name, value in given.items() if value is not None})

    def to_retry(self) -> QuerySet[CallSync]:
        """A doubtful one is written again only where those are named."""
        return self.rows() if self.kind == DOUBT else self.rows().exclude(error_kind=DOUBT)


# --- What failed alike ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Calls that one account has not got for one cause. `words` are the CRM's own about the newest of them."""

    credential: Credential
    parked: bool
    kind: str
    cause: str
    count: int
    first: datetime | None
    last: datetime | None
    next_try: datetime | None
    words: str
    help: str
    example: UUID
    """The newest of these calls."""

    @property
    def title(self) -> str:
        return in_words(words.ERRORS, self.kind)

    @property
    def doubtful(self) -> bool:
        return self.kind == DOUBT


def groups(chosen: Chosen) -> list[Group]:
    """What needs somebody first, then what is tried again by itself; the largest first."""
    found = list(
        chosen.rows()
        .values("credential_id", "parked", "error_kind", "cause")
        .annotate(count=Count("pk"), first=Min("failed_at"), last=Max("failed_at"))
        .annotate(next_try=Min("not_before"), newest=Max("pk"))
        .order_by("-parked", "-count", "-last")
    )
    newest = CallSync.objects.select_related("credential__company", "call").in_bulk([row["newest"] for row in found])
    rests = _rests(row.credential for row in newest.values())
    return [_group(row, newest[row["newest"]], rests) for row in found if row["newest"] in newest]


def causes(chosen: Chosen) -> list[Group]:
    """Groups, without those that wait for an account that is paused: they stand with the account (`held_up`)."""
    return [row for row in groups(chosen) if row.parked or row.credential.state not in PAUSED]


def _rests(credentials: Iterable[Credential]) -> dict[str, datetime | None]:
    """Until when accounts are left alone, by the account's name."""
    accounts = {credential.account for credential in credentials}
    lanes = Lane.objects.filter(account__in=accounts, open_at__gt=timezone.now())
    return dict(lanes.values_list("account", "open_at"))


def _group(found: Mapping[str, Any], newest: CallSync, rests: dict[str, datetime | None]) -> Group:
    kind, credential = found["error_kind"], newest.credential
    moments = [at for at in (found["next_try"], rests.get(credential.account)) if at]
    return Group(
        credential=credential,
        parked=found["parked"],
        kind=kind,
        cause=found["cause"],
        count=found["count"],
        first=found["first"],
        last=found["last"],
        next_try=None if found["parked"] else max(moments, default=None),
        words="" if kind == DOUBT else passport.crm_words(newest),
        help="" if kind == DOUBT else _help(newest),
        example=newest.call.uuid,
    )


def _help(row: CallSync) -> str:
    """What a customer can do about the error: the adapter knows it by its code."""
    error = OutboundError(row.error, code=row.error_code)
    error.kind = row.error_kind
    return row.credential.adapter.errors_help(error)


# --- What waits for an account ----------------------------------------------------------------------------------------


def held_up(accounts: QuerySet[Credential]) -> list[tuple[Credential, int]]:
    """Accounts that refuse our keys or were removed, each with how many calls wait for it."""
    paused = accounts.filter(state__in=PAUSED).select_related("company").in_bulk()
    behind = CallSync.objects.filter(
        credential__in=paused, state=Constant(State.WANTED), parked=False, wanted__gt=F("noted")
    )
    counts = behind.values_list("credential").annotate(Count("pk")).order_by()
    return [(paused[credential_id], count) for credential_id, count in counts]


# --- What a person says -----------------------------------------------------------------------------------------------


def confirm(rows: QuerySet[CallSync]) -> int:
    """Somebody has looked: the CRM has these doubtful calls. It never told their ids, so nothing is added to them."""
    doubtful = rows.filter(parked=True, error_kind=DOUBT)

    def note() -> int:
        with hot_write():
            return doubtful.update(parked=False, noted=F("wanted"), reason=CONFIRMED, error="", error_kind="")

    return persistently(note)
