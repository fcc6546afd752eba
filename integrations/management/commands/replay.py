"""`manage.py replay [--json] FILE…`: play wire samples through the product's code."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

SCRATCH = "CALLBRIDGE_REPLAY"


class Command(BaseCommand):
    help = "Play wire samples in a scratch database; exit 1 when an expectation is not met."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument("--json", action="store_true", help="one JSON object a line for each file")

    def handle(self, *args: Any, **options: Any) -> None:
        if SCRATCH not in os.environ:
            sys.exit(self._in_scratch(options))
        call_command("migrate", verbosity=0)
        sys.exit(self._play(options["files"], options["json"]))

    @staticmethod
    def _in_scratch(options: dict[str, Any]) -> int:
        """The same command once more, in a process whose database is a temporary file."""
        with tempfile.TemporaryDirectory(prefix="callbridge-replay-") as folder:
            environment = os.environ | {
                SCRATCH: "1",
                "DATA_DIR": folder,
                "DATABASE_URL": f"sqlite:///{folder}/replay.sqlite3",
                "BROKER_URL": "memory://",
                "CACHE_URL": "locmemcache://replay",
                "LOG_LEVEL": os.environ.get("LOG_LEVEL", "ERROR"),
                "PUBLIC_URL": "http://127.0.0.1:8000",
                "S3_BUCKET": "",
            }
            command = [sys.executable, sys.argv[0], "replay", *(["--json"] if options["json"] else [])]
            command += [str(file) for file in options["files"]]
            return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603

    def _play(self, files: list[Path], as_json: bool) -> int:
        from integrations.replay.player import play, workers

        failed = False
        with workers():
            results = [play(file) for file in files]
        for file, played in zip(files, results, strict=True):
            failed |= bool(played.misses)
            if as_json:
                self.stdout.write(played.as_json())
                continue
            self.stdout.write(f"{'MISS' if played.misses else 'ok  '} {file}  {played.scenario}")
            for miss in played.misses:
                self.stdout.write(f"     {miss}")
        return 1 if failed else 0
