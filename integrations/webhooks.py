"""The door for CRMs: prove the sender, store, answer. What an event means is for `crm_events`."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from prometheus_client import Counter

from crm_adapters import registry
from crm_adapters.base import Adapter, Refused, Reply, Request
from telephony.bodies import storable
from telephony.hot import after_commit, hot_write
from telephony.models import digest
from telephony.refusals import Refusals

from .actors import handle_crm_event
from .models import Credential, CrmEvent

KEPT_HEADERS = {"content-type", "user-agent", "signature", "authorization"}
LONGEST_PATH: int = CrmEvent._meta.get_field("path").max_length or 0
UNKNOWN = "unknown_account"

refusals = Counter("callbridge_crm_event_refusals", "Requests of CRMs that were refused", ["crm", "reason"])
_refusals = Refusals()


@csrf_exempt
def receive(request: HttpRequest, crm: str, path: str = "") -> HttpResponse:
    """`/hooks/<crm>/<token>/…` of one credential, or `/hooks/<crm>/…` for all customers of an application.

    The entrance has bounded the body already (`telephony.bodies`).
    """
    adapter = registry.all_adapters().get(crm)
    if adapter is None:
        return JsonResponse({"error": "not_found"}, status=404)
    if request.method not in adapter.methods:
        return HttpResponseNotAllowed(sorted(adapter.methods))
    try:
        reply = admit(adapter, path, request)
    except Refused as refusal:
        refusals.labels(crm, refusal.code).inc()
        reply = refusal.reply
    return HttpResponse(reply.body, status=reply.status, content_type=reply.content_type, headers=dict(reply.headers))


def admit(adapter: Adapter, path: str, request: HttpRequest) -> Reply:
    """Prove the sender, store the event, answer; raises `Refused`."""
    remote = request.META.get("REMOTE_ADDR", "")
    who = (remote, "")
    try:
        wire, credentials, whose = _addressed(adapter, path, request)
        if credentials and (greeting := adapter.handshake(wire)):
            return greeting
        # Who is known counts by himself and his address, strangers by where they come from.
        who = (remote, whose if credentials else "")
        if _refusals.too_often(who):
            raise Refused(429, "refused_too_often")
        credential = _proven(credentials, wire)
    except Refused as refusal:
        if _refusals.too_often(who):
            raise Refused(429, "refused_too_often") from None
        _refusals.note(who, crm=adapter.slug, reason=refusal.code, remote=remote)
        raise
    _refusals.forgive(who)
    with hot_write():
        event = CrmEvent.objects.create(
            credential=credential,
            method=wire.method,
            path=wire.path,
            query=wire.query,
            headers=wire.headers,
            body=wire.body,
        )
        after_commit(handle_crm_event.send, event.pk)
    return adapter.reply(wire, credential.values)


def _addressed(adapter: Adapter, path: str, request: HttpRequest) -> tuple[Request, list[Credential], str]:
    """The request as the adapter reads it, whose it may be, and what it calls them: a token, or an account."""
    token, _, rest = path.partition("/")
    credentials = list(Credential.objects.filter(crm=adapter.slug, webhook_digest=digest("crm-webhook", token)))
    if credentials:
        return _wire(adapter, request, rest), credentials, token
    wire = _wire(adapter, request, path)
    account = adapter.identify(wire)
    rows = Credential.objects.filter(crm=adapter.slug, account_digest=digest(f"account.{adapter.slug}", account))
    return wire, list(rows), account


def _wire(adapter: Adapter, request: HttpRequest, path: str) -> Request:
    if len(path) > LONGEST_PATH or not path.isprintable():
        raise Refused(400, "bad_path")
    kept = ((name.lower(), value) for name, value in request.headers.items())
    headers = {name: storable(value) for name, value in kept if name in KEPT_HEADERS | adapter.kept_headers}
    query = storable(request.META.get("QUERY_STRING", ""))
    return Request(request.method or "", path, request.body, query, headers)


def _proven(credentials: list[Credential], wire: Request) -> Credential:
    """The first of the credentials that the request proves itself for."""
    refusal = Refused(403, UNKNOWN)
    for credential in credentials:
        try:
            credential.adapter.authenticate(wire, credential.values)
        except Refused as error:
            refusal = error
        else:
            return credential
    raise refusal
