"""What the documentation says of vendors, drawn from the registry. `python -m tests.docs` renews it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__":  # what follows wants Django
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()

from django.utils import translation

from crm_adapters.base import Adapter, Repeat
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
    CrmCapability.OAUTH: "consent (OAuth)",
}
WAYS = {
    Repeat.KEY: "repeated: the CRM knows our key, or the same once more is harmless",
    Repeat.LOOK: "looked for, then repeated",
    Repeat.STOP: "shown to a person: neither a key nor a look",
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
    counts = {adapter.slug: _counts(adapter) for adapter in adapters}
    return "\n".join(
        [*_crms(adapters), "", *_steps(adapters, counts), "", *_costs(adapters, counts), "", *_open(adapters)]
    )


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


@dataclass(frozen=True)
class _Counted:
    """Requests of each kind of call, and the steps that were met."""

    requests: dict[str, int]
    steps: dict[str, Repeat]


def _counts(adapter: Adapter) -> _Counted:
    requests: dict[str, int] = {}
    steps: dict[str, Repeat] = {}
    with Audio().serving() as audio, operated(emulated()[adapter.slug]()) as crm:
        crm.know(KNOWN, "Maria Known", crm.users["102"])
        house = account(crm, adapter.slug)
        for number, kind in enumerate(KINDS, 1):
            before = house.requests
            house.play(Call(kind, number, crm, audio))
            requests[kind.name] = house.requests - before
        steps |= {step.name: step.repeat for step in house.steps}
    return _Counted(requests, steps)


def _steps(adapters: list[Adapter], counts: Mapping[str, _Counted]) -> Iterator[str]:
    yield "| CRM | step | when its answer is lost |"
    yield "|---|---|---|"
    with translation.override("en"):
        for adapter in adapters:
            for name, title in adapter.step_titles.items():
                way = counts[adapter.slug].steps.get(name)
                yield f"| {adapter.title} | {title} | {WAYS[way] if way else 'only by some settings'} |"


def _costs(adapters: list[Adapter], counts: Mapping[str, _Counted]) -> Iterator[str]:
    yield f"| requests of a call alone | {' | '.join(adapter.title for adapter in adapters)} |"
    yield f"|---|{'---|' * len(adapters)}"
    for kind in KINDS:
        row = " | ".join(str(counts[adapter.slug].requests[kind.name] or "–") for adapter in adapters)
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
