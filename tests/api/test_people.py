"""Employees and extensions by program."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

from employees.models import Employee, Extension
from tests import factories as make


def test_an_employee_is_made_changed_and_removed(program, mine):
    made = program.post("employees", {"name": "Anna", "extensions": ["201"], "phones": ["8 916 000-00-01"]})
    assert made.status_code == 201, made.json()
    told = made.json()
    assert (told["extensions"], told["phones"]) == (["201"], ["+79160000001"])
    place = f"employees/{told['uuid']}"
    changed = program.patch(place, {"email": "anna@flowers.example", "member": mine.member.user.email}).json()
    assert changed == {
        **told,
        "email": "anna@flowers.example",
        "member": mine.member.user.email,
    }, "what is not sent stays"
    assert program.patch(place, {"extensions": [], "member": None}).json()["extensions"] == []
    assert program.delete(place).status_code == 204
    assert program.get(place).status_code == 404


def test_what_belongs_to_somebody_else_is_refused(program, mine, theirs):
    taken = program.post("employees", {"name": "Boris", "extensions": [mine.extension.number]})
    assert taken.json()["errors"][0]["field"] == "extensions"
    stranger = program.post("employees", {"name": "Boris", "member": theirs.member.user.email})
    assert stranger.json()["errors"][0] == {
        "field": "member",
        "code": "not_found",
        "detail": "There is no member with this e-mail.",
    }
    assert program.get(f"employees/{theirs.employee.uuid}").status_code == 404


def test_employees_in_bulk_are_found_again(program, mine):
    rows = [{"name": f"N{number}", "email": f"n{number}@flowers.example"} for number in range(3)]
    first = program.put("employees/bulk", rows).json()
    again = program.put("employees/bulk", [{**row, "name": f"{row['name']}!"} for row in rows]).json()
    assert [row["uuid"] for row in first] == [row["uuid"] for row in again]
    assert [row["name"] for row in again] == ["N0!", "N1!", "N2!"]
    renamed = program.put("employees/bulk", [{"uuid": str(mine.employee.uuid), "name": "By uuid"}]).json()
    assert renamed[0]["extensions"] == ["101"]


def test_too_many_at_once_are_refused(program):
    told = program.put("extensions/bulk", [{"number": str(number)} for number in range(501)])
    assert (told.status_code, told.json()["code"]) == (422, "invalid")
    assert not Extension.objects.filter(number="500").exists()


def test_extensions_in_bulk(program, mine, theirs):
    told = program.put(
        "extensions/bulk",
        [
            {"number": "105", "employee": str(mine.employee.uuid)},
            {"number": "301", "handling": "ignored"},
            {"number": "302", "name": "Reception"},
        ],
    )
    assert told.status_code == 200, told.json()
    assert [row["handling"] for row in told.json()] == ["employee", "ignored", "unknown"]
    stranger = program.put("extensions/bulk", [{"number": "303", "employee": str(theirs.employee.uuid)}])
    assert stranger.json()["errors"][0]["field"] == "0.employee"
    assert not Extension.objects.filter(number="303").exists()


def test_an_extension_changes_hands(program, mine):
    anna: Employee = make.EmployeeFactory(company=mine.company, name="Anna")
    told = program.patch("extensions/101", {"employee": str(anna.uuid)}).json()
    assert (told["employee"], told["handling"]) == (str(anna.uuid), "employee")
    told = program.patch("extensions/101", {"handling": "default"}).json()
    assert (told["employee"], told["handling"]) == (None, "default")
    assert program.patch("extensions/101", {"handling": "employee"}).json()["errors"][0]["field"] == "employee"
    assert program.put("extensions/101", {"number": "101"}).status_code == 405


def test_lists_ask_the_database_as_often_for_many_as_for_one(program, mine):
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert program.get("employees").status_code == 200
            assert program.get("extensions").status_code == 200
        return len(queries)

    asked()  # the first one notes that the key is used
    few = asked()
    for number in range(10):
        row = make.EmployeeFactory(company=mine.company)
        make.ExtensionFactory(company=mine.company, employee=row, number=f"4{number}")
        make.EmployeePhoneFactory(employee=row)
    assert asked() == few
