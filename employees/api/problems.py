"""What went wrong, told by RFC 9457: a stable code, what happened, and what to do about it.

    {"type": ".../api/v1/problems/scope_missing", "title": "...", "status": 403, "code": "scope_missing",
     "detail": "...", "cure": "...", "request_id": "...", "errors": [{"field": "name", "code": "required", ...}]}

A code never changes its meaning and is never taken away; `errors` stand only with `invalid`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from django import forms
from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, JsonResponse
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions
from rest_framework.response import Response

from outbound.errors import OutboundError

log = structlog.get_logger(__name__)
CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """`title`: what happened, whichever the case. `cure`: what to do about it."""

    status: int
    title: Any
    cure: Any


KINDS: dict[str, Kind] = {
    "malformed": Kind(400, _("The request cannot be read."), _("Send JSON as the reference describes it.")),
    "parameter_unknown": Kind(
        400, _("There is no such parameter here."), _("Take it away, or write it as the reference does.")
    ),
    "invalid": Kind(422, _("Something that was sent is not right."), _("Mend what `errors` name, and send it again.")),
    "cursor_invalid": Kind(400, _("This is no cursor of ours."), _("Take `next` or `previous` as they were answered.")),
    "company_required": Kind(
        400,
        _("It is not said which company is meant."),
        _("A partner's key names a company in the header `Callbridge-Company`."),
    ),
    "key_missing": Kind(
        401, _("There is no API key."), _("Send the header `Authorization: Bearer cb_…` with a key of yours.")
    ),
    "key_refused": Kind(
        401,
        _("This API key does not work."),
        _("It is unknown, revoked or out of date: take another, or have a new one made."),
    ),
    "scope_missing": Kind(
        403, _("This API key may not do that."), _("Have a key made that has the scope named in `detail`.")
    ),
    "not_allowed": Kind(403, _("That is not allowed."), _("See `detail`.")),
    "not_found": Kind(
        404, _("There is nothing at this address."), _("Look whether the id is right, and of this company.")
    ),
    "method_not_allowed": Kind(405, _("This cannot be done with this address."), _("The reference lists what can.")),
    "not_acceptable": Kind(406, _("We answer in JSON."), _("Accept `application/json`.")),
    "conflict": Kind(409, _("That does not go with what is there."), _("See `detail`.")),
    "request_in_progress": Kind(
        409,
        _("A request with this Idempotency-Key has not been answered."),
        _("Wait and send it again. Where it stays so, look what became of it, and take a new key."),
    ),
    "idempotency_key_reused": Kind(
        422,
        _("This Idempotency-Key belongs to another request."),
        _("Take a new key for each request, and the same one only to repeat it."),
    ),
    "changed_meanwhile": Kind(
        412, _("It was changed meanwhile."), _("Read it again, and send your change with its new ETag.")
    ),
    "media_type": Kind(415, _("We read JSON."), _("Send `Content-Type: application/json`.")),
    "too_many_requests": Kind(
        429, _("Too many requests."), _("Wait as many seconds as `Retry-After` says; `RateLimit` tells how many go.")
    ),
    "limit_reached": Kind(
        409, _("There may be no more of these."), _("Delete what is not needed, or ask our support.")
    ),
    "not_supported": Kind(
        409,
        _("This PBX or CRM cannot do that."),
        _("See in its capabilities what it can do; where a key is missing for it, enter that."),
    ),
    "vendor_unreachable": Kind(
        502,
        _("The PBX or the CRM did not do what it was asked."),
        _("See `detail` for its words; try again later, or have its keys checked."),
    ),
    "internal": Kind(
        500, _("That was our mistake."), _("Try again later. If it stays so, tell our support the `request_id`.")
    ),
    "unavailable": Kind(503, _("We cannot do that now."), _("Try again in a moment.")),
}


class Problem(exceptions.APIException):
    """Raised where something goes wrong; `code` is one of `KINDS`. `wait`: seconds after which it may go."""

    def __init__(
        self, code: str, detail: Any = "", errors: Iterable[dict[str, str]] = (), wait: float | None = None
    ) -> None:
        super().__init__(detail or KINDS[code].title, code)
        self.wait = wait
        self.code, self.words, self.errors = code, str(detail), list(errors)
        self.status_code = KINDS[code].status


def invalid(field: str, detail: Any, code: str = "invalid") -> Problem:
    """One field is not right. `field` as in `extensions.0.number`; empty: the whole."""
    return Problem("invalid", errors=[{"field": field, "code": code, "detail": str(detail)}])


def of_form(form: forms.BaseForm, prefix: str = "", names: Mapping[str, str] | None = None) -> Problem:
    """What a form of the portal says of what was sent. `names`: of its fields, where the API's are others."""
    called = {"__all__": ""} | dict(names or {})
    found = [
        {"field": prefix + called.get(field, field), "code": each.code or "invalid", "detail": words}
        for field, errors in form.errors.as_data().items()
        for each in errors
        for words in each.messages
    ]
    return Problem("invalid", errors=found)


def type_of(code: str) -> str:
    return f"{settings.PUBLIC_URL}/api/v1/problems/{code}"


def body(
    code: str, detail: str = "", errors: list[dict[str, str]] | None = None, request: Any = None
) -> dict[str, Any]:
    kind = KINDS[code]
    told: dict[str, Any] = {
        "type": type_of(code),
        "title": str(kind.title),
        "status": kind.status,
        "code": code,
        "detail": detail or str(kind.title),
        "cure": str(kind.cure),
        "request_id": getattr(request, "request_id", ""),
    }
    return told | ({"errors": errors} if errors else {})


def answer(code: str, request: Any) -> JsonResponse:
    """A problem outside of the framework's views."""
    return JsonResponse(body(code, request=request), status=KINDS[code].status, content_type=CONTENT_TYPE)


_RAISED: dict[type[Exception], str] = {
    exceptions.ParseError: "malformed",
    exceptions.NotAuthenticated: "key_missing",
    exceptions.AuthenticationFailed: "key_refused",
    exceptions.PermissionDenied: "not_allowed",
    PermissionDenied: "not_allowed",
    exceptions.NotFound: "not_found",
    Http404: "not_found",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.UnsupportedMediaType: "media_type",
    exceptions.Throttled: "too_many_requests",
}


def handler(error: Exception, context: dict[str, Any]) -> Response:
    """The framework's errors and our own as problems; what nobody thought of is logged and told as ours."""
    request = context["request"]._request
    code, detail, errors = _read(error)
    if code == "internal":
        log.exception("API request failed", exc_info=error)
    told = _response(body(code, detail, errors, request))
    if told.status_code == 401:
        told["WWW-Authenticate"] = "Bearer"
    if wait := getattr(error, "wait", None) or getattr(error, "retry_after", None):
        told["Retry-After"] = str(math.ceil(wait))
    return told


def _read(error: Exception) -> tuple[str, str, list[dict[str, str]]]:
    if isinstance(error, Problem):
        return error.code, error.words, error.errors
    if isinstance(error, exceptions.ValidationError):
        return "invalid", "", list(_flat(error.get_full_details()))
    if isinstance(error, ValidationError):
        return "invalid", "", [{"field": "", "code": "invalid", "detail": words} for words in error.messages]
    if isinstance(error, OutboundError):
        return "vendor_unreachable", error.words, []
    code = next((code for kind, code in _RAISED.items() if isinstance(error, kind)), "internal")
    detail = str(error.detail) if isinstance(error, exceptions.APIException) and code == "malformed" else ""
    return code, detail, []


def _flat(details: Any, place: str = "") -> Iterator[dict[str, str]]:
    """The framework's nested errors as a list, each with its place."""
    if isinstance(details, dict) and set(details) == {"message", "code"}:
        yield {"field": place, "code": str(details["code"]), "detail": str(details["message"])}
    elif isinstance(details, dict):
        for name, inner in details.items():
            yield from _flat(inner, place if name == "non_field_errors" else f"{place}.{name}".lstrip("."))
    else:
        for number, inner in enumerate(details):
            leaf = isinstance(inner, dict) and set(inner) == {"message", "code"}
            yield from _flat(inner, place if leaf else f"{place}.{number}".lstrip("."))


def _response(told: dict[str, Any]) -> Response:
    return Response(told, status=told["status"], content_type=CONTENT_TYPE)
