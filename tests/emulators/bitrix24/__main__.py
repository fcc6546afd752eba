"""`python -m tests.emulators.bitrix24 --port 9101`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .portal import PortalConfig
from .server import Bitrix24Emulator


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(prog="python -m tests.emulators.bitrix24", description=__doc__)
    arguments.add_argument("--port", type=int, default=9101)
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--latency-ms", type=float, default=0)
    arguments.add_argument(
        "--portals", type=int, default=1, help="with more than 1: portal1..portalN beside the default"
    )
    arguments.add_argument("--state-file", type=Path, help="keep the state over restarts")
    arguments.add_argument("--bucket-size", type=float, default=50, help="0: no rate limit")
    arguments.add_argument("--bucket-leak", type=float, default=2)
    arguments.add_argument("--crm-mode", type=int, choices=(1, 2), default=1)
    arguments.add_argument("--webhook", action="append", default=[], metavar="USER/CODE", help="an incoming webhook")
    arguments.add_argument("--webhook-telephony", action="store_true", help="let webhooks call the telephony methods")
    arguments.add_argument("--rewrite", action="append", default=[], metavar="FROM=TO", help="of handlers and records")
    arguments.add_argument("--allow-host", action="append", default=[], help="a host beside loopback to talk to")
    arguments.add_argument("--redirect-uri", default="", help="the application's address for the OAuth code")
    return arguments


def main(arguments: list[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    names = ["default", *(f"portal{i}" for i in range(1, options.portals + 1) if options.portals > 1)]
    hooks = {code: int(user) for user, _, code in (hook.partition("/") for hook in options.webhook)}
    configs = [
        PortalConfig(
            name=name,
            bucket_size=options.bucket_size,
            bucket_leak=options.bucket_leak,
            crm_mode=options.crm_mode,
            webhooks=hooks,
            webhook_telephony=options.webhook_telephony,
            redirect_uri=options.redirect_uri,
        )
        for name in names
    ]
    emulator = Bitrix24Emulator(
        configs,
        port=options.port,
        host=options.host,
        latency_ms=options.latency_ms,
        rewrite=dict(pair.split("=", 1) for pair in options.rewrite),
        allow_hosts=options.allow_host,
        state_file=options.state_file,
    )
    print(f"Bitrix24 emulator: http://{options.host}:{options.port}/ ({len(configs)} portals)", flush=True)
    emulator.serve()


if __name__ == "__main__":
    main()
