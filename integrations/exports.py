"""The journal as a file: written in the background, batch by batch, so that memory does not grow with its rows.

A file that was begun is worth nothing: whoever takes up an export after its worker has died begins anew. Only a whole
file is ever named by its row.
"""

from __future__ import annotations

import tempfile
import uuid
import zoneinfo
from collections.abc import Iterator
from datetime import timedelta
from typing import IO, Any

import structlog
from django.db.models import F, Prefetch, Q, QuerySet
from django.utils import timezone, translation
from django.utils.translation import get_language, gettext_noop

from employees import phones
from employees.models import User
from telephony import files, journal, spreadsheets
from telephony.hot import hot_write
from telephony.leases import LEASE, renewed
from telephony.models import Call, Connection, Recording, VirtualNumber
from telephony.spreadsheets import MOST_ROWS

from . import columns
from .journal import CrmJournalFilter, attach_standings
from .models import CallSync, Credential, Export

log = structlog.get_logger(__name__)

State = Export.State
BATCH = 1000
TRIES = 3
PAUSE = timedelta(minutes=1)


class Lost(Exception):
    """The export was deleted, or another worker has taken it up."""


def ask(asked: CrmJournalFilter, by: User | None, kind: str, chosen: list[str]) -> Export:
    """Ask for the calls on somebody's screen; a period is the days that it means now."""
    wanted = {name: str(asked.data.get(name, "")) for name in asked.fields if asked.data.get(name)}
    if asked.is_valid() and wanted.pop("period", ""):
        days = zip(("since", "until"), journal.days(asked.cleaned_data), strict=True)
        wanted |= {name: str(day) for name, day in days if day}
    return Export.objects.create(
        company=asked.company,
        asked_by=by,
        filter=wanted,
        columns=chosen,
        format=kind,
        language=get_language() or asked.company.language,
        numbers_hidden=phones.hidden(),
    )


def asked_for(export: Export) -> CrmJournalFilter:
    return CrmJournalFilter(export.company, export.filter)


def delete(export: Export) -> None:
    """With its file. One that is being written ends."""
    with hot_write():
        files.drop([export.file.name] if export.file.name else [])
        export.delete()


def due() -> list[int]:
    """Exports that nobody writes."""
    return list(_free().order_by("id").values_list("pk", flat=True)[:10])


def _free() -> QuerySet[Export]:
    free = Q(lease_until=None) | Q(lease_until__lt=timezone.now())
    return Export.objects.filter(free, state=State.OPEN)


def work(export_id: int) -> None:
    """Write an export that nobody writes; safe to call at any time and from many workers."""
    export = _claim(export_id)
    if export is None:
        return
    try:
        with renewed(_mine(export)):
            _write(export)
    except Lost:
        return
    except Exception as error:
        log.exception("an export cannot be written", export=export.pk)
        _later(export, f"{type(error).__name__}: {error}")


def _claim(export_id: int) -> Export | None:
    lease = {"lease": uuid.uuid4(), "lease_until": timezone.now() + LEASE}
    with hot_write():
        if not _free().filter(pk=export_id).update(**lease, attempts=F("attempts") + 1, rows=0, error=""):
            return None
    export = Export.objects.select_related("company").get(pk=export_id)
    if export.attempts > TRIES:  # workers died of it
        _later(export, gettext_noop("The worker ended before the file was written."))
        return None
    return export


def _mine(export: Export) -> QuerySet[Export]:
    return Export.objects.filter(pk=export.pk, lease=export.lease, state=State.OPEN)


def _note(export: Export, **values: Any) -> None:
    with hot_write():
        if not _mine(export).update(**values):
            raise Lost


def _later(export: Export, error: str) -> None:
    over = export.attempts >= TRIES
    with hot_write():
        _mine(export).update(
            error=error,
            state=State.FAILED if over else State.OPEN,
            finished_at=timezone.now() if over else None,
            lease=None,
            lease_until=None if over else timezone.now() + PAUSE,
        )


# --- Writing ----------------------------------------------------------------------------------------------------------


def _write(export: Export) -> None:
    company = export.company
    zone = zoneinfo.ZoneInfo(company.time_zone)
    look = phones.Look(company.number_style, company.region, export.numbers_hidden)
    with tempfile.TemporaryFile() as stream:
        with timezone.override(zone), translation.override(export.language), phones.shown(look):
            _fill(export, stream)
        size = stream.tell()
        stream.seek(0)
        name = f"exports/{export.created_at:%Y/%m/%d}/{uuid.uuid4()}.{export.format}"
        files.save(name, stream)
    with hot_write():
        if not files.adopt(name):
            raise TimeoutError("storing the file took too long")
        done = {"state": State.DONE, "file": name, "size": size, "finished_at": timezone.now()}
        if not _mine(export).update(**done, lease=None, lease_until=None):
            files.drop([name])


def _fill(export: Export, stream: IO[bytes]) -> None:
    calls = asked_for(export).calls()
    _note(export, total=calls.count())
    out = spreadsheets.writer(export.format, stream)
    chosen = columns.cells(export.columns)
    out.write(str(head) for head, _value in chosen)
    rows = 0
    for batch in _batches(export, calls):
        if export.format == "xlsx":
            batch = batch[: MOST_ROWS - rows]
        for call in batch:
            out.write(value(call) for _head, value in chosen)
        rows += len(batch)
        _note(export, rows=rows)
        if export.format == "xlsx" and rows >= MOST_ROWS:
            break
    out.close()


def _batches(export: Export, calls: QuerySet[Call]) -> Iterator[list[Call]]:
    """Calls with all that a column may show. Accounts and connections are few and have secrets: they are read once."""
    company = export.company
    accounts = {row.pk: row for row in Credential.objects.filter(company=company)}
    pbxs = dict(Connection.objects.filter(company=company).values_list("pk", "name"))
    lines = dict(VirtualNumber.objects.filter(company=company).values_list("number", "line_name"))
    syncs = Prefetch("syncs", CallSync.objects.order_by("id"))
    calls = calls.select_related("client", "employee").prefetch_related(None).prefetch_related("recordings", syncs)
    for batch in journal.in_batches(calls, BATCH):
        journal.attach_clients(batch)
        for call in batch:
            call.line = lines.get(call.virtual_number, "")  # type: ignore[attr-defined]
            call.pbx = pbxs[call.connection_id]  # type: ignore[attr-defined]
            call.audio = [row for row in call.recordings.all() if row.state != Recording.State.ABSENT]
            for sync in call.syncs.all():
                sync.credential = accounts[sync.credential_id]
        attach_standings(batch)
        yield batch
