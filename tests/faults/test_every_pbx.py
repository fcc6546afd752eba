"""The promise for every PBX: calls of each kind through the whole product, which is killed in the midst of them.

The long harness (`make faults`) speaks Mango Office's protocol; here each of the others has a company of its own. A PBX
sends again what was not answered, several calls go on at once, and the CRMs are away for a while besides.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from telephony.providers import registry
from tests.conftest import needs
from tests.emulators.bitrix24 import Bitrix24Emulator, PortalConfig
from tests.emulators.pbx import SCENARIOS, Call, Pbx, Told, Wire, emulated
from tests.stack import Stack, company, production_missing, running, wait_until

from .calls import DEFAULT, USERS

ROUNDS = 2
KILLS = 3
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


class Installation:
    """The product with a company for each PBX, and a CRM for each company."""

    def __init__(self, stack: Stack, exits: ExitStack):
        self.stack = stack
        self.lines = {slug: Line(kind) for slug, kind in emulated().items()}
        self.crms: dict[str, Bitrix24Emulator] = {}
        rows = []
        for slug, line in self.lines.items():
            exits.enter_context(line.pbx.serving())
            config = PortalConfig(
                access_token=f"{slug}-access",
                refresh_token=f"{slug}-refresh",
                application_token=f"{slug}-application-token",
                member_id=f"{slug}-member",
            )
            self.crms[slug] = exits.enter_context(Bitrix24Emulator([config], latency_ms=10))
            rows.append(_company(slug, line.pbx, self.crms[slug].url))
        for (slug, line), made in zip(self.lines.items(), stack.provision_all(rows), strict=True):
            line.url = made["connections"]["pbx"]["webhook_url"]
            self.crms[slug].fire_app_install(made["crm_credentials"]["portal"]["handler_url"])
        self._lead_to_emulators()
        stack.wait_quiet(60)

    def _lead_to_emulators(self) -> None:
        """The addresses of PBXs whose form takes none of this machine."""
        secrets = {slug: line.pbx.secrets for slug, line in self.lines.items() if line.pbx.typed}
        lines = (
            "from telephony.models import Connection",
            f"for slug, known in {secrets!r}.items():",
            "    row = Connection.objects.get(provider=slug)",
            "    row.credentials = {**row.credentials, **known}",
            "    row.save()",
        )
        self.stack.shell("\n".join(lines))

    def play(self) -> dict[str, list[Call]]:
        """All PBXs at once, while the product is killed and the CRMs say 503."""
        over = threading.Event()
        with ThreadPoolExecutor(len(self.lines) + 1) as threads:
            breaking = threads.submit(self._break, over)
            playing = {slug: threads.submit(line.play) for slug, line in self.lines.items()}
            played = {slug: future.result() for slug, future in playing.items()}
            over.set()
            breaking.result()
        for role in self.stack.roles():  # whoever was killed has left leases: nobody waits for them here
            self.stack.kill(role)
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
                for crm in self.crms.values():
                    away.enter_context(crm.faulty("down"))
                for role in self.stack.roles():
                    self.stack.kill(role)
                    self.stack.spawn(role)
                wait_until(self.stack.ready, "the product is not back", 60)

    def _hear(self, more: int, over: threading.Event) -> None:
        """Wait for so many events more, or until all are sent."""
        enough = self._events() + more
        wait_until(lambda: over.is_set() or self._events() >= enough, "no events come", 120)

    def _events(self) -> int:
        return int(self.stack.row("SELECT count(*) AS n FROM telephony_inboxevent")["n"])

    def _quiet(self) -> bool:
        self.stack.rows("UPDATE integrations_callsync SET not_before = NULL WHERE not_before IS NOT NULL")
        self.stack.rows("UPDATE integrations_lane SET open_at = NULL WHERE open_at IS NOT NULL")
        self.stack.rows("UPDATE telephony_recording SET due_at = '2000-01-01' WHERE state = 'ready'")
        return not self.stack.busy()


def _company(slug: str, pbx: Pbx, crm_url: str) -> dict[str, Any]:
    row = company("", crm_url, f"Shop {slug}", prefix=slug)
    row["users"][0]["email"] = f"owner@{slug.replace('_', '-')}.example"
    row["connections"][0] |= {
        "provider": slug,
        "brand": registry.get(slug).brands[0].slug,
        "name": slug,
        "credentials": {**pbx.secrets, **pbx.typed},
    }
    return row


@pytest.fixture(scope="module", params=["embedded", pytest.param("production", marks=pytest.mark.postgres)])
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """What was played, after the product has come to rest."""
    if request.param == "production":
        needs(production_missing())
    with ExitStack() as exits:
        stack = exits.enter_context(running(request.param, tmp_path_factory.mktemp(request.param), listens=True))
        installation = Installation(stack, exits)
        yield installation, installation.play()


@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.parametrize("slug", emulated())
def test_every_call_is_here_once_and_in_the_crm_once(ended: tuple[Installation, Any], slug: str) -> None:
    installation, played = ended
    crm, line = installation.crms[slug], installation.lines[slug]
    assert line.again > 0 or line.pbx.connects > 1, "the product was never away: nothing is proved"
    assert line.pbx.violations == []
    for call in played[slug]:
        rows = installation.stack.rows("SELECT * FROM telephony_call WHERE key = %s", call.id)
        assert len(rows) == 1, call
        assert call.agrees(rows[0]), (call.scenario.name, call.truth, {name: rows[0][name] for name in call.truth})
        cards = [card for card in crm.calls if card.phone == f"+{call.client}"]
        if call.scenario.name in line.pbx.told_apart:
            cards = [card for card in cards if card.finish]
        (sync,) = installation.stack.rows("SELECT * FROM integrations_callsync WHERE call_id = %s", rows[0]["id"])
        if reason := NOT_WRITTEN.get(call.scenario.name):
            assert (sync["reason"], cards) == (reason, []), call
            continue
        assert len(cards) == 1, (call, sync)
        _compare(crm, call, cards[0])
    assert [each for each in crm.violations if each["what"] != "record_url_failed"] == []


def _compare(crm: Bitrix24Emulator, call: Call, card: Any) -> None:
    kind = call.scenario
    assert card.finish, call
    person = USERS[kind.rings[0]] if kind.direction == "out" else USERS[kind.talks[0]] if kind.talks else DEFAULT
    assert crm.portal.activities[card.finish.activity_id]["RESPONSIBLE_ID"] == person, (call, card.history)
    assert (card.finish.duration > 0) == bool(kind.talks), (call, card.history)
    assert bool(card.record) == bool(call.recordings), (call, card.history)
