"""The portal's page on which somebody teaches a PBX our protocol: what came, what is wrong with it, what it answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees import phones
from employees.rights import Right
from employees.sites import PortalRequest, my, portal
from telephony import self_tests
from telephony.models import Connection
from telephony.providers.base import Capability
from telephony.providers.self_test import SelfTest
from telephony.self_tests import Played

from .coverage import integrations_of
from .models import Integration


class DialForm(forms.Form):
    """Whom the PBX is to connect with whom."""

    extension = forms.CharField(
        label=gettext_lazy("Extension"), help_text=gettext_lazy("Whose phone rings first."), max_length=32
    )
    phone = forms.CharField(
        label=gettext_lazy("Phone number"),
        help_text=gettext_lazy("Yours, for example: it really rings."),
        max_length=32,
    )

    def __init__(self, *arguments: Any, region: str, **named: Any):
        super().__init__(*arguments, **named)
        self._region = region

    def clean_phone(self) -> str:
        phone = phones.normalise(self.cleaned_data["phone"], self._region)
        if not phones.is_phone(phone):
            raise forms.ValidationError(
                _("This is not a phone number. Write it with + and the country code, for example.")
            )
        return phone


@portal.page("connections/<uuid:uuid>/self-test/", name="self_test", right=Right.MANAGE)
def self_test(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """How the test stands; with the header `X-Part` only what changes by itself."""
    row, test = _tested(request, uuid)
    return _page(request, row, test, DialForm(region=row.company.region))


@portal.page("connections/<uuid:uuid>/self-test/begin/", name="self_test_begin", right=Right.MANAGE, posts=True)
def self_test_begin(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row, _test = _tested(request, uuid)
    if _writing(row):
        messages.error(
            request, _("Not begun: a CRM takes the calls of this connection, and would get those of the test.")
        )
    else:
        _keep(request, row, timezone.now(), [])
    return redirect("portal:self_test", row.uuid)


@portal.page("connections/<uuid:uuid>/self-test/dial/", name="self_test_dial", right=Right.MANAGE, posts=True)
def self_test_dial(request: PortalRequest, uuid: UUID) -> HttpResponse:
    row, test = _tested(request, uuid)
    form = DialForm(request.POST, region=row.company.region)
    if not form.is_valid():
        return _page(request, row, test, form)
    _note(request, row, self_tests.dial(row, **form.cleaned_data, user=request.user))
    return redirect("portal:self_test", row.uuid)


@portal.page("connections/<uuid:uuid>/self-test/history/", name="self_test_history", right=Right.MANAGE, posts=True)
def self_test_history(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row, test = _tested(request, uuid)
    if Capability.HISTORY in self_tests.able(row):
        _note(request, row, self_tests.history(row, test))
    return redirect("portal:self_test", row.uuid)


def _tested(request: HttpRequest, uuid: UUID) -> tuple[Connection, SelfTest]:
    """The connection, where its protocol is one that a PBX can be taught."""
    row = my(request, Connection, uuid=uuid)
    if row.protocol.self_test is None:
        raise Http404
    return row, row.protocol.self_test


def _writing(row: Connection) -> list[Integration]:
    """Those that would write the test's calls into a CRM."""
    return [each for each in integrations_of(row) if each.active]


def _page(request: HttpRequest, row: Connection, test: SelfTest, form: DialForm) -> HttpResponse:
    began, played = _kept(request, row)
    context: dict[str, Any] = {
        "title": _("Self-test: %(name)s") % {"name": row.name},
        "row": row,
        "test": test,
        "address": row.address.url,
        "writing": _writing(row),
        "began": began,
        "able": self_tests.able(row),
        "not_asked": self_tests.not_asked(row),
        "form": form,
    }
    if began:
        course = self_tests.course_of(row, test, began)
        context["course"] = course
        context["played"] = [(each, self_tests.exchange_of(each), self_tests.followed(course, each)) for each in played]
        context["report"] = self_tests.report(row, course, played, began)
    part = "portal/parts/self_test.html" if request.headers.get("X-Part") else "portal/self_test.html"
    return portal.render(request, part, context)


# --- What the session remembers ---------------------------------------------------------------------------------------


def _key(row: Connection) -> str:
    return f"self-test-{row.uuid}"


def _kept(request: HttpRequest, row: Connection) -> tuple[datetime | None, list[Played]]:
    """When it began (None: it did not), and the last command of each kind."""
    kept = request.session.get(_key(row), {})
    began = datetime.fromisoformat(kept["began"]) if kept else None
    return began, [Played(**each) for each in kept.get("played", [])]


def _keep(request: HttpRequest, row: Connection, began: datetime, played: list[Played]) -> None:
    request.session[_key(row)] = {"began": began.isoformat(), "played": [each.kept() for each in played]}


def _note(request: HttpRequest, row: Connection, new: Played) -> None:
    began, played = _kept(request, row)
    _keep(request, row, began or timezone.now(), [*(each for each in played if each.kind != new.kind), new])
