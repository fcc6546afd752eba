"""`python -m tests.bench`: what one core carries, how soon calls are in the CRM, and where the time goes."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.stack import production_missing

from . import figures, floors, machine, report
from .crm import Crm
from .product import Product
from .profiling import Profile, tool

_begun = time.monotonic()


def say(words: str) -> None:
    print(f"[{time.monotonic() - _begun:5.0f} s] {words}", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--stack", choices=("embedded", "production", "both"), default="both")
    parser.add_argument("--quick", action="store_true", help="shorter and coarser: under two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="renew the tables in docs/benchmarks.md")
    parser.add_argument("--profile", action="store_true", help="print where the processor's time goes (needs py-spy)")
    parser.add_argument("--companies", type=int, default=150)
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the product to try; {folder} stands for its data folder",
    )
    parser.add_argument("--rate", type=float, help="instead of everything: one load at this many events a second")
    parser.add_argument("--bulkheads", type=int, metavar="ROUNDS", help="instead of everything: one CRM in trouble")
    parser.add_argument("--seconds", type=float, help="how long each load lasts")
    return parser.parse_args()


def measure(kind: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everything about one stack."""
    quick = options.quick
    seconds = options.seconds or (3.0 if quick else 8.0)
    extra = dict(pair.split("=", 1) for pair in options.env)
    with Crm(options.companies) as crm, Product(kind, folder, crm, options.companies, extra) as product:
        say(f"{kind}: {options.companies} companies")
        time.sleep(1)
        found: dict[str, Any] = {"idle": asdict(product.memory())}
        figures.warm_up(product)
        if options.rate:
            found["load"] = asdict(_load(product, folder, options, options.rate, seconds))
            return found
        if options.bulkheads:
            found["bulkheads"] = figures.bulkheads(product, 60.0, seconds, options.bulkheads)
            say(f"bulkheads: {found['bulkheads']}")
            return found
        found["hits"] = figures.hits_by_kind(product)
        say(f"hits: {found['hits']}")
        for name, rate in (("at_30", 30.0), ("at_100", 100.0)):
            found[name] = asdict(figures.load(product, rate, seconds if quick else 2 * seconds, 1 if quick else 3))
            say(f"{rate:.0f}/s: answer {found[name]['answer']}, CRM {found[name]['crm']}")
        best, runs = figures.highest(product, 150.0, seconds, 1.4 if quick else 1.06, 1 if quick else 3, say)
        found["highest"] = asdict(best) | {"sustained": best.sustained}
        found["search"] = [asdict(run) | {"sustained": run.sustained} for run in runs]
        found["peak"] = max((run.memory for run in runs), key=lambda memory: memory["rss"])
        found["at_70_percent"] = asdict(_load(product, folder, options, 0.7 * best.rate, seconds))
        found["routing"] = figures.routing(product, 40 if quick else options.companies, 1 if quick else 2)
        say(f"routing: {found['routing']}")
        found["bulkheads"] = figures.bulkheads(product, min(60.0, 0.5 * best.rate), seconds, 1 if quick else 6)
        say(f"bulkheads: {found['bulkheads']}")
        found["busy_portal"] = figures.busy_portal(product, 30 if quick else 150)
        say(f"one busy portal: {found['busy_portal']}")
        found["back"] = figures.time_to_be_back(product, 1 if quick else 3)
        say(f"back after kill -9: {found['back']}")
        return found


def _load(product: Product, folder: Path, options: argparse.Namespace, rate: float, seconds: float) -> figures.Run:
    if not options.profile:
        run = figures.load(product, rate, seconds)
    else:
        with Profile(product, folder, seconds + 1) as profile:
            run = figures.load(product, rate, seconds)
        parts = {"threads": profile.threads(), "our functions, all in": profile.ours(60), "by itself": profile.own(40)}
        print(f"Profile of {product.kind} at {rate:.0f} events/s\n{report.profile_text(parts)}", flush=True)
    say(f"{rate:.0f}/s: {figures._brief(run)}")
    return run


def floors_of(kinds: list[str], folder: Path, seconds: float) -> dict[str, Any]:
    wanted = ["plain", *(floors.KINDS[kind] for kind in kinds)]
    found = {name: floors.measure(name, folder, seconds) for name in wanted}
    say(f"floors: { ({name: floor['per_second'] for name, floor in found.items()}) }")
    return found


def main() -> int:
    options = arguments()
    if options.profile and not tool():
        print("py-spy is not installed: pip install py-spy", file=sys.stderr)
        return 2
    kinds = ["embedded", "production"] if options.stack == "both" else [options.stack]
    folder = Path(tempfile.mkdtemp(prefix="callbridge-bench-"))
    try:
        with machine.on_core(machine.LOAD_CORE), machine.servers() as caveat:
            if "production" in kinds and (why := production_missing()):
                print(f"without the production stack: {why}", file=sys.stderr)
                kinds.remove("production")
            results: dict[str, Any] = {"machine": machine.described(), "caveat": caveat, "stacks": {}}
            if not (options.rate or options.bulkheads):
                results["floors"] = floors_of(kinds, folder, 1.0 if options.quick else 4.0)
            for kind in kinds:
                results["stacks"][kind] = measure(kind, folder / kind, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, ensure_ascii=False))
    if not (options.rate or options.bulkheads):
        print(report.markdown(results))
        if options.markdown:
            report.renew(options.markdown, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
