"""Rules: settings that are different for some kinds of calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import pytest
from django.test import Client
from django.urls import reverse

from employees import installation
from integrations import directory
from integrations.facts import facts_of
from integrations.models import Integration, Rule
from telephony.models import Call
from tests import factories as make
from tests.portal.conftest import World


def page(world: World, name: str = "rule", *more: Any) -> str:
    return reverse(f"portal:{name}", args=[world.integration.uuid, *(more or [world.rule.uuid])])


def settings_of(world: World, progress: dict[str, Any] | None = None, **call: Any) -> Mapping[str, Any]:
    installation.refresh()
    row: Call = make.CallFactory.build(connection=world.connection, **call)
    wanting = directory.by_id(world.integration.pk)
    return wanting.job(row, facts_of(row, [], [], wanting), progress or {}).settings


def test_only_what_is_switched_on_is_different(mine: World, owner: Client) -> None:
    sent = {
        "direction": "in",
        "outcome": "",
        "numbers": [str(mine.number.pk)],
        "own_create_entity_incoming": "on",
        "own_default_responsible_incoming": "on",
        "default_responsible_incoming": "42",
        "assign_incoming_to": "last",
    }
    assert owner.post(page(mine), sent).status_code == 302
    row = Rule.objects.get(pk=mine.rule.pk)
    assert row.settings == {"create_entity_incoming": False, "default_responsible_incoming": "42"}
    assert (row.direction, list(row.numbers.all())) == ("in", [mine.number])
    usual = Integration.objects.get(pk=mine.integration.pk).settings
    assert settings_of(mine, direction="in", virtual_number=mine.number.number) == {**usual, **row.settings}
    assert settings_of(mine, direction="out", virtual_number=mine.number.number) == usual
    assert settings_of(mine, direction="in", virtual_number="+74950000009") == usual
    shown = owner.get(page(mine)).content.decode()
    assert "42" in shown


def test_a_wrong_value_is_shown_beside_its_field_and_nothing_is_kept(mine: World, owner: Client) -> None:
    response = owner.post(page(mine), {"own_default_responsible_incoming": "on", "default_responsible_incoming": "?"})
    assert response.status_code == 200
    assert "cb-wrong" in response.content.decode()
    assert Rule.objects.get(pk=mine.rule.pk).settings == {}


@pytest.mark.parametrize(
    ("rule", "call", "fits"),
    [
        ("answered", "answered", True),
        ("answered", "missed", False),
        ("answered", "", False),  # it goes on: nobody knows yet
        ("unanswered", "busy", True),
        ("unanswered", "", False),
        ("", "", True),
    ],
)
def test_the_outcome_holds_from_the_end_on(mine: World, rule: str, call: str, fits: bool) -> None:
    Rule.objects.filter(pk=mine.rule.pk).update(outcome=rule, settings={"assign_incoming_to": "own"})
    installation.changed()
    assert (settings_of(mine, outcome=call)["assign_incoming_to"] == "own") is fits


@pytest.mark.parametrize(
    ("rule", "known", "fits"),
    [
        ("known", True, True),
        ("known", False, False),
        ("unknown", False, True),
        ("unknown", True, False),
        ("known", None, False),  # the CRM has not said
        ("unknown", None, False),
        ("", None, True),
    ],
)
def test_whom_the_crm_knows(mine: World, owner: Client, rule: str, known: bool | None, fits: bool) -> None:
    sent = {"client": rule, "own_assign_incoming_to": "on", "assign_incoming_to": "last"}
    assert owner.post(page(mine), sent).status_code == 302
    assert (settings_of(mine, {"known_to_crm": known}).get("assign_incoming_to") == "last") is fits


def test_a_crm_that_cannot_tell_is_not_asked(mine: World, owner: Client) -> None:
    assert 'name="client"' in owner.get(page(mine)).content.decode()
    with patch.object(type(mine.credential.adapter), "capabilities", frozenset()):
        assert 'name="client"' not in owner.get(page(mine)).content.decode()


def test_the_upper_of_two_rules_holds(mine: World, owner: Client) -> None:
    for name in ("first", "second"):
        rule = make.RuleFactory(integration=mine.integration, place=5, settings={"assign_incoming_to": name})
    Rule.objects.filter(pk=mine.rule.pk).delete()
    installation.changed()
    assert settings_of(mine)["assign_incoming_to"] == "first"
    assert owner.post(page(mine, "rule_up", rule.uuid)).status_code == 302
    assert settings_of(mine)["assign_incoming_to"] == "second"


def test_a_new_rule_comes_last_and_can_be_deleted(mine: World, owner: Client) -> None:
    assert owner.post(reverse("portal:rule_new", args=[mine.integration.uuid]), {}).status_code == 302
    new = mine.integration.rules.last()
    assert new.place > mine.rule.place
    assert owner.post(page(mine, "rule_delete", new.uuid)).status_code == 302
    assert list(mine.integration.rules.all()) == [mine.rule]


def test_a_rule_of_another_integration_is_not_found(mine: World, owner: Client) -> None:
    other = make.RuleFactory(integration__credential__company=mine.company)
    assert owner.get(page(mine, "rule", other.uuid)).status_code == 404
