"""Who changed what: written down with the person, for his company, without secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from employees import audit
from employees.models import Change, Company, Employee, Membership, Role, User
from integrations.models import Integration
from telephony.models import Connection
from tests import factories as make
from tests.portal.conftest import World
from tests.portal.test_sign_up import text


@pytest.fixture
def boss(mine: World) -> User:
    Change.objects.all().delete()
    return make.MembershipFactory(company=mine.company, user__email="boss@example.com").user


@pytest.fixture
def desk(boss: User) -> Client:
    client = Client(headers={"accept-language": "en"}, REMOTE_ADDR="192.0.2.7")
    client.force_login(boss)
    return client


def lines(row: Change) -> list[tuple[Any, ...]]:
    return [(line["label"], line.get("before"), line.get("after")) for line in row.lines]


def only(kind: str, **which: Any) -> Change:
    return Change.objects.get(kind=kind, **which)


def test_the_company_was_renamed(mine: World, desk: Client, boss: User) -> None:
    desk.post("/company/", {"name": "Roses", "region": "RU", "time_zone": "Asia/Omsk", "language": "en"})
    row = only("company")
    assert (row.company, row.actor, row.actor_name, row.address) == (mine.company, boss, boss.email, "192.0.2.7")
    assert lines(row) == [
        ("name", "mine company", "Roses"),
        ("time zone", "Europe/Moscow", "Asia/Omsk"),
        ("language", {"words": "Russian"}, {"words": "English"}),
    ]
    page = text(desk.get("/changes/"))
    assert "Roses" in page
    assert "192.0.2.7" in page
    russian = text(desk.get("/changes/", headers={"accept-language": "ru"}))
    assert "часовой пояс" in russian.lower()
    assert "английский" in russian.lower()


def test_what_is_saved_as_it_was_is_no_change(mine: World, desk: Client) -> None:
    known = Company.objects.filter(pk=mine.company.pk).values("name", "region", "time_zone", "language").get()
    desk.post("/company/", known)
    assert not Change.objects.exists()


def test_members_and_invitations(mine: World, desk: Client) -> None:
    desk.post(reverse("portal:member", args=[mine.member.pk]), {"role": "administrator"})
    row = only("member")
    assert row.subject == mine.member.user.email
    assert lines(row) == [("role", {"words": "operator"}, {"words": "administrator"})]
    desk.post(reverse("portal:member", args=[mine.member.pk]), {"remove": "1"})
    assert only("member", action="deleted").subject == mine.member.user.email
    desk.post("/members/", {"email": "guest@example.com", "role": "read_only"})
    row = only("invitation")
    assert (row.action, row.subject) == ("created", "guest@example.com")
    desk.post(reverse("portal:member_invited", args=[mine.invitation.uuid]), {"revoke": "1"})
    assert only("invitation", action="deleted").subject == mine.invitation.email


def test_an_employee_with_phones_is_one_change(mine: World, desk: Client) -> None:
    sent = {"name": "Olga", "email": "o@example.com", "extensions": "201", "phone_list": "8 916 000-11-22", "user": ""}
    desk.post("/employees/new/", sent)
    row = only("employee")
    assert (row.action, row.subject) == ("created", "Olga")
    assert lines(row) == [("e-mail", None, "o@example.com"), ("employee's phone", None, "+79160001122")]
    olga = Employee.objects.get(name="Olga")
    desk.post(reverse("portal:employee", args=[olga.uuid]), {**sent, "phone_list": "", "name": "Olga P."})
    row = only("employee", action="changed")
    assert lines(row) == [("name", "Olga", "Olga P."), ("employee's phone", "+79160001122", None)]
    desk.post(reverse("portal:employee_delete", args=[olga.uuid]))
    assert only("employee", action="deleted").subject == "Olga P."


def test_extensions(mine: World, desk: Client) -> None:
    desk.post(reverse("portal:extension", args=[mine.unknown.pk]), {"choice": "ignored"})
    row = only("extension")
    assert row.subject == "105"
    handling = ("what to do with its calls", {"words": "unknown, waits for a decision"})
    assert lines(row) == [(*handling, {"words": "calls are ignored on purpose"})]


def test_a_connection_and_its_keys(mine: World, desk: Client) -> None:
    where = reverse("portal:connection", args=[mine.connection.uuid])
    before = mine.connection.credentials
    sent = {**before, "name": "New name", "active": "on", "api_key": "another-secret-key", "api_salt": ""}
    desk.post(where, sent)
    assert Connection.objects.get(pk=mine.connection.pk).credentials["api_key"] == "another-secret-key"
    row = only("connection")
    assert ("name", "mine connection", "New name") in lines(row)
    assert [line["names"] for line in row.lines if line.get("secret")] == [[row.lines[-1]["names"][0]]]
    told = json.dumps(row.lines) + text(desk.get("/changes/"))
    for secret in ("another-secret-key", before["api_key"], before["api_salt"]):
        assert secret not in told
    address = mine.connection.address
    desk.post(reverse("portal:connection_rotate", args=[mine.connection.uuid]))
    told = json.dumps(list(Change.objects.values_list("lines", flat=True)))
    assert "webhook address" in told
    for token in (address.token, mine.connection.address.token):
        assert token not in told


def test_line_names(mine: World, desk: Client) -> None:
    sent = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": mine.number.pk, "form-0-line_name": "Shop"}
    desk.post(reverse("portal:connection_numbers", args=[mine.connection.uuid]), sent)
    assert lines(only("number")) == [("line name", "mine line", "Shop")]


def test_a_credential_tells_that_it_changed_and_not_what(mine: World, desk: Client, boss: User) -> None:
    row = mine.credential
    old = row.secret_values
    with audit.acting(audit.Actor(boss, boss.email)):
        row.values = {**row.values, "client_secret": "brand-new-secret"}
        row.save()
        row.values = {**row.values, "access_token": "renewed-by-itself"}
        row.save(update_fields=["secrets", "webhook_digest"])
    (change,) = Change.objects.filter(kind="credential")
    (line,) = change.lines
    assert line["secret"]
    told = json.dumps(change.lines) + text(desk.get("/changes/"))
    for secret in (*old, "brand-new-secret", "renewed-by-itself", row.webhook_token):
        assert secret not in told


def test_an_integration_with_its_settings(mine: World, boss: User, desk: Client) -> None:
    row: Integration = mine.integration
    with audit.acting(audit.Actor(boss, boss.email)):
        row.settings = {**row.settings, "create_entity_incoming": False, "utm_tags": ["ads"]}
        row.active = False
        row.save()
        row.connections.clear()
        row.connections.add(mine.connection)
        make.EmployeeMappingFactory(integration=row, employee=mine.employee, crm_user="7", crm_user_name="Petrov")
    (change,) = Change.objects.filter(kind="integration")
    told = {label: (before, after) for label, before, after in lines(change)}
    on, off = {"words": "on"}, {"words": "off"}
    assert told["integration is active"] == (on, off)
    label = str(row.credential.adapter.settings_form.base_fields["create_entity_incoming"].label)
    assert (on, off) in told.values()
    assert "create_entity_incoming" not in told, label
    assert (None, '["ads"]') in told.values()
    assert told["PBX connections"] == (None, "mine connection")
    assert told["employee mapping"] == (None, "mine employee → Petrov")


def test_rules(mine: World, boss: User, desk: Client) -> None:
    with audit.acting(audit.Actor(boss, boss.email)):
        mine.rule.direction = "in"
        mine.rule.save()
        mine.rule.numbers.add(mine.number)
        mine.rule.delete()
    changed, deleted = Change.objects.filter(kind="rule").order_by("id")
    assert changed.company == mine.company
    assert ("direction", {"words": "any"}, {"words": "incoming"}) in lines(changed)
    assert deleted.action == "deleted"


def test_what_the_product_does_by_itself_is_not_told(mine: World) -> None:
    Change.objects.all().delete()
    mine.connection.name = "another"
    mine.connection.save()
    make.ExtensionFactory(company=mine.company)
    assert not Change.objects.exists()


def test_what_was_undone_was_not_done(mine: World, boss: User) -> None:
    from django.db import transaction

    with audit.acting(audit.Actor(boss, boss.email)):
        try:
            with transaction.atomic():
                mine.employee.name = "Nobody"
                mine.employee.save()
                raise ZeroDivisionError
        except ZeroDivisionError:
            mine.employee.name = "Somebody"
            mine.employee.save()
    assert lines(only("employee")) == [("name", "mine employee", "Somebody")]


def test_what_goes_with_a_deleted_row_is_not_told_by_itself(mine: World, boss: User) -> None:
    with audit.acting(audit.Actor(boss, boss.email)):
        mine.employee.delete()
    assert list(Change.objects.values_list("kind", "action")) == [("employee", "deleted")]


def test_sign_ins_are_told_to_each_company(mine: World, theirs: World, boss: User) -> None:
    make.MembershipFactory(company=theirs.company, user=boss)
    Client(REMOTE_ADDR="192.0.2.9").post("/login/", {"email": boss.email, "password": make.PASSWORD})
    rows = Change.objects.filter(kind="sign_in", actor=boss)
    assert {(row.company, row.address) for row in rows} == {(mine.company, "192.0.2.9"), (theirs.company, "192.0.2.9")}


def test_a_new_password_is_told_and_not_shown(mine: World, boss: User) -> None:
    client = Client()
    client.post("/login/", {"email": boss.email, "password": make.PASSWORD})
    sent = {"oldpassword": make.PASSWORD, "password1": "eight red tricycles", "password2": "eight red tricycles"}
    client.post("/accounts/password/change/", sent)
    row = only("account")
    assert (row.company, row.actor) == (mine.company, boss)
    assert "tricycles" not in json.dumps(row.lines)
    assert row.lines[0]["secret"]


def test_others_and_operators_see_nothing(mine: World, theirs: World, desk: Client) -> None:
    make.ChangeFactory(company=theirs.company, subject="their secret plan", actor_name="them@example.com")
    page = text(desk.get("/changes/"))
    assert "secret plan" not in page
    assert "secret plan" not in text(desk.get("/changes/", {"kind": "company", "before": "999999"}))
    for role in (Role.OPERATOR, Role.READ_ONLY):
        client = Client()
        client.force_login(make.MembershipFactory(company=mine.company, role=role).user)
        assert client.get("/changes/").status_code == 403


def test_filters_and_pages(mine: World, desk: Client, boss: User) -> None:
    from employees.change_pages import PAGE

    for number in range(PAGE + 5):
        make.ChangeFactory(company=mine.company, subject=f"row {number:03}", kind="employee")
    make.ChangeFactory(company=mine.company, subject="by the boss", actor=boss, actor_name=boss.email, kind="rule")
    first = text(desk.get("/changes/"))
    assert "by the boss" in first
    assert "row 000" not in first
    oldest = Change.objects.order_by("-id")[PAGE - 1]
    assert f"before={oldest.pk}" in first
    second = text(desk.get("/changes/", {"before": oldest.pk}))
    assert "row 000" in second
    assert "by the boss" not in second
    assert "row 054" not in text(desk.get("/changes/", {"person": boss.pk}))
    assert "by the boss" not in text(desk.get("/changes/", {"kind": "employee"}))
    assert desk.get("/changes/", {"before": "x", "kind": "no such", "person": "0"}).status_code == 200


def test_many_changes_are_few_questions(mine: World, desk: Client, django_assert_max_num_queries: Any) -> None:
    desk.get("/changes/")
    for _ in range(30):
        make.ChangeFactory(company=mine.company, actor=make.UserFactory())
    with django_assert_max_num_queries(10):
        desk.get("/changes/")


def test_support_is_named_as_support(mine: World, desk: Client) -> None:
    staff = make.support_lead(email="helper@example.com")
    support = Client()
    support.force_login(staff)
    where = reverse("support:employees_company_change", args=[mine.company.pk])
    form = {name: getattr(mine.company, name) for name in ("name", "time_zone", "region", "language")}
    kept = {
        "events_kept_days": 365,
        "exchanges_kept_days": 180,
        "recordings_kept_days": "",
        "number_style": "international",
    }
    inlines = {"memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0}
    assert support.post(where, {**form, **kept, **inlines, "name": "Mended"}).status_code == 302
    assert only("company").actor == staff
    page = text(desk.get("/changes/"))
    assert "Mended" in page
    assert "helper@example.com" not in page
    assert "helper@example.com" in text(support.get(reverse("support:employees_change_changelist")))


def test_the_command_line_is_named(db: None, tmp_path: Any, capsys: Any) -> None:
    from integrations.provision import example

    file = tmp_path / "company.yaml"
    file.write_text(example(), encoding="utf-8")
    call_command("provision", str(file))
    assert set(Change.objects.values_list("actor_name", flat=True)) == {"manage.py provision"}
    assert {"company", "member", "connection", "credential", "integration"} <= set(
        Change.objects.values_list("kind", flat=True)
    )
    assert Membership.objects.exists()
