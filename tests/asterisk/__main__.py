"""A real Asterisk to play with: `up` in one terminal, `call` in another."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from .calls import CALLS
from .lab import SECRET, USER, Asterisk, Lab
from .packages import Missing, Release, release
from .sip import Exchange

NETWORK, AMI_PORT = "127.50.60", 5038


def up(found: Release) -> None:
    """Until Ctrl-C."""
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    with Asterisk(found, NETWORK, AMI_PORT) as pbx:
        print(f"Asterisk {pbx.version()} (Debian {found.suite}), until Ctrl-C")
        print(f"AMI         127.0.0.1:{AMI_PORT}, {USER} / {SECRET}")
        print(f"recordings  {pbx.monitor}")
        print(f"log         {pbx.folder}/log/full")
        print("now, in another terminal: python -m tests.asterisk call", flush=True)
        ending.wait()


def call(found: Release, names: list[str]) -> None:
    """One after the other, through the PBX that `up` has started."""
    with Exchange() as exchange:
        lab = Lab(Asterisk(found, NETWORK, AMI_PORT), exchange)
        for place, name in enumerate(names, start=1):
            print(CALLS[name](lab, f"7900000{place:04}"), flush=True)
        exchange.hang_up()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.asterisk", description=__doc__)
    parser.add_argument("what", choices=["install", "up", "call"])
    parser.add_argument("names", nargs="*", metavar="name", help=f"of the calls to place: {', '.join(CALLS)} (all)")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(CALLS):
        parser.error(f"no such call: {', '.join(sorted(unknown))}")
    try:
        found = release()
    except Missing as error:
        sys.exit(str(error))
    if asked.what == "up":
        up(found)
    elif asked.what == "call":
        call(found, asked.names or list(CALLS))


if __name__ == "__main__":
    main()
