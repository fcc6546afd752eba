"""The portal's pages of CRM accounts («учётные данные»): the list, the form, connecting, checking, deleting."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm_adapters import registry
from crm_adapters.base import Capability
from employees import audit
from employees.forms import onward, vendor_form, way_back
from employees.models import Membership
from employees.rights import Right, may
from employees.sites import PortalRequest, company_of, mine, my, portal
from outbound.errors import OutboundError
from telephony.account_forms import guide

from . import accounts, credentials, crm_events, crm_lists, renewals, sync
from .models import Credential, CrmEvent

SETTINGS = gettext_lazy("Settings")
EVENTS = 20
WAY_BACK = "way-back-from-the-crm"
"""Where in the session stands to which page somebody goes on who comes back from the CRM."""


class TitleForm(forms.ModelForm):
    class Meta:
        model = Credential
        fields = ["name"]
        labels = {"name": gettext_lazy("Account name")}


# --- The list and the form --------------------------------------------------------------------------------------------


@portal.page("credentials/", name="credentials", right=Right.MANAGE)
def credential_list(request: HttpRequest) -> HttpResponse:
    rows = mine(request, Credential).prefetch_related("integrations")
    context = {
        "title": _("CRM credentials"),
        "rows": rows,
        "crms": list(registry.all_adapters().values()),
    }
    return portal.render(request, "portal/credentials.html", context)


@portal.page("credentials/new/<slug:crm>/", name="credential_new", right=Right.MANAGE)
def credential_new(request: HttpRequest, crm: str) -> HttpResponse:
    if crm not in registry.all_adapters():
        raise Http404
    return _form(request, Credential(company=company_of(request), crm=crm))


@portal.page("credentials/<uuid:uuid>/", name="credential", right=Right.MANAGE)
def credential(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _form(request, my(request, Credential, uuid=uuid))


def _form(request: HttpRequest, row: Credential, extra: dict[str, Any] | None = None) -> HttpResponse:
    adapter = row.adapter
    post = request.POST if request.method == "POST" and extra is None else None
    title = TitleForm(post, instance=row)
    stored = row.values if row.pk else {}
    keys = vendor_form(adapter.credential_form, post, stored, adapter.secret_fields)
    if post is not None and all([title.is_valid(), keys.is_valid()]):
        return _save(request, row, title, keys)
    saved = Credential.objects.filter(pk=row.pk).prefetch_related("integrations").first() if row.pk else None
    context = {
        "title": str(saved) if saved else _("New account: %(crm)s") % {"crm": adapter.title},
        "row": saved,
        "adapter": adapter,
        "name_form": title,
        "keys": keys,
        "can_connect": accounts.can_connect(saved),
        "oauth_address": accounts.oauth_url(row.crm) if Capability.OAUTH in adapter.capabilities else "",
        "guide": guide(adapter.folder, **_places(saved, row.crm)),
        "events": _events(saved) if saved else [],
        **(extra or {}),
    }
    return portal.render(request, "portal/credential.html", context)


def _events(row: Credential) -> list[CrmEvent]:
    """What the CRM asked for and did not get. `told`: why, and what becomes of it."""
    found = list(crm_events.troubles(row).defer("body", "headers")[:EVENTS])
    for event in found:
        event.told = crm_events.in_words(event)  # type: ignore[attr-defined]
    return found


def _places(saved: Credential | None, crm: str) -> dict[str, str]:
    """What a guide may mention: the address for events and the one for the way back from the CRM."""
    return {
        "handler_url": saved.handler_url if saved else "…",
        "oauth_url": accounts.oauth_url(crm),
    }


def _save(request: HttpRequest, row: Credential, title: TitleForm, keys: forms.Form) -> HttpResponse:
    accounts.enter(title.save(commit=False), keys.cleaned_data)
    messages.success(request, _("Saved."))
    return onward(request, "portal:credential", row.uuid)


@portal.page("credentials/<uuid:uuid>/delete/", name="credential_delete", right=Right.MANAGE, posts=True)
def credential_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Refused while an integration uses the account, saying which."""
    row = my(request, Credential, uuid=uuid)
    name = str(row)
    if wrong := accounts.retire(row):
        messages.warning(request, wrong)
    if refused := accounts.delete(row):
        messages.error(request, refused)
        return redirect("portal:credential", uuid)
    messages.success(request, _("“%(name)s” was deleted.") % {"name": name})
    return redirect("portal:credentials")


# --- Checking ---------------------------------------------------------------------------------------------------------


@portal.page("credentials/<uuid:uuid>/check/", name="credential_check", right=Right.MANAGE, posts=True)
def credential_check(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Credential, uuid=uuid)
    try:
        checks = accounts.check(row)
    except OutboundError as error:
        messages.error(request, accounts.explained(row, error))
        return onward(request, "portal:credential", row.uuid)
    return _form(request, row, {"checks": checks})


# --- Connecting -------------------------------------------------------------------------------------------------------


@portal.page("credentials/<uuid:uuid>/connect/", name="credential_connect", right=Right.MANAGE, posts=True)
def credential_connect(request: PortalRequest, uuid: UUID) -> HttpResponse:
    """Off to the CRM; the state that comes back names the account and the person, signed."""
    row = my(request, Credential, uuid=uuid)
    address = credentials.authorise_url(row, request.user.pk) if request.user.pk else _for_a_guest(request, row)
    if not address:
        messages.error(request, _("Fill in the address and the application's keys first."))
        return onward(request, "portal:credential", row.uuid)
    if not request.user.pk:
        return _form(request, row, {"connects_at": address})
    request.session[WAY_BACK] = way_back(request)
    return redirect(address)


def _for_a_guest(request: PortalRequest, row: Credential) -> str:
    """No CRM lets itself be shown within another page, and in a window of its own a guest has no session: he connects
    with a link that is good for this alone."""
    return renewals.to_the_crm(renewals.make(row, request.membership.user.email), anew=True)


@portal.page("oauth/<slug:crm>/", name="oauth", right=Right.MANAGE)
def oauth(request: PortalRequest, crm: str) -> HttpResponse:
    """Back from the CRM: what it gave is exchanged for tokens at once."""
    row = _returned(request, crm)
    if row is None:
        messages.error(request, _("This way back from the CRM is not valid any more. Connect the account again."))
        return redirect("portal:credentials")
    http = credentials.http_for(row, purpose="connect", deadline=accounts.ASK_SECONDS)
    query = {key: request.GET.get(key, "") for key in request.GET if key != "state"}
    try:
        tokens = credentials.speaking(row, http, lambda secrets: row.adapter.authorised(http, secrets, query))
        credentials.store(row, tokens)
        audit.note(row, [audit.secret_line(gettext_lazy("access that the CRM gave"))])
    except OutboundError as error:
        messages.error(request, accounts.explained(row, error))
        return redirect("portal:credential", row.uuid)
    sync.resume(row)
    crm_lists.forget(row)
    messages.success(request, _("“%(name)s” is connected.") % {"name": row})
    if wrong := accounts.prepare(row):
        messages.warning(request, wrong)
    return redirect(request.session.pop(WAY_BACK, "") or reverse("portal:credential", args=[row.uuid]))


def _returned(request: PortalRequest, crm: str) -> Credential | None:
    try:
        state = credentials.authorised_state(request.GET.get("state", ""))
    except signing.BadSignature:
        return None
    if state.get("user") != request.user.pk:
        return None
    row = Credential.objects.filter(uuid=state["credential"], crm=crm).first()
    member = Membership.objects.filter(user=request.user, company=row.company).first() if row else None
    return row if may(member, Right.MANAGE) else None


@portal.page("credentials/<uuid:uuid>/prepare/", name="credential_prepare", right=Right.MANAGE, posts=True)
def credential_prepare(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Credential, uuid=uuid)
    if wrong := accounts.prepare(row):
        messages.warning(request, wrong)
    else:
        messages.success(request, _("Everything is set up in the CRM."))
    return onward(request, "portal:credential", row.uuid)


portal.in_menu(
    "credentials",
    gettext_lazy("CRM credentials"),
    "key",
    group=SETTINGS,
    order=31,
    inside=("credential", "credential_new", "renewals"),
)
