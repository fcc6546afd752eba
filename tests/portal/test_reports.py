"""Reports: what is counted, on whose days, compared with what, as a page and as a file; and what it costs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.translation import override
from openpyxl import load_workbook

from employees.models import Role
from telephony import report_pages, reports
from telephony.models import Call
from telephony.report_pages import REPORTS
from telephony.reports import Figures, Line, Period
from tests import factories as make
from tests.portal.conftest import World
from tests.portal.test_isolation import body
from tests.portal.test_missed import many

MOSCOW = ZoneInfo("Europe/Moscow")
MONDAY, SUNDAY = date(2024, 3, 4), date(2024, 3, 10)
WEEK = Period(MONDAY, SUNDAY)
PHONE = "+79261112233"


@pytest.fixture(autouse=True)
def in_moscow() -> Any:
    with timezone.override(MOSCOW):
        yield


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=MOSCOW)


def a_call(world: World, when: str, direction: str = "in", outcome: str = "answered", **more: Any) -> Call:
    row: Call = make.CallFactory(
        **{"connection": world.connection, "client_phone": PHONE, "employee": world.employee, **more},
        started_at=at(when),
        direction=direction,
        outcome=outcome,
    )
    return row


@pytest.fixture
def week(mine: World) -> World:
    """Of one client: talked with, missed and called back after 10 and after 30 minutes, missed and he called again."""
    a_call(mine, "2024-03-04T09:00", talk_seconds=100, wait_seconds=10)
    a_call(mine, "2024-03-05T10:00", outcome="missed", wait_seconds=30)
    a_call(mine, "2024-03-05T10:10", "out", talk_seconds=50)
    a_call(mine, "2024-03-06T11:00", outcome="missed", wait_seconds=30)
    a_call(mine, "2024-03-06T11:20", "out", "no_answer")
    a_call(mine, "2024-03-06T11:30", "out", talk_seconds=30)
    a_call(mine, "2024-03-07T12:00", outcome="busy", wait_seconds=30)
    a_call(mine, "2024-03-07T12:05", talk_seconds=20, wait_seconds=0)
    a_call(mine, "2024-03-10T23:59", outcome="missed", client_phone="+79269999999", wait_seconds=20)
    return mine


EXPECTED = Figures(
    incoming=6,
    outgoing=3,
    answered=4,
    missed=4,
    talk=200,
    waiting=120,
    called_back=2,
    came_back=1,
    patience=1200,
)


def figures(line: Figures) -> Figures:
    return Figures(**{name: getattr(line, name) for name in Figures.__dataclass_fields__})


# --- What is counted


def test_the_figures_of_a_week(week: World) -> None:
    found = reports.totals(week.company, WEEK)
    assert figures(found) == EXPECTED
    assert (found.total, found.unreached, found.called_back_percent) == (9, 1, 50)
    assert (found.average_talk, found.average_wait) == (50, 20)
    (line,) = reports.by_employee(week.company, WEEK)
    assert figures(line) == EXPECTED
    assert line.name == week.employee.name
    (line,) = reports.by_line(week.company, WEEK)
    assert figures(line) == EXPECTED


def test_without_calls_there_is_nothing_to_divide(mine: World) -> None:
    found = reports.totals(mine.company, WEEK)
    assert figures(found) == Figures()
    assert (found.called_back_percent, found.average_talk, found.average_wait) == (None, None, None)


def test_by_client(week: World) -> None:
    make.ClientPhoneFactory(client=make.ClientFactory(company=week.company, name="Maria"), phone=PHONE)
    first, second = reports.by_client(week.company, WEEK, 10)
    assert (first.key, first.about, first.total, first.patience) == (PHONE, "Maria", 8, 1200)
    assert (second.key, second.about, second.missed, second.called_back) == ("+79269999999", "", 1, 0)
    assert [line.key for line in reports.by_client(week.company, WEEK, 1)] == [PHONE]


def test_by_hour(week: World) -> None:
    hours, days = reports.by_hour(week.company, WEEK)
    assert (hours[9].incoming, hours[11].outgoing, hours[23].missed) == (1, 2, 1)
    assert (hours[10].called_back, hours[10].patience, hours[11].patience) == (1, 600, 1800)
    assert hours[12].came_back == 1
    assert (days[0][9].incoming, days[1][10].missed, days[6][23].missed) == (1, 1, 1)
    assert sum(line.total for line in hours) == sum(hour.total for day in days for hour in day) == 9


def test_the_week_day_by_day(week: World) -> None:
    (line,) = reports.week_by_employee(week.company, WEEK)
    assert [day.total for day in line.days] == [1, 2, 3, 2, 0, 0, 1]
    assert [day.missed for day in line.days] == [0, 1, 1, 1, 0, 0, 1]
    assert (line.total, line.talk) == (9, 200)
    assert [client.total for client in reports.week_by_client(week.company, WEEK, 10)] == [8, 1]


def test_the_median_of_an_even_number_lies_between(mine: World) -> None:
    for n, minutes in enumerate((1, 2, 4, 60)):
        a_call(mine, f"2024-03-05T0{n}:00", outcome="missed", client_phone=f"+7926111000{n}")
        moment = f"2024-03-05T{n + minutes // 60:02}:{minutes % 60:02}"
        a_call(mine, moment, "out", client_phone=f"+7926111000{n}")
    assert reports.totals(mine.company, WEEK).patience == 180


def test_days_are_the_companys(mine: World) -> None:
    a_call(mine, "2024-03-04T00:00")
    a_call(mine, "2024-03-03T23:59:59")
    assert reports.totals(mine.company, Period(MONDAY, MONDAY)).total == 1
    with timezone.override(ZoneInfo("Asia/Vladivostok")):
        (line,) = reports.week_by_employee(mine.company, WEEK)
        assert [day.total for day in line.days][:2] == [2, 0]
        assert [line.key for line in reports.by_hour(mine.company, WEEK)[0] if line.total] == [6, 7]


def test_what_is_no_call_with_a_client(mine: World, theirs: World) -> None:
    make.EmployeePhoneFactory(employee=mine.employee, phone="+79160000001")
    a_call(mine, "2024-03-04T09:00", client_phone="+79160000001")
    a_call(mine, "2024-03-04T09:00", "internal", client_phone="")
    a_call(mine, "2024-03-04T09:00", outcome="", state="ringing")
    a_call(theirs, "2024-03-04T09:00")
    assert reports.totals(mine.company, WEEK).total == 0
    assert reports.by_employee(mine.company, WEEK) == []


def test_a_hidden_number_is_missed_and_cannot_be_called_back(mine: World) -> None:
    a_call(mine, "2024-03-04T09:00", outcome="missed", client_phone="")
    a_call(mine, "2024-03-04T09:30", "out", client_phone="")
    found = reports.totals(mine.company, WEEK)
    assert (found.missed, found.called_back) == (1, 0)
    assert reports.by_client(mine.company, WEEK, 10) == []


@override("en")
def test_names_where_nobody_is_known(mine: World) -> None:
    a_call(mine, "2024-03-04T09:00", outcome="missed", employee=None, virtual_number="")
    make.VirtualNumberFactory(connection=mine.connection, number="+74990000001", line_name="Shop")
    a_call(mine, "2024-03-04T09:00", virtual_number="+74990000001")
    assert {line.name for line in reports.by_employee(mine.company, WEEK)} == {mine.employee.name, "nobody's"}
    assert {line.name for line in reports.by_line(mine.company, WEEK)} == {"Shop (+7 499 000-00-01)", "unknown line"}


# --- The page


@pytest.mark.parametrize("show", dict(REPORTS))
def test_every_report_is_shown(week: World, signed_in: Callable[..., Client], show: str) -> None:
    client = signed_in(week.company, Role.READ_ONLY, "en")
    text = client.get("/reports/", {"show": show, "since": "2024-03-04", "until": "2024-03-10"}).content.decode()
    assert "04.03.2024 – 10.03.2024" in text
    assert '<svg class="cb-chart"' in text
    assert "<title>" in text.split("<svg", 1)[1]
    assert 'class="cb-table' in text
    assert "style=" not in text.split("cb-tabs", 1)[1]


def test_it_is_compared_with_the_period_before(week: World, signed_in: Callable[..., Client]) -> None:
    a_call(week, "2024-02-28T09:00")
    a_call(week, "2024-02-26T00:00", "out")
    a_call(week, "2024-02-25T23:00")
    assert WEEK.before == Period(date(2024, 2, 26), date(2024, 3, 3))
    client = signed_in(week.company, language="en")
    text = client.get("/reports/?since=2024-03-04&until=2024-03-10").content.decode()
    assert "before: 1 (+500\N{NO-BREAK SPACE}%)" in text
    assert "before: 1 (+200\N{NO-BREAK SPACE}%)" in text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"since": "2024-01-01", "until": "2025-01-01"}, "The period has 367 days. Choose 366 days at most."),
        ({"since": "2024-03-04", "until": "2024-03-01"}, "The last day is before the first one."),
        ({"until": "2024-03-01"}, "This field is required."),
        ({"since": "yesterday", "until": "2024-03-01"}, "Enter a valid date."),
    ],
)
def test_a_period_that_cannot_be(
    mine: World, signed_in: Callable[..., Client], asked: dict[str, str], words: str
) -> None:
    client = signed_in(mine.company, language="en")
    for where in ("/reports/", "/reports/file/"):
        text = client.get(where, asked).content.decode()
        assert words in text
        assert "cb-tiles" not in text


def test_a_year_is_fine(mine: World, owner: Client) -> None:
    assert "cb-tiles" in owner.get("/reports/?since=2024-01-01&until=2024-12-31").content.decode()


# --- Files


@pytest.mark.parametrize("show", dict(REPORTS))
def test_every_report_is_a_file(week: World, signed_in: Callable[..., Client], show: str) -> None:
    asked = {"show": show, "since": "2024-03-04", "until": "2024-03-10"}
    client = signed_in(week.company, language="en")
    said = client.get("/reports/file/", {**asked, "format": "csv"})
    assert f"{show}-2024-03-04-2024-03-10.csv" in said["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(said.content.decode("utf-8-sig"))))
    book = load_workbook(io.BytesIO(client.get("/reports/file/", {**asked, "format": "xlsx"}).content))
    sheet = [list(row) for row in book.active.iter_rows(values_only=True)]
    assert rows[0] == sheet[0]
    assert len(rows) == len(sheet)
    assert {len(row) for row in rows} == {len(rows[0])}
    place = rows[0].index("Incoming")
    assert sum(int(row[place]) for row in rows[1:]) == sum(row[place] for row in sheet[1:]) == 6


def test_times_in_files(week: World, signed_in: Callable[..., Client]) -> None:
    asked = {"since": "2024-03-04", "until": "2024-03-10"}
    client = signed_in(week.company, language="en")
    heads, row = csv.reader(
        io.StringIO(client.get("/reports/file/", {**asked, "format": "csv"}).content.decode("utf-8-sig"))
    )
    assert dict(zip(heads, row, strict=True))["Median time to call back"] == "0:20:00"
    book = load_workbook(io.BytesIO(client.get("/reports/file/", asked).content))
    (cell,) = [book.active.cell(2, n) for n, head in enumerate(heads, 1) if head == "Median time to call back"]
    assert cell.number_format == "[h]:mm:ss"
    assert cell.value == timedelta(minutes=20)


def test_russian_files_have_semicolons(week: World, owner: Client) -> None:
    text = owner.get("/reports/file/?since=2024-03-04&until=2024-03-10&format=csv").content
    assert text.startswith(b"\xef\xbb\xbf")
    assert text.decode("utf-8-sig").splitlines()[0].count(";") == len(report_pages.FIGURES)


# --- What it costs


@pytest.mark.parametrize("show", dict(REPORTS))
def test_what_a_report_costs_does_not_grow(mine: World, owner: Client, show: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert owner.get(f"/reports/?show={show}").status_code == 200
        return len(captured)

    make.CallFactory(connection=mine.connection, outcome="missed", employee=mine.employee)
    queries()
    few = queries()
    for n in range(20):
        employee = make.EmployeeFactory(company=mine.company)
        number = make.VirtualNumberFactory(connection=mine.connection).number
        phone = make.ClientPhoneFactory(client__company=mine.company).phone
        make.CallFactory(
            connection=mine.connection,
            employee=employee,
            virtual_number=number,
            client_phone=phone,
            outcome="missed" if n % 2 else "answered",
        )
    assert queries() == few <= 15


def test_twenty_thousand_calls_are_asked_by_their_indexes(mine: World, owner: Client) -> None:
    many(mine, 20_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    today = timezone.localdate()
    assert "call_journal" in reports.calls(mine.company, Period(today, today)).explain()
    with CaptureQueriesContext(connection) as captured:
        text = body(owner.get("/reports/?show=client&period=month"))
    assert text.count("<tr>") == report_pages.SHOWN + 1
    medians = [query["sql"] for query in captured if "ROW_NUMBER" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'' if connection.vendor == 'postgresql' else 'QUERY PLAN'} {medians[0]}")
        plan = str(cursor.fetchall())
    assert "call_by_client" in plan


def test_a_line_adds_up() -> None:
    line = Line(incoming=1)
    line.add({"incoming": 2, "talk": 30})
    assert (line.incoming, line.talk) == (3, 30)
