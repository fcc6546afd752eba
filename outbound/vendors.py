"""Finding vendors: each is a folder below a package, and nothing else names it."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


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
