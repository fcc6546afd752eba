"""What Phonet's events, its list of live calls and its history write alike.

Source: the vendor's HTTPS API v4.1, as public clients quote it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from telephony.providers.base import NO_TIME, Direction, Party, Place
from telephony.providers.values import EmptyObject, Id, MaybeInteger, MaybeTimestamp, Model, Text, Timestamp

_MOST_DIGITS = 12
"""Of an epoch in seconds: the document says milliseconds, its own examples have both."""
_DIRECTIONS = {1: Direction.INTERNAL, 2: Direction.OUT, 4: Direction.IN}
_PERSON, _GROUP = 1, 2


def _plain(value: Any) -> Any:
    """Ids come with dashes and without."""
    return value.replace("-", "").lower() if isinstance(value, str) else value


def _in_seconds(value: Any) -> Any:
    digits = str(value).strip()
    return digits[:-3] if digits.isdecimal() and len(digits) > _MOST_DIGITS else value


def _rows(value: Any) -> Any:
    """A list; in a form its rows have numbers."""
    return list(value.values()) if isinstance(value, dict) else value or []


Uuid = Annotated[Id, BeforeValidator(_plain)]
MaybeUuid = Annotated[Text, BeforeValidator(_plain)]
Epoch = Annotated[Timestamp, BeforeValidator(_in_seconds)]
MaybeEpoch = Annotated[MaybeTimestamp, BeforeValidator(_in_seconds)]


class Side(Model):
    """Our side of a call: an employee, a group or a voice menu. Extensions are texts, with zeros before them."""

    id: MaybeInteger = None
    type: MaybeInteger = None
    ext: Text = ""

    @property
    def place(self) -> Place:
        if self.type in (None, _PERSON):
            return Place.PERSON
        return Place.QUEUE if self.type == _GROUP else Place.MENU

    @property
    def party(self) -> Party:
        return Party(extension=self.ext if self.place is Place.PERSON else "")


class _Other(Model):
    num: Text = ""


class LiveLeg(Model):
    """A leg as events and the list of live calls have it."""

    uuid: Uuid
    parent: MaybeUuid = Field("", alias="parentUuid")
    began_at: Epoch = Field(NO_TIME, alias="dialAt")
    bridged_at: MaybeEpoch = Field(None, alias="bridgeAt")
    lg_direction: MaybeInteger = Field(None, alias="lgDirection")
    leg: Annotated[Side, EmptyObject] = Side()
    leg2: Annotated[Side, EmptyObject] = Side()
    others: Annotated[list[_Other], BeforeValidator(_rows)] = Field([], alias="otherLegs")
    line: Text = Field("", alias="trunkNum")

    @property
    def direction(self) -> Direction | None:
        return direction(self.lg_direction)

    @property
    def sides(self) -> tuple[Party, Party]:
        number = next((other.num for other in self.others), "")
        return sides(self.direction, self.leg, self.leg2, number)


def direction(lg_direction: int | None) -> Direction | None:
    """None for what is no call: 32 and 64 say that an employee begins and ends his pause."""
    return _DIRECTIONS.get(lg_direction) if lg_direction is not None else None


def sides(direction: Direction | None, leg: Side, leg2: Side, number: str) -> tuple[Party, Party]:
    """Who calls and who is called. `leg` is ours whatever the direction, and in an internal call he who dialled;
    `number` is the client's, or words where it is hidden."""
    if direction is Direction.INTERNAL:
        return leg.party, leg2.party
    client = Party(number=number if any(sign.isdecimal() for sign in number) else "")
    return (client, leg.party) if direction is Direction.IN else (leg.party, client)
