"""What emulated PBXs have in common: calls of every kind with their truth, an API that is really spoken to over HTTP,
and notifications handed to whoever delivers them.

A vendor's emulator subclasses `Pbx`: it tells a `Scenario` in its own words (`events`), answers its API (methods marked
with `api`), refuses what the vendor refuses, and notes in `violations` what breaks the vendor's rules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from .served import MP3, Served, Told, Wire, emulators


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of call. `rings`: extensions that ring, in their order; `talks`: who talks with the client, one after the
    other, each for `seconds`. An outgoing or internal call is dialled by the first that rings."""

    name: str
    direction: str = "in"
    rings: tuple[str, ...] = ("101",)
    talks: tuple[str, ...] = ()
    outcome: str = "missed"
    seconds: int = 30
    recorded: bool = False
    """Recordings are told with the end of the call, or (`later`) after it, where the PBX can do that."""
    later: bool = False
    hidden: bool = False


SCENARIOS = (
    Scenario("answered", talks=("101",), outcome="answered"),
    Scenario("answered and recorded", talks=("101",), outcome="answered", recorded=True),
    Scenario("missed"),
    Scenario("missed by a group", rings=("101", "102", "103")),
    Scenario("a group, the second answers", rings=("101", "102"), talks=("102",), outcome="answered"),
    Scenario("busy", outcome="busy"),
    Scenario("transferred", rings=("101", "102"), talks=("101", "102"), outcome="answered"),
    Scenario("hidden number", talks=("101",), outcome="answered", hidden=True),
    Scenario("outgoing", direction="out", talks=("101",), outcome="answered", recorded=True),
    Scenario("outgoing, no answer", direction="out", outcome="no_answer"),
    Scenario("outgoing, busy", direction="out", outcome="busy"),
    Scenario("internal", direction="internal", rings=("101", "102"), talks=("102",), outcome="answered"),
)


@dataclass(slots=True)
class Call:
    """A call as it was: what everybody else's records are compared with. `recordings` by the vendor's id, `history_id`
    where the vendor's history calls it otherwise than the events do."""

    id: str
    scenario: Scenario
    client: str
    line: str
    began: datetime
    recordings: dict[str, bytes] = field(default_factory=dict)
    history_id: str = ""

    def agrees(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of our journal tells this call. Where nobody talked, each of those who rang will do."""
        told = {name: row[name] for name in self.truth}
        if not self.scenario.talks and told["extension"] in self.scenario.rings:
            told["extension"] = self.truth["extension"]
        return told == self.truth

    @property
    def in_history(self) -> str:
        return self.history_id or self.id

    @property
    def truth(self) -> dict[str, Any]:
        """As our journal speaks. Who talked last, who rang when nobody talked, who dialled."""
        kind = self.scenario
        dialled = kind.direction != "in"
        extension = kind.rings[0] if dialled or not kind.talks else kind.talks[-1]
        return {
            "direction": kind.direction,
            "client_phone": "" if kind.hidden or kind.direction == "internal" else f"+{self.client}",
            "outcome": kind.outcome,
            "talk_seconds": kind.seconds * len(kind.talks) if kind.outcome == "answered" else 0,
            "extension": extension,
        }


class Pbx(Served, ABC):
    """One emulated account. `deliver` carries its notifications to the product and returns the answer."""

    lines: tuple[str, ...] = ("74950000001",)
    people: Mapping[str, str] = {"101": "Operator One", "102": "Operator Two", "103": "Operator Three"}
    lacks: frozenset[str] = frozenset()
    """Names of scenarios that this vendor cannot tell."""
    typed: Mapping[str, str] = {}
    """What a customer types where the form takes no address of this machine."""
    proofs: frozenset[str] | None = None
    """Fields of the form by which its notifications prove who sends them; None: the secret ones. Where there are none,
    the secret part of our address is all there is."""
    lacks_in_history: frozenset[str] = frozenset()
    """Names of scenarios that its events tell, and its history not as they were."""
    bare_lists: bool = False
    """Whether its API answers with a list alone: then an empty one is an answer."""
    ends_at_receipt: bool = False
    """Whether its events do not say when a conversation ended: told late it seems longer, until the history is read."""
    told_by_order: frozenset[str] = frozenset({"transferred"})
    """Names of scenarios of which only the order of the events tells who was first."""

    listened_to: bool = False
    """Whether it sends nothing by itself: who wants to hear it connects (`speak`, `mark`)."""
    nowhere: Mapping[str, str] = {}
    """Values of the form that lead to no server, where its addresses are no URLs."""

    def __init__(self, deliver: Callable[[Wire], Told]):
        super().__init__()
        self.deliver = deliver
        self.calls: list[Call] = []
        self.dialled: list[tuple[str, str]] = []
        self.hung_up: list[str] = []
        self.transferred: list[tuple[str, str]] = []
        self.answers: list[Told] = []
        self.connects = 0  # of those who listen

    # --- Of each vendor

    @property
    @abstractmethod
    def secrets(self) -> dict[str, str]:
        """What a connection of this account holds."""

    @abstractmethod
    def events(self, call: Call) -> Iterator[Wire]:
        """The notifications of a call, in their order."""

    def redial(self, extension: str, phone: str) -> Call:
        """The outgoing call that a dial command leads to."""
        talks = Scenario("dialled by us", direction="out", rings=(extension,), talks=(extension,), outcome="answered")
        return self.play(talks, client=phone.lstrip("+"))

    def speak(self, wire: Wire) -> None:
        """Tell those who listen now."""
        raise NotImplementedError

    def mark(self, name: str) -> None:
        """Tell something that a listener must tell on by this name, and that says nothing."""
        raise NotImplementedError

    # --- Calls

    def play(self, scenario: Scenario, client: str = "", began: datetime | None = None) -> Call:
        """A call from beginning to end, told as it happens; it is in the history afterwards."""
        call = self.new_call(scenario, client, began)
        for wire in self.events(call):
            self.tell(wire)
        return call

    def new_call(self, scenario: Scenario, client: str = "", began: datetime | None = None) -> Call:
        number = len(self.calls) + 1
        began = began or datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
        call = Call(self.call_id(scenario, number), scenario, client or f"7900000{number:04}", self.lines[0], began)
        for place in range(len(scenario.talks) if scenario.recorded else 0):
            call.recordings[f"rec-{number}-{place}"] = MP3 + bytes([number % 256, place])
        self.calls.append(call)
        return call

    def call_id(self, scenario: Scenario, number: int) -> str:
        return f"call-{number:06}"

    def tell(self, wire: Wire) -> Told:
        told = self.deliver(wire)
        self.answers.append(told)
        return told


def emulated() -> dict[str, type[Pbx]]:
    """The emulators beside this module, by the slug of their provider."""
    return emulators(Pbx)  # type: ignore[type-abstract]
