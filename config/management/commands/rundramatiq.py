"""`manage.py rundramatiq`: the workers, where the queue is not in memory."""

from __future__ import annotations

from django.core.management.base import CommandParser
from django_dramatiq.management.commands import rundramatiq

from config.broker import SHUTDOWN_MS


class Command(rundramatiq.Command):
    """The library's, which ends in seconds and not in minutes."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(worker_shutdown_timeout=SHUTDOWN_MS)
