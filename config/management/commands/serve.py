"""`manage.py serve`: the product."""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.serving import Server


class Command(BaseCommand):
    help = "Serve the product. With BROKER_URL=memory:// one such process is the whole of it."
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=settings.PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        Server(self._listen(options["host"], options["port"])).run()
        logging.shutdown()
        sys.stdout.flush()
        # A page that waits for a vendor must not hold up a restart; what was promised is on disk.
        os._exit(0)

    @staticmethod
    def _listen(host: str, port: int) -> socket.socket:
        try:
            return socket.create_server((host, port), backlog=2048)
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with PORT or --port."
            ) from error
