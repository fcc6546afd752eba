"""Exports: what is on the screen becomes a file, whatever dies meanwhile; who may have it; columns of the journal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from openpyxl import load_workbook

from employees.models import Membership, Role
from integrations import columns, exports, keeping
from integrations.columns import COLUMNS, USUAL
from integrations.journal import CrmJournalFilter
from integrations.models import Export
from telephony import files, spreadsheets
from telephony.models import LooseFile
from tests import factories as make
from tests.portal.conftest import World
from tests.portal.test_isolation import body

ALL = [column.key for column in COLUMNS]


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker: the tests say when a file is written."""
    from integrations.actors import write_export

    monkeypatch.setattr(write_export, "send", lambda _id: None)


def ask(world: World, kind: str = "csv", chosen: list[str] | None = None, **asked: str) -> Export:
    return exports.ask(CrmJournalFilter(world.company, asked), world.member.user, kind, chosen or ALL)


def written(export: Export) -> Export:
    exports.work(export.pk)
    export.refresh_from_db()
    return export


def stored(export: Export) -> bool:
    return default_storage.exists(str(export.file.name))


def table(export: Export) -> list[dict[str, Any]]:
    with export.file.open("rb") as file:
        content = file.read()
    if export.format == "xlsx":
        heads, *rows = load_workbook(io.BytesIO(content)).active.iter_rows(values_only=True)
    else:
        delimiter = ";" if export.language == "ru" else ","
        heads, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig")), delimiter=delimiter)
    return [dict(zip(heads, row, strict=True)) for row in rows]


# --- What stands in it


def test_a_call_in_all_its_columns(mine: World) -> None:
    mine.call.started_at = datetime(2024, 3, 4, 21, 30, 5, 999, tzinfo=ZoneInfo("UTC"))
    mine.call.utm = {"source": "ads"}
    mine.call.save()
    export = ask(mine)
    Export.objects.update(language="en")
    (row,) = table(written(export))
    assert row == {
        "Time": "2024-03-05 00:30:05",
        "Direction": "incoming",
        "Number": row["Number"],
        "Client": "mine client",
        "Organisation": "",
        "Line": "mine line",
        "Virtual number": row["Virtual number"],
        "Employee": "mine employee",
        "Extension": "101",
        "Outcome": "answered",
        "Conversation": "0:01:00",
        "Waiting": "0:00:05",
        "Recording": "stored",
        "In the CRM": "mine credential: written",
        "PBX connection": "mine connection",
        "Call tracking": "source = ads",
    }
    assert row["Number"].replace(" ", "").replace("-", "") == mine.call.client_phone
    assert (export.rows, export.total, export.state, export.size) == (1, 1, Export.State.DONE, export.file.size)


def test_xlsx_has_times_and_texts(mine: World) -> None:
    export = ask(mine, "xlsx")
    Export.objects.update(language="en")
    (row,) = table(written(export))
    local = timezone.localtime(mine.call.started_at, ZoneInfo("Europe/Moscow"))
    assert abs(row["Time"] - local.replace(tzinfo=None)) < timedelta(seconds=1)
    assert row["Conversation"] == timedelta(minutes=1)
    assert row["Number"].startswith("+7 ")


def test_only_the_chosen_columns(mine: World) -> None:
    export = ask(mine, chosen=["time", "waiting"])
    Export.objects.update(language="en")
    (row,) = table(written(export))
    assert list(row) == ["Time", "Direction", "Waiting"]


def test_the_filter_of_the_screen(mine: World, theirs: World) -> None:
    make.CallFactory(connection=mine.connection, outcome="missed", client_phone="+79265550001")
    make.CallSyncFactory(call__connection=mine.connection, integration=mine.integration, parked=True)
    assert len(table(written(ask(mine)))) == 3
    assert len(table(written(ask(mine, outcome="missed")))) == 1
    assert len(table(written(ask(mine, q="8 926 555-00-01")))) == 1
    assert len(table(written(ask(mine, crm="problem")))) == 1


def test_a_period_is_the_days_that_it_meant(mine: World) -> None:
    export = ask(mine, period="today")
    assert "period" not in export.filter
    assert export.filter["since"] == export.filter["until"] == str(timezone.localdate())


def test_batches_leave_nothing_out(mine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "BATCH", 3)
    at = timezone.now() - timedelta(hours=1)
    phones = [f"+7926555{n:04}" for n in range(10)]
    for n, phone in enumerate(phones):
        make.CallFactory(connection=mine.connection, started_at=at - timedelta(seconds=n // 4), client_phone=phone)
    found = table(written(ask(mine, q="926555")))
    digits = ["".join(filter(str.isdigit, row["Номер"])) for row in found]
    assert sorted(digits) == [phone[1:] for phone in phones]
    assert Export.objects.get().rows == 10


def test_what_a_batch_costs_does_not_grow(mine: World) -> None:
    def queries() -> int:
        export = ask(mine)
        with CaptureQueriesContext(connection) as captured:
            exports.work(export.pk)
        return len(captured)

    few = queries()
    for _n in range(20):
        call = make.CallFactory(connection=mine.connection, employee=make.EmployeeFactory(company=mine.company))
        make.RecordingFactory(call=call, content=b"audio")
        make.CallSyncFactory(call=call, integration=make.IntegrationFactory(credential__company=mine.company))
    assert queries() <= few + 1  # a batch that is not empty is followed by one more look


# --- Safe in Excel


@pytest.mark.parametrize("name", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1+1", " =1+1"])
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_name_is_no_formula(mine: World, name: str, kind: str) -> None:
    mine.client.name = name
    mine.client.save()
    export = written(ask(mine, kind))
    (row,) = table(export)
    if kind == "csv":
        assert row["Клиент"] == f"'{name}"
        return
    with export.file.open("rb") as file:
        cells = [cell for row in load_workbook(file).active.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "d", "inlineStr"}
    assert name in [cell.value for cell in cells]


def test_a_phone_number_stays_one(mine: World) -> None:
    (row,) = table(written(ask(mine)))
    assert row["Номер"].startswith("+7 ")


def test_what_no_sheet_takes_is_left_out(mine: World) -> None:
    mine.client.name = "Anna\x08\x1bSmith"
    mine.client.save()
    (row,) = table(written(ask(mine, "xlsx")))
    assert row["Клиент"] == "AnnaSmith"


def test_csv_is_as_the_readers_excel_expects_it(mine: World) -> None:
    with written(ask(mine)).file.open("rb") as file:
        content = file.read()
    assert content.startswith(b"\xef\xbb\xbf")
    assert ";" in content.decode("utf-8-sig").splitlines()[0]


def test_xlsx_has_a_limit_and_it_is_told(
    mine: World, signed_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreadsheets, "MOST_ROWS", 2)
    monkeypatch.setattr(exports, "MOST_ROWS", 2)
    for _n in range(3):
        make.CallFactory(connection=mine.connection)
    export = written(ask(mine, "xlsx"))
    assert len(table(export)) == export.rows == 2
    text = signed_in(mine.company, language="en").get("/exports/").content.decode()
    assert "of 4: XLSX takes no more" in text
    assert written(ask(mine, "csv")).rows == 4


# --- Whoever dies


def test_only_one_writes(mine: World) -> None:
    export = ask(mine)
    assert exports.due() == [export.pk]
    Export.objects.update(lease_until=timezone.now() + timedelta(seconds=30))
    assert exports.due() == []
    assert written(export).state == Export.State.OPEN


def test_an_export_of_a_dead_worker_is_begun_anew(mine: World) -> None:
    export = ask(mine)
    Export.objects.update(lease_until=timezone.now() - timedelta(seconds=1), rows=700, attempts=1)
    assert exports.due() == [export.pk]
    export = written(export)
    assert (export.state, export.rows, export.attempts) == (Export.State.DONE, 1, 2)
    assert exports.due() == []
    assert written(export).attempts == 2


def test_it_is_given_up_where_workers_die_of_it(mine: World) -> None:
    export = ask(mine)
    Export.objects.update(attempts=exports.TRIES)
    export = written(export)
    assert export.state == Export.State.FAILED
    assert exports.due() == []


def test_a_storage_that_refuses_is_tried_again(mine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise files.StorageRefused("the disk is full")

    monkeypatch.setattr(files, "save", refuse)
    export = written(ask(mine))
    assert (export.state, export.error) == (Export.State.OPEN, "StorageRefused: the disk is full")
    assert export.lease_until is not None
    assert export.lease_until > timezone.now()
    for _n in range(2):
        Export.objects.update(lease_until=None)
        export = written(export)
    assert export.state == Export.State.FAILED


def test_a_deleted_one_leaves_no_file(mine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    export = ask(mine)
    save = files.save

    def save_and_delete(name: str, content: Any) -> None:
        save(name, content)
        Export.objects.all().delete()

    monkeypatch.setattr(files, "save", save_and_delete)
    exports.work(export.pk)
    (loose,) = LooseFile.objects.all()
    files.remove_loose()
    assert not default_storage.exists(loose.name)


def test_one_that_is_deleted_meanwhile_ends(mine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    export = ask(mine)
    monkeypatch.setattr(exports, "attach_standings", lambda _calls: Export.objects.all().delete())
    exports.work(export.pk)
    assert not LooseFile.objects.exists()


def test_files_go_after_a_week(mine: World) -> None:
    old, young = written(ask(mine)), written(ask(mine))
    Export.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=7, minutes=1))
    keeping.delete_old()
    files.remove_loose()
    assert list(Export.objects.all()) == [young]
    assert not stored(old)
    assert stored(young)


# --- The pages


def test_from_the_journal_to_the_file(mine: World, signed_in: Callable[..., Client]) -> None:
    make.CallFactory(connection=mine.connection, outcome="missed")
    client = signed_in(mine.company, Role.READ_ONLY, "en")
    assert 'href="/exports/new/?outcome=missed&amp;period=week"' in body(
        client.get("/calls/?outcome=missed&period=week")
    )
    form = body(client.get("/exports/new/?outcome=missed&period=week"))
    assert "Outcome: missed" in form
    assert 'action="/exports/new/?outcome=missed&amp;period=week"' in form
    said = client.post(
        "/exports/new/?outcome=missed&period=week", {"format": "csv", "columns": ["client", "outcome"]}, follow=True
    )
    assert "being written" in body(said)
    export = Export.objects.get()
    assert export.columns == ["time", "client", "outcome"]
    where = reverse("portal:export_file", args=[export.uuid])
    assert client.get(where).status_code == 404
    written(export)
    assert where in body(client.get("/exports/"))
    said = client.get(where)
    assert said["Content-Disposition"] == f'attachment; filename="{export.name}"'
    rows = b"".join(said).decode("utf-8-sig").splitlines()
    assert rows[0] == "Time,Direction,Number,Client,Organisation,Outcome,Conversation"
    assert len(rows) == 2
    assert client.session["_auth_user_id"]


def test_progress_is_shown(mine: World, owner: Client) -> None:
    ask(mine)
    Export.objects.update(total=200, rows=50)
    part = body(owner.get("/exports/", headers={"X-Part": "1"}))
    assert 'value="25"' in part
    assert "<html" not in part


def test_filters_are_told_in_words_and_asked_for_once(mine: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(mine.company, language="en")

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            text = body(client.get("/exports/"))
        words = ["Employee: mine employee", "PBX connection: mine connection", "Outcome: missed", "From: 04.03.2024"]
        assert all(each in text for each in words)
        return len(captured)

    def narrow() -> None:
        who, where = str(mine.employee.uuid), str(mine.connection.uuid)
        ask(mine, outcome="missed", since="2024-03-04", employee=who, connection=where)

    narrow()
    queries()
    few = queries()
    for _n in range(10):
        narrow()
    assert queries() == few


def test_the_form_says_what_is_wrong(mine: World, owner: Client) -> None:
    said = owner.post("/exports/new/", {"format": "exe", "columns": ["client"]})
    assert said.status_code == 200
    assert "cb-error" in body(said)
    assert not Export.objects.exists()


def test_who_may_delete(mine: World, signed_in: Callable[..., Client]) -> None:
    export = written(ask(mine))
    where = reverse("portal:export_delete", args=[export.uuid])
    stranger = signed_in(mine.company, Role.OPERATOR)
    assert where not in body(stranger.get("/exports/"))
    stranger.post(where)
    assert Export.objects.exists()
    own = Client()
    own.force_login(mine.member.user)
    own.post(where)
    assert not Export.objects.exists()
    files.remove_loose()
    assert not stored(export)


# --- Columns


def test_columns_are_each_persons_own(mine: World, signed_in: Callable[..., Client]) -> None:
    first, second = (signed_in(mine.company, Role.READ_ONLY, "en") for _n in range(2))
    first.post("/calls/columns/", {"columns": ["waiting", "pbx"], "next": "/calls/?q=1"})
    assert heads(first) == ["Time", "Waiting", "PBX connection"]
    assert heads(second) == ["Time", "Client", "Line", "Employee", "Outcome", "Recording", "In the CRM"]
    assert Membership.objects.filter(journal_columns=["time", "waiting", "pbx"]).count() == 1


def heads(client: Client) -> list[str]:
    part = body(client.get("/calls/", headers={"X-Part": "1"}))
    return [words.split("</th>")[0] for words in part.split("<th>")[1:]]


@pytest.mark.parametrize("chosen", [["nonsense"], ["client", "nonsense"]])
def test_a_column_that_is_none_changes_nothing(mine: World, owner: Client, chosen: list[str]) -> None:
    owner.post("/calls/columns/", {"columns": chosen})
    assert not Membership.objects.exclude(journal_columns=None).exists()


def test_every_column_is_on_the_page(mine: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(mine.company, language="en")
    client.post("/calls/columns/", {"columns": [key for key in ALL if key != "time"]})
    assert heads(client) == [str(column.title) for column in COLUMNS]
    row = body(client.get("/calls/", headers={"X-Part": "1"})).split("<tbody>")[1]
    assert row.count("<td") == len(COLUMNS)


def test_columns_that_are_no_more_are_forgotten(mine: World) -> None:
    membership = Membership(journal_columns=["client", "gone"])
    assert columns.of(membership) == ["time", "client"]
    assert columns.of(Membership()) == list(USUAL)
