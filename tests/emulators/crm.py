"""What emulated CRMs have in common: an API that is really spoken to over HTTP, and one way to ask what was written.

A vendor's emulator subclasses `Crm`: it answers its API (methods marked with `api`), refuses what the vendor refuses,
keeps what was written and tells it (`calls`), and notes in `violations` what breaks the vendor's rules.
"""

from __future__ import annotations

import hashlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from .pbx import Call
from .served import Asked, Served, Told, Wire, emulators

ANOTHER = "Other PBX"
"""What another integration is called in every CRM."""
PEOPLE = ("101", "102", "103")
"""Extensions of employees whom every emulated CRM has as users."""


@dataclass(frozen=True, slots=True)
class Written:
    """A call as a CRM has it. What a CRM cannot tell (`Crm.untold`) is not compared.

    `person` is the CRM's user whose call it is, `recording` the link it was given or the sha256 of the copy that it
    took, `client` whether a record of a client bears the call.
    """

    direction: str
    answered: bool
    seconds: int = 0
    person: str = ""
    recording: str = ""
    client: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True)
class ToDo:
    """A task about a client as a CRM has it."""

    text: str
    due_at: datetime
    person: str


def digest(audio: bytes) -> str:
    return hashlib.sha256(audio).hexdigest()


class Crm(Served, ABC):
    """One emulated account."""

    users: Mapping[str, str]
    """Ids of the account's users by extension, at least for `PEOPLE`."""
    default: str
    """The user whom the settings name as responsible where nobody talked."""
    untold: frozenset[str] = frozenset()
    """Fields of `Written` that this CRM does not keep."""
    pops_up: bool = True
    """Whether we tell it on whose screens a card is to be."""
    clicks: bool = False
    """Whether an employee can click a number in it."""
    typed: Mapping[str, str] = {}
    """What a customer types where the form takes no address of this machine."""
    takes_hidden: bool = False
    """Whether it takes calls without a client's number."""
    copies: bool = False
    """Whether it takes a copy of recordings."""
    keeps_parts: bool = False
    """Whether a part of a call that was told as a call of its own stays in it, ended."""
    told_once: bool = False
    """Whether it is told of its cards once at the most: of a request that was lost nothing is said again."""
    refused: frozenset[str] = frozenset()
    """Names of kinds of calls (`tests.crm_adapters.calls`) that it takes none of."""

    def __init__(self, name: str = "demo", latency: float = 0.0):
        """`name` tells accounts of one CRM apart; every answer takes `latency` seconds."""
        super().__init__()
        self.name, self.latency = name, latency
        self.handler_url = ""
        self._one_at_a_time = threading.RLock()

    # --- Of each vendor

    @property
    @abstractmethod
    def secrets(self) -> dict[str, str]:
        """What a credential of this account holds once it is connected: what the form asks for, and tokens."""

    @property
    def wrong(self) -> dict[str, str]:
        """The same with keys that the CRM refuses."""
        return {name: f"{value[:-1]}x" if name in self.keys else value for name, value in self.secrets.items()}

    keys: frozenset[str] = frozenset()
    """Names of those `secrets` that prove who asks."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Settings of an integration, as the form takes them: clients are created, `default` is responsible."""

    @abstractmethod
    def calls(self, phone: str) -> Sequence[Written]:
        """What it has of calls with this phone (E.164), in the order in which they were written."""

    def screens(self, phone: str) -> set[str]:
        """Users on whose screens a card of this phone has been."""
        return set()

    def open_cards(self, phone: str) -> set[str]:
        """Users on whose screens a card of this phone is now (of CRMs where one stays until it is closed)."""
        return set()

    @abstractmethod
    def know(self, phone: str, name: str, manager: str) -> None:
        """A client that the account has: with this phone (E.164), and the user who is responsible."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What the operator of the product sets for this CRM."""
        return {}

    def install(self, handler_url: str) -> None:
        """What the customer does in the CRM after the credential was saved; it tells us of its events from now on."""
        self.handler_url = handler_url

    def tell(self, wire: Wire) -> Told:
        """An event of the account, sent to the product."""
        url = f"{self.handler_url}{wire.path}" + (f"?{wire.query}" if wire.query else "")
        asked = HttpRequest(url, wire.body or None, dict(wire.headers), method=wire.method)
        try:
            with urlopen(asked, timeout=20) as answer:
                return Told(answer.status, answer.read())
        except HTTPError as error:
            return Told(error.code, error.read())

    def click(self, extension: str, phone: str) -> None:
        """An employee clicks a number, and we are told (of CRMs that have `clicks`)."""
        raise NotImplementedError

    def contact(self, phone: str) -> Mapping[str, str]:
        """The one client with this phone, by the names of `Adapter.contact_fields`, and `responsible`: who he is to."""
        raise NotImplementedError

    def tasks_of(self, phone: str) -> Sequence[ToDo]:
        """Tasks about the client with this phone."""
        raise NotImplementedError

    def write_for_another(self, phone: str, direction: str, seconds: int, began: datetime) -> None:
        """Another integration, `ANOTHER`, writes a call of a known client (of CRMs that list calls)."""
        raise NotImplementedError

    def expire(self) -> None:
        """Its access tokens are over, where it has such."""

    # --- Calls as they must be

    def expected(self, call: Call) -> Written:
        """What must stand here of a call with known settings: of those who talked the first has it, the default
        responsible where nobody did. Of several recordings the CRM has the longest; those of our PBXs are alike."""
        kind = call.scenario
        person = kind.rings[0] if kind.direction == "out" else kind.talks[0] if kind.talks else ""
        audio = list(call.recordings.values())
        return Written(
            direction=kind.direction,
            answered=kind.outcome == "answered",
            seconds=kind.seconds * len(kind.talks),
            person=self.users.get(person, self.default),
            recording=digest(audio[-1]) if audio else "",
            client=True,
            ended=True,
        )

    def compared(self, written: Written, expected: Written) -> Written:
        """What is written, to be compared: links are followed, and what this CRM does not keep is as expected."""
        if written.recording.startswith("http"):
            with urlopen(written.recording, timeout=10) as answer:
                written = replace(written, recording=digest(answer.read()))
        return replace(written, **{name: getattr(expected, name) for name in self.untold})

    # --- The API

    def _carry_out(self, asked: Asked) -> tuple[int, bytes, str]:
        time.sleep(self.latency)
        with self._one_at_a_time:
            return super()._carry_out(asked)


def emulated() -> dict[str, type[Crm]]:
    """The emulators beside this module, by the slug of their CRM."""
    return emulators(Crm)  # type: ignore[type-abstract]
