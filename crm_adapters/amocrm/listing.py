"""Which calls stand in the feeds of contacts, deals and companies, whoever wrote them."""

from __future__ import annotations

from datetime import UTC, datetime

from crm_adapters.base import Listed

from . import wire
from .api import Account

KINDS = ("contacts", "leads", "companies")
MOST_PAGES = 2


def calls(account: Account, since: datetime, until: datetime) -> list[Listed]:
    """Call notes, the newest first, 500 of each kind at the most (kommo.com/developers, "Notes list by the entity
    type": filters by type and time of change; when a note was made stands in it)."""
    query = {
        "filter[note_type][0]": "call_in",
        "filter[note_type][1]": "call_out",
        "filter[updated_at][from]": str(int(since.timestamp())),
        "order[updated_at]": "desc",
    }
    found = [
        _listed(note)
        for kind in KINDS
        for body in account.pages(f"/api/v4/{kind}/notes", query, MOST_PAGES)
        for note in wire.embedded(wire.Note, body, "notes")
    ]
    return [call for call in found if since <= call.started_at < until]


def _listed(note: wire.Note) -> Listed:
    said = note.call
    return Listed(
        id=str(note.id),
        key=said.uniq,
        direction="out" if note.note_type == "call_out" else "in",
        phone=said.phone,
        started_at=datetime.fromtimestamp(note.created_at, UTC),
        seconds=said.duration,
        writer=said.source,
    )
