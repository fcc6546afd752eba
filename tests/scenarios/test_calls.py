"""Every kind of call through the whole product, on both stacks, judged by what the PBX and the CRM know of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.scenarios.world import World, audio, world

pytestmark = pytest.mark.process

ANNA, BORIS, VERA, DEFAULT = 12, 13, 14, 1
INCOMING, OUTGOING = 2, 1
GREETING_MS = 2_500
"""Mango asks nothing: a decision after the greeting's length is no use."""


@pytest.fixture(scope="module")
def scene(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(kind, tmp_path_factory.mktemp(kind)) as found:
        yield found


@dataclass(frozen=True)
class Written:
    """A call that belongs into the CRM, and what must stand there. `hits` is the most HTTP requests it may cost."""

    name: str
    scenario: str
    person: int
    hits: int
    type: int = INCOMING
    code: str = "200"
    screens: list[set[int]] = field(default_factory=list)
    spec: dict[str, Any] = field(default_factory=dict)


RECORD = 1  # a recording that comes after the end
COLD = 1  # a client whom nobody has asked for yet

WRITTEN = [
    Written("incoming answered", "incoming_direct", ANNA, 3, screens=[{ANNA}, set()]),
    Written("incoming with a recording", "incoming_direct", ANNA, 3 + RECORD, spec={"record": True}),
    Written("missed at one", "missed_direct", DEFAULT, 2, code="304", screens=[{ANNA}, set()]),
    Written("missed by a group", "missed", DEFAULT, 2 + COLD, code="304", screens=[set(), {ANNA, BORIS}, set()]),
    Written("nobody answered in time", "missed_timeout", DEFAULT, 2, code="304"),
    Written("busy", "busy", DEFAULT, 2, code="486", screens=[{ANNA}, set()]),
    Written(
        "group, the second answers",
        "incoming_group",
        BORIS,
        3 + COLD,
        screens=[set(), {ANNA, BORIS}, {BORIS}, set()],
    ),
    # Each change of screens is one request more than a plain call has.
    Written("transfer with consultation", "transfer_consult", ANNA, 4, screens=[{ANNA}, {VERA}, set()]),
    Written("blind transfer", "transfer_blind", ANNA, 4, screens=[{ANNA}, {VERA}, set()]),
    Written("outgoing answered", "outgoing", ANNA, 2, type=OUTGOING),
    Written("outgoing no answer", "outgoing_no_answer", ANNA, 2, type=OUTGOING, code="480"),
    Written("outgoing busy", "outgoing_busy", ANNA, 2, type=OUTGOING, code="486"),
    Written("late recording", "late_recording", BORIS, 2 + RECORD, type=OUTGOING),
    Written("extension of the default responsible", "incoming_direct", DEFAULT, 3, spec={"extension": "105"}),
    Written("out of order and doubled", "out_of_order", ANNA, 3, spec={"speed": 1000}),
]


@pytest.mark.parametrize("number", range(len(WRITTEN)), ids=[case.name.replace(" ", "-") for case in WRITTEN])
def test_a_call_is_written_as_it_was(scene: World, number: int) -> None:
    case = WRITTEN[number]
    played = scene.play(case.scenario, client=f"790000011{number:02}", **case.spec)
    card, truth, end = played.card, played.truth, played.card.finish

    assert played.sync["state"] == "wanted"
    assert not played.sync["error"]
    assert (card.type, card.line) == (case.type, "74950000001")
    assert card.external_id.replace("-", "") == str(played.row["uuid"]).replace("-", "")
    assert end is not None
    assert (end.user_id, end.status_code, end.duration) == (case.person, case.code, truth["talk_seconds"])
    assert end.add_to_chat
    assert _steps(card)[0] == "register"
    assert _steps(card).count("finish") == 1
    if case.type == INCOMING:
        assert scene.lead(card)["ASSIGNED_BY_ID"] == case.person
    else:
        assert not card.created_entities
    if case.screens:
        assert played.screens == case.screens
    assert _watched_by_nobody(scene)
    _same_audio(scene, played, expected=bool(played.call.recordings))
    assert played.hits <= case.hits, played.asked
    _same_journal(played)


def _steps(card: Any) -> list[str]:
    return [what for _, what, _ in card.history]


def _watched_by_nobody(scene: World) -> bool:
    return not any(scene.bitrix.portal.screens.values())


def _same_audio(scene: World, played: Any, expected: bool) -> None:
    """The bytes at the end of the way are those at its beginning."""
    rows = scene.recordings(played)
    assert [row["sha256"] for row in rows] == audio(played.call)
    assert bool(rows) == expected
    if expected:
        assert played.card.record is not None
        assert [played.card.record.sha256] == audio(played.call)
        assert played.card.record.count == 1


def _same_journal(played: Any) -> None:
    """Our own journal says what the PBX knows."""
    truth, row = played.truth, played.row
    assert row["state"] == "finished"
    assert (row["direction"], row["client_phone"]) == (truth["direction"], f"+{truth['client']}")
    assert (row["talk_seconds"], row["extension"]) == (truth["talk_seconds"], truth["extension"])
    assert (row["outcome"] == "answered") == (truth["outcome"] == "answered")


# --- Calls that go nowhere, each with its reason


@dataclass(frozen=True)
class Left:
    """A call that is not written, and the reason that a person can read."""

    name: str
    scenario: str
    reason: str
    state: str = "skipped"
    spec: dict[str, Any] = field(default_factory=dict)


LEFT = [
    Left("internal", "internal", "internal_call"),
    Left("unknown extension", "unknown_extension", "unknown_extension", state="waiting"),
    Left("ignored extension", "incoming_direct", "extension_ignored", spec={"extension": "104"}),
    Left("hidden number", "hidden_number", "hidden_number", spec={"client": ""}),
    Left("employee's phone", "incoming_direct", "employee_phone", spec={"client": "79000000101", "extension": "102"}),
    Left("number not in the list", "incoming_direct", "number_not_in_list", spec={"line": "74950000002"}),
]


@pytest.mark.parametrize("number", range(len(LEFT)), ids=[case.name.replace(" ", "-") for case in LEFT])
def test_nothing_is_left_out_silently(scene: World, number: int) -> None:
    case = LEFT[number]
    played = scene.play(case.scenario, **{"client": f"790000012{number:02}", **case.spec})
    assert (played.sync["state"], played.sync["reason"]) == (case.state, case.reason)
    assert played.row["state"] == "finished"
    assert not played.cards
    assert played.hits == 0


def test_an_unknown_extension_waits_for_one_click(scene: World) -> None:
    played = scene.play("unknown_extension", client="79000001300")
    assert played.sync["state"] == "waiting"
    sql = "SELECT handling FROM employees_extension WHERE number = %s"
    assert scene.stack.row(sql, played.truth["extension"]) == {"handling": "unknown"}


# --- The CRM begins, the CRM decides


def test_click_to_call_ends_as_the_call_that_the_crm_began(scene: World) -> None:
    played = scene.click(ANNA, "+79000001400")
    card = played.card
    assert card.finish is not None
    assert (card.origin, card.type) == ("portal", OUTGOING)
    assert (card.finish.user_id, card.finish.status_code) == (ANNA, "200")
    assert card.finish.duration == played.truth["talk_seconds"] > 0
    assert played.hits <= 2
    assert _watched_by_nobody(scene)


def test_utm_tags_come_onto_the_lead(scene: World) -> None:
    played = scene.play("call_tracking", client="79000001401")
    lead = scene.lead(played.card)
    assert (lead["UTM_SOURCE"], lead["UTM_MEDIUM"]) == ("yandex", "cpc")
    assert "UTM_CAMPAIGN" not in lead  # not among the tags that the settings choose
    assert played.hits <= 3 + COLD


def test_the_personal_manager_gets_the_call_during_the_greeting(scene: World) -> None:
    played = scene.play("incoming_ivr", client="79000000700", extension="101")
    decision = scene.decision(played, "routing")
    assert decision["code"] == "manager_found", decision
    assert decision["milliseconds"] <= GREETING_MS
    assert played.truth["extension"] == "102"
    assert played.card.finish is not None
    assert played.card.finish.user_id == BORIS
    assert (played.card.crm_type, played.card.crm_id) == ("CONTACT", 700)
    assert played.hits <= 3 + COLD


def test_a_known_client_is_routed_without_asking_again(scene: World) -> None:
    scene.play("incoming_ivr", client="79000000700", extension="101")
    again = scene.play("incoming_ivr", client="79000000700", extension="101")
    assert scene.decision(again, "routing")["code"] == "manager_found"
    assert scene.decision(again, "routing")["details"]["source"] == "book"
    assert again.truth["extension"] == "102"


def test_a_slow_crm_never_holds_a_line(scene: World) -> None:
    with scene.bitrix.faulty("slow", seconds=3.5, method="telephony.externalCall.searchCrmEntities"):
        played = scene.play("incoming_ivr", client="79000001402", extension="101")
    decision = scene.decision(played, "routing")
    assert decision["code"].startswith("crm_"), decision
    assert decision["milliseconds"] <= GREETING_MS
    assert played.truth["extension"] == "101"
    assert played.card.finish is not None
    assert played.card.finish.user_id == ANNA


def test_an_expired_token_is_renewed_on_the_way(scene: World) -> None:
    scene.bitrix.expire_tokens()
    before = _credential(scene)
    played = scene.play("incoming_direct", client="79000001403")
    assert played.card.finish is not None
    assert played.card.finish.user_id == ANNA
    assert _credential(scene) != before  # the new tokens are stored
    assert played.asked["oauth.token"] == 1
    assert played.hits <= 2 + 3, played.asked  # the refused request, has the portal moved, the new token


def test_a_renamed_portal_is_followed(scene: World) -> None:
    """The last but one: from here on the portal lives at another address."""
    address = scene.bitrix.rename()
    played = scene.play("incoming_direct", client="79000001404")
    assert played.card.finish is not None
    assert played.card.finish.user_id == ANNA
    domain = scene.stack.row("SELECT domain FROM integrations_credential")["domain"]
    assert domain in address


def _credential(scene: World) -> str:
    return scene.stack.row("SELECT secrets FROM integrations_credential")["secrets"]


# --- The whole of it


def test_nobody_broke_a_vendors_rules(scene: World) -> None:
    """The last test: over all the calls before."""
    assert scene.mango.violations == []
    assert scene.bitrix.violations == []
    assert scene.stack.rows("SELECT path, error FROM telephony_inboxevent WHERE state = 2") == []
    assert scene.stack.rows("SELECT error FROM integrations_callsync WHERE parked") == []
    assert '"level": "error"' not in scene.stack.log("web")
