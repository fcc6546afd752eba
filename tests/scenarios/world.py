"""A running product between an emulated Mango and an emulated Bitrix24, and calls led through it phase by phase.

Nothing here waits for time to pass: a call stands still in each of its phases (ringing, talking, …) until the product
has nothing left to do, and only then goes on. So what is seen after a phase is what the product made of it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.emulators.bitrix24 import Bitrix24Emulator, Client, PortalConfig
from tests.emulators.bitrix24.portal import Call as Card
from tests.emulators.mango import MangoEmulator, wire
from tests.emulators.mango.simulator import Call
from tests.stack import Stack, company, running, wait_until

CRAWL = 0.0001
"""A pace at which nothing ends by itself."""
MANAGED = Client("CONTACT", 700, "Pavel Managed", ("+79000000700",), 13)
EXTENSIONS = """
from employees.models import Company, Extension
company = Company.objects.get()
Extension.objects.create(company=company, number="104", handling=Extension.Handling.IGNORED)
Extension.objects.create(company=company, number="105", handling=Extension.Handling.DEFAULT)
"""


@dataclass(slots=True)
class Played:
    """What became of one call: the PBX's truth, the CRM's cards of it, our own journal."""

    call: Call
    truth: dict[str, Any]
    cards: list[Card]
    row: dict[str, Any]
    sync: dict[str, Any]
    asked: Counter[str]
    """The HTTP requests that this call alone has cost the CRM, by method."""
    screens: list[set[int]] = field(default_factory=list)
    """Whose screens had the card, phase by phase; repetitions are left out."""

    @property
    def hits(self) -> int:
        return self.asked.total()

    @property
    def card(self) -> Card:
        """The only one."""
        assert len(self.cards) == 1, [(card.call_id, card.history) for card in self.cards]
        return self.cards[0]


class World:
    """One company between its two vendors."""

    def __init__(self, stack: Stack, mango: MangoEmulator, bitrix: Bitrix24Emulator):
        self.stack, self.mango, self.bitrix = stack, mango, bitrix
        row = company(mango.url, bitrix.url)
        row["integrations"][0]["numbers"] = ["+74950000001"]
        row["integrations"][0]["settings"] |= {"forward_to_personal_manager": True, "use_call_tracking": True}
        made = stack.provision(row)
        stack.shell(EXTENSIONS)
        mango.account().hub_url = made["connections"]["pbx"]["webhook_url"]
        mango.account().behaviour["*"] = {"speed": CRAWL}
        bitrix.fire_app_install(made["crm_credentials"]["portal"]["handler_url"])
        self.quiet()
        assert {bound["event"] for bound in bitrix.portal.bindings} >= {"ONEXTERNALCALLSTART"}

    # --- Calls

    def play(self, scenario: str, *, client: str, **values: Any) -> Played:
        """One call from its first ring to its last recording, alone in the world."""
        self._fresh_limits()
        hits = self._hits()
        call = self.mango.call(scenario, client=client, **{"speed": CRAWL, **values})
        return self.follow(call, hits)

    def click(self, user: int, phone: str) -> Played:
        """An employee clicks a number in the CRM."""
        self._fresh_limits()
        hits = self._hits()
        started = self.bitrix.fire_call_start(user, phone, "74950000001")
        assert started["statuses"] == [200]
        client = phone.lstrip("+")
        call = wait_until(lambda: next((c for c in self.mango.calls if c.client == client), None), "a callback")
        played = self.follow(call, hits)
        assert played.card.call_id == started["call_id"]
        return played

    def follow(self, call: Call, hits: Counter[str]) -> Played:
        """Lead a call through its phases."""
        screens: list[set[int]] = []
        while True:
            seen = self._settle(call)
            watching = self._watching(call)
            if not screens or screens[-1] != watching:
                screens.append(watching)
            if call.done:
                break
            self._go_on(call, seen)
        call.wait(1)
        return self._played(call, hits, screens)

    def _go_on(self, call: Call, seen: int) -> None:
        self.mango.proceed(call)
        wait_until(lambda: len(call.events) > seen or call.done, "the call's next event")

    def _settle(self, call: Call) -> int:
        """Everything that this phase has set off is done; how many events the call has sent by then."""
        while True:
            wait_until(lambda: call.events and all(event.answers for event in call.events), "deliveries")
            seen = len(call.events)
            self.quiet()
            if len(call.events) == seen and all(event.answers for event in call.events):
                return seen

    def quiet(self) -> None:
        self.stack.wait_quiet()

    def _played(self, call: Call, hits: Counter[str], screens: list[set[int]]) -> Played:
        row = self.stack.row("SELECT * FROM telephony_call WHERE key = %s", call.entry_id)
        sync = self.stack.row("SELECT * FROM integrations_callsync WHERE call_id = %s", row["id"])
        return Played(call, call.truth(), self.cards(call), row, sync, self._hits() - hits, screens)

    # --- Looking around

    def cards(self, call: Call) -> list[Card]:
        """The CRM's calls with this client."""
        return [card for card in self.bitrix.calls if call.client and card.phone.lstrip("+") == call.client]

    def _watching(self, call: Call) -> set[int]:
        ids = {card.call_id for card in self.cards(call)}
        screens = {user: set(cards) for user, cards in self.bitrix.portal.screens.items()}
        return {user for user, cards in screens.items() if cards & ids}

    def recordings(self, played: Played) -> list[dict[str, Any]]:
        return self.stack.rows("SELECT * FROM telephony_recording WHERE call_id = %s", played.row["id"])

    def decision(self, played: Played, kind: str) -> dict[str, Any]:
        sql = "SELECT * FROM telephony_decision WHERE call_id = %s AND kind = %s"
        # It is written once the command was answered: the call may go on before that.
        wait_until(lambda: self.stack.rows(sql, played.row["id"], kind), "no decision was written")
        return self.stack.row(sql, played.row["id"], kind)

    def lead(self, card: Card) -> dict[str, Any]:
        """The lead that this call created."""
        assert card.crm_id is not None
        return self.bitrix.portal.entities["LEAD"][card.crm_id]

    def _hits(self) -> Counter[str]:
        return Counter(self.bitrix.portal.hits)

    def _fresh_limits(self) -> None:
        """The vendors' limits have tests of their own; here one call follows another faster than people call."""
        self.stack.rows("DELETE FROM telephony_ratestate")
        self.bitrix.portal.buckets.clear()
        self.mango.account().limiter._seen.clear()


def audio(call: Call) -> list[str]:
    """The recordings of a call as the PBX served them, by digest."""
    return [hashlib.sha256(wire.mp3(item.recording_id, item.seconds)).hexdigest() for item in call.recordings]


@contextmanager
def world(kind: str, folder: Path) -> Iterator[World]:
    config = PortalConfig()
    config.clients = [*config.clients, MANAGED]
    with Bitrix24Emulator([config]) as bitrix, MangoEmulator() as mango, running(kind, folder) as stack:
        yield World(stack, mango, bitrix)
