"""The planner: what is planned, in which order it is called, what does it, and what it costs."""

from __future__ import annotations

import io
import re
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation
from openpyxl import Workbook

from employees.models import Employee, Role
from telephony import planner, xlsx
from telephony.models import Call, PlannedCall
from tests import factories as make
from tests.portal.conftest import World

PHONE, OTHER, THIRD = "+79261112233", "+79261112244", "+79261112255"


def ago(**how: float) -> datetime:
    return timezone.now() - timedelta(**how)


def a_plan(world: World, phone: str = PHONE, **more: Any) -> PlannedCall:
    row: PlannedCall = make.PlannedCallFactory(company=world.company, phone=phone, **{"made_at": ago(hours=1), **more})
    return row


def a_call(world: World, at: datetime, direction: str = "out", outcome: str = "answered", **more: Any) -> Call:
    row: Call = make.CallFactory(
        **{"connection": world.connection, "client_phone": PHONE, "employee": world.employee, **more},
        started_at=at,
        direction=direction,
        outcome=outcome,
    )
    return row


@pytest.fixture
def browser(mine: World) -> Client:
    """The operator's who is `mine.employee`."""
    client = Client(headers={"accept-language": "en"})
    client.force_login(mine.member.user)
    return client


def own(world: World) -> Any:
    return Employee.objects.filter(pk=world.employee.pk)


def queue(world: World) -> list[str]:
    return [row.phone for row in planner.queue(world.company, own(world))]


def text_of(client: Client, where: str = "/planner/", **more: Any) -> str:
    return str(client.get(where, **more).content.decode())


# --- One, and from elsewhere


def test_one_is_planned_by_a_form(mine: World, browser: Client) -> None:
    said = {"phone": "8 926 111-22-33", "words": "Contract", "due_at": "2030-05-01T10:30", "employee": ""}
    text = browser.post("/planner/new/", said, follow=True).content.decode()
    row = PlannedCall.objects.get()
    assert (row.phone, row.words, row.employee, row.made_by) == (PHONE, "Contract", None, mine.member.user)
    assert "1 call is planned." in text
    assert "01.05.2030 10:30" in text


def test_what_is_no_number_is_said_beside_the_field(mine: World, browser: Client) -> None:
    text = browser.post("/planner/new/", {"phone": "anna"}).content.decode()
    assert "is not a phone number" in text
    assert not PlannedCall.objects.exists()


def test_an_employee_of_another_company_is_no_choice(mine: World, theirs: World, browser: Client) -> None:
    text = browser.post("/planner/new/", {"phone": PHONE, "employee": str(theirs.employee.uuid)}).content.decode()
    assert "cb-error" in text
    assert not PlannedCall.objects.exists()


def test_a_missed_call_is_planned_with_a_click(mine: World, browser: Client) -> None:
    call = a_call(mine, ago(minutes=5), "in", "missed")
    assert 'action="/planner/plan/"' in text_of(browser, "/missed/")
    answer = browser.post("/planner/plan/", {"call": call.uuid, "next": "/missed/"})
    assert answer["Location"] == "/missed/"
    row = PlannedCall.objects.get()
    assert (row.phone, row.origin) == (PHONE, "missed")
    browser.post("/planner/plan/", {"call": call.uuid})
    assert PlannedCall.objects.count() == 1


def test_so_is_a_contact_of_the_client_book(mine: World, browser: Client) -> None:
    browser.post("/planner/plan/", {"contact": mine.client_phone.pk})
    assert PlannedCall.objects.get().phone == mine.client_phone.phone


def test_nothing_of_another_company_is_planned_or_dialled(mine: World, theirs: World, browser: Client) -> None:
    for named in ({"call": theirs.call.uuid}, {"contact": theirs.client_phone.pk}, {"call": "nonsense"}):
        assert browser.post("/planner/plan/", named).status_code == 404
    assert browser.post("/dial/", {"planned": a_plan(theirs).uuid}).status_code == 404
    assert browser.get(f"/planner/run/?now={a_plan(theirs, OTHER).uuid}").status_code == 404
    assert not planner.still_open(mine.company).exists()


def test_a_number_stands_there_once_with_all_words_and_the_earlier_time(mine: World, browser: Client) -> None:
    soon = timezone.now() + timedelta(hours=1)
    row = a_plan(mine, words="Contract", due_at=soon)
    text = browser.post("/planner/new/", {"phone": PHONE, "words": "Bill", "due_at": "2030-05-01T10:30"}, follow=True)
    assert "1 number was planned already" in text.content.decode()
    row.refresh_from_db()
    assert (row.words, row.due_at) == ("Contract; Bill", soon)
    browser.post("/planner/new/", {"phone": PHONE, "words": "Bill"})
    row.refresh_from_db()
    assert (row.words, row.due_at) == ("Contract; Bill", None)
    assert PlannedCall.objects.count() == 1


def test_one_that_was_done_is_planned_anew(mine: World, browser: Client) -> None:
    a_plan(mine)
    a_call(mine, ago(minutes=30))
    browser.post("/planner/new/", {"phone": PHONE})
    assert len(queue(mine)) == 1
    assert PlannedCall.objects.count() == 2


# --- A list


LIST = "\n8 926 111-22-33; Contract; by May\nanna\n+7 926 111-22-44\tBill\n\n+79261112233,Gift\n"


def test_a_list_is_shown_before_it_is_planned(mine: World, browser: Client) -> None:
    a_plan(mine, OTHER)
    shown = browser.post("/planner/list/", {"text": LIST}).content.decode()
    assert "2 numbers were understood" in shown
    assert "Contract; by May; Gift" in shown
    assert "1 line repeats a number" in shown
    assert "planned already" in shown
    assert '<td data-name="Line">3</td><td class="cb-full cb-mono">anna</td>' in shown
    assert PlannedCall.objects.count() == 1
    done = browser.post("/planner/list/", {"text": LIST, "step": "plan"}, follow=True).content.decode()
    assert "1 call is planned." in done
    assert "1 number was planned already" in done
    rows = dict(PlannedCall.objects.values_list("phone", "words"))
    assert rows == {PHONE: "Contract; by May; Gift", OTHER: "Bill"}
    assert PlannedCall.objects.get(phone=PHONE).origin == "list"


def test_a_list_is_corrected_with_what_was_typed(mine: World, browser: Client) -> None:
    text = browser.post("/planner/list/", {"text": LIST, "step": "correct"}).content.decode()
    assert "8 926 111-22-33; Contract; by May" in text
    assert 'name="file"' in text
    assert not PlannedCall.objects.exists()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
def test_a_file_is_read(mine: World, browser: Client, encoding: str) -> None:
    file = SimpleUploadedFile("list.csv", '+7 926 111-22-33;"Договор; счёт"\r\n'.encode(encoding))
    assert "Договор; счёт" in browser.post("/planner/list/", {"file": file}).content.decode()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"text": " \n "}, "Write the numbers here"),
        ({"text": f"{PHONE}\n" * 501}, "The list has 501 lines, and at most 500"),
        ({"file": SimpleUploadedFile("list.xls", b"\xd0\xcf\x11\xe0\0\0")}, "choose “Save as”, then XLSX or CSV"),
        ({"file": SimpleUploadedFile("list.xlsx", b"PK\3\4\0\0")}, "This spreadsheet cannot be read"),
        ({"file": SimpleUploadedFile("list.csv", b"1" * 300_000)}, "The file is too large"),
    ],
)
def test_what_is_no_list_is_refused(mine: World, browser: Client, said: dict[str, Any], words: str) -> None:
    assert words in browser.post("/planner/list/", {**said, "step": "plan"}).content.decode()
    assert not PlannedCall.objects.exists()


def a_sheet(*rows: list[Any]) -> bytes:
    book, file = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.create_sheet("another").append([THIRD])
    book.save(file)
    return file.getvalue()


def test_a_spreadsheet_is_read_by_its_rows(mine: World, browser: Client) -> None:
    """Numbers that Excel has as fractions, dates, formulas with and without a value, rows that say nothing."""
    rows: list[list[Any]] = [
        ["Phone", "What about"],
        [79261112233.0, "Contract; bill", datetime(2030, 5, 1)],
        [],
        ["=A2+1", "a formula"],
        ["8 926 111-22-44", "two\nlines", datetime(2030, 5, 1, 10, 30), 1.5],
        [None, "nobody"],
    ]
    text = browser.post("/planner/list/", {"file": SimpleUploadedFile("list.xlsx", a_sheet(*rows))}).content.decode()
    assert "2 numbers were understood" in text
    assert "Contract; bill; 01.05.2030" in text
    assert "two lines; 01.05.2030 10:30; 1.5" in text
    assert '<td data-name="Line">4</td><td class="cb-full cb-mono">=A2+1;a formula</td>' in text
    assert "A formula without its value" in text
    assert re.findall(r'data-name="Line">(\d+)', text) == ["1", "4", "6"]
    assert not PlannedCall.objects.exists()


def test_a_formulas_value_is_what_counts() -> None:
    """As Excel saves it: with what came of it."""
    plain = a_sheet(["=B1", 1])
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(plain)) as old, zipfile.ZipFile(kept, "w") as new:
        for name in old.namelist():
            new.writestr(
                name, old.read(name).replace(b"<v></v>", b"<v>79261112233</v>").replace(b"<v />", b"<v>79261112233</v>")
            )
    assert xlsx.lines_of(kept.getvalue()) == "79261112233;1\n"


def _packed(size: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("xl/worksheets/sheet1.xml", b"0" * size)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_packed(40 * 1024 * 1024), "too large"),
        (_packed(10), "cannot be read"),
        (a_sheet(["x"])[:-300], "cannot be read"),
        (a_sheet(*([PHONE] for _ in range(10_001))), "goes on below row 10000"),
    ],
    ids=["a bomb", "no sheet", "cut off", "too long"],
)
def test_a_spreadsheet_that_is_none_is_refused(content: bytes, words: str) -> None:
    with translation.override("en"), pytest.raises(ValidationError, match=words):
        xlsx.lines_of(content)


def test_a_number_that_excel_shortened_is_no_number(mine: World) -> None:
    with translation.override("en"):
        listed = planner.understand("7,92611E+10;x\n7.92611E+10", "RU")
    assert listed.wishes == []
    assert all("Excel has shortened" in each.why for each in listed.wrong[1:])


@pytest.mark.parametrize("line", ["x" * 700, f"{PHONE};" + "x" * 501, f'{PHONE};"open', ";;;", '"', "=1+1"])
def test_no_line_breaks_a_list(mine: World, line: str) -> None:
    listed = planner.understand(f"{line}\n{OTHER}", "RU")
    assert listed.wishes[-1] == (OTHER, "")
    assert len(listed.wishes) + len(listed.wrong) == 2


# --- The order


def test_mine_come_first_and_of_these_whose_time_has_come(mine: World) -> None:
    somebody = make.EmployeeFactory(company=mine.company)
    a_plan(mine, "+79260000001", employee=somebody, due_at=ago(hours=1))
    a_plan(mine, "+79260000002", due_at=timezone.now() + timedelta(hours=1))
    a_plan(mine, "+79260000003")
    a_plan(mine, "+79260000004", due_at=ago(minutes=5), employee=mine.employee)
    a_plan(mine, "+79260000005", due_at=ago(minutes=9))
    assert [phone[-1] for phone in queue(mine)] == ["5", "4", "3", "2", "1"]
    assert [row.phone[-1] for row in planner.ready(mine.company, own(mine))] == ["5", "4", "3"]


def test_another_companys_are_in_no_list(mine: World, theirs: World, browser: Client) -> None:
    a_plan(theirs, words="theirs words")
    a_plan(theirs, OTHER, words="theirs words", done_at=timezone.now())
    for where in ("/planner/", "/planner/?show=done", "/planner/run/"):
        assert "theirs words" not in text_of(browser, where)


# --- What does it


@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_conversation_does_it(mine: World, browser: Client, direction: str) -> None:
    a_plan(mine)
    call = a_call(mine, ago(minutes=30), direction)
    assert queue(mine) == []
    text = text_of(browser, "/planner/?show=done")
    assert reverse("portal:call", args=[call.uuid]) in text
    assert ("the client called</span>" in text) == (direction == "in")


@pytest.mark.parametrize(
    "more",
    [
        {"at": ago(hours=2)},
        {"outcome": "no_answer"},
        {"outcome": "", "state": "answered", "answered_at": timezone.now()},
        {"source": "trial"},
        {"direction": "internal"},
        {"client_phone": OTHER},
    ],
    ids=["before", "unanswered", "goes on", "test call", "internal", "other number"],
)
def test_what_does_not_do_it(mine: World, browser: Client, more: dict[str, Any]) -> None:
    a_plan(mine)
    a_call(mine, **{"at": ago(minutes=30), **more})
    assert queue(mine) == [PHONE]
    assert "<tbody>" not in text_of(browser, "/planner/?show=done")


def test_another_companys_conversation_does_nothing(mine: World, theirs: World) -> None:
    a_plan(mine)
    a_call(theirs, ago(minutes=30))
    assert queue(mine) == [PHONE]


def test_attempts_and_the_client_are_shown(mine: World, browser: Client) -> None:
    make.ClientPhoneFactory(client=make.ClientFactory(company=mine.company, name="Anna Test"), phone=PHONE)
    a_plan(mine)
    a_call(mine, ago(hours=2), outcome="no_answer")
    for minutes in (40, 30, 20, 10):
        last = a_call(mine, ago(minutes=minutes), outcome="no_answer")
    text = text_of(browser)
    assert "Anna Test" in text
    assert "4 tries in all" in text
    assert reverse("portal:call", args=[last.uuid]) in text


def test_what_is_sure_is_written_down_and_what_is_not_may_be_corrected(mine: World, browser: Client) -> None:
    row = a_plan(mine, made_at=ago(days=3))
    fresh = a_plan(mine, OTHER, made_at=ago(days=3))
    call = a_call(mine, ago(days=2))
    lately = a_call(mine, ago(hours=1), client_phone=OTHER)
    planner.settle()
    row.refresh_from_db()
    fresh.refresh_from_db()
    assert (row.call, row.done_at) == (call, call.started_at)
    assert fresh.done_at is None
    Call.objects.filter(pk=lately.pk).update(answered_at=None, outcome="no_answer")
    assert queue(mine) == [OTHER]
    assert reverse("portal:call", args=[call.uuid]) in text_of(browser, "/planner/?show=done")
    assert browser.post(reverse("portal:planner_reopen", args=[row.uuid])).status_code == 404


# --- By hand


def test_it_is_closed_with_a_note_and_opened_again(mine: World, browser: Client) -> None:
    row = a_plan(mine)
    browser.post(reverse("portal:planner_done", args=[row.uuid]), {"note": "He came by"})
    assert queue(mine) == []
    assert "He came by" in text_of(browser, "/planner/?show=done")
    browser.post(reverse("portal:planner_reopen", args=[row.uuid]))
    assert queue(mine) == [PHONE]


def test_a_note_that_is_too_long_closes_nothing(mine: World, browser: Client) -> None:
    row = a_plan(mine)
    said = browser.post(reverse("portal:planner_done", args=[row.uuid]), {"note": "x" * 501}, follow=True)
    assert "at most 500 characters" in said.content.decode()
    assert queue(mine) == [PHONE]


def test_what_about_when_and_for_whom_are_changed(mine: World, browser: Client) -> None:
    row = a_plan(mine)
    where = reverse("portal:planner_edit", args=[row.uuid])
    browser.post(where, {"words": "Bill", "due_at": "2030-05-01T10:30", "employee": str(mine.employee.uuid)})
    row.refresh_from_db()
    assert (row.phone, row.words, row.employee) == (PHONE, "Bill", mine.employee)
    text = text_of(browser, where)
    assert 'value="2030-05-01T10:30"' in text
    assert f'value="{mine.employee.uuid}" selected' in text


@pytest.mark.parametrize(("when", "least", "most"), [("hour", 0.9, 1.1), ("tomorrow", 0, 48), ("week", 24 * 6, 24 * 8)])
def test_it_comes_later(mine: World, browser: Client, when: str, least: float, most: float) -> None:
    row = a_plan(mine)
    browser.post(reverse("portal:planner_later", args=[row.uuid]), {"when": when})
    row.refresh_from_db()
    assert row.due_at
    hours = (row.due_at - timezone.now()).total_seconds() / 3600
    assert least < hours < most
    assert not planner.ready(mine.company, own(mine)).exists()
    said = browser.post(reverse("portal:planner_later", args=[row.uuid]), {"when": "never"}, follow=True)
    assert "Choose when to call" in said.content.decode()


# --- One after another


def turn(client: Client, where: str = "/planner/run/") -> Any:
    answer = client.get(where, follow=True)
    return answer.context["row"].plan.phone if "row" in answer.context else None


def test_one_comes_after_another(mine: World, browser: Client) -> None:
    for phone in (PHONE, OTHER, THIRD):
        a_plan(mine, phone)
    assert turn(browser) == PHONE
    assert turn(browser, "/planner/run/?skipped=1") == OTHER
    row = PlannedCall.objects.get(phone=OTHER)
    there = "/planner/run/?skipped=1"
    answer = browser.post(reverse("portal:planner_done", args=[row.uuid]), {"next": there}, follow=True)
    assert answer.context["row"].plan.phone == THIRD
    answer = browser.get("/planner/run/?skipped=2", follow=True)
    assert answer.context["row"].plan.phone == PHONE
    assert "those that you skipped" in answer.content.decode()


def test_a_call_that_is_done_stays_before_ones_eyes(mine: World, browser: Client) -> None:
    row = a_plan(mine)
    where = f"/planner/run/?now={row.uuid}&skipped=0"
    text = text_of(browser, where, headers={"X-Part": "1"})
    assert f'name="planned" value="{row.uuid}"' in text
    assert "<html" not in text
    a_call(mine, ago(minutes=1), outcome="", state="answered", answered_at=ago(seconds=30))
    assert "conversation</span>" in text_of(browser, where, headers={"X-Part": "1"})
    a_call(mine, ago(minutes=1))
    text = text_of(browser, where, headers={"X-Part": "1"})
    assert "Done: there was a conversation" in text
    assert 'name="planned"' not in text
    assert "No call is planned" in text_of(browser)
    assert "Everybody was called" in text_of(browser, "/planner/run/")


def test_it_says_when_the_next_one_is_due(mine: World, browser: Client) -> None:
    a_plan(mine, due_at=timezone.now() + timedelta(hours=2))
    assert "The next call is due at" in text_of(browser, "/planner/run/")


@pytest.mark.parametrize("where", ["/planner/run/?now=x", "/planner/run/?now=00000000-0000-0000-0000-000000000000"])
def test_a_wrong_address_is_not_found(mine: World, browser: Client, where: str) -> None:
    assert browser.get(where).status_code == 404


@pytest.mark.parametrize(
    "where", ["/planner/?page=x", "/planner/?page=99", "/planner/run/?skipped=-1", "/planner/?show=x"]
)
def test_nonsense_is_as_if_not_asked(mine: World, browser: Client, where: str) -> None:
    assert browser.get(where).status_code == 200


# --- Two on one list


@pytest.fixture
def colleague(mine: World) -> Client:
    member = make.MembershipFactory(
        company=mine.company, role=Role.OPERATOR, user__first_name="Boris", user__last_name="Test"
    )
    client = Client(headers={"accept-language": "en"})
    client.force_login(member.user)
    return client


def test_two_never_have_the_same_number(mine: World, browser: Client, colleague: Client) -> None:
    first, second = a_plan(mine, PHONE), a_plan(mine, OTHER)
    assert turn(browser) == PHONE
    assert turn(colleague) == OTHER
    assert "Boris Test is calling" in text_of(browser)
    text = text_of(browser, f"/planner/run/?now={second.uuid}")
    assert "Boris Test is calling this number just now." in text
    assert 'name="planned"' not in text
    assert turn(browser) == PHONE
    first.refresh_from_db()
    assert first.caller == mine.member.user


def test_who_has_none_left_is_told_that_others_call(mine: World, browser: Client, colleague: Client) -> None:
    a_plan(mine)
    assert turn(browser) == PHONE
    for where in ("/planner/run/", "/planner/run/?skipped=1"):
        assert "Others are calling all that is to be called" in text_of(colleague, where, follow=True)


def test_somebody_elses_number_is_not_dialled(
    mine: World, browser: Client, colleague: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from telephony import commands

    asked: list[str] = []
    monkeypatch.setattr(commands, "dial", lambda connection, **said: asked.append(said["phone"]))
    row = a_plan(mine)
    assert turn(browser) == PHONE
    said = colleague.post("/dial/", {"planned": row.uuid, "extension": "101"}, follow=True).content.decode()
    assert "Somebody else is calling this number just now." in said
    assert asked == []
    browser.post("/dial/", {"planned": row.uuid, "extension": "101"})
    assert asked == [PHONE]


def test_who_dials_from_the_list_has_it(
    mine: World, browser: Client, colleague: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from telephony import commands

    monkeypatch.setattr(commands, "dial", lambda connection, **said: None)
    row = a_plan(mine)
    colleague.post("/dial/", {"planned": row.uuid, "extension": "101"})
    assert turn(browser) is None


@pytest.mark.parametrize("how", ["leave", "later", "next", "time"])
def test_it_is_given_back(mine: World, browser: Client, colleague: Client, how: str) -> None:
    row, other = a_plan(mine), a_plan(mine, OTHER)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        assert turn(browser) == PHONE
        if how == "leave":
            assert browser.post(reverse("portal:planner_leave", args=[row.uuid])).status_code == 204
        elif how == "later":
            browser.post(reverse("portal:planner_later", args=[row.uuid]), {"when": "hour"})
        elif how == "next":
            assert turn(browser, "/planner/run/?skipped=1") == OTHER
        else:
            clock.shift(timedelta(minutes=6))
        row.refresh_from_db()
        assert row.caller is None
        assert turn(colleague) == (OTHER if how == "later" else PHONE)
    assert other.pk


def test_nobody_gives_back_what_another_has(mine: World, browser: Client, colleague: Client) -> None:
    row = a_plan(mine)
    assert turn(browser) == PHONE
    colleague.post(reverse("portal:planner_leave", args=[row.uuid]))
    row.refresh_from_db()
    assert row.caller == mine.member.user


def test_a_page_that_is_looked_at_keeps_it(mine: World, browser: Client, colleague: Client) -> None:
    row = a_plan(mine)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        assert turn(browser) == PHONE
        for _ in range(6):
            clock.shift(timedelta(minutes=2))
            text_of(browser, f"/planner/run/?now={row.uuid}", headers={"X-Part": "1"})
        assert turn(colleague) is None


def test_nobody_is_called_who_is_on_the_line(mine: World, browser: Client) -> None:
    a_plan(mine)
    a_plan(mine, OTHER)
    a_call(mine, ago(minutes=1), outcome="", state="answered", answered_at=ago(seconds=30))
    assert turn(browser) == OTHER


@pytest.mark.django_db(transaction=True)
def test_many_at_one_moment_have_one_each() -> None:
    """On either database: of two who ask at the same moment one is given the next number."""
    company = make.CompanyFactory()
    users = [make.MembershipFactory(company=company).user for _ in range(6)]
    for number in range(8):
        make.PlannedCallFactory(company=company, phone=f"+7926000000{number}")
    start = threading.Barrier(len(users))

    def ask(user: Any) -> Any:
        try:
            start.wait()
            row = planner.take_next(company, Employee.objects.none(), user, 0)
            return row and row.pk
        finally:
            connection.close()

    with ThreadPoolExecutor(len(users)) as pool:
        taken = list(pool.map(ask, users))
    assert None not in taken
    assert len(set(taken)) == len(users)


# --- Rights and masks


def test_hidden_numbers_stay_hidden(mine: World, browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from telephony import commands

    asked: list[str] = []
    monkeypatch.setattr(commands, "dial", lambda connection, **said: asked.append(said["phone"]))
    mine.company.hidden_from_operators = True
    mine.company.save()
    make.ClientPhoneFactory(client=make.ClientFactory(company=mine.company, name=f"Anna {PHONE}"), phone=PHONE)
    row = a_plan(mine, words=f"call {PHONE}")
    run = f"/planner/run/?now={row.uuid}"
    a_plan(mine, OTHER, done_at=timezone.now(), note=f"is {PHONE}")
    edit = reverse("portal:planner_edit", args=[row.uuid])
    for where in ("/planner/", "/planner/?show=done", run):
        text = text_of(browser, where)
        assert "1112233" not in "".join(letter for letter in text if letter not in " -()"), where
        assert "**" in text
    assert "**" in text_of(browser, edit)
    chosen = browser.post("/dial/", {"planned": row.uuid, "extension": "101", "next": run}, follow=True)
    assert asked == [PHONE]
    assert "**" in chosen.content.decode()


def test_who_only_reads_plans_nothing(mine: World, signed_in: Callable[..., Client]) -> None:
    a_call(mine, ago(minutes=5), "in", "missed")
    client = signed_in(mine.company, Role.READ_ONLY)
    assert "/planner/" not in text_of(client, "/missed/")
    assert client.get("/planner/").status_code == 403


# --- What it costs


@pytest.mark.parametrize("where", ["/planner/", "/planner/?show=done", "/planner/list/"])
def test_what_a_page_costs_does_not_grow(mine: World, browser: Client, where: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            if where == "/planner/list/":
                text = "\n".join(PlannedCall.objects.values_list("phone", flat=True))
                assert browser.post(where, {"text": text, "step": "plan"}).status_code == 302
            else:
                assert browser.get(where).status_code == 200
        return len(captured)

    def one(n: int) -> None:
        row = a_plan(mine, f"+7926555{n:04}", employee=mine.employee, made_by=mine.member.user)
        make.ClientPhoneFactory(client=make.ClientFactory(company=mine.company), phone=row.phone)
        a_call(mine, ago(minutes=20), outcome="no_answer", client_phone=row.phone)
        if "done" in where:
            a_call(mine, ago(minutes=10), client_phone=row.phone)

    one(0)
    queries()
    few = queries()
    for n in range(1, 30):
        one(n)
    assert queries() == few


def test_what_is_open_is_asked_by_its_indexes(mine: World) -> None:
    PlannedCall.objects.bulk_create(
        PlannedCall(company=mine.company, phone=f"+7926{n:07}", done_at=ago(days=n % 1_000) if n % 50 else None)
        for n in range(5_000)
    )
    Call.objects.bulk_create(
        Call(
            company=mine.company,
            connection=mine.connection,
            key=f"many-{n}",
            direction="out",
            state="finished",
            outcome="no_answer" if n % 3 else "answered",
            client_phone=f"+7926{n % 6_000:07}",
            started_at=ago(minutes=n),
            answered_at=None if n % 3 else ago(minutes=n),
        )
        for n in range(20_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    plan = planner.queue(mine.company, own(mine))[: planner.PAGE + 1].explain()
    assert "planned_open" in plan
    assert "call_by_client" in plan
    assert "planned_done" in planner.done(mine.company)[: planner.PAGE + 1].explain()
