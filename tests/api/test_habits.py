"""What all resources have in common: problems, pages, repeated requests, ETags."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from employees.api import problems
from employees.models import Employee, KeptAnswer
from tests import factories as make


def test_an_unknown_address_is_a_problem_too(client, db):
    answer = client.get("/api/v1/nothing")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("code", problems.KINDS)
def test_each_problem_is_explained_at_its_address(client, code, db):
    told = client.get(f"/api/v1/problems/{code}", headers={"accept-language": "ru"}).json()
    assert told["status"] == problems.KINDS[code].status
    assert told["cure"]
    assert told["type"].endswith(f"/api/v1/problems/{code}")


def test_what_is_not_right_is_named_with_its_place(program):
    told = program.put("employees/bulk", [{"name": "Anna"}, {"name": "", "extensions": ["a b"]}])
    assert told.status_code == 422
    assert {each["field"] for each in told.json()["errors"]} == {"1.name", "1.extensions.0"}
    assert not Employee.objects.filter(name="Anna").exists()


def test_a_body_that_is_no_json_is_malformed(program):
    def sent(body: str, content_type: str) -> Any:
        return Client().generic("POST", "/api/v1/employees", body, content_type, headers=program.headers)

    text, broken = sent("name: Anna", "text/plain"), sent("{", "application/json")
    assert (text.status_code, text.json()["code"]) == (415, "media_type")
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed")


def test_parameters_that_nobody_knows_are_refused(program):
    assert program.get("employees?nmae=Anna").json()["code"] == "parameter_unknown"
    assert program.get("changes?kind=nonsense").json()["code"] == "invalid"
    assert program.get("employees?cursor=nonsense").json()["code"] == "cursor_invalid"


def test_pages_follow_each_other(program, mine):
    for number in range(5):
        make.EmployeeFactory(company=mine.company, name=f"Employee {number}")
    page, seen = program.get("employees?page_size=2").json(), []
    while True:
        seen += [row["uuid"] for row in page["results"]]
        if not page["next"]:
            break
        make.EmployeeFactory(company=mine.company)  # what comes meanwhile moves nothing
        page = program.get(page["next"].split("/api/v1/")[1]).json()
    assert len(seen) == len(set(seen)) == 6


# --- Idempotency


def test_a_request_sent_twice_is_done_once(program):
    first = program.post("employees", {"name": "Anna"}, idempotency_key="one")
    second = program.post("employees", {"name": "Anna"}, idempotency_key="one")
    assert first.json() == second.json()
    assert (second.status_code, second["Idempotent-Replayed"]) == (201, "true")
    assert Employee.objects.filter(name="Anna").count() == 1


def test_a_key_is_of_one_request(program, mine, theirs, key):
    program.post("employees", {"name": "Anna"}, idempotency_key="one")
    other = program.post("employees", {"name": "Boris"}, idempotency_key="one")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert key(theirs.company).post("employees", {"name": "Anna"}, idempotency_key="one").status_code == 201


def test_a_request_that_nobody_answered_is_not_done_again(program):
    program.post("employees", {"name": "Anna"}, idempotency_key="one")
    KeptAnswer.objects.update(status=None)
    again = program.post("employees", {"name": "Anna"}, idempotency_key="one")
    assert (again.status_code, again.json()["code"]) == (409, "request_in_progress")
    assert Employee.objects.filter(name="Anna").count() == 1


# --- ETags


def test_what_was_changed_meanwhile_is_not_overwritten(program, mine):
    place = f"employees/{mine.employee.uuid}"
    read = program.get(place)
    changed = program.patch(place, {"name": "First"}, if_match=read["ETag"])
    assert changed.status_code == 200
    late = program.patch(place, {"name": "Second"}, if_match=read["ETag"])
    assert (late.status_code, late.json()["code"]) == (412, "changed_meanwhile")
    assert program.patch(place, {"name": "Second"}, if_match=changed["ETag"]).status_code == 200
    mine.employee.refresh_from_db()
    assert mine.employee.name == "Second"
