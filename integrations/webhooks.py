"""The door for CRMs: prove the sender, store, answer. What an event means is for `crm_events`."""

from __future__ import annotations

import structlog
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from crm_adapters import registry
from crm_adapters.base import Adapter, Refused, Request
from telephony.hot import after_commit, hot_write
from telephony.models import digest

from .actors import handle_crm_event
from .models import Credential, CrmEvent

log = structlog.get_logger(__name__)

KEPT_HEADERS = {"content-type", "user-agent", "signature", "authorization"}


@csrf_exempt
def receive(request: HttpRequest, crm: str, path: str = "") -> HttpResponse:
    """`/hooks/<crm>/<token>/…` of one credential, or `/hooks/<crm>/…` for all customers of an application."""
    adapter = registry.all_adapters().get(crm)
    if adapter is None:
        return JsonResponse({"error": "not_found"}, status=404)
    try:
        event = admit(adapter, request.method or "GET", path, request)
    except Refused as refusal:
        log.info("CRM event refused", crm=crm, reason=refusal.code)
        return JsonResponse({"error": refusal.code}, status=refusal.status)
    after_commit(handle_crm_event.send, event.pk)
    return HttpResponse(status=200)


def admit(adapter: Adapter, method: str, path: str, request: HttpRequest) -> CrmEvent:
    """Prove the sender and store the event; raises `Refused`."""
    token, _, rest = path.partition("/")
    headers = {key.lower(): value for key, value in request.headers.items() if key.lower() in KEPT_HEADERS}
    query = request.META.get("QUERY_STRING", "")
    credential = Credential.objects.filter(crm=adapter.slug, webhook_digest=digest("crm-webhook", token)).first()
    if credential is None:
        rest = path
        wire = Request(method, rest, request.body, query, headers)
        credential = _by_account(adapter, wire)
    wire = Request(method, rest, request.body, query, headers)
    adapter.authenticate(wire, credential.values)
    with hot_write():
        return CrmEvent.objects.create(
            credential=credential, path=rest[:200], query=query, headers=headers, body=request.body
        )


def _by_account(adapter: Adapter, wire: Request) -> Credential:
    """The credential that a request to the common address proves itself for."""
    account = adapter.identify(wire)
    rows = Credential.objects.filter(crm=adapter.slug, account_digest=digest(f"account.{adapter.slug}", account))
    refusal = Refused(403, "unknown_account")
    for credential in rows:
        try:
            adapter.authenticate(wire, credential.values)
        except Refused as error:
            refusal = error
        else:
            return credential
    raise refusal
