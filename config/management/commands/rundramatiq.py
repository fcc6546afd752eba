"""`manage.py rundramatiq`: the workers, where the queue is not in memory.

In place of the library's command, which has Dramatiq start Django once more: its processes are forks of this one and
share what it has imported. They end in seconds and not in minutes.
"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from dramatiq import cli

from config.broker import SHUTDOWN_MS


class Command(BaseCommand):
    help = "Run workers: a master process, and under it as many others as it is told."
    requires_system_checks = []  # `migrate` and `serve` have looked

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--processes", "-p", type=int, default=cli.CPUS)
        parser.add_argument("--threads", "-t", type=int, default=8, help="of each process")
        parser.add_argument("--queues", "-Q", nargs="*", help="all, where none is named")

    def handle(self, *args: Any, **options: Any) -> None:
        line = ["django_dramatiq.setup", "--worker-shutdown-timeout", str(SHUTDOWN_MS)]
        for name in ("processes", "threads"):
            line += [f"--{name}", str(options[name])]
        if options["queues"]:
            line += ["--queues", *options["queues"]]
        parser = cli.make_argument_parser()  # type: ignore[no-untyped-call]
        sys.exit(cli.main(parser.parse_args(line)))  # type: ignore[no-untyped-call]
