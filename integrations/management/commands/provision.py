"""`manage.py provision [--json] FILE`: one company as a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from employees import audit
from integrations.provision import Refused, example, provision


class Command(BaseCommand):
    help = "Make or change a company as a file says (YAML or JSON); run twice it changes nothing the second time."
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", metavar="FILE")
        parser.add_argument("--json", action="store_true", help="print ids and addresses as JSON")
        parser.add_argument("--example", action="store_true", help="print a file with everything that is understood")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["example"]:
            self.stdout.write(example(), ending="")
            return
        if not options["file"]:
            raise CommandError("name a FILE, or use --example")
        try:
            with audit.acting(audit.Actor(None, "manage.py provision")):
                outcome = provision(_text(options["file"]))
        except Refused as refusal:
            for problem in refusal.problems:
                self.stderr.write(problem.told(options["file"]))
            sys.exit(1)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        said = json.dumps(outcome.as_dict(), ensure_ascii=False) if options["json"] else outcome.summary()
        self.stdout.write(said)


def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: cannot be read: {error}") from error
