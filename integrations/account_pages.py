"""The portal's pages of CRM accounts («учётные данные»): the list, the form, connecting, checking, deleting."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core import signing
from django.db.models import RestrictedError
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
from telephony.words import unreachable

from . import credentials, crm_events, crm_lists, crm_setup, sync
from .models import Credential, CrmEvent

SETTINGS = gettext_lazy("Settings")
ASK_SECONDS = 10.0
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
        "can_connect": can_connect(saved),
        "oauth_address": _oauth_url(row.crm) if Capability.OAUTH in adapter.capabilities else "",
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


def can_connect(row: Credential | None) -> bool:
    if row is None or Capability.OAUTH not in row.adapter.capabilities:
        return False
    return bool(row.adapter.authorise_url(row.values, "state"))


def _places(saved: Credential | None, crm: str) -> dict[str, str]:
    """What a guide may mention: the address for events and the one for the way back from the CRM."""
    return {
        "handler_url": saved.handler_url if saved else "…",
        "oauth_url": _oauth_url(crm),
    }


def _oauth_url(crm: str) -> str:
    return f"{settings.PUBLIC_URL}/oauth/{crm}/"


def _save(request: HttpRequest, row: Credential, title: TitleForm, keys: forms.Form) -> HttpResponse:
    """What was entered replaces what the form has; what the CRM gave (tokens) stays while the account is the same."""
    before = row.values if row.pk else {}
    entered = {name: "" if value is None else str(value) for name, value in keys.cleaned_data.items()}
    row = title.save(commit=False)
    changed = any(before.get(name, "") != value for name, value in entered.items())
    row.values = {**before, **entered}
    if changed and row.state in (Credential.State.REFUSED, Credential.State.DISCONNECTED):
        row.state, row.state_words = Credential.State.NEW, ""
    row.save()
    if changed:
        crm_lists.forget(row)
    messages.success(request, _("Saved."))
    return onward(request, "portal:credential", row.uuid)


@portal.page("credentials/<uuid:uuid>/delete/", name="credential_delete", right=Right.MANAGE, posts=True)
def credential_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Refused while an integration uses the account, saying which."""
    row = my(request, Credential, uuid=uuid)
    name = str(row)
    try:
        retire(request, row)
        row.delete()
    except RestrictedError:
        where = ", ".join(f"“{item}”" for item in row.integrations.all()) or _("the calls that were written into it")
        words = _("“%(name)s” is in use and was not deleted. It is used by: %(where)s.")
        messages.error(request, words % {"name": name, "where": where})
        return redirect("portal:credential", uuid)
    messages.success(request, _("“%(name)s” was deleted.") % {"name": name})
    return redirect("portal:credentials")


# --- Checking ---------------------------------------------------------------------------------------------------------


@portal.page("credentials/<uuid:uuid>/check/", name="credential_check", right=Right.MANAGE, posts=True)
def credential_check(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Credential, uuid=uuid)
    http = credentials.http_for(row, purpose="check", deadline=ASK_SECONDS)
    try:
        checks = credentials.speaking(row, http, lambda secrets: row.adapter.check(http, secrets))
    except OutboundError as error:
        messages.error(request, explained(row, error))
        return onward(request, "portal:credential", row.uuid)
    row.refresh_from_db()
    proven = (
        not row.adapter.prepares or Capability.OAUTH in row.adapter.capabilities
    )  # else only setting it up proves it
    if proven and checks and all(check.ok for check in checks) and row.state != Credential.State.READY:
        credentials.store(row, {})
        sync.resume(row)
    return _form(request, row, {"checks": checks})


def explained(row: Credential, error: OutboundError) -> str:
    words = unreachable(row.adapter.title, error.kind, error.words)
    cure = row.adapter.errors_help(error)
    return f"{words}. {cure}" if cure else words


# --- Connecting -------------------------------------------------------------------------------------------------------


@portal.page("credentials/<uuid:uuid>/connect/", name="credential_connect", right=Right.MANAGE, posts=True)
def credential_connect(request: PortalRequest, uuid: UUID) -> HttpResponse:
    """Off to the CRM; the state that comes back names the account and the person, signed."""
    row = my(request, Credential, uuid=uuid)
    address = credentials.authorise_url(row, request.user.pk)
    if not address:
        messages.error(request, _("Fill in the address and the application's keys first."))
        return onward(request, "portal:credential", row.uuid)
    request.session[WAY_BACK] = way_back(request)
    return redirect(address)


@portal.page("oauth/<slug:crm>/", name="oauth", right=Right.MANAGE)
def oauth(request: PortalRequest, crm: str) -> HttpResponse:
    """Back from the CRM: what it gave is exchanged for tokens at once."""
    row = _returned(request, crm)
    if row is None:
        messages.error(request, _("This way back from the CRM is not valid any more. Connect the account again."))
        return redirect("portal:credentials")
    http = credentials.http_for(row, purpose="connect", deadline=ASK_SECONDS)
    query = {key: request.GET.get(key, "") for key in request.GET if key != "state"}
    try:
        tokens = credentials.speaking(row, http, lambda secrets: row.adapter.authorised(http, secrets, query))
        credentials.store(row, tokens)
        audit.note(row, [audit.secret_line(gettext_lazy("access that the CRM gave"))])
    except OutboundError as error:
        messages.error(request, explained(row, error))
        return redirect("portal:credential", row.uuid)
    sync.resume(row)
    crm_lists.forget(row)
    messages.success(request, _("“%(name)s” is connected.") % {"name": row})
    prepare(request, row)
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


def prepare(request: HttpRequest, row: Credential) -> None:
    """Set up in the CRM what we need there; what goes wrong is said and keeps nobody from working."""
    try:
        crm_setup.prepare(row)
    except OutboundError as error:
        said = _("The CRM was not set up completely: %(words)s Use “Set up in the CRM” on the account's page again.")
        messages.warning(request, said % {"words": explained(row, error)})


def retire(request: HttpRequest, row: Credential) -> None:
    """Nothing of ours is left in a CRM that no integration speaks to; it is no harm if that goes wrong."""
    try:
        crm_setup.retire(row)
    except OutboundError as error:
        said = _("The CRM could not be told that the integration is off: %(words)s")
        messages.warning(request, said % {"words": explained(row, error)})


@portal.page("credentials/<uuid:uuid>/prepare/", name="credential_prepare", right=Right.MANAGE, posts=True)
def credential_prepare(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Credential, uuid=uuid)
    before = len(messages.get_messages(request))
    prepare(request, row)
    if len(messages.get_messages(request)) == before:
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
