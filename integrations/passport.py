"""The passport of a call: what telephony knows, and what became of the call in each CRM account and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm_adapters.base import Trace
from telephony import passport as telephony_passport
from telephony.models import Call, Exchange, Recording
from telephony.passport import Moment, TelephonyPassport
from telephony.words import in_words, ours

from . import words
from .cleaning import traces
from .models import CallSync, Credential, Integration
from .plan import CLEANED, CONFIRMED

State = CallSync.State
_PART = gettext_lazy(
    "The PBX told a part of this call as a call of its own at first. What that had opened in the CRM is closed, and "
    "nothing more is written of it."
)


@dataclass(frozen=True)
class Standing:
    """Where a call stands in one account, for a badge and a sentence. `code` groups standings for filters."""

    code: str
    tone: str
    title: str
    words: str = ""


@dataclass
class Account:
    """A call in one CRM account."""

    sync: CallSync
    standing: Standing
    next: str
    steps: list[Moment] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    retriable: bool = False
    extensions: list[str] = field(default_factory=list)
    left: list[Trace] = field(default_factory=list)
    """Of a part of the call: what stays in the CRM of it."""


@dataclass(frozen=True)
class Bystander:
    """An integration that did not concern itself with a call, and why."""

    integration: Integration
    why: str


@dataclass
class Passport:
    telephony: TelephonyPassport
    accounts: list[Account]
    bystanders: list[Bystander]
    others: list[Exchange]
    """Exchanges with CRMs about this call that belong to no account above (look-ups)."""

    @property
    def call(self) -> Call:
        return self.telephony.call


def compose(call: Call) -> Passport:
    known = telephony_passport.compose(call, words.DECISIONS)
    exchanges = list(call.exchanges.filter(company=call.company_id).order_by("at", "id"))
    for item in [*exchanges, *known.exchanges]:
        item.about = about(item)  # type: ignore[attr-defined]
    syncs = list(call.syncs.select_related("credential", "integration__credential").order_by("id"))
    accounts = [_account(call, row, exchanges) for row in syncs]
    shown = {row.credential.uuid for row in syncs} | {call.connection.uuid}
    others = [row for row in exchanges if row.account not in shown]
    return Passport(known, accounts, _bystanders(call, syncs), others)


def about(exchange: Exchange) -> str:
    """What an exchange was for: a batch may have been for several steps."""
    known = {**words.PURPOSES, **words.steps(exchange.vendor)}
    purposes = [in_words(known, name) for name in exchange.purpose.split(", ") if name]
    return "; ".join(purposes) or exchange.method


def _account(call: Call, row: CallSync, exchanges: list[Exchange]) -> Account:
    return Account(
        sync=row,
        standing=standing(row),
        next=what_next(call, row),
        steps=[_step(row.credential.crm, step) for step in row.history],
        exchanges=[item for item in exchanges if item.account == row.credential.uuid],
        retriable=row.state == State.WANTED and (row.parked or bool(row.error)),
        left=traces(row) if row.part and row.noted >= row.wanted else [],
        extensions=list(row.details.get("extensions", [])) if row.state == State.WAITING else [],
    )


def _step(crm: str, step: dict[str, Any]) -> Moment:
    said = words.spoken(step.get("words", ""))
    name = in_words(words.steps(crm), step.get("step", ""))
    at = parse_datetime(step.get("at", "")) or timezone.now()
    return Moment(at, f"{name}: {said}" if said and said != name else name, "success")


# --- Where it stands --------------------------------------------------------------------------------------------------


def standing(row: CallSync) -> Standing:
    """The state of a call in an account, in words; `row.credential` must be loaded."""
    if row.part and not row.parked and not row.error:
        return _of_part(row)
    reason = words.reason(row.credential.crm, row.reason, row.details)
    if row.state == State.SKIPPED:
        title = _("cleaned up") if row.reason == CLEANED else _("not written")
        return Standing("skipped", "", title, reason)
    if row.state == State.WAITING:
        return Standing("waiting", "warning", _("waits for a decision"), reason)
    if row.parked:
        return Standing("parked", "danger", _("parked"), error_words(row))
    if row.wanted > row.noted:
        return _unwritten(row)
    if row.reason == CONFIRMED:
        return Standing("written", "success", _("written"), reason)
    if not row.wanted:
        return Standing("nothing", "", _("nothing to write yet"))
    return Standing("written", "success", _("written"))


def _of_part(row: CallSync) -> Standing:
    """What the PBX told as a call of its own at first, and is a part of this one."""
    if row.wanted > row.noted:
        return Standing("part", "info", _("a part of the call is being taken back"), str(_PART))
    return Standing("part", "", _("a part of the call was taken back"), str(_PART))


def _unwritten(row: CallSync) -> Standing:
    if row.credential.state in (Credential.State.REFUSED, Credential.State.DISCONNECTED):
        return Standing("paused", "danger", _("paused"), _paused_words(row.credential))
    if row.error:
        return Standing("failing", "warning", _("not written yet"), error_words(row))
    if row.noted:
        return Standing("writing", "info", _("being brought up to date"))
    return Standing("writing", "info", _("will be written"))


def _paused_words(credential: Credential) -> str:
    state, said = credential.get_state_display(), ours(credential.state_words)
    return f"{state}: {said}" if said else str(state)


def error_words(row: CallSync) -> str:
    """The error of the last try: what the CRM did, and its own words."""
    if not row.error:
        return ""
    told = f"{row.credential.adapter.title}: {in_words(words.ERRORS, row.error_kind)}"
    return told if row.error_kind == "doubt" else f"{told} ({crm_words(row)})"


def crm_words(row: CallSync) -> str:
    """The words of the last error, with the CRM's code."""
    own = ours(row.error.removeprefix(row.error_code).strip())
    return f"{row.error_code} {own}".strip()


def what_next(call: Call, row: CallSync, now: datetime | None = None) -> str:
    """What happens next with this call in this account, in words."""
    now = now or timezone.now()
    done = row.part and row.noted >= row.wanted
    if row.state == State.SKIPPED or row.reason == CONFIRMED or done:
        return _("Nothing more happens.")
    if row.state == State.WAITING:
        return _("It is written, or not, as soon as you decide.")
    if row.parked:
        return _("Nothing happens by itself: retry when the cause is removed.")
    if row.credential.state == Credential.State.REFUSED:
        return _("It is written as soon as the account is connected again.")
    if row.credential.state == Credential.State.DISCONNECTED:
        return _("The application was removed in the CRM. It is written as soon as the account is connected again.")
    if row.lease_until and row.lease_until > now:
        return _("A request to the CRM is under way.")
    if row.wanted > row.noted:
        return _due(row, now)
    return _after_writing(call)


def _due(row: CallSync, now: datetime) -> str:
    if row.not_before and row.not_before > now:
        when = date_format(timezone.localtime(row.not_before), "H:i:s")
        return _("The next try is at %(time)s (tries so far: %(count)d).") % {"time": when, "count": row.attempts}
    return _("It is written as soon as its turn comes.")


def _after_writing(call: Call) -> str:
    if not call.finished:
        return _("The call goes on; its end will be written too.")
    expected = (Recording.State.ANNOUNCED, Recording.State.READY)
    if any(audio.state in expected for audio in call.recordings.all()):
        return _("Waits for the recording, which is written as soon as the PBX gives it.")
    return _("Everything is written.")


# --- Who did not want it ----------------------------------------------------------------------------------------------


def _bystanders(call: Call, syncs: list[CallSync]) -> list[Bystander]:
    """The company's other integrations, each with the reason why it did nothing about this call."""
    concerned = {row.integration_id for row in syncs}
    taken = {row.credential.account_digest or f"credential-{row.credential_id}" for row in syncs}
    rows = Integration.objects.filter(company=call.company_id).exclude(pk__in=concerned)
    found = []
    for row in rows.select_related("credential").prefetch_related("connections", "numbers"):
        found.append(Bystander(row, _why_not(call, row, taken)))
    return found


def _why_not(call: Call, row: Integration, taken: set[str]) -> str:
    connections = list(row.connections.all())
    if not row.active:
        return _("It is switched off.")
    if call.connection_id not in {connection.pk for connection in connections}:
        names = ", ".join(connection.name for connection in connections) or "—"
        return _("It takes calls of other PBX connections only: %(names)s.") % {"names": names}
    if (row.credential.account_digest or f"credential-{row.credential_id}") in taken:
        return _("Another integration leads into the same CRM account, and the first one that wants a call writes it.")
    if row.filter_numbers and call.virtual_number not in {number.number for number in row.numbers.all()}:
        return in_words(words.REASONS, "number_not_in_list", {"number": call.virtual_number or "—"})
    return _("It was not active, or was set differently, when the call came.")
