"""The portal's pages of webhooks: which programmes are told what, and what became of each message."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache

from employees.forms import back
from employees.models import Company
from employees.rights import Right
from employees.sites import company_of, portal
from telephony.models import Connection
from telephony.words import ours

from . import deliveries, endpoints, payloads, telling
from .models import WebhookDelivery, WebhookEndpoint
from .unwritten_pages import MomentInput

TITLE = gettext_lazy("Webhooks")
SHOWN = 50
State = WebhookDelivery.State


class WebhookForm(forms.Form):
    url = forms.CharField(
        label=gettext_lazy("Address of your programme"),
        max_length=2000,
        widget=forms.URLInput(attrs={"placeholder": "https://", "autocomplete": "off"}),
        help_text=gettext_lazy("We send a POST with JSON there. An answer from 200 to 299 within 15 seconds is a yes."),
    )
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("To tell webhooks apart. Empty: the host of the address."),
    )
    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        choices=[(kind, format_lazy("{}: {}", kind, words)) for kind, words in payloads.KINDS.items()],
        initial=list(payloads.KINDS),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Choose at least one event.")},
    )
    connections = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Only of these PBX connections"),
        queryset=Connection.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None chosen: of all. Events of CRMs and clients come in any case."),
    )

    def __init__(self, company: Company, *given: Any, **more: Any):
        super().__init__(*given, **more)
        self.fields["connections"].queryset = company.connections.all()  # type: ignore[attr-defined]

    def clean_url(self) -> str:
        return endpoints.checked_url(self.cleaned_data["url"])

    @property
    def values(self) -> dict[str, Any]:
        """As `endpoints` wants them."""
        return self.cleaned_data


class ResendForm(forms.Form):
    since = forms.DateTimeField(label=gettext_lazy("Everything since"), widget=MomentInput)
    failed_only = forms.BooleanField(label=gettext_lazy("only what was given up"), required=False, initial=True)


def _mine(request: HttpRequest, uuid: UUID) -> WebhookEndpoint:
    return get_object_or_404(endpoints.of(company_of(request)), uuid=uuid)


# --- Which there are --------------------------------------------------------------------------------------------------


@portal.page("webhooks/", name="webhooks", right=Right.MANAGE)
def webhooks(request: HttpRequest) -> HttpResponse:
    rows = endpoints.of(company_of(request)).defer("url", "secrets").order_by("pk")
    return portal.render(request, "portal/webhooks.html", {"title": TITLE, "rows": rows})


@portal.page("webhooks/new/", name="webhook_new", right=Right.MANAGE)
@never_cache
def webhook_new(request: HttpRequest) -> HttpResponse:
    """The answer to the form shows the secret, the only time."""
    company = company_of(request)
    form = WebhookForm(company, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            row, secret = endpoints.create(company, **form.values)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            return _show_secret(request, row, secret)
    return portal.render(request, "portal/webhook.html", {"title": _("New webhook"), "form": form})


@portal.page("webhooks/<uuid:uuid>/", name="webhook", right=Right.MANAGE)
def webhook(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = _mine(request, uuid)
    initial = {"url": row.url, "name": row.name, "kinds": row.kinds.split(), "connections": row.connections.all()}
    form = WebhookForm(row.company, request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        endpoints.change(row, **form.values)
        messages.success(request, _("Saved."))
        return redirect("portal:webhook", row.uuid)
    retiring = [until for _text, until in row.keys if until]
    context = {"title": str(row), "row": row, "form": form, "retiring": max(retiring, default=None)}
    return portal.render(request, "portal/webhook.html", context)


def _show_secret(request: HttpRequest, row: WebhookEndpoint, secret: str) -> HttpResponse:
    context = {"title": str(row), "row": row, "secret": secret, "hours": int(endpoints.OVERLAP.total_seconds() / 3600)}
    return portal.render(request, "portal/webhook_secret.html", context)


@portal.page("webhooks/<uuid:uuid>/rotate/", name="webhook_rotate", right=Right.MANAGE, posts=True)
@never_cache
def webhook_rotate(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = _mine(request, uuid)
    return _show_secret(request, row, endpoints.rotate(row))


@portal.page("webhooks/<uuid:uuid>/switch/", name="webhook_switch", right=Right.MANAGE, posts=True)
def webhook_switch(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = _mine(request, uuid)
    if row.active:
        endpoints.switch_off(row)
        messages.success(request, _("Switched off. What happens from now on is not kept for it."))
    else:
        endpoints.switch_on(row)
        messages.success(request, _("Switched on. What was given up before can be sent once more from the log."))
    return redirect("portal:webhook", row.uuid)


@portal.page("webhooks/<uuid:uuid>/delete/", name="webhook_delete", right=Right.MANAGE, posts=True)
def webhook_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    endpoints.delete(_mine(request, uuid))
    messages.success(request, _("Deleted."))
    return redirect("portal:webhooks")


# --- What became of the messages --------------------------------------------------------------------------------------


@portal.page("webhooks/<uuid:uuid>/log/", name="webhook_log", right=Right.MANAGE)
def webhook_log(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The newest first; with the header `X-Part` only the rows, for pages that live."""
    row = _mine(request, uuid)
    state, before = request.GET.get("state", ""), request.GET.get("before", "")
    rows = row.deliveries.defer("body", "answer", "history").order_by("-pk")
    rows = rows.filter(state=state) if state in State.values else rows
    rows = rows.filter(pk__lt=int(before)) if before.isdecimal() else rows
    listed = list(rows[: SHOWN + 1])
    for each in listed:
        each.said = ours(each.error)  # type: ignore[attr-defined]
    done, total = telling.progress(row)
    context = {
        "title": _("Deliveries: %(webhook)s") % {"webhook": row},
        "row": row,
        "rows": listed[:SHOWN],
        "older": listed[SHOWN - 1].pk if len(listed) > SHOWN else None,
        "first": not before,
        "state": state,
        "states": [("", _("all")), *State.choices],
        "done": done,
        "total": total,
        "percent": 100 * done // total if total else 100,
        "tries": deliveries.TRIES,
        "form": ResendForm(),
    }
    part = "portal/parts/webhook_log.html" if request.headers.get("X-Part") else "portal/webhook_log.html"
    return portal.render(request, part, context)


@portal.page("webhooks/<uuid:uuid>/log/<uuid:event>/", name="webhook_delivery", right=Right.MANAGE)
def webhook_delivery(request: HttpRequest, uuid: UUID, event: UUID) -> HttpResponse:
    """With the header `X-Part` only what changes by itself."""
    row = get_object_or_404(_mine(request, uuid).deliveries.select_related("endpoint"), event=event)
    context = {
        "title": str(row.endpoint),
        "row": row,
        "said": ours(row.error) if not row.history or row.error != row.history[-1]["error"] else "",
        "most": deliveries.TRIES,
        "tries": [_told(each) for each in reversed(row.history)],
        "body": payloads.shown(row.body),
    }
    part = "portal/parts/webhook_delivery.html" if request.headers.get("X-Part") else "portal/webhook_delivery.html"
    return portal.render(request, part, context)


def _told(each: dict[str, Any]) -> dict[str, Any]:
    return {**each, "at": datetime.fromisoformat(each["at"]), "error": ours(each["error"])}


@portal.page("webhooks/<uuid:uuid>/test/", name="webhook_test", right=Right.MANAGE, posts=True)
def webhook_test(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = _mine(request, uuid)
    try:
        sent = telling.send_test(row)
    except ValidationError as error:
        messages.error(request, error.message)
        return redirect("portal:webhook", row.uuid)
    messages.success(request, _("The test event is on its way. Here stands what your programme answers."))
    return redirect("portal:webhook_delivery", row.uuid, sent.event)


@portal.page("webhooks/<uuid:uuid>/log/<uuid:event>/resend/", name="webhook_resend", right=Right.MANAGE, posts=True)
def webhook_resend(request: HttpRequest, uuid: UUID, event: UUID) -> HttpResponse:
    row = get_object_or_404(_mine(request, uuid).deliveries.select_related("endpoint"), event=event)
    try:
        telling.resend(row)
        messages.success(request, _("It is sent once more, with the same id."))
    except ValidationError as error:
        messages.error(request, error.message)
    return back(request, reverse("portal:webhook_delivery", args=[uuid, event]))


@portal.page("webhooks/<uuid:uuid>/resend/", name="webhook_resend_since", right=Right.MANAGE, posts=True)
def webhook_resend_since(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row, form = _mine(request, uuid), ResendForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Say since when."))
        return redirect("portal:webhook_log", row.uuid)
    try:
        count = telling.resend_since(row, form.cleaned_data["since"], failed_only=form.cleaned_data["failed_only"])
    except ValidationError as error:
        messages.error(request, error.message)
    else:
        said = ngettext("%(count)d event is sent once more.", "%(count)d events are sent once more.", count)
        messages.success(request, said % {"count": count} if count else _("There is nothing to send since then."))
    return redirect("portal:webhook_log", row.uuid)


portal.in_menu(
    "webhooks",
    TITLE,
    "webhook",
    group=gettext_lazy("Settings"),
    order=34,
    inside=("webhook", "webhook_new", "webhook_rotate", "webhook_log", "webhook_delivery"),
)
