"""The table of REST methods, and what a method gets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from .portal import Call, Portal, Token
from .wire import ApiError, Params

Fetch = Callable[[str], Awaitable[bytes]]


@dataclass(slots=True)
class Context:
    """One HTTP request: whose, when, and the calls that it registered (until its answer is on the way)."""

    portal: Portal
    token: Token
    now: float
    base_url: str
    fetch: Fetch
    app: str = "app"
    at_root: bool = True
    registered: list[Call] = field(default_factory=list)


Handler = Callable[[Context, Params], Any]


@dataclass(frozen=True, slots=True)
class Method:
    """A method; `params`, when given, are all the parameters it has (an unknown one is a violation)."""

    name: str
    handler: Handler
    scope: tuple[str, ...]
    app_only: bool
    params: frozenset[str] | None


REGISTRY: dict[str, Method] = {}


def rest(name: str, *scope: str, app_only: bool = False, params: str = "") -> Callable[[Handler], Handler]:
    """Register a method under its case-insensitive name."""

    def decorate(handler: Handler) -> Handler:
        known = frozenset(params.split()) if params else None
        REGISTRY[name.lower()] = Method(name, handler, scope, app_only, known)
        return handler

    return decorate


def missing(name: str, code: str = "ERROR_ARGUMENT") -> ApiError:
    """A required parameter is not there (where the protocol gives no text of its own)."""
    return ApiError(code, f"Required parameter {name} is not set", 400, what="missing_param")


def pick(params: Params, name: str) -> Any:
    """A top-level parameter in either case (`FILTER` of user.get, `filter` of the crm lists)."""
    return params.get(name, params.get(name.upper()))


def mapping(value: Any) -> Params:
    return value if isinstance(value, dict) else {}
