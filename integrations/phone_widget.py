"""The page of phones that a CRM loads into its own: asked for by the CRM, then by itself for whoever looks at it.

Whose phone it is the CRM says of the token that it gave to the page; there is no cookie and no session here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from crm_adapters import registry
from crm_adapters.base import Refused, Request
from employees.models import Extension
from outbound.errors import OutboundError
from telephony import browser_phones
from telephony.models import BrowserPhone, Connection, digest
from telephony.refusals import Refusals

from . import credentials, modes
from .models import Credential, EmployeeMapping

log = structlog.get_logger(__name__)

SALT = "callbridge.phone-page"
DAY = 24 * 60 * 60
HOUR = 60 * 60
_refusals = Refusals()


Door = Callable[[HttpRequest, Credential], HttpResponse]


def _door(view: Door) -> Callable[[HttpRequest, str, str], HttpResponse]:
    """An address of one account, for requests that prove themselves without a cookie. Strangers count by where they
    come from, others by the account too: a whole office may sit behind one address."""

    @csrf_exempt
    @require_POST
    @never_cache
    @wraps(view)
    def opened(request: HttpRequest, crm: str, token: str) -> HttpResponse:
        remote = request.META.get("REMOTE_ADDR", "")
        credential = _credential(crm, token)
        who = (remote, token if credential else "")
        try:
            if _refusals.too_often(who):
                raise Refused(429, "refused_too_often")
            if credential is None:
                raise Refused(404, "not_found")
            answer = view(request, credential)
        except Refused as refusal:
            if refusal.code != "refused_too_often":
                _refusals.note(who, crm=crm, reason=refusal.code, remote=remote)
            reply = refusal.reply
            return HttpResponse(reply.body, reply.content_type, reply.status, headers=dict(reply.headers))
        _refusals.forgive(who)
        return answer

    return opened


def _credential(crm: str, token: str) -> Credential | None:
    found = Credential.objects.filter(crm=crm, webhook_digest=digest("crm-webhook", token)).select_related("company")
    return found.first() if crm in registry.all_adapters() else None


@_door
@xframe_options_exempt
def page(request: HttpRequest, credential: Credential) -> HttpResponse:
    """`/hooks/<crm>/<token>/phone/`: only in the CRM's own pages, and it may speak to us and to the PBX alone."""
    wire = Request("POST", "phone", request.body, request.META.get("QUERY_STRING", ""))
    shown = credential.adapter.phone_page(wire, credential.values)
    connections = Connection.objects.filter(integrations__in=modes.in_browser(credential)).distinct()
    language = shown.language if shown.language in dict(settings.LANGUAGES) else credential.company.language
    with translation.override(language):
        troubles = {code: str(words) for code, words in browser_phones.TROUBLES.items()}
        context = {"shown": shown, "credential": credential, "troubles": troubles, "language": language}
        response = render(request, "widget/phone.html", context)
    library = urlsplit(shown.library)
    browser_phones.allow(
        response,
        browser_phones.able(connections),
        f"script-src 'self' {library.scheme}://{library.netloc}",
        "object-src 'none'",
        "base-uri 'none'",
        f"frame-ancestors {shown.parent}",
    )
    return response


@_door
def account(request: HttpRequest, credential: Credential) -> HttpResponse:
    """What the phone of the CRM's user registers with, and his colleagues' extensions; empty where he has none."""
    http = credentials.http_for(credential, purpose="phone")
    try:
        user = credential.adapter.phone_user(http, credential.values, request.POST.dict())
    except OutboundError as error:
        log.warning("whose page of phones it is was not said", credential=str(credential.uuid), words=error.words)
        return JsonResponse({"error": "crm"}, status=503)
    phone = _phone(credential, user)
    if phone is None:
        return JsonResponse({})
    told: dict[str, Any] = asdict(browser_phones.account(phone))
    return JsonResponse(told | {"ticket": signing.dumps(phone.pk, salt=SALT), "colleagues": _colleagues(credential)})


@_door
def asked(request: HttpRequest, credential: Credential) -> HttpResponse:
    """Whether the call that rings answers a click of the same person (`{"asked": true}`); his page has a ticket."""
    try:
        key = signing.loads(request.POST.get("ticket", ""), salt=SALT, max_age=DAY)
    except signing.BadSignature as error:
        raise Refused(403, "bad_ticket") from error
    phones = BrowserPhone.objects.filter(pk=key, company=credential.company).select_related("connection", "company")
    phone, number = phones.first(), request.POST.get("number", "")[:64]
    return JsonResponse({"asked": bool(phone and number and browser_phones.asked_for(phone, number))})


@_door
def lost(request: HttpRequest, credential: Credential) -> HttpResponse:
    """The CRM took our page away, because it came slowly too often: it is set up again, once an hour at the most."""
    from .actors import set_up_again

    if cache.add(f"phone-page-lost:{credential.pk}", 1, HOUR):
        log.warning("the CRM took the page of phones away", credential=str(credential.uuid))
        set_up_again.send(credential.pk)
    return HttpResponse(status=204)


# --- Whose it is ------------------------------------------------------------------------------------------------------


def _phone(credential: Credential, user: str) -> BrowserPhone | None:
    """Of the employee who is this user, at a PBX of an integration in whose mode one talks in the browser."""
    integrations = modes.in_browser(credential)
    employees = EmployeeMapping.objects.filter(integration__in=integrations, crm_user=user)
    phones = browser_phones.of_employees(employees.values_list("employee", flat=True))
    rows = phones.filter(connection__integrations__in=integrations).distinct()
    return next((row for row in rows if browser_phones.able([row.connection])), None)


def _colleagues(credential: Credential) -> dict[str, str]:
    """User of the CRM → an extension of his, for transfers."""
    mapped = EmployeeMapping.objects.filter(integration__in=modes.in_browser(credential)).exclude(crm_user="")
    users = dict(mapped.values_list("employee", "crm_user"))
    rows = Extension.objects.filter(employee__in=users).order_by("-number").values_list("employee", "number")
    return {users[employee]: number for employee, number in rows}
