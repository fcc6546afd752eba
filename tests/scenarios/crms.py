"""The product between one emulated PBX and every CRM: a company for each CRM, each call in all of them at once.

A call stands still after each of its events until the product has nothing left to do: what is seen then is what the
product made of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import requests

from tests.between import ACCOUNT, CONNECTION, company_between, lead_to_emulators
from tests.emulators.crm import Crm, Written, emulated
from tests.emulators.open_api import Emulator as Pbx
from tests.emulators.open_api import wire
from tests.emulators.pbx import Call, Scenario
from tests.emulators.served import Told, Wire
from tests.stack import Stack, running, wait_until

KNOWN, CLICKED, MANAGER = "79000000555", "79000000556", "102"
"""Clients whom every CRM has, and the extension of the manager who is responsible."""
UNMAPPED, UNKNOWN, IGNORED, BY_DEFAULT = "106", "199", "104", "105"
"""Extensions: of an employee whom the CRM does not have, of nobody, ignored, of the default responsible."""
EMPLOYEES_PHONE = "79000000101"


@dataclass(slots=True)
class Side:
    """One company: its PBX, its CRM, and what the product has of it."""

    slug: str
    pbx: Pbx
    crm: Crm
    stack: Stack
    url: str = ""
    session: requests.Session = field(default_factory=requests.Session)

    def deliver(self, wire: Wire) -> Told:
        url = f"{self.url}{wire.path}" + (f"?{wire.query}" if wire.query else "")
        answer = self.session.request(wire.method, url, data=wire.body, headers=dict(wire.headers), timeout=20)
        return Told(answer.status_code, answer.content)

    def asked(self, phone: str) -> dict[str, Any]:
        """What the PBX is told when it asks who calls."""
        return dict(json.loads(self.deliver(wire({"cmd": "contact", "phone": phone})).body))

    def row(self, call: Call) -> dict[str, Any]:
        return self.stack.row("SELECT * FROM telephony_call WHERE key = %s AND connection_id = %s", call.id, self.pk)

    def sync(self, call: Call) -> dict[str, Any]:
        return self.stack.row("SELECT * FROM integrations_callsync WHERE call_id = %s", self.row(call)["id"])

    @property
    def pk(self) -> int:
        return int(self.stack.row("SELECT id FROM telephony_connection WHERE name = %s", self.slug)["id"])


@dataclass(slots=True)
class Played:
    """One call in one CRM: the PBX's truth and what the CRM has."""

    side: Side
    call: Call
    written: list[Written]
    screens: set[str]
    asked: Counter[str]

    @property
    def expected(self) -> Written:
        return self.side.crm.expected(self.call)

    def told(self) -> Written:
        (written,) = self.written
        return self.side.crm.compared(written, self.expected)


class World:
    """All companies on one installation."""

    def __init__(self, stack: Stack, crms: Mapping[str, Crm], exits: ExitStack):
        self.stack = stack
        self.sides: dict[str, Side] = {}
        rows = []
        for slug, crm in crms.items():
            side = Side(slug, Pbx(lambda wire: Told(200)), crm, stack)
            side.pbx.deliver, side.pbx.keeps_history = side.deliver, False
            exits.enter_context(side.pbx.serving())
            crm.know(f"+{KNOWN}", "Maria Known", crm.users[MANAGER])
            crm.know(f"+{CLICKED}", "Pavel Clicked", crm.users[MANAGER])
            self.sides[slug] = side
            row = company_between(slug, "open_api", side.pbx, slug, crm)
            row["integrations"][0]["numbers"] = ["+74950000001"]
            rows.append(row)
        for side, made in zip(self.sides.values(), stack.provision_all(rows), strict=True):
            side.url = made["connections"][CONNECTION]["webhook_url"]
            side.crm.install(made["crm_credentials"][ACCOUNT]["handler_url"])
        self.quiet()
        self.stack.shell(_EXTENSIONS)
        lead_to_emulators(stack, {}, crms)
        self.quiet()

    def quiet(self) -> None:
        """Nothing is left to do but what waits on purpose, for a recording that may come."""
        wait_until(lambda: not self._busy(), lambda: f"{self._busy()}\n{self.stack.log('web')[-2000:]}", 30)

    def _busy(self) -> dict[str, int]:
        left = self.stack.busy()
        if "steps" in left:
            soon = f"{datetime.now(UTC) + timedelta(seconds=5):%Y-%m-%d %H:%M:%S+00:00}"
            left["steps"] -= self.stack.row(f"SELECT count(*) AS n {_STEPS} AND due_at > %s", soon)["n"]
        return {name: count for name, count in left.items() if count}

    def play(self, scenario: Scenario, client: str = "") -> dict[str, Played]:
        """The same call in every company, event by event."""
        calls = {slug: side.pbx.new_call(scenario, client) for slug, side in self.sides.items()}
        return self._lead(calls)

    def click(self, extension: str, phone: str) -> dict[str, Played]:
        """An employee clicks a number in each CRM that can say so; the PBX dials."""
        able = {slug: side for slug, side in self.sides.items() if side.crm.clicks}
        calls = {}
        for slug, side in able.items():
            side.crm.click(extension, phone)
            wait_until(partial(side.pbx.dialled.count, (extension, phone)), f"{slug}: nothing is dialled")
            talks = Scenario("clicked", direction="out", rings=(extension,), talks=(extension,), outcome="answered")
            calls[slug] = side.pbx.new_call(talks, phone.lstrip("+"))
        return self._lead(calls)

    def _lead(self, calls: dict[str, Call]) -> dict[str, Played]:
        before = {slug: Counter(side.crm.hits) for slug, side in self.sides.items()}
        events = {slug: list(self.sides[slug].pbx.events(call)) for slug, call in calls.items()}
        for number in range(max(map(len, events.values()))):
            for slug, wires in events.items():
                if number < len(wires):
                    self.sides[slug].pbx.tell(wires[number])
            self.quiet()
        self._end_waiting()
        return {slug: self._played(self.sides[slug], call, before[slug]) for slug, call in calls.items()}

    def _end_waiting(self) -> None:
        """What waits for a recording that may come waits no longer."""
        self.stack.rows("UPDATE integrations_callsync SET due_at = '2000-01-01' WHERE wanted > noted")
        self.quiet()

    def _played(self, side: Side, call: Call, before: Counter[str]) -> Played:
        phone = f"+{call.client}"
        asked = Counter(side.crm.hits) - before
        return Played(side, call, list(side.crm.calls(phone)), side.crm.screens(phone), asked)


_STEPS = "FROM integrations_callsync WHERE state = 'wanted' AND NOT parked AND wanted > noted"
_EXTENSIONS = """
from employees.models import Company, Employee, Extension
for company in Company.objects.all():
    Extension.objects.create(company=company, number="104", handling=Extension.Handling.IGNORED)
    Extension.objects.create(company=company, number="105", handling=Extension.Handling.DEFAULT)
    nobody = Employee.objects.create(company=company, name="Galina Unmapped")
    Extension.objects.create(company=company, number="106", handling=Extension.Handling.EMPLOYEE, employee=nobody)
"""


@contextmanager
def world(kind: str, folder: Path, **environment: str) -> Iterator[World]:
    with ExitStack() as exits:
        crms = {slug: exits.enter_context(crm().serving()) for slug, crm in emulated().items()}
        for crm in crms.values():
            environment |= crm.environment
        stack = exits.enter_context(running(kind, folder, listens=False, **environment))
        yield World(stack, crms, exits)
