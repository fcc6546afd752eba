"""The emulated Bitrix24 with a portal at each of 127.0.1.1, 127.0.1.2, …: portals are told apart by their host, as the
real ones are, so that the product cannot share connections between them."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from tests.emulators.bitrix24.portal import Portal, PortalConfig
from tests.emulators.bitrix24.server import Bitrix24Emulator

PER_NET = 250


def host_of(number: int) -> str:
    """The address of `portalN`."""
    return f"127.0.{1 + (number - 1) // PER_NET}.{1 + (number - 1) % PER_NET}"


def _find(by_host: dict[str, Portal], others: Any, prefix: str, host: str) -> tuple[Portal | None, str, str]:
    portal = by_host.get(host.partition(":")[0])
    return (portal, "", f"http://{host}") if portal and not prefix else others(prefix, host)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m tests.bench.portals", description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--portals", type=int, required=True)
    arguments.add_argument("--latency-ms", type=float, default=0)
    options = arguments.parse_args()
    numbers = range(1, options.portals + 1)
    configs = [PortalConfig(name="default"), *(PortalConfig(name=f"portal{number}") for number in numbers)]
    emulator = Bitrix24Emulator(configs, port=options.port, host="0.0.0.0", latency_ms=options.latency_ms)
    by_host = {host_of(number): emulator.hub.portals[f"portal{number}"] for number in numbers}
    emulator.hub.find = partial(_find, by_host, emulator.hub.find)  # type: ignore[method-assign]
    emulator.serve()


if __name__ == "__main__":
    main()
