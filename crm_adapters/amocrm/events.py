"""What amoCRM tells us: a click on a number (our widget), changed contacts (webhooks). The widget itself is handed out
here too.

The widget's requests come from the user's browser with a one-time token in X-Auth-Token: a JWT signed with the
integration's secret key (HS256; developers.kommo.com, "one-time tokens"). Webhooks are not signed: the proof is a
secret in their address, another than the address's own, which every user of the account can see in the widget.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from crm_adapters.base import ClientChanged, ClientMatch, DialRequested, Event, Refused, Reply, Request

from . import address, directory, widget, wire

CLICK, HOOK, WIDGET = "click-to-call", "contacts", "widget.zip"
TOKEN = "x-auth-token"  # noqa: S105 - a header's name
METHODS = frozenset({"GET", "POST", "OPTIONS"})
HEADERS = frozenset({TOKEN, "origin"})
LEEWAY = 30.0
"""Seconds by which amoCRM's clock may differ from ours."""
MAX_BODY = 512 * 1024
MAX_FIELDS = 5_000
MAX_DEPTH = 8
_PART = re.compile(r"\[([^\[\]]*)\]")
_OURS = re.compile(r"/hooks/amocrm/[^/]+/contacts/[0-9a-f]{32}")


# --- Browsers ---------------------------------------------------------------------------------------------------------


def handshake(request: Request) -> Reply | None:
    """May a page of amoCRM ask us? Yes. And the widget, for who connects the account."""
    path = request.path.strip("/")
    if request.method == "OPTIONS":
        return Reply(status=204, headers=_allowed(request, "") | _PREFLIGHT)
    if request.method == "GET" and path == WIDGET:
        disposition = 'attachment; filename="widget.zip"'
        headers = {"Content-Disposition": disposition}
        return Reply(body=widget.archive(), content_type="application/zip", headers=headers)
    return None


_PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "X-Auth-Token, X-Requested-With, Content-Type",
    "Access-Control-Max-Age": "600",
}


def reply(request: Request, secrets: Mapping[str, str]) -> Reply:
    if _is_hook(request):
        return Reply(body=b"")
    return Reply(body=b'{"ok":true}', headers=_allowed(request, secrets.get("domain", "")))


def _allowed(request: Request, domain: str) -> dict[str, str]:
    """Pages of accounts may read our answers, others not."""
    origin = request.headers.get("origin", "")
    try:
        ours = bool(domain) and origin == address.origin(domain)
        known = ours or address.is_vendors(urlsplit(origin).hostname or "")
    except ValueError:
        known = False
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"} if known else {}


# --- Proof ------------------------------------------------------------------------------------------------------------


def authenticate(request: Request, secrets: Mapping[str, str], now: float | None = None) -> None:
    """Raises `Refused` unless a click has a token of this account, or a webhook knows its secret."""
    if request.method != "POST" or len(request.body) > MAX_BODY:
        raise Refused(413 if len(request.body) > MAX_BODY else 405, "bad_request")
    if _is_hook(request):
        if not _key(secrets) or not _same(request.path.strip("/"), _hook_path(secrets)):
            raise Refused(403, "wrong_secret")
        return
    if request.path.strip("/") != CLICK:
        raise Refused(404, "not_found")
    _prove(_token(request), secrets, time.time() if now is None else now)


def _token(request: Request) -> str:
    return request.headers.get(TOKEN, "")


def _prove(token: str, secrets: Mapping[str, str], now: float) -> None:
    key, client = secrets.get("client_secret", ""), secrets.get("client_id", "")
    if not key or not client:
        raise Refused(403, "no_secret_key")
    head, _dot, signature = token.rpartition(".")
    said, claims = _decoded(head.partition(".")[0]), address.claims(token)
    if said.get("alg") != "HS256" or not claims:
        raise Refused(403, "bad_token")
    expected = base64.urlsafe_b64encode(hmac.digest(key.encode(), head.encode("utf-8", "replace"), "sha256"))
    if not _same(signature.rstrip("="), expected.decode().rstrip("=")):
        raise Refused(403, "wrong_signature")
    if not _number(claims.get("nbf")) - LEEWAY <= now < _number(claims.get("exp")) + LEEWAY:
        raise Refused(403, "token_is_over")
    if claims.get("client_uuid") != client or not _addressed_to_us(claims.get("aud"), secrets):
        raise Refused(403, "another_integration")
    account = address.account(secrets)
    if account.isdecimal() and str(claims.get("account_id")) != account:
        raise Refused(403, "another_account")
    if not claims.get("jti") or not claims.get("user_id"):
        raise Refused(403, "bad_token")


def _addressed_to_us(audience: Any, secrets: Mapping[str, str]) -> bool:
    """`aud` is scheme and host of the redirect address, with or without its port."""
    ours = urlsplit(address.redirect_uri(secrets))
    named = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    known = {f"{ours.scheme}://{ours.netloc}", f"{ours.scheme}://{ours.hostname}"}
    return any(str(each).rstrip("/") in known for each in named)


def _decoded(part: str) -> dict[str, Any]:
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def hook_url(handler_url: str, secrets: Mapping[str, str]) -> str:
    """Where webhooks go."""
    return f"{handler_url}{_hook_path(secrets)}"


def is_hook_url(destination: str) -> bool:
    return bool(_OURS.fullmatch(urlsplit(destination).path))


def _hook_path(secrets: Mapping[str, str]) -> str:
    """The secret follows from the account's keys, so it need not be kept, and no user of the account can know it."""
    return f"{HOOK}/{hmac.new(_key(secrets).encode(), b'callbridge contacts', hashlib.sha256).hexdigest()[:32]}"


def _key(secrets: Mapping[str, str]) -> str:
    return secrets.get("client_secret") or secrets.get("long_lived_token") or ""


def _is_hook(request: Request) -> bool:
    return request.path.strip("/").partition("/")[0] == HOOK


# --- Meaning ----------------------------------------------------------------------------------------------------------


def parse(request: Request) -> list[Event]:
    """What an authenticated request says."""
    return _changed(request) if _is_hook(request) else _clicked(request)


def _clicked(request: Request) -> list[Event]:
    """A repeated token (`jti`) is one click."""
    claims = address.claims(_token(request))
    phone = _first(request.body, "call_to")
    if not phone:
        return []
    key = f"{claims.get('account_id')}:{claims.get('jti')}"
    return [DialRequested(key=key, crm_user=str(claims.get("user_id")), phone=phone)]


def _first(body: bytes, name: str) -> str:
    try:
        return parse_qs(body.decode("utf-8", "replace"), max_num_fields=20).get(name, [""])[0].strip()
    except ValueError:
        return ""


def _changed(request: Request) -> list[Event]:
    """Contacts and companies come under one name. What was told without a phone is only forgotten."""
    form = _form(request.body).get("contacts", {})
    found: list[Event] = []
    for action in ("add", "update", "responsible"):
        for row in wire.rows(wire.Changed, _lists(form.get(action))):
            found += [_told(row)] if row.id else []
    for row in wire.rows(wire.Changed, _lists(form.get("delete"))):
        found += [ClientChanged(entity=_kind(row), entity_id=row.id)] if row.id else []
    return found


def _told(row: wire.Changed) -> ClientChanged:
    kind = _kind(row)
    manager = row.responsible_user_id if row.responsible_user_id.isdecimal() else ""
    match = ClientMatch(
        entity=kind,
        entity_id=row.id,
        name=row.name,
        manager=manager,
        link=directory.link(kind, row.id),
        company=row.name if kind == "company" else row.company_name,
    )
    return ClientChanged(entity=kind, entity_id=row.id, phones=tuple(row.phones), match=match)


def _kind(row: wire.Changed) -> str:
    return "company" if row.type == "company" else "contact"


def _form(body: bytes) -> dict[str, Any]:
    """PHP's form: `contacts[add][0][id]=1` is `{"contacts": {"add": {"0": {"id": "1"}}}}`."""
    form: dict[str, Any] = {}
    for name, value in parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS):
        head, bracket, tail = name.partition("[")
        *path, last = [head, *_PART.findall(bracket + tail)][:MAX_DEPTH]
        place: Any = form
        for part in path:
            place = place.setdefault(part, {}) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.setdefault(last, value)
    return form


def _lists(value: Any) -> Any:
    """Maps whose keys are numbers, as the lists that they are."""
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(each) for key, each in value.items()}
    return list(inner.values()) if inner and all(key.isdecimal() for key in inner) else inner


def shown(request: Request) -> str:
    """The event as a person reads it: a line for each field, without the token."""
    try:
        fields = parse_qsl(request.body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS)
    except ValueError:
        return "(too many fields)"
    user = address.claims(_token(request)).get("user_id")
    lines = [f"user = {user}"] if user else []
    return "\n".join([*lines, *(f"{name} = {value}" for name, value in fields)])
