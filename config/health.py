"""For those who watch over the product: is it alive, is it ready (and what is not), how is it doing."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable

import dramatiq
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.utils import timezone
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from employees import installation
from integrations import claims
from integrations.models import CallSync
from telephony.hot import Constant
from telephony.models import InboxEvent
from telephony.recordings import waiting_for_storage


def live(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"alive": True})


def ready(request: HttpRequest) -> HttpResponse:
    """200 when calls can be taken, else 503; either way what was looked at and what is wrong with it."""
    found = {name: _words(check) for name, check in CHECKS.items()}
    fine = all(words == "ok" for words in found.values())
    found |= {name: _words(check) for name, check in REMARKS.items()}
    return JsonResponse({"ready": fine, "checks": found}, status=200 if fine else 503)


def _words(check: Callable[[], None]) -> str:
    try:
        check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return "ok"


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _migrations() -> None:
    executor = MigrationExecutor(connection)
    if plan := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise RuntimeError(f"{len(plan)} migrations are not applied: run manage.py migrate")


def _cache() -> None:
    cache.set("health", "1", 5)
    if cache.get("health") != "1":
        raise RuntimeError("the cache does not keep what it is given")


def _broker() -> None:
    client = getattr(dramatiq.get_broker(), "client", None)
    if client is not None:
        client.ping()


CHECKS: dict[str, Callable[[], None]] = {
    "database": _database,
    "migrations": _migrations,
    "encryption": installation.check_encryption,
    "cache": _cache,
    "broker": _broker,
}


def _storage() -> None:
    if waiting := waiting_for_storage().first():
        raise RuntimeError(f"recordings wait for the storage: {waiting.error}")


REMARKS: dict[str, Callable[[], None]] = {"storage": _storage}
"""What is said and takes nobody out of service: calls can be taken all the same."""


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text. From elsewhere than this machine only with `METRICS_TOKEN`."""
    if not _may_read(request):
        return HttpResponseForbidden("set METRICS_TOKEN and send it as a bearer token")
    return HttpResponse(generate_latest(_counters()) + generate_latest(_gauges()), content_type=CONTENT_TYPE_LATEST)


def _counters() -> CollectorRegistry:
    """This process's own, or with `PROMETHEUS_MULTIPROC_DIR` those of all processes of this machine."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _may_read(request: HttpRequest) -> bool:
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if settings.METRICS_TOKEN:
        return hmac.compare_digest(sent.encode(), settings.METRICS_TOKEN.encode())
    return request.META.get("REMOTE_ADDR") in {"127.0.0.1", "::1"} and "X-Forwarded-For" not in request.headers


def _gauges() -> CollectorRegistry:
    """What is counted in the database, at the moment of asking."""
    registry = CollectorRegistry()
    oldest = InboxEvent.objects.filter(state=InboxEvent.State.NEW).order_by("id").first()
    age = (timezone.now() - oldest.received_at).total_seconds() if oldest else 0.0
    figures = {
        "callbridge_inbox_age_seconds": ("Age of the oldest event that is not folded", age),
        "callbridge_inbox_waiting": (
            "Events that are not folded yet",
            InboxEvent.objects.filter(state=Constant(InboxEvent.State.NEW)).count(),
        ),
        "callbridge_inbox_failed": (
            "Events that were not understood",
            InboxEvent.objects.filter(state=InboxEvent.State.FAILED).count(),
        ),
        "callbridge_sync_due": ("Calls with work left in a CRM", claims.due().count()),
        "callbridge_sync_parked": ("Calls parked after a refusal", CallSync.objects.filter(parked=True).count()),
    }
    for name, (words, value) in figures.items():
        Gauge(name, words, registry=registry).set(value)
    return registry
