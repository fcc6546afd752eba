"""`python -m tests.emulators.mango --port 9201 --hub-url http://127.0.0.1:8000/hooks/mango/<token>/ [--demo]`."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from pathlib import Path

from .account import DEFAULT_KEY, DEFAULT_SALT, Account
from .emulator import MangoEmulator


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tests.emulators.mango", description="Emulator of the Mango Office VPBX API")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9201)
    parser.add_argument("--public-url", default="", help="address in links to recordings, when it is not host:port")
    parser.add_argument("--hub-url", default="", help="webhook address of the connection in the hub")
    parser.add_argument("--api-key", default=DEFAULT_KEY)
    parser.add_argument("--api-salt", default=DEFAULT_SALT)
    parser.add_argument("--accounts", type=Path, help="JSON file: list of accounts as in POST /_emulator/accounts")
    parser.add_argument("--speed", type=float, default=1.0, help="1: pace of people; 1000 and more: no waiting")
    parser.add_argument("--parallel", action="store_true", help="send notifications in parallel, as the vendor does")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--no-limits", action="store_true", help="no rate limits")
    parser.add_argument("--demo", action="store_true", help="play calls without end")
    return parser.parse_args()


def main() -> None:
    """Serve until a signal."""
    options = arguments()
    accounts = [Account(options.api_key, options.api_salt, options.hub_url)]
    if options.accounts:
        accounts = [Account.from_dict(item) for item in json.loads(options.accounts.read_text(encoding="utf-8"))]
    emulator = MangoEmulator(
        accounts=accounts,
        host=options.host,
        port=options.port,
        public_url=options.public_url,
        speed=options.speed,
        limits=not options.no_limits,
        delivery={"parallel": options.parallel},
        connections=options.connections,
    )
    emulator.demo = options.demo
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with emulator:
        print(f"Mango Office emulator: {emulator.url}", flush=True)
        while not stopped.wait(1.0):
            pass


main()
