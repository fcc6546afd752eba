"""What the documentation says of vendors, drawn from the registry. `python -m tests.docs` renews it."""

from __future__ import annotations

import os
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__":  # what follows wants Django
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()

from django.utils import translation

from crm_adapters.base import Adapter, Repeat, Step
from crm_adapters.base import Capability as CrmCapability
from crm_adapters.registry import all_adapters
from telephony.providers import registry
from telephony.providers.base import Capability, Provider
from tests.crm_adapters.calls import KINDS, KNOWN, Audio, Call, account, operated
from tests.emulators.crm import emulated

FOLDER = Path(__file__).resolve().parent.parent / "docs"
PBX_PAGE, CRM_PAGE = FOLDER / "pbx.md", FOLDER / "crm.md"
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

CRM_COLUMNS = {
    CrmCapability.POP_UP: "pop-ups",
    CrmCapability.RECORDING_LATER: "recordings that come later",
    CrmCapability.CLICK_TO_CALL: "click to call",
    CrmCapability.CLIENT_LOOKUP: "clients and managers looked up",
    CrmCapability.USERS: "users",
    CrmCapability.CONTACTS: "clients made and changed from the card",
    CrmCapability.TASKS: "tasks from the card",
    CrmCapability.OAUTH: "consent (OAuth)",
    CrmCapability.LISTS_CALLS: "who else writes the calls is seen",
}
WAYS = {
    Repeat.KEY: "repeated: the CRM knows our key, or the same once more does no harm",
    Repeat.LOOK: "looked for first",
    Repeat.STOP: "shown to a person",
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


# --- CRMs


def crm_tables() -> str:
    """What each CRM can do, how its steps are made exactly once, and what calls cost it: counted, call by call."""
    adapters = list(all_adapters().values())
    parts = (_crms(adapters), _steps(adapters), _costs(adapters), _open(adapters))
    return "\n\n".join("\n".join(part) for part in parts)


def _crms(adapters: list[Adapter]) -> Iterator[str]:
    yield f"| CRM | {' | '.join(CRM_COLUMNS.values())} | settings by rules | shown by |"
    yield f"|---|{'---|' * len(CRM_COLUMNS)}---|---|"
    for adapter in adapters:
        able = ["yes" if capability in adapter.capabilities else "–" for capability in CRM_COLUMNS]
        ruled = "yes" if adapter.rule_fields else "–"
        yield f"| {adapter.title} | {' | '.join(able)} | {ruled} | {_samples(adapter)} |"


def _samples(adapter: Adapter) -> str:
    count = len(list((adapter.folder / "samples").glob("*.json")))
    return f"emulator, {count} samples"


def _requests(adapter: Adapter) -> dict[str, int]:
    """What each kind of call costs."""
    counted: dict[str, int] = {}
    with Audio().serving() as audio, operated(emulated()[adapter.slug]()) as crm:
        crm.know(KNOWN, "Maria Known", crm.users["102"])
        house = account(crm, adapter.slug)
        for number, kind in enumerate(KINDS, 1):
            before = house.requests
            house.play(Call(kind, number, crm, audio))
            counted[kind.name] = house.requests - before
    return counted


def _steps(adapters: list[Adapter]) -> Iterator[str]:
    yield "| CRM | step | when its answer is lost |"
    yield "|---|---|---|"
    with translation.override("en"):
        for adapter in adapters:
            ways = declared(adapter)
            for name, title in adapter.step_titles.items():
                said = "; by some settings ".join(WAYS[way] for way in Repeat if way in ways[name])
                yield f"| {adapter.title} | {title} | {said} |"


def declared(adapter: Adapter) -> dict[str, set[Repeat]]:
    """The repeat rules of its steps, by name."""
    package = type(adapter).__module__.rpartition(".")[0]
    found: dict[str, set[Repeat]] = defaultdict(set)
    for info in pkgutil.iter_modules([str(adapter.folder)]):
        for value in vars(import_module(f"{package}.{info.name}")).values():
            if isinstance(value, Step):
                found[value.name].add(value.repeat)
    return found


def _costs(adapters: list[Adapter]) -> Iterator[str]:
    counts = {adapter.slug: _requests(adapter) for adapter in adapters}
    yield f"| requests of a call alone | {' | '.join(adapter.title for adapter in adapters)} |"
    yield f"|---|{'---|' * len(adapters)}"
    for kind in KINDS:
        row = " | ".join(str(counts[adapter.slug][kind.name] or "–") for adapter in adapters)
        yield f"| {kind.name} | {row} |"


def _open(adapters: list[Adapter]) -> Iterator[str]:
    """What the guide says is not known for certain."""
    for adapter in adapters:
        guide = (adapter.folder / "guide.en.md").read_text(encoding="utf-8")
        told = guide.partition("## What is not known for certain")[2].partition("\n## ")[0]
        yield f"- **{adapter.title}**"
        yield from (f"  - {' '.join(point.split())}" for point in re.split(r"^- ", told, flags=re.M)[1:])


def page(text: str, inner: str) -> str:
    """`text` with `inner` between the marks."""
    head, _begin, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{inner}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    for path, tables in ((PBX_PAGE, pbx_tables), (CRM_PAGE, crm_tables)):
        path.write_text(page(path.read_text(encoding="utf-8"), tables()), encoding="utf-8")
