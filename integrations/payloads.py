"""What webhooks say: a small body for each type of event. What stands here once is never taken away or renamed; fields
may be added. docs/webhooks.md shows each type as a test has received it."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from clients.models import Client
from employees import phones
from outbound.masking import MASK
from telephony import recordings
from telephony.fold import Source
from telephony.models import Call, Connection, Recording

from . import directory
from .models import Credential, Notice

VERSION = 1
RINGING, ANSWERED, FINISHED, CORRECTED = "call.ringing", "call.answered", "call.finished", "call.corrected"
RECORDING = "recording.ready"
SYNC_FAILED, SYNC_RECOVERED = "sync.failed", "sync.recovered"
DOWN, UP = "connection.down", "connection.up"
CLIENT = "client.created"
TEST = "webhook.test"
KINDS = {
    RINGING: _("a call begins"),
    ANSWERED: _("somebody answers it"),
    FINISHED: _("it is over"),
    CORRECTED: _("the PBX says later that it was different"),
    RECORDING: _("its recording can be fetched"),
    SYNC_FAILED: _("calls cannot be written into a CRM, and somebody must act"),
    SYNC_RECOVERED: _("they can be written again"),
    DOWN: _("there is no connection to a PBX, or it has fallen silent"),
    UP: _("it is there again"),
    CLIENT: _("the client book knows somebody new"),
}
"""What an endpoint may want, in words."""
_SOURCES = {Source.TRIAL: "test"}
_PROOF = re.compile(r'(/recordings/[0-9a-f-]+/)[^"]+')

Data = dict[str, Any]


def body(kind: str, at: datetime, data: Data) -> str:
    """The message itself."""
    said = {"type": kind, "version": VERSION, "timestamp": _moment(at), "data": data}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def shown(text: str) -> str:
    """A message for people to read: who may look at it need not be one who may listen."""
    return _PROOF.sub(rf"\1{MASK}", json.dumps(json.loads(text), ensure_ascii=False, indent=2))


def of_call(call: Call) -> Data:
    """A call as it is now, with `call.audio` loaded. Of two with one `id` the higher `revision` is the newer."""
    return {
        "id": str(call.uuid),
        "revision": call.version,
        "source": _SOURCES.get(Source(call.source), call.source),
        "connection": _connection(call.connection_id),
        "direction": call.direction,
        "state": call.state,
        "client_phone": call.client_phone if phones.is_phone(call.client_phone) else None,
        "line": _line(call),
        "extension": call.extension or None,
        "employee": directory.employee(call.company_id, call.employee_id) if call.employee_id else None,
        "outcome": call.outcome or None,
        "started_at": _moment(call.started_at),
        "answered_at": _moment(call.answered_at),
        "ended_at": _moment(call.ended_at),
        "wait_seconds": call.wait_seconds,
        "talk_seconds": call.talk_seconds,
        "recordings": [_recording(row) for row in call.audio if row.state == Recording.State.STORED],
    }


def _line(call: Call) -> Data | None:
    if not call.virtual_number:
        return None
    name = directory.line_name(call.connection_id, call.virtual_number)
    return {"number": call.virtual_number, "name": name or None}


def _connection(connection_id: int) -> Data:
    found, name = directory.connection(connection_id)
    return {"id": found, "name": name}


def _recording(row: Recording) -> Data:
    """The link is ours, opens for whoever has it, and can be revoked."""
    return {"id": str(row.uuid), "url": recordings.link(row), "content_type": row.content_type, "size": row.size}


def of_client(client: Client, phone: str) -> Data:
    crm, _colon, account = client.source.partition(":")
    return {
        "id": str(client.uuid),
        "name": client.name,
        "organisation": client.organisation or None,
        "phone": phone,
        "account": {"crm": crm, "id": account} if account else None,
        "record": client.entity or None,
    }


def of_account(credential: Credential, notice: Notice) -> Data:
    return {"account": {"crm": credential.crm, "id": str(credential.uuid), "name": str(credential)}, **_told(notice)}


def of_connection(connection: Connection, notice: Notice) -> Data:
    return {"connection": {"id": str(connection.uuid), "name": connection.name}, **_told(notice)}


def _told(notice: Notice) -> Data:
    """The `incident` is the same when it begins and when it is over."""
    incident = uuid.uuid5(notice.company.uuid, f"{notice.cause} {notice.opened_at.isoformat()}")
    return {
        "incident": str(incident),
        "since": _moment(notice.opened_at),
        "message": notice.text,
        "link": f"{settings.PUBLIC_URL}{notice.link}",
    }


def _moment(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="milliseconds") if at else None
