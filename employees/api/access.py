"""Who asks, and may he: the key of a request, the company that it is about, the scope, how often."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from employees.models import ApiKey, Company

from . import keys
from .problems import Problem

COMPANY = "Callbridge-Company"
"""The header by which a partner's key says which of his companies is meant."""


def key_of(request: Request) -> ApiKey:
    """The key of a request that was let in."""
    return cast("ApiKey", request.auth)


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer cb_…`. Nobody signs in: `request.auth` is the key."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            return None
        key = keys.find(secret.strip())
        if key is None:
            raise Problem("key_refused")
        keys.used(key)
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class HasScope(BasePermission):
    """The key has the scope of the view's area: `:read` for looking, `:write` for anything else."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, ApiKey):
            raise Problem("key_missing")
        if (scope := scope_of(view, request.method or "")) not in request.auth.scopes:
            raise Problem("scope_missing", scope)
        return True


def scope_of(view: Any, method: str) -> str:
    return f"{view.area}:{'read' if method in SAFE_METHODS else 'write'}"


def company_of(request: Request) -> Company:
    """The company that a request is about. Raises a `Problem` where a partner names none or somebody else's."""
    key = key_of(request)
    named = request.headers.get(COMPANY)
    rows = keys.companies_of(key)
    if named is None and not key.company_id:
        raise Problem("company_required")
    try:
        row = rows.first() if named is None else rows.filter(uuid=named).first()
    except ValidationError:
        row = None
    if row is None:
        raise Problem("not_found", f"{COMPANY}: {named}")
    return row


class KeyThrottle(SimpleRateThrottle):
    """So many requests a minute for each key (`API_RATE`); what is left is told with each answer."""

    scope = "key"
    num_requests: int
    duration: int

    def get_rate(self) -> str:
        return f"{settings.API_RATE}/min"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        return f"api:{request.auth.pk}" if isinstance(request.auth, ApiKey) else None

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers has them; `t`: seconds until the oldest request is forgotten."""
        if not getattr(self, "history", None) and not hasattr(self, "now"):
            return {}
        left = max(0, self.num_requests - len(self.history))
        wait = round(self.duration - (self.now - self.history[-1])) if self.history else self.duration
        return {
            "RateLimit-Policy": f'"key";q={self.num_requests};w={self.duration}',
            "RateLimit": f'"key";r={left};t={wait}',
        }
