"""The pages of links for new keys: for managers and support, who make them, and for whoever opens one."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from employees.models import User
from employees.rights import Right
from employees.sites import my, portal, support
from outbound.errors import OutboundError
from telephony.refusals import Refusals

from . import accounts, credentials, renewals
from .models import Credential, Renewal

_refusals = Refusals()


# --- Making them ------------------------------------------------------------------------------------------------------


def _context(credential: Credential) -> dict[str, Any]:
    return {
        "title": _("Link for new keys: %(account)s") % {"account": credential},
        "row": credential,
        "possible": renewals.possible(credential),
        "links": renewals.shown(credential),
        "days": renewals.LIVES.days,
    }


def _act(request: HttpRequest, credential: Credential) -> None:
    """Make a link, or revoke the one that the pressed button names."""
    if chosen := request.POST.get("revoke", ""):
        row = credential.renewals.filter(pk=int(chosen)).first() if chosen.isdecimal() else None
        if row:
            renewals.revoke(row)
            messages.success(request, _("The link opens nothing any more."))
    elif renewals.possible(credential):
        renewals.make(credential, cast("User", request.user).email)


@portal.page("credentials/<uuid:uuid>/links/", name="renewals", right=Right.MANAGE)
def links(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Credential, uuid=uuid)
    if request.method == "POST":
        _act(request, row)
        return redirect("portal:renewals", row.uuid)
    return portal.render(request, "portal/renewals.html", _context(row))


@support.page("credentials/<uuid:uuid>/links/", name="renewals")
def support_links(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = get_object_or_404(Credential.objects.select_related("company"), uuid=uuid)
    if request.method == "POST":
        _act(request, row)
        return redirect("support:renewals", row.uuid)
    return support.render(request, "portal/renewals.html", _context(row))


# --- Opening one ------------------------------------------------------------------------------------------------------


@never_cache
@csrf_protect
@sensitive_post_parameters()
def renew(request: HttpRequest, uuid: UUID, proof: str) -> HttpResponse:
    """New keys for one account, from somebody who may be a stranger: nothing else of the company is shown."""
    who = request.META.get("REMOTE_ADDR", "")
    if _refusals.too_often(who):
        return _say(request, _("Too many wrong links. Try again in a minute."), status=429)
    row = renewals.by_address(uuid, proof)
    if row is None:
        _refusals.note(who, page="renew", remote=who)
        return _dead(request)
    if request.method != "POST":
        return _ask(request, row)
    if not renewals.count_try(row):
        return _dead(request)
    return redirect(renewals.to_the_crm(row)) if "connect" in request.POST else _take(request, row)


def _ask(request: HttpRequest, row: Renewal, wrong: str = "") -> HttpResponse:
    credential = row.credential
    form = renewals.keys_form(credential, request.POST if request.method == "POST" else None)
    context = {
        "credential": credential,
        "fields": [item for item in form if item.name in credential.adapter.secret_fields],
        "form": form,
        "can_connect": accounts.can_connect(credential),
        "wrong": wrong,
    }
    return render(request, "portal/renew.html", context)


def _take(request: HttpRequest, row: Renewal) -> HttpResponse:
    form = renewals.keys_form(row.credential, request.POST)
    if not form.is_valid():
        return _ask(request, row, _("Please correct what is marked."))
    try:
        renewals.take_keys(row, form.cleaned_data, request.META.get("REMOTE_ADDR", ""))
    except OutboundError as error:
        return _ask(request, row, accounts.explained(row.credential, error))
    return _done(request, row)


@never_cache
def oauth_return(request: HttpRequest, crm: str) -> HttpResponseBase:
    """A CRM knows one way back: of those who opened a link, and of those who are signed in."""
    try:
        state = credentials.authorised_state(request.GET.get("state", ""))
    except signing.BadSignature:
        state = {}
    if "renewal" not in state:
        return portal.view("oauth")(request, crm=crm)
    row = renewals.alive(state["renewal"])
    if row is None or row.credential.crm != crm:
        return _dead(request)
    query = {name: request.GET.get(name, "") for name in request.GET if name != "state"}
    try:
        renewals.come_back(row, query, request.META.get("REMOTE_ADDR", ""), anew="anew" in state)
    except OutboundError as error:
        return _say(request, accounts.explained(row.credential, error), status=400, again=renewals.address(row))
    return _done(request, row)


def _done(request: HttpRequest, row: Renewal) -> HttpResponse:
    words = _("“%(account)s” is connected again, and the calls that waited are being written. You may close this page.")
    return _say(request, words % {"account": row.credential}, done=True)


def _dead(request: HttpRequest) -> HttpResponse:
    words = _("This link opens nothing any more: it was used, revoked, or is too old. Ask for a new one.")
    return _say(request, words, status=410)


def _say(request: HttpRequest, words: str, status: int = 200, **more: Any) -> HttpResponse:
    return render(request, "portal/renew.html", {"words": words, **more}, status=status)
