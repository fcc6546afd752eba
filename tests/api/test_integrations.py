"""Integrations, their mapping and their rules by program."""

from __future__ import annotations

from typing import Any

import pytest

from crm_adapters.base import CrmUser
from crm_adapters.bitrix24.adapter import Bitrix24
from employees.models import Change, Company
from integrations import crm_setup
from integrations.models import EmployeeMapping, Integration, Rule
from outbound.errors import Temporary
from tests import factories as make
from tests.api.queries import asked
from tests.factories import SETTINGS


def place(world: Any, more: str = "") -> str:
    return f"integrations/{world.integration.uuid}{more}"


def fields(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.json()
    return sorted(each["field"] for each in answer.json()["errors"])


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done in the CRM."""
    done: list[str] = []
    monkeypatch.setattr(crm_setup, "prepare", lambda _row: done.append("prepared"))
    monkeypatch.setattr(crm_setup, "retire", lambda _row: done.append("retired"))
    return done


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bitrix24, "users", lambda *_: [CrmUser("7", "mine employee"), CrmUser("8", "Somebody")])


# --- Settings


def test_it_is_made_and_is_off(program, mine, prepared):
    made = program.post("integrations", {"credential": str(mine.credential.uuid), "name": "Second"})
    assert made.status_code == 201, made.json()
    told = made.json()
    assert (told["active"], told["connections"]) == (False, [str(mine.connection.uuid)])
    assert told["settings"].keys() == program.get("crms/bitrix24").json()["settings"]["properties"].keys()
    assert prepared == ["retired"]
    assert program.get(f"integrations/{told['uuid']}")["ETag"] == made["ETag"]


def test_it_is_made_whole(program, mine, prepared):
    asked = {"credential": str(mine.credential.uuid), "active": True, "settings": SETTINGS}
    made = program.post("integrations", asked)
    assert made.status_code == 201, made.json()
    row = Integration.objects.get(uuid=made.json()["uuid"])
    assert row.active
    assert SETTINGS.items() <= row.settings.items()
    assert prepared == ["prepared"]


def test_it_is_not_switched_on_before_it_is_right(program, mine, prepared):
    refused = program.post("integrations", {"credential": str(mine.credential.uuid), "active": True})
    assert "settings.default_responsible_incoming" in fields(refused)
    assert Integration.objects.count() == 1
    assert prepared == []


def test_settings_that_are_not_sent_stay(program, mine, prepared):
    told = program.patch(place(mine), {"settings": {"assign_incoming_to": "last"}})
    assert told.status_code == 200, told.json()
    mine.integration.refresh_from_db()
    assert {**SETTINGS, "assign_incoming_to": "last"}.items() <= mine.integration.settings.items()
    assert told.json()["settings"]["assign_incoming_to"] == "last"
    assert prepared == ["prepared"]


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"settings": {"default_responsible_incoming": "nobody"}}, "settings.default_responsible_incoming"),
        ({"settings": {"nonsense": 1}}, "settings.nonsense"),
        ({"settings": {"use_call_tracking": "yes"}}, "settings.use_call_tracking"),
        ({"settings": {"use_call_tracking": True, "utm_tags": []}}, "settings.utm_tags"),
        ({"connections": []}, "connections"),
        ({"filter_numbers": True}, "numbers"),
        ({"numbers": ["+79990000000"]}, "numbers.0"),
    ],
)
def test_what_is_not_right_is_told_with_its_place(program, mine, prepared, sent, field):
    before = mine.integration.settings
    assert fields(program.patch(place(mine), sent)) == [field]
    mine.integration.refresh_from_db()
    assert mine.integration.settings == before
    assert prepared == []


def test_on_and_off_and_by_which_numbers(program, mine, prepared):
    told = program.patch(place(mine), {"active": False, "filter_numbers": True, "numbers": [mine.number.number]}).json()
    assert (told["active"], told["numbers"]) == (False, [mine.number.number])
    assert prepared == ["retired"]
    assert program.patch(place(mine), {"active": True}).json()["active"] is True
    assert prepared == ["retired", "prepared"]


def test_what_fails_in_the_crm_is_told_and_kept(program, mine, monkeypatch):
    def fail(_row: Any) -> None:
        raise Temporary("no route")

    monkeypatch.setattr(crm_setup, "prepare", fail)
    told = program.patch(place(mine), {"name": "New"})
    assert "no route" in told.json()["warnings"][0]
    assert told["ETag"] == program.get(place(mine))["ETag"]
    mine.integration.refresh_from_db()
    assert mine.integration.name == "New"


def test_what_was_changed_meanwhile_is_not_overwritten(program, mine, prepared):
    read = program.get(place(mine))
    assert program.patch(place(mine), {"name": "First"}, if_match=read["ETag"]).status_code == 200
    late = program.patch(place(mine), {"name": "Second"}, if_match=read["ETag"])
    assert (late.status_code, late.json()["code"]) == (412, "changed_meanwhile")
    assert prepared == ["prepared"]
    assert Change.objects.latest("id").actor_name.startswith("API · program")


def test_another_account_asks_anew(program, mine, prepared):
    make.EmployeeMappingFactory(integration=mine.integration, employee=mine.employee)
    other = make.CredentialFactory(company=mine.company)
    refused = fields(program.patch(place(mine), {"credential": str(other.uuid)}))
    assert "settings.default_responsible_incoming" in refused
    chosen = {name: "9" for name in SETTINGS if name.startswith("default_responsible")}
    told = program.patch(place(mine), {"credential": str(other.uuid), "settings": chosen})
    assert told.json()["credential"] == str(other.uuid)
    assert not EmployeeMapping.objects.exists()
    assert prepared == ["retired", "prepared"]
    elsewhere = make.CredentialFactory(company=mine.company, crm="altegio", values={})
    assert fields(program.patch(place(mine), {"credential": str(elsewhere.uuid)})) == ["credential"]


def test_one_that_has_written_calls_is_kept(program, mine, prepared):
    refused = program.delete(place(mine))
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    mine.sync.delete()
    assert program.delete(place(mine)).status_code == 204
    assert not Integration.objects.exists()


def test_there_are_no_more_than_the_limit_allows(program, mine):
    Company.objects.update(most_integrations=1)
    refused = program.post("integrations", {"credential": str(mine.credential.uuid)})
    assert (refused.status_code, refused.json()["code"]) == (409, "limit_reached")


def test_what_people_wonder_about(program, mine):
    other = make.IntegrationFactory(credential=mine.credential, connections=[mine.connection])
    told = program.get(place(mine, "/advice")).json()
    assert told["overlaps"] == [{"integration": str(other.uuid), "numbers": [], "writes": False}]


# --- Mapping


def test_who_is_who_is_suggested_and_kept(program, mine, users):
    (told,) = program.get(place(mine, "/mapping")).json()
    assert (told["crm_user"], told["suggestion"], told["extensions"]) == (None, "7", ["101"])
    row = {"employee": str(mine.employee.uuid), "crm_user": "8", "use_for_personal_manager": False}
    (told,) = program.put(place(mine, "/mapping"), [row]).json()
    assert row.items() <= told.items()
    assert (told["crm_user_name"], told["suggestion"], told["gone"]) == ("Somebody", None, False)
    (told,) = program.put(place(mine, "/mapping"), [{**row, "crm_user": "99"}]).json()
    assert told["gone"]
    (told,) = program.put(place(mine, "/mapping"), [{**row, "crm_user": None}]).json()
    assert told["crm_user"] is None
    assert not EmployeeMapping.objects.exists()


def test_of_others_nothing_changes(program, mine, theirs, users):
    anna = make.EmployeeFactory(company=mine.company, name="Anna")
    make.EmployeeMappingFactory(integration=mine.integration, employee=anna, crm_user="5")
    program.put(place(mine, "/mapping"), [{"employee": str(mine.employee.uuid), "crm_user": "7"}])
    assert EmployeeMapping.objects.get(employee=anna).crm_user == "5"
    rows = [
        {"employee": str(anna.uuid), "crm_user": "6"},
        {"employee": str(theirs.employee.uuid), "crm_user": "7"},
    ]
    assert fields(program.put(place(mine, "/mapping"), rows)) == ["1.employee"]
    assert EmployeeMapping.objects.get(employee=anna).crm_user == "5", "all or none"


def test_a_crm_that_does_not_answer_suggests_nobody(program, mine):
    (told,) = program.get(place(mine, "/mapping")).json()
    assert told["suggestion"] is None


# --- Rules


def test_rules_are_made_changed_ordered_and_deleted(program, mine):
    path = place(mine, "/rules")
    sent = {"direction": "in", "numbers": [mine.number.number], "settings": {"assign_incoming_to": "last"}}
    made = program.post(path, sent)
    assert made.status_code == 201, made.json()
    uuid = made.json()["uuid"]
    assert sent.items() <= made.json().items()
    changed = program.patch(f"{path}/{uuid}", {"outcome": "answered"}).json()
    assert changed == {**made.json(), "outcome": "answered"}
    assert program.patch(f"{path}/{uuid}", {"settings": {}, "numbers": []}).json()["settings"] == {}
    turned = program.put(f"{path}/order", {"rules": [uuid, str(mine.rule.uuid)]}).json()
    assert [row["uuid"] for row in turned] == [uuid, str(mine.rule.uuid)]
    assert program.get(path).json() == turned
    assert fields(program.put(f"{path}/order", {"rules": [uuid]})) == ["rules"]
    assert program.delete(f"{path}/{uuid}").status_code == 204
    assert Rule.objects.get() == mine.rule


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"settings": {"telephony_mode": "ip"}}, "settings.telephony_mode"),
        ({"settings": {"default_responsible_incoming": "?"}}, "settings.default_responsible_incoming"),
        ({"settings": {"assign_incoming_to": 3}}, "settings.assign_incoming_to"),
        ({"direction": "up"}, "direction"),
        ({"numbers": ["+79990000000"]}, "numbers.0"),
    ],
)
def test_a_rule_that_is_not_right(program, mine, sent, field):
    assert fields(program.post(place(mine, "/rules"), sent)) == [field]
    assert Rule.objects.count() == 1


# --- Whose, and at what cost


def test_others_integrations_are_not_there(program, mine, theirs, prepared):
    for more in ("", "/mapping", "/advice", "/rules", f"/rules/{theirs.rule.uuid}"):
        assert program.get(place(theirs, more)).status_code == 404, more
    assert program.get(place(mine, f"/rules/{theirs.rule.uuid}")).status_code == 404
    assert program.patch(place(theirs), {"name": "Mine"}).status_code == 404
    assert program.delete(place(theirs)).status_code == 404
    assert program.post(place(theirs, "/rules"), {}).status_code == 404
    assert program.put(place(theirs, "/mapping"), []).status_code == 404
    assert fields(program.post("integrations", {"credential": str(theirs.credential.uuid)})) == ["credential"]
    assert fields(program.patch(place(mine), {"connections": [str(theirs.connection.uuid)]})) == ["connections"]
    assert prepared == []


def test_a_reader_changes_nothing(mine, key):
    reader = key(mine.company, "integrations:read")
    assert reader.get(place(mine, "/mapping")).status_code == 200
    assert reader.patch(place(mine), {"name": "New"}).json()["code"] == "scope_missing"
    assert reader.put(place(mine, "/mapping"), []).json()["code"] == "scope_missing"
    assert reader.post(place(mine, "/rules"), {}).json()["code"] == "scope_missing"


def test_many_cost_no_more_questions_than_one(program, mine, users):
    paths = ("integrations", place(mine, "/mapping"), place(mine, "/rules"))
    few = [asked(program, path) for path in paths]
    for number in range(4):
        make.IntegrationFactory(credential=make.CredentialFactory(company=mine.company), connections=[mine.connection])
        person = make.EmployeeFactory(company=mine.company)
        make.ExtensionFactory(company=mine.company, employee=person, number=f"4{number}")
        make.EmployeeMappingFactory(integration=mine.integration, employee=person)
        make.RuleFactory(integration=mine.integration).numbers.set([mine.number])
    assert [asked(program, path) for path in paths] == few
