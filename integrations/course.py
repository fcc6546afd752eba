"""How a test call goes: what it has left in CRMs, and whether something still comes."""

from __future__ import annotations

from dataclasses import dataclass

from crm_adapters.base import Trace
from telephony.models import Call, Recording

from . import cleaning, passport
from .passport import Account, Passport
from .plan import CLEANED


@dataclass
class Course:
    """A test call, and what each account has of it."""

    passport: Passport
    traces: list[tuple[Account, list[Trace]]]

    @property
    def call(self) -> Call:
        return self.passport.call

    @property
    def left(self) -> list[tuple[Account, list[Trace]]]:
        return [(account, traces) for account, traces in self.traces if traces]

    @property
    def settled(self) -> bool:
        """Whether nothing more happens by itself."""
        coming = (Recording.State.ANNOUNCED, Recording.State.READY)
        if not self.call.finished or self.call.recordings.filter(state__in=coming).exists():
            return False
        return not any(account.standing.code == "writing" for account in self.passport.accounts)

    @property
    def cleanable(self) -> bool:
        """Whether something can be removed, or more is still to be written."""
        if not self.call.finished:
            return False
        removable = any(trace.removable for _account, traces in self.traces for trace in traces)
        return removable or any(row.sync.reason != CLEANED and row.sync.wanted for row in self.passport.accounts)

    @property
    def landed(self) -> bool:
        return any(account.standing.code == "written" for account in self.passport.accounts)


def course_of(call: Call) -> Course:
    found = passport.compose(call)
    return Course(found, [(account, cleaning.traces(account.sync)) for account in found.accounts])
