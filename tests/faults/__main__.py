"""`python -m tests.faults`: the long form of the fault harness. docs/faults.md tells how to read what it says."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests import servers

from . import report
from .faults import FAULTS
from .run import run
from .schedule import schedule
from .verdict import judge
from .world import world

CALLS = 10_000
PER_SECOND = 10.0
PATIENCE = 1500.0
"""Seconds to wait for the last call: a lease of a killed worker, then an hour's worth of pauses at the most."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, epilog=f"Faults: {', '.join(FAULTS)}."
    )
    parser.add_argument("--calls", type=int, default=CALLS, help="calls to play on each stack")
    parser.add_argument("--rate", type=float, default=PER_SECOND, help="calls a second")
    parser.add_argument("--seed", type=int, help="the schedule to repeat; FAULT_SEED says the same")
    parser.add_argument("--stack", choices=("embedded", "production", "both"), default="both")
    parser.add_argument("--only", metavar="FAULT,FAULT", default="", help="only these faults")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what was found as Markdown")
    parser.add_argument("--hurry", action="store_true", help="do not wait out the pauses that the product sets itself")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep logs (and SQLite's database) here")
    options = parser.parse_args()
    options.seed = options.seed or int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**6))
    options.only = list(filter(None, options.only.split(",")))
    if unknown := set(options.only) - set(FAULTS):
        parser.error(f"unknown faults: {', '.join(sorted(unknown))}")
    return options


def stacks(wanted: str) -> list[str]:
    """Those that can be started here; ends the program where one that must be there is missing."""
    kinds = ["embedded", "production"] if wanted == "both" else [wanted]
    missing = servers.postgres_missing() or servers.redis_missing()
    if "production" in kinds and missing:
        print(f"The production stack is SKIPPED: {missing}.", file=sys.stderr)
        if wanted == "production" or os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
            sys.exit(2)
        kinds.remove("production")
    return kinds


def command(options: argparse.Namespace) -> str:
    """How to have this run again."""
    words = [
        f"--calls {options.calls}",
        f"--rate {options.rate:g}",
        f"--seed {options.seed}",
        f"--stack {options.stack}",
    ]
    words += [f"--only {','.join(options.only)}"] if options.only else []
    words += ["--hurry"] if options.hurry else []
    return f'make faults FAULTS="{" ".join(words)}"'


def one(kind: str, folder: Path, options: argparse.Namespace) -> report.Report:
    """The whole run on one stack."""
    windows = schedule(options.seed, kind, options.calls / options.rate, options.only)
    print(f"{kind}: {options.calls} calls, {options.rate:g} a second, seed {options.seed}; windows:")
    print(report.plan_text(windows), flush=True)
    folder.mkdir(parents=True)
    with world(kind, folder, options.seed, hurry=options.hurry) as scene:
        done = run(scene, options.seed, options.calls, options.rate, PATIENCE, options.only)
        found = report.report(scene, done, judge(scene, done))
    print(report.text(found), flush=True)
    return found


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave nothing running behind
    kinds = stacks(options.stack)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="callbridge-faults-"))
    try:
        reports = [one(kind, folder / kind, options) for kind in kinds]
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"To repeat it: {command(options)}")
    if options.report:
        options.report.write_text(report.markdown(reports, command(options)))
    return int(any(found.failed for found in reports))


if __name__ == "__main__":
    sys.exit(main())
