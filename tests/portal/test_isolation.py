"""Two companies' data never meet, and a role opens what it should and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from employees.api import keys
from employees.models import Role
from employees.rights import RIGHTS
from employees.sites import Page, portal
from telephony.models import Call
from tests import factories as make
from tests.portal.conftest import World


def _export(world: World) -> Any:
    return make.ExportFactory(company=world.company, asked_by=world.member.user).uuid


def _missed(world: World) -> Any:
    return make.CallFactory(connection=world.connection, outcome="missed").uuid


def _delivery(world: World) -> list[Any]:
    row = make.WebhookDeliveryFactory(endpoint__company=world.company, answer=f"{world.name} answer")
    return [row.endpoint.uuid, row.event]


def _planned(world: World) -> Any:
    return make.PlannedCallFactory(company=world.company, words=f"{world.name} words").uuid


def _taught(world: World) -> list[Any]:
    return [make.ConnectionFactory(company=world.company, provider="open_api", name=f"{world.name} taught").uuid]


ARGUMENTS: dict[str, Callable[[World], list[Any]]] = {
    "key": lambda w: [keys.issue(w.company, f"{w.name} key", ["people:read"])[0].uuid],
    "employee": lambda w: [w.employee.uuid],
    "employee_phone": lambda w: [w.employee.uuid],
    "employee_delete": lambda w: [w.employee.uuid],
    "member": lambda w: [w.member.pk],
    "member_invited": lambda w: [w.invitation.uuid],
    "connection": lambda w: [w.connection.uuid],
    "connection_check": lambda w: [w.connection.uuid],
    "connection_rotate": lambda w: [w.connection.uuid],
    "connection_users_load": lambda w: [w.connection.uuid],
    "connection_users": lambda w: [w.connection.uuid],
    "connection_numbers_load": lambda w: [w.connection.uuid],
    "connection_numbers": lambda w: [w.connection.uuid],
    "number_hours": lambda w: [w.connection.uuid, w.number.pk],
    "coverage": lambda w: [w.connection.uuid],
    "self_test": _taught,
    "self_test_begin": _taught,
    "self_test_dial": _taught,
    "self_test_history": _taught,
    "coverage_check": lambda w: [w.connection.uuid],
    "history_import": lambda w: [w.connection.uuid],
    "history_cancel": lambda w: [w.history.uuid],
    "connection_new": lambda w: ["mango"],
    "hangup": lambda w: [w.call.uuid],
    "transfer": lambda w: [w.call.uuid],
    "comment": lambda w: [w.call.uuid],
    "call_client": lambda w: [w.call.uuid],
    "call_task": lambda w: [w.call.uuid],
    "card_write": lambda w: [w.call.uuid, w.integration.uuid, "task"],
    "task_done": lambda w: [w.task.uuid],
    "task_reopen": lambda w: [w.task.uuid],
    "recording": lambda w: [w.call.uuid, w.recording.uuid],
    "recording_request": lambda w: [w.call.uuid, w.recording.uuid],
    "recording_revoke": lambda w: [w.call.uuid, w.recording.uuid],
    "call": lambda w: [w.call.uuid],
    "export_file": lambda w: [_export(w)],
    "export_delete": lambda w: [_export(w)],
    "missed_close": lambda w: [_missed(w)],
    "missed_reopen": lambda w: [_missed(w)],
    "planner_edit": lambda w: [_planned(w)],
    "planner_done": lambda w: [_planned(w)],
    "planner_reopen": lambda w: [_planned(w)],
    "planner_later": lambda w: [_planned(w)],
    "planner_leave": lambda w: [_planned(w)],
    "call_retry": lambda w: [w.call.uuid],
    "call_extension": lambda w: [w.call.uuid],
    "unwritten_calls": lambda w: [w.credential.uuid],
    "extension": lambda w: [w.unknown.pk],
    "credential": lambda w: [w.credential.uuid],
    "credential_new": lambda w: ["bitrix24"],
    "credential_delete": lambda w: [w.credential.uuid],
    "credential_check": lambda w: [w.credential.uuid],
    "credential_connect": lambda w: [w.credential.uuid],
    "credential_prepare": lambda w: [w.credential.uuid],
    "renewals": lambda w: [w.credential.uuid],
    "integration": lambda w: [w.integration.uuid],
    "integration_new": lambda w: ["bitrix24"],
    "integration_delete": lambda w: [w.integration.uuid],
    "rule_new": lambda w: [w.integration.uuid],
    "rule": lambda w: [w.integration.uuid, w.rule.uuid],
    "rule_up": lambda w: [w.integration.uuid, w.rule.uuid],
    "rule_delete": lambda w: [w.integration.uuid, w.rule.uuid],
    "trial_call": lambda w: [make.CallFactory(connection=w.connection, source="trial").uuid],
    "trial_clean": lambda w: [make.CallFactory(connection=w.connection, source="trial").uuid],
    "trial_delete": lambda w: [make.CallFactory(connection=w.connection, source="trial").uuid],
    "oauth": lambda w: ["bitrix24"],
    "webhook": lambda w: _delivery(w)[:1],
    "webhook_rotate": lambda w: _delivery(w)[:1],
    "webhook_switch": lambda w: _delivery(w)[:1],
    "webhook_delete": lambda w: _delivery(w)[:1],
    "webhook_test": lambda w: _delivery(w)[:1],
    "webhook_log": lambda w: _delivery(w)[:1],
    "webhook_resend_since": lambda w: _delivery(w)[:1],
    "webhook_delivery": _delivery,
    "webhook_resend": _delivery,
}
"""How to reach each page that has arguments. A new page must be added here, and is then walked by every test."""
NO_PAGES = {"recording", "report_file", "export_file", "card_live", "calls_live"}
"""Addresses that give a file or a stream."""
OF_NOBODY = {"connection_new", "credential_new", "integration_new", "oauth"}


def pages() -> list[Page]:
    from config import urls  # noqa: F401  (it registers the pages)

    return portal.pages


def address(page: Page, world: World) -> str:
    arguments = ARGUMENTS[page.name](world) if "<" in page.route else []
    return reverse(f"portal:{page.name}", args=arguments)


def ask(client: Client, page: Page, world: World) -> Any:
    where = address(page, world)
    return client.post(where) if page.posts else client.get(where)


def body(response: Any) -> str:
    return b"".join(response).decode("utf-8", "replace")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_strangers_are_asked_to_sign_in(page: Page, mine: World) -> None:
    response = ask(Client(), page, mine)
    assert response.status_code == 302
    assert response["Location"].startswith("/login/")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_another_company_finds_nothing(
    page: Page, mine: World, theirs: World, signed_in: Callable[..., Client]
) -> None:
    client = signed_in(mine.company)
    response = ask(client, page, theirs)
    if "<" in page.route and page.name not in OF_NOBODY:
        assert response.status_code == 404
    else:
        assert response.status_code in (200, 302)
        assert "theirs" not in body(response)


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_each_role_opens_what_it_may(page: Page, role: str, mine: World, signed_in: Callable[..., Client]) -> None:
    status = ask(signed_in(mine.company, role), page, mine).status_code
    if page.right in RIGHTS[role]:
        assert status in (200, 204, 302, 404 if page.name == "call_extension" else 200)
    else:
        assert status == 403


def test_calls_of_others_are_in_no_list(mine: World, theirs: World, owner: Client) -> None:
    for where in ("/calls/", "/", f"/calls/?q={theirs.call.client_phone}", "/calls/?q=theirs"):
        text = body(owner.get(where))
        assert str(theirs.call.uuid) not in text
        assert "theirs client" not in text


def test_choices_of_others_are_not_taken(mine: World, theirs: World, owner: Client) -> None:
    """Foreign objects sent with a form are no choice."""
    owner.post(
        reverse("portal:integration", args=[mine.integration.uuid]),
        {"shown_account": theirs.credential.uuid, "account": theirs.credential.uuid},
    )
    mine.integration.refresh_from_db()
    assert mine.integration.credential == mine.credential
    response = owner.post(
        reverse("portal:extension", args=[mine.unknown.pk]), {"choice": "employee", "employee": theirs.employee.uuid}
    )
    assert response.status_code == 302
    mine.unknown.refresh_from_db()
    assert mine.unknown.employee is None


def test_a_number_of_another_company_cannot_be_written_into(mine: World, theirs: World, owner: Client) -> None:
    owner.post(
        reverse("portal:connection_numbers", args=[mine.connection.uuid]),
        {
            "form-TOTAL_FORMS": "1",
            "form-INITIAL_FORMS": "1",
            "form-0-id": str(theirs.number.pk),
            "form-0-line_name": "stolen",
        },
    )
    theirs.number.refresh_from_db()
    assert theirs.number.line_name == "theirs line"


def test_the_company_shown_is_the_chosen_one(mine: World, theirs: World) -> None:
    membership = make.MembershipFactory(company=mine.company)
    make.MembershipFactory(company=theirs.company, user=membership.user, role=Role.READ_ONLY)
    client = Client()
    client.force_login(membership.user)
    client.post("/companies/", {"company": str(theirs.company.uuid)})
    assert client.get(reverse("portal:call", args=[theirs.call.uuid])).status_code == 200
    assert client.get(reverse("portal:call", args=[mine.call.uuid])).status_code == 404
    assert client.get("/connections/").status_code == 403


def test_support_is_for_staff(mine: World, owner: Client) -> None:
    assert owner.get("/support/").status_code == 302
    assert owner.get(reverse("support:call", args=[mine.call.uuid])).status_code == 302
    assert Call.objects.count() == 1
