"""What the journal shows of CRMs: where each call stands in each account, and which calls have a problem."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.db.models import Exists, F, OuterRef, Prefetch, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from telephony.journal import JournalFilter
from telephony.models import Call

from .models import CallSync, Credential
from .passport import Standing, standing

WRITTEN = [
    ("", _("any")),
    ("problem", _("problem: not written somewhere")),
    ("waiting", _("waits for a decision")),
    ("skipped", _("not written on purpose")),
    ("written", _("written")),
]
PAUSED = (Credential.State.REFUSED, Credential.State.DISCONNECTED)


class CrmJournalFilter(JournalFilter):
    """The journal's filter with the CRM's side."""

    crm = forms.ChoiceField(label=_("In the CRM"), choices=WRITTEN, required=False)

    def calls(self) -> QuerySet[Call]:
        calls = (
            super()
            .calls()
            .prefetch_related(
                Prefetch("syncs", CallSync.objects.select_related("credential", "integration").order_by("id"))
            )
        )
        chosen = self.cleaned_data.get("crm")
        if not chosen:
            return calls
        rows = _rows(chosen).filter(credential__company=self.company)
        if chosen == "written":  # nearly all of them: asked row by row; the others are few and looked for first
            return calls.filter(Exists(rows.filter(call=OuterRef("pk"))))
        return calls.filter(pk__in=rows.values("call"))


def problems() -> Q:
    """Rows that somebody should look at: parked, failing, or held up by refused keys."""
    behind = Q(state=CallSync.State.WANTED, wanted__gt=F("noted"))
    return Q(parked=True) | (behind & (~Q(error="") | Q(credential__state__in=PAUSED)))


def _rows(chosen: str) -> QuerySet[CallSync]:
    rows = CallSync.objects.all()
    if chosen == "problem":
        return rows.filter(problems())
    rows = rows.filter(part__isnull=True)
    if chosen == "waiting":
        return rows.filter(state=CallSync.State.WAITING)
    if chosen == "skipped":
        return rows.filter(state=CallSync.State.SKIPPED)
    return rows.filter(state=CallSync.State.WANTED, parked=False, wanted__gt=0, noted__gte=F("wanted"))


def attach_standings(calls: Iterable[Call]) -> None:
    """`standings`: pairs of account and standing."""
    for call in calls:
        shown = [row for row in call.syncs.all() if not (row.part and row.noted >= row.wanted)]
        rows: list[tuple[Any, Standing]] = [(row, standing(row)) for row in shown]
        call.standings = rows  # type: ignore[attr-defined]
