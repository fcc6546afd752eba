"""A request's id in every log line, and one line for each request."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

log = structlog.get_logger("callbridge.request")
QUIET = ("/static/", "/health/", "/metrics")


class RequestLog:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        structlog.contextvars.clear_contextvars()
        request_id = request.headers.get("X-Request-ID", "")[:64] or uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        structlog.contextvars.bind_contextvars(request=request_id)
        started = time.monotonic()
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        # Who is refused too often is logged once, at the door.
        if not request.path.startswith(QUIET) and response.status_code != 429:
            milliseconds = round((time.monotonic() - started) * 1000)
            # The route, not the path: paths of webhooks and recordings hold secrets.
            route = f"/{request.resolver_match.route}" if request.resolver_match else "(none)"
            log.info("request", method=request.method, route=route, status=response.status_code, ms=milliseconds)
        return response
