"""What the services tell by webhook: a client was made, changed or deleted ("Уведомления о событиях webhooks", YCLIENTS
REST API). Nothing is signed: the secret part of our address is the proof.
"""

from __future__ import annotations

import json
from typing import Any

from crm_adapters.base import ClientChanged, ClientMatch, Event, Refused, Request

from .calls import digits
from .people import CLIENT

MAX_BODY = 256 * 1024


def authenticate(request: Request) -> None:
    """Raises `Refused` for what is no event."""
    if len(request.body) > MAX_BODY:
        raise Refused(413, "too_large")
    if _said(request) is None:
        raise Refused(400, "no_event")


def parse(request: Request) -> list[Event]:
    """Other things than clients say nothing. A telephone number is a text or a number."""
    said = _said(request) or {}
    client, data = said.get("resource_id"), said.get("data")
    if said.get("resource") != CLIENT or not client:
        return []
    known = data if isinstance(data, dict) and said.get("status") != "delete" else {}
    phone = digits(str(known.get("phone") or ""))
    name = known.get("name")
    return [
        ClientChanged(
            key=f"{said.get('company_id')}:{CLIENT}:{client}:{said.get('status')}:{known.get('last_change_date', '')}",
            entity=CLIENT,
            entity_id=str(client),
            phones=(f"+{phone}",) if phone else (),
            match=ClientMatch(CLIENT, str(client), str(name)) if name else None,
        )
    ]


def _said(request: Request) -> dict[str, Any] | None:
    try:
        said = json.loads(request.body)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
