"""Every kind of call into every CRM, on both stacks: from the PBX's events to what stands in the CRM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from crm_adapters import registry
from crm_adapters.base import Capability
from tests.emulators.crm import emulated
from tests.emulators.pbx import Scenario
from tests.scenarios.crms import (
    BY_DEFAULT,
    CLICKED,
    EMPLOYEES_PHONE,
    IGNORED,
    KNOWN,
    MANAGER,
    UNKNOWN,
    UNMAPPED,
    Played,
    World,
    world,
)

pytestmark = pytest.mark.process
SLUGS = sorted(emulated())
TALKS: dict[str, Any] = {"talks": ("101",), "outcome": "answered"}


@dataclass(frozen=True)
class Case:
    """`client`: who calls, where it matters. `reason`: why it is not written."""

    scenario: Scenario
    client: str = ""
    reason: str = ""
    state: str = "skipped"


CASES = (
    Case(Scenario("answered", **TALKS)),
    Case(Scenario("answered and recorded", recorded=True, **TALKS)),
    Case(Scenario("recorded, told later", recorded=True, later=True, **TALKS)),
    Case(Scenario("of a known client", **TALKS), client=KNOWN),
    Case(Scenario("missed")),
    Case(Scenario("missed by a group", rings=("101", "102", "103"))),
    Case(Scenario("busy", outcome="busy")),
    Case(Scenario("answered in a group", rings=("101", "102"), talks=("102",), outcome="answered")),
    Case(Scenario("transferred", rings=("101", "102"), talks=("101", "102"), outcome="answered")),
    Case(Scenario("outgoing", direction="out", recorded=True, **TALKS)),
    Case(Scenario("outgoing, no answer", direction="out", outcome="no_answer")),
    Case(Scenario("outgoing, busy", direction="out", outcome="busy")),
    Case(Scenario("of an employee whom the CRM lacks", rings=(UNMAPPED,), talks=(UNMAPPED,), outcome="answered")),
    Case(Scenario("of the default responsible", rings=(BY_DEFAULT,), talks=(BY_DEFAULT,), outcome="answered")),
    Case(
        Scenario("internal", direction="internal", rings=("101", "102"), talks=("102",), outcome="answered"),
        reason="internal_call",
    ),
    Case(Scenario("unknown extension", rings=(UNKNOWN,)), reason="unknown_extension", state="waiting"),
    Case(Scenario("ignored extension", rings=(IGNORED,)), reason="extension_ignored"),
    Case(Scenario("employee's own phone"), client=EMPLOYEES_PHONE, reason="employee_phone"),
    Case(Scenario("hidden number", hidden=True, **TALKS), reason="hidden_number"),
)


@pytest.fixture(scope="module")
def scene(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(kind, tmp_path_factory.mktemp(f"crms-{kind}")) as found:
        yield found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.scenario.name.replace(" ", "-"))
def test_a_call_in_every_crm(scene: World, case: Case) -> None:
    played = scene.play(case.scenario, case.client)
    wrong = {slug: why for slug, each in played.items() if (why := _wrong(each, case))}
    assert not wrong


def _wrong(played: Played, case: Case) -> str:
    """What is not as it should be; empty when all is."""
    sync = played.side.sync(played.call)
    if case.scenario.hidden and played.side.crm.takes_hidden:
        return "" if (sync["state"], sync["error"]) == ("wanted", "") else f"{sync['state']} {sync['error']}"
    if case.reason:
        right = (sync["state"], sync["reason"], played.written) == (case.state, case.reason, [])
        return "" if right else f"{sync['state']} {sync['reason']} {played.written}"
    if sync["error"] or sync["state"] != "wanted" or len(played.written) != 1:
        return f"{sync['state']} {sync['reason']} {sync['error']} {played.written}"
    told, expected = played.told(), played.expected
    if told != expected:
        return f"{told}, expected {expected}"
    shown = _screens(played, case)
    return "" if shown is None or played.screens == shown else f"shown to {played.screens}, not to {shown}"


def _screens(played: Played, case: Case) -> set[str] | None:
    """Whose screens must have had the card; None where the CRM decides, or this client had calls before."""
    crm, kind = played.side.crm, case.scenario
    if not crm.pops_up or kind.direction == "out" or case.client:
        return None
    return {crm.users[number] for number in kind.rings if number in crm.users}


def test_the_personal_manager_is_named_to_the_pbx_that_asks(scene: World) -> None:
    able = {slug for slug in SLUGS if Capability.CLIENT_LOOKUP in registry.get(slug).capabilities}
    told = {slug: side.asked(KNOWN) for slug, side in scene.sides.items() if slug in able}
    named = {"contact_name": "Maria Known"}
    forwarded = named | {"responsible": int(MANAGER)}
    assert told == {slug: forwarded if scene.sides[slug].crm.users[MANAGER] else named for slug in able}
    again = Scenario("forwarded", rings=(MANAGER,), talks=(MANAGER,), outcome="answered")
    played = scene.play(again, KNOWN)
    assert {slug: why for slug, each in played.items() if (why := _wrong_last(each))} == {}


def _wrong_last(played: Played) -> str:
    """The same client has called before."""
    last = replace(played, written=played.written[-1:])
    told, expected = last.told(), last.expected
    return "" if told == expected else f"{told}, expected {expected}"


def test_a_click_in_the_crm_is_one_call_there(scene: World) -> None:
    for slug, played in scene.click("101", f"+{CLICKED}").items():
        assert len(played.written) == 1, slug
        assert played.told() == played.expected, slug


def test_nobody_broke_a_vendors_rules(scene: World) -> None:
    """The last test: over all the calls before."""
    for slug, side in scene.sides.items():
        assert side.crm.violations == [], slug
        assert side.pbx.violations == [], slug
    assert scene.stack.rows("SELECT path, error FROM telephony_inboxevent WHERE state = 2") == []
    assert scene.stack.rows("SELECT error FROM integrations_callsync WHERE parked") == []
    assert '"level": "error"' not in scene.stack.log("web")
