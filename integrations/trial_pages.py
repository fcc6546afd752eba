"""The portal's pages of test calls: what would become of one, its course, and cleaning up."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from crm_adapters.base import Trace
from employees import phones
from employees.forms import onward
from employees.models import Company, Employee, Extension
from employees.rights import Right
from employees.sites import company_of, mine, my, portal
from telephony import trials
from telephony.fold import Source
from telephony.models import Call, Connection, Recording, VirtualNumber
from telephony.scripts import Kind, Script, fictional_number

from . import cleaning, passport
from .cleaning import UnderWay
from .models import CallSync, Integration
from .passport import Account
from .plan import CLEANED
from .rehearsal import rehearse

KINDS = [
    (Kind.IN_ANSWERED, gettext_lazy("incoming, answered")),
    (Kind.IN_MISSED, gettext_lazy("incoming, missed")),
    (Kind.IN_BUSY, gettext_lazy("incoming, the line is busy")),
    (Kind.OUT_ANSWERED, gettext_lazy("outgoing, answered")),
    (Kind.OUT_NO_ANSWER, gettext_lazy("outgoing, no answer")),
]
EARLIER = 5


class TrialForm(forms.Form):
    """A call to be played."""

    kind = forms.ChoiceField(label=gettext_lazy("Kind of call"), choices=KINDS, initial=Kind.IN_ANSWERED)
    line = forms.ChoiceField(label=gettext_lazy("By which line"), choices=())
    extension = forms.ChoiceField(label=gettext_lazy("With which extension"), choices=(), required=False)
    phone = forms.CharField(
        label=gettext_lazy("The client's number"),
        max_length=32,
        help_text=gettext_lazy(
            "The number suggested is nobody's: it cannot be dialled, and the CRM meets an unknown client. Type a real "
            "client's number to see a call of somebody whom the CRM knows; the call then stands in his card."
        ),
    )
    recorded = forms.BooleanField(
        label=gettext_lazy("With a recording"),
        required=False,
        initial=True,
        help_text=gettext_lazy("Three notes of music. Calls that nobody answers have none."),
    )

    def __init__(self, company: Company, data: Any = None, integration: Integration | None = None):
        super().__init__(data)
        self._company = company
        self.connections = _connections(company, integration)
        lines = [choice for row in self.connections for choice in _lines(row)]
        self.fields["line"].choices = lines  # type: ignore[attr-defined]
        self.fields["extension"].choices = _extensions(company)  # type: ignore[attr-defined]
        self.fields["phone"].initial = fictional_number(company.region)

    def clean_phone(self) -> str:
        return phones.required(self.cleaned_data["phone"], self._company.region)

    def told(self) -> tuple[Connection, Script]:
        """The PBX whose call it is, and what is played."""
        uuid, _bar, line = self.cleaned_data["line"].partition("|")
        connection = next(row for row in self.connections if str(row.uuid) == uuid)
        script = Script(
            call=trials.new_key(),
            kind=self.cleaned_data["kind"],
            client=self.cleaned_data["phone"],
            line=line,
            extension=self.cleaned_data["extension"],
            recorded=self.cleaned_data["recorded"],
        )
        return connection, script


def _connections(company: Company, integration: Integration | None) -> list[Connection]:
    """Those of the integration first."""
    rows = list(Connection.objects.filter(company=company, active=True).prefetch_related("virtual_numbers"))
    first = set(integration.connections.values_list("pk", flat=True)) if integration else set()
    return sorted(rows, key=lambda row: row.pk not in first)


def _lines(connection: Connection) -> list[tuple[str, str]]:
    numbers = list(connection.virtual_numbers.all())
    return [(f"{connection.uuid}|{row.number}", _line(connection, row)) for row in numbers] or [
        (f"{connection.uuid}|", connection.name)
    ]


def _line(connection: Connection, row: VirtualNumber) -> str:
    number = phones.pretty(row.number)
    return f"{row.line_name} · {number} · {connection.name}" if row.line_name else f"{number} · {connection.name}"


def _extensions(company: Company) -> list[tuple[str, str]]:
    """Employees' own first; where none is known the call rings at nobody's."""
    rows = list(Extension.objects.filter(company=company).select_related("employee"))
    rows.sort(key=lambda row: (row.employee is None, row.number))
    return [(row.number, str(row)) for row in rows] or [("", _("none is known yet"))]


# --- The rehearsal ----------------------------------------------------------------------------------------------------


@portal.page("trial/", name="trial", right=Right.MANAGE)
def trial(request: HttpRequest) -> HttpResponse:
    """What would become of a call; `play` makes it one."""
    form = TrialForm(company_of(request), request.POST or None, _integration(request))
    rehearsal = None
    if request.method == "POST" and form.is_valid():
        connection, script = form.told()
        if "play" in request.POST:
            return onward(request, "portal:trial_call", trials.begin(connection, script).uuid)
        rehearsal = rehearse(connection, script)
    earlier = mine(request, Call).filter(source=Source.TRIAL).order_by("-pk")[:EARLIER]
    context = {
        "title": _("Test call"),
        "form": form,
        "rehearsal": rehearsal,
        "earlier": earlier,
        "none_active": not mine(request, Integration).filter(active=True).exists(),
    }
    return portal.render(request, "portal/trial.html", context)


def _integration(request: HttpRequest) -> Integration | None:
    """The one from whose page this one was opened."""
    named = request.GET.get("integration", "")
    return next((row for row in mine(request, Integration) if str(row.uuid) == named), None)


# --- Its course -------------------------------------------------------------------------------------------------------


@portal.page("trial/<uuid:uuid>/", name="trial_call", right=Right.MANAGE)
def trial_call(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Step by step, while it is played and written; with the header `X-Part` only that."""
    call = _trial(request, uuid)
    found = passport.compose(call)
    left = [(account, cleaning.traces(account.sync)) for account in found.accounts]
    context = {
        "title": _("Test call"),
        "call": call,
        "passport": found,
        "left": [(account, traces) for account, traces in left if traces],
        "cleanable": call.finished and _cleanable(left),
        "settled": _settled(call, found.accounts),
        "landed": _landed(left),
        "employees": mine(request, Employee),
    }
    part = "portal/parts/trial_call.html" if request.headers.get("X-Part") else "portal/trial_call.html"
    return portal.render(request, part, context)


def _trial(request: HttpRequest, uuid: UUID) -> Call:
    return my(request, Call, uuid=uuid, source=Source.TRIAL)


def _settled(call: Call, accounts: list[Account]) -> bool:
    """Whether nothing more happens by itself."""
    coming = (Recording.State.ANNOUNCED, Recording.State.READY)
    if not call.finished or call.recordings.filter(state__in=coming).exists():
        return False
    return not any(account.standing.code == "writing" for account in accounts)


def _cleanable(left: list[tuple[Account, list[Trace]]]) -> bool:
    """Whether something can be removed, or more is still to be written."""
    removable = any(trace.removable for _account, traces in left for trace in traces)
    return removable or any(account.sync.reason != CLEANED and account.sync.wanted for account, _traces in left)


def _landed(left: list[tuple[Account, list[Trace]]]) -> bool:
    return any(account.standing.code == "written" for account, _traces in left)


@portal.page("trial/<uuid:uuid>/clean/", name="trial_clean", right=Right.MANAGE, posts=True)
def trial_clean(request: HttpRequest, uuid: UUID) -> HttpResponse:
    call = _trial(request, uuid)
    try:
        done = cleaning.clean(call)
    except UnderWay:
        messages.warning(request, _under_way())
        return onward(request, "portal:trial_call", uuid)
    for error in done.errors:
        messages.error(request, error)
    said = ngettext(
        "%(count)d thing was removed from the CRM.", "%(count)d things were removed from the CRM.", done.removed
    )
    rest = CallSync.objects.filter(call=call).select_related("credential")
    if done.removed:
        messages.success(request, said % {"count": done.removed})
    if any(cleaning.traces(row) for row in rest):
        messages.info(request, _("What is still listed only a person can delete, in the CRM itself."))
    return onward(request, "portal:trial_call", uuid)


@portal.page("trial/<uuid:uuid>/delete/", name="trial_delete", right=Right.MANAGE, posts=True)
def trial_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Out of the journal; what CRMs have of it stays there."""
    try:
        cleaning.delete(_trial(request, uuid))
    except UnderWay:
        messages.warning(request, _under_way())
        return onward(request, "portal:trial_call", uuid)
    messages.success(request, _("The test call was deleted from the journal."))
    return onward(request, "portal:trial")


def _under_way() -> str:
    return _("The call, or a request about it to the CRM, is still under way. Try again in a moment.")


portal.in_menu(
    "trial", gettext_lazy("Test call"), "science", group=gettext_lazy("Settings"), order=33, inside=("trial_call",)
)
