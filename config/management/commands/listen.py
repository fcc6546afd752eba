"""`manage.py listen`: the lines to PBXs that must be listened to, where `serve` does not hold them itself.

Several of it do no harm: each connection is one's.
"""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand

from employees import installation
from telephony.listening import Switchboard
from telephony.pipeline import pipeline


class Command(BaseCommand):
    help = "Listen to PBXs that push nothing by themselves."
    requires_migrations_checks = True
    requires_system_checks = []  # `migrate` and `serve` have looked

    def handle(self, *args: Any, **options: Any) -> None:
        installation.check_encryption()
        switchboard = Switchboard(pipeline)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: switchboard.end())
        pipeline.start()
        switchboard.run()
        pipeline.stop()
