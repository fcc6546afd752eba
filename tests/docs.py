"""What the documentation says of vendors, drawn from the registry. `python -m tests.docs` renews it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from telephony.providers import registry
from telephony.providers.base import Capability, Provider

PBX_PAGE = Path(__file__).resolve().parent.parent / "docs" / "pbx.md"
BEGIN, END = "<!-- providers: begin -->", "<!-- providers: end -->"
COLUMNS = {
    Capability.DIAL: "dial",
    Capability.HANGUP: "hang up",
    Capability.TRANSFER: "transfer",
    Capability.USERS: "employees",
    Capability.NUMBERS: "numbers",
    Capability.HISTORY: "history",
    Capability.RECORDINGS: "recordings",
    Capability.TRACKING: "call tracking",
}


def pbx_tables() -> str:
    providers = registry.all_providers().values()
    return "\n".join([*_capabilities(list(providers)), "", *_uncertain(list(providers))])


def _capabilities(providers: list[Provider]) -> Iterator[str]:
    titles = [*COLUMNS.values(), "who takes the call", "shown by"]
    yield f"| provider | brands | {' | '.join(titles)} |"
    yield f"|---|---|{'---|' * len(titles)}"
    for provider in providers:
        brands = ", ".join(brand.title for brand in provider.brands)
        able = ["yes" if capability in provider.capabilities else "–" for capability in COLUMNS]
        yield f"| {provider.title} | {brands} | {' | '.join(able)} | {_forwarding(provider)} | {_shown(provider)} |"


def _forwarding(provider: Provider) -> str:
    if provider.asks:
        return "it asks, we answer"
    return "we tell it during the greeting" if Capability.ROUTE in provider.capabilities else "–"


def _shown(provider: Provider) -> str:
    samples = len(list((provider.folder / "samples").glob("*.json")))
    emulator = "emulator, " if find_spec(f"tests.emulators.{provider.slug}") else ""
    return f"{emulator}{samples} samples"


def _uncertain(providers: list[Provider]) -> Iterator[str]:
    """What the guide names under “Good to know”: there stands how it is handled."""
    for provider in providers:
        guide = (provider.folder / "guide.en.md").read_text(encoding="utf-8")
        told = guide.partition("## Good to know")[2].partition("\n## ")[0]
        points = [" ".join(point.split()).rstrip(".:") for point in re.findall(r"^\* \*\*(.+?)\*\*", told, re.M | re.S)]
        yield f"- **{provider.title}**: {'; '.join(points)}."


def page(text: str, inner: str) -> str:
    """`text` with `inner` between the marks."""
    head, _begin, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{inner}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    PBX_PAGE.write_text(page(PBX_PAGE.read_text(encoding="utf-8"), pbx_tables()), encoding="utf-8")
