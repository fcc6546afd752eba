"""A self-test: somebody teaches a PBX to speak with us, plays call after call, and is told what came and what is wrong.

A provider whose protocol is open to any PBX has one (`Provider.self_test`), in its own folder: what must come, and what
is wrong with what came, in the protocol's own words. Nothing here is stored or sent but what `history` asks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.functional import Promise

from outbound.http import Http

from .base import Parsed, Request, Secrets


@dataclass(frozen=True, slots=True)
class Heard:
    """A request of the PBX that was stored, and what it says. `error`: why it was not understood."""

    at: datetime
    request: Request
    facts: tuple[Parsed, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a request or an answer, and what to do about it. `wrong`: it must be put right; else it is worth
    knowing."""

    words: str
    wrong: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """Something that the PBX is to send. `todo`: what to play, and what then goes over the wire. `met`: whether a
    request is that. Without `needed` ones calls do not work; the others are for more comfort."""

    title: str | Promise
    todo: str | Promise
    met: Callable[[Heard], bool]
    needed: bool = True


class SelfTest(ABC):
    """What one protocol knows of it."""

    steps: tuple[Step, ...]

    @abstractmethod
    def remarks(self, heard: Sequence[Heard]) -> list[list[Remark]]:
        """What is wrong or odd with each request, in the order in which they came. Pure."""

    @abstractmethod
    def refusal(self, why: str) -> str:
        """The cure for a request that was refused at the door (`Refused.why`); empty where nothing more is known."""

    @abstractmethod
    def history(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> tuple[int, list[Remark]]:
        """Ask the PBX for the calls of a period: how many rows it lists, and what is wrong with them. Raises
        `outbound.errors`."""
