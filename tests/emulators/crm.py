"""What emulated CRMs have in common: an API that is really spoken to over HTTP, and one way to ask what was written.

A vendor's emulator subclasses `Crm`: it answers its API (methods marked with `api`), refuses what the vendor refuses,
keeps what was written and tells it (`calls`), and notes in `violations` what breaks the vendor's rules.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .served import Asked, Served, Told, Wire, emulators

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


class Crm(Served, ABC):
    """One emulated account. `deliver` carries its events to the product and returns the answer."""

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
    copies: bool = False
    """Whether it takes a copy of recordings."""
    refused: frozenset[str] = frozenset()
    """Names of kinds of calls (`tests.crm_adapters.calls`) that it takes none of."""

    def __init__(self, deliver: Callable[[Wire], Told] = lambda wire: Told(200)):
        super().__init__()
        self.deliver = deliver
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

    @abstractmethod
    def know(self, phone: str, name: str, manager: str) -> None:
        """A client that the account has: with this phone (E.164), and the user who is responsible."""

    def install(self, handler_url: str) -> None:
        """What the customer does in the CRM after the credential was saved."""

    def click(self, extension: str, phone: str) -> None:
        """An employee clicks a number, and we are told (of CRMs that have `clicks`)."""
        raise NotImplementedError

    def expire(self) -> None:
        """Its access tokens are over, where it has such."""

    # --- The API

    def _carry_out(self, asked: Asked) -> tuple[int, bytes, str]:
        with self._one_at_a_time:
            return super()._carry_out(asked)


def emulated() -> dict[str, type[Crm]]:
    """The emulators beside this module, by the slug of their CRM."""
    return emulators(Crm)  # type: ignore[type-abstract]
