"""`manage.py schedule`: repeated work, where the queue is not in memory. Several of it do no harm."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from telephony import schedule
from telephony.threads import Loop


class Command(BaseCommand):
    help = "Run what is to be done repeatedly (sweeps, closing of silent calls)."
    requires_system_checks = []  # `migrate` and `serve` have looked

    def handle(self, *args: Any, **options: Any) -> None:
        ending = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ending.set())
        loop = Loop("schedule", schedule.run_due, seconds=1)
        loop.start()
        ending.wait()
        loop.stop(patience=8.0)
