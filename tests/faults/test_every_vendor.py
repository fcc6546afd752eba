"""The promise for every vendor: calls of each kind through the whole product, which is killed in the midst of them.

The long harness (`make faults`) speaks to one PBX and one CRM; here each vendor has a company of its own, with a
partner on the other side. A PBX sends again what was not answered, several calls go on at once, and the CRMs are away
for a while besides.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from crm_adapters.base import Repeat
from crm_adapters.registry import all_adapters
from tests.between import ACCOUNT, CONNECTION, company_between, lead_to_emulators
from tests.conftest import needs
from tests.docs import declared
from tests.emulators.crm import emulated as crms
from tests.emulators.open_api import Emulator as OpenApi
from tests.emulators.pbx import SCENARIOS, Call, Pbx
from tests.emulators.pbx import emulated as pbxs
from tests.emulators.served import Told, Wire
from tests.stack import Stack, production_missing, running, wait_until

ROUNDS = 1
KILLS = 2
CALLS = """SELECT c.* FROM telephony_call c JOIN telephony_connection n ON n.id = c.connection_id
    WHERE c.key = %s AND n.name = %s"""
NOT_WRITTEN = {"internal": "internal_call", "hidden number": "hidden_number"}


class Line:
    """A PBX whose notifications go to the product over HTTP, again and again until they are answered with success."""

    def __init__(self, kind: type[Pbx]):
        self.pbx = kind(self.deliver)
        self.url = ""
        self.again = 0
        self.session = requests.Session()

    def deliver(self, wire: Wire) -> Told:
        """To whoever listens now, of a PBX that pushes nothing: what nobody hears its history tells."""
        if self.pbx.listened_to:
            self.pbx.speak(wire)
            time.sleep(0.005)
            return Told(200)
        return self._push(wire)

    def _push(self, wire: Wire) -> Told:
        url = f"{self.url}{wire.path}" + (f"?{wire.query}" if wire.query else "")
        while True:
            try:
                answer = self.session.request(wire.method, url, data=wire.body, headers=dict(wire.headers), timeout=10)
                if answer.status_code < 400:
                    return Told(answer.status_code, answer.content)
            except requests.RequestException:
                pass
            self.again += 1
            time.sleep(0.05)

    def play(self) -> list[Call]:
        told = [each for each in SCENARIOS if each.name not in self.pbx.lacks]
        return [self.pbx.play(scenario) for _round in range(ROUNDS) for scenario in told]


PARTNER_PBX, PARTNER_CRM = "open_api", "bitrix24"
"""Who stands on the other side of a CRM, and of a PBX."""
PAIRS = [(slug, slug, PARTNER_CRM) for slug in pbxs()]
PAIRS += [(slug, PARTNER_PBX, slug) for slug in crms() if slug != PARTNER_CRM]


class Side:
    """A company between a PBX and a CRM."""

    def __init__(self, name: str, pbx: str, crm: str, exits: ExitStack):
        self.name, self.pbx_slug, self.crm_slug = name, pbx, crm
        self.line = Line(pbxs()[pbx])
        if name != pbx and isinstance(self.line.pbx, OpenApi):
            self.line.pbx.keeps_history = False
        exits.enter_context(self.line.pbx.serving())
        self.crm = exits.enter_context(crms()[crm](name=name, latency=0.01).serving())

    def doubts(self, sync: dict[str, Any]) -> bool:
        """Whether a person must look: its CRM has steps of which nobody can tell whether they were made."""
        rules = declared(all_adapters()[self.crm_slug])
        return sync["error_kind"] == "doubt" and any(Repeat.STOP in ways for ways in rules.values())


class Installation:
    """The product with a company for each PBX and for each CRM."""

    def __init__(self, stack: Stack, sides: dict[str, Side]):
        self.stack, self.sides = stack, sides
        rows = [
            company_between(name, side.pbx_slug, side.line.pbx, side.crm_slug, side.crm) for name, side in sides.items()
        ]
        for side, made in zip(self.sides.values(), stack.provision_all(rows), strict=True):
            side.line.url = made["connections"][CONNECTION]["webhook_url"]
            side.crm.install(made["crm_credentials"][ACCOUNT]["handler_url"])
        lead_to_emulators(
            stack,
            {name: side.line.pbx for name, side in sides.items()},
            {name: side.crm for name, side in sides.items()},
        )
        stack.wait_quiet(60)

    def play(self) -> dict[str, list[Call]]:
        """All companies at once, while the product is killed and the CRMs say 503."""
        over = threading.Event()
        with ThreadPoolExecutor(len(self.sides) + 1) as threads:
            breaking = threads.submit(self._break, over)
            playing = {name: threads.submit(side.line.play) for name, side in self.sides.items()}
            played = {name: future.result() for name, future in playing.items()}
            over.set()
            breaking.result()
        for role in self.stack.roles():  # whoever was killed has left leases: nobody waits for them here
            self.stack.kill(role)
        self._hold()
        self.stack.rows("UPDATE integrations_callsync SET lease_until = NULL, lease = NULL, not_before = NULL")
        self.stack.rows("UPDATE integrations_lane SET lease_until = NULL, lease = NULL, open_at = NULL")
        self.stack.rows("UPDATE telephony_recording SET lease_until = NULL")
        for role in self.stack.roles():
            self.stack.spawn(role)
        wait_until(self.stack.ready, "the product is not back", 60)
        self._look_into_histories()
        wait_until(self._quiet, lambda: str(self.stack.busy()), 120, every=0.2)
        return played

    def _look_into_histories(self) -> None:
        """Of PBXs whose events do not say what a call came to; by itself the product does it some minutes later."""
        lines = (
            "from datetime import timedelta",
            "from django.utils import timezone",
            "from telephony import history",
            "from telephony.models import Connection",
            "now = timezone.now()",
            "for row in Connection.objects.all():",
            "    if not row.protocol.sums_up or row.protocol.listens:",
            "        history.start(row, history.Kind.SCHEDULED, now - timedelta(hours=6), now)",
        )
        self.stack.shell("\n".join(lines))

    def _break(self, over: threading.Event) -> None:
        for _kill in range(KILLS):
            self._hear(25, over)
            with ExitStack() as away:
                for side in self.sides.values():
                    away.enter_context(side.crm.faulty("down"))
                for role in self.stack.roles():
                    self.stack.kill(role)
                    self.stack.spawn(role)
                wait_until(self.stack.ready, "the product is not back", 60)
        while not over.wait(0.1):
            self._hold()

    def _hear(self, more: int, over: threading.Event) -> None:
        """Wait for so many events more, or until all are sent."""
        enough = self._events() + more

        def heard() -> bool:
            self._hold()
            return over.is_set() or self._events() >= enough

        wait_until(heard, "no events come", 120, every=0.1)

    def _hold(self) -> None:
        """What waits for a recording that may come waits on, however long this machine takes to start the product anew:
        in `_quiet` it waits no longer."""
        soon = f"{datetime.now(UTC) + timedelta(seconds=2):%Y-%m-%d %H:%M:%S+00:00}"
        waits = "state = 'wanted' AND wanted > noted AND due_at > %s AND due_at < '2100-01-01'"
        self.stack.rows(f"UPDATE integrations_callsync SET due_at = '2100-01-01' WHERE {waits}", soon)

    def _events(self) -> int:
        return int(self.stack.row("SELECT count(*) AS n FROM telephony_inboxevent")["n"])

    def _quiet(self) -> bool:
        self.stack.rows("UPDATE integrations_callsync SET not_before = NULL WHERE not_before IS NOT NULL")
        self.stack.rows("UPDATE integrations_lane SET open_at = NULL WHERE open_at IS NOT NULL")
        self.stack.rows("UPDATE telephony_recording SET due_at = '2000-01-01' WHERE state = 'ready'")
        if self.stack.busy().keys() == {"steps"}:  # what waits for a recording that may come waits no longer
            self.stack.rows("UPDATE integrations_callsync SET due_at = '2000-01-01' WHERE due_at > '2000-01-01'")
        return not self.stack.busy()


@pytest.fixture(scope="module", params=["embedded", pytest.param("production", marks=pytest.mark.postgres)])
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """What was played, after the product has come to rest."""
    if request.param == "production":
        needs(production_missing())
    with ExitStack() as exits:
        sides = {name: Side(name, pbx, crm, exits) for name, pbx, crm in PAIRS}
        environment = {name: value for side in sides.values() for name, value in side.crm.environment.items()}
        stack = exits.enter_context(
            running(request.param, tmp_path_factory.mktemp(request.param), listens=True, **environment)
        )
        installation = Installation(stack, sides)
        yield installation, installation.play()


@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name, _pbx, _crm in PAIRS])
def test_every_call_is_here_once_and_in_the_crm_once(ended: tuple[Installation, Any], name: str) -> None:
    installation, played = ended
    side = installation.sides[name]
    assert side.line.again > 0 or side.line.pbx.connects > 1, "the product was never away: nothing is proved"
    assert side.line.pbx.violations == []
    for call in played[name]:
        rows = installation.stack.rows(CALLS, call.id, name)
        assert len(rows) == 1, call
        assert call.agrees(rows[0]), (call.scenario.name, call.truth, {each: rows[0][each] for each in call.truth})
        syncs = installation.stack.rows("SELECT * FROM integrations_callsync WHERE call_id = %s", rows[0]["id"])
        (sync,) = [each for each in syncs if each["part"] is None]
        assert [each for each in syncs if each["wanted"] != each["noted"] and not side.doubts(each)] == []
        _compare(side, call, sync)
    assert [each for each in side.crm.violations if "record_url_failed" not in str(each)] == []


def _compare(side: Side, call: Call, sync: dict[str, Any]) -> None:
    written = list(side.crm.calls(f"+{call.client}"))
    assert side.crm.told_once or side.crm.open_cards(f"+{call.client}") == set(), call
    if call.scenario.hidden and side.crm.takes_hidden:
        assert (sync["reason"], sync["error"], sync["noted"] > 0) == ("", "", True), call
        return
    if reason := NOT_WRITTEN.get(call.scenario.name):
        assert (sync["reason"], written) == (reason, []), call
        return
    if side.doubts(sync):
        assert len(written) <= 1, (call, written)  # an answer was lost, and only a person can find out
        return
    assert len(written) == 1, (call, sync)
    expected = side.crm.expected(call)
    if side.line.pbx.ends_at_receipt:
        expected = replace(expected, seconds=written[0].seconds)
    assert side.crm.compared(written[0], expected) == expected, call
