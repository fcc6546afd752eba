"""The guided path within a partner's own pages: `/embed/<session>/…` is the portal once more, but the path alone.

Its cookies are those of this address alone, so whoever is signed in at the portal is nobody here, and two companies in
two tabs never mix. Nothing outside of the path opens, whatever it is.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable
from http.cookies import Morsel
from typing import Any, cast

import structlog
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import Resolver404, get_script_prefix, resolve, reverse, set_script_prefix
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from employees import audit, embedding, frames, phones
from employees.models import Embedding, Membership, Role, User
from telephony.refusals import Refusals

from . import path

PAGES = {
    "start",
    "connection_catalogue",
    "connection_new",
    "connection",
    "connection_check",
    "connection_users_load",
    "connection_users",
    "connection_numbers_load",
    "connection_numbers",
    "connections",
    "employees",
    "employee_new",
    "extensions",
    "extension",
    "credentials",
    "credential_new",
    "credential",
    "credential_check",
    "credential_connect",
    "credential_prepare",
    "integrations",
    "integration_new",
    "integration",
    "trial",
    "trial_call",
    "trial_clean",
}
"""Pages of the portal that are there. What they do needs `embedding.SCOPES`."""
OPEN = {f"portal:{page}" for page in PAGES} | {"set_language"}
ENTRANCE = "embedding_enter"
PROBE, PROBE_SECONDS = "probe", 60
"""The cookie by which the entrance sees whether the browser keeps any."""
_ADDRESS = re.compile(r"(/embed/(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))(?P<rest>/.*)")
_JAR = "embed_"
_refusals = Refusals()


class Guest(AnonymousUser):
    """Whoever sits before a partner's page: no person of ours, and with no rights but those of the session."""

    is_active = True  # type: ignore[assignment]


# --- The address ------------------------------------------------------------------------------------------------------


class EmbeddedAddress:
    """Beneath `/embed/<session>/` our pages, their links and their cookies keep to that address. Sets
    `request.embedding`; what is answered may be framed by the partner's pages alone."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        match = _ADDRESS.fullmatch(request.path_info)
        if not match:
            return self.get_response(request)
        row = embedding.by_uuid(match["uuid"])
        place = f"{match[1]}/"
        request.path_info = match["rest"]
        request.COOKIES = {name[len(_JAR) :]: v for name, v in request.COOKIES.items() if name.startswith(_JAR)}
        cast("Any", request).embedding = row
        before = get_script_prefix()
        set_script_prefix(place)
        try:
            response = self.get_response(request) if row else _say(request, _("There is no such page."), status=404)
        finally:
            set_script_prefix(before)
        _own_cookies(response, place)
        if row:
            frames.allow(response, row.partner.origin_list)
        return response


def _own_cookies(response: HttpResponse, place: str) -> None:
    """Everything that is set is set for this address, in a way that works within another's pages."""
    cookies: list[Morsel[str]] = list(response.cookies.values())
    response.cookies.clear()
    for cookie in cookies:
        name = _JAR + cookie.key
        response.cookies[name] = cookie.value
        kept = response.cookies[name]
        kept.update({attribute: cookie[attribute] for attribute in ("expires", "max-age", "httponly")})
        kept["path"] = place
        if settings.SECURE:
            kept["secure"] = True
            # Python knows `Partitioned` (CHIPS) since 3.14; what stands here is written as it is.
            kept["samesite"] = "None; Partitioned"
        else:
            kept["samesite"] = "Lax"


# --- Whoever comes ----------------------------------------------------------------------------------------------------


class EmbeddedVisitor:
    """Whoever has the session is its guest, and only on the pages of the path; what he does is the partner's doing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        row: Embedding | None = getattr(request, "embedding", None)
        if row is None or not embedding.goes_on(request, row):
            return self.get_response(request)
        return self._guest(request, row)

    def _guest(self, request: HttpRequest, row: Embedding) -> HttpResponse:
        actor, company = embedding.actor_of(request, row), row.company
        membership = Membership(company=company, user=User(email=actor.name), role=Role.ADMINISTRATOR)
        known = cast("Any", request)
        known.user, known.membership, known.memberships = Guest(), membership, [membership]
        known.told = lambda: _told(row)
        structlog.contextvars.bind_contextvars(company=str(company.uuid), embedding=str(row.uuid))
        zone = timezone.override(zoneinfo.ZoneInfo(company.time_zone))
        with audit.acting(actor), zone, phones.shown(membership.look):
            return _without_ways_out(self.get_response(request))

    def process_view(self, request: HttpRequest, *view: Any) -> HttpResponse | None:
        row: Embedding | None = getattr(request, "embedding", None)
        match = request.resolver_match
        if row is None or match is None or match.view_name == ENTRANCE:
            return None
        if not isinstance(request.user, Guest):
            return _over(request)
        if match.view_name not in OPEN:
            words = _("This page is not part of the path.")
            return _say(request, words, status=403, back=reverse("portal:start"))
        return None


def _told(row: Embedding) -> dict[str, Any]:
    """What the page around ours is told: the step that is to be done now, and those that are done."""
    found = path.of(row.company)
    step = found.current.name if found.current else None
    return {"type": "callbridge:step", "step": step, "done": [each.name for each in found.steps if each.done]}


# --- No ways out ------------------------------------------------------------------------------------------------------

_TAG = re.compile(r'<(?P<tag>a|form|button)\b(?P<rest>[^>]*\s(?:href|action|data-play)="(?P<there>[^"]*)"[^>]*)>')


def _without_ways_out(response: HttpResponse) -> HttpResponse:
    """Links and forms of pages that are not there are hidden; what leads to other sites opens a window."""
    if not response.streaming and response.headers.get("Content-Type", "").startswith("text/html"):
        response.content = _TAG.sub(_kept, response.content.decode(response.charset))
    return response


def _kept(found: re.Match[str]) -> str:
    there = found["there"].partition("?")[0].partition("#")[0]
    if re.match(r"https?://", there):
        return f'<{found["tag"]} target="_blank" rel="noopener noreferrer"{found["rest"]}>'
    if not there.startswith("/") or _is_open(there):
        return found[0]
    return f"<{found['tag']} hidden{found['rest']}>"


def _is_open(there: str) -> bool:
    match = _ADDRESS.fullmatch(there)
    try:
        return bool(match) and resolve(match["rest"]).view_name in OPEN  # type: ignore[index]
    except Resolver404:
        return False


# --- The link ---------------------------------------------------------------------------------------------------------


@never_cache
def opened(request: HttpRequest, token: str) -> HttpResponse:
    """`/embed/<token>/`: on to the session's own address with a cookie, so that there it is seen whether it was kept.
    Where the link was used only the browser that used it goes on."""
    who = request.META.get("REMOTE_ADDR", "")
    if _refusals.too_often(who):
        return _say(request, _("Too many wrong links. Try again in a minute."), status=429)
    row = embedding.by_token(token)
    if row is None:
        _refusals.note(who, page="embed", remote=who)
        return _over(request)
    cast("Any", request).embedding = row
    response = _onward(request, row, token)
    frames.allow(response, row.partner.origin_list)
    return response


def _onward(request: HttpRequest, row: Embedding, token: str) -> HttpResponse:
    place = f"/embed/{row.uuid}/"
    if row.opened_at:
        return HttpResponseRedirect(f"{place}start/")
    if not embedding.usable(row):
        return _over(request)
    response = HttpResponseRedirect(f"{place}enter/{token}/")
    response.set_cookie(PROBE, "1", max_age=PROBE_SECONDS)
    _own_cookies(response, place)
    return response


@never_cache
def enter(request: HttpRequest, token: str) -> HttpResponse:
    """Within the session's own address. Without cookies the link stays as good as it was, for a window of its own."""
    row = embedding.by_token(token)
    if row is None or getattr(request, "embedding", None) != row or not embedding.usable(row):
        return _over(request)
    if PROBE not in request.COOKIES:
        words = _("Your browser keeps no cookies for pages within other pages. Open this one in a window of its own.")
        return _say(request, words, window=f"{settings.PUBLIC_URL}/embed/{token}/")
    return HttpResponseRedirect(reverse("portal:start")) if embedding.enter(request, row) else _over(request)


def _over(request: HttpRequest) -> HttpResponse:
    words = _("This link or its session is over. Load the page around this one again: it gets a new link.")
    cast("Any", request).told = {"type": "callbridge:over"}
    return _say(request, words, status=403)


def _say(request: HttpRequest, words: str, status: int = 200, **more: Any) -> HttpResponse:
    return render(request, "embedded/say.html", {"words": words, **more}, status=status)
