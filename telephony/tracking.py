"""Call tracking: whose visit to the site led to this call? Asked while it lives: the number changes hands later."""

from __future__ import annotations

import structlog

from outbound.errors import OutboundError

from .exchanges import http_for
from .hot import hot_write, lock_drain
from .inbox import announce
from .models import Call, Decision
from .providers.base import Capability

log = structlog.get_logger(__name__)

KIND = "tracking"


def wanted(call: Call) -> bool:
    """Whether a call-tracking number has just become known of a call that lives."""
    return bool(call.tracking_number and not call.finished and "tracking_number" in call.changes)


def look_up(call_id: int) -> None:
    """Ask the PBX who was shown the number, and note it on the call."""
    call = Call.objects.select_related("connection").get(pk=call_id)
    connection = call.connection
    if Capability.TRACKING not in connection.protocol.able(connection.credentials) or call.utm:
        return
    http = http_for(connection, purpose="call tracking", call_id=call.pk)
    try:
        visitor = connection.protocol.visitor(http, connection.credentials, call.tracking_number)
    except OutboundError as error:
        Decision.objects.create(call=call, kind=KIND, code="not_asked", details={"words": error.words})
        return
    with hot_write():
        lock_drain()
        if visitor is None:
            Decision.objects.create(call=call, kind=KIND, code="nobody_bound", details={"number": call.tracking_number})
            return
        Call.objects.filter(pk=call.pk).update(utm=dict(visitor.utm))
        details = {"page": visitor.page, "city": visitor.city, **visitor.utm}
        Decision.objects.create(call=call, kind=KIND, code="recognised", details=details)
        announce([call.pk])
