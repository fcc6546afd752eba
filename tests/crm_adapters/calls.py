"""Calls as adapters see them, brought into an emulated CRM the way the house does it, without the house."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from crm_adapters import registry
from crm_adapters.base import Adapter, CallFacts, Done, Doubtful, Job, NotMade, Participant, Repeat, Result, Step, Work
from outbound.errors import OutboundError, TokenExpired
from outbound.http import Exchange, Http
from outbound.limits import Limit
from tests.emulators.crm import Crm, Written
from tests.emulators.served import MP3, Answer, Asked, Served, api

LINE, KNOWN = "+74950000001", "+79000000555"
"""A line of ours; a client whom every CRM has, of the manager with the extension 102."""
MOST_STEPS = 30
C = TypeVar("C", bound=Crm)


class Audio(Served):
    """Our own recordings, as links in CRMs lead to them."""

    @api("GET", "/{name}.mp3")
    def recording(self, asked: Asked) -> Answer:
        return Answer(200, self.content(asked.parts["name"]))

    def link(self, name: str) -> str:
        return f"{self.url}/{name}.mp3"

    @staticmethod
    def content(name: str) -> bytes:
        return MP3 + name.encode()


class Free:
    """A limiter that has room for everything: the vendors' limits have tests of their own."""

    def take(self, limits: tuple[Limit, ...]) -> float:
        return 0.0

    def block(self, key: str, seconds: float) -> None:
        """Nothing is held back here."""

    def blocked(self, keys: tuple[str, ...]) -> dict[str, float]:
        return {}


# --- Calls ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of call, told by its changes. `rings` and `talks` are extensions, as in `tests.emulators.pbx.Scenario`."""

    name: str
    direction: str = "in"
    rings: tuple[str, ...] = ("101",)
    talks: tuple[str, ...] = ()
    outcome: str = "missed"
    recorded: str = ""
    """When its recording is there: `at the end`, or `later`."""
    known: bool = False

    @property
    def answered(self) -> bool:
        return self.outcome == "answered"


KINDS = (
    Kind("answered", talks=("101",), outcome="answered"),
    Kind("answered, recorded", talks=("101",), outcome="answered", recorded="at the end"),
    Kind("answered, recording later", talks=("101",), outcome="answered", recorded="later"),
    Kind("of a known client", talks=("101",), outcome="answered", known=True),
    Kind("missed"),
    Kind("missed by a known client", known=True),
    Kind("missed by a group", rings=("101", "102", "103")),
    Kind("answered in a group", rings=("101", "102"), talks=("102",), outcome="answered"),
    Kind("nobody was rung", rings=()),
    Kind("busy", outcome="busy"),
    Kind("transferred", rings=("101", "102"), talks=("101", "102"), outcome="answered"),
    Kind("outgoing", direction="out", talks=("101",), outcome="answered", recorded="at the end"),
    Kind("outgoing to a known client", direction="out", talks=("101",), outcome="answered", known=True),
    Kind("outgoing, no answer", direction="out", outcome="no_answer"),
    Kind("outgoing, busy", direction="out", outcome="busy"),
)
SECONDS = 30
"""How long each conversation of them is."""


@dataclass(slots=True)
class Call:
    """One call of a kind, with the users of one CRM."""

    kind: Kind
    number: int
    crm: Crm
    audio: Audio
    live: bool = True
    began: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2))

    @property
    def id(self) -> str:
        return f"00000000-0000-4000-8000-{self.number:012}"

    @property
    def phone(self) -> str:
        return KNOWN if self.kind.known else f"+7900001{self.number:04}"

    @property
    def recording(self) -> str:
        return f"call-{self.number}" if self.kind.recorded else ""

    def changes(self) -> Iterator[CallFacts]:
        """The call as it is after each of its changes, in their order."""
        kind = self.kind
        yield self._facts("ringing", [self._rings(number) for number in kind.rings])
        for place in range(len(kind.talks)):
            yield self._facts("transferred" if place else "answered", self._at_talk(place))
        yield from self.ends()

    def ends(self) -> Iterator[CallFacts]:
        """Only how it ended: what somebody hears who was not there."""
        kind = self.kind
        people = [self._left(number) for number in kind.rings]
        ended: dict[str, Any] = {"outcome": kind.outcome, "talk_seconds": SECONDS * len(kind.talks)}
        ended |= {"wait_seconds": 5, "live": False}
        there = {"recording_url": self.audio.link(self.recording), "recording_name": f"{self.recording}.mp3"}
        if kind.recorded == "later":
            yield self._facts("finished", people, version=8, recording_expected=True, **ended)
        yield self._facts("finished", people, version=9, **ended, **(there if kind.recorded else {}))

    def _facts(self, state: str, people: list[Participant], version: int = 0, **known: Any) -> CallFacts:
        at = {"ringing": 1, "answered": 2, "transferred": 3, "finished": 9}
        return CallFacts(
            id=self.id,
            version=version or at[state],
            direction=self.kind.direction,
            state=state,
            client_phone=self.phone,
            virtual_number=LINE,
            line_name="Shop",
            started_at=self.began,
            participants=tuple(people),
            **{"live": self.live, **known},
        )

    # --- Who took part, as of now

    def _rings(self, extension: str) -> Participant:
        return self._person(extension, ringing=True)

    def _at_talk(self, place: int) -> list[Participant]:
        """Everybody while the conversation number `place` goes on."""
        talks = self.kind.talks
        there = [self._person(number, left_at=self._at(40)) for number in self.kind.rings if number not in talks]
        for number, extension in enumerate(talks[: place + 1]):
            over = number < place
            answered = self._at(10 + SECONDS * number)
            left = answered + timedelta(seconds=SECONDS) if over else None
            there.append(self._person(extension, talking=not over, answered_at=answered, left_at=left))
        return there

    def _left(self, extension: str) -> Participant:
        talks = self.kind.talks
        if extension not in talks:
            return self._person(extension, left_at=self._at(40))
        answered = self._at(10 + SECONDS * talks.index(extension))
        return self._person(extension, answered_at=answered, left_at=answered + timedelta(seconds=SECONDS))

    def _person(self, extension: str, **known: Any) -> Participant:
        user = self.crm.users.get(extension, "")
        return Participant(extension, user, rang_at=self._at(0), **known)

    def _at(self, seconds: int) -> datetime:
        return self.began + timedelta(seconds=seconds)

    # --- What must be in the CRM

    def expected(self) -> Written:
        """Of those who talked the first has the call, by the settings; the default responsible where nobody did."""
        kind = self.kind
        missed = self.crm.users[kind.rings[0]] if kind.direction == "out" else self.crm.default
        link = self.audio.link(self.recording)
        copy = hashlib.sha256(self.audio.content(self.recording)).hexdigest()
        return Written(
            direction=kind.direction,
            answered=kind.answered,
            seconds=SECONDS * len(kind.talks),
            person=self.crm.users[kind.talks[0]] if kind.talks else missed,
            recording=(copy if self.crm.copies else link) if kind.recorded else "",
            client=True,
            ended=True,
        )

    def told(self, written: Written) -> Written:
        """What is to be compared: fields that this CRM does not keep are taken as expected."""
        expected = self.expected()
        return replace(written, **{name: getattr(expected, name) for name in self.crm.untold})


# --- The way into the CRM ---------------------------------------------------------------------------------------------


class Doubt(Exception):
    """A step's answer was lost, and neither repeating it nor looking is possible: a person decides."""


@dataclass(slots=True)
class Account:
    """A connected account: what the house keeps of its calls (notes, an intent of unknown fate), and how it goes on."""

    crm: Crm
    adapter: Adapter
    secrets: dict[str, str]
    settings: dict[str, Any]
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    intents: dict[str, str] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    """Those that were made or tried, in their order."""

    @property
    def http(self) -> Http:
        known = [value for name, value in self.secrets.items() if name in self.adapter.secret_fields and value]
        return Http(secrets=known, limiter=Free(), record=self.exchanges.append, allow_private=True, deadline=3.0)

    def bring(self, facts: CallFacts, *, patient: bool = False, part: bool = False) -> None:
        """Everything that the CRM lacks of the call as it is now. `patient`: what may wait for more to come waits.
        `part`: it turned out to be a part of another call, and is withdrawn.

        Raises what a step raises, and `Doubt`; to be called again after it.
        """
        for _step in range(MOST_STEPS):
            job = Job(facts, self.settings, self.notes.get(facts.id, {}))
            intent = self.intents.get(facts.id, "")
            step = self.adapter.withdraw(job, intent) if part else self.adapter.plan(job)
            if intent and (step is None or step.name != intent):
                way = Repeat.LOOK if self.adapter.can_look else Repeat.STOP
                step = Step(intent, step.priority if step else 2, way)  # type: ignore[arg-type]
            if step is None or (patient and step.settle > 1 and not intent):
                return
            self._make(Work(job, step), looking=bool(intent) and step.repeat is not Repeat.KEY)
        raise AssertionError(f"no end of steps: {[step.name for step in self.steps]}")

    def _make(self, work: Work, *, looking: bool) -> None:
        key, step = work.job.facts.id, work.step
        if looking and step.repeat is Repeat.STOP:
            raise Doubt(step.name)
        if not looking:
            self.notes[key] = {**work.job.progress, **step.keeps}
            self.intents[key] = step.name
            self.steps.append(step)
        work = replace(work, job=replace(work.job, progress=self.notes.get(key, {})))
        try:
            result = self._ask(work, looking=looking)
        except OutboundError as error:
            result = error
        if isinstance(result, Doubtful):
            raise Doubt(step.name) from result
        if isinstance(result, OutboundError):
            if not (result.fate_unknown or looking):
                del self.intents[key]
            raise result
        del self.intents[key]
        if isinstance(result, Done):
            self.notes[key] = {**self.notes.get(key, {}), **result.progress}
        else:
            assert isinstance(result, NotMade)

    def _ask(self, work: Work, *, looking: bool) -> Result:
        ask = self.adapter.look if looking else self.adapter.perform
        try:
            (result,) = ask(self.http, self.secrets, [work])
        except TokenExpired:
            self.secrets |= dict(self.adapter.refresh(self.http, self.secrets))
            (result,) = ask(self.http, self.secrets, [work])
        return result

    def play(self, call: Call) -> None:
        """A call from its first ring to its end, each change brought in at once."""
        for facts in call.changes():
            self.bring(facts, patient=not facts.finished or facts.recording_expected)

    def play_until(self, call: Call, stage: int) -> None:
        """The first changes of a call."""
        for facts in islice(call.changes(), stage):
            self.bring(facts, patient=True)

    @property
    def requests(self) -> int:
        return len(self.exchanges)


@contextmanager
def operated(crm: C) -> Iterator[C]:
    """An emulated account, with what the operator of the product sets for its CRM."""
    before = {name: os.environ.get(name) for name in crm.environment}
    with crm.serving():
        os.environ.update(crm.environment)
        try:
            yield crm
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def account(crm: Crm, slug: str, **settings: Any) -> Account:
    """A connected account of this CRM, with the settings of its emulator as the form cleans them."""
    adapter = registry.get(slug)
    form = adapter.settings_form({**crm.settings, **settings})
    assert form.is_valid(), form.errors
    return Account(crm, adapter, dict(crm.secrets), form.cleaned_data)


@contextmanager
def counted(account: Account) -> Iterator[Counter[str]]:
    """What was asked of the CRM meanwhile."""
    before, found = Counter(account.crm.hits), Counter[str]()
    yield found
    found.update(account.crm.hits - before)
