"""Vendors: each is a folder below a package, and nothing else names it."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import ClassVar, TypeVar

T = TypeVar("T", bound="Vendor")


class Vendor:
    """What a PBX protocol and a CRM have in common."""

    slug: ClassVar[str]
    title: ClassVar[str]

    @property
    def folder(self) -> Path:
        """The vendor's own folder: its guide (`guide.<language>.md`), words and samples lie there."""
        return Path(str(sys.modules[type(self).__module__].__file__)).parent


@dataclass(frozen=True, slots=True)
class Reply:
    """What we answer to a vendor's request."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The sender is not proven, or the request is not one of this protocol: answered, counted, not stored.

    `why` tells causes of one code apart: for whoever sets the PBX up here, never answered.
    """

    def __init__(self, status: int, code: str, why: str = ""):
        super().__init__(code)
        self.reply = Reply(status, b'{"error":"%s"}' % code.encode())
        self.code = code
        self.why = why


@dataclass(frozen=True, slots=True)
class Check:
    """One precondition of an account: fulfilled, or what to do about it."""

    name: str
    ok: bool
    cure: str = ""


def find(package: ModuleType, module: str, base: type[T]) -> dict[str, T]:
    """One instance of each subclass of `base` defined in `<package>.<folder>.<module>`, by its `slug`."""
    found: dict[str, T] = {}
    for info in pkgutil.iter_modules(package.__path__):
        if not info.ispkg:
            continue
        vendor = importlib.import_module(f"{package.__name__}.{info.name}.{module}")
        for value in vars(vendor).values():
            own = isinstance(value, type) and issubclass(value, base) and value.__module__ == vendor.__name__
            if own and not getattr(value, "__abstractmethods__", None):
                found[value.slug] = value()
    return dict(sorted(found.items()))
