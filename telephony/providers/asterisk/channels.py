"""What the names of channels say: `PJSIP/101-0000000e` is endpoint `101`.

Source: Asterisk's channel drivers; Local channels and helpers are never a party of a call.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

_HELPERS = {
    "surrogate", "asyncgoto", "message", "announcer", "recorder", "confbridgerecorder", "confbridgeplayback", "cbann",
    "cbrec", "snoop", "multicastrtp", "unicastrtp", "bridge", "parked", "chanspy", "audiosocket",
}  # fmt: skip


class Kind(enum.StrEnum):
    PHONE = "phone"
    TRUNK = "trunk"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Name:
    technology: str
    resource: str

    @classmethod
    def of(cls, channel: str) -> Name:
        """Endpoints may have dashes in their names: the last one begins the number of the channel."""
        technology, _, rest = channel.partition("/")
        if technology.lower() == "local":
            return cls(technology.lower(), rest.partition("@")[0])
        if technology.lower() == "dahdi":
            return cls(technology.lower(), rest.rpartition("-")[0].split("/")[0])
        return cls(technology.lower(), rest.rpartition("-")[0] or rest)

    @property
    def local(self) -> bool:
        return self.technology == "local"

    @property
    def real(self) -> bool:
        return not self.local and self.technology not in _HELPERS and bool(self.resource)


def is_real(channel: str) -> bool:
    """Whether somebody can be at this channel."""
    return Name.of(channel).real


def is_local(channel: str) -> bool:
    return Name.of(channel).local


def split(text: str) -> list[str]:
    """A list as people type it: names or patterns, between commas, blanks or lines."""
    return [each for each in re.split(r"[\s,;]+", text) if each]


def matcher(patterns: str) -> Callable[[str], bool]:
    """Whether a name is among these: names, names with `*`, or Asterisk's own patterns (`_1XX`, `_[2-4]XX.`).

    Raises `ValueError` for a pattern that is none.
    """
    tests = [_test(pattern) for pattern in split(patterns)]
    return lambda name: any(test(name) for test in tests)


_CLASSES = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", ".": ".+", "!": ".*", "-": ""}


def _test(pattern: str) -> Callable[[str], bool]:
    if not pattern.startswith("_"):
        return lambda name: fnmatchcase(name.lower(), pattern.lower())
    parts = re.findall(r"\[[^\]]+\]|.", pattern[1:].upper())
    text = "".join(part if part[0] == "[" and len(part) > 1 else _CLASSES.get(part, re.escape(part)) for part in parts)
    try:
        compiled = re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no pattern of Asterisk's") from error
    return lambda name: compiled.fullmatch(name) is not None


class Plan:
    """Who is who on a PBX, as its owner told us. Raises `ValueError` for patterns that are none."""

    def __init__(self, trunks: str = "", extensions: str = ""):
        self._trunk, self._extension = matcher(trunks), matcher(extensions)

    def kind(self, channel: str) -> Kind:
        """An endpoint that is named as a trunk is one; else what looks like an extension is a phone; and whoever is
        neither is outside."""
        name = Name.of(channel)
        if not name.real:
            return Kind.NOBODY
        if self._trunk(name.resource):
            return Kind.TRUNK
        return Kind.PHONE if self.is_extension(name.resource) else Kind.TRUNK

    def is_extension(self, number: str) -> bool:
        return bool(number) and self._extension(number)

    def extension(self, channel: str) -> str:
        """Whose phone a channel leads to; of a Local one whom it calls."""
        name = Name.of(channel)
        return (
            name.resource
            if self.kind(channel) is Kind.PHONE or (name.local and self.is_extension(name.resource))
            else ""
        )
